// SPDX-License-Identifier: BSD-3-Clause
// SERVER_ANNOUNCE at the agent: the option's text, and real multicast in a network of the test's own.
#include <gtest/gtest.h>

#include <asio/ip/multicast.hpp>

#include "controlplane/agent/announce_listener.h"
#include "tests/unit/private_network.h"

namespace poolgate::agent {
namespace {

using namespace std::chrono_literals;
using rserpool::IpAddress;
constexpr auto kStop = 120s;  // for hangs only

IpAddress ip(const char* text) { return *IpAddress::parse(text); }

class Network : public ::testing::Environment {
 public:
  void SetUp() override {
    ASSERT_EQ(
        test::run("ip link set lo up && ip link add v0 type veth peer name v1 && ip link set v0 up && "
                  "ip link set v1 up && ip addr add 10.88.0.1/24 dev v0 && ip addr add 10.88.0.2/24 dev v1"),
        0);
  }
};
::testing::Environment* const kNetworkSetUp = ::testing::AddGlobalTestEnvironment(new Network);

struct Heard {
  std::string bytes;
  IpAddress source;
  uint16_t port;
};

class AgentAnnounce : public ::testing::Test {
 protected:
  void send(const char* from, const char* group, uint16_t port, const std::string& bytes) {
    asio::ip::udp::socket socket(io);
    socket.open(asio::ip::udp::v4());
    socket.bind({asio::ip::make_address(from), 0});
    socket.set_option(asio::ip::multicast::outbound_interface(asio::ip::make_address_v4(from)));
    source_port = socket.local_endpoint().port();
    socket.send_to(asio::buffer(bytes), {asio::ip::make_address(group), port});
  }
  bool hear(size_t count) {
    const auto stop = std::chrono::steady_clock::now() + kStop;
    while (heard.size() < count && std::chrono::steady_clock::now() < stop) io.run_one_for(100ms);
    return heard.size() == count;
  }

  asio::io_context io;
  std::vector<Heard> heard;
  AnnounceListener listener{io, [this](std::string_view bytes, const IpAddress& source, uint16_t port) {
                              heard.push_back({std::string(bytes), source, port});
                            }};
  uint16_t source_port = 0;
};

TEST_F(AgentAnnounce, ASAP_3_6_20_is_heard_from_any_interface_with_its_source) {
  ASSERT_FALSE(listener.open({{ip("224.0.1.185"), 3863}, {ip("239.0.0.50"), 3870}}));
  send("10.88.0.1", "224.0.1.185", 3863, "one");
  ASSERT_TRUE(hear(1));
  EXPECT_EQ(heard[0].bytes, "one");
  EXPECT_EQ(heard[0].source, ip("10.88.0.1"));
  EXPECT_EQ(heard[0].port, source_port);
  send("10.88.0.2", "239.0.0.50", 3870, "two");
  ASSERT_TRUE(hear(2));
  EXPECT_EQ(heard[1].source, ip("10.88.0.2"));
}

TEST_F(AgentAnnounce, what_is_sent_to_another_group_of_the_same_port_is_not_heard) {
  AnnounceListener other(io, [](std::string_view, const IpAddress&, uint16_t) {});
  ASSERT_FALSE(other.open({{ip("239.0.0.51"), 3863}}));  // so that the host takes it at all
  ASSERT_FALSE(listener.open({{ip("239.0.0.50"), 3863}}));
  send("10.88.0.1", "239.0.0.51", 3863, "for others");
  send("10.88.0.1", "239.0.0.50", 3863, "for us");
  ASSERT_TRUE(hear(1));
  EXPECT_EQ(heard[0].bytes, "for us");
}

TEST_F(AgentAnnounce, an_interface_that_comes_up_later_is_joined_too) {
  ASSERT_EQ(test::run("ip link add late0 type veth peer name late1"), 0);
  ASSERT_FALSE(listener.open({{ip("239.0.0.50"), 3863}}));
  ASSERT_EQ(test::run("ip link set late0 up && ip link set late1 up && ip addr add 10.89.0.1/24 dev late0"),
            0);
  EXPECT_EQ(test::output_of("ip maddr show dev late0").find("239.0.0.50"), std::string::npos);
  const auto stop = std::chrono::steady_clock::now() + kStop;
  while (test::output_of("ip maddr show dev late0").find("239.0.0.50") == std::string::npos &&
         std::chrono::steady_clock::now() < stop)
    io.run_one_for(100ms);
  send("10.89.0.1", "239.0.0.50", 3863, "late");
  ASSERT_TRUE(hear(1));
  EXPECT_EQ(heard[0].source, ip("10.89.0.1"));
}

TEST(AgentAnnounceText, ASAP_12_33_groups_are_multicast_addresses_with_the_port_of_ASAP_by_default) {
  EXPECT_EQ(*parse_group("224.0.1.185"), (AnnounceGroup{ip("224.0.1.185"), 3863}));
  EXPECT_EQ(*parse_group("239.0.0.50:3870"), (AnnounceGroup{ip("239.0.0.50"), 3870}));
  EXPECT_EQ(*parse_group("[ff05::133]:3863"), (AnnounceGroup{ip("ff05::133"), 3863}));
  for (const char* wrong : {"10.0.0.1:3863", "239.0.0.50,239.0.0.51", "fd00::1", "", "239.0.0.50:x"}) {
    const auto group = parse_group(wrong);
    ASSERT_FALSE(group.ok()) << wrong;
    EXPECT_NE(group.error().text.find("multicast GROUP:PORT"), std::string::npos);
  }
  EXPECT_EQ(default_groups()[0], (AnnounceGroup{ip("224.0.1.185"), 3863}));
  EXPECT_EQ(default_groups()[1], (AnnounceGroup{ip("239.0.0.50"), 3863}));
}

}  // namespace
}  // namespace poolgate::agent
