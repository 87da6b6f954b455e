// SPDX-License-Identifier: BSD-3-Clause
// Which of several stacks a packet is for, and that a peer meets the same one whatever it comes by.
#include "dataplane/sctp/steering.h"

#include <set>

#include "dataplane/redirect/wire.h"
#include "dataplane/sctp/address_parameters.h"
#include "tests/unit/sctp_pair.h"

namespace poolgate::sctp {
namespace {

using redirect::wire::put16, redirect::wire::put32;
using Way = Steering::Way;

constexpr HashKey kKey{1, 2};
constexpr Steering::Ports kPorts{3863, 9901};

std::vector<uint8_t> packet(uint8_t type, uint8_t flags, uint32_t tag, uint16_t to = 3863,
                            uint16_t from = 40000) {
  std::vector<uint8_t> made(kCommonHeaderSize + 4);
  put16(made.data(), from);
  put16(made.data() + 2, to);
  put32(made.data() + 4, tag);
  made[12] = type;
  made[13] = flags;
  put16(made.data() + 14, 4);
  return made;
}

std::vector<uint8_t> init(std::vector<IpAddress> listed, uint16_t from = 40000) {
  std::vector<uint8_t> made = packet(1, 0, 0, 3863, from);
  made.resize(kCommonHeaderSize + 20);
  put16(made.data() + 14, 20);
  append_addresses(made, listed);
  return made;
}

bool nobody(const IpAddress&) { return false; }

TEST(SctpSteering, a_packet_is_the_stacks_whose_index_its_tag_carries) {
  const Steering steering(3, kPorts, kKey);
  for (const uint32_t index : {0u, 1u, 2u}) {
    const auto route = steering.route(packet(0, 3, index << 28 | 0x123456));
    EXPECT_EQ(route.way, Way::stack);
    EXPECT_EQ(route.stack, index);
  }
  EXPECT_EQ(steering.route(packet(0, 3, 0x70000001)).stack, 0u) << "no stack has that index: out of the blue";
}

TEST(SctpSteering, what_is_not_to_our_services_or_too_short_is_the_first_stacks) {
  const Steering steering(3, kPorts, kKey);
  EXPECT_EQ(steering.route(packet(2, 0, 0x20000001, 5000)).stack, 0u);
  EXPECT_EQ(steering.route(packet(1, 0, 0, 5000)).way, Way::stack);
  const auto whole = packet(0, 3, 0x20000001);
  EXPECT_EQ(steering.route({whole.data(), 15}).stack, 0u);
  EXPECT_EQ(steering.route({whole.data(), 16}).stack, 2u);
}

TEST(SctpSteering, RFC9260_8_5_1_a_reflected_tag_says_nothing_of_the_stack) {
  const Steering steering(3, kPorts, kKey);
  for (const uint8_t type : {6, 14}) {
    EXPECT_EQ(steering.route(packet(type, 1, 0x20000001)).way, Way::all_stacks);
    EXPECT_EQ(steering.route(packet(type, 0, 0x20000001)).way, Way::stack);
    EXPECT_EQ(steering.route(packet(type, 0, 0x20000001)).stack, 2u);
  }
}

TEST(SctpSteering, one_stack_has_everything) {
  const Steering steering(1, kPorts, kKey);
  for (const auto& p : {packet(1, 0, 0), packet(6, 1, 0x20000001), packet(0, 3, 0x30000001)}) {
    EXPECT_EQ(steering.route(p).way, Way::stack);
    EXPECT_EQ(steering.route(p).stack, 0u);
  }
  EXPECT_EQ(steering.by_peer(std::vector{ip("10.1.0.2")}, 40000, nobody), 0u);
}

TEST(SctpSteering, inits_of_many_peers_use_all_stacks) {
  const Steering steering(4, kPorts, kKey);
  std::array<unsigned, 4> count{};
  for (uint16_t port = 40000; port < 41000; ++port)
    ++count[steering.by_peer(std::vector{ip("10.1.0.2")}, port, nobody)];
  for (const unsigned n : count) EXPECT_GT(n, 180u);
}

TEST(SctpSteering, RFC9260_5_2_2_an_init_meets_the_same_stack_from_each_of_the_peers_addresses) {
  const Node node(config_of({"10.1.0.1"}, poolgate_sctp_stack_0));
  const Steering steering(4, kPorts, kKey);
  const std::vector<IpAddress> all{ip("10.2.0.2"), ip("10.1.0.2"), ip("fd00::2")};
  std::set<unsigned> used;
  for (uint16_t port = 40000; port < 40040; ++port) {
    std::set<unsigned> stacks;
    for (const IpAddress& source : all) {
      const auto bytes = init({all[1], all[2], all[0]}, port);
      stacks.insert(
          node.endpoint->stack_of_init({source, ip("10.1.0.1"), bytes.data(), bytes.size()}, steering));
    }
    EXPECT_EQ(stacks.size(), 1u) << "port " << port;
    // What we set up ourselves goes where the peer's own INIT would.
    EXPECT_EQ(steering.by_peer(all, port, nobody), *stacks.begin());
    used.insert(*stacks.begin());
  }
  EXPECT_EQ(used.size(), 4u);
}

// All PEs of a service have its VIP on their loopback, and list it.
TEST(SctpSteering, our_own_addresses_in_an_init_do_not_decide) {
  Config config = config_of({"10.1.0.1"}, poolgate_sctp_stack_0);
  config.never_paths = {ip("9.9.9.9")};
  const Node node(config);
  const Steering steering(4, kPorts, kKey);
  const auto with = init({ip("9.9.9.9"), ip("10.1.0.2"), ip("10.1.0.1"), ip("127.0.0.1")});
  const auto without = init({ip("10.1.0.2")});
  const IpAddress from = ip("10.1.0.2"), to = ip("10.1.0.1");
  EXPECT_EQ(node.endpoint->stack_of_init({from, to, with.data(), with.size()}, steering),
            node.endpoint->stack_of_init({from, to, without.data(), without.size()}, steering));
}

// Two stacks behind one address, as the data plane steers them.
struct TwoStacks {
  Steering steering{2, kPorts, kKey};
  Node first{with_index(poolgate_sctp_stack_0, 0)}, second{with_index(poolgate_sctp_stack_1, 1)};
  Node& of(const Packet& p) {
    const auto route = steering.route(p.bytes);
    const unsigned stack = route.way == Way::by_peer
                               ? first.endpoint->stack_of_init(
                                     {p.source, p.destination, p.bytes.data(), p.bytes.size()}, steering)
                               : route.stack;
    return stack == 0 ? first : second;
  }
  static Config with_index(const poolgate_sctp_stack& stack, uint32_t index) {
    Config config = config_of({"10.1.0.1"}, stack);
    config.stack_index = index;
    return config;
  }
};

TEST(SctpSteering, two_stacks_serve_the_same_address_each_its_own_peers) {
  TwoStacks us;
  for (uint16_t n = 0; n < 16; ++n) {
    const std::string address = "10.1.0." + std::to_string(10 + n);
    const auto bytes = init({}, static_cast<uint16_t>(40000 + n));
    Packet sent{ip(address.c_str()), ip("10.1.0.1"), 0, bytes, true};
    put32(sent.bytes.data() + 16, 0xabcd0000u + n);  // initiate tag
    put32(sent.bytes.data() + 20, 65536);            // a_rwnd
    put16(sent.bytes.data() + 24, 1);                // streams
    put16(sent.bytes.data() + 26, 1);
    Node& node = us.of(sent);
    InputPacket input{sent.source, sent.destination, sent.bytes.data(), sent.bytes.size()};
    input.checksum_good = true;
    node.endpoint->input(input);
    ASSERT_EQ(node.sent.size(), 1u) << "an INIT ACK";
    EXPECT_EQ(node.sent.front().chunk(), 2);
    // Its initiate tag brings everything that follows to this stack.
    const uint32_t tag = redirect::wire::get32(node.sent.front().bytes.data() + 16);
    EXPECT_EQ(tag >> 28, &node == &us.first ? 0u : 1u);
    node.sent.clear();
    Packet echo{sent.source, sent.destination, 0, packet(10, 0, tag), true};
    EXPECT_EQ(&us.of(echo), &node);
  }
  EXPECT_GT(us.first.endpoint->counters().inits_in, 0u);
  EXPECT_GT(us.second.endpoint->counters().inits_in, 0u);
  EXPECT_EQ(us.first.endpoint->counters().inits_in + us.second.endpoint->counters().inits_in, 16u);
}

}  // namespace
}  // namespace poolgate::sctp
