// SPDX-License-Identifier: BSD-3-Clause
// The bytes of probes and of their answers (RFC 9260 §3.3.2, §3.3.5, §5.1, §8.4; RFC 792; RFC 4443 §4).
#include "dataplane/probe/probe_packet.h"

#include <gtest/gtest.h>

#include <algorithm>

#include "tests/unit/packet_builder.h"

namespace poolgate::test {
namespace {

using config::ProbeKind;
using probe::Answer;
using probe::Probe;
using probe::Target;

constexpr uint32_t kTag = 0xa1b2c3d4;

Frame probe_of(ProbeKind how, const char* to, const char* from) {
  const Target target{how, ip(to), static_cast<uint16_t>(how == ProbeKind::icmp ? 0 : 3868), 3, 100'000};
  const Probe probe{0, &target, {kTag, 0x1234}, 7};
  uint8_t bytes[probe::kMaxProbe];
  const size_t n = probe::build_probe(bytes, probe, ip(from), 99);
  EXPECT_LE(n, sizeof bytes);
  return {0, Bytes(bytes, bytes + n)};
}

std::optional<Answer> parse(const Bytes& frame) {
  redirect::PacketInfo info;
  EXPECT_TRUE(redirect::parse(frame.data(), frame.size(), frame.size(), info));
  return probe::parse_answer(info, frame.data(), frame.size());
}

// From the PE to the prober's port.
Flow back() { return {ip("10.0.2.11"), ip("10.0.2.1"), 3868, probe::kProbePort}; }

// A chunk of SCTP as it stands in the frame, in network order.
Bytes chunk(uint8_t type, uint8_t flags, const Bytes& value) {
  Bytes c{type, flags, 0, static_cast<uint8_t>(4 + value.size())};
  c.insert(c.end(), value.begin(), value.end());
  return c;
}
Bytes init_ack() { return chunk(2, 0, {0xde, 0xad, 0xbe, 0xef, 0, 1, 0, 0, 0, 1, 0, 1, 1, 2, 3, 4}); }

TEST(ProbePacket, RFC_9260_3_3_2_an_INIT_from_our_port_with_tag_0_and_the_token_to_be_repeated) {
  for (const auto& [to, from] : {std::pair{"10.0.2.11", "10.0.2.1"}, {"fd00:2::11", "fd00:2::1"}}) {
    const Frame f = probe_of(ProbeKind::sctp, to, from);
    EXPECT_EQ(f.from(), ip(from));
    EXPECT_EQ(f.to(), ip(to));
    EXPECT_EQ(f.protocol(), 132);
    EXPECT_EQ(f.from_port(), probe::kProbePort);
    EXPECT_EQ(f.to_port(), 3868);
    EXPECT_EQ(f.tag(), 0u) << "RFC 9260 8.5.1 A";
    EXPECT_EQ(f.chunk_type(), 1);
    EXPECT_TRUE(f.checksums_right());
    const uint8_t* initiate = &f.bytes[f.bytes.size() - 16];
    EXPECT_EQ(Bytes(initiate, initiate + 4), (Bytes{0xa1, 0xb2, 0xc3, 0xd4}));
    EXPECT_EQ(f.bytes[f.bytes.size() - 12 + 2] << 8 | f.bytes[f.bytes.size() - 12 + 3], 1500);
  }
}

TEST(ProbePacket, RFC_9260_3_3_5_a_HEARTBEAT_out_of_the_blue_with_the_token_for_its_tag) {
  for (const auto& [to, from] : {std::pair{"10.0.2.11", "10.0.2.1"}, {"fd00:2::11", "fd00:2::1"}}) {
    const Frame f = probe_of(ProbeKind::heartbeat, to, from);
    EXPECT_EQ(f.chunk_type(), 4);
    EXPECT_EQ(f.to_port(), 3868);
    EXPECT_NE(f.tag(), 0u);
    EXPECT_TRUE(f.checksums_right());
  }
}

TEST(ProbePacket, RFC_792_and_4443_an_echo_that_its_echo_is_known_by) {
  for (const auto& [to, from] : {std::pair{"10.0.2.11", "10.0.2.1"}, {"fd00:2::11", "fd00:2::1"}}) {
    const Frame f = probe_of(ProbeKind::icmp, to, from);
    const bool v6 = ip(to).is_v6();
    EXPECT_EQ(f.protocol(), v6 ? 58 : 1);
    EXPECT_TRUE(f.checksums_right());
    // As a host echoes it: addresses turned round, another type, its own checksum.
    Bytes reply = f.bytes;
    const size_t l3 = 14, n = v6 ? 16 : 4, at = l3 + (v6 ? 8 : 12), l4 = l3 + (v6 ? 40 : 20);
    std::swap_ranges(reply.begin() + static_cast<long>(at), reply.begin() + static_cast<long>(at + n),
                     reply.begin() + static_cast<long>(at + n));
    EXPECT_FALSE(parse(reply)) << "a request is no answer";
    reply[l4] = v6 ? 129 : 0;
    EXPECT_FALSE(parse(reply)) << "the checksum is wrong";
    set16(reply, l4 + 2, 0);
    const Bytes icmp = slice(reply, l4, reply.size() - l4);
    set16(reply, l4 + 2, v6 ? transport_checksum(ip(to), ip(from), 58, icmp) : internet_checksum(icmp));
    const auto answer = parse(reply);
    ASSERT_TRUE(answer);
    EXPECT_EQ(answer->how, ProbeKind::icmp);
    EXPECT_EQ(answer->address, ip(to));
    EXPECT_EQ(answer->port, 0);
    EXPECT_EQ(answer->token, (probe::Token{kTag, 0x1234}));
  }
}

TEST(ProbePacket, RFC_9260_5_1_an_INIT_ACK_answers_an_INIT) {
  const auto answer = parse(sctp(back(), kTag, init_ack()));
  ASSERT_TRUE(answer);
  EXPECT_EQ(answer->how, ProbeKind::sctp);
  EXPECT_EQ(answer->address, ip("10.0.2.11"));
  EXPECT_EQ(answer->port, 3868);
  EXPECT_EQ(answer->token.tag, kTag);
  EXPECT_FALSE(answer->refused);
}

TEST(ProbePacket, RFC_9260_8_4_3_an_ABORT_without_T_refuses_an_INIT) {
  const auto answer = parse(sctp(back(), kTag, chunk(6, 0, {})));
  ASSERT_TRUE(answer);
  EXPECT_EQ(answer->how, ProbeKind::sctp);
  EXPECT_TRUE(answer->refused);
}

TEST(ProbePacket, RFC_9260_8_4_8_an_ABORT_with_T_answers_a_HEARTBEAT) {
  const auto answer = parse(sctp(back(), kTag, chunk(6, 1, {})));
  ASSERT_TRUE(answer);
  EXPECT_EQ(answer->how, ProbeKind::heartbeat);
  EXPECT_EQ(answer->token.tag, kTag);
  EXPECT_FALSE(answer->refused);
}

TEST(ProbePacket, nothing_else_is_an_answer) {
  const uint32_t tag = kTag;
  EXPECT_FALSE(parse(sctp(back(), tag, chunk(1, 0, {1, 2, 3, 4, 0, 0, 8, 0, 0, 1, 0, 1, 1, 2, 3, 4}))))
      << "an INIT";
  EXPECT_FALSE(parse(sctp(back(), tag, chunk(5, 0, {0, 1, 0, 4})))) << "a HEARTBEAT ACK";
  EXPECT_FALSE(parse(sctp(back(), tag, chunk(9, 0, {0, 1, 0, 4})))) << "an ERROR";
  EXPECT_FALSE(parse(sctp(back(), tag, chunk(2, 0, {1, 2, 3, 4})))) << "an INIT ACK cut short";
  EXPECT_FALSE(parse(sctp(back(), tag, {}))) << "no chunk";
  Flow elsewhere = back();
  elsewhere.to_port = 3863;
  EXPECT_FALSE(parse(sctp(elsewhere, tag, init_ack()))) << "to another port";
  Bytes damaged = sctp(back(), tag, init_ack());
  damaged.back() ^= 1;
  EXPECT_FALSE(parse(damaged)) << "wrong CRC32c";
}

TEST(ProbePacket, an_answer_cut_anywhere_is_none_and_is_not_read_past) {
  const Bytes whole = sctp(back(), kTag, init_ack());
  for (size_t n = 0; n < whole.size(); ++n) {
    const Bytes cut(whole.begin(), whole.begin() + static_cast<long>(n));
    redirect::PacketInfo info;
    if (!redirect::parse(cut.data(), cut.size(), whole.size(), info) || info.kind != redirect::PacketKind::l4)
      continue;
    EXPECT_FALSE(probe::parse_answer(info, cut.data(), cut.size())) << n;
  }
}

}  // namespace
}  // namespace poolgate::test
