// SPDX-License-Identifier: BSD-3-Clause
// The time that tests of the SCTP endpoint live in; it passes only when they say so, on any machine.
#pragma once

#include <cstdint>

namespace poolgate::sctp {

// Microseconds. usrsctp, which asks gettimeofday(), gets them too; its timers count what tick() is told.
extern uint64_t virtual_now_us;

}  // namespace poolgate::sctp
