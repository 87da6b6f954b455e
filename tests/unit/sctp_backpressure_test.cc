// SPDX-License-Identifier: BSD-3-Clause
// Patch 0005.
#include <algorithm>

#include "tests/unit/sctp_pair.h"

namespace poolgate::sctp {
namespace {

// Two associations from b to a: one to ASAP's port, one to ENRP's.
class Backpressure : public ::testing::Test {
 protected:
  void SetUp() override {
    ASSERT_TRUE(pair.set_up());
    asap_a = pair.a.id();
    asap_b = pair.b.id();
    ASSERT_TRUE(pair.b.endpoint->connect(channel::SctpService::asap, {ip("10.1.0.1")}, 9901, 2));
    ASSERT_TRUE(pair.until([&] { return pair.a.ups.size() == 2 && pair.b.ups.size() == 2; }));
    other_a = pair.a.id();
    other_b = pair.b.id();
    pair.a.on_output = [&](const Packet& p) {
      constexpr uint8_t kSack = 3;
      if (p.chunk() == kSack)
        window = static_cast<uint32_t>(p.bytes[20]) << 24 | static_cast<uint32_t>(p.bytes[21]) << 16 |
                 static_cast<uint32_t>(p.bytes[22]) << 8 | p.bytes[23];
      return true;
    };
  }
  size_t count(uint32_t association) const {
    return static_cast<size_t>(
        std::count_if(pair.a.messages.begin(), pair.a.messages.end(),
                      [&](const Node::Received& m) { return m.association == association; }));
  }
  // Sends numbered messages of 1000 bytes until no more are accepted.
  int fill(uint32_t association) {
    for (;;) {
      std::string text = std::to_string(sent_);
      text.resize(1000, '.');
      const SendStatus status = pair.b.say(text, association);
      if (status == SendStatus::full) {
        if (pair.until([&] { return pair.b.say(text, association) != SendStatus::full; }, 60)) {
          ++sent_;
          continue;
        }
        return sent_;
      }
      EXPECT_TRUE(status == SendStatus::sent || status == SendStatus::queued);
      ++sent_;
      if (sent_ % 16 == 0) pair.step();
    }
  }
  void expect_in_order(uint32_t association, int n) {
    int next = 0;
    for (const auto& m : pair.a.messages) {
      if (m.association != association) continue;
      ASSERT_EQ(std::stoi(m.payload), next);
      ++next;
    }
    EXPECT_EQ(next, n);
  }

  Pair pair;
  uint32_t asap_a = 0, asap_b = 0, other_a = 0, other_b = 0;
  uint32_t window = 0;

