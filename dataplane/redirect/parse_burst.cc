// SPDX-License-Identifier: BSD-3-Clause
#include <rte_prefetch.h>

#include "dataplane/redirect/parse_mbuf.h"

namespace poolgate::redirect {

void parse_slowly(rte_mbuf* m, PacketInfo& info) {
  if (!parse_plain(m, info) && !parse(rte_pktmbuf_mtod(m, const uint8_t*), m->data_len, m->pkt_len, info)) {
    if (rte_pktmbuf_linearize(m) != 0 ||
        !parse(rte_pktmbuf_mtod(m, const uint8_t*), m->data_len, m->pkt_len, info)) {
      info.kind = PacketKind::bad;
      info.drop = DropReason::header_split;
    }
  }
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
