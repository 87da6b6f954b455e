// SPDX-License-Identifier: BSD-3-Clause
#include <rte_mbuf.h>
#include <rte_prefetch.h>

#include "dataplane/redirect/packet.h"

namespace poolgate::redirect {

void parse_burst(rte_mbuf* const* mbufs, PacketInfo* infos, unsigned n) {
  for (unsigned i = 0; i < n; ++i) rte_prefetch0(rte_pktmbuf_mtod(mbufs[i], const void*));
  for (unsigned i = 0; i < n; ++i) {
    rte_mbuf* m = mbufs[i];
    PacketInfo& info = infos[i];
    if (!parse(rte_pktmbuf_mtod(m, const uint8_t*), m->data_len, m->pkt_len, info)) [[unlikely]] {
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
