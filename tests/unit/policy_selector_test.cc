// SPDX-License-Identifier: BSD-3-Clause
// The policies that are not random: whom they pick, in which order.
#include "controlplane/rserpool/policy/selector.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <map>
#include <set>

#include "tests/unit/policy_pools.h"

namespace poolgate::rserpool {
namespace {

using test::elements;
using test::list;
using test::picks;
using test::with_loads;
using test::with_weights;
using Ids = std::vector<PeId>;
constexpr uint32_t kFull = 0xffffffff;

TEST(RoundRobin, RFC5356_4_1_2_a_list_starts_at_the_head_and_the_head_advances_by_one) {
  Selector selector(PolicyType::round_robin, 1, elements({{}, {}, {}, {}}));
  EXPECT_EQ(list(selector, 3), (Ids{1, 2, 3}));
  EXPECT_EQ(list(selector, 3), (Ids{2, 3, 4}));
  EXPECT_EQ(list(selector, 9), (Ids{3, 4, 1, 2}));
  EXPECT_EQ(picks(selector, 6), (Ids{4, 1, 2, 3, 4, 1}));
}

TEST(RoundRobin, a_new_element_comes_last_and_a_removed_one_leaves_no_gap) {
  Selector selector(PolicyType::round_robin, 1, elements({{}, {}, {}}));
  picks(selector, 1);
  selector.add({.id = 9});
  EXPECT_EQ(list(selector, 9), (Ids{2, 3, 1, 9}));
  selector.remove(2);  // id 3: the head now
  EXPECT_EQ(list(selector, 9), (Ids{1, 9, 2}));
  EXPECT_EQ(selector.size(), 3u);
}

TEST(RoundRobin, a_re_registration_keeps_its_place) {
  Selector selector(PolicyType::round_robin, 1, elements({{}, {}, {}}));
  picks(selector, 1);
  selector.update(1, 2, {});
  EXPECT_EQ(picks(selector, 3), (Ids{2, 3, 1}));
  EXPECT_EQ(selector.registration(1), 2u);
}

TEST(RoundRobin, an_unknown_policy_selects_as_round_robin) {
  Selector selector(static_cast<PolicyType>(0xbeef0001), 1, elements({{}, {}}));
  EXPECT_EQ(picks(selector, 4), (Ids{1, 2, 1, 2}));
}

TEST(Selector, an_empty_pool_has_nothing_to_pick) {
  for (const PolicyType type : {PolicyType::round_robin, PolicyType::weighted_round_robin, PolicyType::random,
                                PolicyType::weighted_random, PolicyType::least_used_degradation}) {
    Selector selector(type, 1);
    EXPECT_EQ(selector.pick(), kNoSlot);
    const Slot slot = selector.add({.id = 5, .policy = {.weight = 1}});
    EXPECT_EQ(selector.pick(), slot);
    selector.remove(slot);
    EXPECT_EQ(selector.pick(), kNoSlot);
    EXPECT_EQ(selector.size(), 0u);
  }
}

std::map<PeId, size_t> counts(const Ids& ids) {
  std::map<PeId, size_t> n;
  for (const PeId id : ids) ++n[id];
  return n;
}

TEST(WeightedRoundRobin, RFC5356_4_2_2_occurrences_in_a_round_are_exactly_the_weights) {
  const std::vector<uint32_t> weights = {5, 1, 3, 7, 1};
  Selector selector(PolicyType::weighted_round_robin, 1, with_weights(weights));
  for (int round = 0; round < 100; ++round) {
    EXPECT_EQ(counts(picks(selector, 17)), (std::map<PeId, size_t>{{1, 5}, {2, 1}, {3, 3}, {4, 7}, {5, 1}}));
  }
}

TEST(WeightedRoundRobin, RFC5356_4_2_2_entries_of_an_element_are_evenly_distributed) {
  const std::vector<uint32_t> weights = {5, 1, 3, 7};
  Selector selector(PolicyType::weighted_round_robin, 1, with_weights(weights));
  const Ids order = picks(selector, 16 * 20);
  for (PeId id = 1; id <= weights.size(); ++id) {
    const double ideal = 16.0 / weights[id - 1];
    size_t last = order.size();
    for (size_t i = 0; i < order.size(); ++i) {
      if (order[i] != id) continue;
      // Another element's turn may fall between on either side, but never two turns of one element fall
      // together.
      if (last != order.size()) {
        EXPECT_LT(std::abs(static_cast<double>(i - last) - ideal), 2.0) << id;
      }
      last = i;
    }
  }
}

TEST(WeightedRoundRobin, RFC5356_4_2_1_with_all_weights_1_it_is_round_robin) {
  Selector selector(PolicyType::weighted_round_robin, 1, with_weights({1, 1, 1}));
  EXPECT_EQ(list(selector, 3), (Ids{1, 2, 3}));
  EXPECT_EQ(list(selector, 3), (Ids{2, 3, 1}));
  EXPECT_EQ(picks(selector, 4), (Ids{3, 1, 2, 3}));
}

TEST(WeightedRoundRobin, a_list_has_each_element_once_in_the_order_of_their_next_turns) {
  Selector selector(PolicyType::weighted_round_robin, 1, with_weights({100, 1, 10}));
  EXPECT_EQ(list(selector, 5), (Ids{1, 3, 2}));
}

TEST(WeightedRoundRobin, weight_0_is_never_picked_and_can_come_back) {
  Selector selector(PolicyType::weighted_round_robin, 1, with_weights({0, 2, 0}));
  EXPECT_EQ(list(selector, 5), (Ids{2}));
  selector.update(0, 2, {.weight = 2});
  selector.update(1, 2, {.weight = 0});
  EXPECT_EQ(list(selector, 5), (Ids{1}));
  selector.remove(1);
  selector.remove(2);
  EXPECT_EQ(list(selector, 5), (Ids{1}));
}

TEST(WeightedRoundRobin, a_change_of_weight_counts_from_the_next_round_on) {
  Selector selector(PolicyType::weighted_round_robin, 1, with_weights({1, 1}));
  picks(selector, 7);
  selector.update(0, 2, {.weight = 3});
  picks(selector, 4);
  auto n = counts(picks(selector, 4000));
  EXPECT_NEAR(n[1], 3000, 2);
}

TEST(WeightedRoundRobin, the_greatest_weights_are_told_apart_from_the_least) {
  Selector selector(PolicyType::weighted_round_robin, 1, with_weights({kFull, kFull, 1}));
  auto n = counts(picks(selector, 100000));
  EXPECT_EQ(n[1], 50000u);
  EXPECT_EQ(n[2], 50000u);
  EXPECT_EQ(n[3], 0u);
}

TEST(WeightedRoundRobin, the_ratio_stays_exact_where_the_intervals_are_no_whole_numbers) {
  Selector selector(PolicyType::weighted_round_robin, 1, with_weights({999'983, 333'667}));
  auto n = counts(picks(selector, 999'983 + 333'667));
  EXPECT_EQ(n[1], 999'983u);
  EXPECT_EQ(n[2], 333'667u);
}

TEST(WeightedRoundRobin, the_clock_runs_over_without_a_break) {
  // One round of weight 1 is 2^40 ticks: 2^22 rounds bring the clock to where it is set back.
  Selector selector(PolicyType::weighted_round_robin, 1, with_weights({1, 2}));
  const size_t rounds = (size_t{1} << 22) + 1000;
  size_t first = 0;
  for (size_t i = 0; i < 3 * rounds; ++i) first += selector.pick() == 0;
  EXPECT_EQ(first, rounds);
}

TEST(Priority, RFC5356_4_5_2_lists_are_in_decreasing_order) {
  Selector selector(PolicyType::priority, 1, with_weights({5, kFull, 0, 7}));
  EXPECT_EQ(list(selector, 9), (Ids{2, 4, 1, 3}));
  EXPECT_EQ(list(selector, 2), (Ids{2, 4}));
  EXPECT_EQ(picks(selector, 3), (Ids{2, 2, 2}));
}

TEST(LeastUsed, RFC5356_5_1_2_lists_are_in_ascending_order_of_load) {
  Selector selector(PolicyType::least_used, 1, with_loads({500, 0, kFull, 20}));
  EXPECT_EQ(list(selector, 9), (Ids{2, 4, 1, 3}));
  selector.update(1, 2, {.load = 501});
  EXPECT_EQ(list(selector, 9), (Ids{4, 1, 2, 3}));
}

TEST(LeastUsed, RFC5356_5_1_2_equals_are_taken_in_turns) {
  Selector selector(PolicyType::least_used, 1, with_loads({10, 10, 50, 10, 50}));
  EXPECT_EQ(list(selector, 4), (Ids{1, 2, 4, 3}));
  EXPECT_EQ(list(selector, 4), (Ids{2, 4, 1, 3}));
  EXPECT_EQ(picks(selector, 4), (Ids{4, 1, 2, 4}));
}

TEST(LeastUsed, a_re_registration_with_the_same_load_keeps_its_turn) {
  Selector selector(PolicyType::least_used, 1, with_loads({10, 10, 10}));
  picks(selector, 1);
  selector.update(1, 2, {.load = 10});
  EXPECT_EQ(picks(selector, 3), (Ids{2, 3, 1}));
}

TEST(PriorityLeastUsed, RFC5356_5_3_the_sum_of_load_and_degradation_decides) {
  // The RFC's example: 50 % + 10 % goes before 50 % + 50 %.
  const uint32_t half = kFull / 2;
  Selector selector(PolicyType::priority_least_used, 1,
                    elements({{.load = half, .load_degradation = half},
                              {.load = half, .load_degradation = kFull / 10},
                              {.load = kFull, .load_degradation = kFull}}));
  EXPECT_EQ(list(selector, 3), (Ids{2, 1, 3}));
  EXPECT_EQ(picks(selector, 3), (Ids{2, 2, 2}));
}

TEST(LeastUsedDegradation, RFC5356_5_2_2_each_selection_adds_the_degradation) {
  Selector selector(PolicyType::least_used_degradation, 1,
                    elements({{.load = 0, .load_degradation = 10}, {.load = 25, .load_degradation = 10}}));
  // 0, 10, 20 | 25 | 30, then 35 and 40 ...
  EXPECT_EQ(picks(selector, 7), (Ids{1, 1, 1, 2, 1, 2, 1}));
  EXPECT_EQ(selector.degradations(0), 5u);
  EXPECT_EQ(selector.degradations(1), 2u);
}

TEST(LeastUsedDegradation, RFC5356_5_2_2_all_that_are_listed_degrade) {
  Selector selector(PolicyType::least_used_degradation, 1, with_loads({0, 1, 2, 100}, 10));
  EXPECT_EQ(list(selector, 2), (Ids{1, 2}));
  EXPECT_EQ(selector.degradations(0), 1u);
  EXPECT_EQ(selector.degradations(1), 1u);
  EXPECT_EQ(selector.degradations(2), 0u);
  EXPECT_EQ(list(selector, 3), (Ids{3, 1, 2}));
}

TEST(LeastUsedDegradation, RFC5356_5_2_2_a_registration_resets_the_counter) {
  Selector selector(PolicyType::least_used_degradation, 1, with_loads({0, 5}, 10));
  EXPECT_EQ(picks(selector, 3), (Ids{1, 2, 1}));
  selector.update(0, 2, {.load = 0, .load_degradation = 10});
  EXPECT_EQ(selector.degradations(0), 0u);
  EXPECT_EQ(picks(selector, 2), (Ids{1, 1}));
}

TEST(LeastUsedDegradation, degradation_0_is_least_used_with_turns) {
  Selector selector(PolicyType::least_used_degradation, 1, with_loads({5, 5, 9}, 0));
  EXPECT_EQ(picks(selector, 4), (Ids{1, 2, 1, 2}));
}

// RFC 5356 §5.2.2: as in LU, equals take turns, also where a list has all of them: the users that take its
// first would all come to the same one.
TEST(LeastUsedDegradation, RFC5356_5_2_2_equals_that_are_all_listed_take_turns_at_the_head) {
  for (const PolicyType type :
       {PolicyType::least_used_degradation, PolicyType::priority_least_used_degradation,
        PolicyType::least_used_degradation_dpf}) {
    for (const uint32_t degradation : {0u, 10u, kFull}) {
      Selector selector(type, 1, with_loads({5, 5, 5, 9}, degradation));
      EXPECT_EQ(list(selector, 4), (Ids{1, 2, 3, 4}));
      EXPECT_EQ(list(selector, 4), (Ids{2, 3, 1, 4}));
      EXPECT_EQ(list(selector, 4), (Ids{3, 1, 2, 4}));
      EXPECT_EQ(list(selector, 4), (Ids{1, 2, 3, 4}));
    }
  }
}

TEST(LeastUsedDegradation, of_equals_each_is_at_the_head_of_some_lists_however_long_they_are) {
  for (const size_t length : {2u, 3u, 4u, 5u}) {
    for (const uint32_t degradation : {0u, 10u}) {
      Selector selector(PolicyType::least_used_degradation, 1, with_loads({0, 0, 0, 0, 0}, degradation));
      std::map<PeId, size_t> first;
      for (int i = 0; i < 100; ++i) ++first[list(selector, length).front()];
      for (PeId id = 1; id <= 5; ++id) EXPECT_GE(first[id], 10u) << length << " " << degradation;
    }
  }
}

TEST(LeastUsedDegradation, the_counter_saturates) {
  Selector selector(PolicyType::least_used_degradation, 1, with_loads({kFull, kFull}, kFull));
  selector.add_degradations(0, kFull);
  selector.add_degradations(0, 5);
  EXPECT_EQ(selector.degradations(0), kFull);
  EXPECT_EQ(picks(selector, 3), (Ids{2, 2, 2}));
}

TEST(LeastUsedDegradation, selections_of_other_threads_count) {
  Selector selector(PolicyType::least_used_degradation, 1, with_loads({0, 0}, 1));
  selector.add_degradations(0, 3);
  EXPECT_EQ(picks(selector, 5), (Ids{2, 2, 2, 1, 2}));
  Selector least_used(PolicyType::least_used, 1, with_loads({0, 0}, 1));
  least_used.add_degradations(0, 3);
  EXPECT_EQ(least_used.degradations(0), 0u);
}

TEST(PriorityLeastUsedDegradation, the_counter_comes_on_top_of_load_and_degradation) {
  Selector selector(PolicyType::priority_least_used_degradation, 1,
                    elements({{.load = 0, .load_degradation = 30}, {.load = 10, .load_degradation = 10}}));
  // sums: 30 | 20, then 30 | 30 (by turns: 1 came first), then 60 | 30
  EXPECT_EQ(picks(selector, 4), (Ids{2, 1, 2, 2}));
}

TEST(DelayFactor, least_used_prefers_the_near) {
  Selector selector(PolicyType::least_used_dpf, 1,
                    elements({{.load = 100, .delay_factor = 10, .distance = 50},
                              {.load = 500, .delay_factor = 10, .distance = 0},
                              {.load = 599, .delay_factor = 10, .distance = 0}}));
  EXPECT_EQ(list(selector, 3), (Ids{2, 3, 1}));
}

TEST(DelayFactor, least_used_degradation_counts_too) {
  Selector selector(PolicyType::least_used_degradation_dpf, 1,
                    elements({{.load = 0, .load_degradation = 100, .delay_factor = 10, .distance = 5},
                              {.load = 40, .load_degradation = 100, .delay_factor = 10, .distance = 0}}));
  EXPECT_EQ(picks(selector, 4), (Ids{2, 1, 2, 1}));
}

TEST(Selector, lists_have_no_duplicates_whatever_the_policy) {
  for (const uint32_t type :
       {1u, 2u, 3u, 4u, 5u, 0x40000001u, 0x40000002u, 0x40000003u, 0x40000004u, 0xb0001001u, 0xb0001002u,
        0xb0001003u, 0xb0001004u, 0xb0002001u, 0xb0002002u, 0xb0002003u}) {
    std::vector<PolicySettings> settings;
    Random random(type);
    for (int i = 0; i < 50; ++i) {
      settings.push_back({.weight = static_cast<uint32_t>(random.below(i % 2 == 0 ? 4 : kFull) + 1),
                          .load = static_cast<uint32_t>(random.below(i % 3 == 0 ? 4 : kFull)),
                          .load_degradation = static_cast<uint32_t>(random.below(1 << 20)),
                          .delay_factor = static_cast<uint32_t>(random.below(1 << 20)),
                          .distance = static_cast<uint32_t>(random.below(200))});
    }
    Selector selector(static_cast<PolicyType>(type), 5, elements(settings));
    for (const size_t n : {1u, 5u, 20u, 49u, 50u, 60u}) {
      for (int repeat = 0; repeat < 20; ++repeat) {
        const Ids ids = list(selector, n);
        ASSERT_EQ(ids.size(), std::min<size_t>(n, 50)) << policy_name(selector.type());
        ASSERT_EQ(std::set<PeId>(ids.begin(), ids.end()).size(), ids.size()) << policy_name(selector.type());
      }
    }
  }
}

}  // namespace
}  // namespace poolgate::rserpool
