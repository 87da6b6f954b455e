// SPDX-License-Identifier: BSD-3-Clause
// ICMP and ICMPv6 errors about packets of our sessions (RFC 792, RFC 4443 §2.4, RFC 9260 §10). What a PE sent
// to a client came from the VIP, so the error comes to the VIP: it follows the session to the PE. In `nat` an
// error about a client's packet on its way to the PE follows it to the client. There the addresses and ports
// of the quoted packet become those that its sender knows (RFC 5508 §4.2). All other ICMP is the kernel's:
// echo requests to a VIP, too.
#include <algorithm>

#include "dataplane/redirect/checksum.h"
#include "dataplane/redirect/impl.h"
#include "dataplane/redirect/ip6_extensions.h"
#include "dataplane/redirect/wire.h"

namespace poolgate::redirect {
namespace {

using namespace wire;

constexpr size_t kIcmpHeader = 8;
constexpr unsigned kMinIpv6Mtu = 1280;  // RFC 8200 §5

// Unreachable, time exceeded, parameter problem; of ICMPv6 Packet Too Big, too. Not redirects: they are
// between neighbours.
bool is_error(uint8_t family, uint8_t type) {
  return family == 6 ? type >= 1 && type <= 4 : type == 3 || type == 11 || type == 12;
}

// The packet that an error quotes.
struct Quote {
  uint8_t* addresses = nullptr;  // source, destination
  uint8_t* l4 = nullptr;
  size_t l4_length = 0;  // as much as is quoted, at least the ports
  uint8_t protocol = 0;
};

bool parse_quote(uint8_t* p, size_t length, uint8_t family, Quote& quote) {
  size_t at;
  if (family == 4) {
    if (length < kIpv4Header || p[0] >> 4 != 4) return false;
    at = (p[0] & 0xf) * 4u;
    if (at < kIpv4Header || (get16(p + 6) & 0x1fff) != 0) return false;
    quote.protocol = p[9];
    quote.addresses = p + 12;
  } else {
    if (length < kIpv6Header || p[0] >> 4 != 6) return false;
    at = kIpv6Header;
    quote.protocol = p[6];
    quote.addresses = p + 8;
    if (!ip6_extensions::skip(p, length, at, quote.protocol)) return false;
  }
  if (quote.protocol != kSctp && quote.protocol != kTcp && quote.protocol != kUdp) return false;
  if (length < at + 4) return false;
  quote.l4 = p + at;
  quote.l4_length = length - at;
  return true;
}

uint16_t icmp_checksum(const Packet& packet) {
  return redirect::icmp_checksum(packet.info.flow.family, packet.addresses(), packet.l4(),
                                 packet.info.l4_length);
}

}  // namespace

// True: the packet is dealt with.
bool Redirector::Impl::icmp_error(Packet& packet) {
  const PacketInfo& info = packet.info;
  const uint8_t family = info.flow.family;
  if (!is_error(family, packet.l4()[0])) return false;
  if (packet.mbuf->nb_segs > 1 && rte_pktmbuf_linearize(packet.mbuf) != 0) return false;
  if (packet.l4_readable() < kIcmpHeader) return false;
  Quote quote;
  const size_t quoted = packet.l4_readable() - kIcmpHeader;
  tunnel_error(packet, packet.l4() + kIcmpHeader, quoted);
  if (tunnel_too_big(packet, packet.l4() + kIcmpHeader, quoted)) return true;
  if (!parse_quote(packet.l4() + kIcmpHeader, quoted, family, quote)) return false;
  // An error goes to whom the packet came from.
  const size_t n = packet.address_size();
  if (std::memcmp(packet.destination(), quote.addresses, n) != 0) return false;

  // The quoted packet's opposite is the key of what its receiver sends.
  session::FlowKey key;
  key.family = family;
  key.protocol = quote.protocol;
  key.source_port = raw16(quote.l4 + 2);
  key.destination_port = raw16(quote.l4);
  uint8_t both[32] = {};
  std::memcpy(both, quote.addresses + n, n);
  std::memcpy(both + n, quote.addresses, n);
  session::set_addresses(key, both, sessions.secret());
  packet.entry = sessions.find(key, session::hash_flow(key, sessions.secret()), both);
  if (packet.entry != session::kNone && (sessions.at(packet.entry).flags & session::kRemote) != 0) {
    give(packet, sessions.at(packet.entry).owner, Stage::to_owner);
    return true;
  }
  if (packet.entry == session::kNone) {
    PacketInfo about = info;
    about.flow.protocol = quote.protocol;
    about.flow.destination_port = key.destination_port;
    about.kind = PacketKind::l4;
    const Classified to = services->classify(packet.frame(), about);
    if (others != nullptr && icmp_elsewhere(packet, key, both, to.destination)) return true;
    if (to.is_kernels() || to.destination == Destination::endpoint) return false;
    drop(packet.mbuf, DropReason::icmp_no_session);
    return true;
  }
  const SessionIndex i = sessions.session_of(packet.entry);
  const Session& s = sessions.at(i);
  const bool to_client_side = (sessions.at(packet.entry).flags & session::kFromPe) != 0;
  if (to_client_side && is_unreachable(family, packet.l4()[0], packet.l4()[1]))
    suspect({Suspicion::Why::unreachable, s.key.protocol, packet.l4()[1], 0, s.pe, {}});
  if (!may_send_icmp_error()) {
    rte_pktmbuf_free(packet.mbuf);
    return true;
  }
  if ((s.flags & session::kNat) != 0 && !icmp_rewrite(packet, quote.addresses, quote.l4, quote.l4_length))
    return true;
  if (to_client_side) {
    to_client(packet, hop_to(sessions.at(packet.entry).counterpart));
    return true;
  }
  unsigned mtu;
  const pool::PeLine& line = lines[way_of(packet.entry)];
  if (!fits(packet, line, s.flags, mtu)) {  // and no error about an error
    drop(packet.mbuf, DropReason::too_big);
    return true;
  }
  to_pe(packet, line, s.flags);
  return true;
}

// Fragmentation Needed or Packet Too Big about an outer header of ours: a link behind our next hop carries
// less than that does. The client whose packet lies in it is told what fits (RFC 2003 §5.1, RFC 2473 §7.1),
// or would send in vain for ever. True: the packet is dealt with.
bool Redirector::Impl::tunnel_too_big(Packet& packet, uint8_t* quoted, size_t length) {
  const uint8_t* icmp = packet.l4();
  const bool v6 = packet.info.flow.family == 6;
  if (v6 ? icmp[0] != 2 : icmp[0] != 3 || icmp[1] != 4) return false;
  const size_t outer = outer_headers(packet, quoted, length);
  if (outer == 0 || outer >= length) return false;
  uint8_t* inner = quoted + outer;
  const uint8_t family = inner[0] >> 4;
  Quote quote;
  if ((family != 4 && family != 6) || !parse_quote(inner, length - outer, family, quote)) return false;

  session::FlowKey key;  // as the client has sent it
  key.family = family;
  key.protocol = quote.protocol;
  key.source_port = raw16(quote.l4);
  key.destination_port = raw16(quote.l4 + 2);
  session::set_addresses(key, quote.addresses, sessions.secret());
  packet.entry = sessions.find(key, session::hash_flow(key, sessions.secret()), quote.addresses);
  if (packet.entry == session::kNone)
    return others != nullptr && icmp_elsewhere(packet, key, quote.addresses, Destination::service);
  if ((sessions.at(packet.entry).flags & session::kRemote) != 0) {
    give(packet, sessions.at(packet.entry).owner, Stage::to_owner);
    return true;
  }
  const Session& s = sessions.at(sessions.session_of(packet.entry));
  const pool::PeLine& pe = outer_line(lines[way_of(packet.entry)], s.flags);
  const drivers::NextHopIndex index = next_hop_of(pe, s.flags);
  if (tunnel_overhead(tunnel_of(s.flags), pe.family) != outer || index >= max_next_hops ||
      !has_address(pe, packet.info.flow.family, quoted + (v6 ? 24 : 16)))
    return false;
  constexpr uint32_t kLeast = 68;  // RFC 791 §3.2
  const uint32_t mtu = v6 ? get32(icmp + 4) : get16(icmp + 6);
  if (mtu < outer + kLeast || mtu >= next_hops[index].mtu) return false;
  if (icmp_checksum(packet) != 0) {
    drop(packet.mbuf, DropReason::checksum);
    return true;
  }
  drops.add(DropReason::too_big);  // by the router
  if (const uint16_t hop = hop_to(packet.entry); hop != 0 && may_send_icmp_error()) {
    const size_t n = family == 6 ? 16 : 4;
    ReplyPath path;
    path.hop = hops[hop];
    path.family = family;
    std::memcpy(path.to, quote.addresses, n);
    std::memcpy(path.from, quote.addresses + n, n);
    uint8_t frame[kMaxReply];
    const auto fits = static_cast<unsigned>(mtu - outer);
    send_reply(
        frame,
        build_too_big(frame, path, family == 6 ? std::max(fits, kMinIpv6Mtu) : fits, inner, length - outer),
        path.hop.port_id);
  }
  rte_pktmbuf_free(packet.mbuf);
  return true;
}

// `nat`: the error's destination and the quoted packet become what its sender knows. Checksums inside the
// quote follow as far as they are quoted; SCTP's would need all of the packet, and nobody looks at it
// (RFC 9260 §10). False: dropped.
bool Redirector::Impl::icmp_rewrite(Packet& packet, uint8_t* quoted, uint8_t* l4, size_t l4_length) {
  const SessionIndex other = sessions.at(packet.entry).counterpart;
  if (other == session::kNone || icmp_checksum(packet) != 0) {
    drop(packet.mbuf, other == session::kNone ? DropReason::icmp_no_session : DropReason::checksum);
    return false;
  }
  // The counterpart's key is what the quoted packet's sender sent, before we rewrote it.
  const uint8_t* sent = sessions.addresses(other);
  const session::FlowKey& key = sessions.at(other).key;
  const size_t n = packet.address_size();
  const bool v4 = packet.info.flow.family == 4;
  ChecksumDelta delta, outer;
  delta.replace(quoted, sent, 2 * n);
  if (v4) {
    uint8_t* header = quoted - 12;
    put_raw16(header + 10, delta.apply(raw16(header + 10)));
    outer.replace(packet.addresses() + n, sent, n);
    put_raw16(packet.l3() + 10, outer.apply(raw16(packet.l3() + 10)));
  }
  delta.replace16(raw16(l4), key.source_port);
  delta.replace16(raw16(l4 + 2), key.destination_port);
  const bool udp = key.protocol == kUdp;
  const size_t at = udp ? 6 : 16;
  if (key.protocol != kSctp && l4_length >= at + 2 && !(udp && raw16(l4 + at) == 0))
    put_raw16(l4 + at, delta.apply(raw16(l4 + at)));
  std::memcpy(quoted, sent, 2 * n);
  put_raw16(l4, key.source_port);
  put_raw16(l4 + 2, key.destination_port);
  std::memcpy(packet.addresses() + n, sent, n);
  put_raw16(packet.l4() + 2, 0);
  put_raw16(packet.l4() + 2, icmp_checksum(packet));
  return true;
}

}  // namespace poolgate::redirect
