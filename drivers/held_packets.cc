// SPDX-License-Identifier: BSD-3-Clause
#include "drivers/held_packets.h"

namespace poolgate::drivers {

bool HeldPackets::hold(NextHopIndex next_hop, rte_mbuf* packet, uint64_t now_ms) {
  if (size_ >= kTotal) return false;
  auto& waiting = waiting_[next_hop];
  if (waiting.size() >= kPerNeighbour) return false;
  waiting.push_back({packet, now_ms});
  ++size_;
  return true;
}

std::vector<rte_mbuf*> HeldPackets::take(NextHopIndex next_hop) {
  std::vector<rte_mbuf*> taken;
  const auto found = waiting_.find(next_hop);
  if (found == waiting_.end()) return taken;
  for (const Held& held : found->second) taken.push_back(held.packet);
  size_ -= taken.size();
  waiting_.erase(found);
  return taken;
}

void HeldPackets::skip(uint64_t ms) {
  for (auto& [next_hop, waiting] : waiting_)
    for (Held& held : waiting) held.since_ms += ms;
}

void HeldPackets::expire(uint64_t now_ms, const std::function<void(rte_mbuf*)>& expired) {
  for (auto at = waiting_.begin(); at != waiting_.end();) {
    auto& waiting = at->second;
    while (!waiting.empty() && now_ms - waiting.front().since_ms >= kHoldMs) {
      expired(waiting.front().packet);
      waiting.pop_front();
      --size_;
    }
    at = waiting.empty() ? waiting_.erase(at) : std::next(at);
  }
}

}  // namespace poolgate::drivers
