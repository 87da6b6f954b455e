// SPDX-License-Identifier: BSD-3-Clause
// Scenario I16: two servers find a third one dead in the same moment, and each begins to take it over before
// it has heard of the other (RFC 5353 §3.5.1; conformance §12.2a). In virtual time, where "the same" is
// exact; both orders of the survivors' ids, by the RFC's rule and by RSPLIB's.
#include <gmock/gmock.h>

#include "tests/unit/registrar_scope.h"

namespace poolgate::test {
namespace {

using testing::AllOf;
using testing::Each;
using testing::Pair;
using testing::SizeIs;

constexpr rserpool::ServerId kDying = 2;
constexpr PeId kPes = 20;

struct Case {
  rserpool::ServerId us, other;
  bool we_take_it_for_rsplib, it_is_rsplib;  // the smaller id wins, says the one; does the other
  rserpool::ServerId heir;
};

// As one that takes `peer` for RSPLIB, and nothing of RSPLIB but its arbitration.
registrar::Settings settings(bool smaller_id_wins, rserpool::ServerId peer) {
  registrar::Settings s = Scope::fast();
  if (!smaller_id_wins) return s;
  config::RsplibRule& rule = s.registrar.rsplib.emplace_back();
  rule.server_id = peer;
  rule.life_in_milliseconds = rule.nothing_unsolicited = rule.short_handles = false;
  rule.known_transports = rule.checksum_wraps = false;
  rule.smaller_id_wins = true;
  return s;
}

class SimultaneousDetection : public testing::TestWithParam<Case> {
 protected:
  SimultaneousDetection() {
    const Case& c = GetParam();
    s.start(kDying);
    s.start(c.us, {kDying}, settings(c.we_take_it_for_rsplib, c.other));
    s.start(c.other, {kDying}, settings(c.it_is_rsplib, c.us));
    s.run(3 * kS);
    for (PeId id = 1; id <= kPes; ++id) s.enroll(kDying, id);
    s.run(kS);
    s.wire.clear();
    s.kill(kDying);
  }
  // Both have begun at one time; neither had heard of the other's takeover.
  void detect() {
    s.run(4 * kS);
    const auto ours = s.first_at<enrp::InitTakeover>(GetParam().us);
    ASSERT_TRUE(ours.has_value());
    ASSERT_EQ(ours, s.first_at<enrp::InitTakeover>(GetParam().other)) << "in the same tick";
    for (const auto id : {GetParam().us, GetParam().other})
      ASSERT_EQ(s[id].counters().takeovers_begun, 1u) << id;
  }
  // Of each PE, everywhere the same, and that it was told.
  void expect_one_owner() {
    const Case& c = GetParam();
    const auto homes = s.homes(c.us);
    EXPECT_THAT(homes, SizeIs(kPes));
    EXPECT_EQ(homes, s.homes(c.other));
    for (const auto& [id, home] : homes) {
      ASSERT_FALSE(s.pe_at(id).homes.empty()) << id;
      EXPECT_EQ(s.pe_at(id).homes.back(), home) << id;
    }
    for (const auto id : {c.us, c.other}) {
      for (const auto& peer : s[id].peers(s.now)) EXPECT_NE(peer.id, kDying) << "still listed at " << id;
      EXPECT_TRUE(s.nodes.at(id).pe_downs.empty()) << "nobody found a PE dead";
    }
  }

  Scope s;
};

class Agreed : public SimultaneousDetection {};

TEST_P(Agreed, I16_ENRP_3_5_1_4_of_two_that_detect_in_one_tick_exactly_one_takes_over) {
  ASSERT_NO_FATAL_FAILURE(detect());
  s.run(6 * kS);
  const Case& c = GetParam();
  const rserpool::ServerId loser = c.heir == c.us ? c.other : c.us;
  EXPECT_EQ(s[c.heir].counters().takeovers_won, 1u);
  EXPECT_EQ(s[loser].counters().takeovers_won, 0u);
  EXPECT_EQ(s[loser].counters().takeovers_stopped, 1u);
  for (const auto id : {c.us, c.other})
    EXPECT_EQ(s[id].counters().takeovers_contested, 1u) << id << " heard of the other's before its own ended";
  EXPECT_THAT(s.sent<enrp::TakeoverServer>(c.heir), SizeIs(1)) << "to the other, and once";
  EXPECT_THAT(s.sent<enrp::TakeoverServer>(loser), SizeIs(0));
  EXPECT_THAT(s.homes(c.us), Each(Pair(testing::_, c.heir)));
  for (PeId id = 1; id <= kPes; ++id)
    EXPECT_THAT(s.pe_at(id).homes, testing::ElementsAre(c.heir)) << "claimed once, and by nobody else";
  expect_one_owner();
}
INSTANTIATE_TEST_SUITE_P(larger_id_wins, Agreed,
                         testing::Values(Case{1, 3, false, false, 3}, Case{9, 3, false, false, 9}));
INSTANTIATE_TEST_SUITE_P(smaller_id_wins, Agreed,
                         testing::Values(Case{1, 3, true, true, 1}, Case{9, 3, true, true, 3}));

// Why the rule of an RSPLIB partner has to be known: of 1, which goes by the RFC, and 3, which does not, both
// give way; 9 and 3 both insist.
class OneGoesByAnotherRule : public SimultaneousDetection {};

TEST_P(OneGoesByAnotherRule, I16_conformance_12_2a_both_give_way_and_nobody_takes_over) {
  ASSERT_NO_FATAL_FAILURE(detect());
  s.run(2 * kS);
  for (const auto id : {GetParam().us, GetParam().other}) {
    EXPECT_EQ(s[id].counters().takeovers_stopped, 1u) << id;
    EXPECT_EQ(s[id].counters().takeovers_won, 0u) << id;
  }
  EXPECT_THAT(s.homes(GetParam().us), AllOf(SizeIs(kPes), Each(Pair(testing::_, kDying))));
}
INSTANTIATE_TEST_SUITE_P(smaller, OneGoesByAnotherRule, testing::Values(Case{1, 3, false, true, 0}));

class BothInsist : public SimultaneousDetection {};

TEST_P(BothInsist, I16_conformance_12_2a_time_decides_and_each_PE_has_one_owner_in_the_end) {
  ASSERT_NO_FATAL_FAILURE(detect());
  s.run(60 * kS);
  expect_one_owner();
}
INSTANTIATE_TEST_SUITE_P(larger, BothInsist, testing::Values(Case{9, 3, false, true, 0}));

}  // namespace
}  // namespace poolgate::test
