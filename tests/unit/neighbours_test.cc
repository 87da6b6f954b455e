// SPDX-License-Identifier: BSD-3-Clause
// Against the kernel of a namespace of its own: iproute2 changes its tables, Neighbours follows.
#include "drivers/neighbours.h"

#include <gtest/gtest.h>
#include <poll.h>
#include <rte_malloc.h>
#include <rte_rcu_qsbr.h>

#include <cstring>

#include "drivers/tap.h"
#include "tests/unit/eal_environment.h"
#include "tests/unit/private_network.h"

namespace poolgate::drivers {
namespace {

using rserpool::IpAddress;
using test::run;

IpAddress ip(const char* text) { return *IpAddress::parse(text); }
constexpr MacAddress kMac = {2, 0, 0, 0, 0, 1};

class NeighboursTest : public ::testing::Test {
 protected:
  void SetUp() override {
    auto tap = Tap::open("pg-n0", kMac, 1500);
    ASSERT_TRUE(tap.ok()) << tap.error().text;
    tap_ = std::make_unique<Tap>(std::move(*tap));
    ASSERT_TRUE(tap_->set_carrier(true));
    ASSERT_TRUE(tap_->add_address(ip("192.0.2.1"), 24).ok());
    ASSERT_TRUE(tap_->add_address(ip("2001:db8::1"), 64).ok());
    rcu_ = static_cast<rte_rcu_qsbr*>(rte_zmalloc(nullptr, rte_rcu_qsbr_get_memsize(1), RTE_CACHE_LINE_SIZE));
    ASSERT_EQ(rte_rcu_qsbr_init(rcu_, 1), 0);
    open(16);
  }
  void TearDown() override {
    neighbours_.reset();
    rte_free(rcu_);
    tap_.reset();
    run("ip link del pg-n0");
  }
  void open(uint32_t capacity) {
    neighbours_.reset();
    auto made = Neighbours::open({{tap_->ifindex(), 3, kMac, 1500}}, rcu_, capacity);
    ASSERT_TRUE(made.ok()) << made.error().text;
    neighbours_ = std::move(*made);
    neighbours_->on_change([this](NextHopIndex index) { changed_.push_back(index); });
    neighbours_->on_routes([this] { ++route_changes_; });
  }
  // Follows the kernel until `what` holds; the time is only a stop for a hang.
  template <class What>
  bool follow(What what) {
    for (int i = 0; i < 500; ++i) {
      neighbours_->on_readable();
      neighbours_->tick(now_ms_ += 10);
      if (what()) return true;
      pollfd waiting{neighbours_->fd(), POLLIN, 0};
      poll(&waiting, 1, 10);
    }
    return false;
  }
  NextHop::State state(NextHopIndex index) {
    return static_cast<NextHop::State>(neighbours_->table()[index].state.load());
  }

  uint16_t mtu(NextHopIndex index) { return index == kNoNextHop ? 0 : neighbours_->table()[index].mtu; }

