// SPDX-License-Identifier: BSD-3-Clause
// A PE of several addresses: which packet goes by which, and where to when one of them is dead.
#include "tests/unit/cookie_ack.h"
#include "tests/unit/redirect_rig.h"

namespace poolgate::test {
namespace {

using config::Mode;
using Prober = pool::AddressVerdict::Prober;

const IpAddress kVip1 = ip("192.0.2.1"), kVip2 = ip("192.0.2.2");
const IpAddress kVip6a = ip("2001:db8::1"), kVip6b = ip("2001:db8::2");
const IpAddress kC1 = ip("203.0.113.1"), kC2 = ip("198.18.0.1");
const IpAddress kC6a = ip("2001:db8:c::1"), kC6b = ip("2001:db8:d::1");
constexpr uint32_t kTp = 0xbb, kTc = 0xaa;
constexpr uint16_t kPort = 3868, kClientPort = 40001;

// A client and a PE of two links: 10.0.0.21 and 10.0.0.22, or their likes in IPv6.
class RedirectPaths : public ::testing::TestWithParam<Mode> {
 protected:
  void begin(Mode mode,
             std::vector<PeSpec> pes = {{21, "10.0.0.21", kPort, 1, channel::PeState::up, {"10.0.0.22"}}}) {
    config::Service& service = rig.service(config::Protocol::sctp, mode);
    service.vips = vips;
    service.selection = selection;
    service.panic_share = 1;
    for (auto& source : rig.redirector_options.tunnel_sources) source = {ip("10.0.0.1"), ip("fd00::1")};
    rig.set_pool(pes);
    rig.start();
  }
  // The INIT, from the first of the client's addresses to the VIP, and the rest of the set-up.
  void associate(const std::vector<IpAddress>& client, const IpAddress& vip) {
    Bytes listed;
    for (const auto& address : client) add(listed, address_parameter(address));
    EXPECT_EQ(hop_of(client[0], vip, 0, init_chunk(kTc, listed)), hop_of(client[0], vip, kTp, cookie_echo()));
    if (GetParam() == Mode::nat) rig.send(cookie_ack(*last, kTc));
  }
  // The last byte of the address of the next hop that such a packet leaves by.
  unsigned hop_of(const IpAddress& client, const IpAddress& vip, uint32_t tag, const Bytes& chunks) {
    const auto got = rig.send(sctp({client, vip, kClientPort, kPort}, tag, chunks));
    EXPECT_EQ(got.size(), 1u);
    if (got.size() != 1) return 0;
    last = got[0];
    return pe_of(got[0]);
  }
  unsigned data(const IpAddress& client, const IpAddress& vip) {
    return hop_of(client, vip, kTp, data_chunk());
  }
  // Of an outer header, or of the packet itself.
  IpAddress destination() const { return last->to(); }
  void expect_outer(const IpAddress& address) const {
    if (GetParam() == Mode::l2) return;
    EXPECT_EQ(destination(), address);
  }
  pool::PeSlots& slots() { return rig.pools->slots(); }

