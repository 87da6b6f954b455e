// SPDX-License-Identifier: BSD-3-Clause
#include "controlplane/rserpool/wire/policy_layout.h"

#include "controlplane/rserpool/wire/parameters.h"

namespace poolgate::rserpool::wire {

namespace {

using P = PolicyType;
using S = PolicySettings;

constexpr PolicyLayout kLayouts[] = {
    {P::round_robin, 0, {}},
    {P::weighted_round_robin, 1, {&S::weight}},
    {P::random, 0, {}},
    {P::weighted_random, 1, {&S::weight}},
    {P::priority, 1, {&S::weight}},
    {P::least_used, 1, {&S::load}},
    {P::least_used_degradation, 2, {&S::load, &S::load_degradation}},
    {P::priority_least_used, 2, {&S::load, &S::load_degradation}},
    {P::randomized_least_used, 1, {&S::load}},
    {P::randomized_priority_least_used, 2, {&S::load, &S::load_degradation}},
    {P::randomized_least_used_degradation, 2, {&S::load, &S::load_degradation}},
    {P::priority_least_used_degradation, 2, {&S::load, &S::load_degradation}},
    {P::randomized_priority_least_used_degradation, 2, {&S::load, &S::load_degradation}},
    {P::weighted_random_dpf, 3, {&S::weight, &S::delay_factor, &S::distance}},
    {P::least_used_dpf, 3, {&S::load, &S::delay_factor, &S::distance}},
    {P::least_used_degradation_dpf, 4, {&S::load, &S::load_degradation, &S::delay_factor, &S::distance}},
};

}  // namespace

const PolicyLayout* policy_layout(PolicyType type) {
  for (const PolicyLayout& layout : kLayouts) {
    if (layout.type == type) return &layout;
  }
  return nullptr;
}

bool is_known_policy(PolicyType type) { return policy_layout(type) != nullptr; }

bool is_valid_policy(PolicyType type) {
  const auto number = static_cast<uint32_t>(type);
  return number != 0 && number != 0x40000000;
}

}  // namespace poolgate::rserpool::wire
