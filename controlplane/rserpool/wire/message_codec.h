// SPDX-License-Identifier: BSD-3-Clause
// What the two protocols' encoders share.
#pragma once

#include <algorithm>
#include <span>
#include <string>
#include <variant>
#include <vector>

#include "controlplane/rserpool/types.h"
#include "controlplane/rserpool/wire/parameters.h"
#include "controlplane/rserpool/wire/writer.h"

namespace poolgate::rserpool::wire {

// Copies of `causes` that fit one Operation Error in `room` bytes. A quoted message may be as long as a
// message can be and is cut then; what is quoted of parameters is never cut, as a cut TLV says something
// else.
inline std::vector<ErrorCause> fitting_causes(const std::vector<ErrorCause>& causes, size_t room) {
  constexpr size_t kHeader = 4;
  std::vector<ErrorCause> fitting;
  size_t used = kHeader;
  for (const ErrorCause& cause : causes) {
    const size_t left = room > used + kHeader ? room - used - kHeader : 0;
    if (cause.info.size() <= left) {
      fitting.push_back(cause);
    } else if (cause.code == Cause::unrecognized_message && left > 0) {
      fitting.push_back({cause.code, cause.info.substr(0, left)});
    } else {
      continue;
    }
    used += kHeader + (fitting.back().info.size() + 3) / 4 * 4;
  }
  return fitting;
}

}  // namespace poolgate::rserpool::wire
