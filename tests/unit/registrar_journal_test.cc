// SPDX-License-Identifier: BSD-3-Clause
// Nothing accepted is lost or done twice: journal, answer, acknowledgement, replay (DESIGN.md §2).
#include <gmock/gmock.h>

#include "tests/unit/registrar_world.h"

namespace poolgate::test {
namespace {

using registrar::JournalPut;
using registrar::JournalRecord;
using testing::ElementsAre;
using testing::IsEmpty;
using Change = JournalRecord::Change;

TEST(RegistrarJournal, a_change_is_journaled_then_answered_then_acknowledged) {
  World w;
  const auto a = w.up("10.0.0.1");
  for (const asap::Message& change : {asap::Message(asap::Registration{"EchoPool", pe(1)}),
                                      asap::Message(asap::Deregistration{"EchoPool", 1})}) {
    w.send(a, change);
    std::vector<std::string> order;
    for (const auto& action : w.actions) {
      if (const auto* put = std::get_if<JournalPut>(&action)) {
        order.push_back("journal");
        EXPECT_EQ(put->record.association, a);
        EXPECT_EQ(put->record.sequence, w.sequence);
      }
      if (const auto* down = std::get_if<channel::MessageDown>(&action)) {
        order.push_back("answer");
        EXPECT_EQ(down->payload, w.journal.back().answer);
      }
      if (const auto* ack = std::get_if<channel::Acknowledge>(&action)) {
        order.push_back("acknowledge");
        EXPECT_EQ(ack->sequence, w.sequence);
      }
    }
    EXPECT_THAT(order, ElementsAre("journal", "answer", "acknowledge"));
  }
}

TEST(RegistrarJournal, every_message_is_acknowledged) {
  World w;
  const auto a = w.up("10.0.0.1");
  for (const std::string& bytes :
       {std::string(), std::string("junk"), message(0x05, 0, handle_tlv()), message(0xff, 0, "")}) {
    w.bytes(a, bytes);
    ASSERT_EQ(w.all<channel::Acknowledge>().size(), 1u);
    EXPECT_EQ(w.all<channel::Acknowledge>()[0].sequence, w.sequence);
  }
}

TEST(RegistrarJournal, a_restarted_registrar_has_every_PE_as_it_was) {
  World w;
  const auto a = w.up({"10.0.0.1", "10.1.0.1"});
  PoolElement element = pe(1);
  element.policy = {.type = PolicyType::least_used_degradation, .load = 5, .load_degradation = 6};
  w.enroll(a, element);
  element.policy.load = 7;
  w.enroll(a, element);
  w.enroll(a, pe(2), "Other");
  w.enroll(a, pe(3), "Other");
  w.send(a, asap::Message(asap::Deregistration{"Other", 2}));
  const auto next = w.restarted();
  ASSERT_EQ(next.element_count(), 2u);
  for (const char* handle : {"EchoPool", "Other"}) {
    const auto before = w.registrar.elements(handle, w.now);
    const auto after = next.elements(handle, w.now);
    ASSERT_EQ(after.size(), 1u);
    EXPECT_EQ(after[0].element, before.at(0).element);
    EXPECT_EQ(after[0].registration, before.at(0).registration)
        << "or a down bit would be cleared, a counter reset";
    EXPECT_EQ(after[0].association, a);
    EXPECT_FALSE(after[0].confirmed);
  }
}

TEST(RegistrarJournal, registrations_after_a_restart_are_newer_than_those_before) {
  World w;
  const auto a = w.up("10.0.0.1");
  for (int i = 0; i < 5; ++i) w.enroll(a, pe(1));
  const uint32_t before = w.registrar.elements("EchoPool", w.now).at(0).registration;
  w.registrar = w.restarted();
  w.registrar.channel_up(w.now, w.welcome);
  w.registrar.association_up(w.now, w.ups.back());
  w.enroll(a, pe(1));
  EXPECT_GT(w.registrar.elements("EchoPool", w.now).at(0).registration, before);
}

TEST(RegistrarJournal, a_message_that_the_journal_has_is_not_done_again_and_its_answer_is_repeated) {
  World w;
  const auto a = w.up("10.0.0.1");
  w.enroll(a, pe(1));
  const channel::MessageUp registration = w.last_message;
  const std::string answer = w.sent().at(0).payload;
  w.enroll(a, pe(1));
  w.registrar = w.restarted();
  w.registrar.channel_up(w.now, w.welcome);
  channel::AssociationUp up = w.ups.back();
  up.replayed = true;
  w.registrar.association_up(w.now, up);
  w.collect();
  const uint32_t number = w.registrar.elements("EchoPool", w.now).at(0).registration;
  channel::MessageUp again = registration;
  again.replayed = true;
  w.registrar.message(w.now, again);
  w.collect();
  ASSERT_EQ(w.sent().size(), 1u);
  EXPECT_EQ(w.sent()[0].payload, answer);
  EXPECT_EQ(w.sent()[0].answers, registration.sequence);
  EXPECT_EQ(w.sent()[0].stream, registration.stream);
  EXPECT_THAT(w.all<JournalPut>(), IsEmpty());
  ASSERT_EQ(w.all<channel::Acknowledge>().size(), 1u);
  EXPECT_EQ(w.registrar.elements("EchoPool", w.now).at(0).registration, number);
  EXPECT_EQ(w.registrar.counters().replays_skipped, 1u);
}

TEST(RegistrarJournal, a_message_that_the_journal_does_not_have_is_done) {
  World w;
  const auto a = w.up("10.0.0.1");
  w.registrar = w.restarted();
  w.registrar.channel_up(w.now, w.welcome);
  channel::AssociationUp up = w.ups.back();
  up.replayed = true;
  w.registrar.association_up(w.now, up);
  std::string payload;
  ASSERT_TRUE(asap::encode(asap::Registration{"EchoPool", pe(1)}, payload));
  w.registrar.message(w.now,
                      {.association = a, .sequence = 9, .replayed = true, .ppid = 11, .payload = payload});
  w.collect();
  EXPECT_EQ(w.sent<asap::RegistrationResponse>().size(), 1u);
  EXPECT_THAT(w.there(), ElementsAre(1));
}

TEST(RegistrarJournal, a_message_replayed_after_loss_of_the_channel_alone_is_not_done_again) {
  World w;
  const auto a = w.up("10.0.0.1");
  w.enroll(a, pe(1));
  w.send(a, asap::Message(asap::Deregistration{"EchoPool", 1}));
  channel::MessageUp deregistration = w.last_message;
  w.enroll(a, pe(1));
  w.registrar.channel_lost(w.now);
  w.registrar.channel_up(w.now, w.welcome);
  w.registrar.association_up(w.now, w.ups.back());
  deregistration.replayed = true;
  w.registrar.message(w.now, deregistration);
  w.registrar.replay_done(w.now);
  w.collect();
  EXPECT_EQ(w.sent<asap::DeregistrationResponse>().size(), 1u);
  EXPECT_THAT(w.there(), ElementsAre(1)) << "it was done once, and the PE has registered since";
}

TEST(RegistrarJournal, expiry_loss_and_death_are_journaled_too) {
  registrar::Settings settings;
  settings.registrar.keepalive_interval_ms = 0;
  World w(settings);
  const auto a = w.up("10.0.0.1");
  PoolElement mortal = pe(1);
  mortal.registration_life = 2;
  w.enroll(a, mortal);
  w.enroll(a, pe(2));
  w.run(2 * kS);
  w.down(a);
  ASSERT_EQ(w.journal.size(), 4u);
  for (const size_t i : {2u, 3u}) {
    EXPECT_EQ(w.journal[i].change, Change::remove);
    EXPECT_EQ(w.journal[i].sequence, 0u);
    EXPECT_EQ(w.journal[i].pe.element.id, i - 1);
  }
  EXPECT_EQ(w.restarted().element_count(), 0u);
}

void expect_same_pools(const World& w, const registrar::Registrar& next) {
  for (const char* handle : {"A", "B"}) {
    const auto before = w.registrar.elements(handle, w.now);
    const auto after = next.elements(handle, w.now);
    ASSERT_EQ(after.size(), before.size());
    for (size_t i = 0; i < after.size(); ++i) {
      EXPECT_EQ(after[i].element, before[i].element);
      EXPECT_EQ(after[i].registration, before[i].registration);
    }
  }
}

TEST(RegistrarJournal, a_snapshot_restores_what_the_journal_did) {
  World w;
  const auto a = w.up("10.0.0.1");
  for (PeId id = 1; id <= 20; ++id) w.enroll(a, pe(id), id % 2 != 0 ? "A" : "B");
  w.send(a, asap::Message(asap::Deregistration{"A", 1}));
  registrar::Registrar next(w.settings, kOurId, 9, w.now);
  size_t answers = 0;
  w.registrar.snapshot([&](const JournalRecord& record) {
    answers += record.sequence != 0;
    next.restore(record);
  });
  EXPECT_EQ(answers, 21u);
  expect_same_pools(w, next);
}

TEST(RegistrarJournal, a_snapshot_in_slices_and_the_changes_between_them_restore_the_present_state) {
  World w;
  const auto a = w.up("10.0.0.1");
  for (PeId id = 1; id <= 40; ++id) w.enroll(a, pe(id), id % 2 != 0 ? "A" : "B");
  registrar::Registrar next(w.settings, kOurId, 9, w.now);
  registrar::SnapshotCursor cursor;
  size_t slices = 0, recorded = w.journal.size();
  const auto take = [&](const JournalRecord& record) { next.restore(record); };
  for (bool more = true; more; ++slices) {
    more = w.registrar.snapshot(cursor, 3, take);
    // PEs that the slices have passed or not come to yet leave, come and register again.
    const auto n = static_cast<PeId>(slices);
    if (n < 10) {
      w.send(a, asap::Message(asap::Deregistration{"A", 2 * n + 1}));
      w.enroll(a, pe(100 + n), n % 2 != 0 ? "A" : "B");
      w.enroll(a, pe(2 * n + 2), "B");
    }
    for (; recorded < w.journal.size(); ++recorded) next.restore(w.journal[recorded]);
  }
  EXPECT_GE(slices, 13u);
  expect_same_pools(w, next);
}

// ---- subscriptions (RFC 5352 §2.2.5): for the life of the association, also over ours

class JournaledSubscription : public testing::Test {
 protected:
  JournaledSubscription() : server(w.up("10.0.0.1")), user(w.up("10.0.0.9")) {
    w.enroll(server, pe(1));
    subscribe();
  }
  void subscribe() { w.send(user, asap::Message(asap::HandleResolution{"EchoPool", true, {}})); }
  // The next process, with the associations that live.
  void restart(size_t living) {
    w.registrar = w.restarted();
    w.replay(std::span(w.ups).first(living));
  }
  std::vector<asap::HandleResolutionResponse> updates() {
    w.run(kS);
    return w.sent<asap::HandleResolutionResponse>();
  }

