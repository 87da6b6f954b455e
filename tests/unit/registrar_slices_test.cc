// SPDX-License-Identifier: BSD-3-Clause
// However many PEs, associations or subscribers something concerns: no step of the loop takes them all, and
// the next is due at once.
#include <gmock/gmock.h>

#include <utility>

#include "tests/unit/registrar_scope.h"

namespace poolgate::test {
namespace {

using testing::AllOf;
using testing::Each;
using testing::ElementsAre;
using testing::Gt;
using testing::IsEmpty;
using testing::Le;
using testing::SizeIs;

constexpr PeId kMany = 2600;
constexpr size_t kMostInAStep = 500;

registrar::Settings settings() {
  registrar::Settings s;
  s.registrar.grace_ms = 30'000;
  s.registrar.keepalive_interval_ms = 0;
  s.registrar.max_elements = 100'000;
  return s;
}

std::string pool_of(PeId id) { return "Pool" + std::to_string(id / 10); }

// All on one association.
AssociationName fill(World& w) {
  const AssociationName name = w.up("10.3.0.1");
  for (PeId id = 1; id <= kMany; ++id) EXPECT_TRUE(w.enroll(name, pe(id, "10.3.0.1"), pool_of(id)).empty());
  return name;
}
// So many associations, each with one PE, and a subscriber of "EchoPool", which has one, too.
std::vector<AssociationName> fill_associations(World& w) {
  std::vector<AssociationName> names;
  for (PeId id = 1; id <= kMany; ++id) {
    const std::string ip = "10.3." + std::to_string(id / 250) + "." + std::to_string(id % 250 + 1);
    names.push_back(w.up(ip.c_str()));
    if (id == 1) {
      EXPECT_TRUE(w.enroll(names.back(), pe(kMany + 1, ip.c_str())).empty());
    }
    EXPECT_TRUE(w.enroll(names.back(), pe(id, ip.c_str()), pool_of(id)).empty());
    w.send(names.back(), asap::Message(asap::HandleResolution{"EchoPool", true, {}}));
  }
  return names;
}

// What `measure` shrinks by in each step until it stays as it is; the first is what the present one did.
template <class Measure>
std::vector<size_t> steps(World& w, size_t before, Measure&& measure) {
  std::vector<size_t> all;
  for (size_t now = measure(); now != before; now = measure()) {
    all.push_back(before - now);
    before = now;
    if (all.size() > kMany || w.registrar.next_deadline() > w.now) break;
    w.registrar.tick(w.now);
    w.collect();
  }
  return all;
}

size_t removals(const World& w) {
  size_t n = 0;
  for (const auto& put : w.all<registrar::JournalPut>())
    n += put.record.change == registrar::JournalRecord::Change::remove;
  return n;
}

TEST(RegistrarSlices, PEs_of_an_association_that_ended_go_some_hundred_a_step) {
  World w(settings());
  const AssociationName name = fill(w);
  w.down(name);
  EXPECT_EQ(w.registrar.association_count(), 0u);
  size_t downs = w.all<channel::PeDown>().size();
  EXPECT_EQ(downs, removals(w));
  EXPECT_THAT(downs, AllOf(Gt(0u), Le(kMostInAStep))) << "the first at once";
  for (int step = 0; step < 100 && w.registrar.element_count() != 0; ++step) {
    EXPECT_LE(w.registrar.next_deadline(), w.now) << "goes on at once";
    w.registrar.tick(w.now);
    w.collect();
    EXPECT_THAT(removals(w), AllOf(Gt(0u), Le(kMostInAStep)));
    downs += w.all<channel::PeDown>().size();
  }
  EXPECT_EQ(w.registrar.element_count(), 0u);
  EXPECT_EQ(downs, kMany) << "each is found dead once";
  EXPECT_EQ(w.registrar.counters().pes_out_by_association, kMany);
}

TEST(RegistrarSlices, PEs_that_register_anew_before_it_comes_to_them_stay) {
  World w(settings());
  const AssociationName name = fill(w);
  w.down(name);
  const auto left = w.there(pool_of(kMany));
  ASSERT_THAT(left, SizeIs(Gt(0u)));
  EXPECT_TRUE(w.enroll(w.up("10.3.0.1"), pe(left[0], "10.3.0.1"), pool_of(kMany)).empty());
  w.run(kS);
  EXPECT_EQ(w.registrar.element_count(), 1u);
  EXPECT_THAT(w.there(pool_of(kMany)), testing::ElementsAre(left[0]));
}

TEST(RegistrarSlices,
     of_a_peer_that_restarted_what_it_registered_before_goes_and_what_it_registers_now_stays) {
  World w(settings());
  fill(w);
  channel::AssociationUp again = w.ups.back();
  again.restarted = true;
  w.registrar.association_up(w.now, again);
  w.collect();
  EXPECT_LE(removals(w), kMostInAStep);
  const auto left = w.there(pool_of(kMany));
  ASSERT_THAT(left, SizeIs(Gt(0u)));
  EXPECT_TRUE(w.enroll(again.association, pe(left[0], "10.3.0.1"), pool_of(kMany)).empty());
  w.run(kS);
  EXPECT_EQ(w.registrar.element_count(), 1u);
  EXPECT_EQ(w.registrar.counters().pes_out_by_association, kMany - 1);
}

TEST(RegistrarSlices,
     an_association_that_survived_the_channel_confirms_its_PEs_some_hundred_a_step_and_none_goes) {
  World w(settings());
  fill(w);
  w.registrar.channel_lost(w.now);
  w.replay(std::span(w.ups).last(1));
  const auto unconfirmed = [&] {
    size_t n = 0;
    for (const auto& pool : w.registrar.pools())
      for (const auto& info : w.registrar.elements(pool.handle, w.now)) n += !info.confirmed;
    return n;
  };
  EXPECT_THAT(steps(w, kMany, unconfirmed), AllOf(SizeIs(Gt(1u)), Each(Le(kMostInAStep))));
  EXPECT_EQ(unconfirmed(), 0u);
  w.run(60 * kS);
  EXPECT_EQ(w.registrar.element_count(), kMany);
}

TEST(RegistrarSlices, associations_that_a_new_data_plane_does_not_have_are_forgotten_some_hundred_a_step) {
  World w(settings());
  fill_associations(w);
  const size_t before = w.registrar.remembered_count();
  EXPECT_EQ(before, kMany);
  w.registrar.channel_lost(w.now);
  EXPECT_EQ(w.registrar.association_count(), 0u);
  w.welcome.epoch = 2;
  w.replay({});
  EXPECT_EQ(w.registrar.remembered_count(), before) << "not in these steps";
  w.registrar.tick(w.now);
  const auto forgotten = steps(w, before, [&] { return w.registrar.remembered_count(); });
  EXPECT_THAT(forgotten, Each(Le(kMostInAStep)));
  EXPECT_EQ(w.registrar.remembered_count(), 0u);
}

TEST(RegistrarSlices, one_that_is_up_again_meanwhile_is_not_forgotten) {
  World w(settings());
  fill_associations(w);
  w.registrar.channel_lost(w.now);
  w.registrar.channel_up(w.now, w.welcome);
  w.registrar.association_up(w.now, w.ups.front());
  w.registrar.replay_done(w.now);
  w.registrar.channel_lost(w.now);  // again, in the middle of it
  w.registrar.channel_up(w.now, w.welcome);
  w.registrar.association_up(w.now, w.ups.front());
  w.registrar.tick(w.now);
  w.registrar.association_up(w.now, w.ups.back());
  w.registrar.replay_done(w.now);
  w.run(kS);
  EXPECT_EQ(w.registrar.remembered_count(), 2u);
  EXPECT_EQ(w.registrar.association_count(), 2u);
}

TEST(RegistrarSlices, answers_and_subscriptions_of_the_journal_that_nobody_comes_for_go_some_hundred_a_step) {
  World w(settings());
  fill_associations(w);
  w.registrar = w.restarted();
  const size_t before = w.registrar.remembered_count();
  EXPECT_EQ(before, 2 * kMany) << "of each association its answers and its subscriptions";
  w.replay({});
  EXPECT_EQ(w.registrar.remembered_count(), before);
  w.registrar.tick(w.now);
  EXPECT_THAT(steps(w, before, [&] { return w.registrar.remembered_count(); }), Each(Le(2 * kMostInAStep)));
  EXPECT_EQ(w.registrar.remembered_count(), 0u);
}

TEST(RegistrarSlices, PEs_whose_lives_end_at_one_moment_go_some_hundred_a_step) {
  World w(settings());
  fill(w);
  w.run(300 * kS - kMs);
  EXPECT_EQ(w.registrar.element_count(), kMany);
  w.now += kMs;
  w.registrar.tick(w.now);
  EXPECT_THAT(steps(w, kMany, [&] { return w.registrar.element_count(); }),
              AllOf(SizeIs(Gt(1u)), Each(Le(kMostInAStep))));
}

TEST(RegistrarSlices, ASAP_2_2_6_many_subscribers_of_a_pool_are_told_once_each_some_hundred_a_step) {
  World w(settings());
  const auto names = fill_associations(w);
  w.run(kS);
  EXPECT_TRUE(w.enroll(names[0], pe(kMany + 2, "10.3.0.2")).empty());
  std::map<AssociationName, size_t> told;
  std::vector<size_t> in_a_step;
  w.now += 200 * kMs;
  for (int step = 0; step < 1000 && told.size() < kMany; ++step) {
    EXPECT_LE(w.registrar.next_deadline(), w.now);
    w.registrar.tick(w.now);
    w.collect();
    in_a_step.push_back(w.sent<asap::HandleResolutionResponse>().size());
    for (const auto& down : w.sent()) ++told[down.association];
  }
  EXPECT_THAT(in_a_step, Each(AllOf(Gt(0u), Le(kMostInAStep))));
  EXPECT_EQ(told.size(), kMany);
  EXPECT_THAT(told, Each(testing::Pair(testing::_, 1u)));
  w.run(kS);
  EXPECT_THAT(w.sent(), IsEmpty());
}

// RFC 5353 §3.2.3.5: what came while we joined the scope is served then, in its order, some hundred a step.
TEST(RegistrarSlices, what_waited_until_we_serve_is_answered_in_order_some_hundred_a_step) {
  constexpr PeId kWaiting = 1000;
  registrar::Settings with_peer = settings();
  with_peer.registrar.peers.push_back({{address("10.0.0.9")}, 9901, 0});
  World w(with_peer);
  const auto name = w.up("10.3.0.1");
  for (PeId id = 1; id <= kWaiting; ++id) {
    w.send(name, asap::Message(asap::Registration{pool_of(id), pe(id, "10.3.0.1")}));
    ASSERT_THAT(w.sent(), IsEmpty()) << "not before we serve";
  }
  std::vector<uint64_t> answered;
  bool late = false;
  for (int step = 0; step < 1000 && answered.size() <= kWaiting; ++step) {
    w.now = std::min(std::max(w.registrar.next_deadline(), w.now + 1), w.now + kS);
    w.registrar.tick(w.now);
    size_t now = 0;
    for (const auto& down : (w.collect(), w.sent())) {
      if (down.answers == 0) continue;
      answered.push_back(down.answers);
      ++now;
    }
    ASSERT_LE(now, kMostInAStep);
    if (answered.empty() || std::exchange(late, true)) continue;
    // In the middle of it one more comes.
    w.send(name, asap::Message(asap::Registration{"Late", pe(kWaiting + 1, "10.3.0.1")}));
    ASSERT_THAT(w.sent(), IsEmpty()) << "it waits for those before it";
  }
  ASSERT_EQ(answered.size(), kWaiting + 1);
  EXPECT_TRUE(std::is_sorted(answered.begin(), answered.end()));
  EXPECT_EQ(w.registrar.element_count(), kWaiting + 1);
}

// Counted, not walked for.
TEST(RegistrarSlices, the_PEs_that_are_being_claimed_are_counted_as_they_come_and_go) {
  Scope s;
  s.start(1);
  s.start(2, {1});
  s.run(3 * kS);
  for (PeId id = 1; id <= 4; ++id) s.enroll(2, id);
  for (PeId id = 1; id <= 4; ++id) s.pe_at(id).answers = false;
  s.kill(2);
  s.run(4500 * kMs);
  EXPECT_EQ(s[1].scope().claiming, 4u);
  s.enroll(1, 1);  // of its own accord
  EXPECT_EQ(s[1].scope().claiming, 3u);
  s.pe_at(2).answers = true;
  s.run(1500 * kMs);
  EXPECT_EQ(s[1].scope().claiming, 2u);
  s.kill_registrar(1);
  s.restart(1);
  EXPECT_EQ(s[1].scope().claiming, 2u) << "as the journal has it";
  s.run(20 * kS);
  EXPECT_EQ(s[1].scope().claiming, 0u) << "the others answer nowhere";
  EXPECT_THAT(s.homes(1), SizeIs(2));
}

// ---- a table of which there is nothing to give

constexpr rserpool::ServerId kAsker = 0x77, kOther = 0x78;
constexpr PeId kElements = 25'000;

// What each chunk has of "Zulu", which comes last.
std::vector<std::vector<PeId>> chunks(World& w, const AssociationName& asker, bool own_only) {
  std::vector<std::vector<PeId>> all;
  for (bool more = true; more && all.size() < 100;) {
    const auto table = w.ask<enrp::HandleTableResponse>(
        asker, enrp::Message(enrp::HandleTableRequest{kAsker, kOurId, own_only}));
    EXPECT_FALSE(table.rejected);
    more = table.more;
    all.emplace_back();
    for (const auto& entry : table.entries)
      for (const auto& element : entry.elements) all.back().push_back(element.id);
  }
  return all;
}
registrar::Settings table_settings() {
  registrar::Settings s = settings();
  s.registrar.peer_message_rate = 0;
  s.registrar.enrp_message_rate = 0;
  config::RsplibRule rule;
  rule.server_id = kAsker;
  rule.known_transports = true;
  s.registrar.rsplib.push_back(rule);
  return s;
}

TEST(RegistrarSlices, ENRP_3_2_3_2_a_table_that_the_asker_cannot_hold_is_passed_over_some_thousand_a_step) {
  World w(table_settings());
  const auto elements = w.up("10.3.0.1");
  PoolElement unknown = pe(1, "10.3.0.1");
  unknown.user_transport.type = TransportType::dccp;
  for (; unknown.id <= kElements; ++unknown.id) w.enroll(elements, unknown, "Alpha");
  EXPECT_THAT(w.enroll(elements, pe(7, "10.3.0.1"), "Zulu"), IsEmpty());
  const auto asker = w.up({"10.0.0.9"}, 9901, SctpService::enrp);
  w.send(asker, enrp::Message(enrp::Presence{.sender = kAsker}));
  for (const bool own_only : {false, true})
    EXPECT_THAT(chunks(w, asker, own_only), ElementsAre(IsEmpty(), IsEmpty(), ElementsAre(7)));
}

TEST(RegistrarSlices, ENRP_2_2_1_so_is_one_in_which_few_PEs_are_ours) {
  World w(table_settings());
  const auto elements = w.up("10.3.0.1");
  const auto other = w.up({"10.0.0.8"}, 9901, SctpService::enrp);
  const auto asker = w.up({"10.0.0.9"}, 9901, SctpService::enrp);
  std::vector<PeId> ours;
  for (PeId id = 1; id <= kElements; ++id) {
    if (id % 2000 == 0) {
      w.enroll(elements, pe(id, "10.3.0.1"), "Zulu");
      ours.push_back(id);
    } else {
      w.send(other, enrp::Message(enrp::HandleUpdate{
                        .sender = kOther, .handle = "Zulu", .element = pe_of(kOther, id, "10.3.0.1")}));
    }
  }
  const auto each = chunks(w, asker, true);
  ASSERT_THAT(each, SizeIs(3)) << "at 10,000 a step";
  std::vector<PeId> all;
  for (const auto& chunk : each) all.insert(all.end(), chunk.begin(), chunk.end());
  EXPECT_EQ(all, ours);
}

}  // namespace
}  // namespace poolgate::test
