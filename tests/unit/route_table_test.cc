// SPDX-License-Identifier: BSD-3-Clause
#include "drivers/route_table.h"

#include <gtest/gtest.h>

#include <set>

namespace poolgate::drivers {
namespace {

using rserpool::IpAddress;

IpAddress ip(const char* text) { return *IpAddress::parse(text); }

RouteEntry route(const char* destination, uint8_t length, std::vector<RouteHop> hops, uint32_t metric = 0) {
  return RouteEntry{ip(destination), length, 254, metric, 0, std::move(hops)};
}

TEST(RouteTable, longest_prefix_wins_in_both_families) {
  const RouteTable table({route("0.0.0.0", 0, {{ip("10.0.0.1"), 1}}), route("10.0.0.0", 8, {{{}, 2}}),
                          route("10.1.0.0", 16, {{{}, 3}}), route("10.1.2.3", 32, {{{}, 4}}),
                          route("2001:db8::", 32, {{{}, 5}}), route("2001:db8:0:1::", 64, {{{}, 6}})});
  EXPECT_EQ(table.lookup(ip("192.0.2.1"))->hops[0].gateway, ip("10.0.0.1"));
  EXPECT_EQ(table.lookup(ip("10.2.0.1"))->hops[0].ifindex, 2u);
  EXPECT_EQ(table.lookup(ip("10.1.2.4"))->hops[0].ifindex, 3u);
  EXPECT_EQ(table.lookup(ip("10.1.2.3"))->hops[0].ifindex, 4u);
  EXPECT_EQ(table.lookup(ip("2001:db8:0:1::7"))->hops[0].ifindex, 6u);
  EXPECT_EQ(table.lookup(ip("2001:db8:0:2::7"))->hops[0].ifindex, 5u);
  EXPECT_EQ(table.lookup(ip("2001:db9::1")), nullptr);
}

TEST(RouteTable, of_two_routes_to_a_prefix_the_lower_metric_counts) {
  const RouteTable table({route("10.0.0.0", 8, {{{}, 1}}, 100), route("10.0.0.0", 8, {{{}, 2}}, 20),
                          route("10.0.0.0", 8, {{{}, 3}}, 300)});
  EXPECT_EQ(table.lookup(ip("10.0.0.1"))->hops[0].ifindex, 2u);
}

TEST(RouteTable, a_route_without_a_hop_covers_what_lies_behind_it) {
  const RouteTable table({route("0.0.0.0", 0, {{ip("10.0.0.1"), 1}}), route("172.16.0.0", 12, {})});
  const RouteEntry* found = table.lookup(ip("172.16.5.5"));
  ASSERT_NE(found, nullptr);
  EXPECT_EQ(RouteTable::pick(*found, ip("172.16.5.5")), nullptr);
}

TEST(RouteTable, equal_cost_hops_share_destinations_and_keep_each) {
  const RouteEntry several =
      route("0.0.0.0", 0, {{ip("10.0.0.1"), 1}, {ip("10.0.0.2"), 1}, {ip("10.0.0.3"), 1}});
  std::set<const RouteHop*> used;
  for (int i = 1; i < 200; ++i) {
    const IpAddress to = ip(("192.0.2." + std::to_string(i)).c_str());
    used.insert(RouteTable::pick(several, to));
    EXPECT_EQ(RouteTable::pick(several, to), RouteTable::pick(several, to));
  }
  EXPECT_EQ(used.size(), 3u);
}

TEST(RouteTable, masks_at_every_length) {
  EXPECT_EQ(masked(ip("255.255.255.255"), 0), ip("0.0.0.0"));
  EXPECT_EQ(masked(ip("255.255.255.255"), 1), ip("128.0.0.0"));
  EXPECT_EQ(masked(ip("255.255.255.255"), 31), ip("255.255.255.254"));
  EXPECT_EQ(masked(ip("255.255.255.255"), 32), ip("255.255.255.255"));
  EXPECT_EQ(masked(ip("ffff:ffff:ffff::1"), 33), ip("ffff:ffff:8000::"));
  EXPECT_EQ(masked(ip("2001:db8::1"), 128), ip("2001:db8::1"));
}

}  // namespace
}  // namespace poolgate::drivers
