// SPDX-License-Identifier: BSD-3-Clause
#pragma once

#include <span>

struct poolgate_sctp_stack;  // stack.h

namespace poolgate::sctp {

// The stacks of this program: the one linked into it, and private copies of it (scripts/sctp-private-stack).
// usrsctp is global to a process: one Endpoint each, each on one thread.
std::span<const poolgate_sctp_stack* const> stacks();

}  // namespace poolgate::sctp
