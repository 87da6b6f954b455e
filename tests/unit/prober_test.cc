// SPDX-License-Identifier: BSD-3-Clause
// The prober's rules in virtual time: when it asks, what is a death, what is none, and who may not say so.
#include "dataplane/probe/prober.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <functional>
#include <set>
#include <vector>

namespace poolgate::probe {
namespace {

using config::ProbeKind;
using rserpool::IpAddress;

constexpr uint64_t kMs = 1000;

IpAddress address(unsigned n) {
  const uint8_t bytes[4] = {10, 0, static_cast<uint8_t>(n >> 8), static_cast<uint8_t>(n)};
  return IpAddress::v4(bytes);
}

// A prober and what it asks, millisecond by millisecond.
struct World {
  explicit World(uint32_t capacity = 64, uint32_t rate = 100'000)
      : board(capacity), prober(board, {1, 2}, rate) {}

  void set(TargetIndex index, Target target, uint32_t incarnation = 1) {
    ASSERT_TRUE(board.change({Change::What::set, index, incarnation, target}));
    prober.take_changes();
  }
  void ask(TargetIndex index, uint32_t incarnation = 1) {
    ASSERT_TRUE(board.change({Change::What::ask, index, incarnation, {}}));
    prober.take_changes();
  }
  static Answer answer_to(const Probe& probe) {
    return {probe.target->how, probe.target->address, probe.target->port, probe.token, false};
  }
  struct Sent {
    uint64_t at_us;
    TargetIndex index;
    Answer answer;
  };
  // `answer`: whether this probe is answered, at once.
  std::vector<Sent> pass_ms(unsigned ms, const std::function<bool(const Probe&)>& answer = {}) {
    std::vector<Sent> sent;
    for (unsigned i = 0; i < ms; ++i) {
      now_us += kMs;
      prober.advance(now_us);
      Probe probe;
      while (prober.next(probe)) {
        sent.push_back({now_us, probe.index, answer_to(probe)});
        if (answer && answer(probe)) {
          EXPECT_TRUE(prober.answered(answer_to(probe)));
        }
      }
    }
    return sent;
  }
  Health health(TargetIndex index) const { return board.status(index).health; }

  Board board;
  Prober prober;
  uint64_t now_us = 1'000'000'000;
};

constexpr auto kYes = [](const Probe&) { return true; };
const Target kPe{ProbeKind::sctp, address(1), 3868, 3, 100'000};

TEST(Prober, a_target_is_asked_once_an_interval) {
  World w;
  w.set(0, kPe);
  const auto sent = w.pass_ms(10'000, kYes);
  ASSERT_GE(sent.size(), 95u);
  EXPECT_LE(sent.size(), 100u);
  for (size_t i = 1; i < sent.size(); ++i) {
    EXPECT_GE(sent[i].at_us - sent[i - 1].at_us, 100 * kMs);
    EXPECT_LE(sent[i].at_us - sent[i - 1].at_us, 102 * kMs);
  }
  EXPECT_EQ(w.health(0), Health::alive);
}

TEST(Prober, three_unanswered_are_a_death_one_interval_after_the_third) {
  World w;
  w.set(0, kPe);
  w.pass_ms(1000, kYes);
  std::vector<World::Sent> sent;
  while (sent.size() < 3) {
    for (const auto& s : w.pass_ms(1)) sent.push_back(s);
    ASSERT_EQ(w.health(0), Health::alive);
  }
  w.pass_ms(98);
  EXPECT_EQ(w.health(0), Health::alive) << "the third may still be answered";
  w.pass_ms(4);
  EXPECT_EQ(w.health(0), Health::dead);
}

TEST(Prober, ten_milliseconds_find_a_death_within_forty_five) {
  World w;
  Target fast = kPe;
  fast.interval_us = 10'000;
  w.set(0, fast);
  w.pass_ms(500, kYes);
  w.pass_ms(45);
  EXPECT_EQ(w.health(0), Health::dead);
}

TEST(Prober, two_unanswered_and_an_answer_are_no_death) {
  World w;
  w.set(0, kPe);
  w.pass_ms(1000, kYes);
  unsigned n = 0;
  w.pass_ms(5000, [&](const Probe&) { return ++n % 3 == 0; });
  EXPECT_EQ(w.health(0), Health::alive);
  EXPECT_GT(n, 40u);
}

TEST(Prober, an_answer_that_takes_longer_than_an_interval_counts) {
  World w;
  Target fast = kPe;
  fast.interval_us = 10'000;
  w.set(0, fast);
  std::vector<World::Sent> way;
  for (int i = 0; i < 2000; ++i) {
    for (const auto& s : w.pass_ms(1)) way.push_back(s);
    while (!way.empty() && w.now_us - way.front().at_us >= 25 * kMs) {
      EXPECT_TRUE(w.prober.answered(way.front().answer));
      way.erase(way.begin());
    }
    ASSERT_NE(w.health(0), Health::dead);
    ASSERT_NE(w.health(0), Health::silent);
  }
  EXPECT_EQ(w.health(0), Health::alive);
}

TEST(Prober, one_that_has_never_answered_is_silent_not_dead) {
  World w;
  w.set(0, kPe);
  w.pass_ms(5000);
  EXPECT_EQ(w.health(0), Health::silent);
  w.pass_ms(200, kYes);
  EXPECT_EQ(w.health(0), Health::alive);
}

TEST(Prober, a_dead_one_is_alive_after_as_many_answers_in_a_row) {
  World w;
  w.set(0, kPe);
  w.pass_ms(1000, kYes);
  w.pass_ms(1000);
  ASSERT_EQ(w.health(0), Health::dead);
  unsigned answered = 0;
  unsigned n = 0;
  // Two answers, a silence, and only then three.
  while (w.health(0) == Health::dead && n < 20)
    w.pass_ms(1, [&](const Probe&) {
      if (++n == 3) return false;
      ++answered;
      return true;
    });
  EXPECT_EQ(w.health(0), Health::alive);
  EXPECT_EQ(answered, 5u);
}

TEST(Prober, a_forged_answer_keeps_nobody_alive) {
  World w;
  w.set(0, kPe);
  w.pass_ms(1000, kYes);
  std::vector<World::Sent> sent;
  for (int i = 0; i < 1000; ++i) {
    for (const auto& s : w.pass_ms(1)) sent.push_back(s);
    if (sent.empty()) continue;
    Answer wrong_tag = sent.back().answer, wrong_source = wrong_tag, wrong_port = wrong_tag,
           wrong_kind = wrong_tag;
    ++wrong_tag.token.tag;
    wrong_source.address = address(2);
    ++wrong_port.port;
    wrong_kind.how = ProbeKind::heartbeat;
    for (const Answer& forged : {wrong_tag, wrong_source, wrong_port, wrong_kind})
      EXPECT_FALSE(w.prober.answered(forged));
  }
  EXPECT_EQ(w.health(0), Health::dead);
}

TEST(Prober, an_old_answer_played_again_keeps_nobody_alive) {
  World w;
  w.set(0, kPe);
  Answer old;
  w.pass_ms(2000, [&](const Probe& p) { return old = World::answer_to(p), true; });
  for (int i = 0; i < 3000; ++i) {
    w.pass_ms(1);
    w.prober.answered(old);
  }
  EXPECT_EQ(w.health(0), Health::dead);
}

TEST(Prober, tokens_of_two_probes_differ_and_no_tag_is_0) {
  World w;
  w.set(0, kPe);
  std::set<uint32_t> tags;
  const auto sent = w.pass_ms(20'000, kYes);
  for (const auto& s : sent) tags.insert(s.answer.token.tag);
  EXPECT_EQ(tags.size(), sent.size());
  EXPECT_FALSE(tags.contains(0));
}

TEST(Prober, of_an_icmp_probe_the_identifier_counts_too) {
  World w;
  Target icmp = kPe;
  icmp.how = ProbeKind::icmp;
  icmp.port = 0;
  w.set(0, icmp);
  const auto sent = w.pass_ms(120);
  ASSERT_FALSE(sent.empty());
  Answer wrong = sent.back().answer;
  ++wrong.token.id;
  EXPECT_FALSE(w.prober.answered(wrong));
  EXPECT_TRUE(w.prober.answered(sent.back().answer));
}

TEST(Prober, RFC_9260_8_4_an_INIT_refused_by_ABORT_is_no_death_and_is_said) {
  World w;
  w.set(0, kPe);
  for (int i = 0; i < 1000; ++i) {
    for (auto& s : w.pass_ms(1)) {
      s.answer.refused = true;
      EXPECT_TRUE(w.prober.answered(s.answer));
    }
  }
  EXPECT_EQ(w.health(0), Health::alive);
  EXPECT_TRUE(w.board.status(0).refuses);
  w.pass_ms(200, kYes);
  EXPECT_FALSE(w.board.status(0).refuses);
}

TEST(Prober, a_worker_that_did_not_run_has_heard_no_silence) {
  World w;
  w.set(0, kPe);
  w.pass_ms(1000, kYes);
  for (int i = 0; i < 20; ++i) {
    // Each probe's answer waits in the queue while the worker is held up for half a second.
    std::vector<World::Sent> sent;
    while (sent.empty()) sent = w.pass_ms(1);
    w.now_us += 500 * kMs;
    w.prober.advance(w.now_us);
    Probe early;
    EXPECT_FALSE(w.prober.next(early)) << "nor is the interval over";
    EXPECT_TRUE(w.prober.answered(sent[0].answer));
    ASSERT_EQ(w.health(0), Health::alive);
  }
}

TEST(Prober, a_probe_that_did_not_leave_counts_for_nothing) {
  World w;
  w.set(0, kPe);
  w.pass_ms(1000, kYes);
  for (int i = 0; i < 2000; ++i) {
    w.now_us += kMs;
    w.prober.advance(w.now_us);
    Probe probe;
    while (w.prober.next(probe)) w.prober.unsent(probe);
  }
  EXPECT_EQ(w.health(0), Health::alive);
  w.pass_ms(450);
  EXPECT_EQ(w.health(0), Health::dead);
}

TEST(Prober, many_targets_are_spread_over_the_interval) {
  World w(1024);
  for (unsigned i = 0; i < 1000; ++i) w.set(i, {ProbeKind::sctp, address(i), 3868, 3, 100'000});
  w.pass_ms(1000, kYes);
  // 10 a millisecond on the average; the wheel's steps, and chance, make it uneven.
  for (int i = 0; i < 300; ++i) EXPECT_LE(w.pass_ms(1, kYes).size(), 40u);
}

TEST(Prober, the_total_rate_is_capped_and_no_target_is_left_out_or_dies_of_it) {
  World w(1024, 1000);
  for (unsigned i = 0; i < 1000; ++i) w.set(i, {ProbeKind::sctp, address(i), 3868, 3, 100'000});
  w.pass_ms(5000, kYes);
  const auto sent = w.pass_ms(10'000, kYes);
  EXPECT_GE(sent.size(), 9'800u);
  EXPECT_LE(sent.size(), 10'200u);
  std::vector<unsigned> each(1000);
  for (const auto& s : sent) ++each[s.index];
  EXPECT_GE(*std::min_element(each.begin(), each.end()), 9u);
  EXPECT_LE(*std::max_element(each.begin(), each.end()), 11u);
  for (unsigned i = 0; i < 1000; ++i) EXPECT_EQ(w.health(i), Health::alive);
  // And one that dies is found, later.
  w.pass_ms(6000, [](const Probe& p) { return p.index != 17; });
  EXPECT_EQ(w.health(17), Health::dead);
}

TEST(Prober, a_question_is_judged_by_probes_that_leave_after_it) {
  World w;
  w.set(0, kPe);
  Answer before;
  w.pass_ms(1000, [&](const Probe& p) { return before = World::answer_to(p), true; });
  const uint8_t judged = w.board.status(0).judged;
  w.ask(0);
  EXPECT_EQ(w.health(0), Health::unknown);
  w.prober.answered(before);
  EXPECT_EQ(w.health(0), Health::unknown) << "what was sent before says nothing";
  EXPECT_EQ(w.board.status(0).judged, judged);
  w.pass_ms(110, kYes);
  EXPECT_EQ(w.health(0), Health::alive);
  EXPECT_EQ(w.board.status(0).judged, judged + 1);
  w.ask(0);
  w.pass_ms(450);
  EXPECT_EQ(w.health(0), Health::dead);
  EXPECT_EQ(w.board.status(0).judged, judged + 2);
}

TEST(Prober, a_target_that_is_removed_is_asked_no_more_and_its_index_serves_another) {
  World w;
  w.set(0, kPe);
  w.pass_ms(1000, kYes);
  ASSERT_TRUE(w.board.change({Change::What::remove, 0, 1, {}}));
  w.prober.take_changes();
  EXPECT_EQ(w.prober.targets(), 0u);
  const Target other{ProbeKind::heartbeat, address(9), 5000, 3, 100'000};
  w.set(0, other, 2);
  const auto sent = w.pass_ms(1000, kYes);
  EXPECT_GE(sent.size(), 9u);
  EXPECT_LE(sent.size(), 11u);
  for (const auto& s : sent) EXPECT_EQ(s.answer.address, address(9));
  EXPECT_EQ(w.board.status(0).incarnation, 2u);
  // A late word about the former use of the index.
  ASSERT_TRUE(w.board.change({Change::What::remove, 0, 1, {}}));
  w.prober.take_changes();
  EXPECT_EQ(w.prober.targets(), 1u);
}

TEST(Prober, news_are_told_once_a_change_and_none_is_lost_when_the_queue_is_full) {
  World w(8192);
  for (unsigned i = 0; i < 8000; ++i) {
    w.set(i, {ProbeKind::icmp, address(i), 0, 3, 100'000});
  }
  w.pass_ms(1000, kYes);
  TargetIndex index;
  bool all = false, everything = false;
  unsigned n = 0;
  while (w.board.news(index, all)) {
    everything |= all;
    ++n;
  }
  EXPECT_TRUE(everything) << "more than the queue holds";
  EXPECT_LE(n, Board::kQueue + 1);
  EXPECT_FALSE(w.board.news(index, all));
  w.pass_ms(1000, kYes);
  EXPECT_FALSE(w.board.news(index, all)) << "nothing new";
  w.pass_ms(500, [](const Probe& p) { return p.index != 77; });
  ASSERT_TRUE(w.board.news(index, all));
  EXPECT_FALSE(all);
  EXPECT_EQ(index, 77u);
  EXPECT_EQ(w.health(77), Health::dead);
}

}  // namespace
}  // namespace poolgate::probe
