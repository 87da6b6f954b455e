// SPDX-License-Identifier: BSD-3-Clause
// Bytes on the wire: address parameters, checksums, floods, and UDP encapsulation.
#include <malloc.h>

#include <algorithm>
#include <cstring>

#include "dataplane/sctp/address_parameters.h"
#include "dataplane/sctp/crc32c.h"
#include "dataplane/sctp/keyed_hash.h"
#include "dataplane/sctp/token_bucket.h"
#include "tests/unit/sctp_pair.h"

namespace poolgate::sctp {
namespace {

using Bytes = std::vector<uint8_t>;

TEST(SctpWire, RFC9260_A_crc32c_by_instruction_and_by_table) {
  const auto* digits = reinterpret_cast<const uint8_t*>("123456789");
  EXPECT_EQ(crc32c(digits, 9), 0xe3069283u);
  EXPECT_EQ(crc32c_by_table(digits, 9), 0xe3069283u);
  Bytes zeros(32, 0);  // RFC 3720 B.4: aa 36 91 8a
  EXPECT_EQ(crc32c(zeros.data(), zeros.size()), 0x8a9136aau);
  Bytes any(1000);
  for (size_t i = 0; i < any.size(); ++i) any[i] = static_cast<uint8_t>(i * 7 + 3);
  for (size_t n = 0; n < any.size(); n += 13)
    EXPECT_EQ(crc32c(any.data(), n), crc32c_by_table(any.data(), n));
  Bytes packet(any.begin(), any.begin() + 40);
  Bytes cleared = packet;
  std::memset(&cleared[8], 0, 4);
  EXPECT_EQ(packet_checksum(packet.data(), packet.size()), crc32c(cleared.data(), cleared.size()));
}

TEST(SctpWire, siphash_2_4_gives_its_authors_vectors) {
  HashKey key;
  key.low = 0x0706050403020100;
  key.high = 0x0f0e0d0c0b0a0908;
  Bytes input;
  for (uint8_t i = 0; i < 15; ++i) input.push_back(i);
  EXPECT_EQ(keyed_hash(key, input.data(), 0), 0x726fdb47dd0e0e31u);
  EXPECT_EQ(keyed_hash(key, input.data(), 15), 0xa129ca6149be45e5u);
}

TEST(SctpWire, a_token_bucket_gives_its_rate_and_a_tenth_of_a_second_at_once) {
  TokenBucket bucket(100);
  int taken = 0;
  while (bucket.take()) ++taken;
  EXPECT_EQ(taken, 10);
  for (int i = 0; i < 100; ++i) {
    bucket.pass(10'000);
    while (bucket.take()) ++taken;
  }
  EXPECT_EQ(taken, 110);
  bucket.pass(3'600'000'000);
  while (bucket.take()) ++taken;
  EXPECT_EQ(taken, 120);
}

TEST(SctpWire, RFC9260_3_3_2_1_addresses_are_appended_as_parameters_and_read_back) {
  Bytes packet(12, 0xee);
  const Bytes init = {1, 0, 0, 22, 1, 2, 3, 4, 0, 2, 0, 0, 0, 10, 0, 10, 9, 8, 7, 6, 0xc0, 0};
  packet.insert(packet.end(), init.begin(), init.end());
  const std::vector<IpAddress> ours = {ip("10.1.0.1"), ip("fd00::2")};
  append_addresses(packet, ours);
  Bytes expected(12, 0xee);
  expected.insert(expected.end(), init.begin(), init.end());
  expected[15] = 24 + 8 + 20;
  const Bytes added = {0, 0,                                    // padding of what was there
                       0, 5, 0, 8,  10,   1, 0, 1,              // IPv4 Address
                       0, 6, 0, 20, 0xfd, 0, 0, 0, 0, 0, 0, 0,  // IPv6 Address
                       0, 0, 0, 0,  0,    0, 0, 2};
  expected.insert(expected.end(), added.begin(), added.end());
  EXPECT_EQ(packet, expected);
}

Bytes init_chunk(const Bytes& parameters) {
  Bytes chunk = {
      1, 0, 0, static_cast<uint8_t>(20 + parameters.size()), 1, 2, 3, 4, 0, 2, 0, 0, 0, 10, 0, 10, 9,
      8, 7, 6};
  chunk.insert(chunk.end(), parameters.begin(), parameters.end());
  return chunk;
}

TEST(SctpWire, addresses_are_read_between_other_parameters_each_once) {
  const auto chunk = init_chunk({0xc0, 0, 0, 4,                              // Forward-TSN
                                 0,    5, 0, 8,  10,   1, 0, 2,              //
                                 0x80, 8, 0, 5,  0xc0, 0, 0, 0,              // Supported Extensions, padded
                                 0,    6, 0, 20, 0xfd, 0, 0, 0, 0, 0, 0, 0,  //
                                 0,    0, 0, 0,  0,    0, 0, 9,              //
                                 0,    5, 0, 8,  10,   1, 0, 2,              // again
                                 0,    5, 0, 7,  10,   1, 0, 0});            // a wrong length: not an address
  EXPECT_EQ(read_addresses(chunk), (std::vector{ip("10.1.0.2"), ip("fd00::9")}));
}

TEST(SctpWire, a_list_of_addresses_ends_where_it_is_malformed) {
  EXPECT_EQ(read_addresses(init_chunk({0, 5, 0, 8, 10, 1, 0, 2, 0, 5, 0, 3, 10, 1, 0, 3})),
            std::vector{ip("10.1.0.2")});
  EXPECT_EQ(read_addresses(init_chunk({0, 5, 0, 8, 10, 1})), std::vector<IpAddress>{});
  EXPECT_EQ(read_addresses(Bytes{1, 0}), std::vector<IpAddress>{});
  Bytes many;
  for (uint8_t i = 0; i < 28; ++i) many.insert(many.end(), {0, 5, 0, 8, 10, 1, 0, i});
  EXPECT_EQ(read_addresses(init_chunk(many)).size(), 28u);
}

TEST(SctpWire, only_addresses_that_a_peer_may_have_become_paths) {
  for (const char* good : {"10.0.0.1", "192.0.2.9", "223.255.255.254", "2001:db8::1", "fd00::1"})
    EXPECT_TRUE(is_unicast(ip(good))) << good;
  for (const char* bad : {"0.0.0.0", "127.0.0.1", "169.254.1.1", "224.0.0.1", "255.255.255.255", "::", "::1",
                          "fe80::1", "ff02::1", "::ffff:10.0.0.1"})
    EXPECT_FALSE(is_unicast(ip(bad))) << bad;
  Pair pair(config_of({"10.1.0.1"}, poolgate_sctp_stack_0),
            config_of({"10.1.0.2", "224.0.0.1", "127.0.0.1"}, poolgate_sctp_stack_1));
  ASSERT_TRUE(pair.set_up());
  EXPECT_EQ(pair.a.ups[0].peer_addresses, std::vector{ip("10.1.0.2")});
}

TEST(SctpWire, a_packet_fits_the_path_with_the_headers_of_IPv6_and_UDP) {
  Pair pair;
  ASSERT_TRUE(pair.set_up());
  size_t largest = 0;
  pair.passes = [&](Packet& p) {
    largest = std::max(largest, p.bytes.size());
    return true;
  };
  ASSERT_EQ(pair.b.say(std::string(20'000, 'x')), SendStatus::sent);
  ASSERT_TRUE(pair.until([&] { return pair.a.messages.size() == 1; }));
  EXPECT_EQ(largest, 1452u);  // 1500 - 40 - 8
}

TEST(SctpWire, INIT_and_INIT_ACK_list_all_our_addresses_of_both_families) {
  Pair pair(config_of({"10.1.0.1", "10.2.0.1", "fd00:3::1"}, poolgate_sctp_stack_0),
            config_of({"10.1.0.2", "fd00:3::2"}, poolgate_sctp_stack_1));
  std::map<uint8_t, Bytes> seen;
  pair.passes = [&](Packet& p) {
    if (p.chunk() <= 2) seen[p.chunk()] = p.bytes;
    return true;
  };
  ASSERT_TRUE(pair.set_up());
  const Bytes of_b = {0, 5, 0, 8, 10, 1, 0, 2, 0, 6, 0, 20, 0xfd, 0,
                      0, 3, 0, 0, 0,  0, 0, 0, 0, 0, 0, 0,  0,    2};
  const Bytes of_a = {0, 5,  0,    8, 10, 1, 0, 1, 0, 5, 0, 8, 10, 2, 0, 1, 0, 6,
                      0, 20, 0xfd, 0, 0,  3, 0, 0, 0, 0, 0, 0, 0,  0, 0, 0, 0, 1};
  for (const auto& [type, tail] : {std::pair{uint8_t{1}, of_b}, std::pair{uint8_t{2}, of_a}}) {
    ASSERT_TRUE(seen.contains(type));
    const Bytes& packet = seen[type];
    ASSERT_GT(packet.size(), tail.size());
    EXPECT_EQ(Bytes(packet.end() - static_cast<long>(tail.size()), packet.end()), tail);
    EXPECT_EQ(packet[14] << 8 | packet[15], static_cast<int>(packet.size() - 12));
  }
}

TEST(SctpWire, with_offload_the_checksum_is_left_to_the_NIC_but_not_within_UDP) {
  Config of_a = config_of({"10.1.0.1"}, poolgate_sctp_stack_0);
  of_a.checksum_offload = true;
  Pair pair(of_a);
  int left = 0;
  pair.passes = [&](Packet& p) {
    left += !p.checksum_done && Bytes(&p.bytes[8], &p.bytes[12]) == Bytes(4, 0);
    return true;
  };
  ASSERT_TRUE(pair.set_up());
  EXPECT_GT(left, 1);
}

TEST(SctpWire, a_flood_of_INITs_is_answered_at_its_rate_and_leaves_nothing_behind) {
  Config of_a = config_of({"10.1.0.1"}, poolgate_sctp_stack_0);
  of_a.sctp.init_rate = 1000;
  Pair pair(of_a);
  ASSERT_TRUE(pair.b.endpoint->connect(channel::SctpService::asap, {ip("10.1.0.1")}, 3863, 1));
  Packet init = pair.b.sent.front();
  pair.b.sent.clear();
  ASSERT_EQ(init.chunk(), 1);
  size_t answered = 0;
  pair.a.on_output = [&](const Packet& p) {
    answered += p.chunk() == 2;
    return false;
  };
  const auto flood = [&](uint32_t first) {
    for (uint32_t i = first; i < first + 20'000; ++i) {
      const uint32_t address = 0x0b000000 + i;
      const std::array<uint8_t, 4> bytes = {
          static_cast<uint8_t>(address >> 24), static_cast<uint8_t>(address >> 16),
          static_cast<uint8_t>(address >> 8), static_cast<uint8_t>(address)};
      std::memcpy(&init.bytes[16], bytes.data(), 4);  // a tag of its own
      pair.a.endpoint->input(
          {IpAddress::v4(bytes.data()), ip("10.1.0.1"), init.bytes.data(), init.bytes.size(), 0, true});
    }
  };
  pair.a.endpoint->tick(virtual_now_us);
  flood(0);
  EXPECT_EQ(answered, 100u);  // a tenth of a second's worth
  const size_t before = mallinfo2().uordblks;
  flood(20'000);
  EXPECT_LT(mallinfo2().uordblks, before + 4096);
  EXPECT_EQ(answered, 100u);
  EXPECT_EQ(pair.a.endpoint->associations(), 0u);
  EXPECT_EQ(pair.a.endpoint->counters().drops[static_cast<size_t>(Drop::init_rate)], 39'900u);
  EXPECT_EQ(pair.a.endpoint->counters().inits_in, 40'000u);
}

TEST(SctpWire, out_of_the_blue_packets_are_answered_with_ABORT_at_their_rate) {
  Config of_a = config_of({"10.1.0.1"}, poolgate_sctp_stack_0);
  of_a.out_of_the_blue_rate = 200;
  Pair pair(of_a);
  ASSERT_TRUE(pair.set_up());
  pair.b.say("x");
  Packet data = pair.b.sent.front();
  pair.b.sent.clear();
  data.bytes[7] ^= 1;  // a tag that nobody has
  int aborts = 0;
  pair.a.on_output = [&](const Packet& p) {
    aborts += p.chunk() == 6;
    return false;
  };
  for (int i = 0; i < 100; ++i)
    pair.a.endpoint->input({ip("10.7.7.7"), data.destination, data.bytes.data(), data.bytes.size(), 0, true});
  EXPECT_EQ(aborts, 20);
  EXPECT_EQ(pair.a.endpoint->counters().drops[static_cast<size_t>(Drop::out_of_the_blue)], 80u);
  EXPECT_EQ(pair.a.endpoint->associations(), 1u);
}

TEST(SctpWire, no_more_associations_than_configured) {
  Config of_a = config_of({"10.1.0.1"}, poolgate_sctp_stack_0);
  of_a.sctp.max_associations = 1;
  Pair pair(of_a);
  ASSERT_TRUE(pair.set_up());
  ASSERT_TRUE(pair.b.endpoint->connect(channel::SctpService::enrp, {ip("10.1.0.1")}, 3863, 2));
  pair.run(100);
  EXPECT_EQ(pair.a.endpoint->associations(), 1u);
  EXPECT_GE(pair.a.endpoint->counters().drops[static_cast<size_t>(Drop::associations_full)], 1u);
}

TEST(SctpUdp, RFC6951_an_association_in_UDP_and_its_port_follows_a_NAT) {
  Pair pair(config_of({"10.1.0.1"}, poolgate_sctp_stack_0), config_of({"10.1.0.2"}, poolgate_sctp_stack_1),
            9899, 40'000);
  bool all_in_udp = true;
  pair.passes = [&](Packet& p) {
    all_in_udp = all_in_udp && p.udp_port != 0;
    return true;
  };
  ASSERT_TRUE(pair.set_up());
  ASSERT_EQ(pair.b.say("x"), SendStatus::sent);
  ASSERT_TRUE(pair.until([&] { return pair.a.messages.size() == 1; }));
  EXPECT_TRUE(all_in_udp);
  uint16_t port = 0;
  pair.a.on_output = [&](const Packet& p) {
    port = p.udp_port;
    return true;
  };
  ASSERT_EQ(pair.a.say("y"), SendStatus::sent);
  EXPECT_EQ(port, 40'000);
  pair.b.encapsulation_port = 50'000;  // the NAT forgot
  ASSERT_EQ(pair.b.say("z"), SendStatus::sent);
  ASSERT_TRUE(pair.until([&] { return pair.a.messages.size() == 2; }));
  ASSERT_EQ(pair.a.say("to the new port"), SendStatus::sent);
  EXPECT_EQ(port, 50'000);
  ASSERT_TRUE(pair.until([&] { return pair.b.messages.size() == 2; }));
  EXPECT_EQ(pair.a.endpoint->associations(), 1u);
}

TEST(SctpUdp, two_peers_behind_one_NAT_with_equal_ports_are_two_associations) {
  Pair pair(config_of({"10.1.0.1"}, poolgate_sctp_stack_0), config_of({"10.1.0.2"}, poolgate_sctp_stack_1),
            9899, 40'000);
  ASSERT_TRUE(pair.set_up());
  // Another host with the same address and SCTP port, as seen from here: b after losing its memory, from
  // another port.
  pair.b.restart();
  pair.b.encapsulation_port = 41'000;
  ASSERT_TRUE(pair.set_up());
  EXPECT_EQ(pair.a.endpoint->associations(), 2u);
  EXPECT_FALSE(pair.a.ups[1].restarted);
}

}  // namespace
}  // namespace poolgate::sctp
