// SPDX-License-Identifier: BSD-3-Clause
#pragma once

#include <iterator>
#include <string>

#include "controlplane/rserpool/text.h"
#include "controlplane/rserpool/types.h"

namespace poolgate::rserpool {

// RFC 5354 §3.12, as people read it.
inline std::string cause_name(Cause cause) {
  static constexpr const char* kNames[] = {"unspecified error",
                                           "unrecognized parameter",
                                           "unrecognized message",
                                           "invalid values",
                                           "non-unique PE identifier",
                                           "inconsistent pooling policy",
                                           "lack of resources",
                                           "inconsistent transport type",
                                           "inconsistent data/control configuration",
                                           "unknown pool handle",
                                           "rejected due to security considerations"};
  const auto code = static_cast<uint16_t>(cause);
  return code < std::size(kNames) ? std::string(kNames[code]) : "error cause " + hex32(code);
}

}  // namespace poolgate::rserpool
