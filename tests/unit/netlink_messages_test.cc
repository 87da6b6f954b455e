// SPDX-License-Identifier: BSD-3-Clause
// The messages are bytes as a Linux 6.1 kernel sends them (captured layouts, built here field by field).
#include "drivers/netlink_messages.h"

#include <gtest/gtest.h>
#include <libmnl/libmnl.h>
#include <linux/neighbour.h>
#include <linux/rtnetlink.h>
#include <sys/socket.h>

#include <cstring>

namespace poolgate::drivers {
namespace {

using rserpool::IpAddress;

IpAddress ip(const char* text) { return *IpAddress::parse(text); }
constexpr MacAddress kMac = {2, 0, 0, 0, 0, 9};

class Message {
 public:
  template <class Fixed>
  Fixed& start(uint16_t type, uint16_t flags = 0) {
    header_ = mnl_nlmsg_put_header(bytes_);
    header_->nlmsg_type = type;
    header_->nlmsg_flags = flags;
    return *static_cast<Fixed*>(mnl_nlmsg_put_extra_header(header_, sizeof(Fixed)));
  }
  Message& address(uint16_t type, const char* text) {
    mnl_attr_put(header_, type, ip(text).size(), ip(text).data());
    return *this;
  }
  Message& bytes(uint16_t type, const void* data, size_t n) {
    mnl_attr_put(header_, type, n, data);
    return *this;
  }
  Message& word(uint16_t type, uint32_t value) {
    mnl_attr_put_u32(header_, type, value);
    return *this;
  }
  nlmsghdr* header() { return header_; }

