// SPDX-License-Identifier: BSD-3-Clause
#include "tests/unit/sctp_clock.h"

#include <sys/time.h>

namespace poolgate::sctp {

uint64_t virtual_now_us = 1'000'000'000'000;

}  // namespace poolgate::sctp

// In place of the C library's, in the programs that this is linked to.
extern "C" int gettimeofday(timeval* __restrict now, void* __restrict) noexcept {
  now->tv_sec = static_cast<time_t>(poolgate::sctp::virtual_now_us / 1'000'000);
  now->tv_usec = static_cast<suseconds_t>(poolgate::sctp::virtual_now_us % 1'000'000);
  return 0;
}
