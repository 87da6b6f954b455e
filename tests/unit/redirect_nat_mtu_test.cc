// SPDX-License-Identifier: BSD-3-Clause
// Mode nat, from PEs to clients: what is larger than the client's port carries (RFC 1191 §4, RFC 8201 §4,
// RFC 791 §3.2).
#include "tests/unit/redirect_rig.h"

namespace poolgate::test {
namespace {

using config::Protocol;
using redirect::DropReason;
using rserpool::TransportType;

constexpr unsigned kMtu = 600, kMtu6 = 1280;
constexpr Router kPe{21, 1}, kOther{0xc2, 2};
constexpr uint32_t kTp = 0xbb, kTc = 0xaa;

struct Case {
  Protocol protocol;
  bool v6, snat;
};

class NatMtu : public ::testing::TestWithParam<Case> {
 protected:
  void SetUp() override {
    const Case c = GetParam();
    rig = std::make_unique<Rig>(c.protocol == Protocol::udp   ? TransportType::udp
                                : c.protocol == Protocol::tcp ? TransportType::tcp
                                                              : TransportType::sctp);
    auto& service = rig->service(c.protocol, config::Mode::nat);
    if (c.snat) service.snat = {ip("198.51.100.77"), ip("fd01::77")};
    rig->set_pool({{21, c.v6 ? "fd00::15" : "10.0.0.21", 5001}});
    rig->redirector_options.port_mtus[kRouter.port] = static_cast<uint16_t>(c.v6 ? kMtu6 : kMtu);
    rig->redirector_options.port_mtus[kPe.port] = 9000;
    client = c.v6 ? Flow{ip("2001:db8:c::1"), ip("2001:db8::1"), 40001, 3868}
                  : Flow{ip("203.0.113.1"), ip("192.0.2.1"), 40001, 3868};
    rig->start();
    std::vector<Frame> got;
    if (c.protocol == Protocol::udp) got = rig->send(udp(client, "a"));
    if (c.protocol == Protocol::tcp) got = rig->send(tcp(client, kSyn, 1, 0));
    if (c.protocol == Protocol::sctp) got = rig->send(sctp(client, 0, init_chunk(kTc)));
    if (c.protocol == Protocol::tcp) rig->send(tcp(client, kAck, 2, 1));
    if (c.protocol == Protocol::sctp) rig->send(sctp(client, kTp, cookie_echo()));
    ASSERT_EQ(got.size(), 1u);
    back = {got[0].to(), got[0].from(), static_cast<uint16_t>(got[0].to_port()),
            static_cast<uint16_t>(got[0].from_port())};
  }
  // Of `length` bytes of IP.
  Bytes from_pe(size_t length) const {
    const Case c = GetParam();
    const size_t header = c.v6 ? 40 : 20;
    if (c.protocol == Protocol::udp) return udp(back, std::string(length - header - 8, 'q'));
    if (c.protocol == Protocol::tcp) return tcp(back, kAck, 1, 1, std::string(length - header - 20, 'q'));
    return sctp(back, kTc, data_chunk(std::string(length - header - 28, 'q')));
  }
  std::unique_ptr<Rig> rig;
  Flow client, back;
};

void without_df(Bytes& frame) {
  set16(frame, 20, 0);
  set16(frame, 24, 0);
  set16(frame, 24, internet_checksum(slice(frame, 14, 20)));
}

TEST_P(NatMtu, RFC_1191_4_RFC_4443_3_2_the_pe_is_told_what_fits_of_its_own_packet) {
  const Case c = GetParam();
  const unsigned mtu = c.v6 ? kMtu6 : kMtu;
  for (int i = 0; i < 2; ++i) {
    const auto fits = rig->send_by(kPe, from_pe(mtu));
    ASSERT_EQ(fits.size(), 1u);
    EXPECT_TRUE(kRouter.gets(fits[0]));
    EXPECT_EQ(fits[0].to(), client.from);
    EXPECT_EQ(fits[0].bytes.size(), 14 + mtu);
    EXPECT_TRUE(fits[0].checksums_right());
    const Bytes large = from_pe(mtu + 4);
    const auto told = rig->send_by(kPe, large);
    ASSERT_EQ(told.size(), 1u);
    const Frame& t = told[0];
    EXPECT_TRUE(kPe.gets(t)) << t.port;
    EXPECT_EQ(t.from(), back.to) << "whom the PE knows its client as";
    EXPECT_EQ(t.to(), back.from);
    EXPECT_TRUE(t.checksums_right());
    EXPECT_EQ(slice(t.bytes, t.l4(), 2), c.v6 ? (Bytes{2, 0}) : (Bytes{3, 4}));
    EXPECT_EQ(get32(t.bytes, t.l4() + 4), mtu);
    EXPECT_EQ(slice(t.bytes, t.l4() + 8, 100), slice(large, 14, 100));
  }
  EXPECT_EQ(rig->dropped(DropReason::too_big), 2u);
}

TEST_P(NatMtu, RFC_791_3_2_what_may_be_cut_is_cut) {
  if (GetParam().v6) return;
  for (int i = 0; i < 2; ++i) {
    Bytes large = from_pe(1400);
    without_df(large);
    const auto got = rig->send_by(kPe, large);
    ASSERT_EQ(got.size(), 3u);
    Bytes whole = slice(got[0].bytes, 0, 34);
    for (const Frame& f : got) {
      EXPECT_TRUE(kRouter.gets(f));
      EXPECT_LE(f.bytes.size(), 14 + kMtu);
      EXPECT_EQ(internet_checksum(slice(f.bytes, 14, 20)), 0u);
      EXPECT_EQ((get16(f.bytes, 20) & 0x1fff) * 8, whole.size() - 34);
      EXPECT_EQ((get16(f.bytes, 20) & 0x2000) != 0, &f != &got.back());
      add(whole, slice(f.bytes, 34, f.bytes.size() - 34));
    }
    set16(whole, 16, 1400);
    without_df(whole);
    const Frame joined{0, whole};
    EXPECT_EQ(joined.from(), client.to);
    EXPECT_EQ(joined.to(), client.from);
    EXPECT_EQ(joined.to_port(), client.from_port);
    EXPECT_TRUE(joined.checksums_right());
    EXPECT_EQ(slice(whole, 14 + 20 + 28, 1300), slice(large, 14 + 20 + 28, 1300));
  }
  EXPECT_EQ(rig->dropped(DropReason::too_big), 0u);
}

// A fragment of the PE's is cut again, or (DF, IPv6) answered.
TEST_P(NatMtu, a_fragment_is_looked_at_as_a_whole_packet_is) {
  const Case c = GetParam();
  if (c.protocol != Protocol::udp) return;
  for (const bool df : {false, true}) {
    if (c.v6 && !df) continue;
    const Bytes sent = from_pe(c.v6 ? 2000 : 1400);
    const size_t header = c.v6 ? 54 : 34, step = c.v6 ? 1400 : 800;
    for (size_t at = 0; at < sent.size() - header; at += step) {
      const size_t n = std::min(step, sent.size() - header - at);
      const bool more = header + at + n < sent.size();
      Bytes piece = slice(sent, 0, header);
      if (c.v6) {
        set16(piece, 18, static_cast<unsigned>(n + 8));
        piece.at(20) = kFragment;
        add(piece, {17, 0});
        add16(piece, static_cast<unsigned>(at | (more ? 1u : 0u)));
        add32(piece, 77);
      } else {
        set16(piece, 16, static_cast<unsigned>(20 + n));
        set16(piece, 18, df ? 2 : 1);
        set16(piece, 20, static_cast<unsigned>(at / 8 | (more ? 0x2000u : 0u) | (df ? 0x4000u : 0u)));
        set16(piece, 24, 0);
        set16(piece, 24, internet_checksum(slice(piece, 14, 20)));
      }
      add(piece, slice(sent, header + at, n));
      const auto got = rig->send_by(kPe, piece);
      const bool fits = piece.size() - 14 <= (c.v6 ? kMtu6 : kMtu);
      ASSERT_EQ(got.size(), !fits && !df ? 2u : 1u) << at;
      for (const Frame& f : got) {
        EXPECT_LE(f.bytes.size(), 14 + (c.v6 ? kMtu6 : kMtu));
        EXPECT_TRUE((fits || !df ? kRouter : kPe).gets(f)) << at;
      }
    }
  }
}

INSTANTIATE_TEST_SUITE_P(Nat, NatMtu,
                         ::testing::Values(Case{Protocol::udp, false, false},
                                           Case{Protocol::udp, false, true}, Case{Protocol::udp, true, false},
                                           Case{Protocol::udp, true, true}, Case{Protocol::tcp, false, false},
                                           Case{Protocol::tcp, true, true},
                                           Case{Protocol::sctp, false, false},
                                           Case{Protocol::sctp, false, true},
                                           Case{Protocol::sctp, true, false}),
                         [](const auto& i) {
                           return std::string(to_string(i.param.protocol)) + (i.param.v6 ? "_v6" : "_v4") +
                                  (i.param.snat ? "_snat" : "");
                         });

// IEEE 802.1Q: a tag is none of IP's bytes; each piece has it.
TEST(NatMtuOfVlans, pieces_to_a_client_in_a_vlan_are_all_tagged) {
  Rig rig(TransportType::udp);
  const Flow there{ip("203.0.113.1"), ip("192.0.2.1"), 40001, 3868, 42};
  rig.service(Protocol::udp, config::Mode::nat);
  rig.set_pool({{21, "10.0.0.21", 5001}});
  rig.redirector_options.port_mtus[kRouter.port] = kMtu;
  rig.start();
  rig.send(udp(there, "a"));
  Bytes large = udp({ip("10.0.0.21"), there.from, 5001, 40001}, std::string(1000, 'q'));
  without_df(large);
  const auto got = rig.send_by(kPe, large);
  ASSERT_EQ(got.size(), 2u);
  for (const Frame& f : got) {
    EXPECT_EQ(slice(f.bytes, 12, 4), (Bytes{0x81, 0, 0, 42}));
    EXPECT_LE(f.bytes.size(), 18 + kMtu);
    EXPECT_EQ(f.bytes.size(), f.l4() + f.ip_payload());
    EXPECT_EQ(f.to(), there.from);
  }
  const Bytes fits = udp({ip("10.0.0.21"), there.from, 5001, 40001}, std::string(kMtu - 28, 'q'));
  EXPECT_EQ(rig.send_by(kPe, fits).at(0).bytes.size(), 18 + kMtu);
}

TEST(NatMtuOfPaths, each_path_has_what_its_own_port_carries) {
  Rig rig;
  const IpAddress c1 = ip("203.0.113.1"), c2 = ip("198.18.0.1"), vip = ip("192.0.2.1"), pe = ip("10.0.0.21");
  rig.service(Protocol::sctp, config::Mode::nat).vips = {vip};
  rig.set_pool({{21, "10.0.0.21", 5001}});
  rig.redirector_options.port_mtus[kRouter.port] = kMtu;
  rig.start();
  rig.send(sctp({c1, vip, 40001, 3868}, 0, init_chunk(kTc, address_parameter(c2))));
  rig.send(sctp({c1, vip, 40001, 3868}, kTp, cookie_echo()));
  rig.send_by(kOther, sctp({c2, vip, 40001, 3868}, kTp, data_chunk()));
  const std::string large(1000, 'q');
  for (int i = 0; i < 2; ++i) {
    const auto by_other = rig.send_by(kPe, sctp({pe, c2, 5001, 40001}, kTc, data_chunk(large)));
    ASSERT_EQ(by_other.size(), 1u);
    EXPECT_TRUE(kOther.gets(by_other[0])) << "of which nothing is known to be too large";
    const auto told = rig.send_by(kPe, sctp({pe, c1, 5001, 40001}, kTc, data_chunk(large)));
    ASSERT_EQ(told.size(), 1u);
    EXPECT_TRUE(kPe.gets(told[0]));
  }
}

}  // namespace
}  // namespace poolgate::test
