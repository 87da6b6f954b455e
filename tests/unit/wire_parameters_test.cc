// SPDX-License-Identifier: BSD-3-Clause
// What each parameter may say (RFC 5354 §3.1-3.16; conformance PAR-3.x).
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "controlplane/rserpool/wire/asap.h"
#include "controlplane/rserpool/wire/enrp.h"
#include "controlplane/rserpool/wire/parameters.h"
#include "tests/unit/wire_bytes.h"
#include "tests/unit/wire_kept.h"

namespace poolgate::rserpool {
namespace {

using namespace test;
using testing::ElementsAre;
using wire::Rule;

std::string registration(std::string_view element_parameters) {
  return message(0x01, 0, handle_tlv() + pe_tlv(element_parameters));
}

PoolElement accepted(std::string bytes) {
  const auto parsed = parse_asap(bytes);
  EXPECT_TRUE(parsed.ok()) << (parsed.ok() ? "" : parsed.error().to_string());
  return parsed.ok() ? std::get<asap::Registration>(parsed->message).element : PoolElement{};
}

// Refused with cause 3 and this parameter, and still known whose registration it was.
void expect_invalid(const std::string& bytes, std::string_view offending, Rule rule) {
  auto parsed = parse_asap(bytes);
  ASSERT_FALSE(parsed.ok());
  EXPECT_EQ(parsed.error().rule, rule) << parsed.error().to_string();
  EXPECT_THAT(wire::causes_of(parsed.error()),
              ElementsAre(ErrorCause{Cause::invalid_values, std::string(offending)}));
  EXPECT_EQ(parsed.error().handle, "EchoPool");
  EXPECT_EQ(parsed.error().pe_id, 0x11223344u);
}

TEST(Wire, PAR_3_3_1_reserved_fields_of_data_only_transports_are_ignored) {
  for (const uint16_t type : {0x0005, 0x0006, 0x0007}) {
    const auto element = accepted(registration(tlv(type, be16(80) + be16(1) + address_tlv()) + rr_tlv()));
    EXPECT_EQ(static_cast<uint16_t>(element.user_transport.type), type);
    EXPECT_EQ(element.user_transport.port, 80);
    EXPECT_EQ(element.user_transport.use, TransportUse::data_only);
  }
}

TEST(Wire, PAR_3_3_DCCP_has_a_service_code) {
  const std::string dccp = tlv(0x0003, be16(80) + be16(0xffff) + be32(0x46545043) + address_tlv());
  const auto element = accepted(registration(dccp + rr_tlv()));
  EXPECT_EQ(element.user_transport.type, TransportType::dccp);
  EXPECT_EQ(element.user_transport.dccp_service_code, 0x46545043u);
  const std::string cut = tlv(0x0003, be16(80) + be16(0));
  expect_invalid(registration(cut + rr_tlv()), cut, Rule::parameter_length);
}

TEST(Wire, PAR_3_4_1_transport_use_is_0_or_1) {
  EXPECT_EQ(accepted(registration(sctp_tlv(0) + rr_tlv())).user_transport.use, TransportUse::data_only);
  EXPECT_EQ(accepted(registration(sctp_tlv(1) + rr_tlv())).user_transport.use,
            TransportUse::data_plus_control);
  expect_invalid(registration(sctp_tlv(2) + rr_tlv()), sctp_tlv(2), Rule::parameter_value);
  expect_invalid(registration(sctp_tlv(7) + rr_tlv()), sctp_tlv(7), Rule::parameter_value);
}

TEST(Wire, PAR_3_4_2_an_SCTP_transport_has_an_address) {
  const std::string none = tlv(0x0004, be16(7) + be16(0));
  expect_invalid(registration(none + rr_tlv()), none, Rule::parameter_value);
}

TEST(Wire, PAR_3_4_2_an_SCTP_transport_mixes_IPv4_and_IPv6_up_to_64_addresses) {
  const std::string v6 = hex("0002 0014 20010db8 00000000 00000000 00000001");
  const auto mixed = accepted(registration(tlv(0x0004, be16(7) + be16(0) + address_tlv() + v6) + rr_tlv()));
  EXPECT_THAT(mixed.user_transport.addresses,
              ElementsAre(*IpAddress::parse("10.0.0.1"), *IpAddress::parse("2001:db8::1")));
  std::string many;
  for (int i = 0; i < 64; ++i) many += address_tlv();
  const std::string most = tlv(0x0004, be16(7) + be16(0) + many);
  EXPECT_EQ(accepted(registration(most + rr_tlv())).user_transport.addresses.size(), 64u);
  const std::string too_many = tlv(0x0004, be16(7) + be16(0) + many + address_tlv());
  expect_invalid(registration(too_many + rr_tlv()), too_many, Rule::parameter_value);
}

TEST(Wire, PAR_3_1_an_address_of_another_length_is_invalid) {
  for (const char* bad :
       {"0001 0004", "0001 0014 20010db8 00000000 00000000 00000001", "0002 0008 0a000001"}) {
    const std::string transport = tlv(0x0005, be16(7) + be16(0) + hex(bad));
    expect_invalid(registration(transport + rr_tlv()), hex(bad), Rule::parameter_value);
  }
}

TEST(Wire, PAR_3_5_1_the_other_transports_have_exactly_one_address) {
  for (const uint16_t type : {0x0005, 0x0006, 0x0007}) {
    const std::string two = tlv(type, be16(80) + be16(0) + address_tlv() + address_tlv());
    expect_invalid(registration(two + rr_tlv()), two, Rule::parameter_value);
    const std::string none = tlv(type, be16(80) + be16(0));
    expect_invalid(registration(none + rr_tlv()), none, Rule::parameter_value);
  }
}

TEST(Wire, PAR_3_8_1_an_unknown_private_policy_is_carried_as_it_is) {
  const std::string unknown = tlv(0x0008, be32(0xbeef0001) + "abcde");
  const auto element = accepted(registration(sctp_tlv() + unknown));
  EXPECT_EQ(static_cast<uint32_t>(element.policy.type), 0xbeef0001u);
  EXPECT_EQ(element.policy_data, "abcde");
  EXPECT_FALSE(wire::is_known_policy(element.policy.type));
  std::string out;
  ASSERT_TRUE(asap::encode(asap::Registration{"EchoPool", element}, out));
  EXPECT_EQ(std::get<asap::Registration>(parse_asap(out)->message).element, element);
}

TEST(Wire, PAR_3_8_1_policy_types_0_and_adaptive_0_are_invalid) {
  for (const uint32_t type : {0u, 0x40000000u}) {
    const std::string policy = tlv(0x0008, be32(type));
    expect_invalid(registration(sctp_tlv() + policy), policy, Rule::parameter_value);
  }
}

TEST(Wire, PAR_3_8_1_a_known_policy_of_another_length_is_invalid) {
  for (const char* bad :
       {"0008 000c 00000001 00000000", "0008 0008 00000002", "0008 000c 40000002 00000001"}) {
    expect_invalid(registration(sctp_tlv() + hex(bad)), hex(bad), Rule::parameter_value);
  }
  expect_invalid(registration(sctp_tlv() + hex("0008 0004")), hex("0008 0004"), Rule::parameter_length);
}

TEST(Wire, PAR_3_8_every_policy_has_its_fields_in_order) {
  const struct {
    uint32_t type;
    PolicySettings settings;
    size_t fields;
  } kPolicies[] = {
      {0x00000001, {}, 0},
      {0x00000002, {.weight = 1}, 1},
      {0x00000003, {}, 0},
      {0x00000004, {.weight = 1}, 1},
      {0x00000005, {.weight = 1}, 1},
      {0x40000001, {.load = 1}, 1},
      {0x40000002, {.load = 1, .load_degradation = 2}, 2},
      {0x40000003, {.load = 1, .load_degradation = 2}, 2},
      {0x40000004, {.load = 1}, 1},
      {0xb0001001, {.load = 1, .load_degradation = 2}, 2},
      {0xb0001002, {.load = 1, .load_degradation = 2}, 2},
      {0xb0001003, {.load = 1, .load_degradation = 2}, 2},
      {0xb0001004, {.load = 1, .load_degradation = 2}, 2},
      {0xb0002001, {.weight = 1, .delay_factor = 2, .distance = 3}, 3},
      {0xb0002002, {.load = 1, .delay_factor = 2, .distance = 3}, 3},
      {0xb0002003, {.load = 1, .load_degradation = 2, .delay_factor = 3, .distance = 4}, 4},
  };
  for (const auto& policy : kPolicies) {
    std::string fields = be32(policy.type);
    for (uint32_t i = 1; i <= policy.fields; ++i) fields += be32(i);
    PolicySettings expected = policy.settings;
    expected.type = static_cast<PolicyType>(policy.type);
    EXPECT_EQ(accepted(registration(sctp_tlv() + tlv(0x0008, fields))).policy, expected) << policy.type;
    EXPECT_EQ(wire::policy_parameter(expected), tlv(0x0008, fields)) << policy.type;
    EXPECT_TRUE(wire::is_known_policy(expected.type));
  }
}

TEST(Wire, PAR_3_9_1_a_pool_handle_holds_any_bytes) {
  for (const std::string& handle : {std::string(1, '\0'), std::string("a\0b", 3), std::string("\xff\xff"),
                                    std::string(4000, 'x'), std::string(65000, '\xfe')}) {
    std::string out;
    ASSERT_TRUE(asap::encode(asap::HandleResolution{handle, false, {}}, out));
    EXPECT_EQ(std::get<asap::HandleResolution>(parse_asap(out)->message).handle, handle);
  }
}

TEST(Wire, PAR_3_9_1_a_handle_that_fits_no_message_is_not_encoded) {
  std::string out = "before";
  EXPECT_TRUE(asap::encode(asap::HandleResolution{std::string(65527, 'x'), false, {}}, out));
  EXPECT_EQ(out.size(), 65536u);
  EXPECT_FALSE(asap::encode(asap::HandleResolution{std::string(65528, 'x'), false, {}}, out));
  EXPECT_EQ(out, "");
}

TEST(Wire, PAR_3_10_1_a_pool_element_has_exactly_one_user_transport) {
  expect_invalid(registration(tcp_tlv() + tcp_tlv() + rr_tlv()), tcp_tlv(), Rule::parameter_unexpected);
  expect_invalid(registration(rr_tlv()), pe_tlv(rr_tlv()), Rule::parameter_missing);
  expect_invalid(registration(sctp_tlv() + sctp_tlv() + sctp_tlv(1) + rr_tlv()), sctp_tlv(1),
                 Rule::parameter_unexpected);
}

TEST(Wire, PAR_3_10_1_a_pool_element_has_exactly_one_policy) {
  expect_invalid(registration(tcp_tlv()), pe_tlv(tcp_tlv()), Rule::parameter_missing);
  expect_invalid(registration(tcp_tlv() + rr_tlv() + rr_tlv()), rr_tlv(), Rule::parameter_unexpected);
}

TEST(Wire, PAR_3_10_1_a_registration_cut_within_its_element_is_invalid) {
  const std::string cut = tlv(0x000a, be32(0x11223344) + be32(0));
  expect_invalid(message(0x01, 0, handle_tlv() + cut), cut, Rule::parameter_length);
}

TEST(Wire, PAR_3_10_2_the_ASAP_transport_is_SCTP_and_comes_second) {
  const auto element = accepted(registration(tcp_tlv() + rr_tlv() + sctp_tlv()));
  EXPECT_EQ(element.user_transport.type, TransportType::tcp);
  ASSERT_TRUE(element.has_asap_transport);
  EXPECT_EQ(element.asap_transport.type, TransportType::sctp);
  EXPECT_EQ(element.asap_transport.port, 7);
  const auto update = parse_enrp(message(
      0x04, 0, be32(1) + be32(0) + be32(0) + handle_tlv() + pe_tlv(sctp_tlv() + rr_tlv() + tcp_tlv())));
  ASSERT_FALSE(update.ok());
  EXPECT_THAT(wire::causes_of(update.error()), ElementsAre(ErrorCause{Cause::invalid_values, tcp_tlv()}));
}

TEST(Wire, PAR_3_10_3_the_registration_life_is_signed) {
  const auto life = [](std::string_view value) {
    return accepted(
               message(0x01, 0,
                       handle_tlv() + tlv(0x000a, be32(1) + be32(0) + hex(value) + sctp_tlv() + rr_tlv())))
        .registration_life;
  };
  EXPECT_EQ(life("ffffffff"), kInfiniteLife);
  EXPECT_EQ(life("00000005"), 5);
  EXPECT_EQ(life("7fffffff"), INT32_MAX);
  EXPECT_EQ(life("80000000"), INT32_MIN);
}

TEST(Wire, PAR_3_10_4_home_is_carried) {
  const std::string element = tlv(0x000a, be32(1) + be32(0xcafe) + be32(5) + sctp_tlv() + rr_tlv());
  EXPECT_EQ(accepted(message(0x01, 0, handle_tlv() + element)).home, 0xcafeu);
}

TEST(Wire, PAR_3_11_1_the_transport_of_server_information_is_SCTP) {
  const auto presence = [](std::string_view information) {
    return message(0x01, 0, be32(1) + be32(0) + hex("000f 0006 ffff 0000") + std::string(information));
  };
  const std::string tcp = tlv(0x000b, be32(1) + tcp_tlv());
  auto wrong = parse_enrp(presence(tcp));
  ASSERT_FALSE(wrong.ok());
  EXPECT_THAT(wire::causes_of(wrong.error()), ElementsAre(ErrorCause{Cause::invalid_values, tcp_tlv()}));
  auto missing = parse_enrp(presence(tlv(0x000b, be32(1))));
  ASSERT_FALSE(missing.ok());
  EXPECT_EQ(missing.error().rule, Rule::parameter_missing);
  EXPECT_TRUE(parse_enrp(presence(tlv(0x000b, be32(1) + sctp_tlv()))).ok());
}

TEST(Wire, PAR_3_12_1_the_length_of_a_cause_excludes_its_padding) {
  std::string out;
  ASSERT_TRUE(asap::encode(
      asap::ErrorMessage{{{Cause::unrecognized_parameter, hex("cf00 0006 abcd")}, {Cause::unspecified, ""}}},
      out));
  EXPECT_EQ(to_hex(out), to_hex(hex("0e 00 0018 | 000c 0014 | 0001 000a cf00 0006 abcd 0000 | 0000 0004")));
  ASSERT_TRUE(
      asap::encode(asap::ErrorMessage{{{Cause::unrecognized_parameter, hex("cf00 0006 abcd")}}}, out));
  EXPECT_EQ(to_hex(out), to_hex(hex("0e 00 0012 | 000c 000e | 0001 000a cf00 0006 abcd 0000")));
}

// Found by the fuzzer: the encoder left the parameter out, and the message could not be read back.
TEST(Wire, PAR_3_12_an_error_without_causes_is_read_and_written_with_its_parameter) {
  const std::string bytes = message(0x0e, 0, tlv(0x000c, ""));
  const auto parsed = parse_asap(bytes);
  ASSERT_TRUE(parsed.ok());
  std::string out;
  ASSERT_TRUE(asap::encode(parsed->message, out));
  EXPECT_EQ(to_hex(out), to_hex(bytes));
}

TEST(Wire, PAR_3_12_any_cause_is_kept) {
  const auto parsed = parse_asap(message(0x0e, 0, tlv(0x000c, hex("f004 0004 0009 0004 4321 0006 abcd"))));
  ASSERT_TRUE(parsed.ok());
  EXPECT_THAT(
      std::get<asap::ErrorMessage>(parsed->message).causes,
      ElementsAre(ErrorCause{static_cast<Cause>(0xf004), ""}, ErrorCause{Cause::unknown_pool_handle, ""},
                  ErrorCause{static_cast<Cause>(0x4321), "\xab\xcd"}));
}

TEST(Wire, PAR_3_15_the_checksum_may_count_its_padding) {
  for (const char* checksum : {"000f 0006 8490 0000", "000f 0008 8490 0000"}) {
    const auto parsed = parse_enrp(message(0x01, 0, be32(1) + be32(0) + hex(checksum)));
    ASSERT_TRUE(parsed.ok()) << checksum;
    EXPECT_EQ(std::get<enrp::Presence>(parsed->message).checksum, 0x8490);
  }
  EXPECT_FALSE(parse_enrp(message(0x01, 0, be32(1) + be32(0) + hex("000f 0005 8400 0000"))).ok());
}

TEST(Wire, PAR_3_16_1_an_opaque_transport_is_carried_byte_for_byte) {
  const std::string opaque = tlv(0x0010, std::string("\0\x01\xff\x80\0", 5));
  const auto element = accepted(registration(opaque + rr_tlv()));
  EXPECT_EQ(element.user_transport.type, TransportType::opaque);
  EXPECT_EQ(element.user_transport.opaque, std::string("\0\x01\xff\x80\0", 5));
  EXPECT_EQ(padded(wire::transport_parameter(element.user_transport)), opaque);
}

TEST(Wire, ASAP_2_2_1_1_a_registration_without_handle_or_element_is_refused_by_name) {
  auto no_element = parse_asap(message(0x01, 0, handle_tlv()));
  ASSERT_FALSE(no_element.ok());
  EXPECT_EQ(no_element.error().rule, Rule::parameter_missing);
  EXPECT_EQ(no_element.error().parameter_type, 0x000a);
  EXPECT_EQ(no_element.error().handle, "EchoPool");
  EXPECT_EQ(no_element.error().pe_id, std::nullopt);
  auto no_handle = parse_asap(message(0x01, 0, pe_tlv()));
  ASSERT_FALSE(no_handle.ok());
  EXPECT_EQ(no_handle.error().parameter_type, 0x0009);
  EXPECT_EQ(no_handle.error().pe_id, 0x11223344u);
}

TEST(Wire, ENRP_2_4_1_an_update_action_is_0_or_1_and_reserved_is_ignored) {
  const auto update = [](std::string_view action) {
    return parse_enrp(message(0x04, 0, be32(1) + be32(0) + hex(action) + handle_tlv() + pe_tlv()));
  };
  EXPECT_EQ(std::get<enrp::HandleUpdate>(update("0000 ffff")->message).action, enrp::UpdateAction::add_pe);
  EXPECT_EQ(std::get<enrp::HandleUpdate>(update("0001 0000")->message).action, enrp::UpdateAction::del_pe);
  const auto other = update("0002 0000");
  ASSERT_FALSE(other.ok());
  EXPECT_EQ(other.error().rule, Rule::field_value);
  EXPECT_FALSE(other.error().report);
}

TEST(Wire, ENRP_2_3_3_a_table_entry_starts_with_its_handle) {
  const auto response = [](std::string_view body) {
    return parse_enrp(message(0x03, 2, be32(1) + be32(2) + std::string(body)));
  };
  const auto table = response(handle_tlv("a") + pe_tlv() + pe_tlv() + handle_tlv("b") + pe_tlv());
  ASSERT_TRUE(table.ok());
  const auto& parsed = std::get<enrp::HandleTableResponse>(table->message);
  EXPECT_TRUE(parsed.more);
  ASSERT_EQ(parsed.entries.size(), 2u);
  EXPECT_EQ(parsed.entries[0].handle, "a");
  EXPECT_EQ(parsed.entries[0].elements.size(), 2u);
  EXPECT_EQ(parsed.entries[1].elements.size(), 1u);
  EXPECT_FALSE(response(pe_tlv() + handle_tlv("a")).ok());
}

TEST(Wire, fixed_fields_cut_short_are_named) {
  auto keep_alive = parse_asap(hex("07 00 0006 1234"));
  ASSERT_FALSE(keep_alive.ok());
  EXPECT_EQ(keep_alive.error().rule, Rule::fixed_part_truncated);
  EXPECT_FALSE(parse_enrp(hex("01 00 0008 00000001")).ok());
  EXPECT_FALSE(parse_enrp(hex("07 00 000c 00000001 00000002")).ok());
}

TEST(Wire, ASAP_2_2_10_1_a_server_announces_SCTP_and_TCP_transports_only) {
  const auto announce = [](std::string_view transports) {
    return message(0x0a, 0, be32(0xcc) + std::string(transports));
  };
  for (const std::string& good : {std::string(), sctp_tlv(), tcp_tlv(), tcp_tlv() + sctp_tlv()})
    EXPECT_TRUE(parse_asap(announce(good)).ok()) << to_hex(good);
  const std::string udp = tlv(0x0006, be16(3863) + be16(0) + address_tlv());
  auto wrong = parse_asap(announce(sctp_tlv() + udp));
  ASSERT_FALSE(wrong.ok());
  EXPECT_THAT(wire::causes_of(wrong.error()), ElementsAre(ErrorCause{Cause::invalid_values, udp}));
}

}  // namespace
}  // namespace poolgate::rserpool
