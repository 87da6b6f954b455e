// SPDX-License-Identifier: BSD-3-Clause
#pragma once

#include <algorithm>
#include <cstdint>

namespace poolgate::redirect {

// So many a second, and at most a tenth of a second's at once.
class TokenBucket {
 public:
  bool take(uint64_t now_us, uint32_t rate) {
    refill(now_us, rate);
    if (micro_tokens_ < kOne) return false;
    micro_tokens_ -= kOne;
    return true;
  }

 private:
  static constexpr uint64_t kOne = 1'000'000;

  void refill(uint64_t now_us, uint32_t rate) {
    const uint64_t elapsed = std::min<uint64_t>(last_us_ == 0 ? kOne : now_us - last_us_, kOne);
    const uint64_t most = std::max<uint64_t>(kOne, uint64_t{rate} * (kOne / 10));
    micro_tokens_ = std::min(most, micro_tokens_ + elapsed * rate);
    last_us_ = now_us;
  }

  uint64_t micro_tokens_ = 0;
  uint64_t last_us_ = 0;
};

}  // namespace poolgate::redirect
