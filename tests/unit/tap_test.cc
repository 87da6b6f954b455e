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

TEST(Tap, takes_the_ports_mac_back_from_a_program_that_changed_it) {
  auto tap = Tap::open("pg-t6", kMac, 1500);
  ASSERT_TRUE(tap.ok()) << tap.error().text;
  EXPECT_FALSE(tap->take_back_mac());
  ASSERT_EQ(test::run("ip link set pg-t6 address 02:00:00:00:00:99"), 0);
  const auto other = tap->take_back_mac();
  ASSERT_TRUE(other);
  EXPECT_EQ(to_string(*other), "02:00:00:00:00:99");
  EXPECT_THAT(output_of("ip link show pg-t6"), HasSubstr("02:00:00:00:00:01"));
  EXPECT_FALSE(tap->take_back_mac());
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

TEST(Tap, tells_and_removes_its_own_routes_of_a_former_run_and_leaves_an_operators) {
  const auto route = [](const char* destination, uint8_t length, const char* gateway) {
    return config::Route{.destination = {ip(destination), length}, .gateway = ip(gateway)};
  };
  {
    auto tap = Tap::open("pg-t5", kMac, 1500);
    ASSERT_TRUE(tap.ok()) << tap.error().text;
    ASSERT_TRUE(tap->add_address(ip("192.0.2.33"), 24).ok());
    ASSERT_TRUE(tap->add_address(ip("2001:db8:5::1"), 64).ok());
    ASSERT_TRUE(tap->add_route(route("203.0.113.9", 24, "192.0.2.254")).ok());
    ASSERT_TRUE(tap->add_route(route("198.18.0.0", 15, "192.0.2.254")).ok());
    ASSERT_TRUE(tap->add_route(route("2001:db8:9::", 48, "2001:db8:5::fe")).ok());
  }
  ASSERT_EQ(test::run("ip route add 198.19.0.0/16 via 192.0.2.253 dev pg-t5"), 0);
  ASSERT_EQ(test::run("ip route add 203.0.113.0/24 via 192.0.2.253 dev pg-t5 metric 7"), 0);
  auto again = Tap::open("pg-t5", kMac, 1500);
  ASSERT_TRUE(again.ok()) << again.error().text;
  const auto own = [&] {
    std::vector<std::string> names;
    const auto routes = again->own_routes();
    EXPECT_TRUE(routes.ok());
    for (const config::Prefix& prefix : *routes) names.push_back(prefix.to_string());
    return names;
  };
  EXPECT_THAT(own(), ::testing::UnorderedElementsAre("203.0.113.0/24", "198.18.0.0/15", "2001:db8:9::/48"));
  for (const auto& [address, length] : {std::pair{"203.0.113.0", 24}, {"2001:db8:9::", 48}})
    ASSERT_TRUE(again->remove_route({ip(address), static_cast<uint8_t>(length)}).ok());
  ASSERT_TRUE(again->remove_route({ip("203.0.113.0"), 24}).ok()) << "it is gone: fine";
  EXPECT_THAT(own(), ::testing::ElementsAre("198.18.0.0/15"));
  const std::string left = output_of("ip route show dev pg-t5");
  EXPECT_THAT(left, HasSubstr("198.19.0.0/16"));
  EXPECT_THAT(left, HasSubstr("203.0.113.0/24 via 192.0.2.253"));
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
