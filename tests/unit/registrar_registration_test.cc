// SPDX-License-Identifier: BSD-3-Clause
// Registration and deregistration: RFC 5352 §3.1, §3.2 (conformance ASAP-1.1, 2.1, 2.2.1-2.2.3, 3.1, 3.2,
// PAR-3.x).
#include <gmock/gmock.h>

#include "controlplane/rserpool/wire/parameters.h"
#include "tests/unit/registrar_world.h"

namespace poolgate::test {
namespace {

using registrar::JournalPut;
using registrar::JournalRecord;
using registrar::PoolChanged;
using testing::ElementsAre;
using testing::IsEmpty;
namespace wire = rserpool::wire;

Transport tcp(const char* ip, uint16_t port = 80) {
  return {.type = TransportType::tcp, .port = port, .addresses = {address(ip)}};
}

TEST(Registrar, ASAP_3_1_1_the_first_registration_creates_the_pool) {
  World w;
  const auto a = w.up("10.0.0.1");
  EXPECT_THAT(w.enroll(a, pe(1)), IsEmpty());
  EXPECT_EQ(w.registrar.pool_count(), 1u);
  EXPECT_THAT(w.resolve(w.up("10.0.0.9")), ElementsAre(1));
}

TEST(Registrar, ASAP_3_1_2_the_pool_takes_policy_transport_and_use_of_its_first_element) {
  World w;
  const auto a = w.up("10.0.0.1");
  PoolElement element = pe(1);
  element.policy = {.type = PolicyType::least_used, .load = 5};
  EXPECT_THAT(w.enroll(a, element), IsEmpty());
  const auto response =
      w.ask<asap::HandleResolutionResponse>(a, asap::Message(asap::HandleResolution{"EchoPool", false, {}}));
  ASSERT_TRUE(response.policy.has_value());
  EXPECT_EQ(response.policy->type, PolicyType::least_used);
}

TEST(Registrar, ASAP_3_1_3_policy_mismatch_is_rejected_with_cause_5_and_the_policy_of_the_pool) {
  World w;
  const auto a = w.up("10.0.0.1");
  EXPECT_THAT(w.enroll(a, pe(1)), IsEmpty());
  PoolElement other = pe(2);
  other.policy = {.type = PolicyType::weighted_round_robin, .weight = 3};
  EXPECT_THAT(w.enroll(a, other), ElementsAre(ErrorCause{Cause::inconsistent_pooling_policy, rr_tlv()}));
  EXPECT_THAT(w.there(), ElementsAre(1));
}

TEST(Registrar, ASAP_3_1_3_transport_type_mismatch_is_rejected_with_cause_7_and_the_transport_of_the_pool) {
  World w;
  const auto a = w.up("10.0.0.1");
  EXPECT_THAT(w.enroll(a, pe(1)), IsEmpty());
  PoolElement other = pe(2);
  other.user_transport = tcp("10.0.0.1");
  EXPECT_THAT(w.enroll(a, other), ElementsAre(ErrorCause{Cause::inconsistent_transport_type,
                                                         wire::transport_parameter(pe(1).user_transport)}));
  EXPECT_THAT(w.there(), ElementsAre(1));
}

TEST(Registrar, ASAP_3_1_3_transport_use_mismatch_is_rejected_with_cause_8) {
  World w;
  const auto a = w.up("10.0.0.1");
  EXPECT_THAT(w.enroll(a, pe(1)), IsEmpty());
  PoolElement other = pe(2);
  other.user_transport.use = TransportUse::data_plus_control;
  EXPECT_THAT(w.enroll(a, other),
              ElementsAre(ErrorCause{Cause::inconsistent_data_control_configuration, ""}));
}

TEST(Registrar, ASAP_3_1_4_a_known_id_is_a_reregistration_that_replaces_the_attributes) {
  World w;
  const auto a = w.up("10.0.0.1");
  PoolElement element = pe(1);
  element.policy = {.type = PolicyType::least_used, .load = 5};
  EXPECT_THAT(w.enroll(a, element), IsEmpty());
  element.policy.load = 77;
  element.user_transport.port = 8;
  EXPECT_THAT(w.enroll(a, element), IsEmpty());
  const auto list = w.registrar.elements("EchoPool", w.now);
  ASSERT_EQ(list.size(), 1u);
  EXPECT_EQ(list[0].element.policy.load, 77u);
  EXPECT_EQ(list[0].element.user_transport.port, 8);
  EXPECT_EQ(w.registrar.counters().registrations, 1u);
  EXPECT_EQ(w.registrar.counters().reregistrations, 1u);
}

TEST(Registrar, ASAP_3_1_4_a_reregistration_undergoes_the_same_tests) {
  World w;
  const auto a = w.up("10.0.0.1");
  EXPECT_THAT(w.enroll(a, pe(1)), IsEmpty());
  PoolElement changed = pe(1);
  changed.policy.type = PolicyType::random;
  EXPECT_EQ(w.enroll(a, changed).at(0).code, Cause::inconsistent_pooling_policy);
  EXPECT_EQ(w.registrar.elements("EchoPool", w.now).at(0).element.policy.type, PolicyType::round_robin);
}

TEST(Registrar, ASAP_3_1_5_the_registrar_becomes_the_owner) {
  World w;
  PoolElement element = pe(1);
  element.home = 0x12345678;
  EXPECT_THAT(w.enroll(w.up("10.0.0.1"), element), IsEmpty());
  EXPECT_EQ(w.registrar.elements("EchoPool", w.now).at(0).element.home, kOurId);
}

TEST(Registrar, ASAP_1_1_2_and_3_1_5_a_peers_element_that_registers_here_is_ours) {
  World w;
  registrar::Registrar r(w.settings, kOurId, 1, w.now);
  JournalRecord record;
  record.change = JournalRecord::Change::put;
  record.pe.handle = "EchoPool";
  record.pe.element = pe(1);
  record.pe.element.home = 0x12345678;
  r.restore(record);
  r.restored(w.now);
  r.channel_up(w.now, w.welcome);
  r.replay_done(w.now);
  w.registrar = std::move(r);
  EXPECT_EQ(w.registrar.elements("EchoPool", w.now).at(0).element.home, 0x12345678u);
  EXPECT_THAT(w.enroll(w.up("10.0.0.1"), pe(1)), IsEmpty());
  EXPECT_EQ(w.registrar.elements("EchoPool", w.now).at(0).element.home, kOurId);
  EXPECT_TRUE(w.registrar.elements("EchoPool", w.now).at(0).confirmed);
}

TEST(Registrar, ASAP_3_1_6_the_source_of_the_registration_is_the_ASAP_transport) {
  World w;
  const auto a = w.up({"10.0.0.1", "10.1.0.1"}, 41'234);
  EXPECT_THAT(w.enroll(a, pe(1)), IsEmpty());
  const auto element = w.registrar.elements("EchoPool", w.now).at(0).element;
  ASSERT_TRUE(element.has_asap_transport);
  EXPECT_EQ(element.asap_transport.type, TransportType::sctp);
  EXPECT_EQ(element.asap_transport.port, 41'234);
  EXPECT_THAT(element.asap_transport.addresses, ElementsAre(address("10.0.0.1"), address("10.1.0.1")));
}

TEST(Registrar, ASAP_3_1_6_an_ASAP_transport_in_the_registration_counts_for_nothing) {
  World w;
  PoolElement element = pe(1);
  element.has_asap_transport = true;
  element.asap_transport = {.port = 1, .addresses = {address("10.66.66.66")}};
  EXPECT_THAT(w.enroll(w.up("10.0.0.1"), element), IsEmpty());
  EXPECT_THAT(w.registrar.elements("EchoPool", w.now).at(0).element.asap_transport.addresses,
              ElementsAre(address("10.0.0.1")));
}

TEST(Registrar, ASAP_3_1_7_limits_are_answered_with_cause_6) {
  registrar::Settings settings;
  settings.registrar.max_elements_per_pool = 2;
  settings.registrar.max_elements = 4;
  settings.registrar.max_pools = 2;
  settings.registrar.max_handle_length = 8;
  World w(settings);
  const auto a = w.up("10.0.0.1");
  const auto no_room = ElementsAre(ErrorCause{Cause::lack_of_resources, ""});
  EXPECT_THAT(w.enroll(a, pe(1), "A"), IsEmpty());
  EXPECT_THAT(w.enroll(a, pe(2), "A"), IsEmpty());
  EXPECT_THAT(w.enroll(a, pe(3), "A"), no_room);
  EXPECT_THAT(w.enroll(a, pe(2), "A"), IsEmpty()) << "a re-registration takes no more room";
  EXPECT_THAT(w.enroll(a, pe(1), "B"), IsEmpty());
  EXPECT_THAT(w.enroll(a, pe(1), "C"), no_room);
  EXPECT_THAT(w.enroll(a, pe(2), "B"), IsEmpty());
  EXPECT_THAT(w.enroll(a, pe(3), "123456789"), no_room);
  EXPECT_EQ(w.registrar.element_count(), 4u);
}

TEST(Registrar, ASAP_3_1_7_a_pool_may_have_a_limit_of_its_own) {
  registrar::Settings settings;
  settings.registrar.max_elements_per_pool = 1;
  settings.pools = {{.handle = "Big", .max_elements = 2}};
  World w(settings);
  const auto a = w.up("10.0.0.1");
  EXPECT_THAT(w.enroll(a, pe(1), "Big"), IsEmpty());
  EXPECT_THAT(w.enroll(a, pe(2), "Big"), IsEmpty());
  EXPECT_EQ(w.enroll(a, pe(3), "Big").size(), 1u);
  EXPECT_THAT(w.enroll(a, pe(1), "Small"), IsEmpty());
  EXPECT_EQ(w.enroll(a, pe(2), "Small").size(), 1u);
}

TEST(Registrar, ASAP_3_1_8_every_registration_gets_exactly_one_response) {
  World w;
  const auto a = w.up("10.0.0.1");
  PoolElement bad_life = pe(2), bad_policy = pe(3), foreign = pe(4);
  bad_life.registration_life = 0;
  bad_policy.policy.type = static_cast<PolicyType>(0xbeef0001);
  foreign.user_transport.addresses = {address("10.0.0.2")};
  size_t causes = 0;
  // enroll() checks that there is one answer, with the handle and the id.
  for (const PoolElement& element : {pe(1), pe(1), bad_life, bad_policy, foreign})
    causes += w.enroll(a, element).size();
  EXPECT_EQ(causes, 3u);
  EXPECT_THAT(w.there(), ElementsAre(1));
}

TEST(Registrar, ASAP_3_1_8_an_invalid_element_is_rejected_and_named) {
  World w;
  const auto a = w.up("10.0.0.1");
  const std::string transport = sctp_tlv(7);
  w.bytes(a, message(0x01, 0, handle_tlv() + pe_tlv(transport + rr_tlv())));
  const auto response = w.answer<asap::RegistrationResponse>();
  EXPECT_TRUE(response.rejected);
  EXPECT_EQ(response.handle, "EchoPool");
  EXPECT_EQ(response.pe_id, 0x11223344u);
  EXPECT_THAT(response.causes, ElementsAre(ErrorCause{Cause::invalid_values, transport}));
  EXPECT_EQ(w.registrar.element_count(), 0u);
}

TEST(Registrar, ASAP_3_1_10_a_grant_changes_the_pools_table_once_and_a_denial_changes_nothing) {
  World w;
  const auto a = w.up("10.0.0.1");
  w.enroll(a, pe(1));
  ASSERT_EQ(w.all<PoolChanged>().size(), 1u);
  EXPECT_EQ(w.all<PoolChanged>()[0].handle, "EchoPool");
  EXPECT_EQ(w.all<JournalPut>().size(), 1u);
  PoolElement other = pe(2);
  other.policy.type = PolicyType::random;
  w.enroll(a, other);
  EXPECT_THAT(w.all<PoolChanged>(), IsEmpty());
  EXPECT_THAT(w.all<JournalPut>(), IsEmpty());
}

TEST(Registrar, ASAP_3_1_the_pools_table_has_what_the_data_plane_needs) {
  World w;
  const auto a = w.up("10.0.0.1");
  w.enroll(a, pe(1));
  channel::PoolChunk table;
  ASSERT_TRUE(w.registrar.pool_table("EchoPool", table));
  EXPECT_EQ(table.policy, PolicyType::round_robin);
  ASSERT_EQ(table.elements.size(), 1u);
  const uint32_t first = table.elements[0].registration;
  EXPECT_EQ(table.elements[0].transport, pe(1).user_transport);
  w.enroll(a, pe(1));
  ASSERT_TRUE(w.registrar.pool_table("EchoPool", table));
  EXPECT_GT(table.elements[0].registration, first) << "a newer registration";
  EXPECT_FALSE(w.registrar.pool_table("NoPool", table));
  EXPECT_TRUE(table.remove);
}

TEST(Registrar, ASAP_2_2_1_1_a_registration_without_element_changes_nothing) {
  World w;
  const auto a = w.up("10.0.0.1");
  w.bytes(a, message(0x01, 0, handle_tlv()));
  w.answer<asap::ErrorMessage>();
  EXPECT_EQ(w.registrar.pool_count(), 0u);
}

TEST(Registrar, ASAP_2_2_1_2_registered_addresses_are_among_those_of_the_association) {
  World w;
  const auto a = w.up({"10.0.0.1", "10.1.0.1", "2001:db8::5"});
  PoolElement element = pe(1);
  element.user_transport.addresses = {address("10.1.0.1"), address("2001:db8::5")};
  EXPECT_THAT(w.enroll(a, element), IsEmpty());
  PoolElement foreign = pe(2);
  foreign.user_transport.addresses = {address("10.0.0.1"), address("10.0.0.2")};
  EXPECT_THAT(
      w.enroll(a, foreign),
      ElementsAre(ErrorCause{Cause::invalid_values, wire::transport_parameter(foreign.user_transport)}));
  for (const TransportType type :
       {TransportType::tcp, TransportType::udp, TransportType::udp_lite, TransportType::dccp}) {
    PoolElement other = pe(3);
    other.user_transport = {.type = type, .port = 9, .addresses = {address("10.9.9.9")}};
    EXPECT_EQ(w.enroll(a, other, "Other").at(0).code, Cause::invalid_values) << "any user transport";
  }
}

TEST(Registrar, ASAP_2_2_1_2_an_IPv4_mapped_address_is_the_IPv4_address) {
  World w;
  const auto a = w.up("10.0.0.1");
  PoolElement element = pe(1);
  element.user_transport.addresses = {address("::ffff:10.0.0.1")};
  EXPECT_THAT(w.enroll(a, element), IsEmpty());
  EXPECT_THAT(w.registrar.elements("EchoPool", w.now).at(0).element.user_transport.addresses,
              ElementsAre(address("10.0.0.1")));
}

TEST(Registrar, PAR_3_4_a_transport_without_port_is_invalid) {
  World w;
  PoolElement element = pe(1);
  element.user_transport.port = 0;
  EXPECT_EQ(w.enroll(w.up("10.0.0.1"), element).at(0).code, Cause::invalid_values);
}

TEST(Registrar, PAR_3_8_1_an_unknown_policy_is_rejected_with_cause_3_and_the_policy) {
  World w;
  PoolElement element = pe(1);
  element.policy.type = static_cast<PolicyType>(0xbeef0001);
  element.policy_data = "abcde";
  EXPECT_THAT(w.enroll(w.up("10.0.0.1"), element),
              ElementsAre(ErrorCause{Cause::invalid_values, bare_tlv(0x0008, be32(0xbeef0001) + "abcde")}));
}

TEST(Registrar, PAR_3_9_1_a_handle_is_any_byte_string_but_the_empty_one) {
  World w;
  const auto a = w.up("10.0.0.1");
  for (const std::string& handle :
       {std::string(1, '\0'), std::string("\xff\0x", 3), std::string(4000, 'h')}) {
    EXPECT_THAT(w.enroll(a, pe(1), handle), IsEmpty());
    EXPECT_THAT(w.resolve(a, handle), ElementsAre(1));
  }
  EXPECT_THAT(w.enroll(a, pe(1), ""), ElementsAre(ErrorCause{Cause::invalid_values, hex("0009 0004")}));
}

TEST(Registrar, PAR_3_10_3_life_0_and_below_minus_1_are_invalid) {
  World w;
  const auto a = w.up("10.0.0.1");
  for (const int32_t life : {0, -2, INT32_MIN}) {
    PoolElement element = pe(1);
    element.registration_life = life;
    EXPECT_EQ(w.enroll(a, element).at(0).code, Cause::invalid_values) << life;
  }
  PoolElement element = pe(1);
  element.registration_life = rserpool::kInfiniteLife;
  EXPECT_THAT(w.enroll(a, element), IsEmpty());
}

TEST(Registrar, PAR_3_16_1_an_opaque_transport_comes_back_byte_for_byte) {
  World w;
  const auto a = w.up("10.0.0.1");
  PoolElement element = pe(1);
  element.user_transport = {.type = TransportType::opaque, .opaque = std::string("\0\xffq", 3)};
  EXPECT_THAT(w.enroll(a, element), IsEmpty());
  const auto response =
      w.ask<asap::HandleResolutionResponse>(a, asap::Message(asap::HandleResolution{"EchoPool", false, {}}));
  ASSERT_EQ(response.elements.size(), 1u);
  EXPECT_EQ(response.elements[0].user_transport, element.user_transport);
}

TEST(Registrar, ASAP_2_1_1_a_registration_over_TCP_is_rejected) {
  World w;
  w.registrar.tcp_up(w.now, 1, address("10.0.0.1"));
  std::string bytes;
  ASSERT_TRUE(asap::encode(asap::Registration{"EchoPool", pe(1)}, bytes));
  w.registrar.tcp_message(w.now, 1, bytes);
  w.collect();
  const auto sent = w.all<registrar::TcpSend>();
  ASSERT_EQ(sent.size(), 1u);
  EXPECT_TRUE(World::parsed<asap::RegistrationResponse>(sent[0].bytes).rejected);
  ASSERT_TRUE(asap::encode(asap::Deregistration{"EchoPool", 1}, bytes));
  w.registrar.tcp_message(w.now, 1, bytes);
  w.collect();
  EXPECT_EQ(
      World::parsed<asap::DeregistrationResponse>(w.all<registrar::TcpSend>().at(0).bytes).causes.size(), 1u);
  EXPECT_EQ(w.registrar.element_count(), 0u);
}

TEST(Registrar, cause_4_the_id_of_a_living_PE_of_another_host_is_taken) {
  World w;
  const auto a = w.up("10.0.0.1");
  const auto b = w.up("10.0.0.2");
  EXPECT_THAT(w.enroll(a, pe(1)), IsEmpty());
  EXPECT_THAT(w.enroll(b, pe(1, "10.0.0.2")), ElementsAre(ErrorCause{Cause::non_unique_pe_identifier, ""}));
  EXPECT_EQ(w.registrar.elements("EchoPool", w.now).at(0).association, a);
  EXPECT_THAT(w.enroll(b, pe(1, "10.0.0.2"), "OtherPool"), IsEmpty()) << "ids are unique within a pool";
}

TEST(Registrar, cause_4_not_if_the_associations_share_an_address) {
  World w;
  const auto a = w.up({"10.0.0.1", "10.1.0.1"});
  const auto b = w.up({"10.2.0.1", "10.1.0.1"});
  EXPECT_THAT(w.enroll(a, pe(1)), IsEmpty());
  EXPECT_THAT(w.enroll(b, pe(1, "10.2.0.1")), IsEmpty());
  EXPECT_EQ(w.registrar.elements("EchoPool", w.now).at(0).association, b);
  w.down(a);
  EXPECT_THAT(w.there(), ElementsAre(1)) << "the loss of the old association is none of the PE's";
}

TEST(Registrar, cause_4_not_if_the_old_association_is_gone) {
  World w;
  const auto a = w.up("10.0.0.1");
  EXPECT_THAT(w.enroll(a, pe(1)), IsEmpty());
  w.registrar.channel_lost(w.now);
  w.welcome.epoch = 2;
  w.replay({});
  const auto b = w.up("10.0.0.2");
  EXPECT_THAT(w.enroll(b, pe(1, "10.0.0.2")), IsEmpty());
}

// ---- deregistration

asap::Message deregistration(PeId id, std::string_view handle = "EchoPool") {
  return asap::Deregistration{handle, id};
}

TEST(Registrar, ASAP_3_2_1_deregistration_removes_the_PE_and_with_its_last_the_pool) {
  World w;
  const auto a = w.up("10.0.0.1");
  w.enroll(a, pe(1));
  w.enroll(a, pe(2));
  EXPECT_THAT(w.ask<asap::DeregistrationResponse>(a, deregistration(1)).causes, IsEmpty());
  EXPECT_THAT(w.there(), ElementsAre(2));
  EXPECT_THAT(w.ask<asap::DeregistrationResponse>(a, deregistration(2)).causes, IsEmpty());
  EXPECT_EQ(w.registrar.pool_count(), 0u);
  const auto response =
      w.ask<asap::HandleResolutionResponse>(a, asap::Message(asap::HandleResolution{"EchoPool", false, {}}));
  EXPECT_THAT(response.causes, ElementsAre(ErrorCause{Cause::unknown_pool_handle, ""}));
}

TEST(Registrar, ASAP_3_2_1_a_deregistered_PE_is_drained_not_dead) {
  World w;
  const auto a = w.up("10.0.0.1");
  w.enroll(a, pe(1));
  w.send(a, deregistration(1));
  EXPECT_THAT(w.all<channel::PeDown>(), IsEmpty());
  EXPECT_EQ(w.all<PoolChanged>().size(), 1u);
}

TEST(Registrar, ASAP_3_2_2_an_unknown_PE_is_granted_and_nothing_changes) {
  World w;
  const auto a = w.up("10.0.0.1");
  EXPECT_THAT(w.ask<asap::DeregistrationResponse>(a, deregistration(77)).causes, IsEmpty());
  EXPECT_THAT(w.all<PoolChanged>(), IsEmpty());
  EXPECT_THAT(w.all<JournalPut>(), IsEmpty());
}

TEST(Registrar, ASAP_2_2_2_1_and_3_2_3_nobody_deregisters_another) {
  World w;
  const auto a = w.up("10.0.0.1");
  const auto b = w.up("10.0.0.1");  // another program of the same host
  w.enroll(a, pe(1));
  const auto response = w.ask<asap::DeregistrationResponse>(b, deregistration(1));
  EXPECT_THAT(response.causes, ElementsAre(ErrorCause{Cause::security_considerations, ""}));
  EXPECT_THAT(w.there(), ElementsAre(1));
  EXPECT_EQ(w.registrar.counters().deregistrations_rejected, 1u);
}

TEST(Registrar, ASAP_2_2_2_1_a_PE_whose_association_is_gone_deregisters_from_its_address) {
  World w;
  w.enroll(w.up("10.0.0.1"), pe(1));
  w.registrar.channel_lost(w.now);
  w.welcome.epoch = 2;
  w.replay({});
  EXPECT_EQ(w.ask<asap::DeregistrationResponse>(w.up("10.0.0.2"), deregistration(1)).causes.size(), 1u);
  EXPECT_THAT(w.ask<asap::DeregistrationResponse>(w.up("10.0.0.1"), deregistration(1)).causes, IsEmpty());
  EXPECT_THAT(w.there(), IsEmpty());
}

TEST(Registrar, ASAP_3_2_4_every_deregistration_gets_a_response) {
  World w;
  const auto a = w.up("10.0.0.1");
  w.enroll(a, pe(1));
  for (const PeId id : {1u, 1u, 2u}) {
    const auto response = w.ask<asap::DeregistrationResponse>(a, deregistration(id));
    EXPECT_EQ(response.handle, "EchoPool");
    EXPECT_EQ(response.pe_id, id);
  }
}

TEST(Registrar, ASAP_2_2_3_1_and_3_1_9_the_reject_flag_comes_with_its_cause_and_a_grant_with_neither) {
  World w;
  const auto a = w.up("10.0.0.1");
  const auto granted = w.ask<asap::RegistrationResponse>(a, asap::Registration{"EchoPool", pe(1)});
  EXPECT_FALSE(granted.rejected);
  EXPECT_TRUE(granted.causes.empty());
  PoolElement other = pe(2);
  other.policy.type = PolicyType::random;
  const auto denied = w.ask<asap::RegistrationResponse>(a, asap::Registration{"EchoPool", other});
  EXPECT_TRUE(denied.rejected);
  ASSERT_EQ(denied.causes.size(), 1u);
  EXPECT_EQ(denied.causes[0].code, Cause::inconsistent_pooling_policy);
}

}  // namespace
}  // namespace poolgate::test
