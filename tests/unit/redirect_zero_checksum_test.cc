// SPDX-License-Identifier: BSD-3-Clause
// Mode nat and SCTP packets whose checksum is 0: none, where the peers have agreed on that (RFC 9653), or by
// chance the right one (RFC 9260 §6.8).
#include "tests/unit/nat_association.h"

namespace poolgate::test {
namespace {

using namespace nat_association;

constexpr size_t kCrc = 14 + 20 + 8;

Bytes without_checksum(Bytes frame, size_t at = kCrc) {
  for (size_t i = 0; i < 4; ++i) frame.at(at + i) = 0;
  return frame;
}
uint32_t checksum_of(const Frame& f) { return get32(f.bytes, f.l4() + 8); }

// DATA whose last four bytes are such that the packet's right checksum is 0.
Bytes with_checksum_0(const Flow& f, uint32_t tag) {
  Bytes packet = sctp(f, tag, data_chunk("payload."));
  Bytes p = slice(without_checksum(packet), 34, packet.size() - 34 - 4);
  uint32_t wanted = 0xffffffff;  // backwards over four bytes
  for (int i = 0; i < 32; ++i)
    wanted = (wanted & 0x80000000) != 0 ? (wanted ^ 0x82f63b78) << 1 | 1 : wanted << 1;
  const uint32_t last = wanted ^ ~__builtin_bswap32(crc32c(p));
  for (int i = 0; i < 4; ++i) p.push_back(static_cast<uint8_t>(last >> 8 * i));
  EXPECT_EQ(crc32c(p), 0u);
  std::copy(p.begin(), p.end(), packet.begin() + 34);
  return packet;
}

class ZeroChecksum : public NatAssociation {
 protected:
  void SetUp() override {
    begin({kVip}, {kS1});
    establish({}, {}, kS1);
    there = {kC1, kVip, kClientPort, kVipPort};
    back = {kP1, kS1, kPePort, pe_sees_port};
    ASSERT_NE(pe_sees_port, kClientPort);
  }
  Frame through(const Bytes& frame) {
    const auto got = rig.send(frame);
    EXPECT_EQ(got.size(), 1u);
    return got.empty() ? Frame{0, frame} : got[0];
  }
  Flow there, back;
};

TEST_F(ZeroChecksum, RFC_9653_one_that_stands_for_none_stays_whichever_way_the_packet_goes) {
  Bytes bundled = chunk(3, 0, Bytes(12));  // SACK and DATA: not the short way
  add(bundled, data_chunk());
  for (const Bytes& chunks : {data_chunk(), bundled, chunk(4, 0, Bytes(8))}) {
    for (int i = 0; i < 2; ++i) {  // also by the copy that the first has made
      const Frame to_pe = through(without_checksum(sctp(there, kTp, chunks)));
      EXPECT_EQ(checksum_of(to_pe), 0u);
      EXPECT_EQ(to_pe.to_port(), kPePort);
      EXPECT_EQ(chunks_of(to_pe), chunks);
      const Frame to_client = through(without_checksum(sctp(back, kTc, chunks)));
      EXPECT_EQ(checksum_of(to_client), 0u);
      EXPECT_EQ(to_client.to_port(), kClientPort);
      EXPECT_EQ(chunks_of(to_client), chunks);
    }
  }
}

TEST_F(ZeroChecksum, RFC_9260_6_8_one_that_is_right_by_chance_is_followed) {
  for (int i = 0; i < 2; ++i) {
    EXPECT_TRUE(through(with_checksum_0(there, kTp)).checksums_right());
    EXPECT_TRUE(through(with_checksum_0(back, kTc)).checksums_right());
  }
}

TEST_F(ZeroChecksum, RFC_9653_what_quotes_addresses_has_none_afterwards_either) {
  const Bytes of_pe = chunk(9, 0, parameter(11, address_parameter(kS1))),
              of_client = chunk(9, 0, parameter(11, address_parameter(kC1)));
  const Frame error = through(without_checksum(sctp(back, kTc, of_pe)));
  EXPECT_EQ(chunks_of(error), of_client);
  EXPECT_EQ(checksum_of(error), 0u);
  const Frame abort = through(without_checksum(sctp(back, kTc, chunk(6, 0, {}))));
  EXPECT_EQ(checksum_of(abort), 0u);
}

TEST_F(ZeroChecksum, in_several_segments_it_stays_too) {
  const Bytes frame = without_checksum(sctp(there, kTp, data_chunk("of two segments")));
  rte_mbuf* const first = Rig::mbuf(slice(frame, 0, 70));
  rte_mbuf* const second = Rig::mbuf(slice(frame, 70, frame.size() - 70));
  ASSERT_EQ(rte_pktmbuf_chain(first, second), 0);
  rig.redirector->process(&first, 1, rig.now_us, rig.out);
  const auto got = rig.collect();
  ASSERT_EQ(got.size(), 1u);
  EXPECT_EQ(checksum_of(got[0]), 0u);
}

// RFC 9653 §4: whoever offers it says so in INIT and INIT ACK, which pass it on.
TEST_F(NatAssociation, RFC_9653_5_2_an_INIT_must_have_a_checksum_and_an_INIT_ACK_need_not) {
  begin({kVip}, {kS1});
  const Bytes acceptable = parameter(0x8001, {0, 0, 0, 1});
  const Flow there{kC1, kVip, kClientPort, kVipPort};
  EXPECT_TRUE(rig.send(without_checksum(sctp(there, 0, init_chunk(kTc, acceptable)))).empty());
  EXPECT_EQ(rig.dropped(redirect::DropReason::checksum), 1u);

  const Frame init = only(sctp(there, 0, init_chunk(kTc, acceptable)));
  EXPECT_EQ(chunks_of(init), init_chunk(kTc, acceptable));
  Bytes of_pe = address_parameter(kP1), of_vip = address_parameter(kVip);
  add(of_pe, acceptable);
  add(of_vip, acceptable);
  const Flow back{kP1, kS1, kPePort, static_cast<uint16_t>(init.from_port())};
  const auto ack = rig.send(without_checksum(sctp(back, kTc, init_chunk(kTp, of_pe, 2))));
  ASSERT_EQ(ack.size(), 1u);
  EXPECT_EQ(chunks_of(ack[0]), init_chunk(kTp, of_vip, 2));
  EXPECT_EQ(checksum_of(ack[0]), 0u);
}

TEST_F(NatAssociation, RFC_9653_over_IPv6_it_stays_too) {
  begin({kVip, kVip6}, {kS1, ip("fd01::77")}, {"fd00::15"});
  establish(addresses({kC1, kC6}), addresses({kP1, kP6}), kS1);
  const Bytes sent =
      without_checksum(sctp({kC6, kVip6, kClientPort, kVipPort}, kTp, data_chunk()), kCrc + 20);
  const auto got = rig.send(sent);
  ASSERT_EQ(got.size(), 1u);
  EXPECT_EQ(got[0].to(), kP6);
  EXPECT_EQ(checksum_of(got[0]), 0u);
}

}  // namespace
}  // namespace poolgate::test
