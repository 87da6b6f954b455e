// SPDX-License-Identifier: BSD-3-Clause
// Where a download of a table begins (RFC 5353 §3.2.3.2): the server that is asked keeps how far each came,
// and one that was given up may go on in the middle. Who asks must not take what came before for gone
// (§3.6.3).
#include <gmock/gmock.h>

#include "tests/unit/registrar_world.h"

namespace poolgate::test {
namespace {

using testing::ElementsAre;

constexpr rserpool::ServerId kPeer = 0x77;

// ---- who is asked

struct Asked : testing::Test {
  Asked() : w(settings()), peer(up()) {
    const auto a = w.up("10.0.0.1");
    for (PeId id = 1; id <= 1000; ++id) w.enroll(a, pe(id));
    EXPECT_EQ(first_of_chunk(peer), 1u);
  }
  static registrar::Settings settings() {
    registrar::Settings s;
    s.registrar.keepalive_interval_ms = 0;
    return s;
  }
  AssociationName up() { return w.up({"10.0.0.9"}, 9901, SctpService::enrp); }
  // 0: it is rejected.
  PeId first_of_chunk(const AssociationName& over, bool own_only = false) {
    w.send(over, enrp::Message(enrp::HandleTableRequest{kPeer, kOurId, own_only}));
    const auto table = w.answer<enrp::HandleTableResponse>();
    return table.rejected || table.entries.empty() ? 0 : table.entries[0].elements.at(0).id;
  }

  World w;
  AssociationName peer;
};

TEST_F(Asked, ENRP_3_2_3_2_a_request_by_another_association_begins_anew_and_disturbs_nobody) {
  const PeId second = first_of_chunk(peer);
  EXPECT_GT(second, 1u);
  EXPECT_EQ(first_of_chunk(up()), 1u);
  EXPECT_GT(first_of_chunk(peer), second);
}

TEST_F(Asked, ENRP_3_2_3_2_the_end_of_the_association_is_the_end_of_the_download) {
  w.down(peer);
  EXPECT_EQ(first_of_chunk(up()), 1u);
}

TEST_F(Asked, ENRP_3_2_3_2_so_is_a_restart_of_the_peer) {
  channel::AssociationUp again = w.ups.front();
  ASSERT_EQ(again.association, peer);
  again.restarted = true;
  w.registrar.association_up(w.now, again);
  w.collect();
  EXPECT_EQ(first_of_chunk(peer), 1u);
}

TEST_F(Asked, ENRP_3_2_3_6_so_is_a_rejection) {
  constexpr rserpool::ServerId kTarget = 0x50;
  const auto target = w.up({"10.0.0.50"}, 9901, SctpService::enrp);
  w.send(target, enrp::Message(enrp::HandleUpdate{
                     .sender = kTarget, .handle = "EchoPool", .element = pe_of(kTarget, 5000)}));
  for (int i = 0; i < 66 && w.sent<enrp::InitTakeover>().empty(); ++i) {
    w.send(peer, enrp::Message(enrp::Presence{.sender = kPeer}));
    w.run(kS);
  }
  EXPECT_EQ(first_of_chunk(peer, true), 1u);
  w.send(peer, enrp::Message(enrp::InitTakeoverAck{kPeer, kOurId, kTarget}));
  EXPECT_EQ(first_of_chunk(peer, true), 0u) << "PEs become ours just now";
  w.run(100 * kMs);
  EXPECT_EQ(first_of_chunk(peer, true), 1u);
}

// ---- who asks: a server that goes on where it was, as RSPLIB does however long ago it was (conformance
// §12.16)

struct Asking : testing::Test {
  Asking() : peer(w.up({"10.0.0.9"}, 9901, SctpService::enrp)) {
    presence(0xffff);
    for (const PeId id : {1, 2, 3})
      w.send(peer, enrp::Message(enrp::HandleUpdate{
                       .sender = kPeer, .handle = "EchoPool", .element = pe_of(kPeer, id)}));
    presence(0x1234);
    EXPECT_EQ(asked(), 1u);
    table({1}, true);
  }
  void presence(uint16_t checksum) {
    w.send(peer, enrp::Message(enrp::Presence{.sender = kPeer, .checksum = checksum}));
  }
  void table(const std::vector<PeId>& ids, bool more = false) {
    enrp::HandleTableResponse table{kPeer, kOurId, false, more, {{"EchoPool", {}}}};
    for (const PeId id : ids) table.entries[0].elements.push_back(pe_of(kPeer, id));
    w.send(peer, enrp::Message(table));
  }
  void reject() { w.send(peer, enrp::Message(enrp::HandleTableResponse{kPeer, kOurId, true, false, {}})); }
  size_t asked() const { return w.sent<enrp::HandleTableRequest>().size(); }
  // The rest comes; then, asked once more, the table, of which one is gone.
  void expect_that_the_tail_removes_nothing() {
    table({2, 3});
    w.run(2 * kS);
    EXPECT_THAT(w.there(), ElementsAre(1, 2, 3));
    ASSERT_EQ(asked(), 1u) << "the checksum still differs";
    table({1, 3});
    w.run(kMs);
    EXPECT_THAT(w.there(), ElementsAre(1, 3));
  }

