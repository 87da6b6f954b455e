// SPDX-License-Identifier: BSD-3-Clause
// The 802.1Q tag of a port whose traffic is all of one VLAN: off before anything looks at a packet, on when
// it leaves. Between, frames are untagged; the port's TAP is the VLAN's device.
#pragma once

#include <cstdint>

#include "dataplane/redirect/drop_reasons.h"

struct rte_mbuf;

namespace poolgate::worker {

// `vlan`: 1..4094. Whether the device has taken the tag off (mbuf::vlan_tci) or left it in the frame. Packets
// of other VLANs, of none, and with tag 0 (priority only) are freed and counted. Returns how many stay, in
// order, at the front of `packets`.
unsigned take_vlan_off(uint16_t vlan, rte_mbuf** packets, unsigned n, redirect::DropCounters& drops);

// `by_device`: the device puts it into the frame. Returns how many stay, as above: fewer only if a packet has
// no room for it.
unsigned put_vlan_on(uint16_t vlan, bool by_device, rte_mbuf** packets, unsigned n,
                     redirect::DropCounters& drops);

}  // namespace poolgate::worker
