// SPDX-License-Identifier: BSD-3-Clause
#include "dataplane/worker/ip_frame.h"

#include <gtest/gtest.h>
#include <rte_ether.h>
#include <rte_ip.h>
#include <rte_mbuf.h>
#include <rte_udp.h>

#include <cstring>
#include <string>

#include "tests/unit/eal_environment.h"

namespace poolgate::worker {
namespace {

using rserpool::IpAddress;

IpAddress ip(const char* text) { return *IpAddress::parse(text); }

class IpFrame : public ::testing::Test {
 protected:
  static void SetUpTestSuite() {
    pool_ = rte_pktmbuf_pool_create("frames", 63, 0, 0, RTE_MBUF_DEFAULT_BUF_SIZE, 0);
  }
  static void TearDownTestSuite() { rte_mempool_free(pool_); }

  sctp::OutputPacket packet(const char* source, const char* destination, uint16_t udp_port = 0) {
    sctp::OutputPacket made;
    made.source = ip(source);
    made.destination = ip(destination);
    made.data = reinterpret_cast<const uint8_t*>(sctp_.data());
    made.length = sctp_.size();
    made.udp_port = udp_port;
    return made;
  }
  // Parses the frame as a receiver does and gives what the endpoint would see.
  static std::optional<sctp::InputPacket> received(rte_mbuf* frame) {
    redirect::PacketInfo info;
    redirect::parse_burst(&frame, &info, 1);
    EXPECT_EQ(info.kind, redirect::PacketKind::l4) << static_cast<int>(info.drop);
    return sctp_input(frame, info);
  }

  // RFC 1071 over the pseudo header (addresses, protocol, length) and the datagram: all ones if its checksum
  // is right.
  static uint32_t udp_sum(rte_mbuf* frame, size_t addresses, size_t addresses_length, size_t udp) {
    const auto* bytes = rte_pktmbuf_mtod(frame, const uint8_t*);
    const size_t length = rte_pktmbuf_pkt_len(frame) - udp;
    uint32_t sum = 17 + static_cast<uint32_t>(length);
    const auto add = [&](size_t from, size_t n) {
      for (size_t i = 0; i < n; ++i) sum += i % 2 == 0 ? bytes[from + i] << 8 : bytes[from + i];
    };
    add(addresses, addresses_length);
    add(udp, length);
    while (sum > 0xffff) sum = (sum & 0xffff) + (sum >> 16);
    return sum;
  }

