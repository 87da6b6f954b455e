// SPDX-License-Identifier: BSD-3-Clause
// RFC 5880 §6 in virtual time: every cell of (our state x received state), what is discarded, when packets
// leave, when silence is a death, and what a Poll Sequence is for.
#include "dataplane/probe/bfd_session.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <vector>

namespace poolgate::probe {
namespace {

constexpr uint64_t kMs = 1000;
constexpr uint32_t kOurs = 0x11223344, kTheirs = 0xaabbccdd;

struct Sent {
  uint64_t at_us;
  BfdControl packet;
};

// A session of ours, and what its neighbour says.
struct World {
  explicit World(BfdParameters parameters = {100'000, 3}) : session(kOurs, parameters, 12345, now) {}

  BfdControl says(BfdState state, uint32_t interval_us = 100'000, uint8_t mult = 3) const {
    BfdControl packet;
    packet.state = state;
    packet.detect_mult = mult;
    packet.my_discriminator = kTheirs;
    packet.your_discriminator = kOurs;
    packet.desired_min_tx_us = packet.required_min_rx_us = interval_us;
    return packet;
  }
  BfdDiscard receive(const BfdControl& packet) { return session.receive(packet, now); }
  // Whatever is due in the time to come, to the microsecond. `speaks`: the neighbour says its last word again
  // so often.
  std::vector<Sent> pass(uint64_t us) {
    std::vector<Sent> sent;
    const uint64_t end = now + us;
    for (uint64_t due = std::max(now, session.due_us()); due <= end; due = std::max(now, session.due_us())) {
      now = due;
      session.expire(now);
      unsigned n = 0;
      while (const auto packet = session.transmit(now)) {
        sent.push_back({now, *packet});
        if (++n > 2) {
          ADD_FAILURE() << "more than a Final and a periodic packet at once";
          return sent;
        }
      }
      if (sent.size() > 100'000) return sent;
    }
    now = end;
    return sent;
  }
  std::vector<Sent> pass_spoken_to(uint64_t us, const BfdControl& packet, uint64_t each_us = 50 * kMs) {
    std::vector<Sent> sent;
    for (uint64_t passed = 0; passed < us; passed += each_us) {
      EXPECT_EQ(receive(packet), BfdDiscard::none);
      for (const Sent& s : pass(each_us)) sent.push_back(s);
    }
    return sent;
  }
  // By the shortest way, from the beginning.
  void enter(BfdState state) {
    if (state == BfdState::init) receive(says(BfdState::down));
    if (state == BfdState::up) receive(says(BfdState::init));
    if (state == BfdState::admin_down) session.disable(now);
    ASSERT_EQ(session.state(), state);
  }
  // Up, and nothing under way any more.
  void settle() {
    enter(BfdState::up);
    pass(0);
    BfdControl final = says(BfdState::up);
    final.final = true;
    receive(final);
    pass_spoken_to(1000 * kMs, says(BfdState::up));
  }

  uint64_t now = 1'000'000'000;
  BfdSession session;
};

struct Cell {
  BfdState ours, received, then;
  BfdDiagnostic diagnostic;
};

TEST(BfdSession, RFC_5880_6_8_6_every_state_and_every_received_state) {
  using enum BfdState;
  using enum BfdDiagnostic;
  const Cell cells[] = {
      {down, admin_down, down, none},
      {down, down, init, none},
      {down, init, up, none},
      {down, up, down, none},
      {init, admin_down, down, neighbor_signaled_down},
      {init, down, init, none},
      {init, init, up, none},
      {init, up, up, none},
      {up, admin_down, down, neighbor_signaled_down},
      {up, down, down, neighbor_signaled_down},
      {up, init, up, none},
      {up, up, up, none},
      {admin_down, admin_down, admin_down, administratively_down},
      {admin_down, down, admin_down, administratively_down},
      {admin_down, init, admin_down, administratively_down},
      {admin_down, up, admin_down, administratively_down},
  };
  for (const Cell& cell : cells) {
    SCOPED_TRACE(bfd_text(bfd_detail(cell.ours, none)) + " hears " +
                 bfd_text(bfd_detail(cell.received, none)));
    World w;
    w.enter(cell.ours);
    EXPECT_EQ(w.receive(w.says(cell.received)), BfdDiscard::none);
    EXPECT_EQ(w.session.state(), cell.then);
    EXPECT_EQ(w.session.diagnostic(), cell.diagnostic);
    EXPECT_EQ(w.session.remote_state(), cell.received);
  }
}

TEST(BfdSession, RFC_5880_6_8_6_the_neighbour_that_knows_no_discriminator_may_only_be_down) {
  using enum BfdState;
  for (const BfdState ours : {down, init, up, admin_down}) {
    for (const BfdState received : {admin_down, down, init, up}) {
      World w;
      w.enter(ours);
      BfdControl packet = w.says(received);
      packet.your_discriminator = 0;
      const bool taken = received == down || received == admin_down;
      EXPECT_EQ(w.receive(packet), taken ? BfdDiscard::none : BfdDiscard::your_discriminator);
      if (!taken) {
        EXPECT_EQ(w.session.state(), ours);
      }
    }
  }
}

TEST(BfdSession, RFC_5880_6_8_6_what_is_discarded_changes_nothing_and_in_the_order_of_the_rules) {
  for (const BfdState ours : {BfdState::down, BfdState::init, BfdState::up}) {
    World w;
    w.enter(ours);
    w.pass(0);
    const uint64_t due = w.session.due_us(), detection = w.session.detection_us();
    w.now += 1;
    BfdControl packet = w.says(BfdState::down, 7'000'000, 9);
    packet.poll = true;
    packet.authentication = true;
    EXPECT_EQ(w.receive(packet), BfdDiscard::authentication);
    packet.your_discriminator = kOurs + 1;
    EXPECT_EQ(w.receive(packet), BfdDiscard::your_discriminator);
    EXPECT_EQ(w.session.state(), ours);
    EXPECT_EQ(w.session.detection_us(), detection);
    EXPECT_EQ(w.session.due_us(), due) << "not received for the Detection Time, no Final";
  }
}

// ---- transmission

void expect_intervals(const std::vector<Sent>& sent, uint64_t least_us, uint64_t most_us, size_t at_least) {
  ASSERT_GE(sent.size(), at_least);
  uint64_t shortest = UINT64_MAX, longest = 0;
  for (size_t i = 1; i < sent.size(); ++i) {
    const uint64_t interval = sent[i].at_us - sent[i - 1].at_us;
    shortest = std::min(shortest, interval);
    longest = std::max(longest, interval);
  }
  EXPECT_GE(shortest, least_us);
  EXPECT_LE(longest, most_us);
  EXPECT_LT(shortest, least_us + (most_us - least_us) / 4) << "jitter uses its range";
  EXPECT_GT(longest, most_us - (most_us - least_us) / 4);
}

TEST(BfdSession, RFC_5880_6_8_3_and_6_8_7_packets_leave_each_second_less_jitter_until_it_is_up) {
  World w;
  const auto sent = w.pass(200'000 * kMs);
  EXPECT_LE(sent.at(0).at_us, 1'000'000'000 + 1000 * kMs);
  expect_intervals(sent, 750 * kMs, 1000 * kMs, 200);
  for (const Sent& s : sent) {
    EXPECT_EQ(s.packet.state, BfdState::down);
    EXPECT_EQ(s.packet.diagnostic, 0);
    EXPECT_EQ(s.packet.your_discriminator, 0u);
    EXPECT_EQ(s.packet.my_discriminator, kOurs);
    EXPECT_EQ(s.packet.detect_mult, 3);
    EXPECT_EQ(s.packet.desired_min_tx_us, 1'000'000u);
    EXPECT_EQ(s.packet.required_min_rx_us, 100'000u);
    EXPECT_EQ(s.packet.required_min_echo_rx_us, 0u) << "we loop nothing back";
    EXPECT_FALSE(s.packet.poll || s.packet.final || s.packet.authentication || s.packet.demand);
    EXPECT_TRUE(s.packet.control_plane_independent) << "it goes on without the registrar";
  }
}

TEST(BfdSession, RFC_5880_6_8_7_up_it_is_the_slower_of_both_wishes) {
  World w;
  w.settle();
  expect_intervals(w.pass_spoken_to(60'000 * kMs, w.says(BfdState::up)), 75 * kMs, 100 * kMs, 600);
  World slow;
  slow.settle();
  slow.pass_spoken_to(2000 * kMs, slow.says(BfdState::up, 400'000));
  expect_intervals(slow.pass_spoken_to(240'000 * kMs, slow.says(BfdState::up, 400'000)), 300 * kMs, 400 * kMs,
                   600);
}

TEST(BfdSession, RFC_5880_6_8_7_where_one_lost_packet_is_a_death_jitter_ends_at_90_percent) {
  World w({100'000, 1});
  w.settle();
  expect_intervals(w.pass_spoken_to(60'000 * kMs, w.says(BfdState::up)), 75 * kMs, 90 * kMs, 600);
}

TEST(BfdSession, RFC_5880_6_8_7_a_change_of_state_is_said_at_once) {
  World w;
  w.pass(1000 * kMs);
  w.receive(w.says(BfdState::down));
  auto sent = w.pass(0);
  ASSERT_EQ(sent.size(), 1u);
  EXPECT_EQ(sent[0].packet.state, BfdState::init);
  EXPECT_EQ(sent[0].packet.your_discriminator, kTheirs);
  w.receive(w.says(BfdState::init));
  sent = w.pass(0);
  ASSERT_EQ(sent.size(), 1u);
  EXPECT_EQ(sent[0].packet.state, BfdState::up);
  EXPECT_EQ(sent[0].packet.desired_min_tx_us, 100'000u);
}

TEST(BfdSession, RFC_5880_6_8_3_a_shorter_wish_of_the_neighbour_holds_from_the_last_packet_on) {
  World w;
  w.settle();
  const auto slow = w.says(BfdState::up, 10'000'000);
  w.receive(slow);
  const auto sent = w.pass_spoken_to(9000 * kMs, slow);
  ASSERT_LE(sent.size(), 2u);
  w.receive(w.says(BfdState::up));
  EXPECT_EQ(w.pass(0).size(), 1u) << "its interval has long passed";
  EXPECT_GE(w.pass(100 * kMs).size(), 1u);
}

TEST(BfdSession, RFC_5880_6_8_7_nothing_is_sent_by_the_clock_to_one_that_wants_nothing) {
  World w;
  w.settle();
  BfdControl quiet = w.says(BfdState::up);
  quiet.required_min_rx_us = 0;
  w.receive(quiet);
  EXPECT_TRUE(w.pass_spoken_to(5000 * kMs, quiet).empty());
  quiet.poll = true;
  w.receive(quiet);
  const auto sent = w.pass(0);
  ASSERT_EQ(sent.size(), 1u) << "but a Final is";
  EXPECT_TRUE(sent[0].packet.final);
  EXPECT_FALSE(w.pass_spoken_to(1000 * kMs, w.says(BfdState::up)).empty());
}

TEST(BfdSession, RFC_5880_6_6_a_neighbour_in_Demand_mode_stops_us_only_while_both_are_up) {
  World w;
  w.settle();
  BfdControl demands = w.says(BfdState::up);
  demands.demand = true;
  w.receive(demands);
  EXPECT_TRUE(w.pass_spoken_to(5000 * kMs, demands).empty());
  EXPECT_EQ(w.session.state(), BfdState::up);
  w.session.set({200'000, 3}, w.now);
  auto sent = w.pass_spoken_to(1000 * kMs, demands);
  ASSERT_FALSE(sent.empty()) << "a Poll Sequence is said all the same";
  EXPECT_TRUE(sent[0].packet.poll);
  BfdControl final = demands;
  final.final = true;
  w.receive(final);
  EXPECT_TRUE(w.pass_spoken_to(5000 * kMs, demands).empty());
  demands.state = BfdState::init;
  w.receive(demands);
  EXPECT_FALSE(w.pass_spoken_to(1000 * kMs, demands).empty());
}

// ---- the Poll Sequence

TEST(BfdSession, RFC_5880_6_5_a_Poll_is_answered_by_one_Final_at_once_in_every_state_that_takes_packets) {
  for (const BfdState ours : {BfdState::down, BfdState::init, BfdState::up, BfdState::admin_down}) {
    World w;
    w.enter(ours);
    w.pass(0);
    BfdControl poll = w.says(BfdState::up);
    poll.poll = true;
    w.now += 1;
    w.receive(poll);
    unsigned finals = 0;
    for (const Sent& s : w.pass(0)) {
      finals += s.packet.final;
      EXPECT_FALSE(s.packet.poll && s.packet.final);
    }
    EXPECT_EQ(finals, ours == BfdState::admin_down ? 0u : 1u);
  }
}

TEST(BfdSession, RFC_5880_6_5_coming_up_polls_on_the_scheduled_packets_until_the_Final) {
  World w;
  w.enter(BfdState::up);
  const auto polling = w.pass_spoken_to(20'000 * kMs, w.says(BfdState::up));
  for (const Sent& s : polling) EXPECT_TRUE(s.packet.poll);
  ASSERT_GE(polling.size(), 195u);
  EXPECT_LE(polling.size(), 270u) << "no packet beside the clock's";
  BfdControl final = w.says(BfdState::up);
  final.final = true;
  w.receive(final);
  for (const Sent& s : w.pass_spoken_to(1000 * kMs, w.says(BfdState::up))) EXPECT_FALSE(s.packet.poll);
}

TEST(BfdSession, RFC_5880_6_8_3_a_longer_interval_of_ours_waits_for_the_Final) {
  World w;
  w.settle();
  w.session.set({400'000, 3}, w.now);
  EXPECT_EQ(w.session.transmit_interval_us(), 100'000u);
  const auto sent = w.pass(0);
  ASSERT_EQ(sent.size(), 1u);
  EXPECT_TRUE(sent[0].packet.poll);
  EXPECT_EQ(sent[0].packet.desired_min_tx_us, 400'000u) << "but it is said";
  BfdControl final = w.says(BfdState::up);
  final.final = true;
  w.receive(final);
  EXPECT_EQ(w.session.transmit_interval_us(), 400'000u);
}

TEST(BfdSession,
     RFC_5880_6_8_3_a_shorter_one_holds_at_once_and_their_silence_is_measured_by_the_old_until_the_Final) {
  World w;
  w.settle();
  w.session.set({20'000, 3}, w.now);
  const BfdControl quick = w.says(BfdState::up, 20'000);
  w.receive(quick);
  EXPECT_EQ(w.session.transmit_interval_us(), 20'000u);
  EXPECT_EQ(w.session.detection_us(), 300'000u);
  BfdControl final = quick;
  final.final = true;
  w.receive(final);
  EXPECT_EQ(w.session.detection_us(), 60'000u);
}

TEST(BfdSession, RFC_5880_6_8_3_a_change_amid_a_Poll_Sequence_takes_another_and_a_packet_without_F_between) {
  World w;
  w.settle();
  const BfdControl plain = w.says(BfdState::up);
  BfdControl final = plain;
  final.final = true;
  w.session.set({400'000, 3}, w.now);
  w.pass(0);
  w.session.set({300'000, 3}, w.now);
  w.receive(final);  // may answer what was said before the second change
  EXPECT_EQ(w.session.transmit_interval_us(), 100'000u);
  for (const Sent& s : w.pass(90 * kMs)) EXPECT_FALSE(s.packet.poll);
  w.receive(plain);
  const auto again = w.pass(100 * kMs);
  ASSERT_FALSE(again.empty());
  EXPECT_TRUE(again.back().packet.poll);
  w.receive(final);
  EXPECT_EQ(w.session.transmit_interval_us(), 300'000u);
}

TEST(BfdSession, RFC_5880_6_8_12_another_detect_mult_is_said_without_a_Poll_Sequence) {
  World w;
  w.settle();
  w.session.set({100'000, 5}, w.now);
  const auto sent = w.pass(0);
  ASSERT_EQ(sent.size(), 1u);
  EXPECT_EQ(sent[0].packet.detect_mult, 5);
  EXPECT_FALSE(sent[0].packet.poll);
}

// ---- the Detection Time

TEST(BfdSession, RFC_5880_6_8_4_it_is_their_detect_mult_times_the_slower_of_their_wish_and_ours) {
  World w;
  w.settle();
  w.receive(w.says(BfdState::up, 50'000, 4));
  EXPECT_EQ(w.session.detection_us(), 400'000u);
  w.receive(w.says(BfdState::up, 250'000, 2));
  EXPECT_EQ(w.session.detection_us(), 500'000u);
  const uint64_t heard = w.now;
  w.pass(499'999);
  EXPECT_EQ(w.session.state(), BfdState::up);
  const auto sent = w.pass(1);
  EXPECT_EQ(w.now, heard + 500'000);
  EXPECT_EQ(w.session.state(), BfdState::down);
  EXPECT_EQ(w.session.diagnostic(), BfdDiagnostic::detection_time_expired);
  ASSERT_EQ(sent.size(), 1u) << "said at once";
  EXPECT_EQ(sent[0].packet.diagnostic, 1);
  EXPECT_EQ(sent[0].packet.your_discriminator, 0u) << "RFC 5880 6.8.1: forgotten";
  EXPECT_EQ(sent[0].packet.desired_min_tx_us, 1'000'000u);
  EXPECT_EQ(w.session.transmit_interval_us(), 1'000'000u) << "RFC 5880 6.8.18: their wish, too";
}

TEST(BfdSession, RFC_5880_6_8_4_Init_falls_back_to_Down_and_Down_only_forgets) {
  World init;
  init.enter(BfdState::init);
  init.pass(300 * kMs);
  EXPECT_EQ(init.session.state(), BfdState::down);
  EXPECT_EQ(init.session.diagnostic(), BfdDiagnostic::detection_time_expired);
  World down;
  down.receive(down.says(BfdState::up));
  ASSERT_EQ(down.session.state(), BfdState::down);
  EXPECT_EQ(down.pass(0).at(0).packet.your_discriminator, kTheirs);
  down.pass(300 * kMs);
  EXPECT_EQ(down.session.diagnostic(), BfdDiagnostic::none);
  EXPECT_EQ(down.pass(1000 * kMs).back().packet.your_discriminator, 0u);
}

TEST(BfdSession, RFC_5880_6_2_once_down_it_comes_up_by_three_hands_only) {
  World w;
  w.settle();
  w.pass(1000 * kMs);
  ASSERT_EQ(w.session.state(), BfdState::down);
  w.receive(w.says(BfdState::up));
  EXPECT_EQ(w.session.state(), BfdState::down);
  w.receive(w.says(BfdState::down));
  EXPECT_EQ(w.session.state(), BfdState::init);
  w.receive(w.says(BfdState::up));
  EXPECT_EQ(w.session.state(), BfdState::up);
}

TEST(BfdSession, RFC_5880_6_8_16_held_down_by_us_it_says_so_slowly) {
  World w;
  w.settle();
  w.session.disable(w.now);
  const auto sent = w.pass_spoken_to(5000 * kMs, w.says(BfdState::down));
  ASSERT_GE(sent.size(), 5u);
  EXPECT_LE(sent.size(), 8u);
  for (const Sent& s : sent) {
    EXPECT_EQ(s.packet.state, BfdState::admin_down);
    EXPECT_EQ(s.packet.diagnostic, 7);
  }
}

// ---- two of them

TEST(BfdSession, two_sessions_come_up_agree_and_notice_within_the_Detection_Time_that_one_is_gone) {
  for (const auto& [mine, yours] : {std::pair{BfdParameters{100'000, 3}, BfdParameters{100'000, 3}},
                                    {{10'000, 3}, {50'000, 5}},
                                    {{2'000'000, 2}, {300'000, 1}}}) {
    uint64_t now = 5'000'000;
    BfdSession a(1, mine, 77, now), b(2, yours, 99, now);
    uint64_t last_of_b = 0;
    const auto exchange = [&](uint64_t us, bool b_lives) {
      for (const uint64_t end = now + us; now < end; now += kMs) {
        a.expire(now);
        if (b_lives) b.expire(now);
        while (const auto packet = a.transmit(now))
          if (b_lives) {
            EXPECT_EQ(b.receive(*packet, now), BfdDiscard::none);
          }
        while (b_lives) {
          const auto packet = b.transmit(now);
          if (!packet) break;
          EXPECT_EQ(a.receive(*packet, now), BfdDiscard::none);
          last_of_b = now;
        }
        if (!b_lives && a.state() != BfdState::up) return;
      }
    };
    exchange(20'000 * kMs, true);
    ASSERT_EQ(a.state(), BfdState::up);
    ASSERT_EQ(b.state(), BfdState::up);
    const uint64_t slower = std::max(mine.interval_us, yours.interval_us);
    EXPECT_EQ(a.transmit_interval_us(), slower);
    EXPECT_EQ(b.transmit_interval_us(), slower);
    EXPECT_EQ(a.detection_us(), yours.detect_mult * slower);
    EXPECT_EQ(b.detection_us(), mine.detect_mult * slower);
    exchange(60'000 * kMs, true);
    EXPECT_EQ(a.diagnostic(), BfdDiagnostic::none);
    exchange(20'000 * kMs, false);
    EXPECT_EQ(a.state(), BfdState::down);
    EXPECT_LE(now - last_of_b, a.detection_us() + slower * yours.detect_mult + 2 * kMs);
    EXPECT_GE(now - last_of_b, yours.detect_mult * slower - kMs);
  }
}

}  // namespace
}  // namespace poolgate::probe
