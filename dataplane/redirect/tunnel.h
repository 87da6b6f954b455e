// SPDX-License-Identifier: BSD-3-Clause
// Modes `ipip` and `gue`: the client's packet whole, behind an IP header of ours to the PE, whichever family
// either has. The client's addresses, checksums and TTL stay as they are: the PE answers from the VIP,
// directly.
#pragma once

#include <rte_mbuf.h>

#include <array>

#include "controlplane/rserpool/ip_address.h"
#include "dataplane/pool/pe_slot.h"
#include "dataplane/redirect/packet.h"
#include "dataplane/redirect/wire.h"
#include "dataplane/session/session.h"

namespace poolgate::redirect {

enum class Tunnel : uint8_t { none = 0, ipip = 1, gue = 2 };

inline Tunnel tunnel_of(uint8_t session_flags) {
  static_assert(session::kIpip == 16 * static_cast<int>(Tunnel::ipip) &&
                session::kGue == 16 * static_cast<int>(Tunnel::gue));
  return static_cast<Tunnel>(session_flags >> 4 & 3);
}

// The port that GUE's outer UDP header has by IANA's registry (draft-ietf-intarea-gue §6.1), and Linux's fou
// module expects.
inline constexpr uint16_t kGuePort = 6080;
inline constexpr size_t kGueHeader = 4;

// Bytes in front of the client's IP header.
inline unsigned tunnel_overhead(Tunnel tunnel, uint8_t pe_family) {
  using namespace wire;
  static constexpr uint8_t kBytes[4][2] = {
      {0, 0},
      {kIpv4Header, kIpv6Header},
      {kIpv4Header + kUdpHeader + kGueHeader, kIpv6Header + kUdpHeader + kGueHeader},
      {0, 0}};
  return kBytes[static_cast<unsigned>(tunnel)][pe_family == 6];
}

// Our addresses on a port: the outer source of what leaves there. Unset: none of that family.
struct TunnelSource {
  rserpool::IpAddress v4, v6;
  // IP in IPv4 has no field of its own that tells flows apart: its source is one of these, by the flow. As on
  // the wire; no bits: it is v4.
  uint32_t flow_net = 0, flow_bits = 0;
  bool is_a_flows(uint32_t raw_v4) const { return flow_bits != 0 && (raw_v4 & ~flow_bits) == flow_net; }
};
inline constexpr unsigned kMaxPorts = 32;
using TunnelSources = std::array<TunnelSource, kMaxPorts>;  // by port id

enum class Encapsulated : uint8_t { done, no_headroom, no_source };

namespace tunnel_detail {

// RFC 791 §3.1, RFC 2003 §3.1. TOS is the inner one's: DSCP, and ECN as RFC 6040 §4.1 has it for ingress.
inline void put_ipv4(uint8_t* ip, uint8_t tos, bool dont_fragment, uint16_t id, uint8_t protocol,
                     size_t length, uint32_t source, const uint8_t* to) {
  constexpr uint8_t kTtl = 64;
  const uint32_t version =
      0x45u | uint32_t{tos} << 8 | uint32_t{wire::swap16(static_cast<uint16_t>(length))} << 16;
  const uint32_t fragment = dont_fragment ? uint32_t{0x40} << 16 : uint32_t{id};  // RFC 6864: with DF, ID 0
  const uint32_t rest = kTtl | uint32_t{protocol} << 8;
  const uint32_t destination = wire::raw32(to);
  uint64_t sum = uint64_t{version} + fragment + rest + source + destination;
  sum = (sum & 0xffff) + (sum >> 16 & 0xffff) + (sum >> 32);
  sum = (sum & 0xffff) + (sum >> 16);
  sum = (sum & 0xffff) + (sum >> 16);
  wire::put_raw32(ip, version);
  wire::put_raw32(ip + 4, fragment);
  wire::put_raw32(ip + 8, rest | static_cast<uint32_t>(static_cast<uint16_t>(~sum)) << 16);
  wire::put_raw32(ip + 12, source);
  wire::put_raw32(ip + 16, destination);
}

// RFC 8200 §3, RFC 2473 §3.1; the flow label spreads flows over equal paths (RFC 6438).
inline void put_ipv6(uint8_t* ip, uint8_t traffic_class, uint32_t label, uint8_t protocol, size_t payload,
                     const uint8_t* from, const uint8_t* to) {
  constexpr uint8_t kHopLimit = 64;
  wire::put32(ip, 6u << 28 | uint32_t{traffic_class} << 20 | (label & 0xfffff));
  wire::put16(ip + 4, static_cast<uint16_t>(payload));
  ip[6] = protocol;
  ip[7] = kHopLimit;
  std::memcpy(ip + 8, from, 16);
  std::memcpy(ip + 24, to, 16);
}

// draft-ietf-intarea-gue §3: variant 0, no flags. The outer source port carries the flow's entropy (§5.11);
// the checksum is 0, over IPv6 too (RFC 6935 §5: the inner packet has its own, and GUE is a tunnel).
inline void put_gue(uint8_t* udp, uint32_t hash, uint8_t inner_protocol, size_t length) {
  wire::put16(udp, static_cast<uint16_t>(0xc000 | (hash & 0x3fff)));  // RFC 6335 §6: dynamic ports
  wire::put16(udp + 2, kGuePort);
  wire::put16(udp + 4, static_cast<uint16_t>(length));
  wire::put16(udp + 6, 0);
  wire::put32(udp + 8, uint32_t{inner_protocol} << 16);
}

}  // namespace tunnel_detail

// Puts the outer headers, and Ethernet but for its addresses, in front of the packet; VLAN tags go. The
// caller knows that the next hop's MTU holds it. `next_id`: for outer packets that may be fragmented on their
// way. If it is not done, nothing has changed.
inline Encapsulated encapsulate(rte_mbuf* mbuf, const PacketInfo& info, Tunnel tunnel, const pool::PeLine& pe,
                                const TunnelSource& source, uint16_t& next_id) {
  using namespace wire;
  constexpr uint8_t kIpv4InIp = 4, kIpv6InIp = 41;
  const bool v6 = pe.family == 6;
  const rserpool::IpAddress& from = v6 ? source.v6 : source.v4;
  if (!from.is_set()) [[unlikely]]
    return Encapsulated::no_source;
  const size_t inner_length = static_cast<size_t>(info.l4_offset - info.l3_offset) + info.l4_length;
  const unsigned outer = tunnel_overhead(tunnel, pe.family);
  const unsigned padding = mbuf->pkt_len - info.l3_offset - static_cast<unsigned>(inner_length);
  auto* frame = reinterpret_cast<uint8_t*>(
      rte_pktmbuf_prepend(mbuf, static_cast<uint16_t>(kEtherHeader + outer - info.l3_offset)));
  if (frame == nullptr) [[unlikely]]
    return Encapsulated::no_headroom;
  // Short frames are filled up by Ethernet; what stays is harmless if the last segment is shorter than that.
  if (padding != 0 && padding <= rte_pktmbuf_lastseg(mbuf)->data_len)
    rte_pktmbuf_trim(mbuf, static_cast<uint16_t>(padding));

  uint8_t* ip = frame + kEtherHeader;
  const uint8_t* inner = ip + outer;
  const bool inner_v6 = info.flow.family == 6;
  const auto tos = static_cast<uint8_t>(inner_v6 ? get16(inner) >> 4 : inner[1]);
  const bool fragments = !inner_v6 && (inner[6] & 0x40) == 0;
  const uint8_t inner_protocol = inner_v6 ? kIpv6InIp : kIpv4InIp;
  const uint8_t protocol = tunnel == Tunnel::gue ? kUdp : inner_protocol;
  size_t header;
  if (v6) {
    header = kIpv6Header;
    put16(frame + 12, kEtherIpv6);
    tunnel_detail::put_ipv6(ip, tos, info.hash, protocol, outer - header + inner_length, from.data(),
                            pe.address);
  } else {
    header = kIpv4Header;
    put16(frame + 12, kEtherIpv4);
    const bool by_flow = tunnel == Tunnel::ipip && source.flow_bits != 0;
    tunnel_detail::put_ipv4(
        ip, tos, !fragments, fragments ? ++next_id : uint16_t{0}, protocol, outer + inner_length,
        by_flow ? source.flow_net | (info.hash & source.flow_bits) : raw32(from.data()), pe.address);
  }
  if (tunnel == Tunnel::gue)
    tunnel_detail::put_gue(ip + header, info.hash, inner_protocol, outer - header + inner_length);
  return Encapsulated::done;
}

}  // namespace poolgate::redirect
