// SPDX-License-Identifier: BSD-3-Clause
// A registrar dies and comes back on a data plane that lived on: nobody notices (DESIGN.md §2).
#include <gmock/gmock.h>

#include "tests/unit/registrar_scope.h"

namespace poolgate::test {
namespace {

using testing::IsEmpty;

TEST(EnrpRestart, no_peer_and_no_PE_notices) {
  Scope s;
  for (const rserpool::ServerId id : {1u, 2u, 3u})
    s.start(id, id == 1 ? std::vector<rserpool::ServerId>{} : std::vector<rserpool::ServerId>{1});
  s.run(3 * kS);
  for (PeId id = 1; id <= 30; ++id) s.enroll(1 + id % 3, id);
  s.run(kS);
  const auto all = s.homes(1);
  s.wire.clear();
  for (auto& [ip, one] : s.pes) one.keep_alives = 0;
  s.kill_registrar(1);
  s.run(2 * kS);
  s.restart(1);
  EXPECT_EQ(s.homes(1), all) << "all of them, at once: the data plane's tables are never short of one";
  EXPECT_EQ(s[1].scope().state, "serving");
  s.run(10 * kS);
  EXPECT_EQ(s.homes(1), all);
  EXPECT_EQ(s.homes(2), all);
  EXPECT_THAT(s.sent<enrp::InitTakeover>(), IsEmpty());
  EXPECT_THAT(s.sent<enrp::HandleTableRequest>(), IsEmpty());
  EXPECT_THAT(s.sent<enrp::HandleUpdate>(), IsEmpty());
  EXPECT_THAT(s.sent<asap::RegistrationResponse>(), IsEmpty());
  EXPECT_EQ(s.nodes.at(1).connects, 0u) << "its associations are there: 1 never connected to anybody";
  for (const auto& peer : s[1].peers(s.now)) {
    EXPECT_TRUE(peer.connected);
    EXPECT_EQ(peer.checksum, peer.our_checksum);
  }
}

TEST(EnrpRestart, what_peers_said_meanwhile_is_not_lost) {
  Scope s;
  for (const rserpool::ServerId id : {1u, 2u}) s.start(id, {3 - id});
  s.run(3 * kS);
  for (PeId id = 1; id <= 10; ++id) s.enroll(2, id);
  s.kill_registrar(1);
  s.enroll(2, 11);
  s.deregister(2, 1);
  s.restart(1);
  EXPECT_EQ(s.homes(1), s.homes(2));
  s.run(5 * kS);
  EXPECT_EQ(s[1].counters().resyncs, 0u);
}

TEST(EnrpRestart, what_changed_beyond_that_comes_from_the_owner) {
  Scope s;
  for (const rserpool::ServerId id : {1u, 2u}) s.start(id, {3 - id});
  s.run(3 * kS);
  for (PeId id = 1; id <= 10; ++id) s.enroll(2, id);
  s.kill_registrar(1);
  s.cut.insert(Scope::ip_of(1));
  s.enroll(2, 11);
  s.deregister(2, 1);
  s.cut.clear();
  s.restart(1);
  s.run(3 * kS);
  EXPECT_EQ(s.homes(1), s.homes(2));
  EXPECT_EQ(s[1].counters().resyncs, 2u) << "the first may have gone on in the middle of one of before";
}

TEST(EnrpRestart, ownership_that_moved_either_way_survives) {
  Scope s;
  for (const rserpool::ServerId id : {1u, 2u}) s.start(id, {3 - id});
  s.run(3 * kS);
  s.enroll(1, 1);
  s.enroll(2, 2);
  s.enroll(2, 1);
  s.enroll(1, 2);
  const auto before = s.homes(1);
  EXPECT_EQ(before.at(1), 2u);
  EXPECT_EQ(before.at(2), 1u);
  const uint16_t checksum = s[1].scope().checksum;
  s.kill_registrar(1);
  s.restart(1);
  EXPECT_EQ(s.homes(1), before);
  EXPECT_EQ(s[1].scope().checksum, checksum);
  s.run(5 * kS);
  EXPECT_EQ(s.homes(1), before);
  EXPECT_EQ(s.homes(2), before);
}

}  // namespace
}  // namespace poolgate::test
