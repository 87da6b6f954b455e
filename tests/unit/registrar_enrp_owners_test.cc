// SPDX-License-Identifier: BSD-3-Clause
// Each PE has a home server that is watched (RFC 5353 §3.4.3), also when the peer list is full: what nobody
// watches would stay for ever.
#include <gmock/gmock.h>

#include "tests/unit/registrar_scope.h"

namespace poolgate::test {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;
using testing::IsEmpty;
using testing::SizeIs;

constexpr rserpool::ServerId kMentor = 0x10, kOther = 0x20;

// A joiner with room for its mentor and nobody else.
struct Full {
  Full() : w(settings()) {
    mentor = w.reached(w.all<channel::Connect>().at(0));
    w.send(mentor, enrp::ListResponse{kMentor, kOurId, false, {}});
  }
  static registrar::Settings settings() {
    registrar::Settings s;
    s.registrar.peers.push_back({{address("10.0.0.9")}, 9901, 0});
    s.registrar.max_peers = 1;
    return s;
  }
  static PoolElement of(rserpool::ServerId home, PeId id) {
    PoolElement element = pe_of(home, id);
    element.registration_life = rserpool::kInfiniteLife;
    return element;
  }
  void table() {
    w.send(mentor, enrp::HandleTableResponse{
                       kMentor, kOurId, false, false, {{"EchoPool", {of(kMentor, 1), of(kOther, 2)}}}});
  }
  static enrp::Message presence(rserpool::ServerId id, uint16_t checksum) {
    enrp::Presence p;
    p.sender = id;
    p.checksum = checksum;
    return p;
  }

  World w;
  AssociationName mentor;
};

TEST(EnrpOwners, ENRP_3_2_3_4_a_table_lists_no_PE_whose_home_server_has_no_place_on_the_list) {
  Full f;
  f.table();
  EXPECT_EQ(f.w.registrar.scope().state, "serving");
  EXPECT_EQ(f.w.registrar.counters().foreign_pes_unwatched, 1u);
  std::vector<std::string> lines;
  for (const auto& line : f.w.all<registrar::Log>())
    if (line.text.find("PE 0x00000002 of EchoPool") != std::string::npos) lines.push_back(line.text);
  EXPECT_THAT(lines, ElementsAre(HasSubstr("server 0x00000020")));
  for (int i = 0; i < 20; ++i) {
    f.w.run(30 * kS);
    f.w.send(f.mentor, Full::presence(kMentor, 0));
  }
  EXPECT_THAT(f.w.there(), ElementsAre(1)) << "the other's may be dead since long, and who would know";
}

TEST(EnrpOwners, ENRP_3_3_1_3_nor_does_an_update) {
  Full f;
  f.table();
  const auto other = f.w.up({"10.0.0.10"}, 9901, SctpService::enrp);
  f.w.send(other, enrp::HandleUpdate{.sender = kOther, .handle = "EchoPool", .element = Full::of(kOther, 2)});
  EXPECT_THAT(f.w.there(), ElementsAre(1));
  EXPECT_THAT(f.w.registrar.peers(f.w.now), SizeIs(1));
}

TEST(EnrpOwners, ENRP_3_4_3_3_who_has_no_place_on_the_list_hears_all_the_same_that_we_live) {
  Full f;
  f.table();
  const auto other = f.w.up({"10.0.0.10"}, 9901, SctpService::enrp);
  const auto answer =
      f.w.ask<enrp::Presence>(other, enrp::Message(enrp::Presence{.sender = kOther, .reply_required = true}));
  EXPECT_TRUE(answer.information.has_value()) << "ENRP_2_1_3";
  EXPECT_FALSE(answer.reply_required);
  f.w.ask<enrp::Presence>(other, enrp::Message(enrp::InitTakeover{kOther, 0, kOurId}));
  EXPECT_TRUE(f.w.ask<enrp::ListResponse>(other, enrp::Message(enrp::ListRequest{kOther, 0})).rejected);
  EXPECT_TRUE(
      f.w.ask<enrp::HandleTableResponse>(other, enrp::Message(enrp::HandleTableRequest{kOther, 0, false}))
          .rejected);
  f.w.send(other, enrp::Message(enrp::InitTakeover{kOther, 0, kMentor}));
  EXPECT_THAT(f.w.sent(), IsEmpty());
}

TEST(EnrpOwners, ENRP_3_6_3_what_had_no_place_comes_by_the_audit_when_there_is_one) {
  Full f;
  f.table();
  f.w.settings.registrar.max_peers = 2;
  f.w.registrar.reload(f.w.now, f.w.settings);
  const auto other = f.w.up({"10.0.0.10"}, 9901, SctpService::enrp);
  f.w.send(other, Full::presence(kOther, 0x1234));
  ASSERT_THAT(f.w.sent<enrp::HandleTableRequest>(), SizeIs(1));
  f.w.send(other,
           enrp::HandleTableResponse{kOther, kOurId, false, false, {{"EchoPool", {Full::of(kOther, 2)}}}});
  EXPECT_THAT(f.w.there(), ElementsAre(1, 2));
}

TEST(EnrpOwners, ENRP_3_4_3_3_servers_of_the_journal_are_watched_however_small_the_list_has_become) {
  World w;
  for (const rserpool::ServerId id : {0x10u, 0x20u, 0x30u}) {
    const auto e = w.up({("10.0.0." + std::to_string(id)).c_str()}, 9901, SctpService::enrp);
    w.send(e, Full::presence(id, 0xffff));
    w.send(e, enrp::HandleUpdate{.sender = id, .handle = "EchoPool", .element = Full::of(id, id)});
  }
  // Of one of them the journal knows but its PE.
  std::erase_if(w.journal, [](const auto& record) { return record.peer.id == 0x30; });
  w.settings.registrar.max_peers = 1;
  w.registrar = w.restarted();
  w.replay({});
  EXPECT_THAT(w.registrar.peers(w.now), SizeIs(3));
  w.run(600 * kS);
  EXPECT_THAT(w.there(), IsEmpty()) << "taken over, and nowhere to be found";
  EXPECT_EQ(w.registrar.counters().takeovers_won, 3u);
}

}  // namespace
}  // namespace poolgate::test
