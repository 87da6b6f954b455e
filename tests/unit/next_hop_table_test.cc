// SPDX-License-Identifier: BSD-3-Clause
#include "drivers/next_hop_table.h"

#include <gtest/gtest.h>

#include <cstring>

#include "tests/unit/eal_environment.h"

namespace poolgate::drivers {
namespace {

using rserpool::IpAddress;

constexpr MacAddress kSource = {2, 0, 0, 0, 0, 1};
constexpr MacAddress kDestination = {2, 0, 0, 0, 0, 9};

NextHopTable::Key key(const char* text, uint32_t ifindex) { return {*IpAddress::parse(text), ifindex}; }

class NextHops : public ::testing::Test {
 protected:
  void SetUp() override {
    auto made = NextHopTable::create("test", 4);
    ASSERT_TRUE(made.ok()) << made.error().text;
    table_ = std::move(*made);
  }
  std::unique_ptr<NextHopTable> table_;
};

TEST_F(NextHops, an_entry_is_incomplete_until_its_mac_is_known) {
  const NextHopIndex index = table_->acquire(key("10.0.0.1", 3), 5, kSource, 1400);
  ASSERT_NE(index, kNoNextHop);
  const NextHop& entry = (*table_)[index];
  EXPECT_EQ(entry.state.load(), NextHop::incomplete);
  table_->resolve(index, kDestination);
  EXPECT_EQ(entry.state.load(), NextHop::resolved);
  EXPECT_EQ(std::memcmp(entry.ether_addresses, kDestination.data(), 6), 0);
  EXPECT_EQ(std::memcmp(entry.ether_addresses + 6, kSource.data(), 6), 0);
  EXPECT_EQ(entry.port_id, 5);
  EXPECT_EQ(entry.mtu, 1400);
}

TEST_F(NextHops, one_address_on_two_interfaces_is_two_neighbours) {
  const NextHopIndex first = table_->acquire(key("fe80::1", 3), 0, kSource, 1500);
  const NextHopIndex second = table_->acquire(key("fe80::1", 4), 1, kSource, 1500);
  EXPECT_NE(first, second);
  EXPECT_EQ(table_->acquire(key("fe80::1", 3), 0, kSource, 1500), first);
  EXPECT_EQ(table_->find(key("fe80::1", 4)), second);
  EXPECT_EQ(table_->find(key("fe80::1", 5)), kNoNextHop);
}

TEST_F(NextHops, an_ipv4_address_is_not_the_ipv6_address_with_its_bytes) {
  table_->acquire(key("10.0.0.1", 3), 0, kSource, 1500);
  EXPECT_EQ(table_->find(key("a00:1::", 3)), kNoNextHop);
}

TEST_F(NextHops, a_full_table_says_so_and_a_released_index_returns_only_when_recycled) {
  NextHopIndex last = kNoNextHop;
  for (const char* a : {"10.0.0.1", "10.0.0.2", "10.0.0.3", "10.0.0.4"})
    ASSERT_NE(last = table_->acquire(key(a, 3), 0, kSource, 1500), kNoNextHop);
  EXPECT_EQ(table_->acquire(key("10.0.0.5", 3), 0, kSource, 1500), kNoNextHop);
  table_->release(last);
  EXPECT_EQ(table_->find(key("10.0.0.4", 3)), kNoNextHop);
  EXPECT_EQ((*table_)[last].state.load(), NextHop::unused);
  EXPECT_EQ(table_->acquire(key("10.0.0.5", 3), 0, kSource, 1500), kNoNextHop);
  table_->recycle(last);
  EXPECT_EQ(table_->acquire(key("10.0.0.5", 3), 0, kSource, 1500), last);
  EXPECT_EQ((*table_)[last].state.load(), NextHop::incomplete);
}

}  // namespace
}  // namespace poolgate::drivers
