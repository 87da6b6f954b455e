// SPDX-License-Identifier: BSD-3-Clause
// What BFD sessions say of their targets, in virtual time, with a neighbour that speaks BFD, or does not.
#include "dataplane/probe/bfd_prober.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <set>
#include <vector>

#include "dataplane/probe/prober.h"

namespace poolgate::probe {
namespace {

using config::ProbeKind;
using rserpool::IpAddress;

constexpr uint64_t kMs = 1000;

IpAddress address(unsigned n) {
  const uint8_t bytes[4] = {10, 0, static_cast<uint8_t>(n >> 8), static_cast<uint8_t>(n)};
  return IpAddress::v4(bytes);
}
Target target(unsigned n, uint32_t interval_us = 100'000, uint8_t count = 3) {
  return {ProbeKind::bfd, address(n), 0, count, interval_us};
}

// A prober; at address 1 there may be a neighbour.
struct World {
  explicit World(uint32_t capacity = 64, uint32_t rate = 100'000)
      : board(capacity), bfd(board, {3, 4}, rate), prober(board, {1, 2}, rate, &bfd) {}

  void change(Change::What what, TargetIndex index, const Target& to = {}, uint32_t incarnation = 1) {
    ASSERT_TRUE(board.change({what, index, incarnation, to}));
    prober.take_changes();
  }
  void begin() { change(Change::What::set, 0, target(1)); }
  void speak(uint32_t discriminator = 0x5000) {
    neighbour = std::make_unique<BfdSession>(discriminator, BfdParameters{100'000, 3}, 4711, now_us);
  }
  BfdKey key(const BfdControl& packet) const { return {packet.your_discriminator, address(1)}; }
  // What leaves to the neighbour.
  std::vector<BfdControl> pass_ms(unsigned ms) {
    std::vector<BfdControl> sent;
    for (unsigned i = 0; i < ms; ++i) {
      now_us += kMs;
      bfd.advance(now_us);
      BfdProber::Packet packet;
      while (bfd.next(packet)) {
        if (packet.target->address != address(1)) continue;
        sent.push_back(packet.control);
        if (neighbour && to_neighbour) neighbour->receive(packet.control, now_us);
      }
      if (!neighbour) continue;
      neighbour->expire(now_us);
      while (const auto word = neighbour->transmit(now_us)) {
        if (!from_neighbour) continue;
        const TargetIndex index = bfd.find(key(*word));
        if (index != kNoTarget) bfd.received(index, *word);
      }
    }
    return sent;
  }
  Health health() const { return board.status(0).health; }

  Board board;
  BfdProber bfd;
  Prober prober;
  std::unique_ptr<BfdSession> neighbour;
  bool to_neighbour = true, from_neighbour = true;
  uint64_t now_us = 1'000'000'000;
};

TEST(BfdProber, a_neighbour_that_speaks_BFD_is_alive_and_dead_when_its_Detection_Time_has_passed) {
  World w;
  w.begin();
  w.speak();
  w.pass_ms(6000);
  ASSERT_EQ(w.health(), Health::alive);
  EXPECT_EQ(bfd_text(w.board.status(0).detail), "Up");
  w.pass_ms(60'000);
  ASSERT_EQ(w.health(), Health::alive);
  EXPECT_GT(w.board.counters(0).answered, 500u);
  w.from_neighbour = w.to_neighbour = false;
  w.pass_ms(195);
  EXPECT_EQ(w.health(), Health::alive) << "its last packet was at most an interval ago";
  w.pass_ms(107);
  EXPECT_EQ(w.health(), Health::dead);
  EXPECT_EQ(bfd_text(w.board.status(0).detail), "Down,expired");
  w.from_neighbour = w.to_neighbour = true;
  w.pass_ms(6000);
  EXPECT_EQ(w.health(), Health::alive) << "it came up again";
}

TEST(BfdProber, one_that_has_never_spoken_BFD_is_silent_not_dead_and_asked_once_a_second) {
  World w;
  w.begin();
  EXPECT_EQ(w.health(), Health::unknown);
  EXPECT_LE(w.pass_ms(60'000).size(), 81u);
  EXPECT_EQ(w.health(), Health::silent);
  w.speak();
  w.pass_ms(6000);
  EXPECT_EQ(w.health(), Health::alive);
}

TEST(BfdProber, a_neighbour_that_begins_anew_costs_nothing) {
  World w;
  w.begin();
  w.speak();
  w.pass_ms(6000);
  w.speak(0x6000);  // its process has another discriminator, and knows none of ours
  for (int i = 0; i < 6000; ++i) {
    w.pass_ms(1);
    ASSERT_EQ(w.health(), Health::alive);
  }
  EXPECT_EQ(w.bfd.session(0).state(), BfdState::up);
}

TEST(BfdProber, a_neighbour_that_says_Down_has_count_seconds_to_come_up_again) {
  World w;
  w.begin();
  w.speak();
  w.pass_ms(6000);
  w.to_neighbour = false;  // it hears us no more, and says so
  w.pass_ms(500);
  ASSERT_EQ(w.bfd.session(0).diagnostic(), BfdDiagnostic::neighbor_signaled_down);
  EXPECT_EQ(w.health(), Health::alive);
  w.pass_ms(3000);
  EXPECT_EQ(w.health(), Health::dead);
}

TEST(BfdProber, RFC_5882_3_2_held_down_by_its_administrator_it_is_no_verdict) {
  World w;
  w.begin();
  w.speak();
  w.pass_ms(6000);
  w.neighbour->disable(w.now_us);
  w.pass_ms(1000);
  EXPECT_EQ(w.health(), Health::unknown);
  w.neighbour.reset();
  w.pass_ms(20'000);
  EXPECT_EQ(w.health(), Health::unknown);
}

TEST(BfdProber, what_is_judged_anew_is_judged_by_what_comes_from_then_on) {
  World w;
  w.begin();
  w.speak();
  w.pass_ms(6000);
  w.from_neighbour = false;
  w.change(Change::What::ask, 0);
  EXPECT_EQ(w.health(), Health::unknown);
  EXPECT_EQ(w.board.status(0).judged, 0);
  w.pass_ms(400);
  EXPECT_EQ(w.health(), Health::dead);
  EXPECT_EQ(w.board.status(0).judged, 1);
  w.change(Change::What::ask, 0);
  EXPECT_EQ(w.health(), Health::unknown);
  w.pass_ms(4000);
  EXPECT_EQ(w.health(), Health::dead) << "what is down already has count packets to answer";
  EXPECT_EQ(w.board.status(0).judged, 2);
  w.from_neighbour = true;
  w.change(Change::What::ask, 0);
  w.pass_ms(6000);
  EXPECT_EQ(w.health(), Health::alive);
  EXPECT_EQ(w.board.status(0).judged, 3);
}

TEST(BfdProber, RFC_5880_6_8_16_a_target_that_goes_is_told_that_this_is_no_failure) {
  World w;
  w.begin();
  w.speak();
  w.pass_ms(6000);
  w.change(Change::What::remove, 0);
  const auto sent = w.pass_ms(10'000);
  ASSERT_EQ(sent.size(), 3u);
  for (const BfdControl& packet : sent) {
    EXPECT_EQ(packet.state, BfdState::admin_down);
    EXPECT_EQ(packet.diagnostic, 7);
  }
  EXPECT_EQ(w.neighbour->remote_state(), BfdState::admin_down);
  EXPECT_EQ(w.bfd.sessions(), 0u);
  EXPECT_EQ(w.bfd.find({0, address(1)}), kNoTarget) << "what comes now is not ours";
}

TEST(BfdProber, one_that_comes_back_while_it_is_told_so_begins_anew) {
  World w;
  w.begin();
  w.speak();
  w.pass_ms(6000);
  w.change(Change::What::remove, 0);
  w.pass_ms(10);
  w.change(Change::What::set, 1, target(1), 2);
  EXPECT_EQ(w.bfd.find({0, address(1)}), 1u);
  w.pass_ms(6000);
  EXPECT_EQ(w.board.status(1).health, Health::alive);
  w.change(Change::What::remove, 1, {}, 2);
  w.pass_ms(10);
  w.change(Change::What::set, 1, {ProbeKind::icmp, address(9), 0, 3, 100'000}, 3);
  EXPECT_EQ(w.bfd.find({0, address(1)}), kNoTarget) << "the index is another's now";
  EXPECT_EQ(w.prober.targets(), 1u);
}

TEST(BfdProber, RFC_5880_6_8_1_and_5881_4_discriminators_and_source_ports_are_unique_and_stay) {
  World w(2000, 1'000'000);
  std::set<uint32_t> discriminators;
  for (unsigned n = 0; n < 2000; ++n) {
    w.change(Change::What::set, n, target(n));
    const uint32_t own = w.bfd.session(n).discriminator();
    EXPECT_NE(own, 0u);
    EXPECT_EQ(w.bfd.find({own, address(60'000)}), n) << "RFC 5880 6.3: by it alone";
    discriminators.insert(own);
  }
  EXPECT_EQ(discriminators.size(), 2000u);
  std::set<std::pair<TargetIndex, uint16_t>> ports;
  std::set<uint16_t> numbers;
  for (int ms = 0; ms < 3000; ++ms) {
    w.now_us += kMs;
    w.bfd.advance(w.now_us);
    BfdProber::Packet packet;
    while (w.bfd.next(packet)) {
      EXPECT_GE(packet.source_port, 49152);
      ports.insert({packet.index, packet.source_port});
      numbers.insert(packet.source_port);
    }
  }
  EXPECT_EQ(ports.size(), 2000u);
  EXPECT_EQ(numbers.size(), 2000u);
}

TEST(BfdProber, a_new_incarnation_has_another_discriminator) {
  World w;
  w.begin();
  const uint32_t before = w.bfd.session(0).discriminator();
  w.change(Change::What::remove, 0);
  w.change(Change::What::set, 0, target(1), 2);
  EXPECT_NE(w.bfd.session(0).discriminator(), before);
  EXPECT_EQ(w.bfd.find({before, address(2)}), kNoTarget);
}

TEST(BfdProber, what_is_of_no_session_of_ours_is_left_to_others_and_what_is_stale_is_not) {
  World w;
  w.begin();
  EXPECT_EQ(w.bfd.find({0, address(2)}), kNoTarget);
  EXPECT_EQ(w.bfd.find({77, address(2)}), kNoTarget);
  const TargetIndex found = w.bfd.find({77 << 8, address(1)});
  ASSERT_EQ(found, 0u);
  BfdControl stale;
  stale.my_discriminator = 5;
  stale.your_discriminator = 77 << 8;
  stale.detect_mult = 3;
  EXPECT_EQ(w.bfd.received(found, stale), BfdDiscard::your_discriminator);
}

TEST(BfdProber, other_settings_hold_without_a_new_session) {
  World w;
  w.begin();
  w.speak();
  w.pass_ms(6000);
  const uint32_t own = w.bfd.session(0).discriminator();
  w.change(Change::What::set, 0, target(1, 300'000, 5));
  for (int i = 0; i < 4000; ++i) {
    w.pass_ms(1);
    ASSERT_EQ(w.health(), Health::alive);
  }
  EXPECT_EQ(w.bfd.session(0).discriminator(), own);
  EXPECT_EQ(w.bfd.session(0).transmit_interval_us(), 300'000u);
  EXPECT_EQ(w.neighbour->detection_us(), 5 * 300'000u);
}

TEST(BfdProber, more_sessions_than_the_rate_carries_ask_for_longer_intervals) {
  World w(64, 100);
  for (unsigned n = 0; n < 64; ++n) w.change(Change::What::set, n, target(n, 10'000));
  w.pass_ms(2000);
  for (unsigned n = 0; n < 64; ++n) {
    EXPECT_EQ(w.bfd.session(n).parameters().interval_us, 1u << 20) << "64 at 100 a second";
  }
  for (unsigned n = 1; n < 64; ++n) w.change(Change::What::remove, n);
  w.pass_ms(2000);
  EXPECT_EQ(w.bfd.session(0).parameters().interval_us, 10'000u);
}

TEST(BfdProber, who_did_not_listen_has_heard_no_silence) {
  World w;
  w.begin();
  w.speak();
  w.pass_ms(6000);
  w.now_us += 60'000 * kMs;
  BfdProber::Packet packet;
  w.bfd.advance(w.now_us);
  while (w.bfd.next(packet)) continue;
  EXPECT_EQ(w.health(), Health::alive);
}

TEST(BfdProber, what_did_not_leave_says_nothing) {
  World w;
  w.begin();
  for (int ms = 0; ms < 20'000; ++ms) {
    w.now_us += kMs;
    w.bfd.advance(w.now_us);
    BfdProber::Packet packet;
    while (w.bfd.next(packet)) w.bfd.unsent(packet);
  }
  EXPECT_EQ(w.health(), Health::unknown);
  EXPECT_EQ(w.board.counters(0).sent, 0u);
}

}  // namespace
}  // namespace poolgate::probe
