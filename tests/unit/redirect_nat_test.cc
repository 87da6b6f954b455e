// SPDX-License-Identifier: BSD-3-Clause
// Mode nat: both directions, checksums, SNAT ports, and what may be rewritten inside SCTP.
#include "tests/unit/redirect_rig.h"

#include "dataplane/redirect/crc32c.h"

namespace poolgate::test {
namespace {

using redirect::DropReason;
using rserpool::TransportType;

const IpAddress kVip = ip("192.0.2.1"), kVip6 = ip("2001:db8::1");

Flow client(unsigned n = 1) {
  return {ip(("203.0.113." + std::to_string(n)).c_str()), kVip, static_cast<uint16_t>(40000 + n), 3868};
}
Flow client6(unsigned n = 1) {
  return {ip(("2001:db8:c::" + std::to_string(n)).c_str()), kVip6, static_cast<uint16_t>(40000 + n), 3868};
}

struct Case {
  config::Protocol protocol;
  bool v6;
  bool snat;
  uint16_t pe_port;
};

Bytes packet(const Case& c, const Flow& f, const std::string& payload, uint32_t tag = 0) {
  if (c.protocol == config::Protocol::udp) return udp(f, payload);
  if (c.protocol == config::Protocol::tcp) return tcp(f, kAck, 1, 1, payload);
  return sctp(f, tag, data_chunk(payload));
}
Bytes opening(const Case& c, const Flow& f) {
  if (c.protocol == config::Protocol::udp) return udp(f, "first");
  if (c.protocol == config::Protocol::tcp) return tcp(f, kSyn, 100, 0);
  return sctp(f, 0, init_chunk(0xc11e47));
}

std::unique_ptr<Rig> make(const Case& c, const RestartFiles* files = nullptr, bool with_pool = true,
                          uint32_t lines = 4096) {
  auto rig = std::make_unique<Rig>(c.protocol == config::Protocol::udp   ? TransportType::udp
                                   : c.protocol == config::Protocol::tcp ? TransportType::tcp
                                                                         : TransportType::sctp);
  auto& s = rig->service(c.protocol, config::Mode::nat);
  rig->redirector_options.sessions = lines;
  if (c.snat) s.snat = {ip("198.51.100.77"), ip("fd01::77")};
  if (files != nullptr) files->give(*rig);
  if (with_pool) rig->set_pool({{21, c.v6 ? "fd00::15" : "10.0.0.21", c.pe_port}});
  rig->start();
  return rig;
}

class EveryNat : public ::testing::TestWithParam<Case> {};

TEST_P(EveryNat, both_directions_are_rewritten_and_every_checksum_stays_right) {
  const Case c = GetParam();
  const auto rig = make(c);
  const Flow f = c.v6 ? client6() : client();
  const IpAddress pe = ip(c.v6 ? "fd00::15" : "10.0.0.21");
  const IpAddress source = c.snat ? ip(c.v6 ? "fd01::77" : "198.51.100.77") : f.from;

  const auto there = rig->send(opening(c, f));
  ASSERT_EQ(there.size(), 1u);
  EXPECT_EQ(there[0].to(), pe);
  EXPECT_EQ(there[0].to_port(), c.pe_port);
  EXPECT_EQ(there[0].from(), source);
  if (!c.snat) {
    EXPECT_EQ(there[0].from_port(), f.from_port);
  }
  EXPECT_EQ(pe_of(there[0]), 21u);
  EXPECT_EQ(there[0].port, 21u % 4);
  EXPECT_TRUE(there[0].checksums_right());

  const Flow back{pe, source, c.pe_port, static_cast<uint16_t>(there[0].from_port())};
  const auto here = rig->send(packet(c, back, "answer of some odd length", 0xc11e47));
  ASSERT_EQ(here.size(), 1u);
  EXPECT_EQ(here[0].from(), f.to);
  EXPECT_EQ(here[0].from_port(), 3868u);
  EXPECT_EQ(here[0].to(), f.from);
  EXPECT_EQ(here[0].to_port(), f.from_port);
  EXPECT_EQ(here[0].destination_mac(), Bytes(kClientMac, kClientMac + 6));
  EXPECT_EQ(here[0].source_mac(), Bytes(kOurMac, kOurMac + 6));
  EXPECT_TRUE(here[0].checksums_right());

  for (const std::string& payload : {std::string("x"), std::string(1000, 'y')}) {
    const auto more = rig->send(packet(c, f, payload, 1));
    ASSERT_EQ(more.size(), 1u);
    EXPECT_EQ(more[0].from_port(), there[0].from_port());
    EXPECT_TRUE(more[0].checksums_right());
  }
  EXPECT_EQ(rig->redirector->session_stats().sessions, 1u);
}

INSTANTIATE_TEST_SUITE_P(
    Modes, EveryNat,
    ::testing::Values(
        Case{config::Protocol::udp, false, false, 3868}, Case{config::Protocol::udp, false, true, 5001},
        Case{config::Protocol::udp, true, false, 5001}, Case{config::Protocol::udp, true, true, 3868},
        Case{config::Protocol::tcp, false, false, 5001}, Case{config::Protocol::tcp, false, true, 3868},
        Case{config::Protocol::tcp, true, false, 3868}, Case{config::Protocol::tcp, true, true, 5001},
        Case{config::Protocol::sctp, false, false, 3868}, Case{config::Protocol::sctp, false, true, 5001},
        Case{config::Protocol::sctp, true, false, 5001}, Case{config::Protocol::sctp, true, true, 3868}),
    [](const auto& i) {
      return std::string(to_string(i.param.protocol)) + (i.param.v6 ? "_v6" : "_v4") +
             (i.param.snat ? "_snat" : "") + "_" + std::to_string(i.param.pe_port);
    });

TEST(RedirectNat, RFC_768_a_udp_checksum_of_0_stays_0) {
  const auto rig = make({config::Protocol::udp, false, true, 5001});
  const auto got = rig->send(udp(client(), "a", false));
  ASSERT_EQ(got.size(), 1u);
  EXPECT_EQ(get16(got[0].bytes, got[0].l4() + 6), 0u);
}

TEST(RedirectNat, snat_ports_run_out_and_the_client_is_told) {
  auto rig = std::make_unique<Rig>(TransportType::udp);
  rig->service(config::Protocol::udp, config::Mode::nat).snat = {ip("198.51.100.77")};
  rig->redirector_options.snat_first_port = 2000;
  rig->redirector_options.snat_last_port = 2003;
  rig->set_pool({{21, "10.0.0.21", 5001}});
  rig->start();
  std::set<unsigned> ports;
  for (unsigned n = 1; n <= 4; ++n) {
    const auto got = rig->send(udp(client(n), "a"));
    ASSERT_EQ(got.size(), 1u);
    EXPECT_EQ(got[0].protocol(), 17);
    ports.insert(got[0].from_port());
  }
  EXPECT_EQ(ports, (std::set<unsigned>{2000, 2001, 2002, 2003}));
  const auto refused = rig->send(udp(client(5), "a"));
  ASSERT_EQ(refused.size(), 1u);
  EXPECT_EQ(refused[0].protocol(), 1);
  EXPECT_EQ(rig->dropped(DropReason::nat_no_port), 1u);
  EXPECT_EQ(rig->redirector->session_stats().sessions, 4u);
  // A port comes back with its session's end.
  rig->pass_ms(65'000);
  EXPECT_EQ(rig->send(udp(client(5), "a")).at(0).protocol(), 17);
}

TEST(RedirectNat, a_full_table_refuses_new_clients_and_is_counted_as_what_it_is) {
  for (const uint32_t lines : {66u, 69u}) {  // its second key finds no room, or its first
    const auto rig = make({config::Protocol::sctp, false, false, 3868}, nullptr, true, lines);
    unsigned kept = 0, refused = 0;
    for (unsigned n = 1; n <= 40; ++n) {
      const auto got = rig->send(sctp(client(n), 0, init_chunk(1)));
      ASSERT_EQ(got.size(), 1u) << n;
      got[0].chunk_type() == 1 ? ++kept : ++refused;
    }
    EXPECT_EQ(kept, lines / 2);
    EXPECT_EQ(rig->dropped(DropReason::session_table_full), refused);
    EXPECT_EQ(rig->dropped(DropReason::nat_no_port), 0u);
  }
}

TEST(RedirectNat, a_packet_to_a_snat_address_without_a_session_is_dropped_not_the_kernels) {
  const auto rig = make({config::Protocol::udp, false, true, 5001});
  EXPECT_TRUE(rig->send(udp({ip("10.0.0.21"), ip("198.51.100.77"), 5001, 3333}, "a")).empty());
  EXPECT_TRUE(rig->exceptions.empty());
  EXPECT_EQ(rig->dropped(DropReason::nat_no_session), 1u);
}

TEST(RedirectNat, a_client_of_ipv6_is_not_given_a_pe_of_ipv4) {
  const auto rig = make({config::Protocol::udp, false, false, 5001});
  const auto refused = rig->send(udp(client6(), "a"));
  ASSERT_EQ(refused.size(), 1u);
  EXPECT_EQ(refused[0].protocol(), 58);
  EXPECT_EQ(rig->dropped(DropReason::pool_empty), 1u);
}

TEST(RedirectNat, a_damaged_init_does_not_become_whole) {
  const auto rig = make({config::Protocol::sctp, false, false, 5001});
  Bytes damaged = sctp(client(), 0, init_chunk(0xaa, address_parameter(client().from)));
  damaged.back() ^= 1;
  EXPECT_TRUE(rig->send(damaged).empty());
  EXPECT_EQ(rig->dropped(DropReason::checksum), 1u);
}

TEST(RedirectNat, a_packet_of_several_segments_is_rewritten_where_it_lies) {
  for (const uint16_t pe_port : {uint16_t{3868}, uint16_t{5001}}) {
    const auto rig = make({config::Protocol::sctp, false, true, pe_port});
    rig->send(sctp(client(), 0, init_chunk(7)));
    rig->send(sctp(client(), 9, cookie_echo()));
    const Bytes sent = sctp(client(), 9, data_chunk(std::string(999, 'z')));
    rte_mbuf* head = Rig::mbuf(slice(sent, 0, 70));
    rte_mbuf* tail = Rig::mbuf(slice(sent, 70, sent.size() - 70));
    ASSERT_EQ(rte_pktmbuf_chain(head, tail), 0);
    rig->redirector->process(&head, 1, rig->now_us, rig->out);
    const auto got = rig->collect();
    ASSERT_EQ(got.size(), 1u);
    EXPECT_EQ(got[0].bytes.size(), sent.size());
    EXPECT_EQ(got[0].to_port(), pe_port);
    EXPECT_TRUE(got[0].checksums_right());
  }
}

TEST(RedirectNat, answers_follow_a_client_that_moves_to_another_router) {
  const auto rig = make({config::Protocol::udp, false, false, 5001});
  const Flow back{ip("10.0.0.21"), client().from, 5001, client().from_port};
  rig->send(udp(client(), "a"));
  EXPECT_EQ(rig->send(udp(back, "b")).at(0).destination_mac(), Bytes(kClientMac, kClientMac + 6));
  Bytes moved = udp(client(), "c");
  moved.at(11) = 0xc2;
  rig->send(moved);
  EXPECT_EQ(rig->send(udp(back, "d")).at(0).destination_mac().at(5), 0xc2);
}

TEST(RedirectNat, a_damaged_packet_stays_damaged) {
  const auto rig = make({config::Protocol::tcp, false, true, 5001});
  rig->send(tcp(client(), kSyn, 1, 0));
  Bytes damaged = tcp(client(), kAck, 1, 1, "payload");
  damaged.back() ^= 1;
  const auto got = rig->send(damaged);
  ASSERT_EQ(got.size(), 1u);
  EXPECT_FALSE(got[0].checksums_right());
}

TEST(Crc32c, the_increment_equals_the_whole_at_every_length) {
  for (size_t n = 12; n < 12'000; n += n < 300 ? 1 : 97) {
    Bytes p(n);
    for (size_t i = 0; i < n; ++i) p[i] = static_cast<uint8_t>(i * 31 + n);
    for (size_t i = 8; i < 12; ++i) p[i] = 0;
    const uint32_t before = redirect::sctp_checksum(p.data(), n);
    EXPECT_EQ(__builtin_bswap32(before), crc32c(p));
    uint32_t from, to;
    std::memcpy(&from, p.data(), 4);
    p[0] ^= 0x5a;
    p[3] ^= 0xff;
    std::memcpy(&to, p.data(), 4);
    EXPECT_EQ(redirect::sctp_checksum_ports(before, from, to, n), redirect::sctp_checksum(p.data(), n)) << n;
  }
}

TEST_P(EveryNat, after_a_restart_both_directions_go_on_whoever_speaks_first) {
  const Case c = GetParam();
  const RestartFiles files;
  const Flow f = c.v6 ? client6() : client();
  const IpAddress pe = ip(c.v6 ? "fd00::15" : "10.0.0.21");
  const IpAddress source = c.snat ? ip(c.v6 ? "fd01::77" : "198.51.100.77") : f.from;
  uint16_t port = 0;
  {
    const auto rig = make(c, &files);
    port = static_cast<uint16_t>(rig->send(opening(c, f)).at(0).from_port());
  }
  const auto rig = make(c, &files, false);  // no registrar has spoken
  const Flow back{pe, source, c.pe_port, port};
  const auto here = rig->send(packet(c, back, "the server speaks first", 0xc11e47));
  ASSERT_EQ(here.size(), 1u);
  EXPECT_EQ(here[0].to(), f.from);
  EXPECT_EQ(here[0].destination_mac(), Bytes(kClientMac, kClientMac + 6));
  EXPECT_EQ(here[0].port, 3u);
  EXPECT_TRUE(here[0].checksums_right());
  const auto there = rig->send(packet(c, f, "and the client answers", 1));
  ASSERT_EQ(there.size(), 1u);
  EXPECT_EQ(there[0].to(), pe);
  EXPECT_EQ(there[0].from_port(), port);
  EXPECT_EQ(rig->redirector->session_stats().reattached, 1u);
}

}  // namespace
}  // namespace poolgate::test
