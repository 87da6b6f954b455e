// SPDX-License-Identifier: BSD-3-Clause
// What a PE costs in memory, and that resolution costs none.
#include <gtest/gtest.h>

#include "controlplane/rserpool/handlespace/handlespace.h"
#include "controlplane/rserpool/policy/random.h"
#include "tests/unit/allocations.h"
#include "tests/unit/handlespace_pools.h"
#include "tests/unit/sanitizer.h"

namespace poolgate::rserpool {
namespace {

PoolElement full_element(PeId id, PolicyType type) {
  PoolElement element = test::element(id, 1, {.type = type, .weight = id % 100 + 1, .load = id});
  element.has_asap_transport = true;
  element.asap_transport = test::asap_transport(id);
  return element;
}

class Memory : public testing::TestWithParam<PolicyType> {};

TEST_P(Memory, a_million_elements_in_ten_thousand_pools_take_at_most_400_bytes_each) {
  constexpr uint32_t kPools = test::unless_sanitized(10'000, 1'000);
  constexpr uint32_t kElements = 100 * kPools;
  const test::Allocations allocations;
  Handlespace space({.max_pools = kPools, .max_elements = kElements});
  for (uint32_t i = 0; i < kElements; ++i) {
    // Ids at random, each over its own association, with both deadlines set: the worst that there is.
    const auto id = static_cast<PeId>(mix64(i));
    const std::string handle = "Pool" + std::to_string(100'000'000 + i % kPools);
    const auto outcome =
        space.register_or_update(handle, full_element(id, GetParam()), {77, 0, i + 1}, 300'000 + i);
    ASSERT_TRUE(outcome.ok());
    space.set_timer(outcome.pe, PeTimer::probe, 5000 + i % 5000);
  }
  ASSERT_GE(space.elements(), kElements - 100u);  // a few ids may meet in a pool
  const double each = static_cast<double>(allocations.bytes()) / static_cast<double>(space.elements());
  RecordProperty("bytes_per_element", std::to_string(each));
  EXPECT_LE(each, 400);
  EXPECT_GE(each, 100) << "the count cannot be right";
}

INSTANTIATE_TEST_SUITE_P(policies, Memory,
                         testing::Values(PolicyType::round_robin, PolicyType::least_used,
                                         PolicyType::weighted_random));

TEST(Memory, all_of_it_is_given_back) {
  const test::Allocations allocations;
  {
    Handlespace space;
    for (uint32_t i = 0; i < 10'000; ++i) {
      space.register_or_update("p" + std::to_string(i % 100), full_element(i, PolicyType::random),
                               {1, 0, i + 1}, 1000 + i);
    }
    for (PeIndex pe; (pe = space.take_due(PeTimer::expiry, 100'000)) != kNoPe;) space.deregister(pe);
    EXPECT_EQ(space.pools(), 0u);
  }
  EXPECT_EQ(allocations.bytes(), 0);
}

TEST(Memory, resolving_reading_and_re_registering_allocate_nothing) {
  for (const PolicyType type : {PolicyType::round_robin, PolicyType::least_used, PolicyType::weighted_random,
                                PolicyType::weighted_round_robin, PolicyType::least_used_degradation}) {
    Handlespace space;
    for (uint32_t i = 0; i < 1000; ++i)
      space.register_or_update("P", full_element(i, type), {1, 0, i + 1}, 1000 + i);
    PeIndex out[20];
    PoolElement element;
    PoolElement again = full_element(5, type);
    space.read(space.find("P", 1), element);
    uint64_t sum = 0;
    const test::Allocations allocations;
    for (uint32_t i = 0; i < 1000; ++i) {
      const size_t n = space.resolve("P", out);
      for (const PeIndex pe : std::span(out, n)) {
        space.read(pe, element);
        sum += element.id;
      }
      again.policy.load = i * 7919;
      again.policy.weight = i + 1;
      sum += space.register_or_update("P", again, {1, 0, 6}, 5000 + i).ok();
    }
    EXPECT_EQ(allocations.count(), 0u) << policy_name(type);
    EXPECT_GT(sum, 0u);
  }
}

}  // namespace
}  // namespace poolgate::rserpool
