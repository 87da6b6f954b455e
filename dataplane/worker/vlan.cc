// SPDX-License-Identifier: BSD-3-Clause
#include "dataplane/worker/vlan.h"

#include <rte_ether.h>
#include <rte_mbuf.h>

namespace poolgate::worker {
namespace {

using redirect::DropReason;

constexpr uint16_t kVid = 0xfff;

}  // namespace

// IEEE 802.1Q §9.6: the VID is the tag's low 12 bits.
unsigned take_vlan_off(uint16_t vlan, rte_mbuf** packets, unsigned n, redirect::DropCounters& drops) {
  unsigned kept = 0;
  for (unsigned i = 0; i < n; ++i) {
    rte_mbuf* const m = packets[i];
    // rte_vlan_strip() sets the flag and vlan_tci as a device does.
    const bool tagged =
        (m->ol_flags & RTE_MBUF_F_RX_VLAN_STRIPPED) != 0 ||
        (m->data_len >= sizeof(rte_ether_hdr) + sizeof(rte_vlan_hdr) && rte_vlan_strip(m) == 0);
    if (!tagged || (m->vlan_tci & kVid) != vlan) [[unlikely]] {
      drops.add(DropReason::vlan_other);
      rte_pktmbuf_free(m);
      continue;
    }
    m->ol_flags &= ~(RTE_MBUF_F_RX_VLAN | RTE_MBUF_F_RX_VLAN_STRIPPED);
    m->vlan_tci = 0;
    packets[kept++] = m;
  }
  return kept;
}

unsigned put_vlan_on(uint16_t vlan, bool by_device, rte_mbuf** packets, unsigned n,
                     redirect::DropCounters& drops) {
  unsigned kept = 0;
  for (unsigned i = 0; i < n; ++i) {
    rte_mbuf* m = packets[i];
    m->vlan_tci = vlan;
    if (by_device) {
      m->ol_flags |= RTE_MBUF_F_TX_VLAN;
    } else if (rte_vlan_insert(&m) != 0) [[unlikely]] {
      drops.add(DropReason::vlan_headroom);
      rte_pktmbuf_free(m);
      continue;
    }
    packets[kept++] = m;
  }
  return kept;
}

}  // namespace poolgate::worker
