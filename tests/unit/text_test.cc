// SPDX-License-Identifier: BSD-3-Clause
#include "controlplane/rserpool/text.h"

#include <gtest/gtest.h>

namespace poolgate::rserpool {
namespace {

using Words = std::vector<std::string>;

TEST(Text, RFC_5354_3_9_handles_of_any_bytes_are_printed_and_come_back) {
  std::string handle;
  for (int c = 0; c < 256; ++c) handle += static_cast<char>(c);
  for (const char c : printable(handle)) EXPECT_TRUE(c >= ' ' && c <= '~');
  std::string typed;
  for (const char c : printable(handle)) typed += c == '"' ? std::string("\\\"") : std::string(1, c);
  EXPECT_EQ(*split_words("show \"" + typed + "\""), (Words{"show", handle}));
}

TEST(Text, long_handles_are_cut_where_asked) {
  EXPECT_EQ(printable("EchoPool", 4), "Echo...");
  EXPECT_EQ(printable("EchoPool", 8), "EchoPool");
}

TEST(Text, a_line_is_split_at_spaces_outside_of_quotes) {
  EXPECT_EQ(*split_words("  show\tpool \"a  b\"c \\x41\\\\ # not this\r\n"),
            (Words{"show", "pool", "a  bc", "A\\"}));
  EXPECT_EQ(*split_words("a#b"), (Words{"a#b"}));
  EXPECT_EQ(*split_words("\"\""), (Words{""}));
  EXPECT_TRUE(split_words("# all")->empty());
}

TEST(Text, a_line_that_cannot_be_split_says_why) {
  EXPECT_EQ(split_words("show \"a").error().text, "a quote is not closed");
  EXPECT_EQ(split_words("\\x4").error().text, "\\x must be followed by two hexadecimal digits");
}

TEST(Text, numbers_and_transports_read_the_same_everywhere) {
  EXPECT_EQ(hex32(42), "0x0000002a");
  EXPECT_STREQ(transport_name(TransportType::udp_lite), "udp-lite");
  EXPECT_STREQ(transport_name(static_cast<TransportType>(99)), "unknown");
}

TEST(Text, RFC_5356_5_1_loads_are_percentages_of_0xffffffff) {
  EXPECT_EQ(percent(0), "0.00 %");
  EXPECT_EQ(percent(0x60000000), "37.50 %");
  EXPECT_EQ(percent(0x0010624d), "0.02 %");
  EXPECT_EQ(percent(0xffffffff), "100.00 %");
}

}  // namespace
}  // namespace poolgate::rserpool
