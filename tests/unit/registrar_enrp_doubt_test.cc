// SPDX-License-Identifier: BSD-3-Clause
// A PE that its home server drops while its association with us lives (found by tests/model, seeds 21, 130
// and 218): two servers that each heard of the other's registration late had each given it to the other.
#include <gmock/gmock.h>

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

}  // namespace
}  // namespace poolgate::test
