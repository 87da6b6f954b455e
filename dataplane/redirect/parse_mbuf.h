// SPDX-License-Identifier: BSD-3-Clause
// The parser over mbufs, in line for the stages that read whole bursts.
#pragma once

#include <rte_mbuf.h>

#include "dataplane/redirect/packet.h"
#include "dataplane/redirect/wire.h"

namespace poolgate::redirect {

// An untagged IPv4 packet without options or fragments, all its headers in reach: what nearly every packet
// is. The same checks as parse()'s (RFC 791 §3.1, RFC 9260 §3.1, RFC 9293 §3.1, RFC 768), in one piece.
// False: ask parse().
inline bool parse_plain(const rte_mbuf* m, PacketInfo& info) {
  using namespace wire;
  constexpr size_t kIp = kEtherHeader, kTransport = kPlainTransport;
  if (m->data_len < kTransport + kTcpHeader) return false;
  const auto* p = rte_pktmbuf_mtod(m, const uint8_t*);
  // Ether type, version and header length; then fragment, TTL and protocol: a word each.
  const uint32_t head = raw32(p + 12), middle = raw32(p + kIp + 6);
  const size_t total = get32(p + kIp) & 0xffff;
  if ((head & swap32(0xffffff00)) != swap32(uint32_t{kEtherIpv4} << 16 | 0x4500)) return false;
  if ((middle & swap32(0x3fff0000)) != 0 || (middle & swap32(0xff00)) == 0) return false;
  if (total < kIpv4Header + kTcpHeader || total > m->pkt_len - kIp) return false;
  const size_t length = total - kIpv4Header;
  const uint8_t protocol = static_cast<uint8_t>(middle >> 24);
  const uint8_t* t = p + kTransport;
  if (protocol == kUdp) {
    const size_t udp = get16(t + 4);
    if (udp < kUdpHeader || udp > length) return false;
  } else if (protocol == kTcp) {
    const size_t header = (t[12] >> 4) * 4u;
    if (header < kTcpHeader || header > length) return false;
  } else if (protocol != kSctp) {
    return false;
  }
  // Written by words, as the next stage reads it.
  static_assert(offsetof(PacketInfo, l3_offset) == 20 && offsetof(PacketInfo, l4_offset) == 22 &&
                offsetof(PacketInfo, l4_length) == 24 && offsetof(PacketInfo, kind) == 26 &&
                offsetof(PacketInfo, plain) == 30);
  const uint64_t addresses = raw64(p + kIp + 12);
  const uint64_t rest = raw32(t) | uint64_t{protocol} << 32 | uint64_t{4} << 40;
  const uint32_t offsets = kIp | kTransport << 16;
  const uint64_t last = length | uint64_t{static_cast<uint8_t>(PacketKind::l4)} << 16 |
                        uint64_t{static_cast<uint8_t>(DropReason::none)} << 24 | uint64_t{1} << 48;
  std::memcpy(&info.flow.source, &addresses, 8);
  std::memcpy(&info.flow.source_port, &rest, 8);
  std::memcpy(&info.l3_offset, &offsets, 4);
  std::memcpy(&info.l4_length, &last, 8);
  return true;
}

// What parse_plain() leaves: parse(), after joining segments where headers are split.
void parse_whole(rte_mbuf* m, PacketInfo& info);
// What the device says of tags and checksums.
void note_device(const rte_mbuf* m, PacketInfo& info);

// Returns info.plain.
inline bool parse_mbuf(rte_mbuf* m, PacketInfo& info) {
  const bool plain = parse_plain(m, info);
  if (!plain) [[unlikely]]
    parse_whole(m, info);
  if (m->ol_flags & (RTE_MBUF_F_RX_VLAN_STRIPPED | RTE_MBUF_F_RX_IP_CKSUM_MASK)) [[unlikely]] {
    note_device(m, info);
    return info.plain != 0;
  }
  return plain;
}

}  // namespace poolgate::redirect
