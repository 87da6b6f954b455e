// SPDX-License-Identifier: BSD-3-Clause
// Cookies and business cards between pool elements and pool users.
#include "tests/unit/endpoint_world.h"

namespace poolgate::rserpool::endpoint {
namespace {

// The control channels of the endpoint; registrars' links are the world's and start at 1.
constexpr Link kFirst = 101, kSecond = 102;

class EndpointControl : public ::testing::Test {
 protected:
  EndpointControl() {
    auto& pool = world.pools["EchoPool"];
    for (const PeId id : {1, 2, 3}) pool.second.push_back(element(id));
  }
  void resolve() {
    world.resolve("EchoPool");
    world.run_for(1s);
  }
  // What the endpoint sends on a control channel since the last call; registrars' links are served meanwhile.
  std::vector<std::string> take(Link link) {
    std::vector<std::string> out;
    for (const auto& output : world.endpoint.take()) {
      if (const auto* send = std::get_if<Send>(&output); send && send->link == link)
        out.push_back(send->message);
      if (const auto* echoed = std::get_if<CookieEchoed>(&output)) echoes.push_back(echoed->cookie);
      if (const auto* card = std::get_if<CardReceived>(&output)) cards.push_back(*card);
      if (std::holds_alternative<HomeFound>(output)) ++homes;
      if (const auto* connect = std::get_if<Connect>(&output)) connects.push_back(*connect);
    }
    return out;
  }
  void hear(Link link, const asap::Message& message) {
    world.endpoint.received(link, bytes_of(message), world.now);
  }
  PeId selected() {
    const PoolElement* pe = world.endpoint.select("EchoPool");
    return pe ? pe->id : 0;
  }

