// SPDX-License-Identifier: BSD-3-Clause
// ICMP and ICMPv6 errors about packets of our sessions: where they go, and what they quote then.
#include "tests/unit/icmp_builder.h"
#include "tests/unit/redirect_rig.h"

namespace poolgate::test {
namespace {

using redirect::DropReason;
using rserpool::TransportType;

struct Case {
  config::Mode mode;
  config::Protocol protocol;
  bool v6, snat;
};

class EveryIcmp : public ::testing::TestWithParam<Case> {
 protected:
  void SetUp() override {
    const Case c = GetParam();
    rig = std::make_unique<Rig>(c.protocol == config::Protocol::udp   ? TransportType::udp
                                : c.protocol == config::Protocol::tcp ? TransportType::tcp
                                                                      : TransportType::sctp);
    auto& s = rig->service(c.protocol, c.mode);
    if (c.snat) s.snat = {ip("198.51.100.77"), ip("fd01::77")};
    nat = c.mode == config::Mode::nat;
    pe_port = nat ? 5001 : 3868;
    pe = ip(c.v6 ? "fd00::15" : "10.0.0.21");
    rig->set_pool({{21, c.v6 ? "fd00::15" : "10.0.0.21", pe_port}});
    rig->redirector_options.tunnel_sources.fill({ip("10.0.0.254"), ip("fd00::fe")});
    client = c.v6 ? Flow{ip("2001:db8:c::1"), ip("2001:db8::1"), 40001, 3868}
                  : Flow{ip("203.0.113.1"), ip("192.0.2.1"), 40001, 3868};
    router = ip(c.v6 ? "2001:db8:f::1" : "198.18.0.9");
    rig->start();
    const auto got = rig->send(opening());
    ASSERT_EQ(got.size(), 1u);
    at_pe =
        nat ? Flow{got[0].from(), got[0].to(), static_cast<uint16_t>(got[0].from_port()), pe_port} : client;
  }
  Bytes opening() const {
    if (GetParam().protocol == config::Protocol::udp) return udp(client, "first");
    if (GetParam().protocol == config::Protocol::tcp) return tcp(client, kSyn, 100, 0);
    return sctp(client, 0, init_chunk(0xc11e47));
  }
  Bytes packet(const Flow& f) const {
    if (GetParam().protocol == config::Protocol::udp) return udp(f, "payload");
    if (GetParam().protocol == config::Protocol::tcp) return tcp(f, kAck, 1, 1, "payload");
    return sctp(f, 0xc11e47, data_chunk());
  }
  static Flow turned(const Flow& f) { return {f.to, f.from, f.to_port, f.from_port}; }
  // All that must be right of a quoted packet, and who it says it is from and to.
  static void expect_quote(const Frame& f, size_t l3, const Bytes& about, size_t extensions = 0) {
    const Case c = GetParam();
    const size_t quote = l3 + (c.v6 ? 40 : 20) + 8, n = std::min<size_t>(128, about.size() - 14);
    Bytes got = slice(f.bytes, quote, n), wanted = slice(about, 14, n);
    if (c.protocol == config::Protocol::sctp) {  // CRC32c is not followed into a quote
      const size_t crc = (c.v6 ? 40u : 20u) + extensions + 8;
      for (size_t i = 0; i < 4; ++i) got.at(crc + i) = wanted.at(crc + i) = 0;
    }
    EXPECT_EQ(got, wanted);
  }
  std::unique_ptr<Rig> rig;
  Flow client, at_pe;
  IpAddress pe, router;
  uint16_t pe_port = 0;
  bool nat = false;
};

TEST_P(EveryIcmp, an_error_about_a_pes_packet_follows_the_session_to_the_pe) {
  const Case c = GetParam();
  const Bytes seen_by_router = packet(turned(client)), sent_by_pe = packet(turned(at_pe));
  for (const auto& [type, code] :
       c.v6 ? std::vector<std::pair<uint8_t, uint8_t>>{{1, 4}, {2, 0}, {3, 0}, {4, 1}}
            : std::vector<std::pair<uint8_t, uint8_t>>{{3, 1}, {3, 4}, {11, 0}, {12, 0}}) {
    const Bytes sent = icmp_error(router, client.to, type, code, 1400, seen_by_router);
    const auto got = rig->send(sent);
    ASSERT_EQ(got.size(), 1u);
    const Frame& f = got[0];
    EXPECT_EQ(f.port, 21u % 4);
    EXPECT_EQ(f.destination_mac(), (Bytes{2, 0, 0, 0, 1, 21}));
    size_t l3 = 14;
    if (c.mode == config::Mode::ipip) {
      EXPECT_EQ(f.to(), pe);
      l3 += c.v6 ? 40 : 20;
      EXPECT_EQ(slice(f.bytes, l3, f.bytes.size() - l3), slice(sent, 14, sent.size() - 14));
    } else {
      EXPECT_EQ(f.from(), router);
      EXPECT_EQ(f.to(), nat ? pe : client.to);
      EXPECT_TRUE(f.checksums_right());
      EXPECT_EQ(slice(f.bytes, f.l4(), 2), (Bytes{type, code}));
      EXPECT_EQ(get32(f.bytes, f.l4() + 4), 1400u);
    }
    expect_quote(f, l3, sent_by_pe);
  }
  EXPECT_TRUE(rig->exceptions.empty());
}

TEST_P(EveryIcmp, a_quote_of_eight_bytes_is_enough) {
  const size_t header = GetParam().v6 ? 40 : 20;
  const auto got = rig->send(
      icmp_error(router, client.to, GetParam().v6 ? 1 : 3, 3, 0, packet(turned(client)), header + 8));
  ASSERT_EQ(got.size(), 1u);
  EXPECT_EQ(rig->dropped(DropReason::icmp_no_session), 0u);
}

// What may stand in front of the quoted ports, and how long it is.
struct Chain {
  std::vector<Extension> headers;
  size_t bytes;
};
const Chain kFollowed[] = {{{{kHopByHop}}, 8},
                           {{{kDestinationOptions, 2}}, 24},
                           {{{kRouting, 2, 0x0400}}, 24},
                           {{{kFragment, 0, 0}}, 8},
                           {{{kFragment, 0, 1}}, 8},  // the first one
                           {{{kHopByHop}, {kDestinationOptions}, {kRouting, 2, 0x0400}, {kFragment}}, 48},
                           {std::vector<Extension>(8, {kDestinationOptions}), 64}};

TEST_P(EveryIcmp, RFC_8200_4_extension_headers_of_the_quoted_packet_hide_no_ports) {
  if (!GetParam().v6) return;
  for (const Chain& chain : kFollowed) {
    const Bytes seen_by_router = with_extensions(packet(turned(client)), chain.headers);
    for (const size_t quoted : {size_t{128}, 40 + chain.bytes + 8}) {
      const auto got = rig->send(icmp_error(router, client.to, 2, 0, 1300, seen_by_router, quoted));
      ASSERT_EQ(got.size(), 1u) << chain.bytes << " bytes";
      EXPECT_EQ(got[0].destination_mac(), (Bytes{2, 0, 0, 0, 1, 21}));
      EXPECT_TRUE(GetParam().mode == config::Mode::ipip || got[0].checksums_right());
      if (quoted != 128) continue;
      const size_t l3 = GetParam().mode == config::Mode::ipip ? 54 : 14;
      expect_quote(got[0], l3, with_extensions(packet(turned(at_pe)), chain.headers), chain.bytes);
    }
    if (!nat) continue;
    const auto back =
        rig->send(icmp_error(router, at_pe.from, 2, 0, 1300, with_extensions(packet(at_pe), chain.headers)));
    ASSERT_EQ(back.size(), 1u);
    EXPECT_EQ(back[0].to(), client.from);
    EXPECT_TRUE(back[0].checksums_right());
    expect_quote(back[0], 14, with_extensions(packet(client), chain.headers), chain.bytes);
  }
  EXPECT_TRUE(rig->exceptions.empty());
}

TEST_P(EveryIcmp, RFC_8200_4_behind_extension_headers_that_hide_the_ports_an_error_is_the_kernels) {
  if (!GetParam().v6) return;
  const std::vector<Extension> hidden[] = {
      std::vector<Extension>(9, {kDestinationOptions}),  // more than the parser goes past
      {{kFragment, 0, 8 << 3}},                          // not the first
      {{kHopByHop}, {kFragment, 0, 1 << 3 | 1}},
      {{kRouting, 2, 0x0401}},  // on its way to another than its receiver
      {{kDestinationOptions, 15}},
      {{51}}};  // RFC 4302: authenticated
  for (const auto& list : hidden) {
    const Bytes about = with_extensions(packet(turned(client)), list);
    EXPECT_TRUE(rig->send(icmp_error(router, client.to, 1, 3, 0, about)).empty());
    EXPECT_EQ(rig->exceptions.size(), 1u) << unsigned{list[0].type};
  }
  // Quoted up to within a header, or to the ports' middle.
  const Bytes about = with_extensions(packet(turned(client)), {{kHopByHop}, {kDestinationOptions, 1}});
  for (const size_t quoted : {41u, 47u, 48u, 49u, 55u, 56u, 63u, 64u, 67u}) {
    EXPECT_TRUE(rig->send(icmp_error(router, client.to, 1, 3, 0, about, quoted)).empty());
    EXPECT_EQ(rig->exceptions.size(), 1u) << quoted;
  }
}

TEST_P(EveryIcmp, in_nat_an_error_about_a_clients_packet_follows_it_to_the_client) {
  const Case c = GetParam();
  if (!nat) {
    // Elsewhere such a packet is never on its way with another address than the client's own: not ours.
    EXPECT_TRUE(rig->send(icmp_error(router, client.from, c.v6 ? 1 : 3, 1, 0, packet(client))).empty());
    EXPECT_EQ(rig->exceptions.size(), 1u);
    return;
  }
  const auto got = rig->send(icmp_error(router, at_pe.from, c.v6 ? 2 : 3, c.v6 ? 0 : 4, 1300, packet(at_pe)));
  ASSERT_EQ(got.size(), 1u);
  EXPECT_EQ(got[0].destination_mac(), Bytes(kClientMac, kClientMac + 6));
  EXPECT_EQ(got[0].to(), client.from);
  EXPECT_TRUE(got[0].checksums_right());
  EXPECT_EQ(get32(got[0].bytes, got[0].l4() + 4), 1300u);
  expect_quote(got[0], 14, packet(client));
}

TEST_P(EveryIcmp, an_error_of_no_session_is_dropped_and_one_of_no_service_is_the_kernels) {
  const Case c = GetParam();
  Flow other = client;
  other.from_port = 1;
  EXPECT_TRUE(rig->send(icmp_error(router, client.to, c.v6 ? 1 : 3, 1, 0, packet(turned(other)))).empty());
  EXPECT_EQ(rig->dropped(DropReason::icmp_no_session), 1u);
  EXPECT_TRUE(rig->exceptions.empty());
  Flow elsewhere = turned(client);
  elsewhere.from = ip(c.v6 ? "2001:db8::99" : "192.0.2.99");
  EXPECT_TRUE(rig->send(icmp_error(router, elsewhere.from, c.v6 ? 1 : 3, 1, 0, packet(elsewhere))).empty());
  EXPECT_EQ(rig->exceptions.size(), 1u);
  // To another than the quoted packet's sender: nobody's honest error.
  EXPECT_TRUE(
      rig->send(icmp_error(router, elsewhere.from, c.v6 ? 1 : 3, 1, 0, packet(turned(client)))).empty());
  EXPECT_EQ(rig->exceptions.size(), 1u);
}

TEST_P(EveryIcmp, errors_are_passed_on_at_a_bounded_rate) {
  const Bytes one = icmp_error(router, client.to, GetParam().v6 ? 1 : 3, 1, 0, packet(turned(client)));
  size_t passed = 0;
  for (int i = 0; i < 300; ++i) passed += rig->send(one).size();
  EXPECT_GE(passed, 90u);
  EXPECT_LE(passed, 110u);
  EXPECT_EQ(rig->dropped(DropReason::icmp_rate), 300 - passed);
}

TEST_P(EveryIcmp, a_truncated_or_nested_quote_is_the_kernels) {
  const uint8_t type = GetParam().v6 ? 1 : 3;
  for (const size_t n : {size_t{0}, size_t{10}, size_t{19}, size_t{GetParam().v6 ? 42u : 22u}})
    EXPECT_TRUE(rig->send(icmp_error(router, client.to, type, 1, 0, packet(turned(client)), n)).empty());
  const Bytes nested = icmp_error(client.to, router, type, 1, 0, packet(client));
  EXPECT_TRUE(rig->send(icmp_error(router, client.to, type, 1, 0, nested)).empty());
  EXPECT_EQ(rig->exceptions.size(), 1u);
}

INSTANTIATE_TEST_SUITE_P(Modes, EveryIcmp,
                         ::testing::Values(Case{config::Mode::l2, config::Protocol::sctp, false, false},
                                           Case{config::Mode::l2, config::Protocol::udp, true, false},
                                           Case{config::Mode::ipip, config::Protocol::tcp, false, false},
                                           Case{config::Mode::ipip, config::Protocol::sctp, true, false},
                                           Case{config::Mode::nat, config::Protocol::udp, false, false},
                                           Case{config::Mode::nat, config::Protocol::tcp, false, true},
                                           Case{config::Mode::nat, config::Protocol::sctp, false, true},
                                           Case{config::Mode::nat, config::Protocol::udp, true, true},
                                           Case{config::Mode::nat, config::Protocol::tcp, true, false},
                                           Case{config::Mode::nat, config::Protocol::sctp, true, false}),
                         [](const auto& i) {
                           return std::string(to_string(i.param.mode)) + "_" + to_string(i.param.protocol) +
                                  (i.param.v6 ? "_v6" : "_v4") + (i.param.snat ? "_snat" : "");
                         });

TEST(RedirectIcmp, echo_requests_to_a_vip_are_the_kernels_whatever_their_number) {
  Rig rig(TransportType::udp);
  rig.service(config::Protocol::udp);
  rig.set_pool({{21, "10.0.0.21", 3868}});
  rig.start();
  for (int i = 0; i < 300; ++i) {
    EXPECT_TRUE(
        rig.send(ip_frame({ip("203.0.113.1"), ip("192.0.2.1")}, 1, {8, 0, 0xf7, 0xff, 0, 0, 0, 0})).empty());
    EXPECT_EQ(rig.exceptions.size(), 1u);
  }
}

TEST(RedirectIcmp, a_damaged_error_does_not_become_whole) {
  Rig rig(TransportType::udp);
  rig.service(config::Protocol::udp, config::Mode::nat);
  rig.set_pool({{21, "10.0.0.21", 5001}});
  rig.start();
  const Flow client{ip("203.0.113.1"), ip("192.0.2.1"), 40001, 3868};
  rig.send(udp(client, "a"));
  Bytes damaged =
      icmp_error(ip("198.18.0.9"), client.to, 3, 1, 0, udp({client.to, client.from, 3868, 40001}, "b"));
  damaged.at(14 + 20 + 5) ^= 1;
  EXPECT_TRUE(rig.send(damaged).empty());
  EXPECT_EQ(rig.dropped(DropReason::checksum), 1u);
}

}  // namespace
}  // namespace poolgate::test
