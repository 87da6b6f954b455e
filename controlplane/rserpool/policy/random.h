// SPDX-License-Identifier: BSD-3-Clause
#pragma once

#include <cstdint>

namespace poolgate::rserpool {

// A bijection of 64 bits in which every bit of the input changes half of the output (a finaliser of the
// MurmurHash3 kind).
constexpr uint64_t mix64(uint64_t x) {
  x = (x ^ (x >> 30)) * 0xbf58476d1ce4e5b9u;
  x = (x ^ (x >> 27)) * 0x94d049bb133111ebu;
  return x ^ (x >> 31);
}

// Pseudo-random numbers for selection (SplitMix64): 8 bytes of state, a few cycles. Not for secrets.
class Random {
 public:
  explicit constexpr Random(uint64_t seed) : state_(seed) {}

  constexpr uint64_t next() { return mix64(state_ += 0x9e3779b97f4a7c15u); }

  // Uniform in [0, bound), exactly: no bias for any bound > 0. Almost always one multiplication.
  constexpr uint64_t below(uint64_t bound) {
    auto product = static_cast<Wide>(next()) * bound;
    if (static_cast<uint64_t>(product) < bound) {
      const uint64_t biased = -bound % bound;
      while (static_cast<uint64_t>(product) < biased) product = static_cast<Wide>(next()) * bound;
    }
    return static_cast<uint64_t>(product >> 64);
  }

 private:
  __extension__ using Wide = unsigned __int128;
  uint64_t state_;
};

}  // namespace poolgate::rserpool
