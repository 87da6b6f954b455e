// SPDX-License-Identifier: BSD-3-Clause
// A server dies: arbitration, claiming of its PEs, and what may go wrong on the way (RFC 5353 §3.5;
// conformance §12.2).
#include <gmock/gmock.h>

#include "tests/unit/registrar_scope.h"

namespace poolgate::test {
namespace {

using testing::Each;
using testing::ElementsAre;
using testing::IsEmpty;
using testing::Pair;
using testing::SizeIs;

// `n` servers of one scope, all with all others for peers; PEs 1 to `pes` at `owner`.
void begin(Scope& s, rserpool::ServerId n, PeId pes, rserpool::ServerId owner,
           const registrar::Settings& settings = Scope::fast()) {
  for (rserpool::ServerId id = 1; id <= n; ++id)
    s.start(id, id == 1 ? std::vector<rserpool::ServerId>{} : std::vector<rserpool::ServerId>{1}, settings);
  s.run(3 * kS);
  for (PeId id = 1; id <= pes; ++id) s.enroll(owner, id);
  s.run(kS);
  s.wire.clear();
}

TEST(EnrpTakeover, ENRP_3_5_1_7_a_lone_survivor_takes_over_at_once) {
  Scope s;
  begin(s, 2, 3, 2);
  s.kill(2);
  const Micros dead = s.now;
  s.run(6 * kS);
  EXPECT_THAT(s.homes(1), Each(Pair(testing::_, 1u)));
  EXPECT_EQ(s.homes(1).size(), 3u);
  ASSERT_TRUE(s.first_at<enrp::InitTakeover>(1).has_value());
  EXPECT_LE(*s.first_at<enrp::InitTakeover>(1), dead + 4 * kS) << "3 s unheard, 1 s without response";
  for (const PeId id : {1, 2, 3}) EXPECT_THAT(s.pe_at(id).homes, ElementsAre(1u)) << "ENRP_3_5_2_2";
  EXPECT_EQ(s[1].counters().takeovers_won, 1u);
  EXPECT_EQ(s[1].counters().pes_claimed, 3u);
  EXPECT_THAT(s[1].peers(s.now), IsEmpty()) << "ENRP_3_5_2_1: the target is off the list";
  EXPECT_THAT(s.nodes.at(1).pe_downs, IsEmpty());
}

TEST(EnrpTakeover, ENRP_3_4_3_3_with_the_timers_of_the_RFC_it_begins_66_s_after_the_last_word) {
  Scope s;
  registrar::Settings slow = Scope::fast();
  slow.registrar.peer_heartbeat_ms = 30'000;
  slow.registrar.max_time_last_heard_ms = 61'000;
  slow.registrar.max_time_no_response_ms = 5'000;
  s.start(1, {}, slow);
  s.start(2, {1}, slow);
  s.run(kS);
  s.enroll(2, 1);
  const Micros last = s.now;
  s.kill(2);
  s.run(80 * kS);
  ASSERT_TRUE(s.first_at<enrp::InitTakeover>(1).has_value());
  EXPECT_EQ(*s.first_at<enrp::InitTakeover>(1), last + 66 * kS);
}

TEST(EnrpTakeover, ENRP_3_5_1_1_of_three_exactly_one_takes_over_and_all_know_it) {
  for (const rserpool::ServerId victim : {1u, 2u, 3u}) {
    Scope s;
    begin(s, 3, 5, victim);
    s.kill(victim);
    s.run(8 * kS);
    std::vector<rserpool::ServerId> left;
    for (const rserpool::ServerId id : {1u, 2u, 3u})
      if (id != victim) left.push_back(id);
    EXPECT_THAT(s.sent<enrp::TakeoverServer>(), SizeIs(1)) << victim;
    EXPECT_EQ(s.homes(left[0]), s.homes(left[1])) << "ENRP_3_5_2_3";
    EXPECT_EQ(s.homes(left[0]).size(), 5u);
    EXPECT_EQ(s[left[0]].counters().pes_claimed + s[left[1]].counters().pes_claimed, 5u);
    s.run(5 * kS);
    EXPECT_EQ(s[left[0]].counters().resyncs + s[left[1]].counters().resyncs, 0u);
  }
}

TEST(EnrpTakeover, a_server_that_owned_nothing_is_only_taken_off_the_list) {
  Scope s;
  begin(s, 3, 3, 1);
  s.kill(3);
  s.run(8 * kS);
  EXPECT_THAT(s.sent<enrp::InitTakeover>(), IsEmpty());
  EXPECT_THAT(s[1].peers(s.now), SizeIs(1));
}

// ---- one server, scripted peers

struct Side {
  explicit Side(registrar::Settings settings = {}) : w(std::move(settings)) {}
  AssociationName peer(rserpool::ServerId id) {
    const std::string ip = "10.0.0." + std::to_string(id % 250);
    const auto e = w.up({ip.c_str()}, 9901, SctpService::enrp);
    presence(e, id);
    return e;
  }
  void presence(const AssociationName& e, rserpool::ServerId id) {
    enrp::Presence p;
    p.sender = id;
    w.send(e, enrp::Message(p));
  }
  void own(const AssociationName& e, rserpool::ServerId id, PeId element_id) {
    w.send(e, enrp::Message(
                  enrp::HandleUpdate{.sender = id, .handle = "EchoPool", .element = pe_of(id, element_id)}));
  }
  // The target says nothing for 66 s, the others do.
  void silence(const std::vector<std::pair<AssociationName, rserpool::ServerId>>& others) {
    for (int i = 0; i < 66 && w.sent<enrp::InitTakeover>().empty(); ++i) {
      for (const auto& [e, id] : others) presence(e, id);
      w.run(kS);
    }
  }
  // The target owns these and falls silent; the other server lives, and lets us have them. Its association.
  AssociationName take_over(rserpool::ServerId target, rserpool::ServerId other,
                            const std::vector<PeId>& elements) {
    const auto t = peer(target);
    const auto a = peer(other);
    for (const PeId id : elements) own(t, target, id);
    silence({{a, other}});
    w.send(a, enrp::Message(enrp::InitTakeoverAck{other, kOurId, target}));
    return a;
  }
  // To the host of a PE that is being claimed, and what comes of it.
  std::optional<channel::Connect> first_connect() {
    for (int i = 0; i < 1000; ++i) {
      if (const auto asked = w.all<channel::Connect>(); !asked.empty()) return asked[0];
      w.run(kMs);
    }
    return std::nullopt;
  }
  World w;
};
constexpr rserpool::ServerId kTarget = 0x50, kSmaller = 0x60, kLarger = 0xffff0001;

TEST(EnrpTakeover, ENRP_3_5_1_1_init_goes_to_all_with_the_target_and_the_takeover_waits_for_each_ack) {
  Side s;
  const auto t = s.peer(kTarget);
  const auto a = s.peer(kSmaller);
  const auto b = s.peer(kLarger);
  s.own(t, kTarget, 7);
  s.silence({{a, kSmaller}, {b, kLarger}});
  const auto init = s.w.sent<enrp::InitTakeover>();
  ASSERT_THAT(init, SizeIs(3));
  for (const auto& m : init) EXPECT_EQ(m.target, kTarget);
  s.w.send(a, enrp::Message(enrp::InitTakeoverAck{kSmaller, kOurId, kTarget}));
  EXPECT_THAT(s.w.sent<enrp::TakeoverServer>(), IsEmpty());
  EXPECT_EQ(s.w.registrar.elements("EchoPool", s.w.now).at(0).element.home, kTarget);
  s.w.send(b, enrp::Message(enrp::InitTakeoverAck{kLarger, kOurId, kTarget}));
  EXPECT_THAT(s.w.sent<enrp::TakeoverServer>(), SizeIs(2)) << "to the active ones, not to the target";
  s.w.run(kMs);
  EXPECT_EQ(s.w.registrar.elements("EchoPool", s.w.now).at(0).element.home, kOurId);
}

// Who asked in the middle of it would take what is not listed yet for gone (RFC 5353 §3.6.3).
TEST(EnrpTakeover, ENRP_3_2_3_6_while_PEs_become_ours_the_table_of_ours_is_refused) {
  constexpr PeId kPes = 1200;
  Side s;
  const auto t = s.peer(kTarget);
  const auto a = s.peer(kSmaller);
  for (PeId id = 1; id <= kPes; ++id) s.own(t, kTarget, id);
  s.silence({{a, kSmaller}});
  s.w.send(a, enrp::Message(enrp::InitTakeoverAck{kSmaller, kOurId, kTarget}));
  ASSERT_THAT(s.w.sent<enrp::TakeoverServer>(), SizeIs(1));
  const auto ask = [&](bool own_only) {
    return s.w.ask<enrp::HandleTableResponse>(
        a, enrp::Message(enrp::HandleTableRequest{kSmaller, kOurId, own_only}));
  };
  EXPECT_TRUE(ask(true).rejected);
  s.w.registrar.tick(s.w.now);
  s.w.collect();
  const auto part = ask(true);
  EXPECT_TRUE(part.rejected) << "some hundred are ours, the others not yet";
  EXPECT_THAT(part.entries, IsEmpty());
  const auto listed = [&](bool own_only) {
    size_t n = 0;
    for (bool more = true; more;) {
      const auto table = ask(own_only);
      EXPECT_FALSE(table.rejected);
      for (const auto& entry : table.entries) n += entry.elements.size();
      more = table.more;
    }
    return n;
  };
  EXPECT_EQ(listed(false), kPes) << "of all PEs it says whose they are";
  s.w.run(100 * kMs);
  EXPECT_EQ(listed(true), kPes);
}

TEST(EnrpTakeover, ENRP_3_6_3_5_what_became_the_heirs_during_a_download_of_its_table_is_not_taken_for_gone) {
  Side s;
  const auto t = s.peer(kTarget);
  const auto a = s.peer(kSmaller);
  for (const PeId id : {1, 2, 3}) s.own(t, kTarget, id);
  s.own(a, kSmaller, 10);
  enrp::Presence differs;
  differs.sender = kSmaller;
  differs.checksum = 0x1234;
  s.w.send(a, enrp::Message(differs));
  ASSERT_THAT(s.w.sent<enrp::HandleTableRequest>(), SizeIs(1));
  PoolElement own = pe(10, "10.0.5.1");
  own.home = kSmaller;
  s.w.send(a, enrp::Message(enrp::HandleTableResponse{kSmaller, kOurId, false, true, {{"EchoPool", {own}}}}));
  // It goes on behind PE 10, and takes over what is before it.
  s.w.send(a, enrp::Message(enrp::TakeoverServer{kSmaller, 0, kTarget}));
  s.w.run(kMs);
  s.w.send(a, enrp::Message(enrp::HandleTableResponse{kSmaller, kOurId, false, false, {}}));
  s.w.run(kMs);
  EXPECT_THAT(s.w.there(), ElementsAre(1, 2, 3, 10));
}

TEST(EnrpTakeover, ENRP_3_5_1_7_no_takeover_is_won_while_there_is_no_channel_to_be_heard_by) {
  Side s;
  const auto t = s.peer(kTarget);
  const auto a = s.peer(kSmaller);
  s.own(t, kTarget, 7);
  s.silence({{a, kSmaller}});
  s.w.registrar.channel_lost(s.w.now);
  s.w.run(60 * kS);
  EXPECT_EQ(s.w.registrar.counters().takeovers_won, 0u);
  s.w.replay(s.w.ups);
  s.w.run(kMs);
  EXPECT_EQ(s.w.registrar.counters().takeovers_won, 0u) << "who was not asked again";
  s.w.send(a, enrp::Message(enrp::InitTakeoverAck{kSmaller, kOurId, kTarget}));
  EXPECT_THAT(s.w.sent<enrp::TakeoverServer>(), SizeIs(1));
}

TEST(EnrpTakeover, ENRP_3_5_1_3_the_targets_presence_stops_the_takeover) {
  Side s;
  const auto t = s.peer(kTarget);
  const auto a = s.peer(kSmaller);
  s.own(t, kTarget, 7);
  s.silence({{a, kSmaller}});
  s.presence(t, kTarget);
  s.w.send(a, enrp::Message(enrp::InitTakeoverAck{kSmaller, kOurId, kTarget}));
  EXPECT_THAT(s.w.sent<enrp::TakeoverServer>(), IsEmpty());
  EXPECT_EQ(s.w.registrar.counters().takeovers_stopped, 1u);
  s.w.run(10 * kS);
  EXPECT_EQ(s.w.registrar.elements("EchoPool", s.w.now).at(0).element.home, kTarget);
}

TEST(EnrpTakeover, ENRP_3_5_1_2_who_is_the_target_announces_itself_at_once) {
  Side s;
  const auto a = s.peer(kSmaller);
  s.peer(kLarger);
  s.w.send(a, enrp::Message(enrp::InitTakeover{kSmaller, kOurId, kOurId}));
  EXPECT_THAT(s.w.sent<enrp::Presence>(), SizeIs(2));
  EXPECT_THAT(s.w.sent<enrp::InitTakeoverAck>(), IsEmpty());
}

TEST(EnrpTakeover, ENRP_3_5_1_4_and_5_of_two_takeovers_the_larger_ids_goes_on) {
  for (const rserpool::ServerId rival : {kSmaller, kLarger}) {
    Side s;
    const auto t = s.peer(kTarget);
    const auto r = s.peer(rival);
    s.own(t, kTarget, 7);
    s.silence({{r, rival}});
    s.w.send(r, enrp::Message(enrp::InitTakeover{rival, 0, kTarget}));
    if (rival == kLarger) {
      EXPECT_THAT(s.w.sent<enrp::InitTakeoverAck>(), SizeIs(1));
      EXPECT_EQ(s.w.registrar.counters().takeovers_stopped, 1u);
    } else {
      EXPECT_THAT(s.w.sent<enrp::InitTakeoverAck>(), IsEmpty());
      EXPECT_EQ(s.w.registrar.counters().takeovers_stopped, 0u);
    }
  }
}

TEST(EnrpTakeover, ENRP_3_5_1_6_a_bystander_acknowledges_and_monitors_the_target_no_more) {
  Side s;
  const auto t = s.peer(kTarget);
  const auto a = s.peer(kSmaller);
  s.own(t, kTarget, 7);
  s.w.send(a, enrp::Message(enrp::InitTakeover{kSmaller, 0, kTarget}));
  const auto acks = s.w.sent<enrp::InitTakeoverAck>();
  ASSERT_THAT(acks, SizeIs(1));
  EXPECT_EQ(acks[0].target, kTarget);
  EXPECT_EQ(acks[0].receiver, kSmaller);
  EXPECT_FALSE(s.w.registrar.peers(s.w.now).at(0).active);
  s.w.send(a, enrp::Message(enrp::TakeoverServer{kSmaller, 0, kTarget}));
  s.w.run(kMs);
  EXPECT_EQ(s.w.registrar.elements("EchoPool", s.w.now).at(0).element.home, kSmaller);
  EXPECT_THAT(s.w.registrar.peers(s.w.now), SizeIs(1)) << "ENRP_3_5_2_3";
}

TEST(EnrpTakeover, conformance_12_2d_a_target_that_nobody_takes_over_in_the_end_is_monitored_again) {
  Side s;
  s.take_over(kTarget, kSmaller, {7});
  s.w.run(kMs);
  Side b;
  const auto t2 = b.peer(kTarget);
  const auto a2 = b.peer(kLarger);
  b.own(t2, kTarget, 7);
  b.w.run(50 * kS);
  b.w.send(a2, enrp::Message(enrp::InitTakeover{kLarger, 0, kTarget}));
  for (int i = 0; i < 60 && b.w.sent<enrp::InitTakeover>().empty(); ++i) {
    b.presence(a2, kLarger);
    b.w.run(kS);
  }
  EXPECT_THAT(b.w.sent<enrp::InitTakeover>(), SizeIs(2)) << "the initiator died on the way: it is our turn";
}

TEST(EnrpTakeover, conformance_12_2c_nobody_waits_for_the_acknowledgement_of_a_dead_server) {
  Side s;
  const auto t = s.peer(kTarget);
  const auto a = s.peer(kSmaller);
  s.own(t, kTarget, 7);
  s.silence({{a, kSmaller}});
  ASSERT_THAT(s.w.sent<enrp::InitTakeover>(), SizeIs(2));
  s.w.down(a);
  s.w.run(6 * kS);
  EXPECT_EQ(s.w.registrar.counters().takeovers_won, 1u);
}

TEST(EnrpTakeover, conformance_12_2a_a_rival_that_neither_agrees_nor_takes_over_does_not_stop_it_for_ever) {
  Side s;
  const auto t = s.peer(kTarget);
  const auto a = s.peer(kSmaller);
  s.own(t, kTarget, 7);
  s.silence({{a, kSmaller}});
  size_t asked = 0;
  for (int i = 0; i < 20; ++i) {
    s.presence(a, kSmaller);
    s.w.run(kS);
    asked += s.w.sent<enrp::InitTakeover>().size();
  }
  EXPECT_EQ(asked, 2u) << "asked again";
  EXPECT_EQ(s.w.registrar.counters().takeovers_won, 1u);
}

TEST(EnrpTakeover, ENRP_3_5_1_1_a_short_silence_is_no_death) {
  Scope s;
  begin(s, 3, 4, 2);
  s.cut.insert(Scope::ip_of(2));
  s.run(3 * kS / 2);
  s.cut.clear();
  s.run(5 * kS);
  EXPECT_THAT(s.homes(1), Each(Pair(testing::_, 2u)));
  EXPECT_EQ(s.homes(1), s.homes(3));
  EXPECT_THAT(s.sent<enrp::InitTakeover>(), IsEmpty());
}

TEST(EnrpTakeover,
     a_server_that_was_silent_for_long_enough_to_be_taken_over_agrees_with_its_heir_afterwards) {
  Scope s;
  begin(s, 3, 4, 2);
  s.cut.insert(Scope::ip_of(2));
  s.run(5 * kS);
  EXPECT_THAT(s.sent<enrp::TakeoverServer>(), SizeIs(1));
  s.cut.clear();
  s.run(20 * kS);
  EXPECT_EQ(s.homes(1).size(), 4u);
  EXPECT_EQ(s.homes(1), s.homes(2));
  EXPECT_EQ(s.homes(1), s.homes(3));
}

// ---- claiming

TEST(EnrpTakeover, ENRP_3_5_2_2_claims_are_spread_no_second_has_more_than_configured) {
  Scope s;
  registrar::Settings settings = Scope::fast();
  settings.registrar.takeover_rate = 50;
  begin(s, 2, 400, 2, settings);
  s.kill(2);
  s.run(20 * kS);
  EXPECT_EQ(s[1].counters().pes_claimed, 400u);
  std::map<Micros, size_t> seconds;
  for (const auto& [ip, one] : s.pes)
    for (const auto& [second, n] : one.h_seconds) seconds[second] += n;
  size_t most = 0;
  for (const auto& [second, n] : seconds) most = std::max(most, n);
  EXPECT_LE(most, 50u);
  EXPECT_GE(seconds.size(), 8u);
}

TEST(EnrpTakeover, ENRP_3_5_2_2_claims_at_a_host_that_is_reached_late_are_no_more_a_second_either) {
  constexpr size_t kRate = 50, kElements = 400;
  registrar::Settings settings;
  settings.registrar.takeover_rate = kRate;
  settings.registrar.keepalive_interval_ms = 0;
  Side s(settings);
  World& w = s.w;
  const auto t = s.peer(kTarget);
  for (PeId id = 1; id <= kElements; ++id) s.own(t, kTarget, id);  // all of one host
  s.silence({});
  const auto connect = s.first_connect();
  ASSERT_TRUE(connect.has_value());
  w.run(4 * kS);  // its INIT is answered so late
  std::vector<Micros> told;
  const auto note = [&] {
    for (size_t i = w.sent<asap::EndpointKeepAlive>().size(); i > 0; --i) told.push_back(w.now);
  };
  s.w.reached(*connect);
  note();
  w.answer_keep_alives = true;
  for (const Micros end = w.now + 20 * kS; w.now < end;) {
    w.run(kMs);
    note();
  }
  ASSERT_GE(told.size(), kElements);
  for (size_t i = kRate; i < told.size(); ++i) ASSERT_GE(told[i] - told[i - kRate], kS) << "claim " << i;
  EXPECT_EQ(w.registrar.counters().pes_claimed, kElements);
}

TEST(EnrpTakeover, a_PE_that_registers_elsewhere_before_its_host_is_reached_is_not_claimed) {
  Side s;
  const auto a = s.take_over(kTarget, kSmaller, {7, 8});
  const auto connect = s.first_connect();
  ASSERT_TRUE(connect.has_value());
  s.w.run(10 * kMs);  // both have had their turns
  s.own(a, kSmaller, 7);
  s.w.reached(*connect);
  const auto told = s.w.sent<asap::EndpointKeepAlive>();
  ASSERT_THAT(told, SizeIs(1));
  EXPECT_EQ(told[0].pe_id, PeId{8});
}

TEST(EnrpTakeover, a_PE_that_answers_nowhere_is_removed_in_the_end_and_found_dead) {
  Scope s;
  begin(s, 3, 3, 3);
  s.pe_at(2).answers = false;
  s.kill(3);
  s.run(15 * kS);
  EXPECT_THAT(s.homes(1), SizeIs(2));
  EXPECT_EQ(s.homes(1), s.homes(2));
  size_t downs = 0;
  for (const rserpool::ServerId id : {1u, 2u}) downs += s.nodes.at(id).pe_downs.size();
  EXPECT_EQ(downs, 1u);
  EXPECT_THAT(s.pe_at(2).homes, SizeIs(3)) << "claim_attempts";
}

TEST(EnrpTakeover, a_PE_that_answers_a_claim_after_it_was_removed_is_ours_all_the_same) {
  Side s;
  s.take_over(kTarget, kSmaller, {7});
  const auto connect = s.first_connect();
  ASSERT_TRUE(connect.has_value());
  const auto host = s.w.reached(*connect);
  ASSERT_THAT(s.w.sent<asap::EndpointKeepAlive>(), SizeIs(1));
  for (int i = 0; i < 60 && !s.w.there().empty(); ++i) s.w.run(kS);
  ASSERT_THAT(s.w.there(), IsEmpty());
  s.w.send(host, asap::Message(asap::EndpointKeepAliveAck{"EchoPool", 7}));
  const auto list = s.w.registrar.elements("EchoPool", s.w.now);
  ASSERT_THAT(list, SizeIs(1));
  EXPECT_EQ(list[0].element.home, kOurId);
}

TEST(EnrpTakeover, a_PE_that_was_claimed_is_watched_by_its_new_home) {
  Scope s;
  registrar::Settings settings = Scope::fast();
  settings.registrar.keepalive_interval_ms = 1000;
  begin(s, 2, 1, 2, settings);
  s.kill(2);
  s.run(10 * kS);
  EXPECT_THAT(s.homes(1), ElementsAre(Pair(1, 1)));
  s.pe_at(1).answers = false;
  s.run(4 * kS);
  EXPECT_THAT(s.homes(1), IsEmpty());
}

TEST(EnrpTakeover, a_PE_that_registers_at_its_new_home_before_it_is_claimed_is_not_claimed) {
  Scope s;
  registrar::Settings settings = Scope::fast();
  settings.registrar.takeover_rate = 1;
  begin(s, 2, 3, 2, settings);
  s.kill(2);
  s.run(4 * kS + kMs);
  s.enroll(1, 3);
  s.run(10 * kS);
  EXPECT_THAT(s.pe_at(3).homes, IsEmpty());
  EXPECT_EQ(s[1].counters().pes_claimed, 2u);
}

TEST(EnrpTakeover, the_whole_takeover_goes_on_after_a_restart_in_its_middle) {
  Scope s;
  registrar::Settings settings = Scope::fast();
  settings.registrar.takeover_rate = 10;
  begin(s, 2, 100, 2, settings);
  s.kill(2);
  s.run(6 * kS);
  EXPECT_GT(s[1].scope().claiming, 20u);
  s.kill_registrar(1);
  s.restart(1);
  s.run(30 * kS);
  EXPECT_EQ(s[1].scope().claiming, 0u);
  EXPECT_EQ(s.homes(1).size(), 100u);
  for (PeId id = 1; id <= 100; ++id) EXPECT_FALSE(s.pe_at(id).homes.empty()) << id;
}

}  // namespace
}  // namespace poolgate::test
