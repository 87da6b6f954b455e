// SPDX-License-Identifier: BSD-3-Clause
#pragma once

#include <cstdint>
#include <deque>
#include <functional>
#include <unordered_map>
#include <vector>

#include "drivers/next_hop.h"

struct rte_mbuf;

namespace poolgate::drivers {

// Packets that wait for a neighbour to be resolved: DESIGN.md §6. Main lcore only.
class HeldPackets {
 public:
  static constexpr size_t kPerNeighbour = 16;
  static constexpr uint64_t kHoldMs = 1000;
  static constexpr size_t kTotal = 4096;

  // False: too many wait already; the packet stays the caller's.
  [[nodiscard]] bool hold(NextHopIndex next_hop, rte_mbuf* packet, uint64_t now_ms);
  // Takes out the packets of `next_hop`, in the order they came.
  std::vector<rte_mbuf*> take(NextHopIndex next_hop);
  // Hands every packet that has waited kHoldMs to `expired`.
  void expire(uint64_t now_ms, const std::function<void(rte_mbuf*)>& expired);
  // Time in which nothing ran: nobody could have answered in it.
  void skip(uint64_t ms);
  size_t size() const { return size_; }

 private:
  struct Held {
    rte_mbuf* packet;
    uint64_t since_ms;
  };
  std::unordered_map<NextHopIndex, std::deque<Held>> waiting_;
  size_t size_ = 0;
};

}  // namespace poolgate::drivers
