// SPDX-License-Identifier: BSD-3-Clause
// IPv4 options of packets that are cut (RFC 791 §3.1, §3.2): all are the first piece's, the further ones have
// those whose copied flag is set.
#include "tests/unit/redirect_rig.h"

namespace poolgate::test {
namespace {

using redirect::DropReason;
using rserpool::TransportType;

constexpr unsigned kMtu = 300;

// RFC 791 §3.1: 130 (security) and 136 (stream identifier) are copied; 7 (record route) and 68 (timestamp)
// are not.
const Bytes kSecurity{130, 11, 1, 2, 3, 4, 5, 6, 7, 8, 9}, kStream{136, 4, 0xab, 0xcd},
    kRecordRoute{7, 7, 4, 0, 0, 0, 0}, kTimestamp{68, 8, 5, 0, 0, 0, 0, 0};

Bytes list(const std::vector<Bytes>& options, uint8_t padding = 0) {
  Bytes all;
  for (const auto& option : options) add(all, option);
  while (all.size() % 4 != 0) all.push_back(padding);
  return all;
}

// May be cut. `of`: what is in the fragment field besides, of a piece of somebody else's.
Bytes with_options(Bytes frame, const Bytes& options, unsigned of = 0) {
  frame.insert(frame.begin() + 34, options.begin(), options.end());
  frame.at(14) = static_cast<uint8_t>(0x45 + options.size() / 4);
  set16(frame, 16, get16(frame, 16) + static_cast<unsigned>(options.size()));
  set16(frame, 18, 0x1234);
  set16(frame, 20, of);
  set16(frame, 24, 0);
  set16(frame, 24, internet_checksum(slice(frame, 14, 20 + options.size())));
  return frame;
}

struct Piece {
  Bytes options, payload;
  unsigned offset = 0;
  bool more = false;
};

// Of a frame whose IPv4 header is at `l3`; its own rules are looked at.
Piece piece(const Frame& f, size_t l3 = 14) {
  const size_t header = (f.bytes.at(l3) & 0xfu) * 4, total = get16(f.bytes, l3 + 2);
  EXPECT_EQ(f.bytes.at(l3) >> 4, 4);
  EXPECT_LE(f.bytes.size() - 14, kMtu);
  EXPECT_EQ(f.bytes.size(), l3 + total);
  EXPECT_EQ(internet_checksum(slice(f.bytes, l3, header)), 0u);
  EXPECT_EQ(get16(f.bytes, l3 + 4), 0x1234u);
  const unsigned field = get16(f.bytes, l3 + 6);
  return {slice(f.bytes, l3 + 20, header - 20), slice(f.bytes, l3 + header, total - header),
          (field & 0x1fff) * 8, (field & 0x2000) != 0};
}

class Options : public ::testing::Test {
 protected:
  void begin(config::Mode mode = config::Mode::l2, unsigned mtu = kMtu) {
    rig = std::make_unique<Rig>(TransportType::udp);
    rig->service(config::Protocol::udp, mode);
    rig->redirector_options.tunnel_sources.fill({ip("10.0.0.254"), ip("fd00::fe")});
    rig->set_pool({{21, "10.0.0.21", 3868}});
    rig->start();
    rig->hop(21).mtu = static_cast<uint16_t>(mtu);
  }
  std::vector<Piece> pieces(const Bytes& sent, size_t l3 = 14) {
    std::vector<Piece> got;
    for (const Frame& f : rig->send(sent)) got.push_back(piece(f, l3));
    return got;
  }
  // All of the payload is there, in order.
  static void expect_whole(const std::vector<Piece>& got, const Bytes& sent, unsigned first = 0,
                           bool more = false) {
    Bytes payload;
    for (size_t i = 0; i < got.size(); ++i) {
      EXPECT_EQ(got[i].offset, first + payload.size());
      EXPECT_EQ(got[i].more, more || i + 1 < got.size());
      add(payload, got[i].payload);
    }
    const size_t header = 14 + (sent.at(14) & 0xfu) * 4;
    EXPECT_EQ(payload, slice(sent, header, sent.size() - header));
  }
  std::unique_ptr<Rig> rig;
  const Flow client{ip("203.0.113.1"), ip("192.0.2.1"), 40001, 3868};
  const Bytes datagram = udp(client, std::string(900, 'q'));
};

TEST_F(Options, RFC_791_3_1_the_first_piece_has_all_and_the_others_those_that_are_copied) {
  begin();
  const Bytes all = list({kRecordRoute, kSecurity, kTimestamp, kStream});
  const Bytes sent = with_options(datagram, all);
  const auto got = pieces(sent);
  ASSERT_EQ(got.size(), 4u);
  EXPECT_EQ(got[0].options, all);
  for (size_t i = 1; i < got.size(); ++i) EXPECT_EQ(got[i].options, list({kSecurity, kStream})) << i;
  expect_whole(got, sent);
}

TEST_F(Options, RFC_791_3_2_a_piece_without_options_of_its_own_has_a_header_of_20_bytes_and_more_room) {
  begin();
  const Bytes sent = with_options(datagram, list({{1}, kRecordRoute}));
  const auto got = pieces(sent);
  ASSERT_EQ(got.size(), 4u);
  EXPECT_EQ(got[0].options, list({{1}, kRecordRoute}));
  EXPECT_EQ(got[0].payload.size(), (kMtu - 28) / 8 * 8);
  EXPECT_TRUE(got[1].options.empty());
  EXPECT_EQ(got[1].payload.size(), (kMtu - 20) / 8 * 8);
  expect_whole(got, sent);
}

TEST_F(Options, of_a_header_of_60_bytes_in_each_mode) {
  for (const config::Mode mode : {config::Mode::l2, config::Mode::ipip, config::Mode::gue}) {
    SCOPED_TRACE(to_string(mode));
    begin(mode);
    const size_t outer = mode == config::Mode::l2 ? 0 : mode == config::Mode::ipip ? 20 : 32;
    Bytes full = list({kSecurity, kStream, kTimestamp, kRecordRoute}, 1);
    while (full.size() < 40) full.push_back(1);
    const Bytes sent = with_options(datagram, full);
    const auto got = pieces(sent, 14 + outer);
    ASSERT_GE(got.size(), 4u);
    EXPECT_EQ(got[0].options, full);
    EXPECT_EQ(got[1].options, list({kSecurity, kStream}));
    expect_whole(got, sent);
  }
}

TEST_F(Options, in_nat_the_pieces_are_the_rewritten_packets) {
  begin(config::Mode::nat);
  const Bytes sent = with_options(datagram, list({kTimestamp, kStream}));
  const auto frames = rig->send(sent);
  ASSERT_EQ(frames.size(), 4u);
  for (const Frame& f : frames) EXPECT_EQ(f.to(), ip("10.0.0.21"));
  EXPECT_EQ(piece(frames[0]).options, list({kTimestamp, kStream}));
  EXPECT_EQ(piece(frames[3]).options, list({kStream}));
}

TEST_F(Options, what_is_behind_the_end_of_the_list_is_no_option) {
  begin();
  const auto got = pieces(with_options(datagram, list({kStream, {0}, kStream})));
  ASSERT_EQ(got.size(), 4u);
  EXPECT_EQ(got[1].options, list({kStream}));
}

TEST_F(Options, a_fragment_with_options_is_cut_again) {
  begin();
  const Bytes first = with_options(datagram, list({kTimestamp, kStream}), 0x2000);
  const auto teaches = pieces(first);
  ASSERT_EQ(teaches.size(), 4u);
  EXPECT_EQ(teaches[3].options, list({kStream}));
  expect_whole(teaches, first, 0, true);
  const unsigned at = static_cast<unsigned>(datagram.size() - 34);  // 908: the next multiple of 8 is 912
  const Bytes second = with_options(datagram, list({kStream}), (at + 7) / 8);
  const auto follows = pieces(second);
  ASSERT_EQ(follows.size(), 4u);
  for (const Piece& p : follows) EXPECT_EQ(p.options, list({kStream}));
  expect_whole(follows, second, (at + 7) / 8 * 8);
}

TEST_F(Options, what_leaves_no_room_for_eight_bytes_is_not_cut) {
  begin(config::Mode::l2, 67);
  Bytes full(40, 1);
  EXPECT_TRUE(rig->send(with_options(udp(client, std::string(100, 'q')), full)).empty());
  EXPECT_EQ(rig->dropped(DropReason::too_big), 1u);
}

TEST_F(Options, malformed_ones_are_dropped_by_name_before_anything_is_cut) {
  begin();
  for (const Bytes& wrong : {Bytes{130, 0, 0, 0}, Bytes{130, 1, 0, 0}, Bytes{130, 5, 0, 0},
                             Bytes{1, 1, 1, 130}, Bytes{136, 4, 0, 0, 68, 40, 5, 0}}) {
    const uint64_t before = rig->dropped(DropReason::ip_header_length);
    EXPECT_TRUE(rig->send(with_options(datagram, wrong)).empty());
    EXPECT_EQ(rig->dropped(DropReason::ip_header_length), before + 1);
  }
  EXPECT_TRUE(rig->send(with_options(datagram, {137, 3, 4, 0})).empty());
  EXPECT_EQ(rig->dropped(DropReason::ip_source_route), 1u);
}

}  // namespace
}  // namespace poolgate::test
