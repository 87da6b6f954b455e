// SPDX-License-Identifier: BSD-3-Clause
#include <algorithm>

#include "tests/unit/sctp_pair.h"

namespace poolgate::sctp {
namespace {

const std::vector<const char*> kA = {"10.1.0.1", "10.2.0.1", "fd00:3::1"};
const std::vector<const char*> kB = {"10.1.0.2", "10.2.0.2", "fd00:3::2"};

// Three links; each address talks to the one on the same link.
class Multihomed : public Pair {
 public:
  Multihomed() : Multihomed(config_of(kA, poolgate_sctp_stack_0), config_of(kB, poolgate_sctp_stack_1)) {}
  Multihomed(Config of_a, Config of_b) : Pair(std::move(of_a), std::move(of_b)) {
    for (size_t i = 0; i < kA.size(); ++i) {
      a.sources[ip(kB[i])] = ip(kA[i]);
      b.sources[ip(kA[i])] = ip(kB[i]);
    }
    passes = [this](Packet& p) { return !is_cut(p.source) && !is_cut(p.destination); };
  }
  void cut(size_t link) { cut_.push_back(link); }
  void mend() { cut_.clear(); }
  std::vector<PathInfo> paths_of_a() {
    std::vector<PathInfo> paths;
    a.endpoint->for_each_association([&](const AssociationInfo& info) { paths = info.paths; });
    return paths;
  }
  bool all_confirmed() {
    const auto paths = paths_of_a();
    return paths.size() == 3 &&
           std::all_of(paths.begin(), paths.end(), [](const PathInfo& p) { return p.reachable; });
  }

