// SPDX-License-Identifier: BSD-3-Clause
#include "dataplane/sctp/stacks.h"

#include <array>

#include "dataplane/sctp/stack.h"

extern "C" const struct poolgate_sctp_stack poolgate_sctp_stack_1, poolgate_sctp_stack_2,
    poolgate_sctp_stack_3;

namespace poolgate::sctp {

std::span<const poolgate_sctp_stack* const> stacks() {
  static constexpr std::array<const poolgate_sctp_stack*, 4> all{
      &poolgate_sctp_stack_0, &poolgate_sctp_stack_1, &poolgate_sctp_stack_2, &poolgate_sctp_stack_3};
  return all;
}

}  // namespace poolgate::sctp
