// SPDX-License-Identifier: BSD-3-Clause
#pragma once

#include <algorithm>
#include <cstdint>

namespace poolgate::sctp {

// `rate` a second, at most a tenth of a second's worth at once. The caller says how much time has passed.
class TokenBucket {
 public:
  explicit TokenBucket(uint32_t rate)
      : rate_(rate), capacity_(std::max<uint64_t>(rate / 10, 1) * kUnit), level_(capacity_) {}

  void pass(uint64_t microseconds) {
    // Beyond ten seconds it is full at any rate.
    level_ = std::min(capacity_, level_ + rate_ * std::min<uint64_t>(microseconds, 10 * kUnit));
  }
  bool take() {
    if (level_ < kUnit) return false;
    level_ -= kUnit;
    return true;
  }

 private:
  static constexpr uint64_t kUnit = 1'000'000;  // a token: rate times microseconds
  uint64_t rate_, capacity_, level_;
};

}  // namespace poolgate::sctp
