// SPDX-License-Identifier: BSD-3-Clause
// What is encoded parses to what it was, for every message; what is cut never does.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <set>

#include "controlplane/rserpool/wire/asap.h"
#include "controlplane/rserpool/wire/enrp.h"
#include "tests/unit/wire_bytes.h"
#include "tests/unit/wire_samples.h"

namespace poolgate::rserpool {
namespace {

using namespace test;
using testing::IsEmpty;

TEST(WireRoundTrip, every_ASAP_message) {
  std::set<size_t> kinds;
  for (const asap::Message& sample : asap_samples()) {
    kinds.insert(sample.index());
    std::string bytes;
    ASSERT_TRUE(asap::encode(sample, bytes));
    EXPECT_EQ(bytes.size() % 4, 0u);
    const auto parsed = asap::parse(bytes);
    ASSERT_TRUE(parsed.ok()) << to_hex(bytes) << parsed.error().to_string();
    EXPECT_EQ(parsed->message, sample) << to_hex(bytes);
    EXPECT_THAT(parsed->unrecognized, IsEmpty());
  }
  EXPECT_EQ(kinds.size(), std::variant_size_v<asap::Message>);
}

TEST(WireRoundTrip, every_ENRP_message) {
  std::set<size_t> kinds;
  for (const enrp::Message& sample : enrp_samples()) {
    kinds.insert(sample.index());
    std::string bytes;
    ASSERT_TRUE(enrp::encode(sample, bytes));
    EXPECT_EQ(bytes.size() % 4, 0u);
    const auto parsed = enrp::parse(bytes);
    ASSERT_TRUE(parsed.ok()) << to_hex(bytes) << parsed.error().to_string();
    EXPECT_EQ(parsed->message, sample) << to_hex(bytes);
    EXPECT_EQ(enrp::sender_of(parsed->message), 1u);
  }
  EXPECT_EQ(kinds.size(), std::variant_size_v<enrp::Message>);
}

TEST(WireRoundTrip, a_fixed_buffer_takes_the_same_bytes_or_none) {
  for (const asap::Message& sample : asap_samples()) {
    std::string expected;
    ASSERT_TRUE(asap::encode(sample, expected));
    std::vector<uint8_t> buffer(expected.size());
    ASSERT_EQ(asap::encode(sample, buffer), expected.size());
    EXPECT_EQ(std::string(buffer.begin(), buffer.end()), expected);
    EXPECT_EQ(asap::encode(sample, std::span(buffer).first(expected.size() - 1)), 0u);
    EXPECT_EQ(asap::encode(sample, std::span<uint8_t>()), 0u);
  }
}

TEST(WireRoundTrip, no_message_cut_short_is_read_beyond_its_end_or_accepted_in_full) {
  for (const asap::Message& sample : asap_samples()) {
    std::string bytes;
    ASSERT_TRUE(asap::encode(sample, bytes));
    const size_t length = static_cast<uint8_t>(bytes[2]) << 8 | static_cast<uint8_t>(bytes[3]);
    for (size_t n = 0; n < length; ++n) {
      // As long as it says: every later check must find that the rest is missing.
      std::string cut(bytes.data(), n);
      EXPECT_FALSE(asap::parse(cut).ok());
      if (n < 4) continue;
      cut.replace(2, 2, be16(n));
      cut.shrink_to_fit();
      const auto parsed = asap::parse(cut);
      EXPECT_FALSE(parsed.ok() && parsed->message == sample);
    }
  }
}

TEST(WireRoundTrip, parameters_may_come_in_any_order_where_none_is_fixed) {
  const std::string straight = message(0x01, 0, handle_tlv() + pe_tlv(sctp_tlv() + rr_tlv()));
  const std::string reverse = message(0x01, 0, pe_tlv(rr_tlv() + sctp_tlv()) + handle_tlv());
  EXPECT_EQ(asap::parse(straight)->message, asap::parse(reverse)->message);
}

TEST(WireRoundTrip, handles_are_views_into_the_input) {
  const std::string bytes = message(0x05, 0, handle_tlv());
  const auto parsed = asap::parse(bytes);
  ASSERT_TRUE(parsed.ok());
  EXPECT_EQ(std::get<asap::HandleResolution>(parsed->message).handle.data(), bytes.data() + 8);
}

}  // namespace
}  // namespace poolgate::rserpool