  std::unique_ptr<Tap> tap_;
  rte_rcu_qsbr* rcu_ = nullptr;
  std::unique_ptr<Neighbours> neighbours_;
  std::vector<NextHopIndex> changed_;
  int route_changes_ = 0;
  uint64_t now_ms_ = 1000;
};

TEST_F(NeighboursTest, a_destination_that_nobody_asked_for_has_no_entry_but_a_way) {
  EXPECT_EQ(neighbours_->lookup(ip("192.0.2.7")), kNoNextHop);
  ASSERT_TRUE(neighbours_->way(ip("192.0.2.7")).has_value());
  EXPECT_FALSE(neighbours_->way(ip("192.0.2.7"))->gateway.is_set());
  EXPECT_FALSE(neighbours_->way(ip("203.0.113.1")).has_value());
  EXPECT_EQ(neighbours_->resolve(ip("203.0.113.1"), true), kNoNextHop);
}

TEST_F(NeighboursTest, asking_makes_the_kernel_send_an_arp_request) {
  ASSERT_NE(neighbours_->resolve(ip("192.0.2.7"), false), kNoNextHop);
  uint8_t frame[2048];
  bool asked = false;
  pollfd waiting{tap_->fd(), POLLIN, 0};
  while (!asked && poll(&waiting, 1, 5000) == 1) {
    const size_t n = tap_->read(frame, sizeof frame);
    asked = n >= 42 && frame[12] == 8 && frame[13] == 6 && frame[41] == 7;
  }
  EXPECT_TRUE(asked);
}

TEST_F(NeighboursTest, follows_the_kernels_neighbour_from_incomplete_to_resolved_to_another_mac) {
  const NextHopIndex index = neighbours_->resolve(ip("192.0.2.7"), false);
  EXPECT_EQ(state(index), NextHop::incomplete);
  ASSERT_EQ(run("ip neigh replace 192.0.2.7 lladdr 02:00:00:00:00:07 nud reachable dev pg-n0"), 0);
  ASSERT_TRUE(follow([&] { return state(index) == NextHop::resolved; }));
  EXPECT_EQ(changed_, std::vector<NextHopIndex>{index});
  EXPECT_EQ(neighbours_->lookup(ip("192.0.2.7")), index);
  EXPECT_EQ(neighbours_->table()[index].port_id, 3);
  ASSERT_EQ(run("ip neigh replace 192.0.2.7 lladdr 02:00:00:00:00:08 nud reachable dev pg-n0"), 0);
  EXPECT_TRUE(follow([&] { return neighbours_->table()[index].ether_addresses[5] == 8; }));
}

TEST_F(NeighboursTest, what_the_kernel_knew_before_is_resolved_by_the_first_question) {
  ASSERT_EQ(run("ip neigh replace 192.0.2.8 lladdr 02:00:00:00:00:08 nud permanent dev pg-n0"), 0);
  open(16);
  const NextHopIndex index = neighbours_->resolve(ip("192.0.2.8"), false);
  EXPECT_TRUE(follow([&] { return state(index) == NextHop::resolved; }));
}

TEST_F(NeighboursTest, a_gateway_is_one_next_hop_for_all_behind_it) {
  const uint32_t epoch = neighbours_->epoch();
  ASSERT_EQ(run("ip route add default via 192.0.2.254"), 0);
  ASSERT_TRUE(follow([&] { return route_changes_ == 1; }));
  EXPECT_NE(neighbours_->epoch(), epoch);
  const NextHopIndex index = neighbours_->resolve(ip("203.0.113.1"), true);
  ASSERT_NE(index, kNoNextHop);
  EXPECT_EQ(neighbours_->resolve(ip("203.0.113.99"), true), index);
  EXPECT_EQ(neighbours_->resolve(ip("192.0.2.254"), true), index);
  ASSERT_EQ(run("ip route replace default via 192.0.2.253"), 0);
  ASSERT_TRUE(follow([&] { return route_changes_ == 2; }));
  EXPECT_NE(neighbours_->resolve(ip("203.0.113.1"), true), index);
  ASSERT_EQ(run("ip route del default"), 0);
  ASSERT_TRUE(follow([&] { return route_changes_ == 3; }));
  EXPECT_EQ(neighbours_->lookup(ip("203.0.113.1")), kNoNextHop);
}

TEST_F(NeighboursTest, ipv6_routes_come_and_go) {
  ASSERT_EQ(run("ip -6 route add 2001:db8:9::/48 via 2001:db8::fe"), 0);
  ASSERT_TRUE(follow([&] { return neighbours_->way(ip("2001:db8:9::1")).has_value(); }));
  EXPECT_EQ(neighbours_->way(ip("2001:db8:9::1"))->gateway, ip("2001:db8::fe"));
  ASSERT_EQ(run("ip -6 route add 2001:db8:9::/48 nexthop via 2001:db8::fd 2>/dev/null || "
                "ip -6 route append 2001:db8:9::/48 via 2001:db8::fd"),
            0);
  ASSERT_EQ(run("ip -6 route del 2001:db8:9::/48 via 2001:db8::fe"), 0);
  ASSERT_TRUE(follow([&] {
    const auto way = neighbours_->way(ip("2001:db8:9::1"));
    return way.has_value() && way->gateway == ip("2001:db8::fd");
  }));
  ASSERT_EQ(run("ip -6 route del 2001:db8:9::/48"), 0);
  EXPECT_TRUE(follow([&] { return !neighbours_->way(ip("2001:db8:9::1")).has_value(); }));
}

TEST_F(NeighboursTest, a_route_by_an_interface_that_is_no_port_hides_the_default_route) {
  ASSERT_EQ(
      run("ip link set lo up && ip route add default via 192.0.2.254 && ip route add 198.51.100.0/24 dev lo"),
      0);
  ASSERT_TRUE(follow([&] { return neighbours_->way(ip("203.0.113.1")).has_value(); }));
  EXPECT_FALSE(neighbours_->way(ip("198.51.100.1")).has_value());
}

TEST_F(NeighboursTest, a_neighbour_that_does_not_answer_is_unreachable_and_told) {
  ASSERT_EQ(run("sysctl -qw net.ipv4.neigh.pg-n0.retrans_time_ms=10"), 0);
  const NextHopIndex index = neighbours_->resolve(ip("192.0.2.66"), false);
  ASSERT_TRUE(follow([&] { return state(index) == NextHop::unreachable; }));
  EXPECT_EQ(changed_, std::vector<NextHopIndex>{index});
}

TEST_F(NeighboursTest, what_fails_while_we_carried_nothing_is_asked_again_before_it_is_believed) {
  const NextHopIndex there = neighbours_->resolve(ip("192.0.2.7"), true);
  const NextHopIndex gone = neighbours_->resolve(ip("192.0.2.8"), true);
  for (const char* last : {"7", "8"})
    ASSERT_EQ(run(std::string("ip neigh replace 192.0.2.") + last + " lladdr 02:00:00:00:00:0" + last +
                  " nud reachable dev pg-n0"),
              0);
  ASSERT_TRUE(follow([&] { return state(there) == NextHop::resolved && state(gone) == NextHop::resolved; }));

  // We are stopped, and the kernel's questions are not carried.
  ASSERT_EQ(
      run("ip neigh change 192.0.2.7 nud failed dev pg-n0; ip neigh change 192.0.2.8 nud failed dev pg-n0"),
      0);
  const uint64_t asked = neighbours_->counters().solicited;
  neighbours_->was_deaf(now_ms_ += 30'000, 30'000);
  ASSERT_TRUE(follow([&] { return neighbours_->counters().solicited == asked + 2; }));
  EXPECT_EQ(state(there), NextHop::resolved);
  EXPECT_EQ(state(gone), NextHop::resolved);

  // One answers now, the other does not.
  ASSERT_EQ(run("ip neigh replace 192.0.2.7 lladdr 02:00:00:00:00:07 nud reachable dev pg-n0"), 0);
  ASSERT_EQ(run("ip neigh replace 192.0.2.8 nud failed dev pg-n0"), 0);
  now_ms_ += Neighbours::kDoubtMs;
  EXPECT_TRUE(follow([&] { return state(gone) == NextHop::unreachable; }));
  EXPECT_EQ(state(there), NextHop::resolved);
  EXPECT_EQ(changed_.size(), 3u);
}

TEST_F(NeighboursTest, time_in_which_we_carried_nothing_makes_nobody_idle) {
  ASSERT_NE(neighbours_->resolve(ip("192.0.2.7"), false), kNoNextHop);
  neighbours_->was_deaf(now_ms_ += 10 * Neighbours::kIdleMs, 10 * Neighbours::kIdleMs);
  neighbours_->tick(now_ms_ += 2000);
  EXPECT_NE(neighbours_->lookup(ip("192.0.2.7")), kNoNextHop);
}

TEST_F(NeighboursTest, a_failure_before_anybody_asked_is_asked_about) {
  ASSERT_EQ(run("ip neigh replace 192.0.2.8 nud failed dev pg-n0"), 0);
  open(16);
  const NextHopIndex index = neighbours_->resolve(ip("192.0.2.8"), false);
  EXPECT_EQ(state(index), NextHop::incomplete) << "packets wait";
  EXPECT_EQ(neighbours_->counters().solicited, 1u);
}

TEST_F(NeighboursTest, what_is_not_used_is_forgotten_what_is_pinned_is_not) {
  const NextHopIndex pinned = neighbours_->resolve(ip("192.0.2.7"), true);
  const NextHopIndex passing = neighbours_->resolve(ip("192.0.2.8"), false);
  const NextHopIndex busy = neighbours_->resolve(ip("192.0.2.9"), false);
  const uint32_t epoch = neighbours_->epoch();
  neighbours_->tick(now_ms_ += 1000);
  neighbours_->mark_used(busy);
  neighbours_->tick(now_ms_ += Neighbours::kIdleMs);
  EXPECT_EQ(neighbours_->lookup(ip("192.0.2.7")), pinned);
  EXPECT_EQ(neighbours_->lookup(ip("192.0.2.8")), kNoNextHop);
  EXPECT_EQ(neighbours_->lookup(ip("192.0.2.9")), busy);
  EXPECT_NE(neighbours_->epoch(), epoch);
  EXPECT_EQ(state(passing), NextHop::unused);
}

TEST_F(NeighboursTest, an_index_is_not_given_out_again_while_a_worker_may_hold_it) {
  open(1);
  ASSERT_EQ(rte_rcu_qsbr_thread_register(rcu_, 0), 0);
  rte_rcu_qsbr_thread_online(rcu_, 0);
  ASSERT_NE(neighbours_->resolve(ip("192.0.2.8"), false), kNoNextHop);
  neighbours_->tick(now_ms_ += 1000);
  neighbours_->tick(now_ms_ += Neighbours::kIdleMs);
  neighbours_->tick(now_ms_ += 1000);
  EXPECT_EQ(neighbours_->resolve(ip("192.0.2.9"), false), kNoNextHop);
  EXPECT_EQ(neighbours_->counters().table_full, 1u);
  rte_rcu_qsbr_quiescent(rcu_, 0);
  neighbours_->tick(now_ms_ += 1000);
  EXPECT_NE(neighbours_->resolve(ip("192.0.2.9"), false), kNoNextHop);
  rte_rcu_qsbr_thread_offline(rcu_, 0);
  rte_rcu_qsbr_thread_unregister(rcu_, 0);
}

TEST_F(NeighboursTest, a_hop_carries_what_its_route_says_also_on_link) {
  ASSERT_EQ(run("ip route add 203.0.113.0/24 dev pg-n0 mtu 1400; ip -6 route add 2001:db8:9::/64 dev pg-n0 "
                "mtu 1300"),
            0);
  ASSERT_TRUE(
      follow([&] { return neighbours_->way(ip("203.0.113.1")) && neighbours_->way(ip("2001:db8:9::1")); }));
  EXPECT_EQ(mtu(neighbours_->resolve(ip("203.0.113.1"), false)), 1400);
  EXPECT_EQ(mtu(neighbours_->resolve(ip("2001:db8:9::1"), false)), 1300);
  EXPECT_EQ(mtu(neighbours_->resolve(ip("192.0.2.7"), false)), 1500);
}

TEST_F(NeighboursTest, more_than_the_port_carries_is_the_ports) {
  ASSERT_EQ(run("ip route add 203.0.113.0/24 via 192.0.2.254 mtu 9000"), 0);
  ASSERT_TRUE(follow([&] { return neighbours_->way(ip("203.0.113.1")).has_value(); }));
  EXPECT_EQ(mtu(neighbours_->resolve(ip("203.0.113.1"), false)), 1500);
}

TEST_F(NeighboursTest, of_two_routes_through_one_gateway_each_has_its_own_mtu) {
  ASSERT_EQ(run("ip route add 203.0.113.0/24 via 192.0.2.254 mtu 1400 && ip route add 198.18.0.0/24 via "
                "192.0.2.254"),
            0);
  ASSERT_TRUE(follow([&] { return neighbours_->way(ip("198.18.0.1")).has_value(); }));
  const NextHopIndex narrow = neighbours_->resolve(ip("203.0.113.1"), true);
  const NextHopIndex wide = neighbours_->resolve(ip("198.18.0.1"), true);
  EXPECT_EQ(mtu(narrow), 1400);
  EXPECT_EQ(mtu(wide), 1500);
  EXPECT_EQ(neighbours_->lookup(ip("203.0.113.9")), narrow);
  EXPECT_EQ(neighbours_->lookup(ip("198.18.0.9")), wide);
  // Both are the gateway, whatever becomes of it.
  ASSERT_EQ(run("ip neigh replace 192.0.2.254 lladdr 02:00:00:00:00:fe nud reachable dev pg-n0"), 0);
  ASSERT_TRUE(follow([&] { return state(narrow) == NextHop::resolved && state(wide) == NextHop::resolved; }));
  ASSERT_EQ(run("ip neigh replace 192.0.2.254 nud failed dev pg-n0"), 0);
  EXPECT_TRUE(
      follow([&] { return state(narrow) == NextHop::unreachable && state(wide) == NextHop::unreachable; }));
}

TEST_F(NeighboursTest, a_changed_mtu_is_that_of_who_resolves_anew_and_no_packet_waits_for_it) {
  ASSERT_EQ(run("ip route add 203.0.113.0/24 via 192.0.2.254 && ip -6 route add 2001:db8:9::/64 via "
                "2001:db8::fe && "
                "ip neigh replace 192.0.2.254 lladdr 02:00:00:00:00:fe nud reachable dev pg-n0"),
            0);
  ASSERT_TRUE(
      follow([&] { return neighbours_->way(ip("203.0.113.1")) && neighbours_->way(ip("2001:db8:9::1")); }));
  const NextHopIndex before = neighbours_->resolve(ip("203.0.113.1"), true);
  EXPECT_EQ(mtu(before), 1500);
  EXPECT_EQ(mtu(neighbours_->resolve(ip("2001:db8:9::1"), true)), 1500);
  ASSERT_TRUE(follow([&] { return state(before) == NextHop::resolved; }));

  NextHopIndex now = before;
  neighbours_->on_routes([&] { now = neighbours_->resolve(ip("203.0.113.1"), true); });
  const uint32_t epoch = neighbours_->epoch();
  ASSERT_EQ(run("ip route change 203.0.113.0/24 via 192.0.2.254 mtu 1400"), 0);
  ASSERT_TRUE(follow([&] { return mtu(now) == 1400; }));
  EXPECT_EQ(state(now), NextHop::resolved);
  EXPECT_NE(neighbours_->epoch(), epoch);
  EXPECT_EQ(neighbours_->lookup(ip("203.0.113.1")), now);
  ASSERT_EQ(run("ip -6 route change 2001:db8:9::/64 via 2001:db8::fe mtu 1300"), 0);
  ASSERT_TRUE(follow([&] { return mtu(neighbours_->resolve(ip("2001:db8:9::1"), true)) == 1300; }));
  ASSERT_EQ(run("ip route change 203.0.113.0/24 via 192.0.2.254"), 0);
  EXPECT_TRUE(follow([&] { return mtu(now) == 1500; }));
}

TEST_F(NeighboursTest, what_nobody_pinned_again_after_a_change_of_routes_is_forgotten) {
  ASSERT_EQ(run("ip route add 203.0.113.0/24 via 192.0.2.254"), 0);
  ASSERT_TRUE(follow([&] { return neighbours_->way(ip("203.0.113.1")).has_value(); }));
  const NextHopIndex before = neighbours_->resolve(ip("203.0.113.1"), true);
  NextHopIndex now = before;
  neighbours_->on_routes([&] { now = neighbours_->resolve(ip("203.0.113.1"), true); });
  ASSERT_EQ(run("ip route change 203.0.113.0/24 via 192.0.2.254 mtu 1400"), 0);
  ASSERT_TRUE(follow([&] { return mtu(now) == 1400; }));
  EXPECT_NE(state(before), NextHop::unused) << "a worker may still hold it";
  neighbours_->tick(now_ms_ += Neighbours::kIdleMs + 1000);
  EXPECT_EQ(state(before), NextHop::unused);
  EXPECT_NE(state(now), NextHop::unused);
}

}  // namespace
}  // namespace poolgate::drivers
