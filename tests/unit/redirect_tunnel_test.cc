// SPDX-License-Identifier: BSD-3-Clause
// Modes ipip and gue: what stands around the client's packet, in each pair of families, and what does not
// fit.
#include "dataplane/redirect/wire.h"
#include "tests/unit/redirect_rig.h"

namespace poolgate::test {
namespace {

using redirect::DropReason;
using rserpool::TransportType;

constexpr unsigned kGuePort = 6080;

struct Case {
  config::Mode mode;
  bool inner_v6, outer_v6;
  unsigned overhead() const { return (outer_v6 ? 40u : 20u) + (mode == config::Mode::gue ? 12u : 0u); }
};

Flow client(bool v6, unsigned n = 1) {
  return v6 ? Flow{ip(("2001:db8:c::" + std::to_string(n)).c_str()), ip("2001:db8::1"),
                   static_cast<uint16_t>(40000 + n), 3868}
            : Flow{ip(("203.0.113." + std::to_string(n)).c_str()), ip("192.0.2.1"),
                   static_cast<uint16_t>(40000 + n), 3868};
}

// `by_flow`: IP in IPv4 comes from 172.16.0.0/16.
std::unique_ptr<Rig> make(const Case& c, config::Protocol protocol, const char* pe = nullptr,
                          bool by_flow = false) {
  auto rig = std::make_unique<Rig>(protocol == config::Protocol::udp   ? TransportType::udp
                                   : protocol == config::Protocol::tcp ? TransportType::tcp
                                                                       : TransportType::sctp);
  rig->service(protocol, c.mode);
  rig->set_pool({{21, pe != nullptr ? pe : c.outer_v6 ? "fd00::15" : "10.0.0.21", 3868}});
  for (unsigned p = 0; p < 4; ++p) {
    rig->redirector_options.tunnel_sources[p].v4 = ip(("10.0." + std::to_string(p) + ".1").c_str());
    rig->redirector_options.tunnel_sources[p].v6 = ip(("fd00:" + std::to_string(p) + "::1").c_str());
    if (!by_flow) continue;
    rig->redirector_options.tunnel_sources[p].flow_net = redirect::wire::swap32(0xac100000);
    rig->redirector_options.tunnel_sources[p].flow_bits = redirect::wire::swap32(0xffff);
  }
  rig->start();
  return rig;
}

class EveryTunnel : public ::testing::TestWithParam<Case> {
 protected:
  // The client's packet, from its IP header on, as it lies in the outer one, whose headers are looked at.
  static Bytes inside(const Case& c, const Frame& f, const Bytes& sent) {
    EXPECT_EQ(f.port, 21u % 4);
    EXPECT_EQ(f.destination_mac(), (Bytes{2, 0, 0, 0, 1, 21}));
    EXPECT_EQ(f.v6(), c.outer_v6);
    EXPECT_EQ(f.from(), ip(c.outer_v6 ? "fd00:1::1" : "10.0.1.1"));
    EXPECT_EQ(f.to(), ip(c.outer_v6 ? "fd00::15" : "10.0.0.21"));
    const uint8_t inner_protocol = c.inner_v6 ? 41 : 4;
    if (!c.outer_v6) {
      EXPECT_EQ(internet_checksum(slice(f.bytes, f.l3(), 20)), 0u);
      EXPECT_EQ(get16(f.bytes, f.l3() + 6), 0x4000u);  // DF, as inside; IPv6 is never cut
      EXPECT_EQ(f.bytes.at(f.l3() + 8), 64);
    }
    EXPECT_EQ(f.bytes.size(), f.l4() + f.ip_payload());
    size_t at = f.l4();
    if (c.mode == config::Mode::gue) {
      EXPECT_EQ(f.protocol(), 17);
      EXPECT_GE(f.from_port(), 0xc000u);
      EXPECT_EQ(f.to_port(), kGuePort);
      EXPECT_EQ(get16(f.bytes, at + 4), f.ip_payload());
      EXPECT_EQ(get16(f.bytes, at + 6), 0u);
      EXPECT_EQ(slice(f.bytes, at + 8, 4), (Bytes{0, inner_protocol, 0, 0}));
      at += 12;
    } else {
      EXPECT_EQ(f.protocol(), inner_protocol);
    }
    const Bytes got = slice(f.bytes, at, f.bytes.size() - at);
    EXPECT_EQ(got, slice(sent, 14, got.size()));
    return got;
  }
};

TEST_P(EveryTunnel, the_clients_packet_goes_whole_behind_a_header_of_ours) {
  const Case c = GetParam();
  for (const auto protocol : {config::Protocol::udp, config::Protocol::tcp, config::Protocol::sctp}) {
    const auto rig = make(c, protocol);
    const Flow f = client(c.inner_v6);
    // The first opens the session, the second confirms it, the others are of an established one.
    std::vector<Bytes> packets;
    if (protocol == config::Protocol::udp)
      packets = {udp(f, "a"), udp(f, std::string(1300, 'b'))};
    else if (protocol == config::Protocol::tcp)
      packets = {tcp(f, kSyn, 1, 0), tcp(f, kAck, 2, 9), tcp(f, kAck, 2, 9, std::string(777, 'c'))};
    else
      packets = {sctp(f, 0, init_chunk(7)), sctp(f, 9, cookie_echo()), sctp(f, 9, data_chunk())};
    for (const Bytes& sent : packets) {
      const auto got = rig->send(sent);
      ASSERT_EQ(got.size(), 1u);
      EXPECT_EQ(inside(c, got[0], sent).size(), sent.size() - 14);
    }
    EXPECT_EQ(rig->redirector->session_stats().sessions, 1u);
  }
}

TEST_P(EveryTunnel, padding_and_a_vlan_tag_stay_behind_and_tos_is_copied) {
  const Case c = GetParam();
  const auto rig = make(c, config::Protocol::udp);
  for (int i = 0; i < 2; ++i) {  // a new flow, then an established one
    Flow f = client(c.inner_v6);
    Bytes padded = udp(f, "x");
    if (c.inner_v6) {
      padded.at(14) = 0x6b;
      padded.at(15) = 0xa0;
    } else {
      padded.at(15) = 0xba;
      set16(padded, 24, 0);
      set16(padded, 24, internet_checksum(slice(padded, 14, 20)));
    }
    const size_t real = padded.size();
    padded.resize(padded.size() + 9, 0xee);
    const auto got = rig->send(padded);
    ASSERT_EQ(got.size(), 1u);
    EXPECT_EQ(inside(c, got[0], padded).size(), real - 14);
    EXPECT_EQ(c.outer_v6 ? get16(got[0].bytes, 14) >> 4 & 0xff : got[0].bytes.at(15), 0xbau);
    f.vlan = 42;
    const Bytes tagged = udp(f, "y");
    const auto untagged = rig->send(tagged);
    ASSERT_EQ(untagged.size(), 1u);
    inside(c, untagged[0], udp(client(c.inner_v6), "y"));
  }
}

TEST_P(EveryTunnel, RFC_1191_4_RFC_4443_3_2_what_does_not_fit_is_answered_with_the_right_mtu) {
  const Case c = GetParam();
  const auto rig = make(c, config::Protocol::udp);
  const Flow f = client(c.inner_v6);
  const size_t headers = (c.inner_v6 ? 40u : 20u) + 8u;
  const size_t fits = 1500 - c.overhead();
  const Bytes largest = udp(f, std::string(fits - headers, 'a'));
  const Bytes larger = udp(f, std::string(fits - headers + 1, 'b'));
  EXPECT_EQ(rig->send(larger).size(), 1u);  // of a new flow, too
  EXPECT_EQ(rig->send(largest).at(0).bytes.size(), 1514u);
  const auto told = rig->send(larger);
  ASSERT_EQ(told.size(), 1u);
  const Frame& t = told[0];
  EXPECT_EQ(t.port, 3u);
  EXPECT_EQ(t.destination_mac(), Bytes(kClientMac, kClientMac + 6));
  EXPECT_EQ(t.from(), f.to);
  EXPECT_EQ(t.to(), f.from);
  EXPECT_TRUE(t.checksums_right());
  if (c.inner_v6) {
    EXPECT_EQ(slice(t.bytes, t.l4(), 2), (Bytes{2, 0}));
    EXPECT_EQ(get32(t.bytes, t.l4() + 4), fits);
    EXPECT_LE(t.ip_payload() + 40, 1280u);
  } else {
    EXPECT_EQ(slice(t.bytes, t.l4(), 2), (Bytes{3, 4}));
    EXPECT_EQ(get32(t.bytes, t.l4() + 4), fits);
    EXPECT_LE(t.ip_payload() + 20, 576u);
  }
  EXPECT_EQ(slice(t.bytes, t.l4() + 8, 100), slice(larger, 14, 100));
  EXPECT_EQ(rig->dropped(DropReason::too_big), 2u);

  // Never more than a tenth of a second's at once.
  size_t answered = 0;
  for (int i = 0; i < 300; ++i) answered += rig->send(larger).size();
  EXPECT_GE(answered, 90u);
  EXPECT_LE(answered, 110u);
  EXPECT_EQ(rig->dropped(DropReason::too_big), 302u);
  EXPECT_EQ(rig->dropped(DropReason::icmp_rate), 300u - answered);
}

// RFC 791 §3.2. As many as a call can leave behind, whatever the largest number of pieces could be.
TEST_P(EveryTunnel, a_whole_burst_of_datagrams_that_must_be_cut_in_two_goes_out) {
  const Case c = GetParam();
  if (c.inner_v6) return;
  const auto rig = make(c, config::Protocol::udp);
  const auto burst_of = [&](size_t payload) {
    Bytes large = udp(client(false), std::string(payload, 'q'));
    set16(large, 20, 0);
    set16(large, 24, 0);
    set16(large, 24, internet_checksum(slice(large, 14, 20)));
    return std::vector<Bytes>(64, large);
  };
  const auto pieces = rig->burst(burst_of(1500 - 28));
  EXPECT_EQ(pieces.size(), 128u);
  for (const Frame& f : pieces) EXPECT_LE(f.bytes.size(), 1514u);
  EXPECT_EQ(rig->dropped(DropReason::too_big), 0u);
  rig->hop(21).mtu = 800;
  EXPECT_EQ(rig->burst(burst_of(1600)).size(), 32u * 3) << "of three each, no more than there is room for";
  EXPECT_EQ(rig->dropped(DropReason::too_big), 32u);
}

// A router behind our next hop: its word is about our packet, and comes to us.
Bytes too_big_about(const Bytes& outer, const IpAddress& to, unsigned mtu, size_t quoted) {
  const IpAddress router = ip(to.is_v6() ? "2001:db8:f::1" : "198.51.100.250");
  Bytes p{static_cast<uint8_t>(to.is_v6() ? 2 : 3), static_cast<uint8_t>(to.is_v6() ? 0 : 4)};
  add16(p, 0);
  add32(p, mtu);
  add(p, slice(outer, 14, std::min(quoted, outer.size() - 14)));
  set16(p, 2, to.is_v6() ? transport_checksum(router, to, 58, p) : internet_checksum(p));
  return ip_frame({router, to, 0, 0}, to.is_v6() ? 58 : 1, p);
}

TEST_P(EveryTunnel, RFC_2003_5_1_what_a_link_behind_the_next_hop_does_not_carry_is_told_to_the_client) {
  const Case c = GetParam();
  const auto rig = make(c, config::Protocol::udp);
  const Flow f = client(c.inner_v6);
  const Bytes sent = udp(f, std::string(1370, 'a'));
  const Bytes outer = rig->send(sent).at(0).bytes;
  const IpAddress us = ip(c.outer_v6 ? "fd00:1::1" : "10.0.1.1");
  const auto told = rig->send(too_big_about(outer, us, 1400, 548));
  ASSERT_EQ(told.size(), 1u);
  const Frame& t = told[0];
  EXPECT_EQ(t.destination_mac(), Bytes(kClientMac, kClientMac + 6));
  EXPECT_EQ(t.from(), f.to);
  EXPECT_EQ(t.to(), f.from);
  EXPECT_TRUE(t.checksums_right());
  EXPECT_EQ(slice(t.bytes, t.l4(), 2), c.inner_v6 ? (Bytes{2, 0}) : (Bytes{3, 4}));
  EXPECT_EQ(get32(t.bytes, t.l4() + 4), 1400 - c.overhead());
  EXPECT_EQ(slice(t.bytes, t.l4() + 8, 100), slice(sent, 14, 100));
  EXPECT_TRUE(rig->exceptions.empty());

  // Not to be believed, or of no use: the kernel's, as ever.
  Bytes stranger = outer;
  stranger.at(14 + c.overhead() + (c.inner_v6 ? 40 : 20)) ^= 1;  // the client's port
  Bytes elsewhere = outer;
  elsewhere.at(c.outer_v6 ? 53 : 33) ^= 1;  // not this client's PE
  for (const Bytes& error : {too_big_about(stranger, us, 1400, 548), too_big_about(elsewhere, us, 1400, 548),
                             too_big_about(outer, us, 1400, c.overhead() + 8),
                             too_big_about(outer, us, 1500, 548), too_big_about(outer, us, 60, 548)}) {
    EXPECT_TRUE(rig->send(error).empty());
    EXPECT_EQ(rig->exceptions.size(), 1u);
  }
  Bytes damaged = too_big_about(outer, us, 1400, 548);
  damaged.back() ^= 1;
  EXPECT_TRUE(rig->send(damaged).empty());
  EXPECT_EQ(rig->dropped(DropReason::checksum), 1u);
}

TEST_P(EveryTunnel, RFC_2473_7_1_a_client_whose_packet_has_extension_headers_is_told_too) {
  const Case c = GetParam();
  if (!c.inner_v6) return;
  const auto rig = make(c, config::Protocol::udp);
  const Flow f = client(true);
  const Bytes sent = with_extensions(udp(f, std::string(1340, 'a')), {{kHopByHop}, {kDestinationOptions, 1}});
  const Bytes outer = rig->send(sent).at(0).bytes;
  const auto told = rig->send(too_big_about(outer, ip(c.outer_v6 ? "fd00:1::1" : "10.0.1.1"), 1400, 548));
  ASSERT_EQ(told.size(), 1u);
  EXPECT_EQ(told[0].to(), f.from);
  EXPECT_TRUE(told[0].checksums_right());
  EXPECT_EQ(get32(told[0].bytes, told[0].l4() + 4), 1400 - c.overhead());
  EXPECT_EQ(slice(told[0].bytes, told[0].l4() + 8, 100), slice(sent, 14, 100));
}

INSTANTIATE_TEST_SUITE_P(
    Modes, EveryTunnel,
    ::testing::Values(Case{config::Mode::ipip, false, false}, Case{config::Mode::ipip, true, false},
                      Case{config::Mode::ipip, false, true}, Case{config::Mode::ipip, true, true},
                      Case{config::Mode::gue, false, false}, Case{config::Mode::gue, true, false},
                      Case{config::Mode::gue, false, true}, Case{config::Mode::gue, true, true}),
    [](const auto& i) {
      return std::string(to_string(i.param.mode)) + (i.param.inner_v6 ? "_6in" : "_4in") +
             (i.param.outer_v6 ? "6" : "4");
    });

TEST(RedirectTunnel, the_outer_header_tells_flows_apart_and_keeps_one_flow_together) {
  for (const Case c : {Case{config::Mode::gue, false, false}, Case{config::Mode::ipip, false, true},
                       Case{config::Mode::ipip, false, false}}) {
    const bool by_source = c.mode == config::Mode::ipip && !c.outer_v6;
    const auto rig = make(c, config::Protocol::udp, nullptr, by_source);
    std::set<uint32_t> seen;
    for (unsigned n = 1; n <= 100; ++n) {
      const auto entropy = [&] {
        const Frame f = rig->send(udp(client(false, n), "a")).at(0);
        if (!by_source) return c.outer_v6 ? get32(f.bytes, 14) & 0xfffff : f.from_port();
        EXPECT_EQ(get32(f.bytes, 26) >> 16, 0xac10u) << "172.16/16";
        EXPECT_EQ(internet_checksum(slice(f.bytes, 14, 20)), 0u);
        return get32(f.bytes, 26);
      };
      const uint32_t first = entropy();
      EXPECT_EQ(entropy(), first);
      seen.insert(first);
    }
    EXPECT_GE(seen.size(), 95u);
  }
}

TEST(RedirectTunnel, what_a_router_says_of_a_source_by_flow_is_about_our_tunnel) {
  const auto rig = make({config::Mode::ipip, false, false}, config::Protocol::udp, nullptr, true);
  const Frame sent = rig->send(udp(client(false), "a")).at(0);
  for (const bool ours : {true, false}) {
    Bytes quoted = slice(sent.bytes, 14, 48);
    IpAddress source = sent.from();
    if (!ours) {
      source = ip("172.17.0.9");
      std::memcpy(quoted.data() + 12, source.data(), 4);
    }
    Bytes error{3, 1, 0, 0, 0, 0, 0, 0};  // host unreachable
    add(error, quoted);
    set16(error, 2, internet_checksum(error));
    rig->send(ip_frame({ip("198.18.0.9"), source, 0, 0}, 1, error));
    redirect::Suspicion suspicion;
    EXPECT_EQ(rig->redirector->next_suspicion(suspicion), ours);
  }
}

TEST(RedirectTunnel, a_pe_behind_a_router_is_reached_by_its_own_address) {
  const auto rig = make({config::Mode::ipip, false, false}, config::Protocol::udp, "10.9.1.2");
  const auto got = rig->send(udp(client(false), "a"));
  ASSERT_EQ(got.size(), 1u);
  EXPECT_EQ(got[0].to(), ip("10.9.1.2"));
  EXPECT_EQ(got[0].destination_mac(), (Bytes{2, 0, 0, 0, 1, 9}));
}

TEST(RedirectTunnel, a_packet_for_an_unresolved_neighbour_waits_in_its_tunnel) {
  const auto rig = make({config::Mode::gue, false, false}, config::Protocol::udp);
  rig->hop(21).state = drivers::NextHop::incomplete;
  EXPECT_TRUE(rig->send(udp(client(false), "a")).empty());
  ASSERT_EQ(rig->held.size(), 1u);
  EXPECT_EQ(get16(rig->held[0], 12), 0x0800u);
  EXPECT_EQ(get16(rig->held[0], 14 + 20 + 2), kGuePort);
}

TEST(RedirectTunnel, RFC_791_3_2_what_may_be_cut_goes_in_pieces_each_in_a_tunnel) {
  const auto rig = make({config::Mode::ipip, false, false}, config::Protocol::udp);
  Bytes sent = udp(client(false), std::string(1472, 'p'));
  set16(sent, 20, 0);  // without DF
  set16(sent, 18, 0x1234);
  set16(sent, 24, 0);
  set16(sent, 24, internet_checksum(slice(sent, 14, 20)));
  const auto got = rig->send(sent);
  ASSERT_EQ(got.size(), 2u);
  Bytes joined;
  std::set<unsigned> outer_ids;
  for (const Frame& f : got) {
    EXPECT_LE(f.ip_payload() + 20, 1500u);
    EXPECT_EQ(internet_checksum(slice(f.bytes, 14, 20)), 0u);
    EXPECT_EQ(get16(f.bytes, 20), 0u);  // the outer one may be cut too, and so has an ID
    outer_ids.insert(get16(f.bytes, 18));
    EXPECT_EQ(internet_checksum(slice(f.bytes, 34, 20)), 0u);
    EXPECT_EQ(get16(f.bytes, 38), 0x1234u);
    EXPECT_EQ((get16(f.bytes, 40) & 0x1fffu) * 8, joined.size());
    EXPECT_EQ((get16(f.bytes, 40) & 0x2000u) != 0, &f != &got.back());
    add(joined, slice(f.bytes, 54, get16(f.bytes, 36) - 20));
  }
  EXPECT_EQ(outer_ids.size(), 2u);
  EXPECT_EQ(joined, slice(sent, 34, sent.size() - 34));
}

TEST(RedirectTunnel, without_room_in_front_a_packet_is_dropped_and_counted) {
  const auto rig = make({config::Mode::ipip, false, false}, config::Protocol::udp);
  rig->send(udp(client(false), "first"));
  const Bytes frame = udp(client(false), "a");
  rte_mbuf* m = Rig::mbuf(frame);
  std::memmove(rte_pktmbuf_prepend(m, rte_pktmbuf_headroom(m)), frame.data(), frame.size());
  rte_pktmbuf_trim(m, RTE_PKTMBUF_HEADROOM);
  rig->redirector->process(&m, 1, rig->now_us, rig->out);
  EXPECT_EQ(rig->out.ports_used, 0u);
  EXPECT_EQ(rig->dropped(DropReason::tunnel_headroom), 1u);
}

TEST(RedirectTunnel, without_an_address_of_the_outer_family_a_packet_is_dropped_and_counted) {
  Rig rig(TransportType::udp);
  rig.service(config::Protocol::udp, config::Mode::gue);
  rig.set_pool({{21, "fd00::15", 3868}});
  rig.redirector_options.tunnel_sources[1].v4 = ip("10.0.1.1");
  rig.start();
  EXPECT_TRUE(rig.send(udp(client(false), "a")).empty());
  EXPECT_TRUE(rig.send(udp(client(false), "a")).empty());
  EXPECT_EQ(rig.dropped(DropReason::tunnel_source), 2u);
}

TEST(RedirectTunnel, a_session_keeps_the_mode_that_it_began_with) {
  const auto rig = make({config::Mode::ipip, false, false}, config::Protocol::udp);
  EXPECT_EQ(rig->send(udp(client(false), "a")).at(0).protocol(), 4);
  rig->config.services[0].mode = config::Mode::gue;
  rig->pools->tick(rig->now_us);
  rig->services = std::move(
      *redirect::ServiceTable::build(rig->config, rig->own, *rig->pools, rig->services.get(), rig->now_us));
  rig->redirector->set_services(rig->services.get());
  EXPECT_EQ(rig->send(udp(client(false), "a")).at(0).protocol(), 4);
  EXPECT_EQ(rig->send(udp(client(false, 2), "a")).at(0).protocol(), 17);
}

}  // namespace
}  // namespace poolgate::test
