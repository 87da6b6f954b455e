// SPDX-License-Identifier: BSD-3-Clause
// The last step: link-layer addresses and the port.
#include <cstring>

#include "dataplane/redirect/impl.h"
#include "dataplane/redirect/wire.h"

namespace poolgate::redirect {

using drivers::NextHop;

// `l2` ends here: the frame gets other MAC addresses, and nothing of it changes but that (nor does the TTL:
// the client's packet is on the wire that it would have been on, had the PE had the VIP alone).
void Redirector::Impl::to_pe(Packet& packet, const pool::PeLine& to, uint8_t flags) {
  rte_mbuf* const mbuf = packet.mbuf;
  const pool::PeLine& pe = outer_line(to, flags);
  const drivers::NextHopIndex index = next_hop_of(pe, flags);
  if (index >= max_next_hops) [[unlikely]]
    return drop(mbuf, DropReason::no_next_hop);
  const NextHop& hop = next_hops[index];
  const uint32_t state = hop.state.load(std::memory_order_acquire);
  if (state != NextHop::resolved && state != NextHop::incomplete)
    return drop(mbuf,
                state == NextHop::unreachable ? DropReason::next_hop_unreachable : DropReason::no_next_hop);
  if (hop.port_id >= kMaxPorts) [[unlikely]]
    return drop(mbuf, DropReason::no_next_hop);
  const Tunnel tunnel = tunnel_of(flags);
  if (const unsigned outer = tunnel_overhead(tunnel, pe.family); packet.ip_length() + outer > hop.mtu)
      [[unlikely]]
    return in_pieces(packet, hop.mtu > outer ? hop.mtu - outer : 0,
                     [&](Packet& piece) { to_pe(piece, to, flags); });
  sent_to = static_cast<pool::PeSlotIndex>(&to - lines);
  sent_as = flags;
  if (tunnel != Tunnel::none) {
    switch (encapsulate(mbuf, packet.info, tunnel, pe, tunnel_sources[hop.port_id], outer_id)) {
      case Encapsulated::done:
        break;
      case Encapsulated::no_headroom:
        return drop(mbuf, DropReason::tunnel_headroom);
      case Encapsulated::no_source:
        return drop(mbuf, DropReason::tunnel_source);
    }
  }
  if (state == NextHop::incomplete) {
    out->held[out->n_held++] = {mbuf, index};
    return;
  }
  std::memcpy(rte_pktmbuf_mtod(mbuf, uint8_t*), hop.ether_addresses, 12);
  transmit(mbuf, hop.port_id);
}

namespace {

// The frame with the tag that the client's VLAN has, or with none (IEEE 802.1Q). False: no room.
bool set_vlan(rte_mbuf* mbuf, bool tagged, uint16_t tci) {
  uint8_t* frame = rte_pktmbuf_mtod(mbuf, uint8_t*);
  if (tagged && tci == 0) {
    std::memmove(frame + wire::kVlanTag, frame, 12);
    return rte_pktmbuf_adj(mbuf, wire::kVlanTag) != nullptr;
  }
  if (!tagged && tci != 0) {
    auto* front = reinterpret_cast<uint8_t*>(rte_pktmbuf_prepend(mbuf, wire::kVlanTag));
    if (front == nullptr) return false;
    std::memmove(front, frame, 12);
    frame = front;
    wire::put16(frame + 12, wire::kEtherVlan);
  }
  if (tci != 0) wire::put16(frame + 14, tci);
  return true;
}

}  // namespace

// `nat`: a PE's packet goes back the way that the client's came.
void Redirector::Impl::to_client(Packet& packet, uint16_t client_hop) {
  const ClientHop& hop = hops[client_hop];
  if (client_hop == 0 || hop.port_id >= kMaxPorts) return drop(packet.mbuf, DropReason::no_next_hop);
  if (unsigned mtu = 0; packet.ip_length() > port_mtus[hop.port_id]) [[unlikely]] {
    if (!fits_back(packet, client_hop, mtu)) return drop(packet.mbuf, DropReason::too_big);
    return in_pieces(packet, mtu, [&](Packet& piece) { to_client(piece, client_hop); });
  }
  const bool tagged = packet.info.l3_offset > wire::kEtherHeader;
  if (tagged || hop.vlan_tci != 0) {
    if (!set_vlan(packet.mbuf, tagged, hop.vlan_tci)) return drop(packet.mbuf, DropReason::no_mbuf);
  }
  std::memcpy(packet.frame(), hop.ether_addresses, 12);
  transmit(packet.mbuf, hop.port_id);
}

}  // namespace poolgate::redirect
