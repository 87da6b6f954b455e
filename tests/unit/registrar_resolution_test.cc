// SPDX-License-Identifier: BSD-3-Clause
// Handle resolution and update subscriptions: RFC 5352 §2.2.5, §2.2.6, §3.3 (conformance
// ASAP-2.1-2, 2.2.5, 2.2.6, 3.3, and the option 0x803f of §13.1).
#include <gmock/gmock.h>

#include "tests/unit/registrar_world.h"

namespace poolgate::test {
namespace {

using testing::ElementsAre;
using testing::IsEmpty;
using testing::UnorderedElementsAre;

asap::Message resolution(std::string_view handle, bool subscribe = false,
                         std::optional<uint32_t> items = {}) {
  return asap::HandleResolution{handle, subscribe, items};
}

TEST(Registrar, ASAP_3_3_1_and_2_1_2_resolution_over_TCP_is_answered_on_its_connection) {
  World w;
  w.enroll(w.up("10.0.0.1"), pe(1));
  w.registrar.tcp_up(w.now, 7, address("10.0.0.9"));
  std::string bytes;
  ASSERT_TRUE(asap::encode(resolution("EchoPool", true), bytes));
  w.registrar.tcp_message(w.now, 7, bytes);
  w.collect();
  const auto sent = w.all<registrar::TcpSend>();
  ASSERT_EQ(sent.size(), 1u);
  EXPECT_EQ(sent[0].connection, 7u);
  const auto response = World::parsed<asap::HandleResolutionResponse>(sent[0].bytes);
  EXPECT_THAT(World::ids(response), ElementsAre(1));
  EXPECT_FALSE(response.updates_accepted) << "updates are for the life of an association";
  w.registrar.tcp_down(w.now, 7);
  w.registrar.tcp_message(w.now, 7, bytes);
  EXPECT_THAT(w.collect(), IsEmpty());
}

TEST(Registrar, a_TCP_stream_out_of_step_is_closed) {
  World w;
  w.registrar.tcp_up(w.now, 7, address("10.0.0.9"));
  w.registrar.tcp_message(w.now, 7, hex("05 00 0000"));
  w.collect();
  ASSERT_EQ(w.all<registrar::TcpClose>().size(), 1u);
  EXPECT_EQ(w.all<registrar::TcpClose>()[0].connection, 7u);
}

TEST(Registrar, ASAP_3_3_2_and_3_3_3_all_elements_of_the_pool_are_listed) {
  World w;
  const auto a = w.up("10.0.0.1");
  for (PeId id = 1; id <= 200; ++id) w.enroll(a, pe(id));
  EXPECT_EQ(w.resolve(a).size(), 200u);
}

TEST(Registrar, ASAP_3_3_3_a_pool_too_large_for_a_message_is_cut_to_what_fits) {
  World w;
  const auto a = w.up("10.0.0.1");
  for (PeId id = 1; id <= 2000; ++id) w.enroll(a, pe(id));
  EXPECT_EQ(w.resolve(a).size(), (65535u - 24) / 40);
}

TEST(Registrar, ASAP_3_3_3_max_items_limits_a_resolution_without_option) {
  registrar::Settings settings;
  settings.registrar.max_items = 3;
  World w(settings);
  const auto a = w.up("10.0.0.1");
  for (PeId id = 1; id <= 10; ++id) w.enroll(a, pe(id));
  EXPECT_EQ(w.resolve(a).size(), 3u);
}

TEST(Registrar, option_803f_says_how_many_elements_are_wanted) {
  registrar::Settings settings;
  settings.registrar.max_items = 5;
  World w(settings);
  const auto a = w.up("10.0.0.1");
  for (PeId id = 1; id <= 200; ++id) w.enroll(a, pe(id));
  const auto count = [&](uint32_t items) {
    return w.ask<asap::HandleResolutionResponse>(a, resolution("EchoPool", false, items)).elements.size();
  };
  EXPECT_EQ(count(1), 1u);
  EXPECT_EQ(count(20), 20u);
  EXPECT_EQ(count(0), 5u) << "0: the registrar's default";
  EXPECT_EQ(count(0xffffffff), 128u) << "the most that those who send the option take";
}

TEST(Registrar, ASAP_3_3_4_and_12_5_the_policy_is_always_there) {
  World w;
  const auto a = w.up("10.0.0.1");
  w.enroll(a, pe(1));
  const auto response = w.ask<asap::HandleResolutionResponse>(a, resolution("EchoPool"));
  ASSERT_TRUE(response.policy.has_value());
  EXPECT_EQ(response.policy->type, PolicyType::round_robin);
}

TEST(Registrar, ASAP_3_3_5_and_2_2_6_2_an_unknown_pool_gets_the_handle_and_cause_9_only) {
  World w;
  w.send(w.up("10.0.0.1"), resolution("EchoPool"));
  ASSERT_EQ(w.sent().size(), 1u);
  EXPECT_EQ(to_hex(w.sent()[0].payload),
            to_hex(hex("06 00 0018 | 0009 000c 4563686f506f6f6c | 000c 0008 0009 0004")));
}

TEST(Registrar, ASAP_2_2_6_2_a_pool_that_can_serve_nobody_gets_a_negative_response) {
  World w;
  const auto a = w.up("10.0.0.1");
  PoolElement element = pe(1);
  element.policy = {.type = PolicyType::weighted_round_robin, .weight = 0};
  EXPECT_THAT(w.enroll(a, element), IsEmpty());
  const auto response = w.ask<asap::HandleResolutionResponse>(a, resolution("EchoPool", true));
  EXPECT_THAT(response.elements, IsEmpty());
  EXPECT_FALSE(response.policy.has_value());
  EXPECT_FALSE(response.updates_accepted);
  EXPECT_THAT(response.causes, ElementsAre(ErrorCause{Cause::lack_of_resources, ""}));
}

TEST(Registrar, PAR_3_10_4_and_13_4_elements_have_their_home_and_no_ASAP_transport) {
  World w;
  const auto a = w.up("10.0.0.1");
  w.enroll(a, pe(1));
  const auto response = w.ask<asap::HandleResolutionResponse>(a, resolution("EchoPool"));
  ASSERT_EQ(response.elements.size(), 1u);
  EXPECT_EQ(response.elements[0].home, kOurId);
  EXPECT_FALSE(response.elements[0].has_asap_transport);
}

TEST(Registrar, POL_4_1_round_robin_rotates_over_resolutions) {
  World w;
  const auto a = w.up("10.0.0.1");
  for (PeId id = 1; id <= 3; ++id) w.enroll(a, pe(id));
  std::vector<PeId> first;
  for (int i = 0; i < 6; ++i) first.push_back(w.resolve(a).at(0));
  EXPECT_THAT(first, ElementsAre(first[0], first[1], first[2], first[0], first[1], first[2]));
  EXPECT_THAT((std::vector<PeId>{first[0], first[1], first[2]}), UnorderedElementsAre(1, 2, 3));
}

// ---- subscriptions

TEST(Registrar, ASAP_2_2_5_1_and_2_2_6_1_S_asks_for_updates_and_A_grants_them) {
  World w;
  const auto a = w.up("10.0.0.1");
  const auto pu = w.up("10.0.0.9");
  w.enroll(a, pe(1));
  EXPECT_FALSE(w.ask<asap::HandleResolutionResponse>(pu, resolution("EchoPool", false)).updates_accepted);
  EXPECT_TRUE(w.ask<asap::HandleResolutionResponse>(pu, resolution("EchoPool", true)).updates_accepted);
  w.enroll(a, pe(2));
  w.run(kS);
  const auto updates = w.sent<asap::HandleResolutionResponse>();
  ASSERT_EQ(updates.size(), 1u);
  EXPECT_TRUE(updates[0].updates_accepted);
  EXPECT_THAT(World::ids(updates[0]), ElementsAre(1, 2));
  EXPECT_EQ(w.sent().at(0).association, pu);
  EXPECT_EQ(w.sent().at(0).answers, 0u) << "it answers nothing";
}

TEST(Registrar, ASAP_2_2_5_1_changes_in_quick_succession_make_one_update) {
  World w;
  const auto a = w.up("10.0.0.1");
  const auto pu = w.up("10.0.0.9");
  w.enroll(a, pe(1));
  w.send(pu, resolution("EchoPool", true));
  w.run(kS);
  for (PeId id = 2; id <= 50; ++id) w.enroll(a, pe(id));
  w.send(a, asap::Message(asap::Deregistration{"EchoPool", 1}));
  w.run(kS);
  const auto updates = w.sent<asap::HandleResolutionResponse>();
  ASSERT_EQ(updates.size(), 1u);
  EXPECT_EQ(updates[0].elements.size(), 49u);
  EXPECT_EQ(w.registrar.counters().updates_sent, 1u);
}

TEST(Registrar, ASAP_2_2_5_1_an_update_moves_no_rotation) {
  World w;
  const auto a = w.up("10.0.0.1");
  const auto pu = w.up("10.0.0.9");
  for (PeId id = 1; id <= 3; ++id) w.enroll(a, pe(id));
  w.send(pu, resolution("EchoPool", true));
  const PeId first = w.resolve(a).at(0);
  const PeId second = w.resolve(a).at(0);
  w.run(kS);
  const PeId third = w.resolve(a).at(0);
  EXPECT_THAT((std::vector<PeId>{first, second, third}), UnorderedElementsAre(1, 2, 3));
}

TEST(Registrar, ASAP_2_2_5_1_a_subscription_ends_with_its_association) {
  World w;
  const auto a = w.up("10.0.0.1");
  const auto pu = w.up("10.0.0.9");
  w.enroll(a, pe(1));
  w.send(pu, resolution("EchoPool", true));
  w.down(pu);
  w.enroll(a, pe(2));
  w.run(kS);
  EXPECT_THAT(w.sent<asap::HandleResolutionResponse>(), IsEmpty());
}

TEST(Registrar, ASAP_2_2_5_2_a_negative_response_subscribes_to_nothing) {
  World w;
  const auto a = w.up("10.0.0.1");
  const auto pu = w.up("10.0.0.9");
  EXPECT_FALSE(w.ask<asap::HandleResolutionResponse>(pu, resolution("EchoPool", true)).updates_accepted);
  w.enroll(a, pe(1));
  w.run(kS);
  EXPECT_THAT(w.sent<asap::HandleResolutionResponse>(), IsEmpty());
}

TEST(Registrar, ASAP_2_2_5_2_with_its_pool_a_subscription_ends_with_a_last_update) {
  World w;
  const auto a = w.up("10.0.0.1");
  const auto pu = w.up("10.0.0.9");
  w.enroll(a, pe(1));
  w.send(pu, resolution("EchoPool", true));
  w.send(a, asap::Message(asap::Deregistration{"EchoPool", 1}));
  w.run(kS);
  const auto updates = w.sent<asap::HandleResolutionResponse>();
  ASSERT_EQ(updates.size(), 1u);
  EXPECT_FALSE(updates[0].updates_accepted);
  EXPECT_THAT(updates[0].causes, ElementsAre(ErrorCause{Cause::unknown_pool_handle, ""}));
  w.enroll(a, pe(1));
  w.run(kS);
  EXPECT_THAT(w.sent<asap::HandleResolutionResponse>(), IsEmpty());
}

TEST(Registrar, ASAP_2_2_6_1_subscriptions_of_one_association_are_bounded_and_A_says_so) {
  World w;
  const auto a = w.up("10.0.0.1");
  const auto pu = w.up("10.0.0.9");
  int accepted = 0;
  for (int i = 0; i < 100; ++i) {
    const std::string handle = "Pool" + std::to_string(i);
    w.enroll(a, pe(1), handle);
    accepted += w.ask<asap::HandleResolutionResponse>(pu, resolution(handle, true)).updates_accepted;
  }
  EXPECT_EQ(accepted, 64);
  EXPECT_TRUE(w.ask<asap::HandleResolutionResponse>(pu, resolution("Pool0", true)).updates_accepted)
      << "one that it has already";
}

TEST(Registrar, ASAP_12_9_who_did_not_set_S_is_never_sent_anything_unasked) {
  World w;
  const auto a = w.up("10.0.0.1");
  const auto pu = w.up("10.0.0.9");
  w.enroll(a, pe(1));
  w.resolve(pu);
  w.enroll(a, pe(2));
  w.down(a);
  w.run(10 * kS);
  EXPECT_THAT(w.sent(), IsEmpty());
}

TEST(Registrar, ASAP_2_2_5_3_a_subscription_is_told_to_no_other_registrar) {
  World w;
  const auto peer = w.up({"10.0.0.8"}, 9901, SctpService::enrp);
  const auto a = w.up("10.0.0.1");
  const auto pu = w.up("10.0.0.9");
  w.enroll(a, pe(1));
  w.send(pu, resolution("EchoPool", true));
  for (const auto& down : w.sent()) EXPECT_NE(down.association, peer);
}

// ---- subscriptions over a loss of the channel: the data plane lives on, and its associations with it

class ChannelLoss : public testing::Test {
 protected:
  ChannelLoss() {
    w.enroll(server, pe(1));
    for (const auto& user : users) w.send(user, resolution("EchoPool", true));
    w.run(kS);
  }
  // The channel is lost and back after `away`; of the associations the first `living` are there still.
  void lose(Micros away, size_t living = 3) {
    w.registrar.channel_lost(w.now);
    w.collect();
    w.run(away);
    w.replay(std::span(w.ups).first(living));
  }
  std::vector<std::vector<PeId>> updates() {
    w.run(kS);
    std::vector<std::vector<PeId>> told;
    for (const auto& update : w.sent<asap::HandleResolutionResponse>()) told.push_back(World::ids(update));
    return told;
  }

