// SPDX-License-Identifier: BSD-3-Clause
// Addresses in the configuration: whose they are, and what no host can have.
#include <gtest/gtest.h>

#include <string>

#include "tests/unit/config_error.h"

namespace poolgate::config {
namespace {

std::string with_port(const std::string& addresses, const std::string& more = "") {
  return error_of("[[port]]\nname=\"p\"\ndevice=\"d\"\naddresses=[" + addresses + "]\n" + more);
}

TEST(Config, an_address_that_no_single_host_has_is_refused) {
  EXPECT_EQ(with_port("\"224.0.0.5/24\""),
            "f.toml:4: port.addresses: 224.0.0.5 is a multicast group, not an address of one host");
  EXPECT_EQ(with_port("\"ff02::1/64\""),
            "f.toml:4: port.addresses: ff02::1 is a multicast group, not an address of one host");
  const auto vip = [](const std::string& address) {
    return error_of("[[service]]\nname=\"a\"\nvips=[\"" + address +
                    "\"]\nprotocol=\"tcp\"\nport=80\npool=\"A\"\n");
  };
  EXPECT_EQ(vip("192.0.2.1"), "no error");
  EXPECT_EQ(vip("fe80::1"), "no error");
  EXPECT_NE(vip("0.0.0.0").find("f.toml:3: service.vips: 0.0.0.0 is the unspecified address"),
            std::string::npos);
  EXPECT_NE(vip("::").find(":: is the unspecified address"), std::string::npos);
  EXPECT_NE(vip("127.0.0.53").find("a loopback address"), std::string::npos);
  EXPECT_NE(vip("::1").find("a loopback address"), std::string::npos);
  EXPECT_NE(vip("255.255.255.255").find("the broadcast address"), std::string::npos);
  EXPECT_EQ(error_of("[[route]]\ndestination=\"0.0.0.0/0\"\ngateway=\"0.0.0.0\"\n"),
            "f.toml:3: route.gateway: 0.0.0.0 is the unspecified address, not an address of one host");
}

TEST(Config, a_ports_address_has_its_prefix_length) {
  EXPECT_EQ(with_port("\"10.0.0.1\""),
            "f.toml:4: port.addresses: \"10.0.0.1\" is not an address with its prefix length, such as "
            "10.0.0.1/24");
  EXPECT_EQ(with_port("\"10.0.0.1/32\""), "no error");
}

TEST(Config, an_announcement_goes_to_a_multicast_group) {
  for (const std::string key : {"announce", "enrp_announce"}) {
    EXPECT_EQ(error_of("[registrar]\n" + key + " = [\"239.0.0.50:3863\", \"[ff05::50]:3863\"]\n"),
              "no error");
    EXPECT_EQ(error_of("[registrar]\n" + key + " = [\"10.0.0.1:3863\"]\n"),
              "f.toml:2: registrar." + key +
                  ": \"10.0.0.1:3863\" is not a multicast group and port such as 239.0.0.50:3863");
  }
}

TEST(Config, sources_by_flow_are_an_IPv4_prefix_of_which_nobody_has_an_address) {
  const auto with = [](const std::string& net) {
    return error_of(R"(
[[port]]
name = "a"
device = "net_null0"
addresses = ["10.1.0.1/24"]
ipip_source = ")" + net +
                    R"("
[[service]]
name = "s"
vips = ["10.2.0.1"]
protocol = "udp"
port = 5
pool = "p"
mode = "ipip"
)");
  };
  const auto says = [&](const std::string& net, const std::string& why) {
    EXPECT_NE(with(net).find(why), std::string::npos) << with(net);
  };
  EXPECT_EQ(with("172.16.0.0/16"), "no error");
  says("10.1.0.0/16", "holds 10.1.0.1 of port \"a\"");
  says("10.2.0.0/24", "holds 10.2.0.1 of service \"s\"");
  says("172.16.0.1/16", "bits set behind its length");
  says("172.16.0.0/31", "8 to 30 bits");
  says("fd00::/64", "8 to 30 bits");
}

TEST(Config, two_ports_do_not_share_an_address) {
  EXPECT_EQ(with_port("\"10.0.0.1/24\"", "[[port]]\nname=\"q\"\ndevice=\"e\"\naddresses=[\"10.0.0.1/16\"]\n"),
            "f.toml:5: port.addresses: 10.0.0.1 belongs to port \"p\" already");
  EXPECT_EQ(with_port("\"10.0.0.1/24\"", "[[port]]\nname=\"q\"\ndevice=\"e\"\naddresses=[\"10.0.0.2/24\"]\n"),
            "no error");
}

TEST(Config, the_endpoints_addresses_are_ports) {
  EXPECT_EQ(with_port("\"10.0.0.1/24\"", "[sctp]\naddresses=[\"10.0.0.2\"]\n"),
            "f.toml:6: sctp.addresses: 10.0.0.2 is an address of no [[port]]");
  EXPECT_EQ(with_port("\"10.0.0.1/24\"", "[sctp]\naddresses=[\"10.0.0.1\"]\n"), "no error");
}

TEST(Config, a_vip_named_twice_in_one_service_is_said_so) {
  EXPECT_EQ(error_of("[[service]]\nname=\"a\"\nvips=[\"192.0.2.1\", \"192.0.2.1\"]\nprotocol=\"tcp\"\n"
                     "port=80\npool=\"A\"\n"),
            "f.toml:1: service.vips: 192.0.2.1 is named twice");
}

TEST(Config, a_peer_is_another_and_named_once) {
  const std::string peer = "[[registrar.peer]]\naddresses=[\"10.0.0.2:9901\"]\n";
  EXPECT_EQ(error_of(peer + peer), "f.toml:3: peer.addresses: 10.0.0.2 port 9901 is named twice");
  EXPECT_EQ(with_port("\"10.0.0.2/24\"", peer),
            "f.toml:5: peer.addresses: 10.0.0.2 port 9901 is our own: the others are named here");
  EXPECT_EQ(error_of("[registrar]\nserver_id=2\n" + peer + "server_id=2\n"),
            "f.toml:3: peer.server_id: is our own: the others are named here");
  EXPECT_EQ(error_of(peer + "server_id=2\n[[registrar.peer]]\naddresses=[\"10.0.0.3:9901\"]\nserver_id=2\n"),
            "f.toml:4: peer.server_id: is another peer's already");
}

TEST(Config, of_a_prefix_that_is_none_one_thing_is_said) {
  const std::string ports = "[[port]]\nname=\"a\"\ndevice=\"d\"\naddresses=[\"10.0.0.1/24\"]\n";
  const std::string rule = "[[registrar.rsplib]]\nsource=\"nonsense\"\n",
                    unit = "[[registrar.life_unit]]\nunit=\"ms\"\nsource=\"nonsense\"\n";
  for (const std::string& text : {ports + "ipip_source=\"nonsense\"\n", ports + rule, ports + unit}) {
    const std::string error = error_of(text);
    EXPECT_NE(error.find("\"nonsense\" is not a prefix such as"), std::string::npos) << error;
    EXPECT_EQ(error.find('\n'), std::string::npos) << error;
  }
}

}  // namespace
}  // namespace poolgate::config