  Rig rig;
  std::vector<IpAddress> vips{kVip1, kVip2, kVip6a, kVip6b};
  config::Selection selection = config::Selection::policy;
  std::optional<Frame> last;
};

TEST_P(RedirectPaths, a_packet_to_vip_n_goes_by_address_n) {
  begin(GetParam());
  associate({kC1, kC2}, kVip1);
  EXPECT_EQ(data(kC1, kVip1), 21u);
  EXPECT_EQ(data(kC2, kVip2), 22u);
  expect_outer(ip("10.0.0.22"));
  EXPECT_EQ(data(kC1, kVip2), 22u) << "the VIP decides, not the client's address";
  EXPECT_EQ(data(kC2, kVip1), 21u);
  EXPECT_EQ(rig.redirector->session_stats().sessions, 1u);
}

TEST_P(RedirectPaths, an_association_begins_by_the_address_of_the_vip_that_its_INIT_went_to) {
  begin(GetParam());
  associate({kC2, kC1}, kVip2);
  EXPECT_EQ(data(kC2, kVip2), 22u);
  EXPECT_EQ(data(kC1, kVip1), 21u);
}

TEST_P(RedirectPaths, of_IPv6_too) {
  begin(GetParam(), {{21, "fd00::15", kPort, 1, channel::PeState::up, {"fd00::16"}}});
  associate({kC6a, kC6b}, kVip6a);
  EXPECT_EQ(data(kC6a, kVip6a), 21u);
  EXPECT_EQ(data(kC6b, kVip6b), 22u);
  expect_outer(ip("fd00::16"));
  slots().neighbour_is(21, true);
  EXPECT_EQ(data(kC6a, kVip6a), 22u);
  expect_outer(ip("fd00::16"));
  slots().neighbour_is(21, false);
  EXPECT_EQ(data(kC6a, kVip6a), 21u);
}

TEST_P(RedirectPaths, one_address_for_two_vips_is_what_both_go_by) {
  begin(GetParam(), {{21, "10.0.0.21", kPort}});
  associate({kC1, kC2}, kVip1);
  EXPECT_EQ(data(kC1, kVip1), 21u);
  EXPECT_EQ(data(kC2, kVip2), 21u);
}

TEST_P(RedirectPaths, a_third_vip_begins_with_the_first_address_again) {
  vips = {kVip1, kVip2, ip("192.0.2.3")};
  begin(GetParam());
  associate({kC1, kC2}, kVip1);
  EXPECT_EQ(data(kC2, ip("192.0.2.3")), 21u);
}

TEST_P(RedirectPaths, a_dead_address_is_avoided_by_all_packets_until_it_is_back) {
  begin(GetParam());
  associate({kC1, kC2}, kVip1);
  const auto by = [&] { return std::pair{data(kC1, kVip1), data(kC2, kVip2)}; };
  const auto both = std::pair{21u, 22u};
  ASSERT_EQ(by(), both);

  EXPECT_EQ(slots().neighbour_is(21, true), 1u);
  EXPECT_EQ(by(), (std::pair{22u, 22u}));
  EXPECT_EQ(data(kC1, kVip1), 22u);
  expect_outer(ip("10.0.0.22"));
  EXPECT_EQ(rig.redirector->session_stats().sessions, 1u) << "the PE is not dead";
  slots().neighbour_is(21, false);
  EXPECT_EQ(by(), both);

  slots().sctp_path_is(ip("10.0.0.22"), true);
  EXPECT_EQ(by(), (std::pair{21u, 21u}));
  slots().prober_says(ip("10.0.0.22"), Prober::alive);
  EXPECT_EQ(by(), both) << "the prober knows better";
  slots().prober_says(ip("10.0.0.22"), Prober::dead);
  EXPECT_EQ(by(), (std::pair{21u, 21u}));
  slots().prober_says(ip("10.0.0.22"), Prober::none);
  EXPECT_EQ(by(), (std::pair{21u, 21u})) << "what the association tells still holds";
  slots().sctp_path_is(ip("10.0.0.22"), false);
  EXPECT_EQ(by(), both);

  slots().neighbour_is(21, true);
  slots().neighbour_is(22, true);
  EXPECT_EQ(by(), both) << "none is better than another";
}

TEST_P(RedirectPaths, a_new_association_avoids_a_dead_address_too) {
  begin(GetParam());
  slots().neighbour_is(21, true);
  associate({kC1, kC2}, kVip1);
  EXPECT_EQ(data(kC1, kVip1), 22u);
  EXPECT_EQ(data(kC2, kVip2), 22u);
}

TEST_P(RedirectPaths, packets_without_a_session_go_by_the_same_rules) {
  selection = config::Selection::rendezvous;
  begin(GetParam());
  EXPECT_EQ(data(kC1, kVip1), 21u);
  EXPECT_EQ(data(kC2, kVip2), 22u);
  slots().neighbour_is(21, true);
  EXPECT_EQ(data(kC1, kVip1), 22u);
  EXPECT_EQ(rig.redirector->session_stats().sessions, 0u);
  EXPECT_EQ(rig.redirector->counters(rig.services->services()[0].index).steered.load(), 3u);
}

TEST_P(RedirectPaths, a_PE_found_dead_is_dead_at_all_its_addresses) {
  begin(GetParam());
  associate({kC2, kC1}, kVip2);
  rig.pe_down(21);
  rig.send(sctp({kC1, kVip1, kClientPort, kPort}, kTp, data_chunk()));
  EXPECT_EQ(rig.redirector->session_stats().sessions, 0u);
}

TEST_P(RedirectPaths, a_PE_that_registers_with_fewer_addresses_keeps_its_sessions) {
  begin(GetParam());
  associate({kC2, kC1}, kVip2);
  rig.set_pool({{21, "10.0.0.21", kPort, 2}});
  EXPECT_EQ(data(kC1, kVip1), 22u) << "where it began, as no address is known to be dead";
  rig.set_pool({{21, "10.0.0.21", kPort, 3, channel::PeState::up, {"10.0.0.22"}}});
  EXPECT_EQ(data(kC1, kVip1), 21u);
  EXPECT_EQ(data(kC2, kVip2), 22u);
  EXPECT_EQ(rig.redirector->session_stats().sessions, 1u);
}

INSTANTIATE_TEST_SUITE_P(DirectReturn, RedirectPaths, ::testing::Values(Mode::l2, Mode::ipip, Mode::gue),
                         [](const auto& mode) { return std::string(config::to_string(mode.param)); });

// In `nat` the PE's address is the association's: what is dead stays so, for SCTP to find.
class NatPaths : public RedirectPaths {};

TEST_P(NatPaths, each_address_has_its_own_next_hop) {
  begin(Mode::nat);
  associate({kC1, kC2}, kVip1);
  const auto ack = rig.send(sctp({ip("10.0.0.21"), kC1, kPort, kClientPort}, kTc,
                                 init_chunk(kTp, address_parameter(ip("10.0.0.22")), 2)));
  ASSERT_EQ(ack.size(), 1u);
  EXPECT_EQ(data(kC1, kVip1), 21u);
  EXPECT_EQ(destination(), ip("10.0.0.21"));
  EXPECT_EQ(data(kC2, kVip2), 22u);
  EXPECT_EQ(destination(), ip("10.0.0.22"));
  slots().neighbour_is(21, true);
  EXPECT_EQ(data(kC1, kVip1), 21u) << "the client's heartbeats say when this path is back";
  EXPECT_EQ(destination(), ip("10.0.0.21"));
  EXPECT_EQ(data(kC2, kVip2), 22u);
}

TEST_P(NatPaths, a_new_association_begins_with_a_live_address_and_one_that_waits_begins_anew) {
  begin(Mode::nat);
  EXPECT_EQ(hop_of(kC1, kVip1, 0, init_chunk(kTc)), 21u);
  slots().sctp_path_is(ip("10.0.0.21"), true);
  EXPECT_EQ(hop_of(kC1, kVip1, 0, init_chunk(kTc)), 22u) << "its INIT came again";
  EXPECT_EQ(destination(), ip("10.0.0.22"));
  EXPECT_EQ(hop_of(kC2, kVip1, 0, init_chunk(kTc)), 22u);
  EXPECT_EQ(rig.redirector->session_stats().sessions, 2u);
}

TEST_P(NatPaths, addresses_stand_for_the_vips_of_their_numbers_in_whatever_order_INIT_ACK_has_them) {
  vips = {kVip1, kVip2, ip("192.0.2.3")};
  begin(Mode::nat, {{21, "10.0.0.21", kPort, 1, channel::PeState::up, {"10.0.0.22", "10.0.0.23"}}});
  associate({kC1, kC2}, kVip2);
  EXPECT_EQ(destination(), ip("10.0.0.22"));
  Bytes listed = address_parameter(ip("10.0.0.23"));
  add(listed, address_parameter(ip("10.0.0.22")));
  add(listed, address_parameter(ip("10.0.0.21")));
  ASSERT_EQ(
      rig.send(sctp({ip("10.0.0.22"), kC1, kPort, kClientPort}, kTc, init_chunk(kTp, listed, 2))).size(), 1u);
  EXPECT_EQ(data(kC2, kVip1), 21u);
  EXPECT_EQ(data(kC2, kVip2), 22u);
  EXPECT_EQ(data(kC2, ip("192.0.2.3")), 23u);
}

TEST(NatPathsOfUdp, a_flow_leaves_a_dead_address_that_nobody_else_would_leave) {
  Rig rig(rserpool::TransportType::udp);
  rig.service(config::Protocol::udp, Mode::nat).vips = {kVip1};
  rig.set_pool({{21, "10.0.0.21", kPort, 1, channel::PeState::up, {"10.0.0.22"}}});
  rig.start();
  const auto hop = [&] { return pe_of(rig.send(udp({kC1, kVip1, kClientPort, kPort}, "a")).at(0)); };
  EXPECT_EQ(hop(), 21u);
  rig.pools->slots().neighbour_is(21, true);
  rig.pass_ms(2'500);
  EXPECT_EQ(hop(), 22u);
  rig.pools->slots().neighbour_is(21, false);
  rig.pass_ms(2'500);
  EXPECT_EQ(hop(), 22u) << "no reason to leave a live one";
  rig.pools->slots().neighbour_is(21, true);
  rig.pools->slots().neighbour_is(22, true);
  rig.pass_ms(2'500);
  EXPECT_EQ(hop(), 22u) << "none is better than another";
}

INSTANTIATE_TEST_SUITE_P(Nat, NatPaths, ::testing::Values(Mode::nat), [](const auto&) { return "nat"; });

}  // namespace
}  // namespace poolgate::test
