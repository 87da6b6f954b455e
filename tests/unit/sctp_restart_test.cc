// SPDX-License-Identifier: BSD-3-Clause
// Patch 0001: without it the cookies of these INITs are never accepted. Patch 0010: what the old life leaves.
#include <cstring>

#include "tests/unit/sctp_pair.h"

namespace poolgate::sctp {
namespace {

Config two_links(const char* first, const char* second, const poolgate_sctp_stack& stack) {
  return config_of({first, second}, stack);
}

TEST(SctpRestart, a_peer_that_lost_its_state_comes_back_as_the_same_association_restarted) {
  Pair pair;
  ASSERT_TRUE(pair.set_up());
  const uint32_t id = pair.a.id();
  pair.b.restart();
  ASSERT_TRUE(pair.b.endpoint->connect(channel::SctpService::asap, {ip("10.1.0.1")}, 3863, 2));
  ASSERT_TRUE(pair.until([&] { return pair.a.ups.size() == 2 && pair.b.ups.size() == 1; }));
  EXPECT_TRUE(pair.a.ups[1].restarted);
  EXPECT_EQ(pair.a.ups[1].association.id, id);
  EXPECT_EQ(pair.a.endpoint->associations(), 1u);
  EXPECT_EQ(pair.a.endpoint->counters().restarts, 1u);
  EXPECT_TRUE(pair.a.downs.empty());
  EXPECT_EQ(pair.b.say("again"), SendStatus::sent);
  EXPECT_EQ(pair.a.say("welcome back", id), SendStatus::sent);
  ASSERT_TRUE(pair.until([&] { return pair.a.messages.size() == 1 && pair.b.messages.size() == 1; }));
}

// Before it, it would be taken for what the new life does not receive: a PE that restarts would be aborted.
TEST(SctpRestart, what_the_old_life_did_not_deliver_is_told_after_the_restart_and_not_said_to_the_new_one) {
  Pair pair;
  ASSERT_TRUE(pair.set_up());
  pair.passes = [](Packet&) { return false; };
  EXPECT_EQ(pair.a.say("keep-alive"), SendStatus::sent);
  const std::string large(60'000, 'x');
  while (pair.a.say(large) == SendStatus::sent) {
  }
  pair.b.restart();
  ASSERT_TRUE(pair.b.endpoint->connect(channel::SctpService::asap, {ip("10.1.0.1")}, 3863, 2));
  pair.passes = [](Packet&) { return true; };
  ASSERT_TRUE(pair.until([&] { return pair.a.ups.size() == 2 && pair.b.ups.size() == 1; }));
  pair.run(1000);
  EXPECT_TRUE(pair.a.ups[1].restarted);
  EXPECT_EQ(pair.a.failures_before, (std::vector<size_t>{0, 0}));
  ASSERT_GE(pair.a.failures.size(), 3u);
  EXPECT_EQ(pair.a.failures.front().association.id, pair.a.id());
  EXPECT_TRUE(pair.a.failures.front().payload == "keep-alive");
  EXPECT_TRUE(pair.a.failures.back().payload == large) << "it waited for room";
  EXPECT_TRUE(pair.b.messages.empty());
  EXPECT_EQ(pair.a.say("welcome back"), SendStatus::sent);
  ASSERT_TRUE(pair.until([&] { return pair.b.messages.size() == 1; }));
  EXPECT_TRUE(pair.a.downs.empty());
}

TEST(SctpRestart, pieces_of_a_message_of_the_old_life_take_no_room_in_the_new_one) {
  Pair pair;
  ASSERT_TRUE(pair.set_up());
  const std::string large(60'000, 'x');
  for (size_t life = 1; life <= 20; ++life) {
    // All but one, or all behind one.
    size_t pieces = 0;
    pair.passes = [&](Packet& p) {
      return p.chunk() != 0 || ++pieces < life || (life % 2 == 0 && pieces > life);
    };
    EXPECT_EQ(pair.b.say(large), SendStatus::sent);
    ASSERT_TRUE(pair.until([&] { return pieces > life + 3; }));
    pair.passes = [](Packet&) { return true; };
    pair.b.restart();
    ASSERT_TRUE(pair.b.endpoint->connect(channel::SctpService::asap, {ip("10.1.0.1")}, 3863, 2));
    ASSERT_TRUE(pair.until([&] { return pair.a.ups.size() == 1 + life && pair.b.ups.size() == 1; }));
    EXPECT_EQ(pair.b.say(large), SendStatus::sent);
    ASSERT_TRUE(pair.until([&] { return pair.a.messages.size() == life; })) << life;
    EXPECT_TRUE(pair.a.messages.back().payload == large);
  }
  EXPECT_TRUE(pair.a.downs.empty());
}

TEST(SctpRestart, RFC9260_5_2_2_a_restart_from_another_address_of_the_peer_is_a_restart) {
  Pair pair(two_links("10.1.0.1", "10.2.0.1", poolgate_sctp_stack_0),
            two_links("10.1.0.2", "10.2.0.2", poolgate_sctp_stack_1));
  for (Node* n : {&pair.a, &pair.b}) {
    const char* last = n == &pair.a ? "1" : "2";
    const std::string peer = n == &pair.a ? "2" : "1";
    for (const std::string net : {"10.1.0.", "10.2.0."})
      n->sources[ip((net + peer).c_str())] = ip((net + last).c_str());
  }
  ASSERT_TRUE(pair.set_up());
  ASSERT_TRUE(pair.until([&] { return !pair.a.path_changes.empty(); }));
  pair.b.restart();
  ASSERT_TRUE(pair.b.endpoint->connect(channel::SctpService::asap, {ip("10.2.0.1")}, 3863, 2));
  ASSERT_TRUE(pair.until([&] { return pair.a.ups.size() == 2 && pair.b.ups.size() == 1; }));
  EXPECT_TRUE(pair.a.ups[1].restarted);
  EXPECT_EQ(pair.a.endpoint->associations(), 1u);
}

// Anybody may list another's address in an INIT.
TEST(SctpRestart,
     RFC9260_5_2_2_an_INIT_that_adds_an_address_is_aborted_with_cause_11_and_takes_no_association) {
  Pair pair(two_links("10.1.0.1", "10.2.0.1", poolgate_sctp_stack_0),
            config_of({"10.1.0.2"}, poolgate_sctp_stack_1));
  ASSERT_TRUE(pair.set_up());
  pair.b.restart({ip("10.2.0.2"), ip("10.1.0.2")});
  std::vector<Packet> aborts;
  pair.passes = [&](Packet& p) {
    if (p.chunk() == 6) aborts.push_back(p);
    // Who has taken the other's name has not its place in the network.
    return p.source != ip("10.1.0.2") && p.destination != ip("10.1.0.2");
  };
  pair.b.sources[ip("10.2.0.1")] = ip("10.2.0.2");
  ASSERT_TRUE(pair.b.endpoint->connect(channel::SctpService::asap, {ip("10.2.0.1")}, 3863, 2));
  ASSERT_TRUE(pair.until([&] { return !pair.b.downs.empty(); }));
  EXPECT_EQ(pair.a.ups.size(), 1u);
  EXPECT_EQ(pair.a.endpoint->counters().restarts, 0u);
  EXPECT_EQ(pair.a.endpoint->counters().drops[static_cast<size_t>(Drop::new_addresses)], 1u);
  EXPECT_EQ(pair.a.endpoint->associations(), 1u);
  ASSERT_EQ(aborts.size(), 1u);
  EXPECT_EQ(aborts[0].destination, ip("10.2.0.2"));
  const std::vector<uint8_t> chunk(aborts[0].bytes.begin() + 12, aborts[0].bytes.end());
  EXPECT_EQ(chunk, (std::vector<uint8_t>{6, 0, 0, 16, 0, 11, 0, 12, 0, 5, 0, 8, 10, 2, 0, 2}));
}

// A claim to an address that no heartbeat has confirmed (§5.4) keeps nobody out who is there.
TEST(SctpRestart, RFC9260_5_4_whose_address_another_has_only_claimed_is_served) {
  Pair pair(two_links("10.1.0.1", "10.2.0.1", poolgate_sctp_stack_0),
            two_links("10.2.0.2", "10.1.0.2", poolgate_sctp_stack_1));
  pair.b.sources = {{ip("10.2.0.1"), ip("10.2.0.2")}, {ip("10.1.0.1"), ip("10.1.0.2")}};
  const auto away = [&](const char* address) {
    pair.passes = [here = ip(address)](Packet& p) { return p.source != here && p.destination != here; };
  };
  away("10.1.0.2");
  ASSERT_TRUE(pair.set_up({"10.2.0.1"}));
  pair.run(50);
  away("10.2.0.2");
  pair.b.restart({ip("10.1.0.2"), ip("10.3.0.2")});
  ASSERT_TRUE(pair.b.endpoint->connect(channel::SctpService::asap, {ip("10.1.0.1")}, 3863, 2));
  ASSERT_TRUE(pair.until([&] { return !pair.b.ups.empty() || !pair.b.downs.empty(); }));
  EXPECT_EQ(pair.b.ups.size(), 1u);
  EXPECT_EQ(pair.b.say("hello"), SendStatus::sent);
  EXPECT_TRUE(pair.until([&] { return pair.a.messages.size() == 1; }));
}

// Nor does an INIT that lists the address of whom we connect to.
TEST(SctpRestart, RFC9260_5_2_1_the_answer_to_an_INIT_that_crosses_ours_goes_where_ours_went) {
  Pair pair(two_links("10.1.0.1", "10.2.0.1", poolgate_sctp_stack_0),
            two_links("10.2.0.2", "10.1.0.2", poolgate_sctp_stack_1));
  pair.b.sources[ip("10.2.0.1")] = ip("10.2.0.2");
  int answers = 0;
  pair.passes = [&](Packet& p) {
    answers += p.destination == ip("10.2.0.2") && p.chunk() == 2;
    return p.source != ip("10.1.0.2") && p.destination != ip("10.1.0.2");
  };
  ASSERT_TRUE(pair.a.endpoint->connect(channel::SctpService::enrp, {ip("10.1.0.2")}, 9901, 1));
  pair.run(50);
  ASSERT_TRUE(pair.b.endpoint->connect(channel::SctpService::enrp, {ip("10.2.0.1")}, 9901, 2));
  pair.run(20'000);
  EXPECT_TRUE(pair.a.ups.empty());
  EXPECT_TRUE(pair.b.ups.empty());
  EXPECT_EQ(answers, 0);
}

// However far the end of the old life had come when its host died: the new one is served.
class SctpRestartAtTheEnd : public testing::Test {
 protected:
  void comes_back() {
    pair.passes = [](Packet&) { return true; };
    pair.b.restart();
    ASSERT_TRUE(pair.b.endpoint->connect(channel::SctpService::asap, {ip("10.1.0.1")}, 3863, 2));
    ASSERT_TRUE(pair.until([&] { return !pair.b.ups.empty() && pair.a.ups.size() == 2; }));
    EXPECT_EQ(pair.b.say("again"), SendStatus::sent);
    EXPECT_EQ(pair.a.say("welcome back"), SendStatus::sent);
    EXPECT_TRUE(pair.until([&] { return !pair.a.messages.empty() && !pair.b.messages.empty(); }));
    const size_t downs = pair.a.downs.size();
    pair.run(60'000);
    EXPECT_EQ(pair.a.downs.size(), downs);
    EXPECT_TRUE(pair.b.downs.empty());
    EXPECT_EQ(pair.a.endpoint->associations(), 1u);
  }
  Pair pair;
};

TEST_F(SctpRestartAtTheEnd, after_a_SHUTDOWN_of_ours) {
  ASSERT_TRUE(pair.set_up());
  pair.passes = [](Packet&) { return false; };
  pair.a.endpoint->close(pair.a.id(), false);
  pair.run(100);
  comes_back();
}

TEST_F(SctpRestartAtTheEnd, while_our_SHUTDOWN_waits_for_what_is_not_acknowledged) {
  ASSERT_TRUE(pair.set_up());
  pair.passes = [](Packet&) { return false; };
  EXPECT_EQ(pair.a.say("keep-alive"), SendStatus::sent);
  pair.a.endpoint->close(pair.a.id(), false);
  pair.run(100);
  comes_back();
}

TEST_F(SctpRestartAtTheEnd, after_a_SHUTDOWN_of_the_peers_and_our_answer) {
  ASSERT_TRUE(pair.set_up());
  pair.passes = [](Packet& p) { return p.chunk() == 7; };
  pair.b.endpoint->close(pair.b.id(), false);
  pair.run(100);
  comes_back();
}

TEST_F(SctpRestartAtTheEnd, after_a_SHUTDOWN_of_the_peers_while_we_wait_for_what_is_not_acknowledged) {
  ASSERT_TRUE(pair.set_up());
  pair.passes = [](Packet& p) { return p.chunk() == 7; };
  EXPECT_EQ(pair.a.say("keep-alive"), SendStatus::sent);
  pair.b.endpoint->close(pair.b.id(), false);
  pair.run(100);
  comes_back();
}

TEST(SctpRestart, RFC9260_5_2_1_both_sides_connect_at_once_and_get_one_association) {
  Pair pair;
  ASSERT_TRUE(pair.a.endpoint->connect(channel::SctpService::enrp, {ip("10.1.0.2")}, 9901, 8));
  ASSERT_TRUE(pair.b.endpoint->connect(channel::SctpService::enrp, {ip("10.1.0.1")}, 9901, 9));
  ASSERT_TRUE(pair.until([&] { return !pair.a.ups.empty() && !pair.b.ups.empty(); }));
  pair.run(300);
  EXPECT_EQ(pair.a.endpoint->associations(), 1u);
  EXPECT_EQ(pair.b.endpoint->associations(), 1u);
  EXPECT_EQ(pair.a.ups[0].service, channel::SctpService::enrp);
  EXPECT_EQ(pair.a.ups[0].request, 8u);
  EXPECT_EQ(pair.b.ups[0].request, 9u);
  EXPECT_EQ(pair.a.say("presence", 0, 12), SendStatus::sent);
  EXPECT_EQ(pair.b.say("presence", 0, 12), SendStatus::sent);
  ASSERT_TRUE(pair.until([&] { return pair.a.messages.size() == 1 && pair.b.messages.size() == 1; }));
}

TEST(SctpRestart, a_lost_cookie_ack_is_answered_again) {
  Pair pair;
  int lost = 0;
  pair.passes = [&](Packet& p) { return p.chunk() != 11 || ++lost > 1; };
  ASSERT_TRUE(pair.set_up());
  EXPECT_EQ(lost, 2);
  EXPECT_EQ(pair.a.ups.size(), 1u);
  EXPECT_EQ(pair.b.say("x"), SendStatus::sent);
  EXPECT_TRUE(pair.until([&] { return pair.a.messages.size() == 1; }));
}

TEST(SctpRestart, a_cookie_echo_from_another_address_than_its_init_is_taken) {
  Pair pair(two_links("10.1.0.1", "10.2.0.1", poolgate_sctp_stack_0),
            two_links("10.1.0.2", "10.2.0.2", poolgate_sctp_stack_1));
  int moved = 0;
  pair.passes = [&](Packet& p) {
    if (p.chunk() == 10) {
      p.source = ip("10.2.0.2");
      p.destination = ip("10.2.0.1");
      ++moved;
    }
    return true;
  };
  ASSERT_TRUE(pair.set_up());
  EXPECT_EQ(moved, 1);
  EXPECT_EQ(pair.a.ups[0].peer_addresses, (std::vector{ip("10.1.0.2"), ip("10.2.0.2")}));
}

TEST(SctpRestart, a_forged_cookie_is_dropped_with_its_reason) {
  Pair pair;
  pair.passes = [](Packet& p) {
    if (p.chunk() == 10) p.bytes[60] ^= 1, p.checksum_done = false;
    return true;
  };
  ASSERT_TRUE(pair.b.endpoint->connect(channel::SctpService::asap, {ip("10.1.0.1")}, 3863, 2));
  pair.run(200);
  EXPECT_GE(pair.a.endpoint->counters().drops[static_cast<size_t>(Drop::bad_cookie)], 1u);
  EXPECT_EQ(pair.a.endpoint->associations(), 0u);
}

TEST(SctpTags, each_tag_says_which_stack_chose_it) {  // patch 0004
  Pair pair;
  ASSERT_TRUE(pair.set_up());
  int seen = 0;
  pair.a.endpoint->for_each_association([&](const AssociationInfo& info) {
    ++seen;
    EXPECT_EQ(info.local_tag >> 28, 3u);
    EXPECT_EQ(info.peer_tag >> 28, 5u);
  });
  EXPECT_EQ(seen, 1);
}

TEST(SctpRestart, after_a_new_start_of_ours_the_peer_is_aborted_and_may_come_back) {
  Pair pair;
  ASSERT_TRUE(pair.set_up());
  pair.a.restart();
  EXPECT_EQ(pair.b.say("are you there"), SendStatus::sent);
  ASSERT_TRUE(pair.until([&] { return !pair.b.downs.empty(); }, 1000));
  EXPECT_EQ(pair.b.downs[0].reason, channel::DownReason::aborted);
  EXPECT_EQ(pair.a.endpoint->counters().aborts_out, 1u);
  EXPECT_TRUE(pair.set_up());
}

// ---- with memory that outlives the process

class SctpFormer : public testing::Test {
 protected:
  static Config keeping(std::vector<AssociationRecord>& records) {
    Config config = config_of({"10.1.0.1"}, poolgate_sctp_stack_0, 3);
    config.records = records;
    return config;
  }
  static Config patient() {
    Config config = config_of({"10.1.0.2"}, poolgate_sctp_stack_1, 5);
    config.sctp.heartbeat_ms = 30'000;
    return config;
  }
  static bool is_abort(const Packet& p) { return p.chunk() == 6; }

  std::vector<AssociationRecord> records{8};
};

TEST_F(SctpFormer, RFC9260_8_5_1_the_peer_of_a_former_process_is_aborted_with_its_tag_and_comes_back) {
  Pair pair(keeping(records), patient());
  ASSERT_TRUE(pair.set_up());
  uint32_t tag = 0;
  pair.a.endpoint->for_each_association([&](const AssociationInfo& info) { tag = info.peer_tag; });
  pair.a.restart();
  EXPECT_EQ(pair.a.endpoint->former_associations(), 1u);
  std::vector<Packet> aborts;
  pair.passes = [&](Packet& p) {
    if (is_abort(p)) aborts.push_back(p);
    return true;
  };
  ASSERT_TRUE(pair.until([&] { return !pair.b.downs.empty(); }, 1000)) << "long before its heartbeat";
  EXPECT_EQ(pair.b.downs[0].reason, channel::DownReason::aborted);
  ASSERT_EQ(aborts.size(), 1u);
  const std::vector<uint8_t>& bytes = aborts[0].bytes;
  EXPECT_EQ(uint32_t{bytes[4]} << 24 | uint32_t{bytes[5]} << 16 | uint32_t{bytes[6]} << 8 | bytes[7], tag);
  EXPECT_EQ(bytes[13], 0) << "no T bit: it is the tag that the peer chose";
  EXPECT_TRUE(pair.set_up());
  // The second round passes who is back.
  pair.run(5000);
  EXPECT_EQ(aborts.size(), 1u);
  EXPECT_EQ(pair.b.downs.size(), 1u);
  EXPECT_EQ(pair.a.endpoint->former_associations(), 0u);
}

TEST_F(SctpFormer, an_abort_that_is_lost_is_sent_once_more) {
  Pair pair(keeping(records), patient());
  ASSERT_TRUE(pair.set_up());
  pair.a.restart();
  int aborts = 0;
  pair.passes = [&](Packet& p) { return !is_abort(p) || ++aborts > 1; };
  ASSERT_TRUE(pair.until([&] { return !pair.b.downs.empty(); }));
  EXPECT_EQ(aborts, 2);
}

TEST_F(SctpFormer, a_death_before_all_are_told_leaves_the_rest_to_the_next_process) {
  Pair pair(keeping(records), patient());
  ASSERT_TRUE(pair.set_up());
  pair.a.restart();
  pair.a.restart();
  EXPECT_EQ(pair.a.endpoint->former_associations(), 1u);
  EXPECT_TRUE(pair.until([&] { return !pair.b.downs.empty(); }));
}

TEST_F(SctpFormer, what_ended_in_order_leaves_nothing) {
  Pair pair(keeping(records), patient());
  ASSERT_TRUE(pair.set_up());
  ASSERT_TRUE(pair.b.endpoint->close(pair.b.id(), false));
  ASSERT_TRUE(pair.until([&] { return !pair.a.downs.empty(); }));
  for (const AssociationRecord& record : records) EXPECT_EQ(record.peer_tag, 0u);
  ASSERT_TRUE(pair.set_up());
  pair.a.endpoint.reset();
  for (const AssociationRecord& record : records) EXPECT_EQ(record.peer_tag, 0u);
}

TEST_F(SctpFormer, they_are_told_at_the_pace_at_which_we_take_them_back) {
  records.resize(200);
  for (size_t i = 0; i < records.size(); ++i) {
    AssociationRecord& r = records[i];
    std::memcpy(r.local, ip("10.1.0.1").data(), 4);
    std::memcpy(r.peer, ip("10.1.0.9").data(), 4);
    r.local_port = 3863;
    r.peer_port = static_cast<uint16_t>(1000 + i);
    r.family = 4;
    r.peer_tag = 7;
  }
  Config config = keeping(records);
  config.sctp.init_rate = 100;
  Pair pair(config, patient());
  size_t aborts = 0;
  pair.passes = [&](Packet& p) { return aborts += is_abort(p), false; };
  pair.run(1000);
  EXPECT_GE(aborts, 90u);
  EXPECT_LE(aborts, 111u);
  pair.run(60'000);
  EXPECT_EQ(aborts, 400u) << "each twice";
  for (const AssociationRecord& record : records) EXPECT_EQ(record.peer_tag, 0u);
}

}  // namespace
}  // namespace poolgate::sctp
