// SPDX-License-Identifier: BSD-3-Clause
// Mode `nat`: the client's packets get the PE's address and port, and, where the service has SNAT addresses,
// a source of ours; the PE's get the VIP's and the client's back. Every key of a session, on either side,
// names its counterpart on the other: a packet with this one leaves with that one, turned round. Keys are in
// the table and so outlive the process. The TTL is left as it is, as in `l2`.
#include "dataplane/redirect/nat.h"
#include "dataplane/redirect/checksum.h"
#include "dataplane/redirect/crc32c.h"
#include "dataplane/redirect/impl.h"
#include "dataplane/redirect/nat_sctp.h"
#include "dataplane/redirect/sctp_chunks.h"
#include "dataplane/redirect/tcp_sequence.h"
#include "dataplane/redirect/wire.h"

namespace poolgate::redirect {
namespace {

// One direction's new addresses (4 or 16 bytes) and ports (network order).
struct NewFlow {
  uint8_t addresses[32];  // source, then destination, each of the family's size
  uint16_t source_port;
  uint16_t destination_port;
};

void rewrite_addresses(Packet& packet, const NewFlow& to, ChecksumDelta& transport) {
  const size_t n = packet.address_size() * 2;
  uint8_t* at = packet.addresses();
  transport.replace(at, to.addresses, n);
  if (packet.info.flow.family == 4) {
    ChecksumDelta ip;
    ip.replace(at, to.addresses, n);
    uint8_t* header = packet.l3();
    wire::put_raw16(header + 10, ip.apply(wire::raw16(header + 10)));
  }
  std::memcpy(at, to.addresses, n);
}

void put_ports(uint8_t* l4, const NewFlow& to) {
  wire::put_raw16(l4, to.source_port);
  wire::put_raw16(l4 + 2, to.destination_port);
}

// RFC 768, RFC 9293 §3.1, RFC 8200 §8.1: the checksum covers addresses and ports; a UDP checksum of 0 is
// none.
void rewrite_transport(Packet& packet, const NewFlow& to) {
  uint8_t* l4 = packet.l4();
  ChecksumDelta delta;
  rewrite_addresses(packet, to, delta);
  delta.replace16(wire::raw16(l4), to.source_port);
  delta.replace16(wire::raw16(l4 + 2), to.destination_port);
  put_ports(l4, to);
  const bool udp = packet.info.flow.protocol == wire::kUdp;
  uint8_t* checksum = l4 + (udp ? 6 : 16);
  const uint16_t old = wire::raw16(checksum);
  if (udp && old == 0) return;
  const uint16_t now = delta.apply(old);
  wire::put_raw16(checksum, udp && now == 0 ? uint16_t{0xffff} : now);
}

}  // namespace

// The PE's side of the session's own key.
bool Redirector::Impl::nat_begin(Packet& packet, const ServiceEntry& service, SessionIndex i) {
  Session& s = sessions.at(i);
  const pool::PeLine& pe = lines[s.pe];
  const uint8_t family = s.key.family;
  if (pe.family != family) return false;
  const auto add = [&](const uint8_t* client, uint16_t port) {
    s.counterpart = nat_add_key(i, family, {pe.address, client, pe.port, port}, session::kFromPe, i);
    return s.counterpart != session::kNone;
  };
  if (service.settings.snat.empty()) return add(packet.source(), s.key.source_port);

  // Ports of this worker: equal to its number, modulo how many there are. The table itself knows which are in
  // use with this PE. A long run of ports in use is what exhaustion looks like, and is not searched to its
  // end.
  constexpr uint32_t kMaxTries = 512;
  s.flags |= session::kSnat;
  const uint32_t stride = slots.workers();
  const uint32_t first = snat_first + (worker + stride - snat_first % stride) % stride;
  if (first > snat_last) return false;
  const uint32_t ports = (snat_last - first) / stride + 1;
  const bool sctp = s.key.protocol == wire::kSctp;
  const uint8_t second = sctp ? snat_second_family(packet, service, i) : uint8_t{0};
  for (const auto& address : service.settings.snat) {
    if (static_cast<uint8_t>(address.family()) != family) continue;
    random_state = random_state * 1664525 + 1013904223;
    const auto start = static_cast<uint32_t>(uint64_t{random_state} * ports >> 32);
    for (uint32_t tried = 0; tried < ports && tried < kMaxTries; ++tried) {
      const auto port = static_cast<uint16_t>(first + (start + tried) % ports * stride);
      if (sctp && !snat_fits(i, service, address, second, wire::swap16(port))) continue;
      if (add(address.data(), wire::swap16(port))) return true;
      if (sessions.used() >= sessions.capacity()) return false;
    }
  }
  return false;
}

bool Redirector::Impl::nat_rewrite(Packet& packet, SessionIndex i, bool from_pe) {
  const Session& s = sessions.at(i);
  const SessionIndex other = sessions.at(packet.entry).counterpart;
  if (other == session::kNone) {
    drop(packet.mbuf, DropReason::nat_no_session);
    return false;
  }
  const size_t n = packet.address_size();
  const session::FlowKey& key = sessions.at(other).key;
  const uint8_t* addresses = sessions.addresses(other);
  NewFlow to;
  std::memcpy(to.addresses, addresses + n, n);
  std::memcpy(to.addresses + n, addresses, n);
  to.source_port = key.destination_port;
  to.destination_port = key.source_port;
  if (!from_pe && (s.flags & session::kSnat) == 0) {
    // Also of a packet that was found by its tag.
    std::memcpy(to.addresses, packet.source(), n);
    to.source_port = packet.info.flow.source_port;
  }
  if (packet.info.flow.protocol != wire::kSctp) {
    rewrite_transport(packet, to);
    return true;
  }

  if (nat_sctp_has_content(packet.mbuf, packet.info)) {
    AddressMap map;
    nat_map(i, from_pe, map);
    const DropReason refused = nat_sctp_content(packet.mbuf, packet.info, map, packet.partial);
    if (refused != DropReason::none) {
      drop(packet.mbuf, refused);
      return false;
    }
  }
  const bool ports_change = to.source_port != packet.info.flow.source_port ||
                            to.destination_port != packet.info.flow.destination_port;
  if (packet.partial && ports_change) {  // the checksum's change depends on the whole length
    drop(packet.mbuf, DropReason::fragment);
    return false;
  }
  // SCTP's checksum does not cover the IP header: with equal ports nothing more changes (RFC 9260 §6.8).
  ChecksumDelta unused;
  rewrite_addresses(packet, to, unused);
  uint8_t* l4 = packet.l4();
  const uint32_t before = wire::raw32(l4);
  put_ports(l4, to);
  const uint32_t after = wire::raw32(l4);
  if (before != after)
    wire::put_raw32(l4 + 8, sctp_checksum_ports(wire::raw32(l4 + 8), before, after, packet.info.l4_length));
  return true;
}

// What packets to the client need of the session, so that they touch the alias alone. False: they need more
// than that.
bool Redirector::Impl::copy_to_far(Session& alias) {
  const Session& s = sessions.at(alias.session);
  const uint16_t hop = hop_to(alias.counterpart);
  if (s.deaths != lines[s.pe].deaths || s.state != State::established || hop == 0 ||
      alias.counterpart == session::kNone || (s.key.protocol == wire::kSctp && s.tag_c == 0))
    return false;
  const session::FlowKey& key = sessions.at(alias.counterpart).key;
  alias.far_pe = s.pe;
  alias.deaths = s.deaths;
  alias.service = s.service;
  alias.tag_c = s.tag_c;
  alias.client_hop = hop;
  alias.far_source = key.destination;
  alias.far_destination = key.source;
  alias.far_ports = key.destination_port | uint32_t{key.source_port} << 16;
  alias.last_seen_ms = s.last_seen_ms;  // the packet may yet have another tag
  alias.state = State::established;
  return true;
}

// A packet of a PE's that changes nothing of its session's state, in one piece. `alias`: has its key.
// False: nothing was done, ask one().
template <typename Send>
[[gnu::always_inline]] inline bool Redirector::Impl::send_back(rte_mbuf* mbuf, const PacketInfo& info,
                                                               Session& alias, ServiceTally& tally,
                                                               const Send& send) {
  if ((alias.state != State::established || alias.deaths != lines[alias.far_pe].deaths) &&
      !copy_to_far(alias)) [[unlikely]]
    return false;
  pool::PeLine& line = lines[alias.far_pe];
  const ClientHop& hop = hops[alias.client_hop];
  if (hop.vlan_tci != 0 || hop.port_id >= kMaxPorts ||
      info.l4_length + wire::kIpv4Header > port_mtus[hop.port_id]) [[unlikely]]
    return false;
  auto* frame = rte_pktmbuf_mtod(mbuf, uint8_t*);
  const uint8_t* p = frame + kPlainTransport;
  if (info.flow.protocol == wire::kSctp) {
    if (!sctp::changes_nothing(p, info.l4_length) || sctp::verification_tag(p) != alias.tag_c) return false;
  } else if (info.flow.protocol == wire::kTcp) {
    if ((p[13] & (tcp::kFin | tcp::kSyn | tcp::kRst | tcp::kAck)) != tcp::kAck) return false;
  }
  const uint32_t ports = info.flow.source_port | uint32_t{info.flow.destination_port} << 16;
  if ((alias.far_destination == info.flow.destination) & (alias.far_ports == ports) &
      (info.flow.protocol == wire::kSctp))
    rewrite_source(frame, alias.far_source);
  else
    rewrite_plain(frame, info, alias.far_source, alias.far_destination, alias.far_ports);
  alias.last_seen_ms = now_ms;
  add(line.packets, 1);
  add(line.bytes, mbuf->pkt_len);
  if (alias.service != tally.service) settle(tally, alias.service);
  ++tally.packets;
  tally.bytes += mbuf->pkt_len;
  std::memcpy(frame, hop.ether_addresses, 12);
  send(hop.port_id);
  return true;
}

bool Redirector::Impl::nat_back(rte_mbuf* mbuf, const PacketInfo& info, Session& alias, ServiceTally& tally) {
  return send_back(mbuf, info, alias, tally, [&](uint16_t port) { transmit(mbuf, port); });
}

// Such packets, one after the other, in a loop of its own. Returns how many there were before something else.
unsigned Redirector::Impl::nat_back_run(rte_mbuf* const* mbufs, const PacketInfo* infos,
                                        Session* const* candidates, unsigned n, ServiceTally& tally) {
  uint32_t port_id = UINT32_MAX;
  Output::Port* port = nullptr;  // the last that a packet left by
  for (unsigned i = 0; i < n; ++i) {
    Session& s = *candidates[i];
    const auto send = [&](uint16_t to) {
      if (to != port_id) [[unlikely]] {
        port_id = to;
        port = &out->ports[to];
        out->ports_used |= 1u << to;
      }
      port->mbufs[port->n++] = mbufs[i];
    };
    const bool its = is_from_pe(s) & (infos[i].plain != 0) && session::same_key(s.key, infos[i].flow);
    if (!its || !send_back(mbufs[i], infos[i], s, tally, send)) return i;
  }
  return n;
}

}  // namespace poolgate::redirect
