// SPDX-License-Identifier: BSD-3-Clause
// Mode nat with SNAT: one association over IPv4 and IPv6, and the one port that it has at its PE.
#include "tests/unit/multihomed_client.h"
#include "tests/unit/nat_association.h"

namespace poolgate::test {
namespace {

using redirect::DropReason;
using namespace nat_association;

const IpAddress kS6 = ip("fd01::77"), kS6b = ip("fd01::78");
const IpAddress kP6b = ip("fd00::16"), kC6b = ip("2001:db8:c::2");

class SnatFamilies : public NatAssociation {
 protected:
  void ports(uint16_t first, uint16_t last) {
    rig.redirector_options.snat_first_port = first;
    rig.redirector_options.snat_last_port = last;
  }
  // What an INIT of another client's becomes.
  Frame init_of(const IpAddress& c, const IpAddress& v, uint16_t port, const Bytes& parameters = {}) {
    return only(sctp({c, v, port, kVipPort}, 0, init_chunk(kTc, parameters)));
  }
  uint32_t lines_used() const { return rig.redirector->session_stats().used; }
};

TEST_F(SnatFamilies, RFC_9260_5_1_2_addresses_of_both_families_stand_for_each_other_on_one_port) {
  begin({kVip, kVip6}, {kS1, kS6}, {"fd00::15"});
  establish(addresses({kC1, kC6}), addresses({kP1, kP6}), kS1);
  EXPECT_EQ(init_seen, init_chunk(kTc, addresses({kS1, kS6})));
  EXPECT_EQ(init_ack_seen, init_chunk(kTp, addresses({kVip, kVip6}), 2));
  expect_path(kC1, kVip, kS1, kP1);
  expect_path(kC6, kVip6, kS6, kP6);
  EXPECT_EQ(rig.redirector->session_stats().sessions, 1u);
}

TEST_F(SnatFamilies, an_association_that_begins_over_IPv6_has_its_IPv4_path_too) {
  begin({kVip, kVip6}, {kS1, kS6}, {"fd00::15"});
  const Frame init = from_client(kC6, kVip6, 0, init_chunk(kTc, addresses({kC1, kC6})));
  EXPECT_EQ(chunks_of(init), init_chunk(kTc, addresses({kS1, kS6})));
  pe_sees_port = static_cast<uint16_t>(init.from_port());
  EXPECT_EQ(chunks_of(from_pe(kP6, kS6, kTc, init_chunk(kTp, addresses({kP1, kP6}), 2))),
            init_chunk(kTp, addresses({kVip, kVip6}), 2));
  from_client(kC6, kVip6, kTp, cookie_echo());
  from_pe(kP6, kS6, kTc, chunk(11, 0, {}));
  expect_path(kC6, kVip6, kS6, kP6);
  expect_path(kC1, kVip, kS1, kP1);
}

TEST_F(SnatFamilies, an_INIT_ACK_over_the_other_family_is_found) {
  begin({kVip, kVip6}, {kS1, kS6}, {"fd00::15"});
  pe_sees_port =
      static_cast<uint16_t>(from_client(kC1, kVip, 0, init_chunk(kTc, addresses({kC1, kC6}))).from_port());
  const Frame ack = from_pe(kP6, kS6, kTc, init_chunk(kTp, addresses({kP1, kP6}), 2));
  EXPECT_EQ(ack.from(), kVip6);
  EXPECT_EQ(ack.to(), kC6);
  EXPECT_EQ(chunks_of(ack), init_chunk(kTp, addresses({kVip, kVip6}), 2));
}

TEST_F(SnatFamilies, an_INIT_sent_again_over_the_other_family_is_the_same_one) {
  begin({kVip2, kVip, kVip6}, {kS1, kS6}, {"fd00::15"});
  const Bytes init = init_chunk(kTc, addresses({kC1, kC6}));
  pe_sees_port = static_cast<uint16_t>(from_client(kC1, kVip, 0, init).from_port());
  const auto used = lines_used();
  const Frame again = from_client(kC6, kVip6, 0, init);
  EXPECT_EQ(again.from(), kS6);
  EXPECT_EQ(again.from_port(), pe_sees_port);
  EXPECT_EQ(chunks_of(again), init_chunk(kTc, addresses({kS1, kS6})));
  EXPECT_EQ(lines_used(), used);
  EXPECT_EQ(chunks_of(from_client(kC1, kVip, 0, init)), init_chunk(kTc, addresses({kS1, kS6})));
  EXPECT_EQ(lines_used(), used);
}

TEST_F(SnatFamilies, further_addresses_of_the_other_family_have_sources_of_their_own_or_share_the_first) {
  begin({kVip, kVip6}, {kS1, kS6, kS6b}, {"fd00::15"});
  const IpAddress third = ip("2001:db8:c::3");
  establish(addresses({kC1, kC6, kC6b, third}), addresses({kP1, kP6}), kS1);
  EXPECT_EQ(init_seen, init_chunk(kTc, addresses({kS1, kS6, kS6b})));
  expect_path(kC6, kVip6, kS6, kP6);
  expect_path(kC6b, kVip6, kS6b, kP6);
  const Frame shares = from_client(third, kVip6, kTp, data_chunk());
  EXPECT_EQ(shares.from(), kS6);
  EXPECT_EQ(shares.from_port(), pe_sees_port);
}

TEST_F(SnatFamilies, the_PEs_addresses_of_both_families_become_vips_one_to_one_and_surplus_ones_go) {
  const IpAddress vip6b = ip("2001:db8::2"), p6c = ip("fd00::17");
  begin({kVip, kVip6, vip6b}, {kS1, kS6}, {"fd00::15", "fd00::16"});
  establish(addresses({kC1, kC6}), addresses({kP1, kP6, kP6b, p6c, kP2}), kS1);
  EXPECT_EQ(init_ack_seen, init_chunk(kTp, addresses({kVip, kVip6, vip6b}), 2));
  expect_path(kC1, kVip, kS1, kP1);
  expect_path(kC6, kVip6, kS6, kP6);
  expect_path(kC6, vip6b, kS6, kP6b);
  // What still comes from those leaves by the family's first.
  EXPECT_EQ(from_pe(p6c, kS6, kTc, data_chunk()).from(), kVip6);
  EXPECT_EQ(from_pe(kP2, kS1, kTc, data_chunk()).from(), kVip);
}

TEST_F(SnatFamilies, the_port_is_one_that_is_free_in_both_families) {
  ports(2000, 2001);
  begin({kVip, kVip6}, {kS1, kS6}, {"fd00::15"});
  const unsigned taken = init_of(kC6b, kVip6, 40002).from_port();  // IPv6 alone
  const Frame init = init_of(kC1, kVip, kClientPort, addresses({kC1, kC6}));
  EXPECT_EQ(chunks_of(init), init_chunk(kTc, addresses({kS1, kS6})));
  EXPECT_NE(init.from_port(), taken);
  // And one of IPv4 alone finds the other one free.
  EXPECT_EQ(init_of(kC2, kVip, 40003).from_port(), taken);
}

TEST_F(SnatFamilies, no_port_that_is_free_in_both_families_is_refused_and_counted) {
  ports(2000, 2000);
  begin({kVip, kVip6}, {kS1, kS6}, {"fd00::15"});
  init_of(kC6b, kVip6, 40002);
  const auto used = lines_used();
  const Frame refused = init_of(kC1, kVip, kClientPort, addresses({kC1, kC6}));
  EXPECT_EQ(refused.to(), kC1);
  EXPECT_EQ(refused.from(), kVip);
  EXPECT_EQ(refused.chunk_type(), 6);
  EXPECT_EQ(refused.tag(), kTc);
  EXPECT_EQ(rig.dropped(DropReason::nat_no_port), 1u);
  EXPECT_EQ(lines_used(), used);
}

TEST_F(SnatFamilies, a_port_in_use_on_one_source_of_a_family_is_taken_on_another) {
  ports(2000, 2000);
  begin({kVip, kVip6}, {kS1, kS6, kS6b}, {"fd00::15"});
  const IpAddress taken = init_of(kC6b, kVip6, 40002).from();
  establish(addresses({kC1, kC6}), addresses({kP1, kP6}), kS1);
  const IpAddress other = taken == kS6 ? kS6b : kS6;
  EXPECT_EQ(init_seen, init_chunk(kTc, addresses({kS1, other})));
  expect_path(kC6, kVip6, other, kP6);
}

TEST_F(SnatFamilies, a_family_in_which_the_PE_has_registered_no_address_leaves_the_INIT) {
  begin({kVip, kVip6}, {kS1, kS6});
  establish(addresses({kC1, kC6}), addresses({kP1, kP6}), kS1);
  EXPECT_EQ(init_seen, init_chunk(kTc, addresses({kS1})));
  EXPECT_EQ(init_ack_seen, init_chunk(kTp, addresses({kVip}), 2));
  expect_path(kC1, kVip, kS1, kP1);
}

TEST_F(SnatFamilies, a_family_that_the_service_has_not_leaves_the_INIT) {
  begin({kVip}, {kS1, kS6}, {"fd00::15"});
  establish(addresses({kC1, kC6}), addresses({kP1, kP6}), kS1);
  EXPECT_EQ(init_seen, init_chunk(kTc, addresses({kS1})));
  EXPECT_EQ(init_ack_seen, init_chunk(kTp, addresses({kVip}), 2));
}

TEST_F(SnatFamilies, a_packet_found_by_its_tag_leaves_with_addresses_of_its_own_family_or_not_at_all) {
  for (const bool snat : {true, false}) {
    rig.config.services.clear();
    const auto before = rig.dropped(DropReason::nat_no_session);
    begin({kVip, kVip6}, snat ? std::vector{kS1, kS6} : std::vector<IpAddress>{}, {"fd00::15"});
    pe_sees_port = kClientPort;
    establish(addresses({kC1}), addresses({kP1}), snat ? kS1 : kC1);
    EXPECT_TRUE(rig.send(sctp({kC6, kVip6, kClientPort, kVipPort}, kTp, data_chunk())).empty());
    EXPECT_EQ(rig.dropped(DropReason::nat_no_session), before + 1);
  }
  rig.config.services.clear();
  begin({kVip, kVip6}, {kS1, kS6, kS6b}, {"fd00::15"});
  establish(addresses({kC1, kC6, kC6b}), addresses({kP1, kP6}), kS1);
  const Frame by_tag = from_client(ip("2001:db8:c::3"), kVip6, kTp, data_chunk());
  EXPECT_EQ(by_tag.from(), kS6);
  EXPECT_EQ(by_tag.from_port(), pe_sees_port);
  EXPECT_EQ(by_tag.to(), kP6);
  EXPECT_EQ(pe_of(by_tag), 21u);
}

TEST_F(SnatFamilies, both_families_go_with_the_association) {
  begin({kVip, kVip6}, {kS1, kS6}, {"fd00::15"});
  establish(addresses({kC1, kC6}), addresses({kP1, kP6}), kS1);
  from_client(kC6, kVip6, kTp, chunk(6, 0, {}));
  rig.pass_ms(8000);
  EXPECT_EQ(lines_used(), 0u);
  EXPECT_TRUE(rig.send(sctp({kP6, kS6, kPePort, pe_sees_port}, kTc, data_chunk())).empty());
  EXPECT_EQ(rig.dropped(DropReason::nat_no_session), 1u);
}

TEST_F(SnatFamilies, a_restarted_data_plane_goes_on_with_both) {
  const RestartFiles files;
  {
    const auto former = std::make_unique<Rig>();
    std::swap(rig.pools, former->pools);
  }
  files.give(rig);
  begin({kVip, kVip6}, {kS1, kS6}, {"fd00::15"});
  establish(addresses({kC1, kC6}), addresses({kP1, kP6}), kS1);
  rig.redirector.reset();
  rig.services.reset();
  files.give(rig);
  rig.set_pool({{21, "10.0.0.21", kPePort, 1, channel::PeState::up, {"fd00::15"}}});
  rig.start();
  EXPECT_EQ(rig.redirector->session_stats().reattached, 1u);
  expect_path(kC6, kVip6, kS6, kP6);
  expect_path(kC1, kVip, kS1, kP1);
}

// RFC 9260 §1.3: to the PE an association is the peer's address and both ports, whichever of its own
// addresses a packet comes to.
TEST_F(SnatFamilies, one_source_and_port_is_one_association_at_all_of_a_PEs_addresses) {
  ports(2000, 2001);
  begin({kVip, kVip2}, {kS1}, {"10.0.0.22"});
  const Frame first = init_of(kC1, kVip, 40001), second = init_of(kC2, kVip2, 40002);
  EXPECT_EQ(first.to(), kP1);
  EXPECT_EQ(second.to(), ip("10.0.0.22"));
  EXPECT_NE(first.from_port(), second.from_port());
  EXPECT_EQ(init_of(kC3, kVip2, 40003).chunk_type(), 6);
  EXPECT_EQ(rig.dropped(DropReason::nat_no_port), 1u);
}

TEST_F(SnatFamilies, a_further_source_is_one_that_no_association_has_at_any_of_the_PEs_addresses) {
  ports(2000, 2000);
  begin({kVip, kVip2}, {kS1, kS2}, {"10.0.0.22"});
  EXPECT_EQ(init_of(kC1, kVip, 40001).from(), kS1);
  EXPECT_EQ(init_of(kC2, kVip2, 40002).from(), kS2);
  rig.pass_ms(100);
  // An INIT that lists another address: both sources are in use at the PE.
  EXPECT_EQ(chunks_of(init_of(kC1, kVip, 40001, addresses({kC1, kC3}))), init_chunk(kTc, addresses({kS1})));
}

TEST(SnatFamiliesOfWorkers, both_families_find_the_session_wherever_they_arrive) {
  const auto w = workers::make(3, config::Protocol::sctp, [](WorkersRig& r) {
    r.rig.config.services[0].mode = config::Mode::nat;
    r.rig.config.services[0].snat = {kS1, kS6};
  });
  w->rig.set_pool({{21, "10.0.0.21", kPePort, 1, channel::PeState::up, {"fd00::15"}}});
  for (uint16_t n = 1; n <= 12; ++n) {
    const Flow v4{kC1, kVip, static_cast<uint16_t>(40000 + n), kVipPort};
    const Flow v6{kC6, kVip6, v4.from_port, kVipPort};
    const auto init = w->send(n % 3, sctp(v4, 0, init_chunk(kTc, addresses({kC1, kC6}))));
    ASSERT_EQ(init.size(), 1u);
    EXPECT_EQ(chunks_of(init[0].frame), init_chunk(kTc, addresses({kS1, kS6})));
    const auto port = static_cast<uint16_t>(init[0].frame.from_port());
    const Flow from_pe{kP1, kS1, kPePort, port}, from_pe6{kP6, kS6, kPePort, port};
    w->send((n + 1) % 3, sctp(from_pe, kTc, init_chunk(kTp, addresses({kP1, kP6}), 2)));
    w->send(n % 3, sctp(v4, kTp, cookie_echo()));
    w->send((n + 1) % 3, sctp(from_pe, kTc, chunk(11, 0, {})));
    for (unsigned at = 0; at < 3; ++at) {
      const auto there = w->send(at, sctp(v6, kTp, data_chunk()));
      ASSERT_EQ(there.size(), 1u);
      EXPECT_EQ(there[0].frame.from(), kS6);
      EXPECT_EQ(there[0].frame.from_port(), port);
      EXPECT_EQ(there[0].frame.to(), kP6);
      EXPECT_TRUE(there[0].frame.checksums_right());
      const auto back = w->send(at, sctp(from_pe6, kTc, data_chunk()));
      ASSERT_EQ(back.size(), 1u);
      EXPECT_EQ(back[0].frame.from(), kVip6);
      EXPECT_EQ(back[0].frame.to(), kC6);
      EXPECT_EQ(back[0].frame.to_port(), v6.from_port);
      EXPECT_TRUE(back[0].frame.checksums_right());
    }
  }
  EXPECT_EQ(w->sessions(), 12u);
  EXPECT_EQ(w->dropped(), 0u);
}

}  // namespace
}  // namespace poolgate::test
