// SPDX-License-Identifier: BSD-3-Clause
#include <rte_prefetch.h>

#include "dataplane/redirect/parse_mbuf.h"

namespace poolgate::redirect {

void parse_whole(rte_mbuf* m, PacketInfo& info) {
  const auto parsed = [&] {
    return parse(rte_pktmbuf_mtod(m, const uint8_t*), m->data_len, m->pkt_len, info);
  };
  if (parsed() || (rte_pktmbuf_linearize(m) == 0 && parsed())) return;
  info.kind = PacketKind::bad;
  info.drop = DropReason::header_split;
}

void note_device(const rte_mbuf* m, PacketInfo& info) {
  if (m->ol_flags & RTE_MBUF_F_RX_VLAN_STRIPPED) info.vlan_tci = m->vlan_tci;
  if ((m->ol_flags & RTE_MBUF_F_RX_IP_CKSUM_MASK) == RTE_MBUF_F_RX_IP_CKSUM_BAD) {
    info.kind = PacketKind::bad;
    info.drop = DropReason::checksum;
    info.plain = 0;
  }
}

void parse_burst(rte_mbuf* const* mbufs, PacketInfo* infos, unsigned n) {
  for (unsigned i = 0; i < n; ++i) rte_prefetch0(rte_pktmbuf_mtod(mbufs[i], const void*));
  for (unsigned i = 0; i < n; ++i) parse_mbuf(mbufs[i], infos[i]);
}

}  // namespace poolgate::redirect