  World w;
  AssociationName peer;
};

TEST_F(Asking, ENRP_3_6_3_after_a_rejection_in_the_middle_the_tail_of_a_table_removes_nothing) {
  reject();
  w.run(2 * kS);
  ASSERT_EQ(asked(), 1u);
  expect_that_the_tail_removes_nothing();
}

TEST_F(Asking, ENRP_3_6_3_after_a_silence_in_the_middle_the_tail_of_a_table_removes_nothing) {
  w.run(5 * kS);
  w.run(35 * kS);
  ASSERT_EQ(asked(), 1u);
  expect_that_the_tail_removes_nothing();
}

TEST_F(Asking, ENRP_3_6_3_after_a_loss_of_the_channel_the_tail_of_a_table_removes_nothing) {
  w.registrar.channel_lost(w.now);
  w.replay(w.ups);
  w.run(2 * kS);
  presence(0x1234);
  ASSERT_EQ(asked(), 1u);
  expect_that_the_tail_removes_nothing();
}

TEST_F(Asking, ENRP_3_6_3_after_a_restart_of_ours_the_tail_of_a_table_removes_nothing) {
  w.registrar = w.restarted();
  w.replay(w.ups);
  presence(0x1234);
  ASSERT_EQ(asked(), 1u);
  expect_that_the_tail_removes_nothing();
}

// ---- who joins

struct Joiner : testing::Test {
  Joiner() : w(settings()), peer(w.reached(w.all<channel::Connect>().at(0))) {
    list();
    table({1}, true);
  }
  static registrar::Settings settings() {
    registrar::Settings s;
    s.registrar.peers.push_back({{address("10.0.0.9")}, 9901, 0});
    return s;
  }
  void list() { w.send(peer, enrp::Message(enrp::ListResponse{kPeer, kOurId, false, {}})); }
  void table(const std::vector<PeId>& ids, bool more = false) {
    enrp::HandleTableResponse table{kPeer, kOurId, false, more, {{"EchoPool", {}}}};
    for (const PeId id : ids) table.entries[0].elements.push_back(pe_of(kPeer, id));
    w.send(peer, enrp::Message(table));
  }

  World w;
  AssociationName peer;
};

TEST_F(Joiner, ENRP_3_6_3_the_audit_after_a_download_that_stopped_removes_nothing_by_a_tail) {
  w.run(5 * kS);
  EXPECT_EQ(w.registrar.scope().state, "serving");
  w.send(peer, enrp::Message(enrp::Presence{.sender = kPeer, .checksum = 0x1234}));
  ASSERT_EQ(w.sent<enrp::HandleTableRequest>().size(), 1u);
  table({2, 3});
  w.run(kMs);
  EXPECT_THAT(w.there(), ElementsAre(1, 2, 3));
}

TEST_F(Joiner, ENRP_3_2_3_5_it_does_not_serve_with_the_tail_of_a_table) {
  w.send(peer, enrp::Message(enrp::HandleTableResponse{kPeer, kOurId, true, false, {}}));
  w.run(2 * kS);
  list();
  table({3});
  EXPECT_NE(w.registrar.scope().state, "serving");
  ASSERT_EQ(w.sent<enrp::HandleTableRequest>().size(), 1u);
  table({1, 2, 3});
  EXPECT_EQ(w.registrar.scope().state, "serving");
  EXPECT_THAT(w.there(), ElementsAre(1, 2, 3));
}

}  // namespace
}  // namespace poolgate::test
