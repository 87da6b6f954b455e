// SPDX-License-Identifier: BSD-3-Clause
// Somebody sends an INIT and a COOKIE ECHO in the name of a client whose ports he knows. The PE refuses the
// cookie (RFC 9260 §5.2.4), which direct return does not show us; the client goes on with its own tag.
#include "dataplane/redirect/replaced_tags.h"
#include "tests/unit/nat_association.h"
#include "tests/unit/two_pes.h"

namespace poolgate::test {
namespace {

using namespace two_pes;
using redirect::ReplacedTags;

constexpr uint32_t kForgedTp = 0x66660001, kForgedTc = 0x66660002;
constexpr uint64_t kSecond = 1'000'000;

class ForgedRestart : public ::testing::Test {
 protected:
  ForgedRestart() : rig(make()) {
    establish(*rig);
    pe = data(kTp);
    restart(kForgedTc, kForgedTp);
  }
  void restart(uint32_t tc, uint32_t tp) {
    rig->send(sctp(client(), 0, init_chunk(tc)));
    rig->send(sctp(client(), tp, cookie_echo()));
    EXPECT_EQ(only(*rig).tag_p, tp);
  }
  // Where it goes.
  unsigned data(uint32_t tp) { return pe_of(rig->send(sctp(client(), tp, data_chunk())).at(0)); }
  void abort(uint32_t tp) { rig->send(sctp(client(), tp, chunk(6, 0, {}))); }
  void pass(unsigned seconds) {
    for (unsigned tenth = 0; tenth < 10 * seconds; ++tenth) {
      rig->tick(kSecond / 10);
      rig->pass_ms(1);
    }
  }
  size_t sessions() const {
    std::vector<redirect::SessionView> views;
    rig->redirector->dump_sessions(0, 10, views);
    return views.size();
  }
  std::unique_ptr<Rig> rig;
  unsigned pe = 0;
};

TEST_F(ForgedRestart, RFC_9260_5_2_4_a_client_that_goes_on_with_its_tag_has_its_association_back) {
  EXPECT_EQ(data(kTp), pe);
  EXPECT_EQ(only(*rig).tag_p, kTp);
  EXPECT_EQ(only(*rig).tag_c, kTc);
  abort(kForgedTp);
  EXPECT_STREQ(only(*rig).state, "established");
}

TEST_F(ForgedRestart, a_client_that_heartbeats_has_it_back_too) {
  rig->send(sctp(client(), kTp, chunk(4, 0, Bytes(8))));
  EXPECT_EQ(only(*rig).tag_p, kTp);
}

TEST_F(ForgedRestart, it_keeps_the_session_young) {
  for (int minutes = 0; minutes < 150; minutes += 30) {
    EXPECT_EQ(data(kTp), pe);
    rig->tick(30 * 60 * kSecond);
  }
  pass(3);
  EXPECT_EQ(sessions(), 1u) << "longer than a silent association lives";
}

// The ABORT with the forged tag ends nothing yet: a client that is silent heartbeats within half a minute.
TEST_F(ForgedRestart, RFC_9260_8_5_1_an_ABORT_in_its_name_ends_it_only_if_the_client_is_heard_no_more) {
  abort(kForgedTp);
  EXPECT_STREQ(only(*rig).state, "closing");
  pass(40);
  EXPECT_EQ(data(kTp), pe);
  EXPECT_STREQ(only(*rig).state, "established");
  EXPECT_EQ(only(*rig).tag_p, kTp);
  pass(70);
  EXPECT_EQ(sessions(), 1u);
}

TEST_F(ForgedRestart, an_association_that_did_begin_anew_ends_with_its_ABORT_a_minute_later) {
  abort(kForgedTp);
  pass(70);
  EXPECT_EQ(sessions(), 0u);
}

TEST_F(ForgedRestart, the_forger_gets_it_for_no_longer_than_to_the_clients_next_packet) {
  data(kTp);
  data(kForgedTp);
  EXPECT_EQ(only(*rig).tag_p, kForgedTp);
  data(kTp);
  EXPECT_EQ(only(*rig).tag_p, kTp);
  restart(7, 8);
  restart(9, 10);
  data(kTp);
  EXPECT_EQ(only(*rig).tag_p, kTp);
  EXPECT_EQ(only(*rig).tag_c, kTc);
}

TEST_F(ForgedRestart, a_tag_that_nobody_had_changes_nothing) {
  EXPECT_EQ(data(kWrong), pe);
  EXPECT_EQ(only(*rig).tag_p, kForgedTp);
}

TEST_F(ForgedRestart, a_tag_of_long_ago_is_nobodys) {
  pass(91);
  EXPECT_EQ(data(kTp), pe);
  EXPECT_EQ(only(*rig).tag_p, kForgedTp);
  abort(kForgedTp);
  EXPECT_STREQ(only(*rig).state, "closed");
}

class NatRestart : public nat_association::NatAssociation {
 protected:
  const char* state_after_abort(bool acknowledged) {
    using namespace nat_association;
    begin({kVip});
    establish({}, {}, kC1);
    from_client(kC1, kVip, 0, init_chunk(kForgedTc));
    from_client(kC1, kVip, kForgedTp, cookie_echo());
    if (acknowledged) from_pe(kP1, kC1, kForgedTc, chunk(11, 0, {}));
    from_client(kC1, kVip, kForgedTp, chunk(6, 0, {}));
    return two_pes::only(rig).state;
  }
};

TEST_F(NatRestart, a_PE_that_is_seen_to_take_the_cookie_settles_it) {
  EXPECT_STREQ(state_after_abort(true), "closed");
}
TEST_F(NatRestart, a_PE_that_says_nothing_leaves_it_open) {
  EXPECT_STREQ(state_after_abort(false), "closing");
}

TEST(ReplacedTagsTable, the_eldest_of_a_session_go_and_another_session_takes_the_place) {
  ReplacedTags table;
  ReplacedTags::Tags present{100, 0};
  for (uint32_t n = 1; n <= ReplacedTags::kTags + 1; ++n) table.replace(5, {n, 10 * n}, 0);
  EXPECT_FALSE(table.restore(5, 1, present, 0));
  ASSERT_TRUE(table.restore(5, 2, present, 0));
  EXPECT_EQ(present.p, 2u);
  EXPECT_EQ(present.c, 20u);
  EXPECT_TRUE(table.restore(5, 100, present, 0)) << "which was present";
  EXPECT_FALSE(table.disputed(5 + ReplacedTags::kPlaces, 0));
  table.replace(5 + ReplacedTags::kPlaces, {1, 1}, 0);
  EXPECT_FALSE(table.disputed(5, 0));
  table.settle(5);
  EXPECT_TRUE(table.disputed(5 + ReplacedTags::kPlaces, ReplacedTags::kDisputeMs - 1));
  EXPECT_FALSE(table.disputed(5 + ReplacedTags::kPlaces, ReplacedTags::kDisputeMs));
  table.settle(5 + ReplacedTags::kPlaces);
  EXPECT_FALSE(table.disputed(5 + ReplacedTags::kPlaces, 0));
}

}  // namespace
}  // namespace poolgate::test
