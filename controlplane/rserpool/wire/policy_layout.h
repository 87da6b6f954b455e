// SPDX-License-Identifier: BSD-3-Clause
// The fields of each policy after its type, 32 bits each, in wire order (RFC 5356 §4-5, conformance §1.7 and
// §13.3).
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>

#include "controlplane/rserpool/types.h"

namespace poolgate::rserpool::wire {

struct PolicyLayout {
  PolicyType type;
  size_t count;
  std::array<uint32_t PolicySettings::*, 4> fields;
};

// Null for a type that we do not know.
const PolicyLayout* policy_layout(PolicyType type);

}  // namespace poolgate::rserpool::wire
