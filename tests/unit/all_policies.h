// SPDX-License-Identifier: BSD-3-Clause
#pragma once

#include <array>

#include "controlplane/rserpool/types.h"

namespace poolgate::test {

// RFC 5356's, then RSPLIB's own.
inline constexpr std::array kAllPolicies = {rserpool::PolicyType::round_robin,
                                            rserpool::PolicyType::weighted_round_robin,
                                            rserpool::PolicyType::random,
                                            rserpool::PolicyType::weighted_random,
                                            rserpool::PolicyType::priority,
                                            rserpool::PolicyType::least_used,
                                            rserpool::PolicyType::least_used_degradation,
                                            rserpool::PolicyType::priority_least_used,
                                            rserpool::PolicyType::randomized_least_used,
                                            rserpool::PolicyType::randomized_priority_least_used,
                                            rserpool::PolicyType::randomized_least_used_degradation,
                                            rserpool::PolicyType::priority_least_used_degradation,
                                            rserpool::PolicyType::randomized_priority_least_used_degradation,
                                            rserpool::PolicyType::weighted_random_dpf,
                                            rserpool::PolicyType::least_used_dpf,
                                            rserpool::PolicyType::least_used_degradation_dpf};

}  // namespace poolgate::test