 private:
  alignas(nlmsghdr) char bytes_[1024] = {};
  nlmsghdr* header_ = nullptr;
};

TEST(NetlinkNeighbour, reachable_with_its_mac) {
  Message m;
  auto& fixed = m.start<ndmsg>(RTM_NEWNEIGH);
  fixed.ndm_family = AF_INET;
  fixed.ndm_ifindex = 4;
  fixed.ndm_state = NUD_REACHABLE;
  m.address(NDA_DST, "10.0.0.9").bytes(NDA_LLADDR, kMac.data(), kMac.size());
  const auto parsed = parse_neighbour(m.header());
  ASSERT_TRUE(parsed.has_value());
  EXPECT_EQ(parsed->ifindex, 4u);
  EXPECT_EQ(parsed->address, ip("10.0.0.9"));
  EXPECT_EQ(parsed->mac, kMac);
  EXPECT_EQ(parsed->nud, NUD_REACHABLE);
}

TEST(NetlinkNeighbour, failed_has_no_mac_and_deleted_no_state) {
  Message failed;
  auto& fixed = failed.start<ndmsg>(RTM_NEWNEIGH);
  fixed.ndm_family = AF_INET6;
  fixed.ndm_ifindex = 4;
  fixed.ndm_state = NUD_FAILED;
  failed.address(NDA_DST, "2001:db8::9");
  EXPECT_FALSE(parse_neighbour(failed.header())->mac.has_value());
  EXPECT_EQ(parse_neighbour(failed.header())->nud, NUD_FAILED);
  failed.header()->nlmsg_type = RTM_DELNEIGH;
  EXPECT_EQ(parse_neighbour(failed.header())->nud, 0);
}

TEST(NetlinkNeighbour, refuses_what_is_short_or_of_another_kind) {
  Message m;
  auto& fixed = m.start<ndmsg>(RTM_NEWNEIGH);
  fixed.ndm_family = AF_INET;
  EXPECT_FALSE(parse_neighbour(m.header()).has_value());  // no address
  m.bytes(NDA_DST, "abc", 3);
  EXPECT_FALSE(parse_neighbour(m.header()).has_value());  // an address of three bytes
  m.header()->nlmsg_type = RTM_NEWLINK;
  EXPECT_FALSE(parse_neighbour(m.header()).has_value());
  Message cut;
  cut.start<rtgenmsg>(RTM_NEWNEIGH);
  EXPECT_FALSE(parse_neighbour(cut.header()).has_value());
}

TEST(NetlinkRoute, default_route_by_a_gateway) {
  Message m;
  auto& fixed = m.start<rtmsg>(RTM_NEWROUTE);
  fixed.rtm_family = AF_INET;
  fixed.rtm_table = RT_TABLE_MAIN;
  fixed.rtm_type = RTN_UNICAST;
  m.word(RTA_TABLE, RT_TABLE_MAIN).word(RTA_PRIORITY, 20).address(RTA_GATEWAY, "10.0.0.1").word(RTA_OIF, 4);
  const auto parsed = parse_route(m.header());
  ASSERT_TRUE(parsed.has_value());
  EXPECT_EQ(parsed->entry.destination, ip("0.0.0.0"));
  EXPECT_EQ(parsed->entry.length, 0);
  EXPECT_EQ(parsed->entry.metric, 20u);
  EXPECT_EQ(parsed->entry.table, static_cast<uint32_t>(RT_TABLE_MAIN));
  ASSERT_EQ(parsed->entry.hops.size(), 1u);
  EXPECT_EQ(parsed->entry.hops[0], (RouteHop{ip("10.0.0.1"), 4}));
  EXPECT_FALSE(parsed->removed);
}

TEST(NetlinkRoute, ipv4_by_an_ipv6_gateway_and_a_route_mtu) {
  Message m;
  auto& fixed = m.start<rtmsg>(RTM_NEWROUTE);
  fixed.rtm_family = AF_INET;
  fixed.rtm_dst_len = 24;
  fixed.rtm_type = RTN_UNICAST;
  uint8_t via[18] = {};
  const uint16_t family = AF_INET6;
  std::memcpy(via, &family, 2);
  std::memcpy(via + 2, ip("fe80::1").data(), 16);
  nlattr mtu{8, RTAX_MTU};
  uint8_t metrics[8];
  const uint32_t value = 1400;
  std::memcpy(metrics, &mtu, 4);
  std::memcpy(metrics + 4, &value, 4);
  m.address(RTA_DST, "192.0.2.0")
      .bytes(RTA_VIA, via, sizeof via)
      .word(RTA_OIF, 5)
      .bytes(RTA_METRICS, metrics, 8);
  const auto parsed = parse_route(m.header());
  ASSERT_TRUE(parsed.has_value());
  EXPECT_EQ(parsed->entry.hops.at(0).gateway, ip("fe80::1"));
  EXPECT_EQ(parsed->entry.mtu, 1400);
}

std::string hop(uint32_t ifindex, uint8_t flags, const char* gateway) {
  rtnexthop next{};
  next.rtnh_len = sizeof next + 8;
  next.rtnh_flags = flags;
  next.rtnh_ifindex = static_cast<int>(ifindex);
  const nlattr attribute{8, RTA_GATEWAY};
  std::string bytes(reinterpret_cast<const char*>(&next), sizeof next);
  bytes.append(reinterpret_cast<const char*>(&attribute), sizeof attribute);
  bytes.append(reinterpret_cast<const char*>(ip(gateway).data()), 4);
  return bytes;
}

TEST(NetlinkRoute, several_hops_without_the_dead_ones) {
  Message m;
  auto& fixed = m.start<rtmsg>(RTM_NEWROUTE);
  fixed.rtm_family = AF_INET;
  fixed.rtm_type = RTN_UNICAST;
  const std::string hops = hop(4, 0, "10.0.0.1") + hop(5, RTNH_F_DEAD, "10.1.0.1") + hop(6, 0, "10.2.0.1");
  m.bytes(RTA_MULTIPATH, hops.data(), hops.size());
  const auto parsed = parse_route(m.header());
  ASSERT_EQ(parsed->entry.hops.size(), 2u);
  EXPECT_EQ(parsed->entry.hops[0], (RouteHop{ip("10.0.0.1"), 4}));
  EXPECT_EQ(parsed->entry.hops[1], (RouteHop{ip("10.2.0.1"), 6}));
}

TEST(NetlinkRoute, a_hop_that_claims_more_than_there_is_ends_the_list) {
  Message m;
  auto& fixed = m.start<rtmsg>(RTM_NEWROUTE);
  fixed.rtm_family = AF_INET;
  fixed.rtm_type = RTN_UNICAST;
  std::string hops = hop(4, 0, "10.0.0.1") + hop(5, 0, "10.1.0.1");
  hops[16] = 100;  // the second hop's length
  m.bytes(RTA_MULTIPATH, hops.data(), hops.size());
  EXPECT_EQ(parse_route(m.header())->entry.hops.size(), 1u);
}

TEST(NetlinkRoute, unreachable_has_no_hop_and_local_is_no_route_of_ours) {
  Message m;
  auto& fixed = m.start<rtmsg>(RTM_NEWROUTE);
  fixed.rtm_family = AF_INET;
  fixed.rtm_dst_len = 8;
  fixed.rtm_type = RTN_UNREACHABLE;
  m.address(RTA_DST, "10.0.0.0").word(RTA_OIF, 1);
  ASSERT_TRUE(parse_route(m.header()).has_value());
  EXPECT_TRUE(parse_route(m.header())->entry.hops.empty());
  fixed.rtm_type = RTN_LOCAL;
  EXPECT_FALSE(parse_route(m.header()).has_value());
  fixed.rtm_type = RTN_UNICAST;
  fixed.rtm_dst_len = 33;
  EXPECT_FALSE(parse_route(m.header()).has_value());
}

TEST(NetlinkBuild, what_is_built_is_what_is_parsed) {
  NetlinkBuffer buffer;
  nlmsghdr* use = build_neighbour_use(buffer, 7, {ip("2001:db8::9"), 12});
  EXPECT_EQ(static_cast<const ndmsg*>(mnl_nlmsg_get_payload(use))->ndm_flags, NTF_USE);
  const auto neighbour = parse_neighbour(use);
  ASSERT_TRUE(neighbour.has_value());
  EXPECT_EQ(neighbour->address, ip("2001:db8::9"));
  EXPECT_EQ(neighbour->ifindex, 12u);
  const auto route = parse_route(build_route(buffer, 3, ip("10.9.8.7"), 16, ip("10.0.0.1"), true));
  ASSERT_TRUE(route.has_value());
  EXPECT_EQ(route->entry.destination, ip("10.9.0.0"));
  EXPECT_EQ(route->entry.hops.at(0), (RouteHop{ip("10.0.0.1"), 3}));
}

}  // namespace
}  // namespace poolgate::drivers
