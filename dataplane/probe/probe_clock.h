// SPDX-License-Identifier: BSD-3-Clause
#pragma once

#include <algorithm>
#include <cstdint>

namespace poolgate::probe {

// The time by which targets are judged: of a stall of ours, in which nobody could be heard, little passes.
class ProbeClock {
 public:
  static constexpr uint64_t kStallUs = 10'000;  // a longer time between two calls counts as this

  // `now_us`: the caller's clock.
  void advance(uint64_t now_us) {
    if (seen_us_ != 0 && now_us > seen_us_) us_ += std::min(now_us - seen_us_, kStallUs);
    seen_us_ = now_us;
  }
  uint64_t us() const { return us_; }

 private:
  uint64_t seen_us_ = 0;  // the caller's clock, as of the last call
  uint64_t us_ = 1;
};

}  // namespace poolgate::probe
