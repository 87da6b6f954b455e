// SPDX-License-Identifier: BSD-3-Clause
// Registration life, associations that go, the channel that goes, and time that jumps (conformance
// PAR-3.10-3, ASAP-2.2.4-1, §12.3, §12.9, §12.12; DESIGN.md §2).
#include <gmock/gmock.h>

#include "tests/unit/registrar_world.h"

namespace poolgate::test {
namespace {

using registrar::PoolChanged;
using testing::ElementsAre;
using testing::IsEmpty;

PoolElement living(PeId id, int32_t life, const char* ip = "10.0.0.1") {
  PoolElement element = pe(id, ip);
  element.registration_life = life;
  return element;
}

registrar::Settings no_keep_alives() {
  registrar::Settings settings;
  settings.registrar.keepalive_interval_ms = 0;
  return settings;
}

TEST(Registrar, PAR_3_10_3_a_PE_is_out_when_its_life_has_ended) {
  World w(no_keep_alives());
  const auto a = w.up("10.0.0.1");
  w.enroll(a, living(1, 5));
  w.run(5 * kS - 1);
  EXPECT_THAT(w.there(), ElementsAre(1));
  w.run(1);
  EXPECT_THAT(w.there(), IsEmpty());
  EXPECT_THAT(w.all<channel::PeDown>(), IsEmpty()) << "it is drained, not dead";
  EXPECT_EQ(w.all<PoolChanged>().size(), 1u);
  EXPECT_THAT(w.sent(), IsEmpty()) << "conformance 12.9: nothing unasked";
  EXPECT_EQ(w.registrar.counters().pes_expired, 1u);
}

TEST(Registrar, PAR_3_10_3_a_reregistration_starts_the_life_again) {
  World w(no_keep_alives());
  const auto a = w.up("10.0.0.1");
  w.enroll(a, living(1, 5));
  w.run(3 * kS);
  w.enroll(a, living(1, 5));
  w.run(4 * kS);
  EXPECT_THAT(w.there(), ElementsAre(1));
  EXPECT_EQ(w.registrar.elements("EchoPool", w.now).at(0).expires_in, 1 * kS);
}

TEST(Registrar, PAR_3_10_3_life_minus_1_never_ends) {
  World w(no_keep_alives());
  w.enroll(w.up("10.0.0.1"), living(1, rserpool::kInfiniteLife));
  EXPECT_EQ(w.registrar.next_deadline(), registrar::kNever);
  EXPECT_EQ(w.registrar.elements("EchoPool", w.now).at(0).expires_in, std::nullopt);
}

TEST(Registrar, ASAP_2_2_4_1_the_end_of_a_life_is_told_if_configured) {
  registrar::Settings settings = no_keep_alives();
  settings.registrar.notify_expiry = true;
  World w(settings);
  const auto a = w.up("10.0.0.1");
  w.enroll(a, living(1, 3));
  w.run(3 * kS);
  const auto told = w.sent<asap::DeregistrationResponse>();
  ASSERT_EQ(told.size(), 1u);
  EXPECT_EQ(told[0].handle, "EchoPool");
  EXPECT_EQ(told[0].pe_id, 1u);
  EXPECT_THAT(told[0].causes, IsEmpty());
  EXPECT_EQ(w.sent()[0].association, a);
}

TEST(Registrar, life_units_milliseconds_only_where_configured_by_source_or_pool) {
  registrar::Settings settings = no_keep_alives();
  config::LifeUnitRule by_source, by_pool;
  by_source.source = config::Prefix{address("10.1.0.0"), 16};
  by_source.unit = config::LifeUnit::milliseconds;
  by_pool.pool = "RsplibPool";
  by_pool.unit = config::LifeUnit::milliseconds;
  settings.registrar.life_units = {by_source, by_pool};
  World w(settings);
  const auto plain = w.up("10.0.0.1");
  const auto rsplib = w.up("10.1.0.1");
  w.enroll(plain, living(1, 2000), "A");
  w.enroll(rsplib, living(1, 2000, "10.1.0.1"), "B");
  w.enroll(plain, living(1, 2000), "RsplibPool");
  w.run(2 * kS);
  EXPECT_THAT(w.there("A"), ElementsAre(1));
  EXPECT_THAT(w.there("B"), IsEmpty());
  EXPECT_THAT(w.there("RsplibPool"), IsEmpty());
  w.run(1998 * kS);
  EXPECT_THAT(w.there("A"), IsEmpty());
}

TEST(Registrar, life_units_milliseconds_are_unsigned) {
  registrar::Settings settings = no_keep_alives();
  settings.registrar.life_units.push_back({.pool = "P", .unit = config::LifeUnit::milliseconds});
  World w(settings);
  EXPECT_THAT(w.enroll(w.up("10.0.0.1"), living(1, INT32_MIN), "P"), IsEmpty());
  EXPECT_EQ(w.registrar.elements("P", w.now).at(0).expires_in, 0x80000000ull * kMs);
}

// ---- associations

TEST(Registrar, ASAP_12_12_a_PE_whose_association_is_lost_is_out_at_once_and_dead) {
  using channel::DownReason;
  for (const DownReason reason : {DownReason::lost, DownReason::shutdown, DownReason::aborted}) {
    World w;
    const auto a = w.up("10.0.0.1");
    const auto b = w.up("10.0.0.2");
    w.enroll(a, pe(1));
    w.enroll(a, pe(2), "Other");
    w.enroll(b, pe(3, "10.0.0.2"));
    w.down(a, reason);
    EXPECT_EQ(w.all<channel::PeDown>().size(), 2u);
    EXPECT_EQ(w.all<PoolChanged>().size(), 2u);
    EXPECT_THAT(w.there(), ElementsAre(3));
    EXPECT_EQ(w.registrar.pool_count(), 1u);
    EXPECT_EQ(w.registrar.association_count(), 1u);
  }
}

TEST(Registrar, a_peer_that_restarts_has_nothing_registered) {
  World w;
  const auto a = w.up("10.0.0.1");
  w.enroll(a, pe(1));
  channel::AssociationUp again = w.ups.back();
  again.restarted = true;
  w.registrar.association_up(w.now, again);
  w.collect();
  EXPECT_EQ(w.all<channel::PeDown>().size(), 1u);
  EXPECT_THAT(w.there(), IsEmpty());
  EXPECT_THAT(w.enroll(a, pe(1)), IsEmpty()) << "the association is there";
}

// ---- after our own silence: peers may have given us up

// By the grace time, not before, and not for dead.
void expect_that_1_of_2_is_out_after(World& w, Micros time) {
  w.run(time - 1);
  EXPECT_THAT(w.there(), ElementsAre(1, 2));
  w.run(1);
  EXPECT_THAT(w.there(), ElementsAre(2));
  EXPECT_THAT(w.all<channel::PeDown>(), IsEmpty());
  EXPECT_EQ(w.registrar.counters().pes_out_by_grace, 1u);
}

class AfterSilence : public testing::Test {
 protected:
  AfterSilence() : a(w.up("10.0.0.1")), b(w.up("10.0.0.2")) {
    w.enroll(a, pe(1));
    w.enroll(b, pe(2, "10.0.0.2"));
    w.answer_keep_alives = true;
    w.registrar.was_silent(w.now, 5 * kS);
  }
  void restart_of_b() {
    channel::AssociationUp again = w.ups.back();
    again.restarted = true;
    w.registrar.association_up(w.now, again);
    w.collect();
  }

