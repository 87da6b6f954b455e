// SPDX-License-Identifier: BSD-3-Clause
// SERVER_ANNOUNCE over real multicast, on this host's loopback interface.
#include "controlplane/registrar/process/announcements.h"

#include <arpa/inet.h>
#include <gtest/gtest.h>
#include <netinet/in.h>
#include <sys/socket.h>
#include <unistd.h>

#include <asio/io_context.hpp>

namespace poolgate::registrar {
namespace {

using rserpool::IpAddress;

IpAddress ip(const char* text) { return *IpAddress::parse(text); }

// A UDP port that nobody had a moment ago.
uint16_t free_port() {
  const int fd = ::socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
  sockaddr_in at{};
  at.sin_family = AF_INET;
  socklen_t size = sizeof at;
  EXPECT_EQ(::bind(fd, reinterpret_cast<sockaddr*>(&at), size), 0);
  EXPECT_EQ(::getsockname(fd, reinterpret_cast<sockaddr*>(&at), &size), 0);
  ::close(fd);
  return ntohs(at.sin_port);
}

struct Server {
  explicit Server(asio::io_context& loop)
      : announcements(
            loop, [this](std::string_view bytes) { heard.emplace_back(bytes); },
            [this](const std::string&, const std::string& text) { notes.push_back(text); }) {}
  std::vector<std::string> heard, notes;
  Announcements announcements;
};

TEST(Announcements, RFC5352_3_6_every_server_of_the_group_hears_them_by_the_interface_of_its_addresses) {
  asio::io_context loop;
  Server one(loop), two(loop);
  const Announcements::Groups groups{{ip("239.0.0.50"), free_port()}};
  one.announcements.open(groups, groups[0].second, {ip("127.0.0.1")});
  two.announcements.open(groups, groups[0].second, {ip("127.0.0.1")});
  ASSERT_TRUE(one.notes.empty()) << one.notes[0];
  one.announcements.send("announcement");
  while (two.heard.empty() && loop.run_one_for(std::chrono::seconds(120)) > 0) {
  }
  EXPECT_EQ(two.heard, std::vector<std::string>{"announcement"});
}

TEST(Announcements, they_come_from_the_port_of_asap) {
  asio::io_context loop;
  Server server(loop);
  const uint16_t asap_port = free_port(), group_port = free_port();
  const int fd = ::socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
  sockaddr_in at{};
  at.sin_family = AF_INET;
  at.sin_port = htons(group_port);
  ASSERT_EQ(::bind(fd, reinterpret_cast<sockaddr*>(&at), sizeof at), 0);
  ip_mreqn join{};
  join.imr_multiaddr.s_addr = ::inet_addr("239.0.0.50");
  join.imr_address.s_addr = ::inet_addr("127.0.0.1");
  ASSERT_EQ(::setsockopt(fd, IPPROTO_IP, IP_ADD_MEMBERSHIP, &join, sizeof join), 0);
  const timeval patience{5, 0};
  ::setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof patience);
  server.announcements.open({{ip("239.0.0.50"), group_port}}, asap_port, {ip("127.0.0.1")});
  server.announcements.send("x");
  char block[16];
  sockaddr_in from{};
  socklen_t size = sizeof from;
  ASSERT_EQ(::recvfrom(fd, block, sizeof block, 0, reinterpret_cast<sockaddr*>(&from), &size), 1);
  EXPECT_EQ(ntohs(from.sin_port), asap_port);
  ::close(fd);
}

TEST(Announcements, without_groups_nothing_is_opened_and_a_group_that_is_none_is_said) {
  asio::io_context loop;
  Server server(loop);
  server.announcements.open({}, free_port(), {});
  server.announcements.send("x");
  EXPECT_TRUE(server.notes.empty());
  server.announcements.open({{ip("192.0.2.77"), free_port()}}, free_port(), {ip("127.0.0.1")});
  EXPECT_FALSE(server.notes.empty());
}

}  // namespace
}  // namespace poolgate::registrar
