// SPDX-License-Identifier: BSD-3-Clause
// Each random policy against the probabilities that RFC 5356 and RSPLIB's definitions give, by chi-square
// with fixed seeds: a fair selector passes always, a wrong one never.
#include <gtest/gtest.h>

#include <algorithm>
#include <numeric>

#include "controlplane/rserpool/policy/selector.h"
#include "tests/unit/chi_square.h"
#include "tests/unit/policy_pools.h"
#include "tests/unit/sanitizer.h"

namespace poolgate::rserpool {
namespace {

constexpr uint32_t kFull = 0xffffffff;
constexpr int kSample = test::unless_sanitized(200'000, 50'000);

std::vector<double> shares(const std::vector<double>& weights) {
  const double sum = std::accumulate(weights.begin(), weights.end(), 0.0);
  std::vector<double> shares;
  for (const double weight : weights) shares.push_back(weight / sum);
  return shares;
}

// First picks, by slot.
std::vector<uint64_t> sample(Selector& selector, size_t n) {
  std::vector<uint64_t> observed(n);
  for (int i = 0; i < kSample; ++i) ++observed[selector.pick()];
  return observed;
}

void expect_shares(PolicyType type, const std::vector<SelectorElement>& pool,
                   const std::vector<double>& weights) {
  Selector selector(type, 20261121, pool);
  const auto observed = sample(selector, pool.size());
  EXPECT_LT(test::chi_square(observed, shares(weights)), test::chi_square_limit(pool.size()))
      << policy_name(type);
  // The test can fail: the same sample is not uniform.
  const std::vector<double> even(pool.size(), 1.0);
  if (shares(weights) != shares(even)) {
    EXPECT_GT(test::chi_square(observed, shares(even)), test::chi_square_limit(pool.size()))
        << policy_name(type);
  }
}

TEST(PolicyRandom, RFC5356_4_3_RAND_is_uniform) {
  expect_shares(PolicyType::random, test::with_weights({9, 1, 1, 1, 1, 1, 1}), {1, 1, 1, 1, 1, 1, 1});
}

TEST(PolicyRandom, RFC5356_4_4_WRAND_goes_by_weight) {
  expect_shares(PolicyType::weighted_random, test::with_weights({1, 2, 3, 10, 4}), {1, 2, 3, 10, 4});
}

TEST(PolicyRandom, RFC5356_4_4_WRAND_sums_beyond_32_bits) {
  constexpr uint32_t kHalf = kFull / 2;
  expect_shares(PolicyType::weighted_random, test::with_weights({kFull, kHalf, kFull, kHalf, kFull}),
                {kFull, kHalf, kFull, kHalf, kFull});
}

TEST(PolicyRandom, RFC5356_5_4_RLU_goes_by_what_is_left) {
  const uint32_t percent = kFull / 100;
  expect_shares(PolicyType::randomized_least_used,
                test::with_loads({10 * percent, 50 * percent, 90 * percent, 0}), {90, 50, 10, 100});
}

TEST(PolicyRandom, RPLU_goes_by_what_is_left_after_one_more) {
  const uint32_t percent = kFull / 100;
  expect_shares(PolicyType::randomized_priority_least_used,
                test::elements({{.load = 10 * percent, .load_degradation = 10 * percent},
                                {.load = 10 * percent, .load_degradation = 80 * percent},
                                {.load = 0, .load_degradation = 50 * percent}}),
                {80, 10, 50});
}

TEST(PolicyRandom, WRAND_DPF_goes_by_weight_that_distance_lessens) {
  const uint32_t percent = kFull / 100;
  expect_shares(PolicyType::weighted_random_dpf,
                test::elements({{.weight = 1000, .delay_factor = percent, .distance = 50},
                                {.weight = 1000, .delay_factor = percent, .distance = 0},
                                {.weight = 4000, .delay_factor = percent, .distance = 75}}),
                {500, 1000, 1000});
}

// Policies with degradation change as they pick: here the counters are set back by a registration before each
// pick.
void expect_shares_degraded(PolicyType type, const std::vector<SelectorElement>& pool,
                            const std::vector<uint32_t>& counts, const std::vector<double>& weights) {
  Selector selector(type, 20261121, pool);
  std::vector<uint64_t> observed(pool.size());
  for (int i = 0; i < kSample / 10; ++i) {
    for (Slot slot = 0; slot < pool.size(); ++slot) {
      selector.update(slot, 1, pool[slot].policy);
      selector.add_degradations(slot, counts[slot]);
    }
    const Slot slot = selector.pick();
    ASSERT_EQ(selector.degradations(slot), counts[slot] + 1);
    ++observed[slot];
  }
  EXPECT_LT(test::chi_square(observed, shares(weights)), test::chi_square_limit(pool.size()))
      << policy_name(type);
}

TEST(PolicyRandom, RLUD_goes_by_what_is_left_after_degradations) {
  const uint32_t percent = kFull / 100;
  const auto pool = test::with_loads({0, 20 * percent, 0, 60 * percent}, 10 * percent);
  expect_shares_degraded(PolicyType::randomized_least_used_degradation, pool, {0, 3, 7, 1},
                         {100, 50, 30, 30});
}

TEST(PolicyRandom, RPLUD_counts_one_degradation_more) {
  const uint32_t percent = kFull / 100;
  const auto pool = test::with_loads({0, 20 * percent, 0, 60 * percent}, 10 * percent);
  expect_shares_degraded(PolicyType::randomized_priority_least_used_degradation, pool, {0, 3, 7, 1},
                         {90, 40, 20, 20});
}

TEST(PolicyRandom, RLUD_spreads_evenly_in_the_long_run) {
  Selector selector(PolicyType::randomized_least_used_degradation, 3,
                    test::with_loads({0, 0, 0, 0}, kFull / 1000));
  for (int i = 0; i < 3600; ++i) selector.pick();
  for (Slot slot = 0; slot < 4; ++slot) EXPECT_NEAR(selector.degradations(slot), 900u, 30);
}

// Every order of a whole list, against the product of the probabilities of drawing without replacement.
void expect_orders(PolicyType type, std::vector<uint32_t> weights, const std::vector<double>& real,
                   size_t zeros = 0) {
  weights.resize(real.size() + zeros);
  Selector selector(type, 99, test::with_weights(weights));
  std::vector<Slot> order(real.size());
  std::iota(order.begin(), order.end(), 0);
  std::vector<std::vector<Slot>> orders;
  std::vector<double> probability;
  do {
    double left = std::accumulate(real.begin(), real.end(), 0.0);
    double p = 1;
    for (const Slot slot : order) {
      p *= real[slot] / left;
      left -= real[slot];
    }
    orders.push_back(order);
    probability.push_back(p);
  } while (std::next_permutation(order.begin(), order.end()));

  std::vector<uint64_t> observed(orders.size());
  for (int i = 0; i < kSample; ++i) {
    ASSERT_EQ(selector.select(order), order.size());
    ++observed[static_cast<size_t>(std::find(orders.begin(), orders.end(), order) - orders.begin())];
  }
  EXPECT_LT(test::chi_square(observed, probability), test::chi_square_limit(orders.size()));
}

TEST(PolicyRandom, RFC5356_4_3_2_lists_of_RAND_have_every_order_alike) {
  expect_orders(PolicyType::random, {1, 1, 1, 1}, {1, 1, 1, 1});
}

TEST(PolicyRandom, RFC5356_4_4_2_lists_of_WRAND_are_drawn_without_replacement) {
  expect_orders(PolicyType::weighted_random, {1, 2, 3, 4}, {1, 2, 3, 4});
  expect_orders(PolicyType::weighted_random, {1, 30, 3, 2}, {1, 30, 3, 2});
}

TEST(PolicyRandom, RFC5356_4_4_2_lists_of_large_pools_are_too) {
  // Elements of weight 0 make the pool large without making the orders many.
  expect_orders(PolicyType::weighted_random, {1, 2, 3, 4}, {1, 2, 3, 4}, 100);
  expect_orders(PolicyType::weighted_random, {1, 30, 3, 2}, {1, 30, 3, 2}, 100);
}

TEST(PolicyRandom, RFC5356_3_2_weight_0_is_never_listed_and_extremes_are) {
  Selector selector(PolicyType::weighted_random, 1, test::with_weights({0, kFull, 1, 0}));
  for (int i = 0; i < 1000; ++i) EXPECT_EQ(test::list(selector, 4), (std::vector<PeId>{2, 3}));
  Selector none(PolicyType::weighted_random, 1, test::with_weights({0, 0}));
  EXPECT_EQ(none.pick(), kNoSlot);
}

TEST(PolicyRandom, a_pool_of_fully_loaded_elements_is_still_served_evenly) {
  expect_shares(PolicyType::randomized_least_used, test::with_loads({kFull, kFull, kFull}), {1, 1, 1});
}

TEST(PolicyRandom, the_same_seed_gives_the_same_picks) {
  const auto pool = test::with_weights({1, 2, 3, 4});
  Selector a(PolicyType::weighted_random, 5, pool);
  Selector b(PolicyType::weighted_random, 5, pool);
  Selector c(PolicyType::weighted_random, 6, pool);
  const auto picks_of_a = test::picks(a, 100);
  EXPECT_EQ(picks_of_a, test::picks(b, 100));
  EXPECT_NE(picks_of_a, test::picks(c, 100));
}

}  // namespace
}  // namespace poolgate::rserpool
