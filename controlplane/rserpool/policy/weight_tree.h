// SPDX-License-Identifier: BSD-3-Clause
// Slots with weights, to draw from with probability weight / sum of weights: what WRAND and RLU pick from.
// A Fenwick tree of 64-bit sums (2^32 elements of the greatest weight fit): draw and change are O(log n).
#pragma once

#include <bit>
#include <cstddef>
#include <cstdint>
#include <vector>

namespace poolgate::rserpool {

class WeightTree {
 public:
  void reserve(size_t n) {
    if (n > weights_.size()) grow(n);
  }
  void set(uint32_t slot, uint32_t weight) {
    if (slot >= weights_.size()) grow(slot + 1);
    const uint64_t change = static_cast<uint64_t>(weight) - weights_[slot];  // modulo 2^64
    weights_[slot] = weight;
    for (size_t i = slot + 1; i < sums_.size(); i += i & (~i + 1)) sums_[i] += change;
  }
  uint32_t weight(uint32_t slot) const { return slot < weights_.size() ? weights_[slot] : 0; }
  uint64_t total() const { return sums_.empty() ? 0 : sums_.back(); }

  // The slot in whose share of [0, total()) `point` lies.
  uint32_t find(uint64_t point) const {
    size_t at = 0;
    for (size_t step = weights_.size() / 2; step != 0; step /= 2) {
      const uint64_t sum = sums_[at + step];
      const bool beyond = sum <= point;
      at += beyond ? step : 0;
      point -= beyond ? sum : 0;
    }
    return static_cast<uint32_t>(at);
  }
  void clear() {
    weights_.assign(weights_.size(), 0);
    sums_.assign(sums_.size(), 0);
  }

 private:
  // To the next power of two: then the last sum is that of all, and a descent needs no bounds.
  void grow(size_t n) {
    const size_t old = weights_.size();
    const uint64_t sum = total();
    const size_t size = std::bit_ceil(n);
    weights_.resize(size, 0);
    sums_.resize(size + 1, 0);
    for (size_t i = old == 0 ? size : 2 * old; i <= size; i *= 2) sums_[i] = sum;
  }

  std::vector<uint32_t> weights_;
  std::vector<uint64_t> sums_;  // [i]: of the weights i - lowest bit of i .. i - 1
};

}  // namespace poolgate::rserpool
