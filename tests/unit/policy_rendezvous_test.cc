// SPDX-License-Identifier: BSD-3-Clause
#include "controlplane/rserpool/policy/rendezvous.h"

#include <gtest/gtest.h>

#include <algorithm>

#include "tests/unit/chi_square.h"
#include "tests/unit/policy_pools.h"
#include "tests/unit/sanitizer.h"

namespace poolgate::rserpool {
namespace {

constexpr uint32_t kFull = 0xffffffff;
constexpr int kClients = test::unless_sanitized(200'000, 20'000);

uint64_t client(int i) { return mix64(static_cast<uint64_t>(i) + 1); }

std::vector<PeId> owners(const Rendezvous& rendezvous, const std::vector<SelectorElement>& pool) {
  std::vector<PeId> owners;
  for (int i = 0; i < kClients; ++i) owners.push_back(pool[rendezvous.pick(client(i))].id);
  return owners;
}

void expect_shares(const std::vector<SelectorElement>& pool, PolicyType type,
                   const std::vector<double>& weights) {
  const Rendezvous rendezvous(type, pool);
  std::vector<uint64_t> observed(pool.size());
  for (int i = 0; i < kClients; ++i) ++observed[rendezvous.pick(client(i))];
  double sum = 0;
  for (const double w : weights) sum += w;
  std::vector<double> shares;
  for (const double w : weights) shares.push_back(w / sum);
  EXPECT_LT(test::chi_square(observed, shares), test::chi_square_limit(pool.size()));
}

TEST(Rendezvous, weights_are_honoured) {
  expect_shares(test::with_weights({1, 2, 3, 10, 4}), PolicyType::weighted_random, {1, 2, 3, 10, 4});
  expect_shares(test::with_weights({kFull, kFull / 4, kFull / 2}), PolicyType::weighted_round_robin,
                {4, 1, 2});
}

TEST(Rendezvous, without_weights_all_have_the_same_share) {
  expect_shares(test::with_weights({1, 2, 3, 10, 4}), PolicyType::round_robin, {1, 1, 1, 1, 1});
  expect_shares(test::with_loads({1, kFull, 3, 10}), PolicyType::least_used, {1, 1, 1, 1});
}

TEST(Rendezvous, weight_0_gets_nobody) {
  const auto pool = test::with_weights({0, 5, 0});
  const Rendezvous rendezvous(PolicyType::weighted_random, pool);
  for (int i = 0; i < 1000; ++i) EXPECT_EQ(rendezvous.pick(client(i)), 1u);
  EXPECT_EQ(Rendezvous(PolicyType::weighted_random, test::with_weights({0})).pick(1), kNoSlot);
  EXPECT_EQ(Rendezvous(PolicyType::round_robin, {}).pick(1), kNoSlot);
}

class RendezvousOfSize : public testing::TestWithParam<size_t> {
 protected:
  std::vector<SelectorElement> pool(bool weighted) const {
    std::vector<uint32_t> weights;
    for (size_t i = 0; i < GetParam(); ++i)
      weights.push_back(weighted ? static_cast<uint32_t>(i % 9 + 1) : 1);
    return test::with_weights(weights);
  }
};

TEST_P(RendezvousOfSize, a_pe_that_goes_leaves_its_clients_and_moves_no_other) {
  for (const bool weighted : {false, true}) {
    auto elements = pool(weighted);
    const auto before = owners(Rendezvous(PolicyType::weighted_random, elements), elements);
    const PeId gone = elements[elements.size() / 2].id;
    elements.erase(elements.begin() + static_cast<long>(elements.size() / 2));
    const auto after = owners(Rendezvous(PolicyType::weighted_random, elements), elements);
    size_t moved = 0;
    for (int i = 0; i < kClients; ++i) {
      if (before[i] == gone) {
        ASSERT_NE(after[i], gone);
        ++moved;
      } else {
        ASSERT_EQ(after[i], before[i]);
      }
    }
    EXPECT_GT(moved, 0u);
  }
}

TEST_P(RendezvousOfSize, a_pe_whose_weight_grows_takes_clients_and_loses_none) {
  auto elements = pool(true);
  const auto before = owners(Rendezvous(PolicyType::weighted_random, elements), elements);
  elements[1].policy.weight *= 3;
  const auto after = owners(Rendezvous(PolicyType::weighted_random, elements), elements);
  for (int i = 0; i < kClients; ++i) ASSERT_TRUE(after[i] == before[i] || after[i] == elements[1].id);
  EXPECT_NE(before, after);
}

TEST_P(RendezvousOfSize, order_registration_load_and_distance_are_of_no_matter) {
  auto elements = pool(true);
  const auto before = owners(Rendezvous(PolicyType::weighted_random_dpf, elements), elements);
  std::reverse(elements.begin(), elements.end());
  for (auto& element : elements) {
    element.registration += 7;
    element.policy.load = element.id;
    element.policy.distance = 100;
    element.policy.delay_factor = kFull / 50;
  }
  EXPECT_EQ(owners(Rendezvous(PolicyType::weighted_random_dpf, elements), elements), before);
}

TEST_P(RendezvousOfSize, who_is_down_is_replaced_as_if_it_were_gone) {
  for (const bool weighted : {false, true}) {
    auto elements = pool(weighted);
    const Rendezvous rendezvous(PolicyType::weighted_random, elements);
    const Slot down = 2;
    std::vector<PeId> picked;
    for (int i = 0; i < kClients; ++i) {
      picked.push_back(elements[rendezvous.pick(client(i), [](Slot slot) { return slot != 2; })].id);
    }
    elements.erase(elements.begin() + down);
    EXPECT_EQ(picked, owners(Rendezvous(PolicyType::weighted_random, elements), elements));
    EXPECT_EQ(rendezvous.pick(1, [](Slot) { return false; }), kNoSlot);
  }
}

INSTANTIATE_TEST_SUITE_P(direct_and_remembered, RendezvousOfSize,
                         testing::Values(5, Rendezvous::kDirect + 20));

// Other appliances, other releases: the choice must not change. Computed from the definition by another
// program, in floating point.
TEST(Rendezvous, the_choice_is_the_same_in_every_release) {
  const std::vector<SelectorElement> pool = {{0x11111111, 1, {.weight = 1}},
                                             {0x22222222, 1, {.weight = 2}},
                                             {0x33333333, 1, {.weight = 3}},
                                             {0x44444444, 1, {.weight = 4}}};
  std::string even;
  std::string weighted;
  const Rendezvous without(PolicyType::round_robin, pool);
  const Rendezvous with(PolicyType::weighted_random, pool);
  for (uint64_t i = 0; i < 40; ++i) {
    even += static_cast<char>('1' + without.pick(i * 0x0666666666666666u));
    weighted += static_cast<char>('1' + with.pick(i * 0x0666666666666666u));
  }
  EXPECT_EQ(even, "1344342111242421431134442423322323311123");
  EXPECT_EQ(weighted, "1344342134242443433134442423344323313123");
}

}  // namespace
}  // namespace poolgate::rserpool
