// SPDX-License-Identifier: BSD-3-Clause
// A network that falls apart and heals: each side takes over the other's PEs, and afterwards each PE has one
// owner, and none that lives is lost (RFC 5353 §3.5 leaves that open).
#include <gmock/gmock.h>

#include "tests/unit/registrar_scope.h"

namespace poolgate::test {
namespace {

using testing::Each;
using testing::Pair;
using testing::SizeIs;

void of_one_mind(Scope& s, size_t elements) {
  const auto all = s.homes(1);
  EXPECT_THAT(all, SizeIs(elements));
  for (auto& [id, node] : s.nodes) {
    if (node.registrar == nullptr) continue;
    EXPECT_EQ(s.homes(id), all) << id;
    for (const auto& peer : s[id].peers(s.now))
      EXPECT_EQ(peer.checksum, peer.our_checksum) << id << " of " << peer.id;
  }
}

// Two servers with ten PEs each, cut off from each other; `elements`: and each from the other's PEs.
void fall_apart(Scope& s, bool elements) {
  for (const rserpool::ServerId id : {1u, 2u}) s.start(id, {3 - id});
  s.run(3 * kS);
  for (PeId id = 1; id <= 20; ++id) s.enroll(1 + id % 2, id);
  s.cut_pairs.insert({Scope::ip_of(1), Scope::ip_of(2)});
  for (auto& [ip, one] : s.pes)
    if (elements) s.cut_pairs.insert({ip, Scope::ip_of(1 + (one.id + 1) % 2)});
  s.run(3 * kS);
  s.lose_cut_associations();
}

TEST(EnrpPartition, servers_apart_with_all_PEs_in_reach_of_both_agree_when_they_meet_again) {
  Scope s;
  fall_apart(s, false);
  s.run(20 * kS);
  EXPECT_THAT(s.homes(1), Each(Pair(testing::_, 1u)));
  EXPECT_THAT(s.homes(2), Each(Pair(testing::_, 2u)));
  s.cut_pairs.clear();
  s.run(15 * kS);
  of_one_mind(s, 20);
}

TEST(EnrpPartition, servers_and_PEs_apart_keep_what_is_on_their_side) {
  Scope s;
  fall_apart(s, true);
  // Long enough for the takeover, too short for all claims to fail.
  s.run(2 * kS);
  s.cut_pairs.clear();
  s.run(15 * kS);
  of_one_mind(s, 20);
}

TEST(EnrpPartition, PEs_out_of_reach_of_one_side_for_long_are_back_when_it_heals) {
  Scope s;
  fall_apart(s, true);
  s.run(60 * kS);
  EXPECT_THAT(s.homes(1), SizeIs(10)) << "those of the other side answer nowhere";
  s.cut_pairs.clear();
  s.run(15 * kS);
  of_one_mind(s, 20);
  for (const auto& [id, home] : s.homes(1)) EXPECT_EQ(home, 1 + id % 2);
}

TEST(EnrpPartition, a_server_that_was_taken_over_while_it_lived_agrees_with_its_heir) {
  Scope s;
  for (const rserpool::ServerId id : {1u, 2u, 3u})
    s.start(id, id == 1 ? std::vector<rserpool::ServerId>{2, 3} : std::vector<rserpool::ServerId>{1});
  s.run(3 * kS);
  for (PeId id = 1; id <= 30; ++id) s.enroll(1 + id % 3, id);
  s.cut_pairs.insert({Scope::ip_of(1), Scope::ip_of(3)});
  s.cut_pairs.insert({Scope::ip_of(1), Scope::ip_of(2)});
  s.run(20 * kS);
  EXPECT_EQ(s.homes(2), s.homes(3));
  s.cut_pairs.clear();
  s.run(15 * kS);
  of_one_mind(s, 30);
}

}  // namespace
}  // namespace poolgate::test
