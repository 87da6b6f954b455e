// SPDX-License-Identifier: BSD-3-Clause
// Mode l2: a flow's PE, what is rewritten, and what goes elsewhere.
#include "tests/unit/redirect_rig.h"

namespace poolgate::test {
namespace {

using redirect::DropReason;
using rserpool::TransportType;

Flow client(unsigned n = 1, const char* vip = "192.0.2.1", uint16_t port = 3868) {
  const std::string text =
      ip(vip).is_v6() ? "2001:db8:c::" + std::to_string(n) : "203.0.113." + std::to_string(n);
  return {ip(text.c_str()), ip(vip), static_cast<uint16_t>(40000 + n), port};
}

const std::vector<PeSpec> kThree = {
    {11, "10.0.0.11", 3868}, {12, "10.0.0.12", 3868}, {13, "10.0.0.13", 3868}};

class RedirectL2 : public ::testing::Test {
 protected:
  void begin(config::Protocol protocol) {
    const TransportType type = protocol == config::Protocol::sctp  ? TransportType::sctp
                               : protocol == config::Protocol::tcp ? TransportType::tcp
                                                                   : TransportType::udp;
    rig = std::make_unique<Rig>(type);
    rig->service(protocol);
    rig->set_pool(kThree);
    rig->start();
  }
  // The PE that an association of client n gets; it is established afterwards with tag 0x1000 + n.
  unsigned associate(const Flow& f, uint32_t tag_p, uint32_t tag_c = 77) {
    const auto init = rig->send(sctp(f, 0, init_chunk(tag_c)));
    EXPECT_EQ(init.size(), 1u);
    const auto echo = rig->send(sctp(f, tag_p, cookie_echo()));
    EXPECT_EQ(echo.size(), 1u);
    if (init.empty() || echo.empty()) return 0;
    EXPECT_EQ(pe_of(init[0]), pe_of(echo[0]));
    return pe_of(init[0]);
  }
  std::unique_ptr<Rig> rig;
};

TEST_F(RedirectL2, only_the_mac_addresses_of_a_packet_change) {
  begin(config::Protocol::udp);
  const Bytes sent = udp(client(), "hello");
  const auto got = rig->send(sent);
  ASSERT_EQ(got.size(), 1u);
  const unsigned pe = pe_of(got[0]);
  EXPECT_EQ(got[0].port, pe % 4);
  EXPECT_EQ(got[0].destination_mac(), (Bytes{2, 0, 0, 0, 1, static_cast<uint8_t>(pe)}));
  EXPECT_EQ(got[0].source_mac(), (Bytes{2, 0, 0, 0, 2, static_cast<uint8_t>(pe)}));
  EXPECT_EQ(slice(got[0].bytes, 12, sent.size() - 12), slice(sent, 12, sent.size() - 12));
}

TEST_F(RedirectL2, new_flows_follow_the_policy_and_old_ones_their_pe) {
  begin(config::Protocol::udp);
  std::vector<unsigned> first;
  for (unsigned n = 1; n <= 6; ++n) first.push_back(pe_of(rig->send(udp(client(n), "a")).at(0)));
  EXPECT_EQ(first, (std::vector<unsigned>{first[0], first[1], first[2], first[0], first[1], first[2]}));
  EXPECT_EQ(std::set<unsigned>(first.begin(), first.end()), (std::set<unsigned>{11, 12, 13}));
  for (unsigned n = 6; n >= 1; --n) EXPECT_EQ(pe_of(rig->send(udp(client(n), "b")).at(0)), first[n - 1]);
  EXPECT_EQ(rig->redirector->session_stats().sessions, 6u);
}

TEST_F(RedirectL2, two_packets_of_one_new_flow_in_a_burst_are_one_session) {
  begin(config::Protocol::udp);
  const auto got = rig->burst({udp(client(), "a"), udp(client(), "b"), udp(client(2), "c")});
  ASSERT_EQ(got.size(), 3u);
  EXPECT_EQ(rig->redirector->session_stats().sessions, 2u);
}

TEST_F(RedirectL2, ipv6_flows_are_told_apart_by_their_whole_addresses) {
  begin(config::Protocol::udp);
  std::vector<unsigned> pes;
  for (unsigned n = 1; n <= 3; ++n) pes.push_back(pe_of(rig->send(udp(client(n, "2001:db8::1"), "a")).at(0)));
  EXPECT_EQ(std::set<unsigned>(pes.begin(), pes.end()).size(), 3u);
  for (unsigned n = 1; n <= 3; ++n)
    EXPECT_EQ(pe_of(rig->send(udp(client(n, "2001:db8::1"), "b")).at(0)), pes[n - 1]);
  const auto stats = rig->redirector->session_stats();
  EXPECT_EQ(stats.sessions, 3u);
  EXPECT_EQ(stats.used, 6u);
}

TEST_F(RedirectL2, a_vlan_tag_stays) {
  begin(config::Protocol::udp);
  Flow f = client();
  f.vlan = 42;
  const auto got = rig->send(udp(f, "a"));
  ASSERT_EQ(got.size(), 1u);
  EXPECT_EQ(get16(got[0].bytes, 12), 0x8100u);
  EXPECT_EQ(get16(got[0].bytes, 14), 42u);
}

TEST_F(RedirectL2, a_vlan_tag_is_in_front_of_every_piece) {
  begin(config::Protocol::udp);
  for (unsigned i = 11; i <= 13; ++i) rig->hop(i).mtu = 600;
  Flow f = client();
  f.vlan = 42;
  Bytes frame = udp(f, std::string(1000, 'q'));
  constexpr size_t kIp = 18;
  frame[kIp + 6] = 0;  // may be cut
  set16(frame, kIp + 10, 0);
  set16(frame, kIp + 10, internet_checksum(Bytes(frame.begin() + kIp, frame.begin() + kIp + 20)));
  const auto got = rig->send(frame);
  ASSERT_EQ(got.size(), 2u);
  size_t carried = 0;
  for (const Frame& piece : got) {
    EXPECT_EQ(get16(piece.bytes, 12), 0x8100u);
    EXPECT_EQ(get16(piece.bytes, 14), 42u);
    EXPECT_EQ(get16(piece.bytes, 16), 0x0800u);
    EXPECT_EQ(piece.bytes.size(), kIp + get16(piece.bytes, kIp + 2));
    EXPECT_EQ(internet_checksum(Bytes(piece.bytes.begin() + kIp, piece.bytes.begin() + kIp + 20)), 0u);
    carried += piece.bytes.size() - kIp - 20;
  }
  EXPECT_EQ(carried, 1008u);
}

TEST_F(RedirectL2, a_deregistered_pe_keeps_its_flows_and_gets_no_new_ones) {
  begin(config::Protocol::udp);
  std::map<unsigned, unsigned> pes;
  for (unsigned n = 1; n <= 6; ++n) pes[n] = pe_of(rig->send(udp(client(n), "a")).at(0));
  rig->set_pool({kThree[0], kThree[2]});
  for (unsigned n = 1; n <= 6; ++n) EXPECT_EQ(pe_of(rig->send(udp(client(n), "b")).at(0)), pes[n]);
  for (unsigned n = 10; n <= 20; ++n) EXPECT_NE(pe_of(rig->send(udp(client(n), "b")).at(0)), 12u);
}

// A UDP flow that never pauses would be sent for ever to where maybe nobody is.
TEST_F(RedirectL2, a_udp_flow_of_a_deregistered_pe_goes_elsewhere_after_a_minute_if_there_is_another) {
  begin(config::Protocol::udp);
  const unsigned first = pe_of(rig->send(udp(client(), "a")).at(0));
  const auto goes_on = [&](unsigned ms) {
    unsigned pe = 0;
    for (unsigned at = 0; at < ms; at += 500) {
      rig->pass_ms(500);
      pe = pe_of(rig->send(udp(client(), "b")).at(0));
    }
    return pe;
  };
  auto others = kThree;
  std::erase_if(others, [&](const PeSpec& pe) { return pe.id == first; });
  rig->set_pool(others);
  EXPECT_EQ(goes_on(50'000), first);
  rig->set_pool(kThree);  // it is back
  EXPECT_EQ(goes_on(70'000), first);
  rig->set_pool(others);
  EXPECT_EQ(goes_on(50'000), first);
  EXPECT_NE(goes_on(14'000), first);
}

TEST_F(RedirectL2, a_udp_flow_of_the_last_pe_that_deregistered_stays_with_it) {
  begin(config::Protocol::udp);
  const unsigned first = pe_of(rig->send(udp(client(), "a")).at(0));
  rig->set_pool({});
  for (unsigned at = 0; at < 70; ++at) {
    rig->pass_ms(1000);
    EXPECT_EQ(pe_of(rig->send(udp(client(), "b")).at(0)), first);
  }
}

TEST_F(RedirectL2, a_pe_that_the_operator_drains_keeps_its_flows_and_gets_no_new_ones) {
  begin(config::Protocol::udp);
  std::map<unsigned, unsigned> pes;
  for (unsigned n = 1; n <= 3; ++n) pes[n] = pe_of(rig->send(udp(client(n), "a")).at(0));
  EXPECT_TRUE(rig->pools->set_pe("pool", 12, pool::OperatorState::drain, rig->now_us));
  rig->tick(2000);
  for (unsigned n = 1; n <= 3; ++n) EXPECT_EQ(pe_of(rig->send(udp(client(n), "b")).at(0)), pes[n]);
  for (unsigned n = 10; n <= 20; ++n) EXPECT_NE(pe_of(rig->send(udp(client(n), "b")).at(0)), 12u);
  EXPECT_TRUE(rig->pools->set_pe("pool", 12, pool::OperatorState::up, rig->now_us));
  rig->tick(2000);
  std::set<unsigned> now;
  for (unsigned n = 30; n <= 35; ++n) now.insert(pe_of(rig->send(udp(client(n), "b")).at(0)));
  EXPECT_TRUE(now.contains(12));
}

TEST_F(RedirectL2, a_packet_for_an_unresolved_neighbour_is_held_and_for_a_dead_one_dropped) {
  begin(config::Protocol::udp);
  for (unsigned i = 11; i <= 13; ++i) rig->hop(i).state = drivers::NextHop::incomplete;
  EXPECT_TRUE(rig->send(udp(client(), "a")).empty());
  EXPECT_EQ(rig->held.size(), 1u);
  for (unsigned i = 11; i <= 13; ++i) rig->hop(i).state = drivers::NextHop::unreachable;
  EXPECT_TRUE(rig->send(udp(client(), "a")).empty());
  EXPECT_EQ(rig->dropped(DropReason::next_hop_unreachable), 1u);
  for (unsigned i = 11; i <= 13; ++i) rig->hop(i).state = drivers::NextHop::resolved;
  EXPECT_EQ(rig->send(udp(client(), "a")).size(), 1u);
  for (unsigned i = 11; i <= 13; ++i) rig->hop(i).mtu = 40;
  const auto told = rig->send(udp(client(), std::string(100, 'x')));
  ASSERT_EQ(told.size(), 1u);
  EXPECT_EQ(told[0].to(), client().from);
  EXPECT_EQ(slice(told[0].bytes, told[0].l4(), 2), (Bytes{3, 4}));
  EXPECT_EQ(get16(told[0].bytes, told[0].l4() + 6), 40u);
  EXPECT_EQ(rig->dropped(DropReason::too_big), 1u);
}

TEST_F(RedirectL2, a_service_address_and_protocol_never_goes_to_the_kernel) {
  begin(config::Protocol::udp);
  EXPECT_EQ(rig->send(udp(client(1, "192.0.2.1", 9), "a")).size(), 1u) << "port unreachable";
  EXPECT_TRUE(rig->exceptions.empty());
  EXPECT_EQ(rig->dropped(DropReason::service_protocol), 1u);
  Bytes fragment = udp(client(), "a");
  fragment[21] = 1;  // not the first
  EXPECT_TRUE(rig->send(fragment).empty());
  EXPECT_TRUE(rig->exceptions.empty());
  EXPECT_EQ(rig->dropped(DropReason::fragment), 1u);
  // Another protocol at the same address is the kernel's: SSH, a BGP peer.
  EXPECT_TRUE(rig->send(tcp(client(1, "192.0.2.1", 22), kSyn, 1, 0)).empty());
  EXPECT_EQ(rig->exceptions.size(), 1u);
}

// RFC 9260 §8.4 rule 1, RFC 1122 §3.2.2: no answer to who cannot have sent it.
TEST_F(RedirectL2, what_is_to_no_port_of_a_service_is_not_answered_where_nobody_sends_from) {
  begin(config::Protocol::sctp);
  const char* const nobody[] = {"192.0.2.1", "127.0.0.1", "224.0.0.1", "255.255.255.255", "0.0.0.1"};
  for (const char* from : nobody)
    EXPECT_TRUE(rig->send(sctp({ip(from), ip("192.0.2.1"), 4000, 9999}, 5, data_chunk())).empty()) << from;
  EXPECT_EQ(rig->dropped(DropReason::ip_address), std::size(nobody));
  EXPECT_EQ(rig->send(sctp({ip("203.0.113.1"), ip("192.0.2.1"), 4000, 9999}, 5, data_chunk())).size(), 1u);
}

TEST_F(RedirectL2, our_own_sctp_goes_to_the_endpoint_and_the_rest_to_the_kernel) {
  begin(config::Protocol::sctp);
  rig->send(sctp({ip("10.0.0.11"), ip("198.51.100.1"), 5000, 3863}, 0, init_chunk(1)));
  EXPECT_EQ(rig->endpoint.size(), 1u);
  rig->send(sctp({ip("10.0.0.11"), ip("198.51.100.1"), 5000, 1234}, 9, data_chunk()));
  EXPECT_EQ(rig->endpoint.size(), 1u) << "unknown ports too: protocol 132 to us is never the kernel's";
  rig->send(udp({ip("10.0.0.11"), ip("198.51.100.1"), 5000, 53}, "a"));
  EXPECT_EQ(rig->exceptions.size(), 1u);
  Bytes arp = ethernet(0x0806);
  arp.resize(60);
  rig->send(arp);
  EXPECT_EQ(rig->exceptions.size(), 1u);
}

TEST_F(RedirectL2, an_association_keeps_its_pe_from_init_to_data) {
  begin(config::Protocol::sctp);
  for (unsigned n = 1; n <= 9; ++n) {
    const unsigned pe = associate(client(n), 0x1000 + n);
    const auto data = rig->send(sctp(client(n), 0x1000 + n, data_chunk()));
    ASSERT_EQ(data.size(), 1u);
    EXPECT_EQ(pe_of(data[0]), pe);
  }
  EXPECT_EQ(rig->redirector->session_stats().half_open, 0u);
}

TEST_F(RedirectL2, addresses_in_an_init_are_the_same_association) {
  begin(config::Protocol::sctp);
  Bytes addresses;
  add(addresses, address_parameter(ip("203.0.113.1")));
  add(addresses, address_parameter(ip("198.18.0.1")));
  add(addresses, address_parameter(ip("2001:db8:c::1")));
  const Flow f = client(1);
  const auto init = rig->send(sctp(f, 0, init_chunk(5, addresses)));
  ASSERT_EQ(init.size(), 1u);
  rig->send(sctp(f, 0xabc, cookie_echo()));
  for (const auto& [from, to] : {std::pair{"198.18.0.1", "192.0.2.1"}, {"2001:db8:c::1", "2001:db8::1"}}) {
    const auto got = rig->send(sctp({ip(from), ip(to), f.from_port, 3868}, 0xabc, data_chunk()));
    ASSERT_EQ(got.size(), 1u) << from;
    EXPECT_EQ(pe_of(got[0]), pe_of(init[0]));
  }
  // A restart from another of its addresses is the same association too (RFC 9260 §5.2.2).
  const auto again =
      rig->send(sctp({ip("198.18.0.1"), ip("192.0.2.1"), f.from_port, 3868}, 0, init_chunk(6, addresses)));
  ASSERT_EQ(again.size(), 1u);
  EXPECT_EQ(pe_of(again[0]), pe_of(init[0]));
  EXPECT_EQ(rig->redirector->session_stats().sessions, 1u);
}

TEST_F(RedirectL2, an_unknown_address_is_found_by_its_tag_and_not_remembered) {
  begin(config::Protocol::sctp);
  const unsigned pe = associate(client(1), 0xabc);
  const Flow other{ip("198.18.7.7"), ip("192.0.2.1"), client(1).from_port, 3868};
  const auto got = rig->send(sctp(other, 0xabc, data_chunk()));
  ASSERT_EQ(got.size(), 1u);
  EXPECT_EQ(pe_of(got[0]), pe);
  EXPECT_EQ(rig->redirector->session_stats().used, 1u);
  const auto wrong = rig->send(sctp(other, 0xabd, data_chunk()));
  ASSERT_EQ(wrong.size(), 1u);
  EXPECT_EQ(wrong[0].chunk_type(), 6) << "a tag that nobody has: out of the blue";
}

TEST_F(RedirectL2, a_tag_of_two_associations_names_neither) {
  begin(config::Protocol::sctp);
  Flow a = client(1), b = client(2);
  b.from_port = a.from_port;
  associate(a, 0xabc);
  associate(b, 0xabc);
  EXPECT_TRUE(
      rig->send(sctp({ip("198.18.7.7"), ip("192.0.2.1"), a.from_port, 3868}, 0xabc, data_chunk())).empty());
  EXPECT_EQ(rig->dropped(DropReason::session_ambiguous), 1u);
}

TEST_F(RedirectL2, RFC_9260_8_4_an_out_of_the_blue_packet_is_aborted_with_its_tag_and_the_T_bit) {
  begin(config::Protocol::sctp);
  const auto got = rig->send(sctp(client(1), 0xfeed, data_chunk()));
  ASSERT_EQ(got.size(), 1u);
  EXPECT_EQ(got[0].from(), ip("192.0.2.1"));
  EXPECT_EQ(got[0].to(), client(1).from);
  EXPECT_EQ(got[0].from_port(), 3868u);
  EXPECT_EQ(got[0].tag(), 0xfeedu);
  EXPECT_EQ(got[0].chunk_type(), 6);
  EXPECT_EQ(got[0].chunk_flags(), 1);
  EXPECT_EQ(got[0].destination_mac(), Bytes(kClientMac, kClientMac + 6));
  EXPECT_EQ(got[0].source_mac(), Bytes(kOurMac, kOurMac + 6));
  EXPECT_EQ(got[0].port, 3u) << "where it came from";
  EXPECT_TRUE(got[0].checksums_right());
  // No answer to these.
  for (const uint8_t type : {uint8_t{6}, uint8_t{14}, uint8_t{11}})
    EXPECT_TRUE(rig->send(sctp(client(1), 0xfeed, chunk(type, 0, {}))).empty()) << int{type};
  EXPECT_TRUE(rig->send(sctp(client(1), 0xfeed, chunk(9, 0, parameter(3, Bytes(4, 0))))).empty())
      << "stale cookie";
  EXPECT_EQ(rig->send(sctp(client(1), 0xfeed, chunk(9, 0, parameter(1, Bytes(4, 0))))).size(), 1u);
  const auto complete = rig->send(sctp(client(1), 0xfeed, chunk(8, 0, {})));
  ASSERT_EQ(complete.size(), 1u);
  EXPECT_EQ(complete[0].chunk_type(), 14);
  EXPECT_EQ(complete[0].chunk_flags(), 1);
}

TEST_F(RedirectL2, an_empty_pool_refuses_new_clients) {
  begin(config::Protocol::sctp);
  rig->set_pool({});
  const auto abort = rig->send(sctp(client(1), 0, init_chunk(0x5555)));
  ASSERT_EQ(abort.size(), 1u);
  EXPECT_EQ(abort[0].chunk_type(), 6);
  EXPECT_EQ(abort[0].tag(), 0x5555u) << "the initiate tag of the INIT";
  EXPECT_EQ(abort[0].chunk_flags(), 0);
  EXPECT_TRUE(abort[0].checksums_right());
  EXPECT_EQ(rig->dropped(DropReason::pool_empty), 1u);

  begin(config::Protocol::tcp);
  rig->set_pool({});
  const auto reset = rig->send(tcp(client(1), kSyn, 999, 0));
  ASSERT_EQ(reset.size(), 1u);
  EXPECT_EQ(reset[0].bytes[reset[0].l4() + 13], kRst | kAck);
  EXPECT_EQ(get32(reset[0].bytes, reset[0].l4() + 8), 1000u);
  EXPECT_TRUE(reset[0].checksums_right());

  begin(config::Protocol::udp);
  rig->set_pool({});
  const Bytes sent = udp(client(1), "question");
  const auto icmp = rig->send(sent);
  ASSERT_EQ(icmp.size(), 1u);
  EXPECT_EQ(icmp[0].protocol(), 1);
  EXPECT_EQ(icmp[0].bytes[icmp[0].l4()], 3);
  EXPECT_EQ(icmp[0].bytes[icmp[0].l4() + 1], 3);
  EXPECT_TRUE(icmp[0].checksums_right());
  EXPECT_EQ(slice(icmp[0].transport(), 8, sent.size() - 14), slice(sent, 14, sent.size() - 14));
  const auto icmp6 = rig->send(udp(client(1, "2001:db8::1"), "question"));
  ASSERT_EQ(icmp6.size(), 1u);
  EXPECT_EQ(icmp6[0].protocol(), 58);
  EXPECT_EQ(icmp6[0].bytes[icmp6[0].l4()], 1);
  EXPECT_EQ(icmp6[0].bytes[icmp6[0].l4() + 1], 4);
  EXPECT_TRUE(icmp6[0].checksums_right());
}

TEST_F(RedirectL2, an_empty_pool_drops_where_the_service_says_so) {
  rig = std::make_unique<Rig>(TransportType::udp);
  rig->service(config::Protocol::udp).empty_pool = config::EmptyPool::drop;
  rig->start();
  EXPECT_TRUE(rig->send(udp(client(1), "a")).empty());
  EXPECT_EQ(rig->dropped(DropReason::pool_empty), 1u);
}

TEST_F(RedirectL2, refusals_are_paced) {
  rig = std::make_unique<Rig>(TransportType::sctp);
  rig->service().abort_rate = 100;  // ten at once
  rig->start();
  unsigned answered = 0;
  for (unsigned n = 0; n < 200; ++n)
    answered += static_cast<unsigned>(rig->send(sctp(client(1), 7, data_chunk())).size());
  EXPECT_GE(answered, 10u);
  EXPECT_LE(answered, 12u);
  EXPECT_EQ(rig->dropped(DropReason::refuse_rate), 200 - answered);
}

TEST_F(RedirectL2, a_pe_on_another_port_or_off_link_is_not_eligible_and_the_reason_is_told) {
  rig = std::make_unique<Rig>(TransportType::udp);
  rig->service(config::Protocol::udp);
  rig->set_pool(
      {{11, "10.0.0.11", 3868}, {12, "10.0.0.12", 5000}, {13, "10.9.0.13", 3868}, {14, "172.16.0.1", 3868}});
  rig->start();
  for (unsigned n = 1; n <= 8; ++n) EXPECT_EQ(pe_of(rig->send(udp(client(n), "a")).at(0)), 11u);
  const auto& asks = rig->services->services()[0].eligibility_v4;
  std::vector<std::string> why;
  for (const auto& pe : rig->pools->elements("pool")) why.push_back(ineligible_because(pe, asks));
  EXPECT_EQ(why, (std::vector<std::string>{"", "registered port 5000, the service's is 3868",
                                           "10.9.0.13 is not on-link", "no route to 172.16.0.1"}));
}

TEST_F(RedirectL2, a_drained_service_keeps_its_sessions_and_starts_none) {
  begin(config::Protocol::udp);
  ASSERT_EQ(rig->send(udp(client(1), "a")).size(), 1u);
  auto drained = rig->services->with_drain("service-1", true);
  rig->redirector->set_services(drained.get());
  const auto old = rig->send(udp(client(1), "a"));
  ASSERT_EQ(old.size(), 1u);
  EXPECT_EQ(old[0].protocol(), 17);
  const auto refused = rig->send(udp(client(2), "a"));
  ASSERT_EQ(refused.size(), 1u);
  EXPECT_EQ(refused[0].protocol(), 1);
  EXPECT_EQ(rig->dropped(DropReason::service_blocked), 1u);
  rig->redirector->set_services(rig->services.get());
}

TEST_F(RedirectL2, rendezvous_gives_a_client_the_same_pe_on_every_appliance) {
  std::vector<std::vector<unsigned>> chosen;
  for (const uint64_t seed : {7u, 8u}) {
    rig = std::make_unique<Rig>(TransportType::udp);
    rig->redirector_options.random_seed = seed;
    rig->service(config::Protocol::udp).selection = config::Selection::rendezvous;
    rig->set_pool(kThree);
    rig->start();
    auto& row = chosen.emplace_back();
    for (unsigned n = 1; n <= 60; ++n) row.push_back(pe_of(rig->send(udp(client(n), "a")).at(0)));
  }
  EXPECT_EQ(chosen[0], chosen[1]);
  EXPECT_EQ(std::set<unsigned>(chosen[0].begin(), chosen[0].end()).size(), 3u);
}

TEST_F(RedirectL2, client_affinity_returns_a_client_to_its_pe_from_any_port) {
  rig = std::make_unique<Rig>(TransportType::udp);
  rig->service(config::Protocol::udp).client_affinity = true;
  rig->set_pool(kThree);
  rig->start();
  std::set<unsigned> pes;
  for (uint16_t port = 2000; port < 2040; ++port) {
    Flow f = client(1);
    f.from_port = port;
    pes.insert(pe_of(rig->send(udp(f, "a")).at(0)));
  }
  EXPECT_EQ(pes.size(), 1u);
}

TEST_F(RedirectL2, bad_packets_are_dropped_by_name) {
  begin(config::Protocol::sctp);
  rig->send(sctp(client(1), 0, [] {
    Bytes both = init_chunk(5);
    add(both, data_chunk());
    return both;
  }()));
  EXPECT_EQ(rig->dropped(DropReason::sctp_init_bundled), 1u);
  rig->send(sctp(client(1), 9, init_chunk(5)));
  EXPECT_EQ(rig->dropped(DropReason::sctp_init_bundled), 2u);
  Flow land = client(1);
  land.from = land.to;
  rig->send(sctp(land, 0, init_chunk(5)));
  EXPECT_EQ(rig->dropped(DropReason::ip_address), 1u);
  Flow zero = client(1);
  zero.from_port = 0;
  rig->send(sctp(zero, 0, init_chunk(5)));
  EXPECT_EQ(rig->dropped(DropReason::l4_port_zero), 1u);
  EXPECT_EQ(rig->redirector->session_stats().sessions, 0u);
}

}  // namespace
}  // namespace poolgate::test
