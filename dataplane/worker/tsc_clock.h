// SPDX-License-Identifier: BSD-3-Clause
#pragma once

#include <rte_cycles.h>
#include <time.h>

#include <cstdint>

namespace poolgate::worker {

// Microseconds of CLOCK_MONOTONIC from the TSC, without a system call.
class TscClock {
 public:
  TscClock() {
    timespec now{};
    clock_gettime(CLOCK_MONOTONIC, &now);
    base_tsc_ = rte_rdtsc();
    base_us_ = static_cast<uint64_t>(now.tv_sec) * 1'000'000 + static_cast<uint64_t>(now.tv_nsec) / 1000;
    hz_ = rte_get_tsc_hz();
    us_per_cycle_ = static_cast<uint64_t>((static_cast<unsigned __int128>(1'000'000) << 64) / hz_);
  }

  uint64_t us(uint64_t tsc) const {
    return base_us_ +
           static_cast<uint64_t>((static_cast<unsigned __int128>(tsc - base_tsc_) * us_per_cycle_) >> 64);
  }
  uint64_t now_us() const { return us(rte_rdtsc()); }
  uint64_t cycles_of_us(uint64_t microseconds) const { return microseconds * hz_ / 1'000'000; }

 private:
  uint64_t base_tsc_;
  uint64_t base_us_;
  uint64_t hz_;
  uint64_t us_per_cycle_;  // 0.64 fixed point
};

}  // namespace poolgate::worker
