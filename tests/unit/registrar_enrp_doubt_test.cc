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

TEST_F(Doubted, ENRP_3_3_2_2_one_that_does_not_answer_or_answers_from_elsewhere_stays_away) {
  update(enrp::UpdateAction::del_pe);
  w.send(w.up({"10.0.0.2"}, kPort), asap::Message(asap::EndpointKeepAliveAck{"EchoPool", 1}));
  w.run(6 * kS);
  EXPECT_THAT(w.there(), IsEmpty());
}

// Whoever answers has adopted us. (Found by tests/model: a path was cut for longer than a PE has to answer.)
TEST_F(Doubted, ENRP_3_3_2_2_one_that_answers_late_comes_back_as_long_as_its_association_lives) {
  update(enrp::UpdateAction::del_pe);
  w.run(90 * kS);
  w.send(element, asap::Message(asap::EndpointKeepAliveAck{"EchoPool", 1}));
  EXPECT_EQ(home(), kOurId);
}

TEST_F(Doubted, ENRP_3_3_2_2_one_whose_association_ended_stays_away) {
  update(enrp::UpdateAction::del_pe);
  w.down(element);
  w.send(w.up({"10.0.0.1"}, kPort), asap::Message(asap::EndpointKeepAliveAck{"EchoPool", 1}));
  EXPECT_THAT(w.there(), IsEmpty());
}

// A keep-alive and its deregistration have crossed.
TEST_F(Doubted, ASAP_3_2_one_that_deregisters_meanwhile_stays_away_whatever_it_answers) {
  for (const bool registers : {true, false}) {
    update(enrp::UpdateAction::add_pe);
    update(enrp::UpdateAction::del_pe);
    if (registers) w.enroll(element, pe(1));
    w.send(element, asap::Message(asap::Deregistration{"EchoPool", 1}));
    w.send(element, asap::Message(asap::EndpointKeepAliveAck{"EchoPool", 1}));
    EXPECT_THAT(w.there(), IsEmpty()) << registers;
  }
}

// The registrar that asked it died; the answer comes to the next one, which has nothing of it.
TEST_F(Doubted, one_that_answers_a_registrar_that_is_dead_is_made_to_register) {
  update(enrp::UpdateAction::del_pe);
  const auto answered = [&](bool replayed) {
    channel::MessageUp message{.association = element, .sequence = 99, .stream = 0, .ppid = 11};
    message.replayed = replayed;
    EXPECT_TRUE(asap::encode(asap::Message(asap::EndpointKeepAliveAck{"EchoPool", 1}), message.payload));
    registrar::Registrar next = w.restarted();
    next.channel_up(w.now, w.welcome);
    for (channel::AssociationUp up : w.ups) next.association_up(w.now, up);
    if (replayed) next.message(w.now, message);
    next.replay_done(w.now);
    if (!replayed) next.message(w.now, message);
    std::vector<AssociationName> closed;
    for (const auto& action : next.take_actions())
      if (const auto* close = std::get_if<channel::Close>(&action)) closed.push_back(close->association);
    return closed;
  };
  EXPECT_THAT(answered(true), testing::ElementsAre(element));
  EXPECT_THAT(answered(false), IsEmpty()) << "it answers what this one asked, and left meanwhile";
  w.enroll(element, pe(2));
  EXPECT_THAT(answered(true), IsEmpty()) << "another PE of its association is there";
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

TEST(DoubtTable, beyond_the_most_the_eldest_is_given_up_and_one_that_comes_again_is_young) {
  const AssociationName association{1, 0, 1};
  Doubts doubts;
  for (PeId id = 1; id <= Doubts::kMost; ++id) doubts.add(association, "P", {pe(id), {}});
  doubts.add(association, "P", {pe(1), {}});
  doubts.add(association, "Q", {pe(1), {}});
  EXPECT_EQ(doubts.size(), Doubts::kMost);
  EXPECT_FALSE(doubts.take(association, "P", 2).has_value());
  for (const PeId id : {1u, 3u, static_cast<PeId>(Doubts::kMost)}) {
    const auto doubt = doubts.take(association, "P", id);
    ASSERT_TRUE(doubt.has_value()) << id;
    EXPECT_EQ(doubt->element.id, id);
    EXPECT_FALSE(doubts.take(association, "P", id).has_value()) << "once";
  }
}

TEST(DoubtTable, all_of_an_association_go_with_it_and_no_others) {
  Doubts doubts;
  const auto name = [](uint32_t id) { return AssociationName{1, 0, id}; };
  for (const uint32_t association : {1, 2, 3})
    for (PeId id = 1; id <= 3; ++id) doubts.add(name(association), id == 1 ? "P" : "Q", {pe(id), {}});
  doubts.lost(name(2));
  EXPECT_EQ(doubts.size(), 6u);
  EXPECT_FALSE(doubts.take(name(2), "P", 1).has_value());
  EXPECT_TRUE(doubts.take(name(1), "Q", 3).has_value());
  EXPECT_TRUE(doubts.take(name(3), "P", 1).has_value());
}

}  // namespace
}  // namespace poolgate::test
