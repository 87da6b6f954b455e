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

// Of pairs between two of the client's packets, no number pushes out the only tag that traffic has confirmed.
TEST_F(ForgedRestart, however_many_forged_pairs_and_an_ABORT_with_the_last_do_not_take_it_from_its_client) {
  for (uint32_t n = 0; n < 3 * ReplacedTags::kTags; ++n) restart(0x7000 + n, 0x8000 + n);
  abort(0x8000 + 3 * ReplacedTags::kTags - 1);
  EXPECT_EQ(data(kTp), pe);
  EXPECT_EQ(only(*rig).tag_p, kTp);
  EXPECT_EQ(only(*rig).tag_c, kTc);
  EXPECT_STREQ(only(*rig).state, "established");
}

TEST_F(ForgedRestart, nor_do_forged_pairs_with_DATA_behind_each) {
  for (uint32_t n = 0; n < 3 * ReplacedTags::kTags; ++n) {
    pass(1);
    restart(0x7000 + n, 0x8000 + n);
    rig->tick(2000);
    data(0x8000 + n);
  }
  data(kTp);
  EXPECT_EQ(only(*rig).tag_p, kTp);
}

// A dispute goes on, and meanwhile the client does begin anew.
TEST_F(ForgedRestart, nor_from_a_client_that_began_anew_meanwhile) {
  constexpr uint32_t kNewTp = 0x1234, kNewTc = 0x4321;
  restart(kNewTc, kNewTp);
  pass(1);
  data(kNewTp);
  for (uint32_t n = 0; n < 3 * ReplacedTags::kTags; ++n) restart(0x7000 + n, 0x8000 + n);
  data(kNewTp);
  EXPECT_EQ(only(*rig).tag_p, kNewTp);
  EXPECT_EQ(only(*rig).tag_c, kNewTc);
}

TEST_F(ForgedRestart, the_next_session_with_its_place_in_the_table_is_in_no_dispute) {
  abort(kForgedTp);
  pass(70);
  ASSERT_EQ(sessions(), 0u);
  establish(*rig);
  abort(kTp);
  EXPECT_STREQ(only(*rig).state, "closed");
}

// Without an INIT: it can be the client's, whose INIT began the session and whom a forged COOKIE ECHO
// overtook.
class OvertakenCookie : public ::testing::Test {
 protected:
  OvertakenCookie() : rig(make()) {
    pe = pe_of(rig->send(sctp(client(), 0, init_chunk(kTc))).at(0));
    rig->send(sctp(client(), kForgedTp, cookie_echo()));
    EXPECT_EQ(only(*rig).tag_p, kForgedTp);
  }
  void cookie() { EXPECT_EQ(pe_of(rig->send(sctp(client(), kTp, cookie_echo())).at(0)), pe); }
  void data() { EXPECT_EQ(pe_of(rig->send(sctp(client(), kTp, data_chunk())).at(0)), pe); }
  void abort() { rig->send(sctp(client(), kForgedTp, chunk(6, 0, {}))); }
  std::unique_ptr<Rig> rig;
  unsigned pe = 0;
};

TEST_F(OvertakenCookie, RFC_9260_5_1_5_the_clients_next_packet_tells_which_tag_it_is) {
  cookie();
  EXPECT_EQ(only(*rig).tag_p, kForgedTp) << "a COOKIE ECHO alone replaces nothing";
  data();
  EXPECT_EQ(only(*rig).tag_p, kTp);
  EXPECT_EQ(only(*rig).tag_c, kTc);
  abort();
  EXPECT_STREQ(only(*rig).state, "established");
}

