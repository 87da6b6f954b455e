// SPDX-License-Identifier: BSD-3-Clause
// A PE that was taken over, that does not answer, and that a rival says to have: what becomes of it when the
// rival is no more (RFC 5353 §3.5 leaves that open). A home that nobody watches would keep it for ever.
#include <gmock/gmock.h>

#include "tests/unit/registrar_world.h"

namespace poolgate::test {
namespace {

using testing::IsEmpty;
using testing::SizeIs;

constexpr rserpool::ServerId kTarget = 0x50, kRival = 0x60, kThird = 0x70;

registrar::Settings slow_claims() {
  registrar::Settings s;
  s.registrar.peer_heartbeat_ms = 1000;
  s.registrar.max_time_last_heard_ms = 3000;
  s.registrar.max_time_no_response_ms = 1000;
  s.registrar.takeover_timeout_ms = 1000;
  s.registrar.keepalive_timeout_ms = 20'000;
  return s;
}

struct Contest : testing::Test {
  // The target owns PE 7, which lives for ever and which we cannot reach; it falls silent, we take it over,
  // and the rival lists the PE as its own.
  Contest() {
    update(kTarget, enrp::UpdateAction::add_pe);
    for (int i = 0; i < 8 && w.registrar.counters().pes_taken_over == 0; ++i) live(kS, {kRival, kThird});
    presence(kRival, 0x1234);
    PoolElement element = of(kRival);
    w.send(rival, enrp::HandleTableResponse{kRival, kOurId, false, false, {{"EchoPool", {element}}}});
  }
  static PoolElement of(rserpool::ServerId home) {
    PoolElement element = pe_of(home, 7);
    element.registration_life = rserpool::kInfiniteLife;
    return element;
  }
  const AssociationName& at(rserpool::ServerId id) const {
    return id == kTarget ? target : id == kRival ? rival : third;
  }
  void presence(rserpool::ServerId id, uint16_t checksum) {
    enrp::Presence p;
    p.sender = id;
    p.checksum = checksum;
    w.send(at(id), p);
  }
  void update(rserpool::ServerId id, enrp::UpdateAction action) {
    w.send(at(id),
           enrp::HandleUpdate{.sender = id, .action = action, .handle = "EchoPool", .element = of(id)});
  }
  // Time in which only these speak, and agree with whatever we begin. Connects to the PE's host fail.
  void live(Micros time, const std::vector<rserpool::ServerId>& ids) {
    for (const Micros end = w.now + time; w.now < end;) {
      w.run(kS);
      const auto asked = w.sent<enrp::InitTakeover>();
      for (const auto id : ids) {
        w.send(at(id), enrp::Presence{.sender = id});
        for (const auto& init : asked)
          if (init.receiver == id) w.send(at(id), enrp::InitTakeoverAck{id, kOurId, init.target});
      }
    }
  }
  rserpool::ServerId home() const {
    const auto list = w.registrar.elements("EchoPool", w.now);
    return list.size() == 1 ? list[0].element.home : 0;
  }
  bool listed(rserpool::ServerId id) const {
    const auto peers = w.registrar.peers(w.now);
    return std::any_of(peers.begin(), peers.end(), [&](const auto& peer) { return peer.id == id; });
  }

  World w{slow_claims()};
  AssociationName target = w.up({"10.0.0.50"}, 9901, SctpService::enrp);
  AssociationName rival = w.up({"10.0.0.60"}, 9901, SctpService::enrp);
  AssociationName third = w.up({"10.0.0.70"}, 9901, SctpService::enrp);
};

TEST_F(Contest, a_rival_that_lives_gets_the_PE_that_does_not_answer_us) {
  ASSERT_EQ(w.registrar.scope().claiming, 1u);
  live(70 * kS, {kRival, kThird});
  EXPECT_EQ(home(), kRival);
}

TEST_F(Contest, a_rival_that_was_forgotten_gets_nothing_and_the_PE_is_found_dead) {
  live(10 * kS, {kThird});
  ASSERT_FALSE(listed(kRival));
  ASSERT_EQ(home(), kOurId) << "still being claimed";
  live(70 * kS, {kThird});
  EXPECT_THAT(w.there(), IsEmpty()) << "home: " << home();
  EXPECT_EQ(w.registrar.counters().claims_failed, 1u);
}

TEST_F(Contest, the_heir_of_a_rival_contests_in_its_place) {
  w.send(third, enrp::TakeoverServer{kThird, 0, kRival});
  ASSERT_FALSE(listed(kRival));
  live(70 * kS, {kThird});
  EXPECT_EQ(home(), kThird);
  EXPECT_THAT(w.registrar.elements("EchoPool", w.now), SizeIs(1));
}

TEST_F(Contest, what_a_rival_that_we_take_over_contested_is_claimed_until_it_answers_or_not) {
  // Another PE of the rival's, so that it is not only forgotten.
  PoolElement other = of(kRival);
  other.id = 8;
  w.send(rival, enrp::HandleUpdate{.sender = kRival, .handle = "Other", .element = other});
  live(10 * kS, {kThird});
  ASSERT_EQ(w.registrar.counters().takeovers_won, 2u);
  live(90 * kS, {kThird});
  EXPECT_THAT(w.there(), IsEmpty()) << "home: " << home();
  EXPECT_THAT(w.there("Other"), IsEmpty());
}

}  // namespace
}  // namespace poolgate::test
