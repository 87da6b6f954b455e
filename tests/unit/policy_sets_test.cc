// SPDX-License-Identifier: BSD-3-Clause
// The structures that selection stands on, against plain models.
#include <gtest/gtest.h>

#include <algorithm>
#include <list>
#include <vector>

#include "controlplane/rserpool/policy/ordered_set.h"
#include "controlplane/rserpool/policy/random.h"
#include "controlplane/rserpool/policy/uniform_set.h"
#include "controlplane/rserpool/policy/weight_tree.h"
#include "tests/unit/chi_square.h"

namespace poolgate::rserpool {
namespace {

struct Keyed {
  uint32_t slot;
  uint64_t key;
  bool operator==(const Keyed&) const = default;
};

class OrderedModel {
 public:
  void insert(uint32_t slot, uint64_t key) {
    items_.insert(std::find_if(items_.begin(), items_.end(), [key](const Keyed& k) { return k.key > key; }),
                  {slot, key});
  }
  void erase(uint32_t slot) { items_.erase(at(slot)); }
  void rotate(uint32_t slot) {
    const uint64_t key = at(slot)->key;
    erase(slot);
    insert(slot, key);
  }
  bool contains(uint32_t slot) { return at(slot) != items_.end(); }
  std::vector<Keyed> items() const { return {items_.begin(), items_.end()}; }

 private:
  std::list<Keyed>::iterator at(uint32_t slot) {
    return std::find_if(items_.begin(), items_.end(), [slot](const Keyed& k) { return k.slot == slot; });
  }
  std::list<Keyed> items_;
};

std::vector<Keyed> items(const OrderedSet& set) {
  std::vector<Keyed> all;
  for (OrderedSet::Walk walk(set); walk.slot() != OrderedSet::kNone; walk.advance()) {
    all.push_back({walk.slot(), set.key(walk.slot())});
  }
  return all;
}

TEST(OrderedSet, keeps_the_order_of_a_stably_sorted_list_under_any_changes) {
  Random random(42);
  for (const uint64_t keys : {1, 3, 20, 1000}) {
    OrderedSet set;
    OrderedModel model;
    for (int step = 0; step < 4000; ++step) {
      const auto slot = static_cast<uint32_t>(random.below(64));
      const uint64_t key = random.below(keys) << 40;
      ASSERT_EQ(set.contains(slot), model.contains(slot));
      if (!set.contains(slot)) {
        set.insert(slot, key);
        model.insert(slot, key);
      } else if (random.below(2) == 0) {
        set.rotate(slot);
        model.rotate(slot);
      } else {
        set.erase(slot);
        model.erase(slot);
      }
      ASSERT_EQ(items(set), model.items());
    }
  }
}

TEST(OrderedSet, keys_are_lowered_together) {
  OrderedSet set;
  set.insert(0, 10);
  set.insert(1, 10);
  set.insert(2, 7);
  set.lower_keys(7);
  EXPECT_EQ(items(set), (std::vector<Keyed>{{2, 0}, {0, 3}, {1, 3}}));
  set.insert(3, 3);
  set.insert(4, 1);
  EXPECT_EQ(items(set), (std::vector<Keyed>{{2, 0}, {4, 1}, {0, 3}, {1, 3}, {3, 3}}));
}

TEST(WeightTree, every_point_lies_in_the_share_of_its_slot) {
  Random random(7);
  WeightTree tree;
  std::vector<uint32_t> weights;
  for (uint32_t slot = 0; slot < 37; ++slot) {
    weights.push_back(static_cast<uint32_t>(random.below(5)));
    tree.set(slot, weights.back());
    uint64_t point = 0;
    for (uint32_t s = 0; s < weights.size(); ++s) {
      for (uint32_t i = 0; i < weights[s]; ++i) ASSERT_EQ(tree.find(point++), s);
    }
    ASSERT_EQ(tree.total(), point);
  }
  for (int step = 0; step < 200; ++step) {
    const auto slot = static_cast<uint32_t>(random.below(weights.size()));
    weights[slot] = static_cast<uint32_t>(random.below(5));
    tree.set(slot, weights[slot]);
    uint64_t point = 0;
    for (uint32_t s = 0; s < weights.size(); ++s) {
      for (uint32_t i = 0; i < weights[s]; ++i) ASSERT_EQ(tree.find(point++), s);
    }
    ASSERT_EQ(tree.total(), point);
  }
}

TEST(WeightTree, sums_go_beyond_32_bits) {
  WeightTree tree;
  for (uint32_t slot = 0; slot < 1000; ++slot) tree.set(slot, 0xffffffff);
  EXPECT_EQ(tree.total(), 1000ull * 0xffffffff);
  EXPECT_EQ(tree.find(0), 0u);
  EXPECT_EQ(tree.find(0xfffffffeull), 0u);
  EXPECT_EQ(tree.find(0xffffffffull), 1u);
  EXPECT_EQ(tree.find(tree.total() - 1), 999u);
}

TEST(Random, below_is_uniform_also_where_a_plain_remainder_is_not) {
  // Of 3 * 2^62 values a remainder of 2^64 would give the first third twice as often.
  const uint64_t bound = 3ull << 62;
  Random random(11);
  std::vector<uint64_t> thirds(3);
  for (int i = 0; i < 30000; ++i) ++thirds[random.below(bound) >> 62];
  const std::vector<double> even(3, 1.0 / 3);
  EXPECT_LT(test::chi_square(thirds, even), test::chi_square_limit(3));
  for (int i = 0; i < 100; ++i) EXPECT_EQ(random.below(1), 0u);
}

TEST(UniformSet, draws_each_once_and_forgets_what_is_erased) {
  UniformSet set;
  Random random(3);
  for (uint32_t slot = 0; slot < 10; ++slot) set.insert(slot);
  set.erase(9);
  set.erase(4);
  std::vector<uint32_t> drawn;
  for (size_t n = 0; n < set.size(); ++n) drawn.push_back(set.draw(n, random));
  std::sort(drawn.begin(), drawn.end());
  EXPECT_EQ(drawn, (std::vector<uint32_t>{0, 1, 2, 3, 5, 6, 7, 8}));
  EXPECT_FALSE(set.contains(4));
  EXPECT_TRUE(set.contains(5));
}

}  // namespace
}  // namespace poolgate::rserpool
