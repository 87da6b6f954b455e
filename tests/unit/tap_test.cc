// SPDX-License-Identifier: BSD-3-Clause
#include "drivers/tap.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <poll.h>

#include "tests/unit/private_network.h"

namespace poolgate::drivers {
namespace {

using rserpool::IpAddress;
using test::output_of;
using ::testing::HasSubstr;
using ::testing::Not;

IpAddress ip(const char* text) { return *IpAddress::parse(text); }
constexpr MacAddress kMac = {2, 0, 0, 0, 0, 1};

TEST(Tap, has_the_ports_mac_mtu_and_addresses) {
  auto tap = Tap::open("pg-t0", kMac, 1400);
  ASSERT_TRUE(tap.ok()) << tap.error().text;
  ASSERT_TRUE(tap->add_address(ip("192.0.2.1"), 24).ok());
  ASSERT_TRUE(tap->add_address(ip("192.0.2.1"), 24).ok());  // again: no error
  ASSERT_TRUE(tap->add_address(ip("2001:db8::1"), 64).ok());
  const std::string shown = output_of("ip addr show pg-t0");
  EXPECT_THAT(shown, HasSubstr("02:00:00:00:00:01"));
  EXPECT_THAT(shown, HasSubstr("mtu 1400"));
  EXPECT_THAT(shown, HasSubstr("192.0.2.1/24"));
  EXPECT_THAT(shown, HasSubstr("2001:db8::1/64"));
  EXPECT_THAT(shown, Not(HasSubstr("dadfailed")));
  ASSERT_TRUE(tap->remove_address(ip("192.0.2.1"), 24).ok());
  EXPECT_THAT(output_of("ip addr show pg-t0"), Not(HasSubstr("192.0.2.1")));
}

TEST(Tap, carrier_follows_what_it_is_told) {
  auto tap = Tap::open("pg-t1", kMac, 1500);
  ASSERT_TRUE(tap.ok()) << tap.error().text;
  EXPECT_THAT(output_of("ip link show pg-t1"), HasSubstr("NO-CARRIER"));
  ASSERT_TRUE(tap->set_carrier(true));
  EXPECT_THAT(output_of("ip link show pg-t1"), HasSubstr("LOWER_UP"));
  ASSERT_TRUE(tap->set_carrier(false));
  EXPECT_THAT(output_of("ip link show pg-t1"), HasSubstr("NO-CARRIER"));
}

TEST(Tap, is_persistent_and_attached_to_again_with_what_it_had) {
  uint32_t ifindex = 0;
  {
    auto tap = Tap::open("pg-t2", kMac, 1500);
    ASSERT_TRUE(tap.ok()) << tap.error().text;
    ifindex = tap->ifindex();
    ASSERT_TRUE(tap->add_address(ip("192.0.2.9"), 32).ok());
    EXPECT_FALSE(Tap::open("pg-t2", kMac, 1500).ok());  // one owner at a time
  }
  EXPECT_THAT(output_of("ip addr show pg-t2"), HasSubstr("NO-CARRIER"));
  auto again = Tap::open("pg-t2", kMac, 1500);
  ASSERT_TRUE(again.ok()) << again.error().text;
  EXPECT_EQ(again->ifindex(), ifindex);
  EXPECT_THAT(output_of("ip addr show pg-t2"), HasSubstr("192.0.2.9/32"));
}

TEST(Tap, tells_its_own_addresses_of_a_former_run_from_an_operators) {
  {
    auto tap = Tap::open("pg-t4", kMac, 1500);
    ASSERT_TRUE(tap.ok()) << tap.error().text;
    ASSERT_TRUE(tap->add_address(ip("192.0.2.17"), 32).ok());
    ASSERT_TRUE(tap->add_address(ip("198.51.100.17"), 24).ok());
    ASSERT_TRUE(tap->add_address(ip("2001:db8::17"), 128).ok());
  }
  ASSERT_EQ(test::run("ip addr add 192.0.2.18/32 dev pg-t4"), 0);
  auto again = Tap::open("pg-t4", kMac, 1500);
  ASSERT_TRUE(again.ok()) << again.error().text;
  const auto own = again->own_addresses();
  ASSERT_TRUE(own.ok()) << own.error().text;
  std::vector<std::string> names;
  for (const config::Prefix& prefix : *own) names.push_back(prefix.to_string());
  EXPECT_THAT(names,
              ::testing::UnorderedElementsAre("192.0.2.17/32", "198.51.100.17/24", "2001:db8::17/128"));
}

TEST(Tap, carries_frames_both_ways) {
  auto tap = Tap::open("pg-t3", kMac, 1500);
  ASSERT_TRUE(tap.ok()) << tap.error().text;
  ASSERT_TRUE(tap->add_address(ip("198.51.100.1"), 24).ok());
  ASSERT_TRUE(tap->set_carrier(true));
  // Who has 198.51.100.1? (RFC 826)
  const uint8_t question[42] = {0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 2, 0, 0, 0, 0,   9,  8,   6,
                                0,    1,    8,    0,    6,    4,    0, 1, 2, 0, 0,   0,  0,   9,
                                198,  51,   100,  9,    0,    0,    0, 0, 0, 0, 198, 51, 100, 1};
  pollfd waiting{tap->fd(), POLLIN, 0};
  bool answered = false;
  uint8_t frame[2048];
  // The kernel sends only once it has noticed the carrier: so ask again.
  for (int asked = 0; !answered && asked < 100; ++asked) {
    ASSERT_TRUE(tap->write(question, sizeof question));
    while (!answered && poll(&waiting, 1, 50) == 1) {
      const size_t n = tap->read(frame, sizeof frame);
      answered =
          n >= 42 && frame[12] == 8 && frame[13] == 6 && frame[21] == 2 && frame[5] == 9 && frame[27] == 1;
    }
  }
  EXPECT_TRUE(answered);
}

TEST(Tap, refuses_names_that_the_kernel_cannot_have) {
  EXPECT_FALSE(Tap::open("", kMac, 1500).ok());
  EXPECT_FALSE(Tap::open("sixteen-letters-", kMac, 1500).ok());
}

}  // namespace
}  // namespace poolgate::drivers
