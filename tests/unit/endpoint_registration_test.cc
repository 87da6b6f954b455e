// SPDX-License-Identifier: BSD-3-Clause
#include "tests/unit/endpoint_world.h"

namespace poolgate::rserpool::endpoint {
namespace {

using State = Registration::State;

asap::Registration registration_in(const std::string& bytes) {
  const auto parsed = asap::parse(bytes);
  EXPECT_TRUE(parsed.ok());
  return std::get<asap::Registration>(parsed->message);
}

TEST(EndpointRegistration, ASAP_3_1_20_registers_with_the_home_that_the_hunt_found) {
  World world(1);
  world.register_pe("EchoPool", element(7));
  world.run_for(1s);
  EXPECT_EQ(world.connects.size(), 1u);
  const auto sent = world.sent<asap::Registration>();
  ASSERT_EQ(sent.size(), 1u);
  EXPECT_EQ(sent[0].link, world.endpoint.home());
  const auto registered = world.events<Registered>();
  ASSERT_EQ(registered.size(), 1u);
  EXPECT_EQ(registered[0].first, 2ms);  // connected, answered
  EXPECT_FALSE(registered[0].second.again);
  EXPECT_EQ(world.endpoint.registration("EchoPool", 7)->state(), State::registered);
}

TEST(EndpointRegistration, ASAP_3_1_22_carries_handle_id_life_transport_and_policy_and_no_asap_transport) {
  World world(1);
  PoolElement pe = element(0x1234abcd, 300);
  pe.policy = {PolicyType::weighted_round_robin, 3};
  pe.has_asap_transport = true;
  pe.asap_transport = pe.user_transport;
  world.register_pe(std::string("a\0b", 3), pe);
  world.run_for(1s);
  const auto sent = world.sent<asap::Registration>();
  ASSERT_EQ(sent.size(), 1u);
  const auto message = registration_in(sent[0].bytes);
  EXPECT_EQ(message.handle, std::string_view("a\0b", 3));
  EXPECT_EQ(message.element.id, 0x1234abcdu);
  EXPECT_EQ(message.element.registration_life, 300);
  EXPECT_EQ(message.element.user_transport, pe.user_transport);
  EXPECT_EQ(message.element.policy, pe.policy);
  EXPECT_FALSE(message.element.has_asap_transport);
}

TEST(EndpointRegistration, ASAP_3_1_28_T4_is_20_seconds_before_the_end_and_at_most_10_minutes) {
  EXPECT_EQ(Registration::reregistration_interval(300), 280s);
  EXPECT_EQ(Registration::reregistration_interval(620), 600s);
  EXPECT_EQ(Registration::reregistration_interval(86400), 600s);
  EXPECT_EQ(Registration::reregistration_interval(kInfiniteLife), 600s);
  EXPECT_EQ(Registration::reregistration_interval(30), 10s);
}

TEST(EndpointRegistration, ASAP_3_1_23_reregisters_before_the_life_expires_however_short) {
  for (const int32_t life : {1, 3, 15, 20, 21, 60}) {
    const Time t4 = Registration::reregistration_interval(life);
    EXPECT_GT(t4, 0ms) << life;
    EXPECT_LT(t4, std::chrono::seconds(life)) << life;
  }
}

TEST(EndpointRegistration, ASAP_3_1_28_reregisters_each_time_T4_expires) {
  World world(1);
  world.register_pe("EchoPool", element(7, 300));
  world.run_until(600s);
  const auto sent = world.sent<asap::Registration>();
  ASSERT_EQ(sent.size(), 3u);
  EXPECT_EQ(sent[0].at, 1ms);
  EXPECT_EQ(sent[1].at, 2ms + 280s);
  EXPECT_EQ(sent[2].at, 3ms + 560s);
  const auto registered = world.events<Registered>();
  ASSERT_EQ(registered.size(), 3u);
  EXPECT_TRUE(registered[1].second.again);
}

TEST(EndpointRegistration, ASAP_3_1_25_without_response_in_T2_another_registrar_is_found_and_asked) {
  World world(2);
  world.server(0).answers = false;
  world.server(1).reachable = false;
  world.register_pe("EchoPool", element(7));
  world.run_for(1s);
  ASSERT_EQ(world.sent<asap::Registration>().size(), 1u);
  world.server(1).reachable = true;
  world.run_until(31s);
  const auto sent = world.sent<asap::Registration>();
  ASSERT_EQ(sent.size(), 2u);
  EXPECT_EQ(sent[0].server, 0u);
  EXPECT_EQ(sent[1].server, 1u);
  EXPECT_EQ(sent[1].at, 30s + 2ms);  // T2 from the first one, then the connection
  EXPECT_EQ(world.events<Registered>().size(), 1u);
  EXPECT_EQ(world.endpoint.registration("EchoPool", 7)->state(), State::registered);
}

TEST(EndpointRegistration,
     ASAP_3_1_25_the_unanswering_registrars_association_stays_until_the_next_one_has_accepted) {
  World world(2);
  world.server(0).answers = false;
  world.server(1).reachable = false;
  world.register_pe("EchoPool", element(7));
  world.run_for(1s);
  world.server(1).reachable = true;
  world.server(1).answers = false;
  world.run_until(31s);
  EXPECT_TRUE(world.has_link(0));
  world.deliver(1, asap::RegistrationResponse{"EchoPool", 7, false, {}});
  EXPECT_FALSE(world.has_link(0));
  EXPECT_TRUE(world.has_link(1));
}

TEST(EndpointRegistration, ASAP_3_1_25_a_send_failure_starts_the_hunt_and_the_registration_anew) {
  World world(2);
  world.server(1).reachable = false;
  world.fails_on = 1;
  world.register_pe("EchoPool", element(7));
  world.run_for(1ms);
  world.server(1).reachable = true;
  world.run_for(1s);
  const auto sent = world.sent<asap::Registration>();
  ASSERT_EQ(sent.size(), 2u);
  EXPECT_EQ(sent[0].server, 0u);
  EXPECT_EQ(sent[1].server, 1u);
  EXPECT_EQ(world.events<Registered>().size(), 1u);
}

TEST(EndpointRegistration, ASAP_3_7_1_1_an_undeliverable_message_is_not_sent_to_the_same_registrar_at_once) {
  World world(1);
  world.fails_on = 1;
  world.register_pe("EchoPool", element(7));
  world.run_until(29s);
  EXPECT_EQ(world.sent<asap::Registration>().size(), 1u);
}

TEST(EndpointRegistration, ASAP_3_1_26_a_rejection_is_reported_and_never_blindly_repeated) {
  World world(1);
  world.server(0).rejects = true;
  world.server(0).causes = {{Cause::inconsistent_pooling_policy, ""}};
  world.register_pe("EchoPool", element(7));
  world.run_until(3600s);
  EXPECT_EQ(world.sent<asap::Registration>().size(), 1u);
  const auto rejected = world.events<RegistrationRejected>();
  ASSERT_EQ(rejected.size(), 1u);
  ASSERT_EQ(rejected[0].second.causes.size(), 1u);
  EXPECT_EQ(rejected[0].second.causes[0].code, Cause::inconsistent_pooling_policy);
  EXPECT_EQ(world.events<RegistrationGivenUp>().size(), 0u);
}

TEST(EndpointRegistration, ASAP_3_1_26_the_corrected_registration_is_sent) {
  World world(1);
  world.server(0).rejects = true;
  world.register_pe("EchoPool", element(7));
  world.run_for(1s);
  world.server(0).rejects = false;
  PoolElement corrected = element(7);
  corrected.policy.type = PolicyType::least_used;
  world.endpoint.update_pe("EchoPool", corrected, world.now);
  world.run_for(1s);
  const auto sent = world.sent<asap::Registration>();
  ASSERT_EQ(sent.size(), 2u);
  EXPECT_EQ(registration_in(sent[1].bytes).element.policy.type, PolicyType::least_used);
  EXPECT_EQ(world.events<Registered>().size(), 1u);
}

TEST(EndpointRegistration, ASAP_3_1_27_an_update_reregisters_at_once_under_the_same_id) {
  World world(1);
  PoolElement pe = element(7);
  pe.policy = {PolicyType::least_used, 0, 100};
  world.register_pe("EchoPool", pe);
  world.run_for(10s);
  pe.policy.load = 200;
  world.endpoint.update_pe("EchoPool", pe, world.now);
  world.run_for(1s);
  const auto sent = world.sent<asap::Registration>();
  ASSERT_EQ(sent.size(), 2u);
  EXPECT_EQ(sent[1].at, 10s);
  EXPECT_EQ(registration_in(sent[1].bytes).element.id, 7u);
  EXPECT_EQ(registration_in(sent[1].bytes).element.policy.load, 200u);
}

// Registered with server 0, which answers nothing from then on; server 1 is there by then.
void register_and_change_each_second_while_its_home_is_silent(World& world, int seconds) {
  PoolElement pe = element(7);
  pe.policy = {PolicyType::least_used, 0, 100};
  world.server(1).reachable = false;
  world.register_pe("EchoPool", pe);
  world.run_for(1s);
  world.server(0).answers = false;
  world.server(1).reachable = true;
  for (int second = 0; second < seconds; ++second) {
    ++pe.policy.load;
    world.endpoint.update_pe("EchoPool", pe, world.now);
    world.run_for(1s);
  }
}

// A load that changes each second must not hide a registrar that says nothing any more.
TEST(EndpointRegistration, ASAP_3_1_25_updates_while_a_response_is_awaited_do_not_put_T2_off) {
  World world(2);
  register_and_change_each_second_while_its_home_is_silent(world, 40);
  const auto sent = world.sent<asap::Registration>();
  const auto to_other = std::find_if(sent.begin(), sent.end(), [](const auto& s) { return s.server == 1; });
  ASSERT_NE(to_other, sent.end()) << "the other registrar is never asked";
  EXPECT_EQ(to_other->at, 31s + 1ms) << "T2 from the first that was not answered, then the connection";
  EXPECT_EQ(world.events<RegistrationGivenUp>().size(), 0u);
  EXPECT_EQ(world.events<Registered>().size(), 2u + 9u) << "here each second";
}

TEST(EndpointRegistration, ASAP_3_1_29_updates_while_a_response_is_awaited_are_no_attempts) {
  World world(2);
  register_and_change_each_second_while_its_home_is_silent(world, 5);
  world.break_link(0);
  world.run_for(1s);
  EXPECT_EQ(world.events<RegistrationGivenUp>().size(), 0u) << "one registrar failed, once";
  const auto sent = world.sent<asap::Registration>();
  EXPECT_EQ(sent.back().server, 1u);
  EXPECT_EQ(registration_in(sent.back().bytes).element.policy.load, 105u) << "as it is now";
  EXPECT_EQ(world.endpoint.registration("EchoPool", 7)->state(), State::registered);
}

TEST(EndpointRegistration, ASAP_3_1_27_what_changed_while_a_response_was_awaited_is_sent_when_it_is_there) {
  World world(1);
  PoolElement pe = element(7);
  pe.policy = {PolicyType::least_used, 0, 100};
  world.register_pe("EchoPool", pe);
  world.run_for(1s);
  for (const uint32_t load : {200u, 300u, 400u}) {
    pe.policy.load = load;
    world.endpoint.update_pe("EchoPool", pe, world.now);
  }
  world.run_for(1s);
  const auto sent = world.sent<asap::Registration>();
  ASSERT_EQ(sent.size(), 3u) << "the first, one change, and what it had become";
  EXPECT_EQ(registration_in(sent[1].bytes).element.policy.load, 200u);
  EXPECT_EQ(sent[2].at, 1s + 1ms);
  EXPECT_EQ(registration_in(sent[2].bytes).element.policy.load, 400u);
  EXPECT_EQ(world.events<Registered>().size(), 3u);
}

TEST(EndpointRegistration, ASAP_3_1_29_stops_and_reports_when_the_attempts_exceed_MAX_REG_ATTEMPT) {
  World world(1);
  world.server(0).answers = false;
  world.register_pe("EchoPool", element(7));
  world.run_until(3600s);
  const auto sent = world.sent<asap::Registration>();
  ASSERT_EQ(sent.size(), 3u);
  EXPECT_EQ(sent[1].at - sent[0].at, 30s);
  EXPECT_EQ(sent[2].at - sent[1].at, 30s);
  const auto given_up = world.events<RegistrationGivenUp>();
  ASSERT_EQ(given_up.size(), 1u);
  EXPECT_EQ(given_up[0].first, 90s + 1ms);
  EXPECT_FALSE(given_up[0].second.deregistering);
}

TEST(EndpointRegistration, ASAP_3_1_29_a_success_sets_the_count_back) {
  World world(1);
  world.register_pe("EchoPool", element(7, 30));
  world.run_for(1s);
  for (int round = 0; round < 4; ++round) {
    world.server(0).answers = false;
    world.run_for(40s);  // T4 and one T2
    world.server(0).answers = true;
    world.run_for(40s);
  }
  EXPECT_EQ(world.events<RegistrationGivenUp>().size(), 0u);
  EXPECT_EQ(world.endpoint.registration("EchoPool", 7)->state(), State::registered);
}

TEST(EndpointRegistration, ASAP_3_1_26_responses_of_others_or_for_others_are_ignored) {
  World world(1);
  world.server(0).answers = false;
  world.register_pe("EchoPool", element(7));
  world.run_for(1s);
  world.deliver(0, asap::RegistrationResponse{"EchoPool", 8, false, {}});
  world.deliver(0, asap::RegistrationResponse{"Echo", 7, false, {}});
  EXPECT_EQ(world.events<Registered>().size(), 0u);
  world.deliver(0, asap::RegistrationResponse{"EchoPool", 7, false, {}});
  EXPECT_EQ(world.events<Registered>().size(), 1u);
}

TEST(EndpointRegistration, ASAP_3_6_22_a_lost_home_is_replaced_and_told_of_the_same_pe) {
  World world(2);
  world.server(1).reachable = false;
  world.register_pe("EchoPool", element(7));
  world.run_for(1s);
  world.server(1).reachable = true;
  world.break_link(0);
  world.run_for(1s);
  const auto sent = world.sent<asap::Registration>();
  ASSERT_EQ(sent.size(), 2u);
  EXPECT_EQ(sent[1].server, 1u);
  EXPECT_EQ(registration_in(sent[1].bytes).element.id, 7u);
  EXPECT_TRUE(world.events<Registered>().back().second.again);
}

TEST(EndpointRegistration,
     ASAP_3_2_20_deregisters_with_the_same_handle_and_id_on_the_registration_association) {
  World world(2);
  world.register_pe("EchoPool", element(7));
  world.run_for(1s);
  const Link home = world.endpoint.home();
  world.endpoint.deregister_pe("EchoPool", 7, world.now);
  world.run_for(1s);
  const auto sent = world.sent<asap::Deregistration>();
  ASSERT_EQ(sent.size(), 1u);
  EXPECT_EQ(sent[0].link, home);
  const auto message = std::get<asap::Deregistration>(asap::parse(sent[0].bytes)->message);
  EXPECT_EQ(message.handle, "EchoPool");
  EXPECT_EQ(message.pe_id, 7u);
  EXPECT_EQ(world.events<Deregistered>().size(), 1u);
  EXPECT_EQ(world.endpoint.registration("EchoPool", 7)->state(), State::idle);
  world.run_for(3600s);
  EXPECT_EQ(world.sent<asap::Registration>().size(), 1u);  // T4 is off
  EXPECT_EQ(world.sent<asap::Deregistration>().size(), 1u);
}

TEST(EndpointRegistration, ASAP_3_2_20_T3_expires_and_the_next_registrar_is_asked_to_deregister) {
  World world(2);
  world.server(1).reachable = false;
  world.register_pe("EchoPool", element(7));
  world.run_for(1s);
  world.server(0).answers = false;
  world.server(1).reachable = true;
  world.endpoint.deregister_pe("EchoPool", 7, world.now);
  world.run_for(40s);
  const auto sent = world.sent<asap::Deregistration>();
  ASSERT_EQ(sent.size(), 2u);
  EXPECT_EQ(sent[1].server, 1u);
  EXPECT_EQ(sent[1].at - sent[0].at, 30s + 1ms);
  EXPECT_EQ(world.events<Deregistered>().size(), 1u);
}

TEST(EndpointRegistration, ASAP_3_2_3_a_refused_deregistration_is_told_with_its_cause) {
  World world(1);
  world.register_pe("EchoPool", element(7));
  world.run_for(1s);
  world.server(0).causes = {{Cause::security_considerations, ""}};
  world.endpoint.deregister_pe("EchoPool", 7, world.now);
  world.run_for(1s);
  ASSERT_EQ(world.events<Deregistered>().size(), 1u);
  EXPECT_EQ(world.events<Deregistered>()[0].second.causes.size(), 1u);
}

TEST(EndpointRegistration, ASAP_2_2_4_an_unasked_deregistration_response_is_an_expiry_and_it_registers_anew) {
  World world(1);
  world.register_pe("EchoPool", element(7));
  world.run_for(1s);
  world.deliver(0, asap::DeregistrationResponse{"EchoPool", 7, {}});
  world.run_for(1s);
  EXPECT_EQ(world.events<RegistrationExpired>().size(), 1u);
  EXPECT_EQ(world.sent<asap::Registration>().size(), 2u);
  EXPECT_EQ(world.endpoint.registration("EchoPool", 7)->state(), State::registered);
}

TEST(EndpointRegistration, ASAP_2_2_14_1_an_ERROR_instead_of_a_response_is_a_rejection) {
  World world(1);
  world.server(0).answers = false;
  world.register_pe("EchoPool", element(7));
  world.run_for(1s);
  world.deliver(0, asap::ErrorMessage{{{static_cast<Cause>(0x100b), ""}}});
  ASSERT_EQ(world.events<RegistrationRejected>().size(), 1u);
  EXPECT_EQ(static_cast<uint16_t>(world.events<RegistrationRejected>()[0].second.causes[0].code), 0x100b);
  world.run_for(3600s);
  EXPECT_EQ(world.sent<asap::Registration>().size(), 1u);
}

TEST(EndpointRegistration, ASAP_3_1_24_a_rejection_carries_what_the_pool_wants_so_that_it_can_be_followed) {
  World world(1);
  world.server(0).rejects = true;
  world.server(0).causes = {{Cause::inconsistent_data_control_configuration, ""}};
  world.register_pe("EchoPool", element(7));
  world.run_for(1s);
  const auto rejected = world.events<RegistrationRejected>();
  ASSERT_EQ(rejected.size(), 1u);
  EXPECT_EQ(rejected[0].second.causes[0].code, Cause::inconsistent_data_control_configuration);
  world.server(0).rejects = false;
  world.server(0).causes.clear();
  PoolElement follows = element(7);
  follows.user_transport.use = TransportUse::data_plus_control;
  world.endpoint.update_pe("EchoPool", follows, world.now);
  world.run_for(1s);
  EXPECT_EQ(world.events<Registered>().size(), 1u);
  const auto sent = world.sent<asap::Registration>();
  ASSERT_EQ(sent.size(), 2u);
  const auto last = asap::parse(sent[1].bytes);
  EXPECT_EQ(std::get<asap::Registration>(last->message).element.user_transport.use,
            TransportUse::data_plus_control);
}

TEST(EndpointRegistration, ASAP_3_2_21_a_deregistered_PE_may_register_again_under_its_id) {
  World world(1);
  world.register_pe("EchoPool", element(7));
  world.run_for(1s);
  world.endpoint.deregister_pe("EchoPool", 7, world.now);
  world.run_for(1s);
  EXPECT_EQ(world.events<Deregistered>().size(), 1u);
  world.register_pe("EchoPool", element(7));
  world.run_for(1s);
  const auto registered = world.events<Registered>();
  ASSERT_EQ(registered.size(), 2u);
  EXPECT_FALSE(registered[1].second.again);
}

}  // namespace
}  // namespace poolgate::rserpool::endpoint
