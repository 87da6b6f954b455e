// SPDX-License-Identifier: BSD-3-Clause
#include "drivers/held_packets.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace poolgate::drivers {
namespace {

using ::testing::ElementsAre;

// Held packets are never looked into: addresses do.
rte_mbuf* packet(uintptr_t number) { return reinterpret_cast<rte_mbuf*>(number * 64); }

TEST(HeldPackets, leave_in_the_order_they_came) {
  HeldPackets held;
  ASSERT_TRUE(held.hold(7, packet(1), 0));
  ASSERT_TRUE(held.hold(8, packet(2), 0));
  ASSERT_TRUE(held.hold(7, packet(3), 1));
  EXPECT_THAT(held.take(7), ElementsAre(packet(1), packet(3)));
  EXPECT_EQ(held.size(), 1u);
  EXPECT_TRUE(held.take(7).empty());
}

TEST(HeldPackets, at_most_16_a_neighbour) {
  HeldPackets held;
  for (uintptr_t i = 1; i <= 16; ++i) ASSERT_TRUE(held.hold(1, packet(i), 0));
  EXPECT_FALSE(held.hold(1, packet(17), 0));
  EXPECT_TRUE(held.hold(2, packet(17), 0));
  EXPECT_EQ(held.size(), 17u);
}

TEST(HeldPackets, expire_after_a_second_and_not_before) {
  HeldPackets held;
  ASSERT_TRUE(held.hold(1, packet(1), 1000));
  ASSERT_TRUE(held.hold(1, packet(2), 1500));
  std::vector<rte_mbuf*> expired;
  const auto collect = [&](rte_mbuf* p) { expired.push_back(p); };
  held.expire(1999, collect);
  EXPECT_TRUE(expired.empty());
  held.expire(2000, collect);
  EXPECT_THAT(expired, ElementsAre(packet(1)));
  held.expire(2500, collect);
  EXPECT_THAT(expired, ElementsAre(packet(1), packet(2)));
  EXPECT_EQ(held.size(), 0u);
}

TEST(HeldPackets, do_not_age_while_nothing_runs) {
  HeldPackets held;
  ASSERT_TRUE(held.hold(1, packet(1), 1000));
  std::vector<rte_mbuf*> expired;
  held.skip(30'000);
  held.expire(31'999, [&](rte_mbuf* p) { expired.push_back(p); });
  EXPECT_TRUE(expired.empty());
  held.expire(32'000, [&](rte_mbuf* p) { expired.push_back(p); });
  EXPECT_THAT(expired, ElementsAre(packet(1)));
}

TEST(HeldPackets, are_bounded_over_all_neighbours) {
  HeldPackets held;
  for (uint32_t i = 0; i < HeldPackets::kTotal; ++i) ASSERT_TRUE(held.hold(i, packet(i + 1), 0));
  EXPECT_FALSE(held.hold(HeldPackets::kTotal, packet(1), 0));
}

}  // namespace
}  // namespace poolgate::drivers
