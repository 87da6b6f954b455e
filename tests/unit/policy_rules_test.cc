// SPDX-License-Identifier: BSD-3-Clause
#include "controlplane/rserpool/policy/policy_rules.h"

#include <gtest/gtest.h>

#include "tests/unit/all_policies.h"

namespace poolgate::rserpool {
namespace {

constexpr uint32_t kFull = 0xffffffff;

PolicySettings settings(PolicyType type, PolicySettings s = {}) {
  s.type = type;
  return s;
}

TEST(PolicyRules, all_sixteen_policies_have_a_method_and_a_name_that_leads_back) {
  for (const PolicyType type : test::kAllPolicies) {
    EXPECT_TRUE(selection_method(type).has_value());
    EXPECT_EQ(policy_by_name(policy_name(type)), type) << policy_name(type);
  }
  EXPECT_EQ(policy_by_name("wrand-dpf"), PolicyType::weighted_random_dpf);
  EXPECT_EQ(policy_by_name("leastused"), PolicyType::least_used);
  EXPECT_EQ(policy_by_name("LUD"), PolicyType::least_used_degradation);
  EXPECT_EQ(policy_by_name("fastest"), std::nullopt);
}

TEST(PolicyRules, RFC5356_7_1_reserved_and_foreign_types_are_not_known) {
  for (const uint32_t type : {0u, 0x40000000u, 6u, 0xbeef0001u, 0xb0002004u}) {
    EXPECT_FALSE(is_known(static_cast<PolicyType>(type)));
    EXPECT_EQ(policy_name(static_cast<PolicyType>(type)), "unknown");
  }
}

TEST(PolicyRules, RFC5356_4_5_a_larger_priority_has_a_smaller_key) {
  const auto key = [](uint32_t weight) {
    return selection_key(settings(PolicyType::priority, {.weight = weight}), 0);
  };
  EXPECT_LT(key(kFull), key(kFull - 1));
  EXPECT_LT(key(1), key(0));
}

TEST(PolicyRules, RFC5356_5_keys_of_load_are_sums_that_do_not_overflow) {
  const PolicySettings full{.load = kFull, .load_degradation = kFull};
  EXPECT_EQ(selection_key(settings(PolicyType::least_used, full), 7), kFull);
  EXPECT_EQ(selection_key(settings(PolicyType::priority_least_used, full), 7), 2ull * kFull);
  EXPECT_EQ(selection_key(settings(PolicyType::least_used_degradation, full), 0), kFull);
  EXPECT_EQ(selection_key(settings(PolicyType::least_used_degradation, full), 2), 3ull * kFull);
  EXPECT_EQ(selection_key(settings(PolicyType::priority_least_used_degradation, full), 2), 4ull * kFull);
  // 2^64 - 1, the most there can be
  EXPECT_EQ(selection_key(settings(PolicyType::priority_least_used_degradation, full), kFull), UINT64_MAX);
  EXPECT_EQ(
      selection_key(settings(PolicyType::least_used_degradation, {.load = 10, .load_degradation = 3}), 4),
      22u);
}

TEST(PolicyRules, delay_factor_load_grows_with_distance_and_saturates_at_100_percent) {
  const auto lu = [](uint32_t load, uint32_t factor, uint32_t distance) {
    return selection_key(
        settings(PolicyType::least_used_dpf, {.load = load, .delay_factor = factor, .distance = distance}),
        0);
  };
  EXPECT_EQ(lu(100, 7, 50), 450u);
  EXPECT_EQ(lu(100, 0, 50), 100u);
  EXPECT_EQ(lu(0, kFull, 1), kFull);
  EXPECT_EQ(lu(1, kFull - 1, 1), kFull);
  EXPECT_EQ(lu(kFull, kFull, kFull), kFull);
  EXPECT_EQ(lu(0, kFull - 1, 1), kFull - 1);
  const PolicySettings lud{.load = 5, .load_degradation = 1000, .delay_factor = 2, .distance = 10};
  EXPECT_EQ(selection_key(settings(PolicyType::least_used_degradation_dpf, lud), 3), 3025u);
}

TEST(PolicyRules, RFC5356_5_4_weights_of_random_load_policies_are_what_is_left_of_100_percent) {
  const PolicySettings s{.load = 1000, .load_degradation = 10};
  EXPECT_EQ(selection_weight(settings(PolicyType::randomized_least_used, s), 5), kFull - 1000);
  EXPECT_EQ(selection_weight(settings(PolicyType::randomized_priority_least_used, s), 5), kFull - 1010);
  EXPECT_EQ(selection_weight(settings(PolicyType::randomized_least_used_degradation, s), 5), kFull - 1050);
  EXPECT_EQ(selection_weight(settings(PolicyType::randomized_priority_least_used_degradation, s), 5),
            kFull - 1060);
}

TEST(PolicyRules, a_fully_loaded_element_keeps_weight_1) {
  const PolicySettings full{.load = kFull, .load_degradation = kFull};
  for (const PolicyType type : {PolicyType::randomized_least_used, PolicyType::randomized_priority_least_used,
                                PolicyType::randomized_least_used_degradation,
                                PolicyType::randomized_priority_least_used_degradation}) {
    EXPECT_EQ(selection_weight(settings(type, full), kFull), 1u) << policy_name(type);
  }
}

TEST(PolicyRules, RFC5356_3_2_weight_is_taken_as_it_is_and_0_stays_0) {
  for (const PolicyType type : {PolicyType::weighted_random, PolicyType::weighted_round_robin}) {
    EXPECT_EQ(selection_weight(settings(type, {.weight = 0}), 0), 0u);
    EXPECT_EQ(selection_weight(settings(type, {.weight = kFull}), 0), kFull);
  }
  EXPECT_EQ(selection_weight(settings(PolicyType::weighted_random_dpf, {.weight = 0}), 0), 0u);
  EXPECT_EQ(selection_weight(settings(PolicyType::random), 0), 1u);
}

TEST(PolicyRules, delay_factor_weight_falls_with_distance_but_not_below_1) {
  const auto weight = [](uint32_t w, uint32_t factor, uint32_t distance) {
    return selection_weight(settings(PolicyType::weighted_random_dpf,
                                     {.weight = w, .delay_factor = factor, .distance = distance}),
                            0);
  };
  EXPECT_EQ(weight(1000, kFull / 100, 0), 1000u);
  EXPECT_EQ(weight(1000, kFull / 100, 50), 501u);  // 1 % a ms for 50 ms, rounded in the element's favour
  EXPECT_EQ(weight(1000, kFull / 100, 200), 1u);
  EXPECT_EQ(weight(1000, kFull, 1), 1u);
  EXPECT_EQ(weight(kFull, kFull, kFull), 1u);
  EXPECT_EQ(weight(kFull, 1, 1), kFull - 1);
}

}  // namespace
}  // namespace poolgate::rserpool
