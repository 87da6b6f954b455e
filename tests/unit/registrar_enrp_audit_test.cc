// SPDX-License-Identifier: BSD-3-Clause
// The audit by checksum and what follows a difference (RFC 5353 §3.6).
#include <gmock/gmock.h>

#include "tests/unit/registrar_scope.h"

namespace poolgate::test {
namespace {

using testing::ElementsAre;
using testing::IsEmpty;

// Server 0x77, scripted.
struct Peer {
  explicit Peer(World& world) : w(world), e(w.up({"10.0.0.9"}, 9901, SctpService::enrp)) { presence(0xffff); }
  void presence(uint16_t checksum) {
    enrp::Presence p;
    p.sender = 0x77;
    p.checksum = checksum;
    w.send(e, enrp::Message(p));
  }
  void add(PeId id) {
    w.send(e, enrp::Message(
                  enrp::HandleUpdate{.sender = 0x77, .handle = "EchoPool", .element = pe_of(0x77, id)}));
  }
  void table(const std::vector<PeId>& ids, bool more = false) {
    enrp::HandleTableResponse table{0x77, kOurId, false, more, {}};
    if (!ids.empty()) table.entries.push_back({"EchoPool", {}});
    for (const PeId id : ids) table.entries[0].elements.push_back(pe_of(0x77, id));
    w.send(e, enrp::Message(table));
  }
  void reject() { w.send(e, enrp::Message(enrp::HandleTableResponse{0x77, kOurId, true, false, {}})); }
  size_t asked() const { return w.sent<enrp::HandleTableRequest>().size(); }
  World& w;
  AssociationName e;
};

TEST(EnrpAudit, ENRP_3_6_1_3_a_checksum_that_differs_is_followed_by_a_download_at_once) {
  World w;
  Peer p(w);
  EXPECT_EQ(p.asked(), 0u) << "none, and none known: equal";
  p.presence(0x1234);
  ASSERT_EQ(p.asked(), 1u);
  EXPECT_TRUE(w.sent<enrp::HandleTableRequest>()[0].own_only) << "ENRP_3_6_3_1: W=1";
}

TEST(EnrpAudit, ENRP_3_6_3_1_what_is_listed_comes_what_is_not_goes) {
  World w;
  Peer p(w);
  for (const PeId id : {1, 2, 3}) p.add(id);
  p.presence(0x1234);
  p.table({2}, true);
  EXPECT_EQ(p.asked(), 1u) << "the next chunk";
  EXPECT_THAT(w.there(), ElementsAre(1, 2, 3)) << "nothing goes before the last chunk";
  p.table({4});
  w.run(kMs);
  EXPECT_THAT(w.there(), ElementsAre(2, 4));
  EXPECT_THAT(w.sent<enrp::HandleUpdate>(), IsEmpty()) << "silently";
}

TEST(EnrpAudit, what_is_as_it_was_keeps_its_registration_so_that_a_PE_found_dead_stays_down) {
  World w;
  Peer p(w);
  p.add(1);
  const uint32_t before = w.registrar.elements("EchoPool", w.now).at(0).registration;
  p.presence(0x1234);
  p.table({1});
  EXPECT_EQ(w.registrar.elements("EchoPool", w.now).at(0).registration, before);
  EXPECT_THAT(w.all<registrar::PoolChanged>(), IsEmpty());
}

TEST(EnrpAudit, what_is_added_during_the_download_stays) {
  World w;
  Peer p(w);
  p.presence(0x1234);
  p.add(9);
  p.table({10});
  w.run(kMs);
  EXPECT_THAT(w.there(), ElementsAre(9, 10));
}

TEST(EnrpAudit, PEs_of_others_are_not_touched) {
  World w;
  Peer p(w);
  w.enroll(w.up("10.0.0.1"), pe(50));
  p.add(1);
  p.presence(0x1234);
  p.table({});
  w.run(kMs);
  EXPECT_THAT(w.there(), ElementsAre(50));
}

TEST(EnrpAudit, a_rejected_download_is_tried_again_after_some_seconds) {
  World w;
  Peer p(w);
  p.add(1);
  p.presence(0x1234);
  p.reject();
  EXPECT_EQ(p.asked(), 0u);
  EXPECT_THAT(w.there(), ElementsAre(1));
  w.run(2 * kS);
  EXPECT_EQ(p.asked(), 1u);
}

TEST(EnrpAudit, a_download_that_stops_removes_nothing) {
  World w;
  Peer p(w);
  for (const PeId id : {1, 2, 3}) p.add(id);
  p.presence(0x1234);
  p.table({1}, true);
  w.run(6 * kS);
  EXPECT_THAT(w.there(), ElementsAre(1, 2, 3));
  EXPECT_EQ(w.registrar.counters().downloads_failed, 1u);
  p.table({1});
  w.run(kMs);
  EXPECT_THAT(w.there(), ElementsAre(1, 2, 3)) << "a late chunk is nobody's";
}

TEST(EnrpAudit, a_difference_that_stays_is_looked_into_ever_more_rarely) {
  World w;
  Peer p(w);
  size_t downloads = 0;
  for (int second = 0; second < 600; ++second) {
    p.presence(0x1234);
    if (p.asked() != 0) {
      ++downloads;
      p.table({});
    }
    w.run(kS);
  }
  EXPECT_GT(downloads, 5u);
  EXPECT_LT(downloads, 20u);
  p.presence(0xffff);
  p.presence(0x1234);
  EXPECT_EQ(p.asked(), 0u) << "not before its time, but";
  w.run(60 * kS);
  p.presence(0xffff);
  p.presence(0x1234);
  EXPECT_EQ(p.asked(), 1u) << "once all was well it is at once again";
}

TEST(EnrpAudit, ENRP_3_6_3_a_server_that_missed_changes_is_of_one_mind_with_the_others_again) {
  Scope s;
  s.start(1);
  s.start(2, {1});
  s.run(2 * kS);
  for (PeId id = 1; id <= 1000; ++id) s.enroll(1, id);
  s.cut_pairs.insert({Scope::ip_of(1), Scope::ip_of(2)});
  for (PeId id = 1; id <= 1000; id += 2) s.deregister(1, id);
  for (PeId id = 1001; id <= 1100; ++id) s.enroll(1, id);
  EXPECT_NE(s.homes(2), s.homes(1));
  s.cut_pairs.clear();
  s.run(3 * kS);
  EXPECT_EQ(s.homes(2), s.homes(1));
  EXPECT_EQ(s[2].counters().resyncs, 1u);
}

}  // namespace
}  // namespace poolgate::test
