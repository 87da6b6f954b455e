// SPDX-License-Identifier: BSD-3-Clause
// Stand-alone SCTP over real packets: two sockets of one stack, over UDP on the loopback interface (RFC
// 6951).
#include "controlplane/transport/sctp_socket.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <map>
#include <thread>

#include "controlplane/transport/sctp_backends.h"
#include "tests/unit/private_network.h"

namespace poolgate::transport {
namespace {

using namespace std::chrono_literals;
using rserpool::IpAddress;

IpAddress ip(const char* text) { return *IpAddress::parse(text); }
constexpr auto kStop = 120s;  // for hangs only

class Addresses : public ::testing::Environment {
 public:
  void SetUp() override {
    ASSERT_EQ(
        test::run(
            "ip link set lo up && ip addr add 10.88.0.1/32 dev lo && ip addr add 10.88.0.2/32 dev lo && "
            "ip addr add fd88::1/128 dev lo"),
        0);
  }
};
::testing::Environment* const kAddresses = ::testing::AddGlobalTestEnvironment(new Addresses);

struct Side {
  std::unique_ptr<SctpSocket> socket;
  std::map<SctpAssociationId, SctpUp> up;
  std::vector<std::pair<SctpAssociationId, SctpDown>> down;
  std::vector<std::pair<SctpAssociationId, SctpMessage>> messages;
  std::vector<SctpMessage> send_failed;
};

class SctpSocketTest : public ::testing::Test {
 protected:
  void open(Side& side, bool listen, std::vector<IpAddress> addresses = {ip("10.88.0.1")}) {
    SctpOptions options;
    options.backend = POOLGATE_TEST_BACKEND;
    options.addresses = std::move(addresses);
    options.listen = listen;
    options.rto_initial_ms = 100;
    options.rto_min_ms = 100;
    options.rto_max_ms = 200;
    options.init_retransmits = 2;
    SctpEvents events;
    events.up = [&side](SctpAssociationId id, const SctpUp& up) { side.up[id] = up; };
    events.down = [&side](SctpAssociationId id, SctpDown reason) { side.down.push_back({id, reason}); };
    events.message = [&side](SctpAssociationId id, SctpMessage m) {
      side.messages.push_back({id, std::move(m)});
    };
    events.send_failed = [&side](SctpAssociationId, SctpMessage m) {
      side.send_failed.push_back(std::move(m));
    };
    auto opened = open_sctp(io, options, std::move(events));
    ASSERT_TRUE(opened.ok()) << opened.error().text;
    side.socket = std::move(*opened);
  }
  template <class Until>
  bool run_until(Until until) {
    const auto stop = std::chrono::steady_clock::now() + kStop;
    while (!until() && std::chrono::steady_clock::now() < stop) io.run_one_for(100ms);
    return until();
  }
  SctpAssociationId connect() {
    const auto id = client.socket->connect({ip("10.88.0.1")}, server.socket->port());
    EXPECT_TRUE(id.ok());
    EXPECT_TRUE(run_until([&] { return client.up.contains(*id) && !server.up.empty(); }));
    return *id;
  }

