// SPDX-License-Identifier: BSD-3-Clause
// A PE that its home server drops while its association with us lives (found by tests/model, seeds 21, 130
// and 218): two servers that each heard of the other's registration late had each given it to the other.
#include <gmock/gmock.h>

#include "controlplane/registrar/core/enrp/doubts.h"
#include "tests/unit/registrar_world.h"

namespace poolgate::test {
namespace {

using testing::IsEmpty;
using testing::SizeIs;

constexpr rserpool::ServerId kPeer = 0x77;
constexpr uint16_t kPort = 50'000;

struct Doubted : testing::Test {
  Doubted() {
    enrp::Presence presence;
    presence.sender = kPeer;
    presence.checksum = 0xffff;
    presence.information = enrp::ServerInformation{kPeer, {.port = 9901, .addresses = {address("10.0.0.9")}}};
    w.send(peer, presence);
    w.enroll(element, pe(1));
    update(enrp::UpdateAction::add_pe);
  }
  void update(enrp::UpdateAction action) {
    enrp::HandleUpdate message;
    message.sender = kPeer;
    message.action = action;
    message.handle = "EchoPool";
    message.element = pe(1);
    message.element.home = kPeer;
    message.element.has_asap_transport = true;
    message.element.asap_transport.port = kPort;
    message.element.asap_transport.addresses = {address("10.0.0.1")};
    w.send(peer, message);
  }
  rserpool::ServerId home() const {
    const auto list = w.registrar.elements("EchoPool", w.now);
    return list.size() == 1 ? list[0].element.home : 0;
  }

  World w;
  AssociationName peer = w.up({"10.0.0.9"}, 9901, SctpService::enrp);
  AssociationName element = w.up({"10.0.0.1"}, kPort);
};

TEST_F(Doubted, ENRP_3_3_2_2_a_PE_that_its_home_drops_is_asked_and_comes_back_if_it_answers) {
  ASSERT_EQ(home(), kPeer);
  update(enrp::UpdateAction::del_pe);
  const auto asked = w.sent<asap::EndpointKeepAlive>();
  ASSERT_THAT(asked, SizeIs(1));
  EXPECT_TRUE(asked[0].new_home);
  EXPECT_EQ(asked[0].server, kOurId);
  EXPECT_THAT(w.there(), IsEmpty()) << "until it answers";
  w.send(element, asap::Message(asap::EndpointKeepAliveAck{"EchoPool", 1}));
  EXPECT_EQ(home(), kOurId);
  const auto told = w.sent<enrp::HandleUpdate>();
  ASSERT_THAT(told, SizeIs(1)) << "the peers hear of it";
  EXPECT_EQ(told[0].action, enrp::UpdateAction::add_pe);
}

TEST_F(Doubted, ENRP_3_3_2_2_one_that_does_not_answer_in_time_or_answers_from_elsewhere_stays_away) {
  update(enrp::UpdateAction::del_pe);
  w.send(w.up({"10.0.0.2"}, kPort), asap::Message(asap::EndpointKeepAliveAck{"EchoPool", 1}));
  EXPECT_THAT(w.there(), IsEmpty());
  w.run(6 * kS);
  w.send(element, asap::Message(asap::EndpointKeepAliveAck{"EchoPool", 1}));
  EXPECT_THAT(w.there(), IsEmpty());
}

TEST_F(Doubted, ENRP_3_3_2_2_one_without_an_association_with_us_just_goes) {
  w.down(element);
  update(enrp::UpdateAction::add_pe);
  update(enrp::UpdateAction::del_pe);
  EXPECT_THAT(w.sent<asap::EndpointKeepAlive>(), IsEmpty());
  EXPECT_THAT(w.there(), IsEmpty());
}

// ---- the table of them

using registrar::Doubts;

TEST(DoubtTable, each_doubt_looks_at_a_few_others_however_many_there_are_and_beyond) {
  Doubts doubts;
  constexpr size_t kBeyond = 1000;
  for (PeId id = 0; id < Doubts::kMost; ++id) ASSERT_TRUE(doubts.add("P", {pe(id), {}, 5 * kS}, kS));
  const auto more = [&](Micros now, Micros until) {
    const size_t before = doubts.looked_at();
    size_t taken = 0;
    for (PeId id = 0; id < kBeyond; ++id) taken += doubts.add("Q", {pe(id), {}, until}, now);
    EXPECT_LE(doubts.looked_at() - before, 3 * kBeyond);
    return taken;
  };
  EXPECT_EQ(more(5 * kS, 9 * kS), 0u) << "all are waited for";
  EXPECT_EQ(more(5 * kS + 1, 9 * kS), kBeyond) << "their time is over";
  EXPECT_LE(doubts.size(), Doubts::kMost);
}

// The configured time is another one now.
TEST(DoubtTable, one_whose_time_is_shorter_than_that_of_those_before_it_makes_room_first) {
  Doubts doubts;
  doubts.add("P", {pe(0), {}, 5 * kS}, kS);
  for (PeId id = 1; id < Doubts::kMost; ++id) doubts.add("P", {pe(id), {}, 60 * kS}, kS);
  EXPECT_FALSE(doubts.add("Q", {pe(1), {}, 9 * kS}, 5 * kS));
  EXPECT_TRUE(doubts.add("Q", {pe(1), {}, 6 * kS}, 5 * kS + 1));
  EXPECT_FALSE(doubts.add("Q", {pe(2), {}, 9 * kS}, 6 * kS));
  EXPECT_TRUE(doubts.add("Q", {pe(2), {}, 9 * kS}, 6 * kS + 1));
  EXPECT_EQ(doubts.find("P", 0), nullptr);
  EXPECT_NE(doubts.find("P", 1), nullptr);
}

TEST(DoubtTable, a_PE_that_is_doubted_again_has_its_time_anew_also_when_the_table_is_full) {
  Doubts doubts;
  for (PeId id = 0; id < Doubts::kMost; ++id) doubts.add("P", {pe(id), {}, 5 * kS}, kS);
  EXPECT_TRUE(doubts.add("P", {pe(3), {}, 8 * kS}, 4 * kS));
  ASSERT_NE(doubts.find("P", 3), nullptr);
  EXPECT_EQ(doubts.find("P", 3)->until, 8 * kS);
  EXPECT_EQ(doubts.size(), Doubts::kMost);
  for (PeId id = 0; id < Doubts::kMost; ++id) doubts.add("Q", {pe(id), {}, 9 * kS}, 6 * kS);
  EXPECT_NE(doubts.find("P", 3), nullptr) << "what ended at 5 s made room, and this did not end then";
  EXPECT_EQ(doubts.take("P", 3).element.id, 3u);
  EXPECT_EQ(doubts.find("P", 3), nullptr);
}

}  // namespace
}  // namespace poolgate::test
