// SPDX-License-Identifier: BSD-3-Clause
// Slots to draw from uniformly, without duplicates: what RAND picks from. Everything is O(1) an element.
#pragma once

#include <cstddef>
#include <cstdint>
#include <utility>
#include <vector>

#include "controlplane/rserpool/policy/random.h"

namespace poolgate::rserpool {

class UniformSet {
 public:
  static constexpr uint32_t kNone = 0xffffffff;

  void reserve(size_t n) {
    order_.reserve(n);
    if (position_.size() < n) position_.resize(n, kNone);
  }
  void insert(uint32_t slot) {
    if (slot >= position_.size()) position_.resize(slot + 1, kNone);
    position_[slot] = static_cast<uint32_t>(order_.size());
    order_.push_back(slot);
  }
  void erase(uint32_t slot) {
    const uint32_t at = position_[slot];
    order_[at] = order_.back();
    position_[order_[at]] = at;
    order_.pop_back();
    position_[slot] = kNone;
  }
  void clear() {
    order_.clear();
    position_.assign(position_.size(), kNone);
  }
  bool contains(uint32_t slot) const { return slot < position_.size() && position_[slot] != kNone; }
  size_t size() const { return order_.size(); }

  // Draw number `n` of a list: uniform among those that were not drawn as numbers 0..n-1. n < size().
  uint32_t draw(size_t n, Random& random) {
    const size_t at = n + random.below(order_.size() - n);
    std::swap(order_[n], order_[at]);
    position_[order_[n]] = static_cast<uint32_t>(n);
    position_[order_[at]] = static_cast<uint32_t>(at);
    return order_[n];
  }

 private:
  std::vector<uint32_t> order_;     // a permutation; a shuffled one serves as well as any other
  std::vector<uint32_t> position_;  // of each slot in order_
};

}  // namespace poolgate::rserpool