 private:
  bool is_cut(const IpAddress& address) const {
    return std::any_of(cut_.begin(), cut_.end(),
                       [&](size_t link) { return address == ip(kA[link]) || address == ip(kB[link]); });
  }
  std::vector<size_t> cut_;
};

TEST(SctpMultihoming, the_peers_addresses_become_paths_each_from_our_address_of_its_link) {
  Multihomed pair;
  ASSERT_TRUE(pair.set_up());
  EXPECT_EQ(pair.a.ups[0].peer_addresses, (std::vector{ip(kB[0]), ip(kB[1]), ip(kB[2])}));
  EXPECT_EQ(pair.b.ups[0].peer_addresses, (std::vector{ip(kA[0]), ip(kA[1]), ip(kA[2])}));
  ASSERT_TRUE(pair.until([&] { return pair.all_confirmed(); }));
  const auto paths = pair.paths_of_a();
  for (size_t i = 0; i < 3; ++i) {
    EXPECT_EQ(paths[i].local, ip(kA[i]));
    EXPECT_EQ(paths[i].peer, ip(kB[i]));
    EXPECT_EQ(paths[i].primary, i == 0);
  }
}

TEST(SctpMultihoming, messages_survive_a_cut_link_and_the_primary_moves_off_it) {
  Multihomed pair;
  ASSERT_TRUE(pair.set_up());
  ASSERT_TRUE(pair.until([&] { return pair.all_confirmed(); }));
  pair.cut(0);
  const uint64_t begin = virtual_now_us;
  ASSERT_EQ(pair.a.say("during"), SendStatus::sent);
  ASSERT_TRUE(pair.until([&] { return pair.b.messages.size() == 1; }));
  EXPECT_LT(virtual_now_us - begin, 1'500'000u);  // one time-out, on its way to 1 s
  ASSERT_TRUE(pair.until([&] { return pair.a.endpoint->counters().primary_moves == 1; }, 8000));
  EXPECT_TRUE(
      std::any_of(pair.a.path_changes.begin(), pair.a.path_changes.end(), [](const channel::PathChange& c) {
        return c.state == channel::PathState::unreachable && c.peer_address == ip(kB[0]);
      }));
  const auto paths = pair.paths_of_a();
  EXPECT_FALSE(paths[0].reachable);
  EXPECT_FALSE(paths[0].primary);

  // The next message does not try the dead path first.
  const uint64_t next = virtual_now_us;
  ASSERT_EQ(pair.a.say("after"), SendStatus::sent);
  ASSERT_TRUE(pair.until([&] { return pair.b.messages.size() == 2; }));
  EXPECT_LT(virtual_now_us - next, 100'000u);
  EXPECT_TRUE(pair.a.downs.empty());

  pair.mend();
  ASSERT_TRUE(pair.until([&] { return pair.paths_of_a()[0].reachable; }));
}

TEST(SctpMultihoming, with_two_of_three_links_cut_the_third_carries_everything) {
  Multihomed pair;
  ASSERT_TRUE(pair.set_up());
  ASSERT_TRUE(pair.until([&] { return pair.all_confirmed(); }));
  pair.cut(0);
  pair.cut(1);
  for (int i = 0; i < 20; ++i) ASSERT_EQ(pair.a.say(std::to_string(i)), SendStatus::sent);
  ASSERT_TRUE(pair.until([&] { return pair.b.messages.size() == 20; }, 8000));
  for (int i = 0; i < 20; ++i) EXPECT_EQ(pair.b.messages[i].payload, std::to_string(i));
  EXPECT_TRUE(pair.a.downs.empty());
}

TEST(SctpMultihoming, RFC9260_5_2_4_a_restart_over_another_link_has_the_other_paths_again) {
  Multihomed pair;
  ASSERT_TRUE(pair.set_up());
  ASSERT_TRUE(pair.until([&] { return pair.all_confirmed(); }));
  pair.cut(0);
  ASSERT_EQ(pair.a.say("lost"), SendStatus::sent);
  pair.run(50);
  pair.b.restart();
  const uint64_t next = virtual_now_us;
  ASSERT_TRUE(pair.b.endpoint->connect(channel::SctpService::asap, {ip(kA[1])}, 3863, 2));
  ASSERT_TRUE(pair.until([&] { return pair.a.ups.size() == 2 && pair.b.ups.size() == 1; }));
  EXPECT_TRUE(pair.a.ups[1].restarted);
  ASSERT_EQ(pair.a.say("welcome back"), SendStatus::sent);
  ASSERT_EQ(pair.b.say("again"), SendStatus::sent);
  ASSERT_TRUE(pair.until([&] { return pair.b.messages.size() == 1 && pair.a.messages.size() == 1; }));
  EXPECT_LT(virtual_now_us - next, 100'000u) << "the path of its INIT lives";
  pair.mend();
  ASSERT_TRUE(pair.until([&] { return pair.all_confirmed(); }));
  pair.run(1000);
  pair.cut(1);
  pair.cut(2);
  ASSERT_EQ(pair.a.say("over the first"), SendStatus::sent);
  ASSERT_TRUE(pair.until([&] { return pair.b.messages.size() == 2; }));
}

TEST(SctpMultihoming, RFC9260_6_4_answers_to_INIT_and_COOKIE_ECHO_may_come_from_different_addresses) {
  Multihomed pair;
  int aborts = 0;
  pair.passes = [&](Packet& p) {
    const auto over = [&](size_t link) {
      p.source = ip(kA[link]);
      p.destination = ip(kB[link]);
    };
    if (p.chunk() == 2) over(2);
    if (p.chunk() == 11) over(1);
    aborts += p.chunk() == 6;
    return true;
  };
  ASSERT_TRUE(pair.set_up({kA[1], kA[2]}));
  EXPECT_EQ(aborts, 0);
  ASSERT_TRUE(pair.until([&] { return pair.all_confirmed(); }));
}

TEST(SctpMultihoming, RFC9260_5_2_4_an_address_that_the_new_life_does_not_have_is_no_path_any_more) {
  Multihomed pair;
  ASSERT_TRUE(pair.set_up());
  ASSERT_TRUE(pair.until([&] { return pair.all_confirmed(); }));
  pair.b.restart({ip(kB[1])});
  ASSERT_TRUE(pair.b.endpoint->connect(channel::SctpService::asap, {ip(kA[1])}, 3863, 2));
  ASSERT_TRUE(pair.until([&] { return pair.a.ups.size() == 2 && pair.b.ups.size() == 1; }));
  EXPECT_EQ(pair.a.ups[1].peer_addresses, (std::vector{ip(kB[1])}));
  const uint64_t next = virtual_now_us;
  ASSERT_EQ(pair.a.say("welcome back"), SendStatus::sent);
  ASSERT_TRUE(pair.until([&] { return pair.b.messages.size() == 1; }));
  EXPECT_LT(virtual_now_us - next, 100'000u);
  const auto paths = pair.paths_of_a();
  ASSERT_EQ(paths.size(), 1u);
  EXPECT_EQ(paths[0].peer, ip(kB[1]));
  EXPECT_TRUE(paths[0].primary);

  // It is another host's now.
  pair.b.restart({ip(kB[0])});
  ASSERT_TRUE(pair.b.endpoint->connect(channel::SctpService::asap, {ip(kA[0])}, 3863, 3));
  ASSERT_TRUE(pair.until([&] { return pair.a.ups.size() == 3 && pair.b.ups.size() == 1; }));
  EXPECT_FALSE(pair.a.ups[2].restarted);
  EXPECT_EQ(pair.a.endpoint->associations(), 2u);
  pair.b.messages.clear();
  ASSERT_EQ(pair.a.say("welcome"), SendStatus::sent);
  ASSERT_EQ(pair.b.say("hello"), SendStatus::sent);
  ASSERT_TRUE(pair.until([&] { return pair.b.messages.size() == 1 && pair.a.messages.size() == 1; }));
  ASSERT_TRUE(pair.until([&] { return pair.a.downs.size() == 1; }, 60'000))
      << "the other, whose host is gone";
  ASSERT_EQ(pair.a.say("still"), SendStatus::sent);
  ASSERT_TRUE(pair.until([&] { return pair.b.messages.size() == 2; }));
}

TEST(SctpMultihoming, a_connect_goes_on_to_the_peers_next_address_when_the_first_is_silent) {
  Multihomed pair;
  pair.cut(0);
  ASSERT_TRUE(pair.set_up({"10.1.0.1", "10.2.0.1"}));
}

TEST(SctpMultihoming, the_addresses_that_a_connect_named_are_paths_once_it_is_up) {
  Multihomed pair;
  ASSERT_TRUE(pair.set_up({"10.1.0.1", "10.2.0.1", "10.9.9.9"}));
  const auto paths_of_b = [&] {
    std::vector<PathInfo> paths;
    pair.b.endpoint->for_each_association([&](const AssociationInfo& info) { paths = info.paths; });
    return paths;
  };
  const auto all_reachable = [&] {
    const auto paths = paths_of_b();
    return std::all_of(paths.begin(), paths.end(),
                       [](const PathInfo& p) { return p.reachable && p.rto_ms != 0; });
  };
  ASSERT_TRUE(pair.until([&] { return paths_of_b().size() == 3 && all_reachable(); }));
  ASSERT_TRUE(
      pair.until([&] { return pair.all_confirmed(); }));  // a's heartbeats to each of them are answered
  pair.cut(0);
  ASSERT_EQ(pair.b.say("by another link"), SendStatus::sent);
  ASSERT_TRUE(pair.until([&] { return pair.a.messages.size() == 1; }, 8000));
  EXPECT_TRUE(pair.a.downs.empty());
  EXPECT_TRUE(pair.b.downs.empty());
}

TEST(SctpMultihoming, addresses_that_are_ours_never_become_paths) {
  Config of_a = config_of(kA, poolgate_sctp_stack_0);
  of_a.never_paths = {ip("192.0.2.1")};
  // A PE with the VIP on its loopback, and with an address of ours by mistake.
  Config of_b = config_of({"10.1.0.2", "192.0.2.1", "10.2.0.1"}, poolgate_sctp_stack_1);
  Multihomed pair(of_a, of_b);
  ASSERT_TRUE(pair.set_up());
  EXPECT_EQ(pair.a.ups[0].peer_addresses, std::vector{ip("10.1.0.2")});
  const auto paths = pair.paths_of_a();
  ASSERT_EQ(paths.size(), 1u);
  EXPECT_EQ(paths[0].peer, ip("10.1.0.2"));
}

TEST(SctpMultihoming, an_address_that_becomes_ours_while_it_runs_never_becomes_a_path) {
  Config of_b = config_of({"10.1.0.2", "192.0.2.1", "192.0.2.2"}, poolgate_sctp_stack_1);
  Multihomed pair(config_of(kA, poolgate_sctp_stack_0), of_b);
  pair.a.endpoint->set_never_paths({ip("192.0.2.1"), ip("192.0.2.2")});
  ASSERT_TRUE(pair.set_up());
  EXPECT_EQ(pair.a.ups[0].peer_addresses, std::vector{ip("10.1.0.2")});
  EXPECT_EQ(pair.paths_of_a().size(), 1u);
}

TEST(SctpMultihoming, a_packet_with_a_good_tag_from_elsewhere_is_dropped) {
  Multihomed pair;
  ASSERT_TRUE(pair.set_up());
  pair.passes = [](Packet& p) {
    if (p.chunk() == 0) p.source = ip("10.66.6.6");
    return true;
  };
  ASSERT_EQ(pair.b.say("x"), SendStatus::sent);
  pair.run(50);
  EXPECT_TRUE(pair.a.messages.empty());
  EXPECT_GE(pair.a.endpoint->counters().drops[static_cast<size_t>(Drop::foreign_source)], 1u);
}

TEST(SctpMultihoming, at_most_eight_paths_whatever_the_peer_lists) {
  std::vector<const char*> many = {"10.1.0.2", "10.1.0.3", "10.1.0.4",  "10.1.0.5",  "10.1.0.6", "10.1.0.7",
                                   "10.1.0.8", "10.1.0.9", "10.1.0.10", "10.1.0.11", "10.1.0.12"};
  Pair pair(config_of({"10.1.0.1"}, poolgate_sctp_stack_0), config_of(many, poolgate_sctp_stack_1));
  ASSERT_TRUE(pair.set_up());
  EXPECT_EQ(pair.a.ups[0].peer_addresses.size(), many.size());
  pair.a.endpoint->for_each_association(
      [](const AssociationInfo& info) { EXPECT_EQ(info.paths.size(), 8u); });
}

// With the timers that a product has: five seconds between heartbeats, three errors a path, five an
// association.
Config as_shipped(const std::vector<const char*>& addresses, const poolgate_sctp_stack& stack) {
  Config config = config_of({addresses[0], addresses[1]}, stack);
  config.sctp = {};
  return config;
}

TEST(SctpMultihoming, one_link_after_the_other_is_cut_and_the_association_stays) {
  Multihomed pair(as_shipped(kA, poolgate_sctp_stack_0), as_shipped(kB, poolgate_sctp_stack_1));
  const auto reachable = [&](size_t link) {
    const auto paths = pair.paths_of_a();
    return paths.size() == 2 && paths[link].reachable;
  };
  ASSERT_TRUE(pair.set_up());
  ASSERT_TRUE(pair.until([&] { return reachable(0) && reachable(1); }, 20'000));
  for (size_t round = 0; round < 6; ++round) {
    const size_t link = round % 2;
    pair.cut(link);
    ASSERT_TRUE(pair.until([&] { return !reachable(link) || !pair.a.downs.empty(); }, 60'000))
        << "round " << round;
    pair.run(round < 2 ? 0 : 30'000);
    ASSERT_TRUE(pair.a.downs.empty()) << "round " << round;
    ASSERT_TRUE(pair.b.downs.empty()) << "round " << round;
    EXPECT_EQ(pair.a.say("one way"), SendStatus::sent);
    EXPECT_EQ(pair.b.say("and back"), SendStatus::sent);
    ASSERT_TRUE(pair.until(
        [&] { return pair.a.messages.size() == round + 1 && pair.b.messages.size() == round + 1; }, 10'000))
        << "round " << round;
    pair.mend();
    ASSERT_TRUE(pair.until([&] { return reachable(link); }, 30'000)) << "round " << round;
  }
  EXPECT_EQ(pair.a.endpoint->counters().restarts, 0u);
}

}  // namespace
}  // namespace poolgate::sctp
