// SPDX-License-Identifier: BSD-3-Clause
// Mode nat with SNAT: an INIT may list whatever address (RFC 5062 §2, "Address Camping"). Of one that shares
// the source of another, the PE's answers go to that other: whoever has the address could not associate.
#include "tests/unit/nat_association.h"
#include "tests/unit/workers_rig.h"

namespace poolgate::test {
namespace {

using namespace nat_association;

constexpr uint32_t kHisTp = 0xdd, kHisTc = 0xcc;

class Camping : public NatAssociation {
 protected:
  // Where kC2 comes out with an INIT of its own, from the camper's port.
  unsigned its_port(const Bytes& parameters = {}, const IpAddress& vip = kVip) {
    return from_client(kC2, vip, 0, init_chunk(kHisTc, parameters)).from_port();
  }
  // All of it, through the PE and back.
  void expect_association(uint16_t port) {
    const auto answer = [&](uint32_t tag, const Bytes& chunks) {
      const Frame back = only(sctp({kP1, kS1, kPePort, port}, tag, chunks));
      EXPECT_EQ(back.to(), kC2);
      EXPECT_EQ(back.from(), kVip);
      EXPECT_EQ(back.to_port(), kClientPort);
    };
    answer(kHisTc, init_chunk(kHisTp, {}, 2));
    from_client(kC2, kVip, kHisTp, cookie_echo());
    answer(kHisTc, chunk(11, 0, {}));
    EXPECT_EQ(from_client(kC2, kVip, kHisTp, data_chunk()).from_port(), port);
    answer(kHisTc, data_chunk());
  }
  uint64_t sessions() const { return rig.redirector->session_stats().sessions; }
};

TEST_F(Camping, RFC_5062_2_on_another_hosts_address_does_not_keep_it_from_associating) {
  begin({kVip}, {kS1});
  establish(addresses({kC1, kC2}), {}, kS1);
  const unsigned port = its_port();
  EXPECT_NE(port, pe_sees_port);
  expect_association(static_cast<uint16_t>(port));
  expect_path(kC1, kVip, kS1, kP1);
  EXPECT_EQ(sessions(), 2u);
}

TEST_F(Camping, RFC_5062_2_before_it_is_established_does_not_either) {
  begin({kVip}, {kS1});
  const unsigned campers = from_client(kC1, kVip, 0, init_chunk(kTc, addresses({kC2}))).from_port();
  const unsigned port = its_port();
  EXPECT_NE(port, campers);
  expect_association(static_cast<uint16_t>(port));
}

TEST_F(Camping, on_another_hosts_address_ends_at_every_VIP_with_its_INIT_to_one) {
  const IpAddress p2 = ip("10.0.0.22");
  begin({kVip, kVip2}, {kS1}, {"10.0.0.22"});
  establish(addresses({kC1, kC2}), addresses({kP1, p2}), kS1);
  from_client(kC1, kVip2, 0, init_chunk(kTc, addresses({kC1, kC2})));  // lists it there, too
  const auto port = static_cast<uint16_t>(its_port());
  ASSERT_NE(port, pe_sees_port);
  only(sctp({kP1, kS1, kPePort, port}, kHisTc, init_chunk(kHisTp, addresses({kP1, p2}), 2)));
  from_client(kC2, kVip, kHisTp, cookie_echo());
  const Frame second = from_client(kC2, kVip2, kHisTp, data_chunk());
  EXPECT_EQ(second.to(), p2);
  EXPECT_EQ(second.from_port(), port);
}

TEST_F(Camping, is_not_what_an_association_does_whose_packets_come_from_the_address) {
  begin({kVip}, {kS1});
  establish(addresses({kC1, kC2}), {}, kS1);
  EXPECT_EQ(from_client(kC2, kVip, kTp, data_chunk()).from_port(), pe_sees_port);
  EXPECT_EQ(its_port(), pe_sees_port);  // forged, or it begins anew: its PE's to judge
  EXPECT_EQ(from_client(kC2, kVip, kTp, data_chunk()).from_port(), pe_sees_port);
  EXPECT_EQ(sessions(), 1u);
}

// It came by its other address, and lists this one, too.
TEST_F(Camping, on_another_clients_second_address_leaves_that_its_path) {
  begin({kVip}, {kS1});
  establish(addresses({kC1, kC2}), {}, kS1);
  const auto port =
      static_cast<uint16_t>(from_client(kC3, kVip, 0, init_chunk(kHisTc, addresses({kC3, kC2}))).from_port());
  ASSERT_NE(port, pe_sees_port);
  only(sctp({kP1, kS1, kPePort, port}, kHisTc, init_chunk(kHisTp, {}, 2)));
  from_client(kC3, kVip, kHisTp, cookie_echo());
  only(sctp({kP1, kS1, kPePort, port}, kHisTc, chunk(11, 0, {})));
  const Bytes heartbeat = chunk(4, 0, parameter(1, Bytes(20, 0x33)));
  for (const Bytes& chunks : {heartbeat, data_chunk()}) {
    const Frame there = from_client(kC2, kVip, kHisTp, chunks);
    EXPECT_EQ(there.from_port(), port);
    EXPECT_EQ(chunks_of(there), chunks);
  }
  EXPECT_EQ(from_client(kC2, kVip, kTp, data_chunk()).from_port(), pe_sees_port) << "with the camper's tag";
  EXPECT_EQ(from_client(kC2, kVip, 0x7777, data_chunk()).from_port(), pe_sees_port) << "with nobody's";
}

TEST_F(Camping, is_not_shown_to_be_none_by_packets_with_another_tag) {
  begin({kVip}, {kS1});
  establish(addresses({kC1, kC2}), {}, kS1);
  from_client(kC2, kVip, kTp + 1, data_chunk());
  const unsigned port = its_port();
  EXPECT_NE(port, pe_sees_port);
  expect_association(static_cast<uint16_t>(port));
}

// Its server would answer what it knows nothing of with ABORT, and that ends the client's association, too.
TEST_F(Camping, RFC_9260_8_5_1_that_is_none_is_not_ended_by_a_forged_INIT_from_its_second_address) {
  begin({kVip}, {kS1});
  establish(addresses({kC1, kC2}), {}, kS1);
  const unsigned port = its_port();
  ASSERT_NE(port, pe_sees_port);
  for (const Bytes& chunks :
       {data_chunk(), chunk(4, 0, parameter(1, Bytes(20, 0x33))), chunk(3, 0, Bytes(12))})
    EXPECT_EQ(from_client(kC2, kVip, kTp, chunks).from_port(), pe_sees_port);
  expect_path(kC1, kVip, kS1, kP1);
  expect_association(static_cast<uint16_t>(port));
}

TEST_F(Camping, RFC_9260_5_2_4_is_not_what_a_client_does_that_begins_anew_from_its_second_address) {
  begin({kVip}, {kS1});
  establish(addresses({kC1, kC2}), {}, kS1);
  EXPECT_EQ(its_port(addresses({kC1, kC2})), pe_sees_port);
  EXPECT_EQ(sessions(), 1u);
}

TEST_F(Camping, on_an_address_that_has_a_source_of_its_own_is_for_its_PE_to_judge) {
  begin({kVip}, {kS1, kS2});
  establish(addresses({kC1, kC2}), {}, kS1);
  const Frame init = from_client(kC2, kVip, 0, init_chunk(kHisTc, {}));
  EXPECT_EQ(init.from(), kS2);
  EXPECT_EQ(init.from_port(), pe_sees_port);
  EXPECT_EQ(from_pe(kP1, kS2, kHisTc, init_chunk(kHisTp, {}, 2)).to(), kC2);
}

// Of a client: one is at home with the first worker, the other with the second.
std::pair<Flow, Flow> begin(WorkersRig& w) {
  w.rig.service(config::Protocol::sctp, config::Mode::nat).snat = {kS1};
  w.rig.set_pool({{11, "10.0.0.11", kPePort}});
  w.start();
  Flow first{kC1, kVip, kClientPort, kVipPort}, second = first;
  first.from = w.address_at(0, first, "203.0.113.");
  second.from = w.address_at(1, second, "198.18.0.");
  return {first, second};
}

// The camper's session is one worker's, the address is at home with the other one.
TEST(CampingWorkers, RFC_5062_2_an_address_that_is_at_home_elsewhere_begins_there) {
  WorkersRig w(2);
  const auto [camper, victim] = begin(w);
  auto sent = w.send(0, sctp(camper, 0, init_chunk(kTc, addresses({camper.from, victim.from}))));
  ASSERT_EQ(sent.size(), 1u);
  const unsigned campers = sent[0].frame.from_port();
  w.send(0, sctp(camper, kTp, cookie_echo()));
  sent = w.send(1, sctp(victim, 0, init_chunk(kHisTc, {})));
  ASSERT_EQ(sent.size(), 1u);
  EXPECT_EQ(sent[0].worker, 1u);
  const auto port = static_cast<uint16_t>(sent[0].frame.from_port());
  EXPECT_NE(port, campers);
  sent = w.send(0, sctp({ip("10.0.0.11"), kS1, kPePort, port}, kHisTc, init_chunk(kHisTp, {}, 2)));
  ASSERT_EQ(sent.size(), 1u);
  EXPECT_EQ(sent[0].frame.to(), victim.from);
  sent = w.send(1, sctp(victim, kHisTp, cookie_echo()));
  ASSERT_EQ(sent.size(), 1u);
  EXPECT_EQ(sent[0].worker, 1u);
  EXPECT_EQ(sent[0].frame.from_port(), port);
  EXPECT_EQ(w.sessions(), 2u);
}

TEST(CampingWorkers, RFC_9260_8_5_1_what_has_the_association_s_tag_is_its_at_whichever_worker) {
  // Of some tags the directory is the one worker's, of others the other's.
  for (uint32_t tag = 0xbb; tag < 0xbb + 8; ++tag) {
    WorkersRig w(2);
    const auto [first, second] = begin(w);
    auto sent = w.send(0, sctp(first, 0, init_chunk(kTc, addresses({first.from, second.from}))));
    ASSERT_EQ(sent.size(), 1u);
    const auto port = static_cast<uint16_t>(sent[0].frame.from_port());
    w.send(0, sctp(first, tag, cookie_echo()));
    w.send(0, sctp({ip("10.0.0.11"), kS1, kPePort, port}, kTc, chunk(11, 0, {})));
    sent = w.send(1, sctp(second, 0, init_chunk(kHisTc, {})));  // forged
    ASSERT_EQ(sent.size(), 1u);
    ASSERT_NE(sent[0].frame.from_port(), port);
    for (const unsigned worker : {0u, 1u}) {
      sent = w.send(worker, sctp(second, tag, data_chunk()));
      ASSERT_EQ(sent.size(), 1u) << worker;
      EXPECT_EQ(sent[0].frame.from_port(), port);
      // Of nobody: to where the INIT went.
      sent = w.send(worker, sctp(second, 0x7777, data_chunk()));
      ASSERT_EQ(sent.size(), 1u) << worker;
      EXPECT_NE(sent[0].frame.from_port(), port);
    }
    EXPECT_EQ(w.dropped(), 0u);
  }
}

}  // namespace
}  // namespace poolgate::test
