// SPDX-License-Identifier: BSD-3-Clause
// ENRP_HANDLE_UPDATE both ways (RFC 5353 §3.3), who may say what (conformance §12.20), lives of foreign PEs.
#include <gmock/gmock.h>

#include "tests/unit/registrar_scope.h"

namespace poolgate::test {
namespace {

using enrp::UpdateAction;
using testing::ElementsAre;
using testing::IsEmpty;
using testing::Pair;
using testing::SizeIs;

// A peer of a World: server 0x77 at 10.0.0.9.
AssociationName peer_up(World& w, rserpool::ServerId id = 0x77, const char* ip = "10.0.0.9") {
  const auto e = w.up({ip}, 9901, SctpService::enrp);
  enrp::Presence p;
  p.sender = id;
  p.checksum = 0xffff;
  w.send(e, enrp::Message(p));
  return e;
}
PoolElement foreign(PeId id, rserpool::ServerId home = 0x77) { return pe_of(home, id); }
enrp::Message update(UpdateAction action, const PoolElement& element, rserpool::ServerId sender = 0x77) {
  return enrp::HandleUpdate{sender, 0, false, action, "EchoPool", element};
}

TEST(EnrpUpdates, ENRP_3_3_1_1_a_registration_is_told_to_every_peer_with_the_actions_that_answer_it) {
  World w;
  const auto a = peer_up(w);
  const auto b = peer_up(w, 0x78, "10.0.0.10");
  const auto p = w.up({"10.0.0.1"}, 41'000);
  w.enroll(p, pe(1));
  const auto updates = w.sent<enrp::HandleUpdate>();
  ASSERT_THAT(updates, SizeIs(2));
  EXPECT_EQ(updates[0].sender, kOurId);
  EXPECT_EQ(updates[0].receiver, 0u) << "ENRP_3_3_1_2";
  EXPECT_EQ(updates[0].action, UpdateAction::add_pe);
  EXPECT_EQ(updates[0].handle, "EchoPool");
  EXPECT_EQ(updates[0].element.home, kOurId);
  EXPECT_EQ(updates[0].element.asap_transport.port, 41'000) << "ASAP_3_1_6";
  std::vector<AssociationName> to;
  for (const auto& down : w.sent())
    if (down.ppid == 12) to.push_back(down.association);
  EXPECT_THAT(to, ElementsAre(a, b));
  w.enroll(p, pe(1));
  EXPECT_THAT(w.sent<enrp::HandleUpdate>(), SizeIs(2)) << "a re-registration, too";
}

TEST(EnrpUpdates, ASAP_3_1_10_a_rejected_registration_is_told_to_nobody) {
  World w;
  peer_up(w);
  EXPECT_FALSE(w.enroll(w.up("10.0.0.1"), pe(1, "10.9.9.9")).empty());
  EXPECT_THAT(w.sent<enrp::HandleUpdate>(), IsEmpty());
}

TEST(EnrpUpdates, ENRP_3_3_2_1_each_way_in_which_a_PE_goes_is_told_with_the_whole_PE) {
  for (const std::string how : {"deregistered", "lost", "expired"}) {
    registrar::Settings settings;
    settings.registrar.keepalive_interval_ms = 0;
    World w(settings);
    peer_up(w);
    const auto p = w.up({"10.0.0.1"}, 41'000);
    PoolElement element = pe(1);
    element.registration_life = 5;
    w.enroll(p, element);
    if (how == "deregistered") w.send(p, asap::Message(asap::Deregistration{"EchoPool", 1}));
    if (how == "lost") w.down(p);
    if (how == "expired") w.run(5 * kS);
    const auto updates = w.sent<enrp::HandleUpdate>();
    ASSERT_THAT(updates, SizeIs(1)) << how;
    EXPECT_EQ(updates[0].action, UpdateAction::del_pe);
    EXPECT_EQ(updates[0].element.user_transport.port, 7);
    EXPECT_TRUE(updates[0].element.has_asap_transport);
  }
}

TEST(EnrpUpdates, ASAP_3_2_5_a_deregistration_of_what_is_not_there_is_told_to_nobody) {
  World w;
  peer_up(w);
  w.send(w.up("10.0.0.1"), asap::Message(asap::Deregistration{"EchoPool", 1}));
  EXPECT_THAT(w.sent<enrp::HandleUpdate>(), IsEmpty());
}

TEST(EnrpUpdates, ENRP_3_3_1_3_what_a_peer_adds_is_resolved_and_goes_to_the_data_plane) {
  World w;
  const auto e = peer_up(w);
  w.send(e, update(UpdateAction::add_pe, foreign(5)));
  EXPECT_THAT(w.all<registrar::PoolChanged>(), SizeIs(1));
  EXPECT_THAT(w.resolve(w.up("10.0.0.2")), ElementsAre(5));
  channel::PoolChunk chunk;
  ASSERT_TRUE(w.registrar.pool_table("EchoPool", chunk));
  EXPECT_EQ(chunk.elements.at(0).id, 5u);
  EXPECT_THAT(w.sent<enrp::HandleUpdate>(), IsEmpty()) << "its home server tells, nobody else";
}

TEST(EnrpUpdates, ENRP_3_3_1_3_a_known_PE_gets_the_new_attributes) {
  World w;
  const auto e = peer_up(w);
  PoolElement element = foreign(5);
  w.send(e, update(UpdateAction::add_pe, element));
  const uint32_t before = w.registrar.elements("EchoPool", w.now).at(0).registration;
  element.user_transport.port = 99;
  w.send(e, update(UpdateAction::add_pe, element));
  const auto now = w.registrar.elements("EchoPool", w.now);
  ASSERT_THAT(now, SizeIs(1));
  EXPECT_EQ(now[0].element.user_transport.port, 99);
  EXPECT_GT(now[0].registration, before) << "a newer registration: the data plane takes it for up again";
}

TEST(EnrpUpdates, ENRP_3_3_2_2_what_its_owner_removes_is_gone_and_the_empty_pool_too) {
  World w;
  const auto e = peer_up(w);
  w.send(e, update(UpdateAction::add_pe, foreign(5)));
  channel::PoolChunk table;
  ASSERT_TRUE(w.registrar.pool_table("EchoPool", table));
  w.send(e, update(UpdateAction::del_pe, foreign(5)));
  EXPECT_EQ(w.registrar.pool_count(), 0u);
  EXPECT_THAT(w.all<channel::PeDown>(), IsEmpty()) << "it says neither dead nor drained";
  const auto left = w.all<channel::PeLeft>();
  ASSERT_THAT(left, SizeIs(1)) << "the data plane finds out";
  EXPECT_EQ(left[0].pe_id, 5u);
  EXPECT_EQ(left[0].registration, table.elements.at(0).registration);
  w.send(e, update(UpdateAction::del_pe, foreign(5)));
  EXPECT_THAT(w.sent(), IsEmpty());
}

TEST(EnrpUpdates, a_PE_of_another_server_is_that_servers_to_judge_and_here_alive_as_long_as_it_is_listed) {
  World w;
  const auto e = peer_up(w);
  w.send(e, update(UpdateAction::add_pe, foreign(5)));
  channel::PoolChunk table;
  ASSERT_TRUE(w.registrar.pool_table("EchoPool", table));
  w.registrar.pe_report(w.now, {"EchoPool", 5, table.elements.at(0).registration, "it answers again"});
  w.collect();
  EXPECT_THAT(w.sent<asap::EndpointKeepAlive>(), IsEmpty());
  ASSERT_THAT(w.all<channel::PeAlive>(), SizeIs(1));
  EXPECT_EQ(w.all<channel::PeAlive>()[0].registration, table.elements.at(0).registration);
}

TEST(EnrpUpdates, conformance_12_20_only_the_owner_removes) {
  World w;
  const auto a = peer_up(w);
  const auto b = peer_up(w, 0x78, "10.0.0.10");
  w.enroll(w.up("10.0.0.1"), pe(1));
  w.send(a, update(UpdateAction::add_pe, foreign(5)));
  w.send(b, update(UpdateAction::del_pe, foreign(5), 0x78));
  w.send(b, update(UpdateAction::del_pe, foreign(1, kOurId), 0x78));
  EXPECT_THAT(w.there(), ElementsAre(1, 5));
  EXPECT_EQ(w.registrar.counters().enrp_updates_refused, 2u);
}

TEST(EnrpUpdates, conformance_12_20_only_its_own_PEs_are_added_by_a_server) {
  World w;
  const auto e = peer_up(w);
  for (const rserpool::ServerId home : {0u, 0x78u, kOurId})
    w.send(e, update(UpdateAction::add_pe, foreign(5, home)));
  EXPECT_THAT(w.there(), IsEmpty());
  EXPECT_EQ(w.registrar.counters().enrp_updates_refused, 3u);
}

TEST(EnrpUpdates, ASAP_1_1_2_a_PE_that_registers_elsewhere_is_no_longer_ours) {
  World w;
  const auto e = peer_up(w);
  w.enroll(w.up("10.0.0.1"), pe(1));
  EXPECT_NE(w.registrar.scope().checksum, 0xffff);
  w.send(e, update(UpdateAction::add_pe, foreign(1)));
  EXPECT_EQ(w.registrar.scope().checksum, 0xffff);
  EXPECT_EQ(w.registrar.elements("EchoPool", w.now).at(0).element.home, 0x77u);
  EXPECT_THAT(w.all<channel::PeDown>(), IsEmpty());
  w.run(60 * kS);
  EXPECT_THAT(w.sent<asap::EndpointKeepAlive>(), IsEmpty()) << "it is no longer watched";
  EXPECT_THAT(w.there(), ElementsAre(1));
}

TEST(EnrpUpdates, ASAP_3_1_5_a_PE_of_a_peer_that_registers_here_is_ours) {
  World w;
  const auto e = peer_up(w);
  PoolElement element = foreign(1);
  w.send(e, update(UpdateAction::add_pe, element));
  w.enroll(w.up("10.0.0.1"), pe(1));
  EXPECT_EQ(w.registrar.elements("EchoPool", w.now).at(0).element.home, kOurId);
  ASSERT_THAT(w.sent<enrp::HandleUpdate>(), SizeIs(1));
  EXPECT_EQ(w.sent<enrp::HandleUpdate>()[0].element.home, kOurId);
}

TEST(EnrpUpdates, a_foreign_PE_whose_owner_says_nothing_more_of_it_is_out_long_after_its_life) {
  World w;
  const auto e = peer_up(w);
  PoolElement element = foreign(5);
  element.registration_life = 60;
  w.send(e, update(UpdateAction::add_pe, element));
  enrp::Presence p;
  p.sender = 0x77;  // it lives, and gives no checksum
  for (int i = 0; i < 14; ++i) {
    w.send(e, enrp::Message(p));
    w.run(10 * kS);
  }
  EXPECT_THAT(w.there(), ElementsAre(5)) << "its owner ends it, not we";
  for (int i = 0; i < 3; ++i) {
    w.send(e, enrp::Message(p));
    w.run(10 * kS);
  }
  EXPECT_THAT(w.there(), IsEmpty());
  EXPECT_THAT(w.sent<enrp::HandleUpdate>(), IsEmpty());
}

TEST(EnrpUpdates, a_scope_of_three_is_of_one_mind_through_registrations_and_deregistrations) {
  Scope s;
  s.start(1);
  s.start(2, {1});
  s.start(3, {1});
  s.run(2 * kS);
  for (PeId id = 1; id <= 90; ++id) s.enroll(1 + id % 3, id);
  for (PeId id = 1; id <= 90; id += 4) s.deregister(1 + id % 3, id);
  const auto all = s.homes(1);
  EXPECT_EQ(all.size(), 67u);
  EXPECT_EQ(s.homes(2), all);
  EXPECT_EQ(s.homes(3), all);
  s.run(10 * kS);
  for (const rserpool::ServerId id : {1u, 2u, 3u}) {
    EXPECT_EQ(s[id].counters().resyncs, 0u);
    for (const auto& peer : s[id].peers(s.now)) EXPECT_EQ(peer.checksum, peer.our_checksum);
  }
}

// As RSPLIB's PEs do after a takeover that they have not heard of.
TEST(EnrpUpdates, RFC_5352_3_2_a_PE_that_deregisters_at_a_server_that_is_not_its_home_is_gone_everywhere) {
  Scope s;
  s.start(1);
  s.start(2, {1});
  s.start(3, {1});
  s.run(3 * kS);
  s.enroll(2, 7);
  s.enroll(1, 8);
  s.run(kS);
  s.pe_at(7).answers = false;  // it is gone
  s.deregister(1, 7);
  s.run(10 * kS);
  for (const rserpool::ServerId id : {1u, 2u, 3u}) {
    EXPECT_THAT(s.homes(id), ElementsAre(Pair(8, 1))) << "at " << id;
    EXPECT_EQ(s[id].counters().resyncs, 0u) << "at " << id << ": no checksum was ever wrong";
    EXPECT_EQ(s[id].counters().enrp_updates_refused, 0u) << "at " << id;
  }
}

// ---- a policy that we do not know (RFC 5354 §3.8): what is in it is not ours to drop

PoolElement of_private_policy(PeId id, const std::string& data) {
  PoolElement element = foreign(id);
  element.policy.type = static_cast<PolicyType>(0xbeef0001);
  element.policy_data = data;
  return element;
}

TEST(EnrpUpdates, PAR_3_8_1_the_data_of_an_unknown_policy_is_passed_on_as_it_came) {
  const std::string data("\0\1\2\3\4\5\6\7", 8);
  World w;
  const auto peer = peer_up(w);
  w.send(peer, update(UpdateAction::add_pe, of_private_policy(1, data)));
  w.send(peer, update(UpdateAction::add_pe, of_private_policy(2, "")));
  const auto b = peer_up(w, 0x78, "10.0.0.10");
  const auto table =
      w.ask<enrp::HandleTableResponse>(b, enrp::Message(enrp::HandleTableRequest{0x78, kOurId, false}));
  ASSERT_THAT(table.entries, SizeIs(1));
  EXPECT_THAT(table.entries[0].elements, ElementsAre(of_private_policy(1, data), of_private_policy(2, "")));

  const auto response = w.ask<asap::HandleResolutionResponse>(
      w.up("10.0.0.2"), asap::Message(asap::HandleResolution{"EchoPool", false, {}}));
  ASSERT_THAT(response.elements, SizeIs(2));
  for (const PoolElement& element : response.elements)
    EXPECT_EQ(element.policy_data, element.id == 1 ? data : "") << element.id;
  EXPECT_EQ(response.policy_data, response.elements[0].policy_data) << "of the whole pool";
}

TEST(EnrpUpdates, PAR_3_8_1_the_data_of_an_unknown_policy_changes_and_goes_with_its_PE) {
  World w;
  const auto peer = peer_up(w);
  const auto has = [&w](const std::string& data) {
    const auto list = w.registrar.elements("EchoPool", w.now);
    return list.size() == 1 && list[0].element.policy_data == data;
  };
  w.send(peer, update(UpdateAction::add_pe, of_private_policy(1, "1234")));
  EXPECT_TRUE(has("1234"));
  w.send(peer, update(UpdateAction::add_pe, of_private_policy(1, "56781234")));
  EXPECT_TRUE(has("56781234"));
  w.send(peer, update(UpdateAction::del_pe, of_private_policy(1, "")));
  w.send(peer, update(UpdateAction::add_pe, foreign(2)));
  EXPECT_TRUE(has("")) << "not that of the one before in its place";
}

TEST(EnrpUpdates, PAR_3_8_1_a_PE_of_an_unknown_policy_that_is_listed_as_it_is_did_not_register_anew) {
  World w;
  const auto peer = peer_up(w);
  w.send(peer, update(UpdateAction::add_pe, of_private_policy(1, "1234")));
  const uint32_t before = w.registrar.elements("EchoPool", w.now).at(0).registration;
  enrp::Presence p;
  p.sender = 0x77;
  p.checksum = 0x1234;
  w.send(peer, p);
  const enrp::TableEntry entry{"EchoPool", {of_private_policy(1, "1234")}};
  w.send(peer, enrp::HandleTableResponse{0x77, kOurId, false, false, {entry}});
  EXPECT_EQ(w.registrar.elements("EchoPool", w.now).at(0).registration, before);
}

}  // namespace
}  // namespace poolgate::test