 private:
  int sent_ = 0;
};

TEST_F(Backpressure, a_blocked_association_closes_its_window_and_loses_nothing) {
  ASSERT_TRUE(pair.a.endpoint->set_blocked(asap_a, true));
  const int sent = fill(asap_b);
  EXPECT_GT(sent, 400);  // the window, the sender's buffer, the sender's queue
  EXPECT_LT(sent, 1000);
  EXPECT_EQ(count(asap_a), 0u);
  EXPECT_LT(window, 2000u);

  // The other association goes on meanwhile.
  ASSERT_EQ(pair.b.say("prompt", other_b), SendStatus::sent);
  ASSERT_TRUE(pair.until([&] { return count(other_a) == 1; }, 1000));
  ASSERT_EQ(pair.a.say("answer", other_a), SendStatus::sent);
  ASSERT_TRUE(pair.until([&] { return pair.b.messages.size() == 1; }, 1000));

  ASSERT_TRUE(pair.a.endpoint->set_blocked(asap_a, false));
  ASSERT_TRUE(pair.until([&] { return count(asap_a) == static_cast<size_t>(sent); }, 8000));
  expect_in_order(asap_a, sent);
  EXPECT_TRUE(pair.a.downs.empty());
}

TEST_F(Backpressure, blocked_from_within_a_message_nothing_more_of_it_is_read) {
  size_t read = 0;
  pair.a.on_message = [&](const Message& m) {
    if (m.association == asap_a && ++read == 64) pair.a.endpoint->set_blocked(asap_a, true);
  };
  const int sent = fill(asap_b);
  EXPECT_EQ(count(asap_a), 64u);
  ASSERT_TRUE(pair.a.endpoint->set_blocked(asap_a, false));
  pair.a.on_message = nullptr;
  ASSERT_TRUE(pair.until([&] { return count(asap_a) == static_cast<size_t>(sent); }, 8000));
  expect_in_order(asap_a, sent);
}

TEST_F(Backpressure, when_all_are_blocked_none_is_read_and_all_live) {
  pair.a.endpoint->set_all_blocked(true);
  ASSERT_EQ(pair.b.say("one", asap_b), SendStatus::sent);
  ASSERT_EQ(pair.b.say("two", other_b), SendStatus::sent);
  pair.run(300);
  EXPECT_TRUE(pair.a.messages.empty());
  EXPECT_TRUE(pair.a.downs.empty());
  pair.a.endpoint->set_all_blocked(false);
  ASSERT_TRUE(pair.until([&] { return pair.a.messages.size() == 2; }, 1000));
}

TEST_F(Backpressure, the_death_of_a_blocked_association_is_told_at_once_after_its_last_messages) {
  ASSERT_TRUE(pair.a.endpoint->set_blocked(asap_a, true));
  for (int i = 0; i < 10; ++i) ASSERT_EQ(pair.b.say(std::to_string(i), asap_b), SendStatus::sent);
  pair.run(100);
  EXPECT_EQ(count(asap_a), 0u);
  pair.a.on_message = [&](const Message&) { EXPECT_TRUE(pair.a.downs.empty()); };
  ASSERT_TRUE(pair.b.endpoint->close(asap_b, true));
  ASSERT_TRUE(pair.until([&] { return !pair.a.downs.empty(); }, 1000));
  expect_in_order(asap_a, 10);
  EXPECT_EQ(pair.a.downs[0].reason, channel::DownReason::aborted);
}

TEST_F(Backpressure, the_end_of_an_association_with_a_queue_is_told_within_the_budget_of_each_poll) {
  pair.b.endpoint->set_all_blocked(true);
  size_t accepted = 0;
  while (pair.a.say(std::to_string(accepted) + std::string(1000, 'x'), asap_a) != SendStatus::full) {
    if (++accepted % 16 == 0) pair.step();
  }
  ASSERT_TRUE(pair.a.endpoint->close(asap_a, true));
  for (int i = 0; i < 1000 && pair.a.downs.empty(); ++i) {
    const size_t before = pair.a.failures.size() + pair.a.downs.size();
    EXPECT_LE(pair.a.endpoint->poll(10), 10u);
    EXPECT_LE(pair.a.failures.size() + pair.a.downs.size() - before, 10u);
  }
  ASSERT_EQ(pair.a.downs.size(), 1u);
  ASSERT_GE(pair.a.failures.size(), 256u);  // the queue, and what the stack had not had acknowledged
  for (size_t i = 0; i < 256; ++i) {
    const auto& failure = pair.a.failures[pair.a.failures.size() - 256 + i];
    EXPECT_EQ(std::stoul(failure.payload), accepted - 256 + i);
  }
}

TEST_F(Backpressure, a_peer_that_does_not_read_leaves_at_most_the_buffer_and_the_queue_here) {
  pair.b.endpoint->set_all_blocked(true);
  int accepted = 0;
  const std::string text(1000, 'x');
  for (int i = 0; i < 20'000; ++i) {
    const SendStatus status = pair.a.say(text, asap_a);
    if (status == SendStatus::full &&
        !pair.until([&] { return pair.a.say(text, asap_a) != SendStatus::full; }, 200))
      break;
    ++accepted;
  }
  EXPECT_LT(accepted, 1000);
  // Another association is not held up.
  ASSERT_EQ(pair.a.say("x", other_a), SendStatus::sent);
  pair.b.endpoint->set_all_blocked(false);
  ASSERT_TRUE(pair.until([&] { return pair.b.messages.size() == static_cast<size_t>(accepted) + 1; }, 8000));
}

}  // namespace
}  // namespace poolgate::sctp
