// SPDX-License-Identifier: BSD-3-Clause
// What the data plane needs of a selector: elements that are down are passed over, state goes to the next
// generation, and a pick allocates nothing.
#include <gtest/gtest.h>

#include <algorithm>
#include <map>
#include <set>

#include "controlplane/rserpool/policy/selector.h"
#include "tests/unit/allocations.h"
#include "tests/unit/policy_pools.h"

namespace poolgate::rserpool {
namespace {

using test::elements;
using test::list;
using test::picks;
using test::with_loads;
using test::with_weights;
using Ids = std::vector<PeId>;

constexpr uint32_t kPolicies[] = {
    1u,          2u,          3u,          4u,          5u,          0x40000001u, 0x40000002u, 0x40000003u,
    0x40000004u, 0xb0001001u, 0xb0001002u, 0xb0001003u, 0xb0001004u, 0xb0002001u, 0xb0002002u, 0xb0002003u};

std::vector<SelectorElement> some(size_t n) {
  std::vector<PolicySettings> settings;
  for (uint32_t i = 0; i < n; ++i)
    settings.push_back({.weight = i % 7 + 1, .load = i % 5 * 100, .load_degradation = 30});
  return elements(settings);
}

TEST(Eligible, an_element_that_is_down_is_never_picked_by_any_policy) {
  for (const uint32_t type : kPolicies) {
    Selector selector(static_cast<PolicyType>(type), 1, some(20));
    const auto up = [](Slot slot) { return slot % 3 != 0; };
    std::set<Slot> seen;
    for (int i = 0; i < 3000; ++i) {
      const Slot slot = selector.pick(up);
      ASSERT_TRUE(up(slot)) << policy_name(selector.type());
      seen.insert(slot);
    }
    EXPECT_LE(selector.set_aside_count(), 7u);
    Slot out[20];
    EXPECT_EQ(selector.select(out, up), 13u) << policy_name(selector.type());
    EXPECT_EQ(selector.pick([](Slot) { return false; }), kNoSlot);
    selector.readmit();
    EXPECT_EQ(selector.set_aside_count(), 0u);
    EXPECT_EQ(selector.select(out), 20u) << policy_name(selector.type());
  }
}

TEST(Eligible, one_that_is_down_is_asked_for_once_until_readmitted) {
  Selector selector(PolicyType::round_robin, 1, some(3));
  int asked = 0;
  const auto up = [&asked](Slot slot) {
    asked += slot == 1;
    return slot != 1;
  };
  for (int i = 0; i < 10; ++i) selector.pick(up);
  EXPECT_EQ(asked, 1);
  selector.readmit();
  EXPECT_EQ(picks(selector, 3), (Ids{1, 3, 2}));
}

TEST(Eligible, one_that_is_set_aside_can_be_updated_and_removed) {
  for (const uint32_t type : kPolicies) {
    Selector selector(static_cast<PolicyType>(type), 1, some(4));
    selector.set_aside(1);
    selector.set_aside(1);
    selector.set_aside(2);
    selector.add_degradations(1, 3);
    selector.update(1, 2, {.weight = 3, .load = 7});
    selector.remove(2);
    EXPECT_EQ(selector.set_aside_count(), 1u);
    EXPECT_EQ(list(selector, 9).size(), 2u);
    selector.readmit();
    EXPECT_EQ(list(selector, 9).size(), 3u) << policy_name(selector.type());
  }
}

TEST(Generation, the_rotation_goes_on_where_it_was) {
  Selector before(PolicyType::round_robin, 1, elements({{}, {}, {}, {}}));
  picks(before, 2);
  // 2 has gone, 5 has come
  const std::vector<SelectorElement> now = {{1, 1, {}}, {3, 1, {}}, {4, 7, {}}, {5, 1, {}}};
  Selector after(PolicyType::round_robin, 2, now);
  after.adopt(before);
  EXPECT_EQ(list(after, 9), (Ids{3, 4, 1, 5}));
}

TEST(Generation, degradations_go_with_id_and_registration) {
  Selector before(PolicyType::least_used_degradation, 1, with_loads({0, 0, 0}, 10));
  picks(before, 9);
  const PolicySettings policy{.load = 0, .load_degradation = 10};
  const std::vector<SelectorElement> now = {{1, 1, policy}, {2, 2, policy}, {3, 1, policy}, {4, 1, policy}};
  Selector after(PolicyType::least_used_degradation, 1, now);
  after.adopt(before);
  EXPECT_EQ(after.degradations(0), 3u);
  EXPECT_EQ(after.degradations(1), 0u) << "registered anew";
  EXPECT_EQ(after.degradations(2), 3u);
  EXPECT_EQ(after.degradations(3), 0u) << "new";
  EXPECT_EQ(picks(after, 6), (Ids{2, 4, 2, 4, 2, 4}));
}

TEST(Generation, degradations_of_random_policies_and_of_those_aside_go_too) {
  for (const auto type :
       {PolicyType::randomized_least_used_degradation, PolicyType::least_used_degradation}) {
    Selector before(type, 1, with_loads({0, 0}, 10));
    before.add_degradations(0, 4);
    before.set_aside(0);
    Selector after(type, 1, with_loads({0, 0}, 10));
    after.adopt(before);
    EXPECT_EQ(after.degradations(0), 4u);
    EXPECT_EQ(after.degradations(1), 0u);
    EXPECT_EQ(list(after, 2).size(), 2u) << "a generation knows anew who is down";
  }
}

TEST(Generation, weighted_round_robin_keeps_its_ratio_over_many_generations) {
  const auto pool = with_weights({5, 1, 3});
  Selector selector(PolicyType::weighted_round_robin, 1, pool);
  std::map<PeId, int> n;
  for (int i = 0; i < 900; ++i) {
    ++n[selector.id(selector.pick())];
    Selector next(PolicyType::weighted_round_robin, 1, pool);
    next.adopt(selector);
    selector = std::move(next);
  }
  EXPECT_EQ(n, (std::map<PeId, int>{{1, 500}, {2, 100}, {3, 300}}));
}

TEST(Generation, a_pool_that_changed_its_policy_starts_anew) {
  Selector before(PolicyType::least_used, 1, with_loads({0, 5}));
  Selector after(PolicyType::weighted_random, 1, with_weights({1, 1}));
  after.adopt(before);
  EXPECT_EQ(list(after, 3).size(), 2u);
}

TEST(Generation, picks_and_adoption_allocate_nothing) {
  for (const uint32_t type : kPolicies) {
    const auto pool = some(100);
    Selector before(static_cast<PolicyType>(type), 1, pool);
    Selector after(static_cast<PolicyType>(type), 1, pool);
    Slot out[100];
    uint64_t found = 0;
    const test::Allocations allocations;
    for (int i = 0; i < 2000; ++i) {
      found += before.pick() != kNoSlot;
      found += before.select({out, static_cast<size_t>(i % 100) + 1});
    }
    after.adopt(before);
    for (int i = 0; i < 2000; ++i) found += after.pick([](Slot slot) { return slot % 2 == 0; }) != kNoSlot;
    after.readmit();
    found += after.select(out);
    EXPECT_EQ(allocations.count(), 0u) << policy_name(before.type());
    EXPECT_EQ(found, 2000u + 20 * 5050 + 2000 + 100) << policy_name(before.type());
  }
}

}  // namespace
}  // namespace poolgate::rserpool
