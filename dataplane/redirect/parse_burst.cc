// SPDX-License-Identifier: BSD-3-Clause
#include <rte_mbuf.h>
#include <rte_prefetch.h>

#include "dataplane/redirect/packet.h"

#include "dataplane/redirect/wire.h"

namespace poolgate::redirect {
namespace {

// An untagged IPv4 packet without options or fragments, all its headers in reach: what nearly every packet
// is. The same checks as parse()'s (RFC 791 §3.1, RFC 9260 §3.1, RFC 9293 §3.1, RFC 768), in one piece.
// False: ask parse().
bool parse_plain(const rte_mbuf* m, PacketInfo& info) {
  using namespace wire;
  constexpr size_t kIp = kEtherHeader, kTransport = kPlainTransport;
  if (m->data_len < kTransport + kTcpHeader) return false;
  const auto* p = rte_pktmbuf_mtod(m, const uint8_t*);
  const size_t total = get16(p + kIp + 2);
  const uint16_t type = raw16(p + 12), fragment = raw16(p + kIp + 6) & swap16(0x3fff);
  const bool plain = (type == swap16(kEtherIpv4)) & (p[kIp] == 0x45) & (fragment == 0) & (p[kIp + 8] != 0) &
                     (total >= kIpv4Header + kTcpHeader) & (total <= m->pkt_len - kIp);
  if (!plain) return false;
  const size_t length = total - kIpv4Header;
  const uint8_t protocol = p[kIp + 9];
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
  const uint64_t addresses = raw64(p + kIp + 12);
  const uint64_t rest = raw32(t) | uint64_t{protocol} << 32 | uint64_t{4} << 40;
  std::memcpy(&info.flow.source, &addresses, 8);
  std::memcpy(&info.flow.source_port, &rest, 8);
  info.hash = 0;
  info.l3_offset = kIp;
  info.l4_offset = kTransport;
  info.l4_length = static_cast<uint16_t>(length);
  info.kind = PacketKind::l4;
  info.drop = DropReason::none;
  info.vlan_tci = 0;
  info.plain = 1;
  info.reserved = 0;
  return true;
}

}  // namespace

void parse_burst(rte_mbuf* const* mbufs, PacketInfo* infos, unsigned n) {
  for (unsigned i = 0; i < n; ++i) rte_prefetch0(rte_pktmbuf_mtod(mbufs[i], const void*));
  for (unsigned i = 0; i < n; ++i) {
    rte_mbuf* m = mbufs[i];
    PacketInfo& info = infos[i];
    if (!parse_plain(m, info) && !parse(rte_pktmbuf_mtod(m, const uint8_t*), m->data_len, m->pkt_len, info))
        [[unlikely]] {
      if (rte_pktmbuf_linearize(m) != 0 ||
          !parse(rte_pktmbuf_mtod(m, const uint8_t*), m->data_len, m->pkt_len, info)) {
        info.kind = PacketKind::bad;
        info.drop = DropReason::header_split;
      }
    }
    if (m->ol_flags & (RTE_MBUF_F_RX_VLAN_STRIPPED | RTE_MBUF_F_RX_IP_CKSUM_MASK)) [[unlikely]] {
      if (m->ol_flags & RTE_MBUF_F_RX_VLAN_STRIPPED) info.vlan_tci = m->vlan_tci;
      if ((m->ol_flags & RTE_MBUF_F_RX_IP_CKSUM_MASK) == RTE_MBUF_F_RX_IP_CKSUM_BAD) {
        info.kind = PacketKind::bad;
        info.drop = DropReason::checksum;
      }
    }
  }
}

}  // namespace poolgate::redirect