  World w;
  const AssociationName server = w.up("10.0.0.1");
  const std::vector<AssociationName> users{w.up("10.0.0.8"), w.up("10.0.0.9")};
};

TEST_F(ChannelLoss, ASAP_2_2_5_1_a_change_just_before_it_is_told_when_it_is_over) {
  w.enroll(server, pe(2));
  lose(kS);
  EXPECT_THAT(updates(), ElementsAre(ElementsAre(1, 2), ElementsAre(1, 2)));
  EXPECT_THAT(updates(), IsEmpty()) << "once";
}

TEST_F(ChannelLoss, ASAP_2_2_5_1_an_update_that_may_have_been_lost_with_it_is_told_again) {
  w.enroll(server, pe(2));
  w.run(kS);
  lose(kS);
  EXPECT_THAT(updates(), ElementsAre(ElementsAre(1, 2), ElementsAre(1, 2)));
}

TEST_F(ChannelLoss, ASAP_2_2_5_2_the_end_of_a_pool_just_before_it_is_told_when_it_is_over) {
  w.send(server, asap::Message(asap::Deregistration{"EchoPool", 1}));
  lose(kS);
  EXPECT_THAT(updates(), ElementsAre(IsEmpty(), IsEmpty()));
  w.enroll(server, pe(1));
  EXPECT_THAT(updates(), IsEmpty());
}

TEST_F(ChannelLoss, ASAP_2_2_5_1_who_did_not_survive_it_keeps_the_update_from_nobody) {
  w.enroll(server, pe(2));
  lose(kS, 2);
  EXPECT_THAT(updates(), ElementsAre(ElementsAre(1, 2)));
}

TEST_F(ChannelLoss, ASAP_2_2_5_1_nor_does_a_subscriber_that_is_lost_while_an_update_waits) {
  for (const auto& lost : {users[0], users[1]}) {
    w.enroll(server, pe(2));
    const auto other = w.up("10.0.0.10");
    w.send(other, resolution("EchoPool", true));
    w.down(lost);
    EXPECT_THAT(updates(), testing::Contains(ElementsAre(1, 2)));
    w.down(other);
  }
}

}  // namespace
}  // namespace poolgate::test
