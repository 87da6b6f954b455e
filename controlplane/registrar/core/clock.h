// SPDX-License-Identifier: BSD-3-Clause
#pragma once

#include "controlplane/registrar/core/actions.h"
#include "controlplane/rserpool/handlespace/deadlines.h"

namespace poolgate::registrar {

inline constexpr Micros kMilli = 1000;
inline constexpr Micros kSecond = 1'000'000;

// The registrar's time: the process's, without the gaps in which the process did not run. So a stall moves
// every deadline by its length, and nothing needs to be set anew (DESIGN.md §2).
class Clock {
 public:
  explicit Clock(Micros now) : last_(now) {}

  // `next_deadline()`: in the registrar's time. The length of the gap that was skipped; 0: none.
  template <class NextDeadline>
  Micros advance(Micros now, NextDeadline&& next_deadline) {
    if (now <= last_) return 0;
    const Micros passed = now - last_;
    last_ = now;
    if (passed <= kSecond) return 0;
    const Micros deadline = next_deadline();
    if (deadline == kNever || this->now() <= deadline + kSecond) return 0;
    skipped_ += passed;
    return passed;
  }
  Micros now() const { return last_ - skipped_; }
  rserpool::TimeMs now_ms() const { return now() / kMilli; }
  // From the registrar's time to the process's.
  Micros outside(Micros time) const { return time == kNever ? kNever : time + skipped_; }

 private:
  Micros last_;
  Micros skipped_ = 0;
};

// At most `rate` events a second, and no more than a second's at once. 0: no limit.
class RateLimit {
 public:
  bool allow(Micros now, uint32_t rate) {
    if (rate == 0) return true;
    const Micros each = kSecond / rate;
    if (full_at_ < now) full_at_ = now;
    if (full_at_ - now + each > kSecond) return false;
    full_at_ += each;
    return true;
  }

 private:
  Micros full_at_ = 0;  // when all that was allowed has been worked off
};

}  // namespace poolgate::registrar
