// SPDX-License-Identifier: BSD-3-Clause
// What is not understood, not allowed or too much (conformance PAR-3, PAR-4, ASAP-2.2.14-1, 4, 5-1; issue 2
// §4).
#include <gmock/gmock.h>

#include "tests/unit/registrar_world.h"

namespace poolgate::test {
namespace {

using testing::Contains;
using testing::ElementsAre;
using testing::IsEmpty;

std::string resolution(std::string_view parameters) { return message(0x05, 0, parameters); }

TEST(Registrar, PAR_3_1_nothing_is_sent_for_an_unknown_parameter_00) {
  World w;
  w.bytes(w.up("10.0.0.1"), resolution(tlv(0x0f00, "abcd") + handle_tlv()));
  EXPECT_THAT(w.sent(), IsEmpty());
  EXPECT_EQ(w.registrar.counters().bad_messages, 1u);
  EXPECT_EQ(w.all<channel::Acknowledge>().size(), 1u);
}

TEST(Registrar, PAR_3_2_an_unknown_parameter_01_gets_an_error_and_no_response) {
  World w;
  w.bytes(w.up("10.0.0.1"), resolution(tlv(0x4f00, "abcd") + handle_tlv()));
  EXPECT_EQ(w.sent().size(), 1u);
  EXPECT_THAT(w.answer<asap::ErrorMessage>().causes,
              ElementsAre(ErrorCause{Cause::unrecognized_parameter, bare_tlv(0x4f00, "abcd")}));
}

TEST(Registrar, PAR_3_2_also_a_registration_with_it_is_as_if_it_had_not_come) {
  World w;
  w.bytes(w.up("10.0.0.1"), message(0x01, 0, handle_tlv() + pe_tlv() + tlv(0x4f00, "")));
  w.answer<asap::ErrorMessage>();
  EXPECT_EQ(w.registrar.element_count(), 0u);
}

TEST(Registrar, PAR_3_3_an_unknown_parameter_10_is_skipped) {
  World w;
  w.bytes(w.up("10.0.0.1"), resolution(tlv(0x8f00, "abcde") + handle_tlv()));
  EXPECT_EQ(w.sent().size(), 1u);
  w.answer<asap::HandleResolutionResponse>();
}

TEST(Registrar, PAR_3_4_and_3_5_unknown_parameters_11_get_the_response_and_one_error) {
  World w;
  w.bytes(w.up("10.0.0.1"), resolution(tlv(0xcf00, "a") + handle_tlv() + tlv(0xcf01, "")));
  w.answer<asap::HandleResolutionResponse>();
  const auto errors = w.sent<asap::ErrorMessage>();
  ASSERT_EQ(errors.size(), 1u);
  EXPECT_THAT(errors[0].causes, ElementsAre(ErrorCause{Cause::unrecognized_parameter, bare_tlv(0xcf00, "a")},
                                            ErrorCause{Cause::unrecognized_parameter, bare_tlv(0xcf01, "")}));
  EXPECT_EQ(w.registrar.counters().unrecognized_parameters, 2u);
}

TEST(Registrar, PAR_4_1_and_4_5_unknown_messages_00_and_the_reserved_are_discarded) {
  World w;
  const auto a = w.up("10.0.0.1");
  for (const uint8_t type : {0x00, 0x3f, 0x80, 0xc0, 0xff}) {
    w.bytes(a, message(type, 0, "abcd"));
    EXPECT_THAT(w.sent(), IsEmpty()) << int{type};
    EXPECT_THAT(w.all<channel::Close>(), IsEmpty()) << "the association stays up";
  }
}

TEST(Registrar, PAR_4_2_an_unknown_message_01_is_reported_whole) {
  World w;
  const std::string unknown = message(0x7f, 0, "abcd");
  w.bytes(w.up("10.0.0.1"), unknown);
  EXPECT_THAT(w.answer<asap::ErrorMessage>().causes,
              ElementsAre(ErrorCause{Cause::unrecognized_message, unknown}));
}

TEST(Registrar, PAR_4_3_undefined_flags_are_ignored) {
  World w;
  const auto a = w.up("10.0.0.1");
  w.enroll(a, pe(1));
  w.bytes(a, message(0x05, 0xfe, handle_tlv()));
  const auto response = w.answer<asap::HandleResolutionResponse>();
  EXPECT_EQ(response.elements.size(), 1u);
  EXPECT_FALSE(response.updates_accepted);
}

TEST(Registrar, ASAP_2_2_14_1_an_error_gets_no_error) {
  World w;
  const auto a = w.up("10.0.0.1");
  w.bytes(a, message(0x0e, 0, tlv(0x4f00, "")));
  EXPECT_THAT(w.sent(), IsEmpty());
  w.bytes(a, message(0x0e, 0, tlv(0x000c, hex("0001 0004")) + tlv(0xcf00, "")));
  EXPECT_THAT(w.sent(), IsEmpty());
  EXPECT_EQ(w.registrar.counters().errors_received, 1u);
}

TEST(Registrar, ASAP_4_1_messages_that_are_not_for_a_registrar_change_nothing) {
  World w;
  const auto a = w.up("10.0.0.1");
  w.send(a, asap::Message(asap::RegistrationResponse{"EchoPool", 1, false, {}}));
  w.send(a, asap::Message(asap::CookieMessage{"abcd"}));
  w.send(a, asap::Message(asap::EndpointKeepAlive{false, 1, "EchoPool", 1}));
  EXPECT_THAT(w.sent(), IsEmpty());
  EXPECT_EQ(w.registrar.counters().unexpected_messages, 3u);
}

TEST(Registrar, ASAP_5_1_other_payload_protocols_are_ignored) {
  World w;
  const auto a = w.up("10.0.0.1");
  const auto e = w.up({"10.0.0.2"}, 9901, SctpService::enrp);
  for (const uint32_t ppid : {0u, 12u, 11u << 24}) w.bytes(a, resolution(handle_tlv()), ppid);
  w.bytes(e, resolution(handle_tlv()), 11);
  EXPECT_THAT(w.sent(), IsEmpty());
  EXPECT_EQ(w.registrar.counters().bad_ppid, 4u);
  EXPECT_EQ(w.all<channel::Acknowledge>().size(), 1u) << "acknowledged, or the association would stall";
}

TEST(Registrar, bad_input_is_logged_with_the_peers_address_under_its_own_key) {
  World w;
  w.bytes(w.up("10.0.0.77"), "x");
  const auto logs = w.all<registrar::Log>();
  ASSERT_EQ(logs.size(), 1u);
  EXPECT_THAT(logs[0].text, testing::HasSubstr("10.0.0.77"));
  EXPECT_THAT(logs[0].key, testing::HasSubstr("10.0.0.77"));
}

TEST(Registrar, bad_input_of_one_peer_costs_no_other_anything) {
  World w;
  const auto good = w.up("10.0.0.1");
  const auto bad = w.up("10.0.0.66");
  w.enroll(good, pe(1));
  for (size_t n = 0; n < 64; ++n) w.bytes(bad, std::string(n, '\x01'));
  EXPECT_THAT(w.resolve(good), ElementsAre(1));
}

TEST(Registrar, message_rate_beyond_it_registrations_get_cause_6_and_others_one_error_a_second) {
  registrar::Settings settings;
  settings.registrar.peer_message_rate = 10;
  World w(settings);
  const auto a = w.up("10.0.0.1");
  for (PeId id = 1; id <= 10; ++id) EXPECT_THAT(w.enroll(a, pe(id)), IsEmpty());
  EXPECT_THAT(w.enroll(a, pe(11)), ElementsAre(ErrorCause{Cause::lack_of_resources, ""}));
  size_t errors = 0;
  for (int i = 0; i < 20; ++i) {
    w.bytes(a, resolution(handle_tlv()));
    EXPECT_THAT(w.sent<asap::HandleResolutionResponse>(), IsEmpty());
    errors += w.sent<asap::ErrorMessage>().size();
    EXPECT_EQ(w.all<channel::Acknowledge>().size(), 1u);
  }
  EXPECT_EQ(errors, 1u);
  EXPECT_EQ(w.registrar.counters().rate_limited, 21u);
  EXPECT_EQ(w.resolve(w.up("10.0.0.2")).size(), 10u) << "another peer is served";
  w.now += kS;
  EXPECT_EQ(w.resolve(a).size(), 10u) << "and so is this one, a second later";
}

TEST(Registrar, reload_takes_new_limits_and_intervals) {
  World w;
  const auto a = w.up("10.0.0.1");
  w.enroll(a, pe(1));
  w.enroll(a, pe(2));
  registrar::Settings settings;
  settings.registrar.max_elements = 1;
  settings.registrar.max_items = 1;
  w.registrar.reload(w.now, settings);
  w.collect();
  EXPECT_THAT(w.there(), ElementsAre(1, 2)) << "what is there stays";
  EXPECT_EQ(w.enroll(a, pe(3)).size(), 1u);
  EXPECT_EQ(w.resolve(a).size(), 1u);
}

TEST(Registrar, counters_are_listed_by_name) {
  World w;
  w.enroll(w.up("10.0.0.1"), pe(1));
  EXPECT_THAT(w.registrar.counters().list(), Contains(testing::Pair("registrations", 1u)));
  EXPECT_EQ(w.registrar.counters().list().size(), sizeof(registrar::Counters) / sizeof(uint64_t));
}

}  // namespace
}  // namespace poolgate::test