  World w;
  const AssociationName a, b;
};

TEST_F(AfterSilence, a_PE_that_gave_its_association_up_stays_while_it_comes_back) {
  w.down(a, channel::DownReason::aborted);
  EXPECT_THAT(w.all<channel::PeDown>(), IsEmpty());
  EXPECT_THAT(w.all<PoolChanged>(), IsEmpty());
  EXPECT_FALSE(w.registrar.elements("EchoPool", w.now).at(0).confirmed);
  w.run(34 * kS);
  EXPECT_THAT(w.there(), ElementsAre(1, 2));
  EXPECT_THAT(w.enroll(w.up("10.0.0.1"), pe(1)), IsEmpty());
  w.run(60 * kS);
  EXPECT_THAT(w.there(), ElementsAre(1, 2));
  EXPECT_TRUE(w.registrar.elements("EchoPool", w.now).at(0).confirmed);
  EXPECT_EQ(w.registrar.counters().pes_out_by_association, 0u);
}

TEST_F(AfterSilence, a_PE_that_restarted_its_association_stays_until_it_registers_again) {
  restart_of_b();
  EXPECT_THAT(w.all<channel::PeDown>(), IsEmpty());
  EXPECT_FALSE(w.registrar.elements("EchoPool", w.now).at(1).confirmed) << "it may know nothing of it";
  EXPECT_THAT(w.enroll(b, pe(2, "10.0.0.2")), IsEmpty());
  EXPECT_TRUE(w.registrar.elements("EchoPool", w.now).at(1).confirmed);
  EXPECT_EQ(w.registrar.counters().registrations, 2u) << "it never left";
}

TEST_F(AfterSilence, a_PE_that_does_not_come_back_is_out_after_grace_and_silence_but_not_dead) {
  w.down(a, channel::DownReason::aborted);
  expect_that_1_of_2_is_out_after(w, 35 * kS);
}

TEST_F(AfterSilence, a_keep_alive_that_went_down_with_the_association_kills_nobody) {
  std::string keep_alive;
  ASSERT_TRUE(asap::encode(asap::EndpointKeepAlive{false, kOurId, "EchoPool", 1}, keep_alive));
  w.registrar.send_failed(w.now, {.association = a, .ppid = 11, .payload = keep_alive});
  w.down(a, channel::DownReason::aborted);
  EXPECT_THAT(w.there(), ElementsAre(1, 2));
  EXPECT_EQ(w.registrar.counters().keepalives_timed_out, 0u);
}

TEST_F(AfterSilence, whom_we_found_silent_ourselves_is_dead_all_the_same) {
  w.down(a, channel::DownReason::lost);
  EXPECT_EQ(w.all<channel::PeDown>().size(), 1u);
  EXPECT_THAT(w.there(), ElementsAre(2));
}

TEST_F(AfterSilence, forgiveness_ends_with_the_grace_time) {
  w.run(35 * kS);
  w.down(a, channel::DownReason::aborted);
  EXPECT_EQ(w.all<channel::PeDown>().size(), 1u);
}

TEST_F(AfterSilence, the_channel_may_break_meanwhile) {
  w.down(a, channel::DownReason::aborted);
  w.registrar.channel_lost(w.now);
  w.replay(std::span(w.ups).last(1));
  EXPECT_THAT(w.there(), ElementsAre(1, 2));
  EXPECT_THAT(w.all<channel::PeDown>(), IsEmpty());
}

TEST(Registrar, a_gap_of_the_loop_is_a_silence_of_ours) {
  World w;
  const auto a = w.up("10.0.0.1");
  w.enroll(a, pe(1));
  w.now += 30 * kS;
  w.down(a, channel::DownReason::aborted);
  EXPECT_THAT(w.all<channel::PeDown>(), IsEmpty());
  EXPECT_THAT(w.enroll(w.up("10.0.0.1"), pe(1)), IsEmpty());
  EXPECT_EQ(w.registrar.counters().reregistrations, 1u);
}

TEST(Registrar, a_failed_connect_is_no_associations_end) {
  World w;
  w.registrar.association_down(
      w.now, {.association = {1, 0, 0}, .request = 5, .reason = channel::DownReason::cannot_start});
  EXPECT_THAT(w.collect(), IsEmpty());
}

// ---- the channel

TEST(Registrar, grace_loss_of_the_channel_costs_no_PE) {
  World w;
  w.enroll(w.up("10.0.0.1"), living(1, 3));
  w.registrar.channel_lost(w.now);
  EXPECT_THAT(w.collect(), IsEmpty());
  w.run(3600 * kS);
  EXPECT_THAT(w.actions, IsEmpty()) << "nothing can be sent, and nobody can register anew";
  EXPECT_THAT(w.there(), ElementsAre(1));
  EXPECT_FALSE(w.registrar.elements("EchoPool", w.now).at(0).confirmed);
}

TEST(Registrar, grace_after_a_new_epoch_PEs_that_are_not_back_in_time_are_out_but_not_dead) {
  World w;
  w.enroll(w.up("10.0.0.1"), pe(1));
  w.enroll(w.up("10.0.0.2"), pe(2, "10.0.0.2"));
  w.registrar.channel_lost(w.now);
  w.welcome.epoch = 2;
  w.replay({});
  EXPECT_THAT(w.there(), ElementsAre(1, 2));
  w.run(20 * kS);
  w.answer_keep_alives = true;
  EXPECT_THAT(w.enroll(w.up("10.0.0.2"), pe(2, "10.0.0.2")), IsEmpty());
  EXPECT_TRUE(w.registrar.elements("EchoPool", w.now).at(1).confirmed);
  expect_that_1_of_2_is_out_after(w, 10 * kS);
}

TEST(Registrar, grace_an_association_that_is_back_confirms_its_PEs_and_their_life_starts_again) {
  World w(no_keep_alives());
  const auto a = w.up("10.0.0.1");
  w.enroll(a, living(1, 40));
  w.run(30 * kS);
  w.registrar.channel_lost(w.now);
  w.now += 5 * kS;
  w.replay(w.ups);
  EXPECT_TRUE(w.registrar.elements("EchoPool", w.now).at(0).confirmed);
  w.run(39 * kS);
  EXPECT_THAT(w.there(), ElementsAre(1));
  w.run(1 * kS);
  EXPECT_THAT(w.there(), IsEmpty());
}

TEST(Registrar, grace_an_association_of_the_same_epoch_that_is_not_replayed_was_lost_meanwhile) {
  World w;
  w.enroll(w.up("10.0.0.1"), pe(1));
  w.registrar.channel_lost(w.now);
  w.registrar.channel_up(w.now, w.welcome);
  EXPECT_THAT(w.there(), ElementsAre(1));
  w.registrar.replay_done(w.now);
  w.collect();
  EXPECT_THAT(w.there(), IsEmpty());
  EXPECT_EQ(w.all<channel::PeDown>().size(), 1u);
}

// ---- time

TEST(Registrar, a_gap_of_the_loop_moves_every_deadline_by_it) {
  World w;
  const auto a = w.up("10.0.0.1");
  w.enroll(a, pe(1));
  w.run(7'500 * kMs);
  ASSERT_EQ(w.sent<asap::EndpointKeepAlive>().size(), 1u) << "its answer is awaited now";
  w.now += 3600 * kS;
  // The backlog is read before timers fire: the answer that waited in the channel counts.
  w.send(a, asap::Message(asap::EndpointKeepAliveAck{"EchoPool", 1}));
  w.registrar.tick(w.now);
  w.collect();
  EXPECT_THAT(w.all<channel::PeDown>(), IsEmpty());
  EXPECT_THAT(w.there(), ElementsAre(1));
  EXPECT_EQ(w.registrar.counters().loop_gaps, 1u);
}

TEST(Registrar, a_gap_of_the_loop_alone_neither_expires_nor_kills) {
  World w;
  const auto a = w.up("10.0.0.1");
  w.enroll(a, living(1, 60));
  w.run(2 * kS);
  w.now += 3600 * kS;
  w.registrar.tick(w.now);
  w.collect();
  EXPECT_THAT(w.there(), ElementsAre(1));
  w.answer_keep_alives = true;
  w.run(57 * kS);
  EXPECT_THAT(w.there(), ElementsAre(1));
  w.run(2 * kS);
  EXPECT_THAT(w.there(), IsEmpty());
}

TEST(Registrar, a_long_sleep_without_deadlines_is_no_gap) {
  World w(no_keep_alives());
  w.enroll(w.up("10.0.0.1"), living(1, 100));
  w.now += 99 * kS;
  w.registrar.tick(w.now);
  EXPECT_EQ(w.registrar.counters().loop_gaps, 0u);
  EXPECT_EQ(w.registrar.elements("EchoPool", w.now).at(0).expires_in, 1 * kS);
}

TEST(Registrar, ASAP_3_6_1_announcements_come_each_T6_with_all_transports) {
  registrar::Settings settings = no_keep_alives();
  settings.registrar.announce = {{address("239.0.0.50"), 3863}};
  settings.registrar.tcp_listen = {{address("192.0.2.1"), 3863}};
  World w(settings);
  w.run(10 * kS);
  const auto announces = w.all<registrar::Announce>();
  EXPECT_EQ(announces.size(), 10u);
  const auto announce = World::parsed<asap::ServerAnnounce>(announces.at(0).bytes);
  EXPECT_EQ(announce.server, kOurId);
  ASSERT_EQ(announce.transports.size(), 2u);
  EXPECT_EQ(announce.transports[0].type, TransportType::tcp);
  EXPECT_EQ(announce.transports[0].port, 3863);
  EXPECT_EQ(announce.transports[1].type, TransportType::sctp);
  EXPECT_THAT(announce.transports[1].addresses, ElementsAre(address("192.0.2.1"), address("2001:db8::1")));
}

TEST(Registrar, ASAP_3_6_1_and_4_2_the_period_grows_with_the_number_of_servers) {
  registrar::Settings settings = no_keep_alives();
  settings.registrar.announce = {{address("239.0.0.50"), 3863}};
  World w(settings);
  const auto hear = [&](rserpool::ServerId id) {
    std::string bytes;
    ASSERT_TRUE(asap::encode(asap::ServerAnnounce{id, {}}, bytes));
    w.registrar.announce_heard(w.now, bytes);
  };
  size_t sent = 0;
  for (int second = 0; second < 60; ++second) {
    for (const rserpool::ServerId id : {2u, 3u, kOurId}) hear(id);
    w.run(kS);
    sent += w.all<registrar::Announce>().size();
  }
  EXPECT_EQ(sent, 20u) << "3 servers: each third second";
  w.run(60 * kS);
  EXPECT_GT(w.all<registrar::Announce>().size(), 45u) << "those that fell silent count no more";
}

TEST(Registrar, ASAP_9_2_8_a_flood_of_announcements_is_bounded) {
  registrar::Settings settings = no_keep_alives();
  settings.registrar.announce = {{address("239.0.0.50"), 3863}};
  World w(settings);
  for (rserpool::ServerId id = 1; id <= 100'000; ++id) {
    std::string bytes;
    ASSERT_TRUE(asap::encode(asap::ServerAnnounce{id, {}}, bytes));
    w.registrar.announce_heard(w.now, bytes);
  }
  w.run(kS);
  EXPECT_LE(w.registrar.next_deadline(), w.now + 257 * kS) << "256 are remembered";
}

TEST(Registrar, ASAP_3_6_without_groups_nothing_is_announced) {
  World w(no_keep_alives());
  w.run(60 * kS);
  EXPECT_THAT(w.actions, IsEmpty());
}

}  // namespace
}  // namespace poolgate::test
