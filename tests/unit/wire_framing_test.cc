// SPDX-License-Identifier: BSD-3-Clause
// The common format: padding, lengths, unknown messages and parameters (RFC 5354 §3, §4; conformance PAR-3,
// PAR-4).
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "controlplane/rserpool/wire/asap.h"
#include "controlplane/rserpool/wire/code_points.h"
#include "controlplane/rserpool/wire/enrp.h"
#include "tests/unit/wire_bytes.h"
#include "tests/unit/wire_kept.h"

namespace poolgate::rserpool {
namespace {

using namespace test;
using testing::ElementsAre;
using testing::IsEmpty;
using wire::Rule;

std::string resolution(std::string_view parameters) { return message(0x05, 0, parameters); }

asap::HandleResolution accepted(std::string bytes) {
  const auto parsed = parse_asap(bytes);
  EXPECT_TRUE(parsed.ok()) << (parsed.ok() ? "" : parsed.error().to_string());
  return parsed.ok() ? std::get<asap::HandleResolution>(parsed->message) : asap::HandleResolution{};
}

wire::ParseError refused(std::string bytes) {
  auto parsed = parse_asap(std::move(bytes));
  EXPECT_FALSE(parsed.ok());
  return parsed.ok() ? wire::ParseError{} : parsed.error();
}

TEST(Wire, PAR_3_1_unknown_parameter_00_drops_the_message_silently) {
  const auto error = refused(resolution(tlv(0x0f00, "abcd") + handle_tlv()));
  EXPECT_EQ(error.rule, Rule::parameter_unknown);
  EXPECT_EQ(error.parameter_type, 0x0f00);
  EXPECT_EQ(error.offset, 4u);
  EXPECT_FALSE(error.report);
  EXPECT_THAT(wire::causes_of(error), IsEmpty());
}

TEST(Wire, PAR_3_1_silence_covers_parameters_that_came_before_and_wanted_a_report) {
  const auto error = refused(resolution(tlv(0xcf00, "abcd") + tlv(0x0f00, "abcd") + handle_tlv()));
  EXPECT_THAT(wire::causes_of(error), IsEmpty());
}

TEST(Wire, PAR_3_2_unknown_parameter_01_drops_the_message_and_is_reported_whole) {
  const auto error = refused(resolution(handle_tlv() + tlv(0x4f00, "abcde")));
  EXPECT_EQ(error.rule, Rule::parameter_unknown);
  EXPECT_EQ(error.offset, 16u);
  EXPECT_TRUE(error.report);
  EXPECT_THAT(wire::causes_of(error),
              ElementsAre(ErrorCause{Cause::unrecognized_parameter, bare_tlv(0x4f00, "abcde")}));
}

TEST(Wire, PAR_3_3_unknown_parameter_10_is_skipped) {
  // A length that is no multiple of 4: what follows must be found behind the padding.
  const std::string bytes = resolution(tlv(0x8f00, "abcde") + handle_tlv());
  EXPECT_EQ(accepted(bytes).handle, "EchoPool");
  EXPECT_THAT(parse_asap(bytes)->unrecognized, IsEmpty());
}

TEST(Wire, PAR_3_4_unknown_parameter_11_is_skipped_and_reported) {
  const std::string bytes = resolution(tlv(0xcf00, "abcde") + handle_tlv());
  EXPECT_EQ(accepted(bytes).handle, "EchoPool");
  EXPECT_THAT(parse_asap(bytes)->unrecognized, ElementsAre(bare_tlv(0xcf00, "abcde")));
}

TEST(Wire, PAR_3_4_the_reserved_type_65535_is_an_unknown_parameter_11) {
  EXPECT_THAT(parse_asap(resolution(handle_tlv() + tlv(0xffff, "")))->unrecognized,
              ElementsAre(bare_tlv(0xffff, "")));
}

TEST(Wire, PAR_3_5_several_unknown_parameters_get_a_cause_each) {
  const auto parsed = parse_asap(resolution(tlv(0xcf00, "a") + handle_tlv() + tlv(0xcf01, "")));
  ASSERT_TRUE(parsed.ok());
  EXPECT_THAT(wire::causes_of(parsed->unrecognized),
              ElementsAre(ErrorCause{Cause::unrecognized_parameter, bare_tlv(0xcf00, "a")},
                          ErrorCause{Cause::unrecognized_parameter, bare_tlv(0xcf01, "")}));
  const auto error = refused(resolution(tlv(0xcf00, "a") + tlv(0x4f01, "") + handle_tlv()));
  EXPECT_THAT(wire::causes_of(error),
              ElementsAre(ErrorCause{Cause::unrecognized_parameter, bare_tlv(0xcf00, "a")},
                          ErrorCause{Cause::unrecognized_parameter, bare_tlv(0x4f01, "")}));
}

TEST(Wire, PAR_3_5_reports_of_one_message_are_bounded) {
  std::string many;
  for (int i = 0; i < 10'000; ++i) many += tlv(0xcf00, "");
  EXPECT_EQ(parse_asap(resolution(many + handle_tlv()))->unrecognized.size(), wire::kMaxUnrecognized);
}

TEST(Wire, PAR_3_unknown_parameters_within_a_pool_element_follow_the_same_bits) {
  const auto registration = [](uint16_t type) {
    return message(0x01, 0, handle_tlv() + pe_tlv(sctp_tlv() + tlv(type, "abcde") + rr_tlv()));
  };
  EXPECT_FALSE(refused(registration(0x0f00)).report);
  EXPECT_THAT(wire::causes_of(refused(registration(0x4f00))),
              ElementsAre(ErrorCause{Cause::unrecognized_parameter, bare_tlv(0x4f00, "abcde")}));
  EXPECT_THAT(parse_asap(registration(0x8f00))->unrecognized, IsEmpty());
  EXPECT_THAT(parse_asap(registration(0xcf00))->unrecognized, ElementsAre(bare_tlv(0xcf00, "abcde")));
}

TEST(Wire, PAR_3_unknown_parameters_within_a_transport_follow_the_same_bits) {
  const auto registration = [](uint16_t type) {
    const std::string transport = tlv(0x0004, be16(7) + be16(0) + tlv(type, "x") + address_tlv());
    return message(0x01, 0, handle_tlv() + pe_tlv(transport + rr_tlv()));
  };
  EXPECT_FALSE(refused(registration(0x0f00)).report);
  EXPECT_TRUE(refused(registration(0x4f00)).report);
  EXPECT_TRUE(parse_asap(registration(0x8f00)).ok());
  EXPECT_THAT(parse_asap(registration(0xcf00))->unrecognized, ElementsAre(bare_tlv(0xcf00, "x")));
}

TEST(Wire, PAR_3_a_known_type_with_a_top_bit_set_is_another_type) {
  EXPECT_EQ(accepted(resolution(handle_tlv() + tlv(0x8009, "Other"))).handle, "EchoPool");
}

TEST(Wire, PAR_3_6_padding_is_zero_and_not_counted) {
  for (size_t n = 1; n <= 9; ++n) {
    const std::string handle(n, 'x');
    std::string out;
    ASSERT_TRUE(asap::encode(asap::Deregistration{handle, 7}, out));
    EXPECT_EQ(to_hex(out), to_hex(message(0x02, 0, tlv(0x0009, handle) + tlv(0x000e, be32(7))))) << n;
  }
}

TEST(Wire, PAR_3_7_never_more_than_3_bytes_of_padding) {
  for (size_t n = 1; n <= 9; ++n) {
    const std::string handle(n, 'x');
    std::string out;
    ASSERT_TRUE(asap::encode(asap::HandleResolution{handle, false, {}}, out));
    const size_t length = static_cast<uint8_t>(out[2]) << 8 | static_cast<uint8_t>(out[3]);
    EXPECT_EQ(length, 8 + n) << "the final padding is not counted";
    EXPECT_EQ(out.size() % 4, 0u);
    EXPECT_LE(out.size() - length, 3u);
    EXPECT_EQ(out.substr(length), std::string(out.size() - length, '\0'));
  }
}

TEST(Wire, PAR_3_8_the_content_of_padding_is_ignored) {
  const std::string handle = padded(bare_tlv(0x0009, "abc"), '\xff');
  EXPECT_EQ(accepted(resolution(handle + tlv(0x8f00, ""))).handle, "abc");
  EXPECT_EQ(accepted(resolution(handle)).handle, "abc");
}

TEST(Wire, PAR_3_a_parameter_shorter_than_its_header_or_longer_than_the_message_is_named) {
  for (const char* bad : {"0009 0003", "0009 0000", "0009 000d 45", "00"}) {
    const auto error = refused(resolution(tlv(0x8f00, "abcd") + hex(bad)));
    EXPECT_EQ(error.rule, Rule::parameter_length) << bad;
    EXPECT_EQ(error.offset, 12u) << bad;
    EXPECT_FALSE(error.report) << "there is no whole parameter to quote";
  }
}

TEST(Wire, PAR_3_a_bad_length_within_a_parameter_quotes_the_parameter_that_holds_it) {
  const std::string transport = tlv(0x0004, be16(7) + be16(0) + hex("0001 0009 0a000001"));
  const auto error = refused(message(0x01, 0, handle_tlv() + pe_tlv(transport + rr_tlv())));
  EXPECT_EQ(error.rule, Rule::parameter_length);
  EXPECT_EQ(error.parameter_type, 0x0001);
  EXPECT_EQ(error.offset, 4u + 12 + 16 + 8);
  EXPECT_THAT(wire::causes_of(error), ElementsAre(ErrorCause{Cause::invalid_values, transport}));
}

TEST(Wire, PAR_3_a_second_or_misplaced_known_parameter_is_an_invalid_value) {
  const auto twice = refused(resolution(handle_tlv("a") + handle_tlv("b")));
  EXPECT_EQ(twice.rule, Rule::parameter_unexpected);
  EXPECT_THAT(wire::causes_of(twice), ElementsAre(ErrorCause{Cause::invalid_values, bare_tlv(0x0009, "b")}));
  const auto misplaced = refused(resolution(handle_tlv("a") + pe_tlv()));
  EXPECT_EQ(misplaced.rule, Rule::parameter_unexpected);
  EXPECT_EQ(misplaced.parameter_type, 0x000a);
}

TEST(Wire, PAR_4_1_unknown_message_00_is_discarded_silently) {
  const auto error = refused(message(0x3f, 0, "abcd"));
  EXPECT_EQ(error.rule, Rule::message_type_unknown);
  EXPECT_FALSE(error.report);
}

TEST(Wire, PAR_4_2_unknown_message_01_is_reported_whole) {
  const std::string bytes = message(0x7f, 0x12, "abcd");
  const auto error = refused(bytes);
  EXPECT_THAT(wire::causes_of(error), ElementsAre(ErrorCause{Cause::unrecognized_message, bytes}));
  auto enrp_error = parse_enrp(bytes + be32(0));
  EXPECT_FALSE(enrp_error.ok()) << "4 bytes too many";
  const std::string enrp_bytes = message(0x41, 0, be32(0xaabbccdd) + be32(0));
  const auto enrp_refused = parse_enrp(enrp_bytes);
  ASSERT_FALSE(enrp_refused.ok());
  EXPECT_EQ(enrp_refused.error().sender, 0xaabbccddu);
  EXPECT_THAT(wire::causes_of(enrp_refused.error()),
              ElementsAre(ErrorCause{Cause::unrecognized_message, enrp_bytes}));
}

TEST(Wire, PAR_4_2_the_report_of_the_longest_message_is_cut_to_what_fits) {
  const std::string longest = message(0x7f, 0, std::string(65531, 'x'));
  const std::string report = asap::encode_error(wire::causes_of(refused(longest)));
  EXPECT_LE(report.size(), 65536u);
  const auto parsed = parse_asap(report);
  ASSERT_TRUE(parsed.ok());
  const auto& cause = std::get<asap::ErrorMessage>(parsed->message).causes.at(0);
  EXPECT_EQ(cause.code, Cause::unrecognized_message);
  EXPECT_EQ(cause.info, longest.substr(0, 65535 - 12));
}

TEST(Wire, PAR_4_3_undefined_flags_are_ignored_and_sent_as_zero) {
  auto bytes = resolution(handle_tlv());
  bytes[1] = '\xfe';
  EXPECT_EQ(accepted(bytes), (asap::HandleResolution{"EchoPool", false, {}}));
  bytes[1] = '\xff';
  EXPECT_EQ(accepted(bytes), (asap::HandleResolution{"EchoPool", true, {}}));
  std::string out;
  ASSERT_TRUE(asap::encode(asap::HandleResolution{"EchoPool", true, {}}, out));
  EXPECT_EQ(out[1], 1);
}

TEST(Wire, PAR_4_4_the_final_padding_may_be_counted_or_not_or_be_missing) {
  const std::string body = bare_tlv(0x0009, "abc");
  EXPECT_EQ(accepted(message(0x05, 0, body) + std::string(1, '\0')).handle, "abc") << "RFC 5354";
  EXPECT_EQ(accepted(message(0x05, 0, padded(body))).handle, "abc") << "RSPLIB";
  EXPECT_EQ(accepted(message(0x05, 0, body)).handle, "abc") << "unpadded";
  EXPECT_EQ(accepted(message(0x05, 0, body) + "\xff").handle, "abc");
}

TEST(Wire, PAR_4_4_nested_parameters_may_count_the_last_padding_or_not) {
  const auto with = [](std::string_view element) {
    const auto parsed = parse_asap(message(0x01, 0, handle_tlv() + std::string(element)));
    EXPECT_TRUE(parsed.ok());
    return parsed.ok() ? std::get<asap::Registration>(parsed->message).element.user_transport.opaque : "";
  };
  const std::string policy = rr_tlv();
  const std::string opaque = bare_tlv(0x0010, "abcde");
  EXPECT_EQ(with(tlv(0x000a, pe_fields() + policy + opaque)), "abcde") << "RFC 5354";
  EXPECT_EQ(with(tlv(0x000a, pe_fields() + policy + padded(opaque))), "abcde") << "RSPLIB";
}

TEST(Wire, PAR_4_4_more_than_padding_behind_a_message_is_refused) {
  const auto error = refused(resolution(handle_tlv()) + std::string(4, '\0'));
  EXPECT_EQ(error.rule, Rule::message_trailing);
  EXPECT_EQ(error.offset, 16u);
  EXPECT_FALSE(error.report);
}

TEST(Wire, PAR_4_4_a_message_shorter_than_it_says_is_refused) {
  for (const char* bad : {"", "05", "05 00 00", "05 00 0003", "05 00 0000", "05 00 0008"}) {
    const auto error = refused(hex(bad));
    EXPECT_EQ(error.rule, Rule::message_truncated) << bad;
    EXPECT_FALSE(error.report) << bad;
  }
}

TEST(Wire, PAR_4_5_the_reserved_type_255_and_reserved_top_bits_are_discarded) {
  for (const int type : {0x00, 0x0f, 0x80, 0xbf, 0xc0, 0xff}) {
    const auto error = refused(message(static_cast<uint8_t>(type), 0, ""));
    EXPECT_EQ(error.rule, Rule::message_type_unknown) << type;
    EXPECT_FALSE(error.report) << type;
  }
}

TEST(Wire, an_error_says_what_and_where) {
  EXPECT_EQ(
      refused(resolution(tlv(0x0f00, ""))).to_string(),
      "message type 0x05, parameter 0x0f00 (unknown parameter) at offset 4: unknown, and its type forbids to "
      "skip it");
  EXPECT_EQ(refused(hex("05 00 0008")).to_string(),
            "message type 0x05, offset 0: shorter than its header or its length field");
}

TEST(Wire, over_TCP_a_message_ends_behind_its_padding) {
  EXPECT_EQ(asap::stream_message_size("\x05"), 0u);
  EXPECT_EQ(asap::stream_message_size(hex("05 00 000b")), 12u);
  EXPECT_EQ(asap::stream_message_size(hex("05 00 000c")), 12u);
  EXPECT_EQ(asap::stream_message_size(hex("05 00 ffff 00")), 65536u);
  EXPECT_EQ(asap::stream_message_size(hex("05 00 0000")), 4u);
}

}  // namespace
}  // namespace poolgate::rserpool
