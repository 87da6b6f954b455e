// SPDX-License-Identifier: BSD-3-Clause
#include "dataplane/capture/port_tap.h"

#include <rte_cycles.h>
#include <rte_errno.h>
#include <rte_ethdev.h>
#include <rte_ether.h>
#include <rte_malloc.h>
#include <rte_mbuf.h>

#include <algorithm>
#include <cstring>

namespace poolgate::capture {
namespace {

constexpr uint32_t kAddresses = 2 * RTE_ETHER_ADDR_LEN;

// The first `n` bytes of a packet, from `offset` on, of however many segments.
void copy(const rte_mbuf* packet, uint32_t offset, uint32_t n, uint8_t* to) {
  const void* bytes = rte_pktmbuf_read(packet, offset, n, to);
  if (bytes != nullptr && bytes != to) std::memcpy(to, bytes, n);
}

// A tag that the device took off, or is to put on, is where it is on the wire (IEEE 802.1Q).
void keep(FrameRing& ring, const rte_mbuf* packet, bool tagged, uint64_t tsc) {
  uint8_t* to = ring.room();
  if (to == nullptr) return;
  const uint32_t length = rte_pktmbuf_pkt_len(packet);
  if (!tagged || length < kAddresses || ring.snap() < kAddresses + RTE_VLAN_HLEN) {
    const uint32_t n = std::min(length, ring.snap());
    copy(packet, 0, n, to);
    return ring.push({tsc, length, n});
  }
  const uint8_t tag[RTE_VLAN_HLEN] = {0x81, 0x00, static_cast<uint8_t>(packet->vlan_tci >> 8),
                                      static_cast<uint8_t>(packet->vlan_tci)};
  copy(packet, 0, kAddresses, to);
  std::memcpy(to + kAddresses, tag, sizeof tag);
  const uint32_t rest = std::min(length - kAddresses, ring.snap() - kAddresses - RTE_VLAN_HLEN);
  copy(packet, kAddresses, rest, to + kAddresses + RTE_VLAN_HLEN);
  ring.push({tsc, length + RTE_VLAN_HLEN, kAddresses + RTE_VLAN_HLEN + rest});
}

uint16_t on_received(uint16_t, uint16_t, rte_mbuf** packets, uint16_t n, uint16_t, void* ring) {
  const uint64_t tsc = rte_rdtsc();
  for (uint16_t i = 0; i < n; ++i)
    keep(*static_cast<FrameRing*>(ring), packets[i],
         (packets[i]->ol_flags & RTE_MBUF_F_RX_VLAN_STRIPPED) != 0, tsc);
  return n;
}

uint16_t on_sent(uint16_t, uint16_t, rte_mbuf** packets, uint16_t n, void* ring) {
  const uint64_t tsc = rte_rdtsc();
  for (uint16_t i = 0; i < n; ++i)
    keep(*static_cast<FrameRing*>(ring), packets[i], (packets[i]->ol_flags & RTE_MBUF_F_TX_VLAN) != 0, tsc);
  return n;
}

}  // namespace

PortTap::PortTap(const TapSettings& settings) : settings_(settings) {
  for (uint16_t q = 0; q < settings.rx_queues; ++q)
    queues_.push_back(std::make_unique<Queue>(Direction::received, q, settings));
  for (uint16_t q = 0; q < settings.tx_queues; ++q)
    queues_.push_back(std::make_unique<Queue>(Direction::sent, q, settings));
}

PortTap::~PortTap() {
  close();
  for (const auto& queue : queues_) rte_free(const_cast<rte_eth_rxtx_callback*>(queue->callback));
}

Result<bool> PortTap::listen() {
  for (const auto& queue : queues_) {
    const bool received = queue->direction == Direction::received;
    queue->callback =
        received ? rte_eth_add_rx_callback(settings_.port_id, queue->number, on_received, &queue->ring)
                 : rte_eth_add_tx_callback(settings_.port_id, queue->number, on_sent, &queue->ring);
    if (queue->callback == nullptr)
      return Error{std::string(received ? "receive" : "transmit") + " queue " +
                   std::to_string(queue->number) + " cannot be listened to: " + rte_strerror(rte_errno)};
    queue->listened = true;
  }
  return true;
}

void PortTap::close() {
  for (const auto& queue : queues_) {
    if (!queue->listened) continue;
    queue->listened = false;
    if (queue->direction == Direction::received)
      rte_eth_remove_rx_callback(settings_.port_id, queue->number, queue->callback);
    else
      rte_eth_remove_tx_callback(settings_.port_id, queue->number, queue->callback);
  }
}

bool PortTap::next(uint64_t until, Frame& frame) {
  if (given_ != nullptr) given_->pop();
  given_ = nullptr;
  for (const auto& queue : queues_) {
    FrameHeader header;
    const uint8_t* bytes = nullptr;
    if (!queue->ring.front(header, bytes) || header.tsc >= until) continue;
    until = header.tsc;
    given_ = &queue->ring;
    frame = {header, queue->direction, bytes};
  }
  return given_ != nullptr;
}

uint64_t PortTap::dropped() const {
  uint64_t n = 0;
  for (const auto& queue : queues_) n += queue->ring.dropped();
  return n;
}

}  // namespace poolgate::capture