  asio::io_context io;
  Side server;
  Side client;
};

TEST_F(SctpSocketTest, connects_and_names_both_ends) {
  open(server, true);
  open(client, false);
  const auto id = connect();
  EXPECT_NE(id, 0u);
  EXPECT_EQ(client.up[id].peer_addresses, std::vector{ip("10.88.0.1")});
  EXPECT_EQ(client.up[id].peer_port, server.socket->port());
  EXPECT_EQ(server.up.begin()->second.peer_port, client.socket->port());
  EXPECT_FALSE(client.up[id].restarted);
}

TEST_F(SctpSocketTest, several_bound_addresses_are_told_to_the_peer) {
  open(server, true, {ip("10.88.0.1"), ip("10.88.0.2")});
  open(client, false);
  const auto id = connect();
  auto peers = client.up[id].peer_addresses;
  std::sort(peers.begin(), peers.end());
  EXPECT_EQ(peers, (std::vector{ip("10.88.0.1"), ip("10.88.0.2")}));
}

TEST_F(SctpSocketTest, ipv6_addresses_are_spoken_to) {
  open(server, true, {ip("fd88::1")});
  open(client, false, {ip("fd88::1")});
  const auto id = client.socket->connect({ip("fd88::1")}, server.socket->port());
  ASSERT_TRUE(id.ok());
  ASSERT_TRUE(run_until([&] { return client.up.contains(*id); }));
  EXPECT_EQ(client.up[*id].peer_addresses, std::vector{ip("fd88::1")});
}

TEST_F(SctpSocketTest, messages_keep_ppid_stream_bytes_and_order_both_ways) {
  open(server, true);
  open(client, false);
  const auto id = connect();
  EXPECT_TRUE(client.socket->send(id, {11, 3, std::string("a\0b", 3)}));
  EXPECT_TRUE(client.socket->send(id, {12, 3, "second"}));
  ASSERT_TRUE(run_until([&] { return server.messages.size() == 2; }));
  EXPECT_EQ(server.messages[0].second.ppid, 11u);
  EXPECT_EQ(server.messages[0].second.stream, 3u);
  EXPECT_EQ(server.messages[0].second.payload, std::string("a\0b", 3));
  EXPECT_EQ(server.messages[1].second.payload, "second");
  EXPECT_TRUE(server.socket->send(server.messages[0].first, {11, 0, "answer"}));
  ASSERT_TRUE(run_until([&] { return client.messages.size() == 1; }));
  EXPECT_EQ(client.messages[0].first, id);
}

TEST_F(SctpSocketTest, what_is_sent_before_the_association_is_up_arrives_after_it) {
  open(server, true);
  open(client, false);
  const auto id = client.socket->connect({ip("10.88.0.1")}, server.socket->port());
  ASSERT_TRUE(id.ok());
  EXPECT_TRUE(client.socket->send(*id, {11, 0, "early"}));
  ASSERT_TRUE(run_until([&] { return server.messages.size() == 1; }));
  EXPECT_EQ(server.messages[0].second.payload, "early");
}

TEST_F(SctpSocketTest, a_message_of_60000_bytes_arrives_in_one_piece) {
  open(server, true);
  open(client, false);
  const auto id = connect();
  std::string large(60000, 'x');
  for (size_t i = 0; i < large.size(); ++i) large[i] = static_cast<char>(i * 7);
  EXPECT_TRUE(client.socket->send(id, {11, 0, large}));
  ASSERT_TRUE(run_until([&] { return server.messages.size() == 1; }));
  EXPECT_EQ(server.messages[0].second.payload, large);
}

TEST_F(SctpSocketTest, while_nobody_reads_the_sender_is_stopped_and_nothing_is_lost_afterwards) {
  open(server, true);
  open(client, false);
  const auto id = connect();
  // The loop does not run, so that the server does not read. Without a bound the sender would never be
  // stopped.
  constexpr size_t kUnbounded = 20000;
  const std::string padding(1200, 'x');
  size_t sent = 0;
  for (int refusals = 0; sent < kUnbounded && refusals < 100;) {
    if (client.socket->send(id, {11, 0, std::to_string(sent) + " " + padding})) {
      ++sent;
      refusals = 0;
    } else {
      ++refusals;
      std::this_thread::sleep_for(10ms);  // until what the peer's buffer takes has gone
    }
  }
  EXPECT_LT(sent, kUnbounded);
  EXPECT_GT(sent, 10u);
  ASSERT_TRUE(run_until([&] { return server.messages.size() == sent; }))
      << server.messages.size() << " of " << sent;
  for (size_t i = 0; i < sent; ++i) ASSERT_EQ(std::stoul(server.messages[i].second.payload), i);
  EXPECT_TRUE(client.socket->send(id, {11, 0, "and on"}));
  EXPECT_TRUE(run_until([&] { return server.messages.size() == sent + 1; }));
  EXPECT_TRUE(client.down.empty() && server.down.empty());
}

TEST_F(SctpSocketTest, shutdown_is_told_to_both) {
  open(server, true);
  open(client, false);
  const auto id = connect();
  client.socket->shutdown(id);
  ASSERT_TRUE(run_until([&] { return client.down.size() == 1 && server.down.size() == 1; }));
  EXPECT_EQ(client.down[0].second, SctpDown::shutdown);
  EXPECT_EQ(server.down[0].second, SctpDown::shutdown);
}

TEST_F(SctpSocketTest, an_abort_is_told_as_one) {
  open(server, true);
  open(client, false);
  connect();
  server.socket->abort(server.up.begin()->first);
  ASSERT_TRUE(run_until([&] { return client.down.size() == 1; }));
  EXPECT_EQ(client.down[0].second, SctpDown::aborted);
}

TEST_F(SctpSocketTest, a_peer_that_does_not_answer_cannot_be_connected_to) {
  open(client, false);
  const auto id = client.socket->connect({ip("10.88.0.2")}, 9);
  ASSERT_TRUE(id.ok());
  ASSERT_TRUE(run_until([&] { return client.down.size() == 1; }));
  EXPECT_EQ(client.down[0].first, *id);
  EXPECT_EQ(client.down[0].second, SctpDown::cannot_start);
  EXPECT_TRUE(client.up.empty());
}

TEST_F(SctpSocketTest, after_an_abort_of_ours_the_same_peer_can_be_connected_to_at_once) {
  open(server, true);
  open(client, false);
  const auto first = connect();
  client.socket->abort(first);
  const auto second = client.socket->connect({ip("10.88.0.1")}, server.socket->port());
  ASSERT_TRUE(second.ok()) << second.error().text;
  EXPECT_TRUE(run_until([&] { return client.up.contains(*second); }));
}

TEST_F(SctpSocketTest, a_second_association_to_the_same_peer_is_refused) {
  open(server, true);
  open(client, false);
  connect();
  EXPECT_FALSE(client.socket->connect({ip("10.88.0.1")}, server.socket->port()).ok());
}

TEST_F(SctpSocketTest, a_dropped_socket_is_silent_and_its_peer_hears_of_it) {
  open(server, true);
  open(client, false);
  connect();
  client.socket.reset();
  ASSERT_TRUE(run_until([&] { return server.down.size() == 1; }));
  EXPECT_EQ(server.down[0].second, SctpDown::shutdown);
  EXPECT_TRUE(client.down.empty());
}

TEST_F(SctpSocketTest, an_address_of_another_machine_is_refused_by_name) {
  SctpOptions options;
  options.backend = POOLGATE_TEST_BACKEND;
  options.addresses = {ip("203.0.113.77")};
  const auto opened = open_sctp(io, options, {});
  ASSERT_FALSE(opened.ok());
  EXPECT_NE(opened.error().text.find("203.0.113.77"), std::string::npos) << opened.error().text;
}

TEST(SctpAddresses, RFC_6458_9_are_packed_one_after_the_other_and_read_back) {
  const std::vector addresses = {ip("10.0.0.1"), ip("2001:db8::1"), ip("10.0.0.2")};
  const PackedAddresses packed = pack_addresses(addresses, 3863);
  EXPECT_EQ(packed.count, 3);
  EXPECT_EQ(packed.bytes.size(), 2 * sizeof(sockaddr_in) + sizeof(sockaddr_in6));
  EXPECT_EQ(unpack_addresses(packed.bytes.data(), packed.count), addresses);
}

TEST(SctpAddresses, the_local_address_towards_the_loopback_network_is_on_it) {
  EXPECT_EQ(local_address_towards(ip("127.0.0.1")), ip("127.0.0.1"));
  EXPECT_EQ(local_address_towards(ip("203.0.113.1")), std::nullopt);  // no route
}

TEST(SctpBackends, names_are_read_back) {
  for (const auto backend : {SctpBackend::automatic, SctpBackend::kernel, SctpBackend::raw, SctpBackend::udp})
    EXPECT_EQ(parse_sctp_backend(to_string(backend)), backend);
  EXPECT_EQ(parse_sctp_backend("dccp"), std::nullopt);
}

}  // namespace
}  // namespace poolgate::transport