  World w;
  const AssociationName server, user;
};

TEST_F(JournaledSubscription, is_journaled_once_before_its_answer) {
  subscribe();
  EXPECT_THAT(w.all<JournalPut>(), IsEmpty());
  ASSERT_EQ(w.journal.size(), 2u);
  EXPECT_EQ(w.journal[1].change, Change::subscribe);
  EXPECT_EQ(w.journal[1].association, user);
  EXPECT_EQ(w.journal[1].pe.handle, "EchoPool");
}

TEST_F(JournaledSubscription, goes_on_after_a_restart_and_what_may_have_been_missed_is_told_once) {
  restart(2);
  EXPECT_EQ(updates().size(), 1u) << "a change of the last moment may not have left";
  EXPECT_EQ(updates().size(), 0u);
  w.enroll(server, pe(2));
  const auto told = updates();
  ASSERT_EQ(told.size(), 1u);
  EXPECT_THAT(World::ids(told[0]), ElementsAre(1, 2));
}

TEST_F(JournaledSubscription, ends_with_its_association_while_no_registrar_runs) {
  restart(1);
  w.enroll(server, pe(2));
  EXPECT_THAT(updates(), IsEmpty());
  // Nor does a later association of another epoch inherit it.
  restart(1);
  EXPECT_THAT(updates(), IsEmpty());
}

TEST_F(JournaledSubscription, ends_with_another_data_plane) {
  w.registrar = w.restarted();
  w.welcome.epoch = 2;
  w.registrar.channel_up(w.now, w.welcome);
  w.registrar.association_up(w.now, w.ups[1]);
  w.registrar.replay_done(w.now);
  w.collect();
  EXPECT_THAT(updates(), IsEmpty());
}

TEST_F(JournaledSubscription, ASAP_2_2_5_2_that_ended_with_its_pool_does_not_come_back_with_it) {
  w.send(server, asap::Message(asap::Deregistration{"EchoPool", 1}));
  EXPECT_EQ(updates().size(), 1u) << "the last";
  w.enroll(server, pe(3));
  restart(2);
  EXPECT_THAT(updates(), IsEmpty());
}

TEST_F(JournaledSubscription, is_in_a_snapshot_also_before_its_association_is_back) {
  for (int i = 0; i < 2; ++i) {
    std::vector<JournalRecord> kept;
    w.registrar.snapshot([&](const JournalRecord& record) { kept.push_back(record); });
    w.journal = kept;
    w.registrar = w.restarted();
  }
  restart(2);
  EXPECT_EQ(updates().size(), 1u);
}

TEST(RegistrarJournal, answers_are_kept_no_longer_than_a_replay_can_ask_for_them) {
  World w;
  const auto a = w.up("10.0.0.1");
  for (int i = 0; i < 1000; ++i) w.enroll(a, pe(1));
  size_t answers = 0;
  w.registrar.snapshot([&](const JournalRecord& record) { answers += record.sequence != 0; });
  EXPECT_EQ(answers, channel::kMaxUnacknowledged);
}

}  // namespace
}  // namespace poolgate::test