  World world{1};
  ControlChannels& control = world.endpoint.control();
  std::vector<std::string> echoes;
  std::vector<CardReceived> cards;
  std::vector<Connect> connects;
  int homes = 0;
};

TEST_F(EndpointControl, ASAP_3_8_1_the_latest_cookie_of_a_failed_PE_is_the_first_message_to_another) {
  control.opened(kFirst, "EchoPool", 1);
  hear(kFirst, asap::CookieMessage{"old"});
  hear(kFirst, asap::CookieMessage{std::string_view("new\0\xff", 5)});
  control.set_card("Mine", {element(9)});
  EXPECT_EQ(take(kFirst).size(), 1u);  // the card
  control.down(kFirst, true);
  control.opened(kSecond, "EchoPool", 2);
  const auto sent = take(kSecond);
  ASSERT_EQ(sent.size(), 2u);
  EXPECT_EQ(sent[0], bytes_of(asap::CookieEcho{std::string_view("new\0\xff", 5)}));
  EXPECT_EQ(sent[1], bytes_of(asap::BusinessCard{"Mine", {element(9)}}));
}

TEST_F(EndpointControl, ASAP_3_8_1_a_cookie_is_echoed_once_and_only_to_another_PE_of_its_pool) {
  control.opened(kFirst, "EchoPool", 1);
  hear(kFirst, asap::CookieMessage{"state"});
  control.down(kFirst, true);
  control.opened(kFirst, "EchoPool", 1);  // the same one, it knows its state
  control.opened(kSecond, "OtherPool", 2);
  EXPECT_TRUE(take(kFirst).empty());
  control.opened(103, "EchoPool", 2);
  EXPECT_EQ(take(103), std::vector{bytes_of(asap::CookieEcho{"state"})});
  control.opened(104, "EchoPool", 3);
  EXPECT_TRUE(take(104).empty());
}

TEST_F(EndpointControl,
       ASAP_3_8_1_a_PE_that_the_user_says_has_failed_leaves_its_cookie_before_its_channel_goes) {
  resolve();
  control.opened(kFirst, "EchoPool", 1);
  hear(kFirst, asap::CookieMessage{"state"});
  world.endpoint.failed("EchoPool", 1, world.now);
  control.opened(kSecond, "EchoPool", 2);
  EXPECT_EQ(take(kSecond), std::vector{bytes_of(asap::CookieEcho{"state"})});
}

TEST_F(EndpointControl, ASAP_3_8_1_a_channel_that_was_closed_leaves_no_cookie) {
  control.opened(kFirst, "EchoPool", 1);
  hear(kFirst, asap::CookieMessage{"state"});
  control.down(kFirst, false);
  control.opened(kSecond, "EchoPool", 2);
  EXPECT_TRUE(take(kSecond).empty());
}

TEST_F(EndpointControl, ASAP_3_8_1_the_cookies_that_wait_are_bounded_and_the_oldest_goes) {
  for (size_t i = 0; i <= ControlChannels::kMaxOrphans; ++i) {
    const auto link = static_cast<Link>(200 + i);
    control.opened(link, "Pool" + std::to_string(i), 1);
    hear(link, asap::CookieMessage{"state"});
    control.down(link, true);
  }
  control.opened(kFirst, "Pool0", 2);
  EXPECT_TRUE(take(kFirst).empty());
  control.opened(kFirst, "Pool1", 2);
  EXPECT_EQ(take(kFirst).size(), 1u);
}

TEST_F(EndpointControl, ASAP_3_8_2_a_PE_sends_cookies_and_hands_an_echoed_one_to_be_verified) {
  control.accepted(kFirst);
  EXPECT_TRUE(control.send_cookie(kFirst, "signed"));
  EXPECT_EQ(take(kFirst), std::vector{bytes_of(asap::CookieMessage{"signed"})});
  hear(kFirst, asap::CookieEcho{"anothers"});
  take(kFirst);
  EXPECT_EQ(echoes, std::vector<std::string>{"anothers"});
  EXPECT_FALSE(control.send_cookie(kSecond, "signed"));
  EXPECT_FALSE(control.send_cookie(kFirst, std::string(65536, 'x')));
}

TEST_F(EndpointControl,
       ASAP_3_9_1_a_PE_sends_its_card_as_a_channel_comes_up_and_anew_when_its_order_changes) {
  control.accepted(kFirst);
  EXPECT_TRUE(take(kFirst).empty());  // only who has one
  EXPECT_TRUE(control.set_card("EchoPool", {element(1), element(2)}));
  EXPECT_EQ(take(kFirst), std::vector{bytes_of(asap::BusinessCard{"EchoPool", {element(1), element(2)}})});
  control.accepted(kSecond);
  EXPECT_EQ(take(kSecond), std::vector{bytes_of(asap::BusinessCard{"EchoPool", {element(1), element(2)}})});
  EXPECT_TRUE(control.set_card("EchoPool", {element(1), element(3)}));
  EXPECT_EQ(take(kSecond).size(), 1u);
  EXPECT_TRUE(control.set_card("EchoPool", {}));
  control.accepted(103);
  EXPECT_TRUE(take(103).empty());
}

TEST_F(EndpointControl,
       ASAP_3_9_2_BC1_a_card_of_an_unknown_pool_is_followed_by_a_resolution_of_a_known_one_not) {
  control.accepted(kFirst);
  hear(kFirst, asap::BusinessCard{"EchoPool", {element(2)}});
  hear(kFirst, asap::BusinessCard{"EchoPool", {element(2)}});
  world.run_for(1s);
  EXPECT_EQ(world.sent<asap::HandleResolution>().size(), 1u);
  EXPECT_EQ(world.events<CardReceived>().size(), 2u);
  EXPECT_EQ(world.events<Resolved>().size(), 1u);
}

TEST_F(EndpointControl, ASAP_3_9_2_a_peer_names_one_pool_so_that_it_cannot_fill_the_cache) {
  control.accepted(kFirst);
  for (int i = 0; i < 100; ++i) hear(kFirst, asap::BusinessCard{"Pool" + std::to_string(i), {element(2)}});
  world.run_for(1s);
  EXPECT_EQ(world.sent<asap::HandleResolution>().size(), 1u);
}

TEST_F(EndpointControl, ASAP_3_9_2_BC2_after_the_peers_failure_the_cards_order_is_followed_then_the_policy) {
  resolve();
  EXPECT_EQ(selected(), 1u);
  control.opened(kFirst, "EchoPool", 1);
  hear(kFirst, asap::BusinessCard{"EchoPool", {element(9), element(3), element(2)}});
  EXPECT_EQ(selected(), 2u);  // nothing failed: the policy
  world.endpoint.failed("EchoPool", 1, world.now);
  EXPECT_EQ(selected(), 3u);  // 9 is not in the pool
  world.endpoint.failed("EchoPool", 3, world.now);
  EXPECT_EQ(selected(), 2u);
  EXPECT_EQ(selected(), 2u);
}

TEST_F(EndpointControl, ASAP_3_9_2_BC2_the_failure_of_another_PE_does_not_ask_for_the_cards_order) {
  resolve();
  control.opened(kFirst, "EchoPool", 1);
  hear(kFirst, asap::BusinessCard{"EchoPool", {element(3)}});
  world.endpoint.failed("EchoPool", 2, world.now);
  EXPECT_EQ(selected(), 1u);
}

TEST_F(EndpointControl, ASAP_3_4_3_a_peer_cannot_become_the_home_or_answer_for_it) {
  world.register_pe("EchoPool", element(7));
  world.run_for(1s);
  control.accepted(kFirst);
  hear(kFirst, asap::EndpointKeepAlive{true, 0xbad, "EchoPool", {}});
  hear(kFirst, asap::DeregistrationResponse{"EchoPool", 7, {}});
  hear(kFirst, asap::CookieMessage{"users send none"});
  EXPECT_TRUE(take(kFirst).empty());
  EXPECT_EQ(homes, 0);
  EXPECT_NE(world.endpoint.home(), kFirst);
}

}  // namespace
}  // namespace poolgate::rserpool::endpoint
