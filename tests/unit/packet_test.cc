// SPDX-License-Identifier: BSD-3-Clause
// The packet parser: what it says of good packets, why it refuses bad ones, and that it reads nothing beyond
// its bytes.
#include "dataplane/redirect/packet.h"

#include <gtest/gtest.h>

#include <memory>
#include <random>

#include "tests/unit/redirect_rig.h"

namespace poolgate::test {
namespace {

using redirect::DropReason;
using redirect::PacketInfo;
using redirect::PacketKind;

const Flow kFlow{ip("203.0.113.1"), ip("192.0.2.1"), 40000, 3868};
const Flow kFlow6{ip("2001:db8:c::1"), ip("2001:db8::1"), 40000, 3868};

// On a heap block of exactly the frame's size, so that the sanitizer sees a read too far.
PacketInfo parsed(const Bytes& frame) {
  const auto exact = std::make_unique<uint8_t[]>(frame.size());
  std::copy(frame.begin(), frame.end(), exact.get());
  PacketInfo info;
  EXPECT_TRUE(redirect::parse(exact.get(), frame.size(), frame.size(), info)) << "whole, yet asks for more";
  return info;
}
DropReason refused(const Bytes& frame) {
  const PacketInfo info = parsed(frame);
  EXPECT_EQ(info.kind, PacketKind::bad);
  return info.drop;
}
Bytes changed(Bytes frame, size_t at, uint8_t value) {
  frame.at(at) = value;
  return frame;
}
Bytes ipv6_frame(uint8_t next, const Bytes& payload) { return ip_frame(kFlow6, next, payload); }

TEST(Packet, sctp_tcp_and_udp_give_their_flow) {
  for (const auto& [frame, protocol] :
       {std::pair{sctp(kFlow, 1, data_chunk()), 132}, {tcp(kFlow, kAck, 1, 1), 6}, {udp(kFlow, "x"), 17}}) {
    const PacketInfo info = parsed(frame);
    EXPECT_EQ(info.kind, PacketKind::l4);
    EXPECT_EQ(info.flow.protocol, protocol);
    EXPECT_EQ(info.flow.family, 4);
    EXPECT_EQ(std::memcmp(&info.flow.source, kFlow.from.data(), 4), 0);
    EXPECT_EQ(std::memcmp(&info.flow.destination, kFlow.to.data(), 4), 0);
    EXPECT_EQ(info.flow.source_port, __builtin_bswap16(40000));
    EXPECT_EQ(info.flow.destination_port, __builtin_bswap16(3868));
    EXPECT_EQ(info.l3_offset, 14);
    EXPECT_EQ(info.l4_offset, 34);
    EXPECT_EQ(info.l4_length, frame.size() - 34);
  }
  const PacketInfo info = parsed(udp(kFlow6, "x"));
  EXPECT_EQ(info.kind, PacketKind::l4);
  EXPECT_EQ(info.flow.family, 6);
  EXPECT_EQ(info.l4_offset, 54);
}

TEST(Packet, ethernet_padding_is_no_part_of_the_packet) {
  Bytes frame = udp(kFlow, "x");
  frame.resize(60);
  EXPECT_EQ(parsed(frame).l4_length, 9);
}

TEST(Packet, one_and_two_vlan_tags_are_stepped_over) {
  Flow f = kFlow;
  f.vlan = 42;
  Bytes frame = udp(f, "x");
  EXPECT_EQ(parsed(frame).vlan_tci, 42);
  EXPECT_EQ(parsed(frame).l4_offset, 38);
  frame.insert(frame.begin() + 12, {0x88, 0xa8, 0x00, 0x07});
  EXPECT_EQ(parsed(frame).vlan_tci, 7);
  EXPECT_EQ(parsed(frame).kind, PacketKind::l4);
  EXPECT_EQ(parsed(frame).l4_offset, 42);
}

TEST(Packet, what_is_not_ours_to_read_is_the_kernels) {
  Bytes arp = ethernet(0x0806);
  EXPECT_EQ(parsed(arp).kind, PacketKind::other);
  EXPECT_EQ(parsed(ip_frame(kFlow, 89, Bytes(20))).kind, PacketKind::other) << "OSPF";
  EXPECT_EQ(parsed(ip_frame(kFlow, 1, Bytes(8))).kind, PacketKind::icmp);
  EXPECT_EQ(parsed(ipv6_frame(58, Bytes(8))).kind, PacketKind::icmp);
}

TEST(Packet, RFC_791_bad_headers_are_refused_by_name) {
  const Bytes good = udp(kFlow, "payload");
  EXPECT_EQ(refused(Bytes(13)), DropReason::frame_too_short);
  EXPECT_EQ(refused(slice(good, 0, 30)), DropReason::frame_too_short);
  EXPECT_EQ(refused(changed(good, 14, 0x65)), DropReason::ip_version);
  EXPECT_EQ(refused(changed(good, 14, 0x44)), DropReason::ip_header_length);
  EXPECT_EQ(refused(changed(good, 17, 19)), DropReason::ip_total_length) << "below the header";
  EXPECT_EQ(refused(changed(good, 16, 4)), DropReason::ip_total_length) << "past the frame";
  EXPECT_EQ(refused(changed(good, 22, 0)), DropReason::ip_ttl_zero);
  EXPECT_EQ(refused(changed(good, 39, 7)), DropReason::udp_length);
  EXPECT_EQ(refused(changed(good, 39, 200)), DropReason::udp_length);
  EXPECT_EQ(refused(changed(tcp(kFlow, kAck, 1, 1), 46, 0x40)), DropReason::tcp_offset);
  EXPECT_EQ(refused(changed(tcp(kFlow, kAck, 1, 1), 46, 0xf0)), DropReason::tcp_offset);
  EXPECT_EQ(refused(ip_frame(kFlow, 132, Bytes(11))), DropReason::l4_too_short);
  EXPECT_EQ(refused(ip_frame(kFlow, 6, Bytes(19))), DropReason::l4_too_short);
  EXPECT_EQ(refused(ip_frame(kFlow, 17, Bytes(7))), DropReason::l4_too_short);
}

Bytes with_options(const Bytes& options) {
  Bytes frame = udp(kFlow, "payload");
  frame[14] = static_cast<uint8_t>(0x45 + options.size() / 4);
  set16(frame, 16, get16(frame, 16) + static_cast<unsigned>(options.size()));
  frame.insert(frame.begin() + 34, options.begin(), options.end());
  return frame;
}

TEST(Packet, RFC_791_options_are_walked_and_source_routes_refused) {
  EXPECT_EQ(parsed(with_options({1, 1, 1, 0})).l4_offset, 38);
  EXPECT_EQ(parsed(with_options({148, 4, 0, 0})).kind, PacketKind::l4) << "router alert";
  EXPECT_EQ(refused(with_options({131, 3, 4, 0})), DropReason::ip_source_route);
  EXPECT_EQ(refused(with_options({1, 137, 3, 4})), DropReason::ip_source_route);
  EXPECT_EQ(refused(with_options({148, 1, 0, 0})), DropReason::ip_header_length);
  EXPECT_EQ(refused(with_options({148, 9, 0, 0})), DropReason::ip_header_length);
}

TEST(Packet, fragments_are_told_apart_and_atomic_ones_are_none) {
  EXPECT_EQ(parsed(changed(udp(kFlow, "x"), 20, 0x20)).kind, PacketKind::fragment);
  EXPECT_EQ(parsed(changed(udp(kFlow, "x"), 21, 0x01)).kind, PacketKind::fragment);
  const Bytes inner = udp(kFlow6, "x");
  const auto fragment = [&](uint8_t offset, uint8_t more) {
    Bytes payload{17, 0, offset, more, 0, 0, 0, 9};
    add(payload, slice(inner, 54, inner.size() - 54));
    return parsed(ipv6_frame(44, payload));
  };
  EXPECT_EQ(fragment(0, 0).kind, PacketKind::l4) << "RFC 6946";
  EXPECT_EQ(fragment(0, 0).l4_offset, 62);
  EXPECT_EQ(fragment(0, 1).kind, PacketKind::fragment);
  EXPECT_EQ(fragment(0, 1).flow.protocol, 17);
  EXPECT_EQ(fragment(1, 0).kind, PacketKind::fragment);
}

TEST(Packet, RFC_791_3_2_RFC_8200_4_5_a_fragment_that_ends_behind_the_longest_packet_is_refused) {
  Bytes v4 = ip_frame(kFlow, 17, Bytes(16));
  constexpr unsigned kMore = 0x2000, kLast = (65535 - 36) / 8;
  set16(v4, 20, kMore + kLast);
  EXPECT_EQ(parsed(v4).kind, PacketKind::fragment);
  set16(v4, 20, kMore + kLast + 1);
  EXPECT_EQ(refused(v4), DropReason::ip_total_length);
  set16(v4, 20, 0x1fff);
  EXPECT_EQ(refused(v4), DropReason::ip_total_length);
  const auto v6 = [](unsigned field, size_t n) {
    Bytes payload{17, 0, static_cast<uint8_t>(field >> 8), static_cast<uint8_t>(field), 0, 0, 0, 9};
    add(payload, Bytes(n));
    return ipv6_frame(44, payload);
  };
  EXPECT_EQ(parsed(v6(0xfff8, 7)).kind, PacketKind::fragment);
  EXPECT_EQ(refused(v6(0xfff8, 8)), DropReason::ip_total_length);
}

TEST(Packet, RFC_8200_extension_headers_are_walked_within_bounds) {
  const Bytes inner = udp(kFlow6, "x");
  const Bytes transport = slice(inner, 54, inner.size() - 54);
  const auto behind = [&](unsigned headers, uint8_t type) {
    Bytes payload;
    for (unsigned i = 0; i < headers; ++i)
      add(payload, Bytes{static_cast<uint8_t>(i + 1 == headers ? 17 : type), 0,
                         type == 43 ? uint8_t{4} : uint8_t{1}, 4, 0, 0, 0, 0});
    add(payload, transport);
    return ipv6_frame(type, payload);
  };
  EXPECT_EQ(parsed(behind(1, 0)).l4_offset, 62);
  EXPECT_EQ(parsed(behind(3, 60)).l4_offset, 78);
  EXPECT_EQ(parsed(behind(8, 60)).kind, PacketKind::l4);
  EXPECT_EQ(refused(behind(9, 60)), DropReason::ip6_extension);
  EXPECT_EQ(parsed(behind(1, 43)).kind, PacketKind::l4) << "segment routing";
  EXPECT_EQ(refused(ipv6_frame(43, {17, 0, 0, 1, 0, 0, 0, 0})), DropReason::ip_source_route) << "RFC 5095";
  EXPECT_EQ(refused(ipv6_frame(60, {17, 5, 1, 4, 0, 0, 0, 0})), DropReason::ip6_extension);
  EXPECT_EQ(refused(ipv6_frame(60, {17, 0, 1})), DropReason::ip6_extension);
  Bytes bad = inner;
  set16(bad, 18, 2000);
  EXPECT_EQ(refused(bad), DropReason::ip_total_length);
  EXPECT_EQ(refused(changed(inner, 21, 0)), DropReason::ip_ttl_zero);
  EXPECT_EQ(refused(changed(inner, 14, 0x40)), DropReason::ip_version);
}

TEST(Packet, every_truncation_is_refused_or_asks_for_the_rest) {
  Flow tagged = kFlow;
  tagged.vlan = 3;
  for (const Bytes& frame : {sctp(kFlow, 1, data_chunk()), tcp(tagged, kAck, 1, 1), udp(kFlow6, "payload"),
                             with_options({148, 4, 0, 0})}) {
    const PacketInfo whole = parsed(frame);
    for (size_t n = 0; n < frame.size(); ++n) {
      const auto exact = std::make_unique<uint8_t[]>(n);
      std::copy_n(frame.begin(), n, exact.get());
      PacketInfo info;
      // The rest is in another segment: either the headers are all here, or it says that they are not.
      if (redirect::parse(exact.get(), n, frame.size(), info)) {
        EXPECT_EQ(info.l4_offset, whole.l4_offset) << n;
        EXPECT_EQ(info.kind, PacketKind::l4) << n;
      }
      // There is no rest.
      EXPECT_TRUE(redirect::parse(exact.get(), n, n, info));
      EXPECT_EQ(info.kind, PacketKind::bad) << n;
    }
  }
}

TEST(Packet, headers_split_over_segments_are_joined) {
  mbuf_pool();
  const Bytes frame = sctp(kFlow, 1, data_chunk());
  for (const size_t cut : {size_t{15}, size_t{33}, size_t{40}, size_t{50}}) {
    rte_mbuf* head = Rig::mbuf(slice(frame, 0, cut));
    rte_mbuf* tail = Rig::mbuf(slice(frame, cut, frame.size() - cut));
    ASSERT_EQ(rte_pktmbuf_chain(head, tail), 0);
    PacketInfo info;
    redirect::parse_burst(&head, &info, 1);
    EXPECT_EQ(info.kind, PacketKind::l4) << cut;
    EXPECT_EQ(info.l4_length, frame.size() - 34);
    EXPECT_GE(head->data_len, 46);
    rte_pktmbuf_free(head);
  }
}

TEST(Packet, the_short_way_says_what_the_long_way_says) {
  mbuf_pool();
  std::mt19937 random(1);
  const std::vector<Bytes> seeds = {sctp(kFlow, 1, data_chunk()), tcp(kFlow, kAck, 1, 1, "data"),
                                    udp(kFlow, "payload of some length")};
  unsigned plain = 0;
  for (unsigned round = 0; round < 30'000; ++round) {
    Bytes frame = seeds[random() % seeds.size()];
    if (round % 3 != 0) frame[12 + random() % (frame.size() - 12)] = static_cast<uint8_t>(random());
    if (round % 5 == 0) frame.resize(40 + random() % 40);
    rte_mbuf* m = Rig::mbuf(frame);
    PacketInfo burst, alone;
    redirect::parse_burst(&m, &burst, 1);
    ASSERT_TRUE(redirect::parse(frame.data(), frame.size(), frame.size(), alone));
    plain += burst.plain;
    alone.plain = burst.plain;
    EXPECT_EQ(std::memcmp(&alone, &burst, sizeof alone), 0) << round;
    rte_pktmbuf_free(m);
  }
  EXPECT_GT(plain, 5000u);
}

}  // namespace
}  // namespace poolgate::test
