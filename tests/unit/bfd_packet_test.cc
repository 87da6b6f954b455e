// SPDX-License-Identifier: BSD-3-Clause
// The bytes of BFD Control packets (RFC 5880 §4.1, RFC 5881 §4-5), and each reason to discard one.
#include "dataplane/probe/bfd_packet.h"

#include <gtest/gtest.h>

#include <functional>

#include "dataplane/redirect/bfd_port.h"
#include "tests/unit/packet_builder.h"

namespace poolgate::test {
namespace {

using probe::BfdControl;
using probe::BfdDiscard;
using probe::BfdState;

constexpr size_t kUdp = 34, kBfd = 42;  // where they begin over IPv4

BfdControl control() {
  BfdControl c;
  c.diagnostic = 3;
  c.state = BfdState::init;
  c.poll = true;
  c.control_plane_independent = true;
  c.detect_mult = 5;
  c.my_discriminator = 0x01020304;
  c.your_discriminator = 0xa1a2a3a4;
  c.desired_min_tx_us = 1'000'000;
  c.required_min_rx_us = 100'000;
  return c;
}

Frame frame(const BfdControl& c = control(), const char* from = "10.0.2.1", const char* to = "10.0.2.11") {
  uint8_t bytes[probe::kMaxBfdFrame];
  const size_t n = probe::build_bfd(bytes, c, ip(from), ip(to), 50'000, 7);
  EXPECT_LE(n, sizeof bytes);
  return {0, Bytes(bytes, bytes + n)};
}

BfdDiscard parse(const Bytes& bytes, BfdControl& c) {
  redirect::PacketInfo info;
  EXPECT_TRUE(redirect::parse(bytes.data(), bytes.size(), bytes.size(), info));
  EXPECT_TRUE(redirect::is_to_bfd_port(info));
  return probe::parse_bfd(info, bytes.data(), c);
}

TEST(BfdPacket, RFC_5880_4_1_its_24_bytes) {
  const Bytes wanted = {0x23, 0xa8, 5,    24,   0x01, 0x02, 0x03, 0x04, 0xa1, 0xa2, 0xa3, 0xa4,
                        0x00, 0x0f, 0x42, 0x40, 0x00, 0x01, 0x86, 0xa0, 0,    0,    0,    0};
  const Bytes bytes = frame().bytes;
  EXPECT_EQ(Bytes(bytes.begin() + kBfd, bytes.end()), wanted);
}

TEST(BfdPacket, RFC_5881_4_and_5_in_UDP_with_TTL_255_over_both_families) {
  for (const auto& [from, to] : {std::pair{"10.0.2.1", "10.0.2.11"}, {"fd00:2::1", "fd00:2::11"}}) {
    const Frame f = frame(control(), from, to);
    EXPECT_EQ(f.from(), ip(from));
    EXPECT_EQ(f.to(), ip(to));
    EXPECT_EQ(f.protocol(), 17);
    EXPECT_EQ(f.from_port(), 50'000);
    EXPECT_EQ(f.to_port(), 3784);
    EXPECT_EQ(f.bytes[ip(to).is_v6() ? 14 + 7 : 14 + 8], 255);
    EXPECT_TRUE(f.checksums_right());
    BfdControl read;
    EXPECT_EQ(parse(f.bytes, read), BfdDiscard::none);
    EXPECT_EQ(read, control());
  }
}

TEST(BfdPacket, RFC_5880_4_1_each_bit_and_state_is_read_as_it_was_written) {
  for (unsigned bits = 0; bits < 64; ++bits) {
    BfdControl c = control();
    c.state = static_cast<BfdState>(bits & 3);
    c.poll = (bits & 4) != 0;
    c.final = (bits & 8) != 0;
    c.control_plane_independent = (bits & 16) != 0;
    c.demand = (bits & 32) != 0;
    BfdControl read;
    EXPECT_EQ(parse(frame(c).bytes, read), BfdDiscard::none);
    EXPECT_EQ(read, c);
  }
}

TEST(BfdPacket, RFC_5880_6_8_6_each_rule_that_discards) {
  struct Rule {
    BfdDiscard why;
    std::function<void(Bytes&)> change;
  };
  const auto set = [](size_t at, uint8_t value) { return [=](Bytes& b) { b[kBfd + at] = value; }; };
  const Rule rules[] = {
      {BfdDiscard::version, set(0, 0x03)},
      {BfdDiscard::version, set(0, 0x43)},
      {BfdDiscard::length, set(3, 23)},
      {BfdDiscard::length, set(3, 25)},                                            // more than there is
      {BfdDiscard::length, [](Bytes& b) { b[kBfd + 1] |= 4; }},                    // A, and no room for it
      {BfdDiscard::length, [](Bytes& b) { b[kBfd + 1] |= 4, b[kBfd + 3] = 26; }},  // A, beyond the payload
      {BfdDiscard::detect_mult, set(2, 0)},
      {BfdDiscard::multipoint, [](Bytes& b) { b[kBfd + 1] |= 1; }},
      {BfdDiscard::my_discriminator, [](Bytes& b) { std::fill_n(&b[kBfd + 4], 4, uint8_t{0}); }},
      {BfdDiscard::none, [](Bytes& b) { b[kBfd + 20] = 1; }},  // it would loop echoes: nothing of ours
  };
  for (const Rule& rule : rules) {
    SCOPED_TRACE(to_string(rule.why));
    Bytes bytes = frame().bytes;
    rule.change(bytes);
    set16(bytes, kUdp + 6, 0);  // no checksum, over IPv4
    BfdControl read;
    EXPECT_EQ(parse(bytes, read), rule.why);
  }
}

TEST(BfdPacket, RFC_5880_6_8_6_rules_apply_in_their_order) {
  Bytes bytes = frame().bytes;
  set16(bytes, kUdp + 6, 0);
  std::fill_n(&bytes[kBfd + 4], 4, uint8_t{0});
  BfdControl read;
  EXPECT_EQ(parse(bytes, read), BfdDiscard::my_discriminator);
  bytes[kBfd + 1] |= 1;
  EXPECT_EQ(parse(bytes, read), BfdDiscard::multipoint);
  bytes[kBfd + 2] = 0;
  EXPECT_EQ(parse(bytes, read), BfdDiscard::detect_mult);
  bytes[kBfd + 3] = 99;
  EXPECT_EQ(parse(bytes, read), BfdDiscard::length);
  bytes[kBfd] = 0;
  EXPECT_EQ(parse(bytes, read), BfdDiscard::version);
}

TEST(BfdPacket, RFC_5881_5_who_is_not_a_neighbour_cannot_send_a_TTL_of_255) {
  for (const auto& [to, at] : {std::pair{"10.0.2.11", size_t{14 + 8}}, {"fd00:2::11", size_t{14 + 7}}}) {
    Bytes bytes = frame(control(), ip(to).is_v6() ? "fd00:2::1" : "10.0.2.1", to).bytes;
    bytes[at] = 254;
    BfdControl read;
    EXPECT_EQ(parse(bytes, read), BfdDiscard::hop_limit);
  }
}

TEST(BfdPacket, RFC_768_and_8200_8_1_its_checksum) {
  Bytes v4 = frame().bytes;
  v4[kBfd + 7] ^= 1;
  BfdControl read;
  EXPECT_EQ(parse(v4, read), BfdDiscard::checksum);
  Bytes v6 = frame(control(), "fd00:2::1", "fd00:2::11").bytes;
  set16(v6, 14 + 40 + 6, 0);
  EXPECT_EQ(parse(v6, read), BfdDiscard::checksum) << "over IPv6 there is always one";
}

TEST(BfdPacket, an_empty_datagram_and_one_that_ends_early_are_read_to_their_end_only) {
  for (size_t payload = 0; payload < probe::kBfdControl; ++payload) {
    Bytes bytes = frame().bytes;
    bytes.resize(kBfd + payload);
    bytes.shrink_to_fit();
    set16(bytes, 14 + 2, static_cast<uint16_t>(28 + payload));
    set16(bytes, kUdp + 4, static_cast<uint16_t>(8 + payload));
    set16(bytes, kUdp + 6, 0);
    BfdControl read;
    EXPECT_EQ(parse(bytes, read), BfdDiscard::length);
    redirect::PacketInfo info;
    ASSERT_TRUE(redirect::parse(bytes.data(), bytes.size(), bytes.size(), info));
    const probe::BfdKey key = probe::bfd_key(info, bytes.data());
    EXPECT_EQ(key.your_discriminator, 0u);
    EXPECT_EQ(key.from, ip("10.0.2.1"));
  }
}

TEST(BfdPacket, its_session_is_selected_by_our_discriminator_and_its_sender) {
  const Bytes bytes = frame().bytes;
  redirect::PacketInfo info;
  ASSERT_TRUE(redirect::parse(bytes.data(), bytes.size(), bytes.size(), info));
  const probe::BfdKey key = probe::bfd_key(info, bytes.data());
  EXPECT_EQ(key.your_discriminator, 0xa1a2a3a4u);
  EXPECT_EQ(key.from, ip("10.0.2.1"));
}

}  // namespace
}  // namespace poolgate::test