  // A common header (tag 1, ports 3863 and 5000) and a COOKIE ACK (RFC 9260 §3.1, §3.3.12); no CRC32c.
  const std::string sctp_ =
      std::string("\x0f\x17\x13\x88\x00\x00\x00\x01\x00\x00\x00\x00\x0b\x00\x00\x04", 16);
  static rte_mempool* pool_;
};
rte_mempool* IpFrame::pool_ = nullptr;

TEST_F(IpFrame, RFC_791_header_has_its_checksum_length_and_identification) {
  rte_mbuf* frame = sctp_frame(pool_, packet("10.0.1.1", "10.0.1.2"), 0, 0x1234);
  ASSERT_NE(frame, nullptr);
  ASSERT_EQ(rte_pktmbuf_pkt_len(frame), 14u + 20 + 16);
  const auto* bytes = rte_pktmbuf_mtod(frame, const uint8_t*);
  const uint8_t expected[] = {8,   0, 0x45, 0,  0, 36, 0x12, 0x34, 0x40, 0, 64,
                              132, 0, 0,    10, 0, 1,  1,    10,   0,    1, 2};
  EXPECT_EQ(std::memcmp(bytes + 12, expected, 12), 0);
  EXPECT_EQ(std::memcmp(bytes + 12 + 14, expected + 14, 8), 0);
  rte_ipv4_hdr header;
  std::memcpy(&header, bytes + 14, sizeof header);
  EXPECT_EQ(rte_raw_cksum(&header, sizeof header), 0xffff);
  EXPECT_EQ(frame_destination(frame), ip("10.0.1.2"));
  rte_pktmbuf_free(frame);
}

TEST_F(IpFrame, what_goes_out_is_what_a_receiver_sees_in_both_families_bare_and_in_udp) {
  for (const auto& [source, destination] :
       {std::pair("10.0.1.1", "10.0.1.2"), std::pair("fd00::1", "fd00::2")}) {
    for (const uint16_t udp : {0, 9899}) {
      rte_mbuf* frame = sctp_frame(pool_, packet(source, destination, udp), 9899, 1);
      ASSERT_NE(frame, nullptr);
      const auto seen = received(frame);
      ASSERT_TRUE(seen.has_value());
      EXPECT_EQ(seen->source, ip(source));
      EXPECT_EQ(seen->destination, ip(destination));
      EXPECT_EQ(seen->udp_port, udp);
      EXPECT_EQ(std::string(reinterpret_cast<const char*>(seen->data), seen->length), sctp_);
      rte_pktmbuf_free(frame);
    }
  }
}

TEST_F(IpFrame, RFC_6951_5_4_udp_carries_a_valid_checksum) {
  rte_mbuf* v4 = sctp_frame(pool_, packet("10.0.1.1", "10.0.1.2", 1111), 9899, 1);
  EXPECT_EQ(udp_sum(v4, 26, 8, 34), 0xffff);
  const auto* udp = rte_pktmbuf_mtod_offset(v4, const rte_udp_hdr*, 34);
  EXPECT_NE(udp->dgram_cksum, 0);
  EXPECT_EQ(udp->src_port, rte_cpu_to_be_16(9899));
  EXPECT_EQ(udp->dst_port, rte_cpu_to_be_16(1111));
  rte_pktmbuf_free(v4);
  rte_mbuf* v6 = sctp_frame(pool_, packet("fd00::1", "fd00::2", 1111), 9899, 1);
  EXPECT_EQ(udp_sum(v6, 22, 32, 54), 0xffff);
  rte_pktmbuf_free(v6);
}

TEST_F(IpFrame, a_checksum_left_to_the_device_is_asked_of_it) {
  sctp::OutputPacket left = packet("10.0.1.1", "10.0.1.2");
  left.checksum_done = false;
  rte_mbuf* frame = sctp_frame(pool_, left, 0, 1);
  EXPECT_EQ(frame->ol_flags & RTE_MBUF_F_TX_L4_MASK, RTE_MBUF_F_TX_SCTP_CKSUM);
  EXPECT_NE(frame->ol_flags & RTE_MBUF_F_TX_IPV4, 0u);
  EXPECT_EQ(frame->l2_len, 14u);
  EXPECT_EQ(frame->l3_len, 20u);
  rte_pktmbuf_free(frame);
}

TEST_F(IpFrame, an_answer_between_families_or_beyond_a_buffer_is_none) {
  EXPECT_EQ(sctp_frame(pool_, packet("10.0.1.1", "fd00::2"), 0, 1), nullptr);
  const std::string large(5000, 'x');
  sctp::OutputPacket beyond = packet("10.0.1.1", "10.0.1.2");
  beyond.data = reinterpret_cast<const uint8_t*>(large.data());
  beyond.length = large.size();
  EXPECT_EQ(sctp_frame(pool_, beyond, 0, 1), nullptr);
  EXPECT_EQ(rte_mempool_in_use_count(pool_), 0u);
}

TEST_F(IpFrame, a_packet_in_segments_is_joined) {
  rte_mbuf* head = sctp_frame(pool_, packet("10.0.1.1", "10.0.1.2"), 0, 1);
  rte_mbuf* tail = rte_pktmbuf_alloc(pool_);
  std::memcpy(rte_pktmbuf_append(tail, 4), rte_pktmbuf_mtod_offset(head, const void*, 46), 4);
  rte_pktmbuf_trim(head, 4);
  ASSERT_EQ(rte_pktmbuf_chain(head, tail), 0);
  const auto seen = received(head);
  ASSERT_TRUE(seen.has_value());
  EXPECT_EQ(std::string(reinterpret_cast<const char*>(seen->data), seen->length), sctp_);
  rte_pktmbuf_free(head);
}

}  // namespace
}  // namespace poolgate::worker
