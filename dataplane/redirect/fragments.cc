// SPDX-License-Identifier: BSD-3-Clause
// Fragments to a service, and in `nat` from a PE: the first goes as the whole packet would have gone, and
// teaches the way that the others then take, also where it had no session's key. What comes before its first
// fragment is dropped.
#include "dataplane/redirect/checksum.h"
#include "dataplane/redirect/impl.h"
#include "dataplane/redirect/wire.h"

namespace poolgate::redirect {
namespace {

using namespace wire;

constexpr size_t kFragmentHeader = 8;  // RFC 8200 §4.5

// In bytes. Of IPv6, l4_offset is that of the fragment header.
size_t fragment_offset(const Packet& packet) {
  return packet.info.flow.family == 6 ? get16(packet.l4() + 2) & 0xfff8u
                                      : (get16(packet.l3() + 6) & 0x1fffu) * 8;
}

FragmentKey key_of(const Packet& packet) {
  FragmentKey key;
  const bool v6 = packet.info.flow.family == 6;
  std::memcpy(key.addresses, packet.addresses(), 2 * packet.address_size());
  key.id = v6 ? raw32(packet.l4() + 4) : raw16(packet.l3() + 4);
  key.family = packet.info.flow.family;
  key.protocol = packet.info.flow.protocol;
  return key;
}

// All that is looked at of a transport header must be in the first fragment (RFC 1858 §4, RFC 7112).
size_t least(uint8_t protocol) {
  switch (protocol) {
    case kTcp:
      return kTcpHeader;
    case kSctp:
      return kSctpHeader + 4;
    case kUdp:
      return kUdpHeader;
    default:
      return SIZE_MAX;
  }
}

// `theirs`: the key of the packets the other way, as they are on the other side of `nat`. SCTP's checksum
// would change with the length of the whole packet, which no fragment tells: the first one was dropped.
bool changes_ports(const session::FlowKey& theirs, bool keeps_source, const session::FlowKey& ours) {
  return (!keeps_source && theirs.destination_port != ours.source_port) ||
         theirs.source_port != ours.destination_port;
}

}  // namespace

void Redirector::Impl::fragment(Packet& packet) {
  if (services == nullptr) return exception(packet.mbuf);
  if (packet.info.flow.family == 6 && packet.l4_readable() < kFragmentHeader) {
    if (packet.mbuf->nb_segs > 1 && rte_pktmbuf_linearize(packet.mbuf) == 0 &&
        packet.l4_readable() >= kFragmentHeader)
      return fragment(packet);
    return drop(packet.mbuf, DropReason::ip6_extension);
  }
  fragment_offset(packet) == 0 ? first_fragment(packet) : further_fragment(packet);
}

void Redirector::Impl::first_fragment(Packet& packet) {
  const FragmentKey id = key_of(packet);
  PacketInfo info = packet.info;
  if (info.flow.family == 6) {
    info.l4_offset = static_cast<uint16_t>(info.l4_offset + kFragmentHeader);
    info.l4_length = static_cast<uint16_t>(info.l4_length - kFragmentHeader);
  }
  Packet whole{packet.mbuf, info};
  whole.partial = true;
  if (whole.l4_readable() < least(info.flow.protocol)) {
    const Classified to = services->classify(packet.frame(), packet.info);
    return to.is_kernels() ? exception(packet.mbuf) : drop(packet.mbuf, DropReason::fragment);
  }
  if (info.flow.protocol == kTcp &&
      ((whole.l4()[12] >> 4) < 5 || (whole.l4()[12] >> 4) * 4u > info.l4_length))
    return drop(packet.mbuf, DropReason::tcp_offset);
  info.kind = PacketKind::l4;
  info.flow.source_port = raw16(whole.l4());
  info.flow.destination_port = raw16(whole.l4() + 2);
  info.hash = session::hash_flow(info.flow, sessions.secret());
  // Kept, as the packet is gone when its way is known.
  uint8_t addresses[32];
  std::memcpy(addresses, whole.addresses(), 2 * whole.address_size());
  SessionIndex entry = sessions.find(info.flow, info.hash, addresses);
  const ServiceIndex service =
      entry == session::kNone ? services->classify(whole.frame(), info).service : kNoService;
  sent_to = pool::kNoPeSlot;
  if (others != nullptr) others->last_given_to = FragmentWay::kNobody;
  entry == session::kNone ? miss(whole) : hit(whole, entry);
  if (others != nullptr && others->last_given_to != FragmentWay::kNobody) {
    // The others follow it, through the same ring.
    fragments.place(id, now_ms).handed_to = others->last_given_to;
    return;
  }
  entry = sessions.find(info.flow, info.hash, addresses);
  if (entry != session::kNone) return teach(id, info, entry, addresses);
  if (sent_to == pool::kNoPeSlot) return;
  // Without a key: it was found by its tag, or steered.
  if (whole.entry != session::kNone && sessions.valid(whole.entry))
    return teach(id, info, whole.entry, addresses);
  FragmentWay& way = fragments.place(id, now_ms);
  way.handed_to = FragmentWay::kNobody;
  way.steered = true;
  way.from_pe = false;
  way.pe = sent_to;
  way.deaths = lines[sent_to].deaths;
  way.service = service;
  way.flags = sent_as;
  way.hash = info.hash;
}

void Redirector::Impl::teach(const FragmentKey& id, const PacketInfo& info, SessionIndex entry,
                             const uint8_t* addresses) {
  const SessionIndex i = sessions.session_of(entry);
  const Session& s = sessions.at(i);
  FragmentWay& way = fragments.place(id, now_ms);
  way.handed_to = FragmentWay::kNobody;
  way.from_pe = (sessions.at(entry).flags & session::kFromPe) != 0;
  way.pe = way.from_pe ? s.pe : way_of(entry);
  way.deaths = way.pe == s.pe ? s.deaths : lines[way.pe].deaths;
  way.service = s.service;
  way.steered = false;
  way.flags = s.flags;
  way.hash = info.hash;
  const SessionIndex other = sessions.at(entry).counterpart;
  way.client_hop = way.from_pe ? hop_to(other) : uint16_t{0};
  if ((s.flags & session::kNat) == 0) return;
  const bool keeps_source = !way.from_pe && (s.flags & session::kSnat) == 0;
  if (other == session::kNone ||
      (info.flow.protocol == kSctp && changes_ports(sessions.at(other).key, keeps_source, info.flow))) {
    way.until_ms = 0;
    return;
  }
  const size_t n = info.flow.family == 6 ? 16 : 4;
  const uint8_t* theirs = sessions.addresses(other);
  std::memcpy(way.addresses, theirs + n, n);
  std::memcpy(way.addresses + n, theirs, n);
  if (keeps_source) std::memcpy(way.addresses, addresses, n);
}

void Redirector::Impl::further_fragment(Packet& packet) {
  const FragmentWay* way = fragments.find(key_of(packet), now_ms);
  if (way == nullptr) {
    const Classified to = services->classify(packet.frame(), packet.info);
    return to.is_kernels() ? exception(packet.mbuf) : drop(packet.mbuf, DropReason::fragment);
  }
  // It would write over the header by which the first was judged (RFC 1858 §3.2, RFC 3128).
  if (fragment_offset(packet) < least(packet.info.flow.protocol))
    return drop(packet.mbuf, DropReason::fragment);
  if (way->handed_to != FragmentWay::kNobody) {
    if (others == nullptr) return drop(packet.mbuf, DropReason::fragment);
    return give(packet, way->handed_to, Stage::to_home);
  }
  pool::PeLine& line = lines[way->pe];
  if (line.deaths != way->deaths) return drop(packet.mbuf, DropReason::pe_dead);
  if (unsigned mtu;
      way->from_pe ? !fits_back(packet, way->client_hop, mtu) : !fits(packet, line, way->flags, mtu))
    return too_big(packet, mtu);
  if (way->steered)
    count(way->service, &ServiceCounters::steered);
  else
    count_packet(line, way->service, packet.mbuf->pkt_len);
  if ((way->flags & session::kNat) != 0) {
    const size_t n = 2 * packet.address_size();
    if (packet.info.flow.family == 4) {
      ChecksumDelta delta;
      delta.replace(packet.addresses(), way->addresses, n);
      put_raw16(packet.l3() + 10, delta.apply(raw16(packet.l3() + 10)));
    }
    std::memcpy(packet.addresses(), way->addresses, n);
  }
  if (way->from_pe) return to_client(packet, way->client_hop);
  packet.info.hash = way->hash;
  to_pe(packet, line, way->flags);
}

}  // namespace poolgate::redirect
