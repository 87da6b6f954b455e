// SPDX-License-Identifier: BSD-3-Clause
// Patch 0009. The stack sends while a socket is being closed: at that moment, without threads, the test does
// what a receiving thread might.
#include <gtest/gtest.h>
#include <sys/socket.h>
#include <usrsctp.h>

#include <cerrno>
#include <cstring>
#include <deque>
#include <functional>
#include <utility>
#include <vector>

#include "tests/unit/usrsctp_hold.h"

namespace {

std::deque<std::vector<uint8_t>> wire;
std::function<void()> at_next_output;
char link_name;  // its address stands for the one link

int output(void*, void* packet, size_t length, uint8_t, uint8_t) {
  const auto* bytes = static_cast<const uint8_t*>(packet);
  wire.emplace_back(bytes, bytes + length);
  if (const auto once = std::exchange(at_next_output, nullptr)) once();
  return 0;
}

sockaddr_conn address(uint16_t port) {
  sockaddr_conn a{};
  a.sconn_family = AF_CONN;
  a.sconn_port = htons(port);
  a.sconn_addr = &link_name;
  return a;
}

struct socket* open_socket(uint16_t port) {
  struct socket* so = usrsctp_socket(AF_CONN, SOCK_STREAM, IPPROTO_SCTP, nullptr, nullptr, 0, nullptr);
  sockaddr_conn own = address(port);
  EXPECT_EQ(usrsctp_set_non_blocking(so, 1), 0);
  EXPECT_EQ(usrsctp_bind(so, reinterpret_cast<sockaddr*>(&own), sizeof own), 0);
  return so;
}

void deliver() {
  while (!wire.empty()) {
    const std::vector<uint8_t> packet = std::move(wire.front());
    wire.pop_front();
    usrsctp_conninput(&link_name, packet.data(), packet.size(), 0);
  }
}

TEST(UsrsctpClose, a_socket_is_held_as_long_as_its_associations_lead_to_it_and_by_whoever_found_it_so) {
  usrsctp_init_nothreads(0, output, nullptr);
  usrsctp_register_address(&link_name);
  struct socket* server = open_socket(1);
  ASSERT_EQ(usrsctp_listen(server, 1), 0);
  struct socket* client = open_socket(2);
  sockaddr_conn to = address(1);
  ASSERT_TRUE(usrsctp_connect(client, reinterpret_cast<sockaddr*>(&to), sizeof to) == 0 ||
              errno == EINPROGRESS);
  deliver();
  struct socket* accepted = usrsctp_accept(server, nullptr, nullptr);
  ASSERT_NE(accepted, nullptr);

  bool attached = false;
  int references = 0;
  at_next_output = [&] {  // its SHUTDOWN
    attached = usrsctp_is_attached(client) != 0;
    references = usrsctp_hold(client);
  };
  usrsctp_close(client);
  ASSERT_TRUE(attached) << "the moment that is asked about";
  // With the last one here, the socket is freed under whoever has just found it.
  ASSERT_GE(references, 2) << "who closes it holds it, too";
  EXPECT_FALSE(usrsctp_is_attached(client)) << "nobody finds it any more, but it is there";
  usrsctp_let_go(client);

  deliver();
  usrsctp_close(accepted);
  usrsctp_close(server);
  for (unsigned i = 0; i < 100; ++i) {  // of the stack's own time
    deliver();
    usrsctp_handle_timers(100);
  }
  EXPECT_EQ(usrsctp_finish(), 0);
}

}  // namespace