TEST_F(OvertakenCookie, an_ABORT_with_the_forged_tag_behind_it_ends_nothing) {
  cookie();
  abort();
  EXPECT_STREQ(only(*rig).state, "closing");
  rig->pass_ms(20'000);
  data();
  EXPECT_STREQ(only(*rig).state, "established");
  EXPECT_EQ(only(*rig).tag_p, kTp);
}

TEST_F(OvertakenCookie, an_ABORT_with_the_forged_tag_in_front_of_it_ends_nothing_either) {
  abort();
  cookie();
  rig->pass_ms(20'000);
  data();
  EXPECT_STREQ(only(*rig).state, "established");
}

TEST_F(OvertakenCookie, one_that_comes_again_with_the_sessions_tag_opens_no_dispute) {
  rig->send(sctp(client(), kForgedTp, cookie_echo()));
  abort();
  EXPECT_STREQ(only(*rig).state, "closed");
}

// And the other way: nobody takes an association by COOKIE ECHOs that no INIT went before.
TEST_F(OvertakenCookie, forged_ones_take_it_for_no_longer_than_to_the_clients_next_packet) {
  cookie();
  data();
  for (uint32_t n = 0; n < 3 * ReplacedTags::kTags; ++n) rig->send(sctp(client(), 0x8000 + n, cookie_echo()));
  EXPECT_EQ(only(*rig).tag_p, kTp);
  rig->send(sctp(client(), 0x8000 + 3 * ReplacedTags::kTags - 1, data_chunk()));
  abort();
  data();
  EXPECT_EQ(only(*rig).tag_p, kTp);
  EXPECT_STREQ(only(*rig).state, "established");
}

// Its PE leaves the pool: an association that begins anew begins at another.
class ForgedSuccession : public ::testing::Test {
 protected:
  ForgedSuccession() : rig(make()) {
    establish(*rig);
    pe = pe_of(rig->send(sctp(client(), kTp, data_chunk())).at(0));
    other = pe == 11 ? 12 : 11;
    rig->set_pool({{other, other == 11 ? "10.0.0.11" : "10.0.0.12", 3868}});
    take(kForgedTc, kForgedTp);
  }
  void take(uint32_t tc, uint32_t tp) {
    rig->tick(50'000);
    rig->send(sctp(client(), 0, init_chunk(tc)));
    EXPECT_EQ(to(tp, cookie_echo()), other);
  }
  unsigned to(uint32_t tp, const Bytes& chunks = data_chunk()) {
    const auto got = rig->send(sctp(client(), tp, chunks));
    return got.size() == 1 && got[0].from() == client().from ? pe_of(got[0]) : 0;
  }
  std::unique_ptr<Rig> rig;
  unsigned pe = 0, other = 0;
};

TEST_F(ForgedSuccession, a_client_that_goes_on_with_its_tag_has_its_PE_back) {
  rig->pass_ms(5000);
  EXPECT_EQ(to(kTp), pe);
  EXPECT_EQ(only(*rig).pe_id, pe);
  EXPECT_EQ(only(*rig).tag_p, kTp);
}

TEST_F(ForgedSuccession, as_often_as_needed_in_both_directions) {
  for (uint32_t n = 1; n < 10; ++n) {
    rig->pass_ms(200);
    EXPECT_EQ(to(kTp), pe);
    rig->pass_ms(200);
    EXPECT_EQ(to(kForgedTp), other);
    rig->pass_ms(200);
    EXPECT_EQ(to(kTp), pe);
    take(n, 0x8000 + n);
  }
  EXPECT_EQ(to(kTp), pe);
  EXPECT_EQ(rig->redirector->session_stats().sessions, 1u);
}

TEST_F(ForgedSuccession, a_PE_that_died_meanwhile_gets_nothing_back) {
  rig->set_pool({{pe, pe == 11 ? "10.0.0.11" : "10.0.0.12", 3868},
                 {other, other == 11 ? "10.0.0.11" : "10.0.0.12", 3868}});
  rig->pe_down(pe);
  EXPECT_EQ(to(kTp), other) << "who tells it";
  EXPECT_EQ(only(*rig).pe_id, other);
}

TEST_F(ForgedSuccession, the_death_of_the_one_that_it_was_taken_to_is_not_its_end) {
  rig->set_pool({{pe, pe == 11 ? "10.0.0.11" : "10.0.0.12", 3868},
                 {other, other == 11 ? "10.0.0.11" : "10.0.0.12", 3868}});
  rig->pe_down(other);
  rig->now_us += 1000;
  for (const auto& f : rig->burst({sctp(client(), kTp, data_chunk())}))
    EXPECT_NE(f.tag() == kTp && f.chunk_type() == 6, true) << "no ABORT that the client would believe";
  EXPECT_EQ(to(kTp), pe);
}

TEST_F(ForgedSuccession, who_is_heard_no_more_holds_its_PE_no_longer_than_the_dispute) {
  const auto held = [&] {
    uint64_t n = 0;
    for (pool::PeSlotIndex i = 0; i < 8; ++i) n += rig->redirector->pe_sessions(i);
    return n;
  };
  EXPECT_EQ(held(), 2u) << "the session, and the PE that it may go back to";
  rig->pass_ms(ReplacedTags::kDisputeMs + 2000);
  EXPECT_EQ(held(), 1u);
  EXPECT_EQ(only(*rig).pe_id, other);
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

// Whoever wants to push a victim's dispute out has to forge as many as the table has places for.
TEST(ForgedRestarts, of_many_associations_at_once_are_all_undone_where_the_table_is_large) {
  const auto rig = make(config::Protocol::sctp, [](Rig& r) { r.redirector_options.sessions = 65'536; });
  constexpr unsigned kClients = 1000;
  const auto flow = [](unsigned n) {
    Flow f = client();
    f.from_port = static_cast<uint16_t>(2000 + n);
    return f;
  };
  for (unsigned n = 0; n < kClients; ++n) {
    rig->send(sctp(flow(n), 0, init_chunk(kTc + n)));
    rig->send(sctp(flow(n), kTp + n, cookie_echo()));
  }
  for (unsigned n = 0; n < kClients; ++n) {
    rig->send(sctp(flow(n), 0, init_chunk(kForgedTc)));
    rig->send(sctp(flow(n), kForgedTp, cookie_echo()));
  }
  for (unsigned n = 0; n < kClients; ++n) rig->send(sctp(flow(n), kTp + n, data_chunk()));
  std::vector<redirect::SessionView> views;
  rig->redirector->dump_sessions(0, kClients, views);
  ASSERT_EQ(views.size(), kClients);
  for (const auto& view : views) EXPECT_EQ(view.tag_p, kTp + view.client_port - 2000) << view.client_port;
}

class ReplacedTagsTable : public ::testing::Test {
 protected:
  static ReplacedTags::Tags tags(uint32_t n) { return {n, 10 * n, n % 4, 0}; }
  // By its COOKIE ECHO; `used`: a later packet had the tag before.
  void replace(uint32_t before, uint32_t now_ms, bool used = false, session::SessionIndex i = 5) {
    table.replace(i, tags(before), used ? now_ms - 1 : last_ms, now_ms);
    last_ms = now_ms;
  }
  bool restore(uint32_t tag, uint32_t now_ms = 0, session::SessionIndex i = 5) {
    return table.restore(i, tag, present, last_ms, now_ms);
  }
  pool::PeLine lines[4];
  static constexpr uint32_t kPlaces = 16;
  ReplacedTags table{lines, kPlaces};
  ReplacedTags::Tags present = tags(100);
  uint32_t last_ms = 0;
};

TEST_F(ReplacedTagsTable, what_was_there_before_is_never_pushed_out_and_of_the_others_the_eldest_go) {
  for (uint32_t n = 1; n <= ReplacedTags::kTags + 2; ++n) replace(n, n);
  EXPECT_FALSE(restore(2, 9));
  EXPECT_FALSE(restore(3, 9));
  ASSERT_TRUE(restore(1, 9));
  EXPECT_EQ(present.p, 1u);
  EXPECT_EQ(present.c, 10u);
  EXPECT_EQ(present.pe, 1u);
  EXPECT_TRUE(restore(100, 9)) << "which was present";
  EXPECT_FALSE(restore(0, 9)) << "nobody's tag";
}

TEST_F(ReplacedTagsTable, a_tag_that_was_used_outlasts_those_that_were_not) {
  replace(1, 0);
  replace(2, 10, true);
  for (uint32_t n = 3; n <= 20; ++n) replace(n, 20);
  EXPECT_TRUE(restore(2, 20));
}

TEST_F(ReplacedTagsTable, one_that_was_heard_no_more_for_a_dispute_is_over_though_others_are_not) {
  replace(1, 0);
  replace(2, ReplacedTags::kDisputeMs - 1);
  EXPECT_TRUE(table.disputed(5, ReplacedTags::kDisputeMs));
  EXPECT_FALSE(restore(1, ReplacedTags::kDisputeMs));
  EXPECT_TRUE(restore(2, ReplacedTags::kDisputeMs));
}

TEST_F(ReplacedTagsTable, another_session_takes_the_place) {
  constexpr session::SessionIndex kNext = 5 + kPlaces;
  replace(1, 0);
  EXPECT_FALSE(table.disputed(kNext, 0));
  replace(1, 0, false, kNext);
  EXPECT_FALSE(table.disputed(5, 0));
  table.settle(5);
  EXPECT_TRUE(table.disputed(kNext, ReplacedTags::kDisputeMs - 1));
  EXPECT_FALSE(table.disputed(kNext, ReplacedTags::kDisputeMs));
  table.settle(kNext);
  EXPECT_FALSE(table.disputed(kNext, 0));
}

TEST_F(ReplacedTagsTable, a_COOKIE_ACK_leaves_what_no_INIT_announced_as_it_may_be_of_that) {
  replace(1, 0);
  table.propose(5, tags(2), tags(3), last_ms, 0);
  table.settle(5);
  EXPECT_FALSE(restore(1));
  EXPECT_TRUE(restore(2));
}

TEST_F(ReplacedTagsTable, a_session_that_has_ended_leaves_nothing) {
  replace(1, 0);
  table.hold(5, 2);
  EXPECT_EQ(lines[1].sessions.load(), 1u);
  table.forget(5);
  EXPECT_FALSE(table.disputed(5, 0));
  EXPECT_EQ(lines[1].sessions.load(), 0u);
}

TEST_F(ReplacedTagsTable, PEs_that_it_is_not_at_are_held_until_they_are_out_of_the_dispute) {
  const auto held = [&] {
    std::vector<uint32_t> n;
    for (const auto& line : lines) n.push_back(line.sessions.load());
    return n;
  };
  using Held = std::vector<uint32_t>;
  replace(1, 0);  // the session is at 0 now
  table.hold(5, 0);
  EXPECT_EQ(held(), (Held{0, 1, 0, 0}));
  ASSERT_TRUE(restore(1));
  table.hold(5, 1);
  EXPECT_EQ(held(), (Held{1, 0, 0, 0}));
  for (uint32_t n = 2; n < 40; ++n) {
    replace(n, n);
    table.hold(5, (n + 1) % 4);
  }
  uint32_t now = ReplacedTags::kDisputeMs + 40;
  for (uint32_t n = 0; n < kPlaces; ++n) table.sweep(now);
  EXPECT_EQ(held(), (Held{0, 0, 0, 0}));
}

}  // namespace
}  // namespace poolgate::test
