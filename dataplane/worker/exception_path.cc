// SPDX-License-Identifier: BSD-3-Clause
#include "dataplane/worker/exception_path.h"

#include <rte_ether.h>
#include <spdlog/spdlog.h>

#include <cstring>

#include "dataplane/worker/ip_frame.h"

namespace poolgate::worker {
namespace {

using drivers::kNoNextHop;
using drivers::NextHop;
using drivers::NextHopIndex;
using redirect::DropReason;

constexpr unsigned kShare = 256;          // packets of one ring, or of one TAP, at a time
constexpr uint64_t kSayAgainMs = 10'000;  // a program that does not give in fills no log

}  // namespace

ExceptionPath::ExceptionPath(std::vector<Twin> twins, rte_mempool* pool, drivers::Neighbours* neighbours,
                             std::vector<Worker*> workers)
    : twins_(std::move(twins)), pool_(pool), neighbours_(neighbours), workers_(std::move(workers)) {
  neighbours_->on_change([this](NextHopIndex index) { neighbour_changed(index); });
}

ExceptionPath::~ExceptionPath() {
  held_.expire(UINT64_MAX, [](rte_mbuf* packet) { rte_pktmbuf_free(packet); });
}

ExceptionPath::Twin* ExceptionPath::twin_of(uint16_t port_id) {
  for (Twin& twin : twins_)
    if (twin.port.port_id == port_id) return &twin;
  return nullptr;
}

void ExceptionPath::drop(rte_mbuf* packet, DropReason reason) {
  drops_.add(reason);
  rte_pktmbuf_free(packet);
}

unsigned ExceptionPath::run_rings(uint64_t now_ms) {
  unsigned moved = 0;
  void* packets[kShare];
  for (Worker* worker : workers_) {
    unsigned n = rte_ring_dequeue_burst(worker->exception_ring(), packets, kShare, nullptr);
    for (unsigned i = 0; i < n; ++i) to_kernel(static_cast<rte_mbuf*>(packets[i]));
    moved += n;
    n = rte_ring_dequeue_burst(worker->hold_ring(), packets, kShare, nullptr);
    for (unsigned i = 0; i < n; ++i) hold(static_cast<rte_mbuf*>(packets[i]), now_ms);
    moved += n;
  }
  return moved;
}

void ExceptionPath::to_kernel(rte_mbuf* packet) {
  Twin* twin = twin_of(packet->port);
  if (twin == nullptr || (packet->nb_segs > 1 && rte_pktmbuf_linearize(packet) != 0)) {
    drop(packet, DropReason::header_split);
    return;
  }
  if (!twin->tap.write(rte_pktmbuf_mtod(packet, const void*), rte_pktmbuf_data_len(packet))) {
    drop(packet, DropReason::tap_full);
    return;
  }
  counters_.to_kernel.add(1);
  rte_pktmbuf_free(packet);
}

unsigned ExceptionPath::run_tap(size_t index) {
  Twin& twin = twins_[index];
  unsigned moved = 0;
  for (; moved < kShare; ++moved) {
    rte_mbuf* packet = rte_pktmbuf_alloc(pool_);
    if (packet == nullptr) return moved;
    // Buffers have room for a frame of the largest port's MTU.
    const size_t length = twin.tap.read(rte_pktmbuf_mtod(packet, void*), rte_pktmbuf_tailroom(packet));
    if (length == 0) {
      rte_pktmbuf_free(packet);
      return moved;
    }
    packet->data_len = static_cast<uint16_t>(length);
    packet->pkt_len = static_cast<uint32_t>(length);
    packet->port = twin.port.port_id;
    counters_.from_kernel.add(1);
    if (rte_ring_enqueue(twin.sender->tx_ring(), packet) != 0) drop(packet, DropReason::transmit_full);
  }
  return moved;
}

void ExceptionPath::send(rte_mbuf* packet, const NextHop& hop) {
  std::memcpy(rte_pktmbuf_mtod(packet, uint8_t*), hop.ether_addresses, sizeof hop.ether_addresses);
  packet->port = hop.port_id;
  Twin* twin = twin_of(hop.port_id);
  if (twin == nullptr || rte_ring_enqueue(twin->sender->tx_ring(), packet) != 0) {
    drop(packet, DropReason::transmit_full);
    return;
  }
  counters_.resolved_later.add(1);
}

void ExceptionPath::hold(rte_mbuf* packet, uint64_t now_ms) {
  NextHopIndex index = packet->hash.usr;
  if (index == kNoNextHop) index = neighbours_->resolve(frame_destination(packet), false);
  if (index == kNoNextHop) {
    drop(packet, DropReason::no_next_hop);
    return;
  }
  const NextHop& hop = neighbours_->table()[index];
  const uint32_t state = hop.state.load(std::memory_order_acquire);
  if (state == NextHop::resolved)
    send(packet, hop);
  else if (state == NextHop::unused)
    drop(packet, DropReason::no_next_hop);
  else if (state == NextHop::unreachable)
    drop(packet, DropReason::next_hop_unreachable);
  else if (!held_.hold(index, packet, now_ms))
    drop(packet, DropReason::hold_full);
}

void ExceptionPath::neighbour_changed(NextHopIndex index) {
  const NextHop& hop = neighbours_->table()[index];
  const bool resolved = hop.state.load(std::memory_order_acquire) == NextHop::resolved;
  for (rte_mbuf* packet : held_.take(index)) {
    if (resolved)
      send(packet, hop);
    else
      drop(packet, DropReason::next_hop_unreachable);
  }
}

void ExceptionPath::set_ready(bool ready) {
  ready_ = ready;
  for (Twin& twin : twins_) twin.tap.set_carrier(ready && twin.link_up);
}

void ExceptionPath::keep_mac(Twin& twin, uint64_t now_ms) {
  const auto other = twin.tap.take_back_mac();
  if (!other || (mac_said_ms_ != 0 && now_ms - mac_said_ms_ < kSayAgainMs)) return;
  mac_said_ms_ = now_ms;
  spdlog::warn("port {}: another program gave TAP {} the MAC {}; it has the port's again", twin.port.name,
               twin.tap.name(), drivers::to_string(*other));
}

void ExceptionPath::tick(uint64_t now_ms) {
  held_.expire(now_ms, [this](rte_mbuf* packet) { drop(packet, DropReason::hold_expired); });
  for (Twin& twin : twins_) {
    keep_mac(twin, now_ms);
    const bool up = drivers::port_link_up(twin.port);
    if (up == twin.link_up) continue;
    twin.link_up = up;
    twin.tap.set_carrier(ready_ && up);
    spdlog::log(up ? spdlog::level::info : spdlog::level::warn, "port {}: link {}", twin.port.name,
                up ? "up" : "down");
  }
}

}  // namespace poolgate::worker
