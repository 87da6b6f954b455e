// SPDX-License-Identifier: BSD-3-Clause
// A PE whose server associates with the client: anew on a live association (RFC 9260 §5.2.2, §5.2.4 A), or at
// the same time as the client does (§5.2.1, §5.2.4 B, D). Direct return shows the client's INIT ACK and
// COOKIE ACK alone; `nat` also the PE's INIT and COOKIE ECHO.
#include "tests/unit/nat_association.h"
#include "tests/unit/two_pes.h"

namespace poolgate::test {
namespace {

constexpr uint32_t kNewTp = 0x5050, kNewTc = 0xc0c0;

Bytes init_ack(uint32_t tag, const Bytes& parameters = {}) { return init_chunk(tag, parameters, 2); }
const Bytes kCookieAck = chunk(11, 0, {});

class PeRestart : public ::testing::Test {
 protected:
  explicit PeRestart(unsigned idle_timeout_s = 60)
      : rig(two_pes::make(config::Protocol::sctp,
                          [=](Rig& r) { r.config.services[0].idle_timeout_s = idle_timeout_s; })) {}
  void establish() { two_pes::establish(*rig); }
  unsigned send(uint32_t tag, const Bytes& chunks, const Flow& from = two_pes::client()) {
    const auto got = rig->send(sctp(from, tag, chunks));
    return got.size() == 1 && got[0].chunk_type() == chunks.at(0) ? pe_of(got[0]) : 0;
  }
  void expect_tags(uint32_t tp, uint32_t tc) {
    const auto session = two_pes::only(*rig);
    EXPECT_STREQ(session.state, "established");
    EXPECT_EQ(session.tag_p, tp);
    EXPECT_EQ(session.tag_c, tc);
  }
  void expect_old_tags() { expect_tags(two_pes::kTp, two_pes::kTc); }
  std::unique_ptr<Rig> rig;
};

TEST_F(PeRestart, RFC_9260_5_2_4_A_the_clients_COOKIE_ACK_makes_what_its_INIT_ACK_began_the_association) {
  establish();
  const unsigned pe = send(two_pes::kTp, data_chunk());
  EXPECT_EQ(send(kNewTp, init_ack(kNewTc)), pe);
  expect_old_tags();
  EXPECT_EQ(send(kNewTp, kCookieAck), pe);
  expect_tags(kNewTp, kNewTc);
  for (unsigned s = 0; s < 150; s += 2) {
    EXPECT_EQ(send(kNewTp, data_chunk()), pe);
    rig->pass_ms(2000);
  }
  expect_tags(kNewTp, kNewTc);
}

TEST_F(PeRestart, RFC_9260_5_2_4_A_a_COOKIE_ACK_with_DATA_behind_it_or_AUTH_in_front_is_one) {
  for (const bool auth : {false, true}) {
    rig = two_pes::make();
    establish();
    send(kNewTp, init_ack(kNewTc));
    Bytes chunks = auth ? chunk(15, 0, Bytes(12, 1)) : Bytes{};
    add(chunks, kCookieAck);
    add(chunks, data_chunk());
    send(kNewTp, chunks);
    expect_tags(kNewTp, kNewTc);
  }
}

TEST_F(PeRestart, RFC_9260_5_2_5_a_COOKIE_ACK_without_an_INIT_ACK_changes_nothing) {
  establish();
  EXPECT_NE(send(kNewTp, kCookieAck), 0u);
  expect_old_tags();
}

TEST_F(PeRestart, RFC_9260_3_3_3_4_3_what_is_no_INIT_ACK_begins_nothing) {
  establish();
  Bytes bundled = init_ack(kNewTc);
  add(bundled, data_chunk());
  for (const auto& [tag, chunks] : {std::pair<uint32_t, Bytes>{kNewTp, bundled},
                                    {kNewTp, init_ack(0)},
                                    {kNewTp, chunk(2, 0, Bytes(8, 1))},
                                    {0, init_ack(kNewTc)}}) {
    send(tag, chunks);
    send(kNewTp, kCookieAck);
    expect_old_tags();
  }
}

// As of an INIT ACK that comes when the PE has taken the client's COOKIE ECHO: nothing waits for a COOKIE
// ECHO of somebody else then.
TEST_F(PeRestart, RFC_9260_5_2_1_an_INIT_ACK_with_the_associations_own_tag_begins_nothing) {
  establish();
  send(two_pes::kTp, init_ack(kNewTc));
  send(two_pes::kTp, kCookieAck);
  send(0x6666, cookie_echo());
  expect_old_tags();
}

TEST_F(PeRestart, RFC_9260_5_2_4_a_client_that_goes_on_with_its_tag_has_its_association_back) {
  establish();
  send(kNewTp, init_ack(kNewTc));
  send(kNewTp, kCookieAck);
  send(two_pes::kTp, data_chunk());
  expect_old_tags();
  send(kNewTp, chunk(6, 0, {}));
  expect_old_tags();
}

TEST_F(PeRestart, of_a_PE_that_takes_no_new_associations_it_stays_the_PEs) {
  establish();
  const unsigned pe = send(two_pes::kTp, data_chunk()), other = pe == 11 ? 12 : 11;
  rig->set_pool({{other, ("10.0.0." + std::to_string(other)).c_str(), 3868}});
  rig->tick(100'000);
  EXPECT_EQ(send(kNewTp, init_ack(kNewTc)), pe);
  EXPECT_EQ(send(kNewTp, kCookieAck), pe);
  EXPECT_EQ(send(kNewTp, data_chunk()), pe);
  expect_tags(kNewTp, kNewTc);
}

// Another client has the same port and tag, so that a packet is not found by its tag.
TEST_F(PeRestart, addresses_of_the_INIT_ACK_are_learnt_with_the_COOKIE_ACK) {
  establish();
  Flow twin = two_pes::client(), second = two_pes::client();
  twin.from = ip("203.0.113.50");
  second.from = ip("198.18.0.9");
  send(0, init_chunk(1), twin);
  send(kNewTp, cookie_echo(), twin);
  const unsigned pe = send(two_pes::kTp, data_chunk());
  send(kNewTp, init_ack(kNewTc, address_parameter(second.from)));
  EXPECT_EQ(send(kNewTp, data_chunk(), second), send(kNewTp, data_chunk(), twin)) << "not yet";
  send(kNewTp, kCookieAck);
  EXPECT_EQ(send(kNewTp, data_chunk(), second), pe);
  EXPECT_EQ(rig->dropped(redirect::DropReason::session_ambiguous), 0u);
}

// ---- collisions

TEST_F(PeRestart, RFC_9260_5_2_4_D_a_collision_that_the_PEs_cookie_wins_is_established_by_the_COOKIE_ACK) {
  for (const bool answered : {false, true}) {
    rig = two_pes::make();
    send(0, init_chunk(kNewTc));
    if (answered) send(kNewTp, init_ack(kNewTc));
    EXPECT_STREQ(two_pes::only(*rig).state, "half-open");
    send(kNewTp, kCookieAck);
    expect_tags(kNewTp, kNewTc);
    rig->pass_ms(20'000);
    expect_tags(kNewTp, kNewTc);
  }
}

TEST_F(PeRestart, RFC_9260_8_5_1_a_COOKIE_ACK_without_a_tag_establishes_nothing) {
  send(0, init_chunk(kNewTc));
  send(0, kCookieAck);
  EXPECT_STREQ(two_pes::only(*rig).state, "half-open");
}

TEST_F(PeRestart, RFC_9260_5_2_4_B_a_PE_that_chose_another_tag_for_its_INIT_has_that) {
  establish();
  send(kNewTp, init_ack(two_pes::kTc));
  send(kNewTp, kCookieAck);
  expect_tags(kNewTp, two_pes::kTc);
}

// ---- nat

using namespace nat_association;

const IpAddress kRegistered = ip("10.0.0.22");

class NatPeRestart : public NatAssociation {
 protected:
  void expect(const char* state, uint32_t tp, uint32_t tc) {
    const auto session = two_pes::only(rig);
    EXPECT_STREQ(session.state, state);
    EXPECT_EQ(session.tag_p, tp);
    EXPECT_EQ(session.tag_c, tc);
  }
  void expect_restart(const std::vector<IpAddress>& snat, const IpAddress& s1, const IpAddress& s2) {
    begin({kVip, kVip2}, snat);
    establish(addresses({kC1, kC2}), addresses({kP1, kP2}), s1);
    EXPECT_EQ(chunks_of(from_pe(kP1, s1, 0, init_chunk(kNewTp, addresses({kP1, kP2})))),
              init_chunk(kNewTp, addresses({kVip, kVip2})));
    EXPECT_EQ(chunks_of(from_client(kC1, kVip, kNewTp, init_ack(kNewTc, addresses({kC1, kC2})))),
              init_ack(kNewTc, addresses({s1, s2})));
    EXPECT_EQ(chunks_of(from_pe(kP1, s1, kNewTc, cookie_echo())), cookie_echo());
    expect("established", kTp, kTc);
    from_client(kC1, kVip, kNewTp, kCookieAck);
    expect("established", kNewTp, kNewTc);
    expect_path(kC1, kVip, s1, kP1);
    expect_path(kC2, kVip2, s2, kP2);
  }
  // While the PE alone speaks, with this tag.
  uint64_t sessions_kept_by(uint32_t tag) {
    begin({kVip});
    rig.config.services[0].idle_timeout_s = 10;
    rig.start();
    establish({}, {}, kC1);
    from_pe(kP1, kC1, 0, init_chunk(kNewTp));
    from_client(kC1, kVip, kNewTp, init_ack(kNewTc));
    from_pe(kP1, kC1, kNewTc, cookie_echo());
    from_client(kC1, kVip, kNewTp, kCookieAck);
    for (unsigned s = 0; s < 20; s += 2) {
      rig.send(sctp({kP1, kC1, kPePort, kClientPort}, tag, data_chunk()));
      rig.pass_ms(2000);
    }
    return rig.redirector->session_stats().sessions;
  }
};

TEST_F(NatPeRestart, RFC_9260_5_2_4_A_the_PEs_INIT_and_the_clients_INIT_ACK_have_the_others_addresses) {
  expect_restart({}, kC1, kC2);
}
TEST_F(NatPeRestart, RFC_9260_5_2_4_A_so_they_have_with_SNAT) { expect_restart({kS1, kS2}, kS1, kS2); }

TEST_F(NatPeRestart, after_it_the_PEs_new_tag_keeps_the_session) { EXPECT_EQ(sessions_kept_by(kNewTc), 1u); }
TEST_F(NatPeRestart, after_it_the_old_tag_keeps_nothing) { EXPECT_EQ(sessions_kept_by(kTc), 0u); }

TEST_F(NatPeRestart, RFC_9260_5_2_4_D_a_collision_that_the_PEs_cookie_wins_is_established) {
  begin({kVip, kVip2}, {}, {"10.0.0.22"});
  from_client(kC1, kVip, 0, init_chunk(kTc, addresses({kC1, kC2})));
  EXPECT_EQ(chunks_of(from_pe(kP1, kC1, 0, init_chunk(kTp, addresses({kP1, kRegistered})))),
            init_chunk(kTp, addresses({kVip, kVip2})));
  EXPECT_EQ(chunks_of(from_client(kC1, kVip, kTp, init_ack(kTc, addresses({kC1, kC2})))),
            init_ack(kTc, addresses({kC1, kC2})));
  from_pe(kP1, kC1, kTc, cookie_echo());
  expect("half-open", 0, kTc);
  from_client(kC1, kVip, kTp, kCookieAck);
  expect("established", kTp, kTc);
  rig.pass_ms(20'000);
  expect_path(kC2, kVip2, kC2, kRegistered);
}

TEST_F(NatPeRestart, RFC_9260_5_2_4_B_of_two_tags_of_the_PE_the_one_that_the_client_acknowledges_counts) {
  begin({kVip});
  from_client(kC1, kVip, 0, init_chunk(kTc));
  from_pe(kP1, kC1, kTc, init_ack(kTp));
  from_pe(kP1, kC1, 0, init_chunk(kNewTp));
  from_client(kC1, kVip, kTp, cookie_echo());
  from_client(kC1, kVip, kNewTp, init_ack(kTc));
  from_pe(kP1, kC1, kTc, cookie_echo());
  from_client(kC1, kVip, kNewTp, kCookieAck);
  expect("established", kNewTp, kTc);
}

TEST_F(NatPeRestart, a_COOKIE_ACK_alone_does_not_establish_what_the_PE_does_not_know_of) {
  begin({kVip});
  from_client(kC1, kVip, 0, init_chunk(kTc));
  from_client(kC1, kVip, kTp, init_ack(kTc));
  from_client(kC1, kVip, kTp, kCookieAck);
  from_pe(kP1, kC1, 0xbad, cookie_echo());
  from_client(kC1, kVip, kTp, kCookieAck);
  expect("half-open", kTp, kTc);
  from_pe(kP1, kC1, kTc, chunk(4, 0, parameter(1, Bytes(8))));
  expect("established", kTp, kTc);
}

// With tag 0 anybody may have sent it: what the PE has not registered is none of its addresses.
TEST_F(NatPeRestart, RFC_9260_5_2_2_the_PEs_INIT_teaches_addresses_that_it_registered_alone) {
  begin({kVip, kVip2}, {}, {"10.0.0.22"});
  from_client(kC1, kVip, 0, init_chunk(kTc));
  EXPECT_EQ(chunks_of(from_pe(kP1, kC1, 0, init_chunk(kTp, addresses({kP1, kP3, kRegistered})))),
            init_chunk(kTp, addresses({kVip, kVip2})));
}

TEST_F(NatPeRestart, RFC_9260_4_3_8_5_1_A_an_INIT_of_the_PEs_has_no_tag_and_is_alone) {
  begin({kVip});
  establish({}, {}, kC1);
  Bytes bundled = init_chunk(kNewTp);
  add(bundled, data_chunk());
  const Flow back{kP1, kC1, kPePort, kClientPort};
  EXPECT_TRUE(rig.send(sctp(back, 0, bundled)).empty());
  EXPECT_TRUE(rig.send(sctp(back, kTc, init_chunk(kNewTp))).empty());
  EXPECT_TRUE(rig.send(sctp(back, 0, init_chunk(0))).empty());
  EXPECT_EQ(rig.send(sctp(back, 0, init_chunk(kNewTp))).size(), 1u);
}

}  // namespace
}  // namespace poolgate::test
