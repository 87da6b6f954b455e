// SPDX-License-Identifier: BSD-3-Clause
// DESIGN.md §2: nothing that the data plane accepted is lost or done twice, whenever a registrar dies.
#include <deque>
#include <map>
#include <random>
#include <set>

#include "tests/unit/channel_test_ends.h"

namespace poolgate::channel_test {
namespace {

using Lines = std::vector<std::string>;

TEST(ChannelReplay, live_associations_then_unacknowledged_messages_in_order_then_done_then_new_events) {
  DataPlaneEnd plane;
  plane.up(1);
  plane.up(2);
  plane.message(2, "a");
  plane.message(1, "b");
  plane.message(2, "c");
  BareRegistrar registrar(plane.options.path, 1);
  plane.run();
  plane.message(1, "d");
  plane.run();
  EXPECT_EQ(brief(registrar.receive_all()),
            (Lines{"Welcome", "up 1*", "up 2*", "message 2/1 a*", "message 1/1 b*", "message 2/2 c*", "done",
                   "message 1/2 d"}));
}

TEST(ChannelReplay, a_dead_registrars_unacknowledged_messages_go_to_the_next_one) {
  DataPlaneEnd plane;
  BareRegistrar first(plane.options.path, 1);
  plane.run();
  plane.up(1);
  for (const char* text : {"a", "b", "c"}) plane.message(1, text);
  plane.run();
  first.send(plane.answer(1, 1));
  first.send(plane.ack(1, 1));
  first.die();
  plane.run();
  EXPECT_FALSE(plane.server->registrar_connected());
  EXPECT_EQ(plane.handler.losses.size(), 1u);
  plane.message(1, "d");
  BareRegistrar second(plane.options.path, 2);
  plane.run();
  EXPECT_EQ(brief(second.receive_all()),
            (Lines{"Welcome", "up 1*", "message 1/2 b*", "message 1/3 c*", "message 1/4 d*", "done"}));
  EXPECT_EQ(plane.server->counters().messages_replayed, 3u);
}

TEST(ChannelReplay, an_acknowledgement_covers_all_up_to_it) {
  DataPlaneEnd plane;
  BareRegistrar registrar(plane.options.path, 1);
  plane.up(1);
  for (int i = 0; i < 5; ++i) plane.message(1, "x");
  plane.run();
  registrar.send(plane.ack(1, 4));
  plane.run();
  EXPECT_EQ(plane.server->unacknowledged(), 1u);
}

TEST(ChannelReplay, a_second_answer_to_a_sequence_is_dropped_and_counted) {
  DataPlaneEnd plane;
  BareRegistrar registrar(plane.options.path, 1);
  plane.up(1);
  plane.message(1, "question");
  plane.run();
  registrar.send(plane.answer(1, 1, "first"));
  registrar.send(plane.answer(1, 1, "second"));
  plane.run();
  ASSERT_EQ(plane.handler.messages.size(), 1u);
  EXPECT_EQ(plane.handler.messages[0].payload, "first");
  EXPECT_EQ(plane.server->counters().answers_second, 1u);
}

TEST(ChannelReplay, an_answer_after_the_acknowledgement_is_a_second_one) {
  DataPlaneEnd plane;
  BareRegistrar registrar(plane.options.path, 1);
  plane.up(1);
  plane.message(1, "question");
  plane.run();
  registrar.send(plane.ack(1, 1));
  registrar.send(plane.answer(1, 1));
  plane.run();
  EXPECT_TRUE(plane.handler.messages.empty());
  EXPECT_EQ(plane.server->counters().answers_second, 1u);
}

TEST(ChannelReplay, an_answer_repeated_after_a_crash_between_answer_and_acknowledgement_is_dropped) {
  DataPlaneEnd plane;
  BareRegistrar first(plane.options.path, 1);
  plane.up(1);
  plane.message(1, "question");
  plane.run();
  first.send(plane.answer(1, 1));
  first.die();
  plane.run();
  BareRegistrar second(plane.options.path, 2);
  plane.run();
  EXPECT_EQ(brief(second.receive_all()), (Lines{"Welcome", "up 1*", "message 1/1 question*", "done"}));
  second.send(plane.answer(1, 1));
  second.send(plane.ack(1, 1));
  plane.run();
  EXPECT_EQ(plane.handler.answers_to(1, 1), 1u);
  EXPECT_EQ(plane.server->counters().answers_second, 1u);
  EXPECT_EQ(plane.server->unacknowledged(), 0u);
}

TEST(ChannelReplay, an_answer_repeated_after_a_crash_before_it_was_sent_passes) {
  DataPlaneEnd plane;
  BareRegistrar first(plane.options.path, 1);
  plane.up(1);
  plane.message(1, "question");
  plane.run();
  first.die();
  BareRegistrar second(plane.options.path, 2);
  plane.run();
  second.send(plane.answer(1, 1));
  plane.run();
  EXPECT_EQ(plane.handler.answers_to(1, 1), 1u);
  EXPECT_EQ(plane.server->counters().answers_second, 0u);
}

TEST(ChannelReplay, an_answer_to_a_question_from_before_the_peers_restart_is_dropped) {
  DataPlaneEnd plane;
  BareRegistrar registrar(plane.options.path, 1);
  plane.run();
  plane.up(1);
  plane.message(1, "old life");
  plane.up(1, true);
  plane.message(1, "new life");
  plane.run();
  EXPECT_EQ(brief(registrar.receive_all()),
            (Lines{"Welcome", "done", "up 1", "message 1/1 old life", "up 1 again", "message 1/2 new life"}));
  registrar.send(plane.answer(1, 1));
  registrar.send(plane.answer(1, 2));
  plane.run();
  EXPECT_EQ(plane.handler.answers_to(1, 1), 0u);
  EXPECT_EQ(plane.handler.answers_to(1, 2), 1u);
  EXPECT_EQ(plane.server->counters().answers_stale, 1u);
}

TEST(ChannelReplay, a_restart_is_replayed_between_the_lives_until_a_registrar_knows_it) {
  DataPlaneEnd plane;
  plane.up(1);
  plane.message(1, "old life");
  plane.up(1, true);
  plane.message(1, "new life");
  {
    BareRegistrar first(plane.options.path, 1);
    plane.run();
    EXPECT_EQ(brief(first.receive_all()), (Lines{"Welcome", "up 1*", "message 1/1 old life*", "up 1 again*",
                                                 "message 1/2 new life*", "done"}));
    first.send(plane.ack(1, 1));
  }
  plane.run();
  BareRegistrar second(plane.options.path, 2);
  plane.run();
  EXPECT_EQ(brief(second.receive_all()), (Lines{"Welcome", "up 1*", "message 1/2 new life*", "done"}));
}

TEST(ChannelReplay, an_ended_associations_messages_are_replayed_and_its_end_before_done) {
  DataPlaneEnd plane;
  plane.up(1);
  plane.message(1, "deregistration");
  plane.down(1);
  plane.up(2);
  plane.down(2);  // nothing unacknowledged: no registrar needs to know that it ever was
  BareRegistrar registrar(plane.options.path, 1);
  plane.run();
  EXPECT_EQ(brief(registrar.receive_all()),
            (Lines{"Welcome", "up 1*", "message 1/1 deregistration*", "down 1", "done"}));
  EXPECT_EQ(plane.server->associations(), 0u);
  registrar.send(plane.answer(1, 1));
  registrar.send(plane.ack(1, 1));
  plane.run();
  EXPECT_TRUE(plane.handler.messages.empty()) << "nobody is there to be answered";
  EXPECT_EQ(plane.server->counters().sends_unknown, 1u);
  EXPECT_EQ(plane.server->unacknowledged(), 0u);
}

TEST(ChannelReplay, path_changes_are_in_the_replayed_address_list) {
  DataPlaneEnd plane;
  const auto one = *rserpool::IpAddress::parse("192.0.2.1"), two = *rserpool::IpAddress::parse("192.0.2.2");
  plane.up(1);
  plane.server->submit(PathChange{{0, 0, 1}, two, PathState::added});
  plane.server->submit(PathChange{{0, 0, 1}, two, PathState::primary});
  plane.server->submit(PathChange{{0, 0, 1}, one, PathState::removed});
  BareRegistrar registrar(plane.options.path, 1);
  plane.run();
  const auto all = registrar.receive_all();
  ASSERT_EQ(all.size(), 3u);
  EXPECT_EQ(std::get<AssociationUp>(all[1]).peer_addresses, std::vector{two});
}

TEST(ChannelReplay, answers_and_acknowledgements_of_another_epoch_touch_nothing) {
  DataPlaneEnd plane;
  BareRegistrar registrar(plane.options.path, 1);
  plane.up(1);
  plane.message(1, "question");
  plane.run();
  MessageDown answer = plane.answer(1, 1);
  Acknowledge ack = plane.ack(1, 1);
  answer.association.epoch ^= 1;
  ack.association.epoch ^= 1;
  registrar.send(answer);
  registrar.send(ack);
  plane.run();
  EXPECT_TRUE(plane.handler.messages.empty());
  EXPECT_EQ(plane.server->counters().sends_unknown, 1u);
  EXPECT_EQ(plane.server->counters().acks_unknown, 1u);
  EXPECT_EQ(plane.server->unacknowledged(), 1u);
}

TEST(ChannelReplay, what_a_replaced_registrar_had_sent_is_read_before_its_successor_is_served) {
  DataPlaneEnd plane;
  BareRegistrar first(plane.options.path, 1);
  plane.up(1);
  plane.message(1, "a");
  plane.message(1, "b");
  plane.run();
  BareRegistrar second(plane.options.path, 2);
  first.send(plane.answer(1, 1));
  first.send(plane.ack(1, 1));  // in the socket when the second says Hello
  plane.run();
  EXPECT_EQ(plane.handler.answers_to(1, 1), 1u);
  EXPECT_EQ(brief(second.receive_all()), (Lines{"Welcome", "up 1*", "message 1/2 b*", "done"}));
  EXPECT_FALSE(first.send(plane.ack(1, 2))) << "a closed end must not swallow acknowledgements";
}

// A registrar as DESIGN.md wants it, whose memory is its journal; it may die between any two packets it
// sends.
class ModelRegistrar {
 public:
  struct Journal {
    std::set<std::pair<uint32_t, uint64_t>> done;  // each change that was made
    unsigned changes = 0;
  };
  ModelRegistrar(DataPlaneEnd& plane, Journal& journal, uint64_t incarnation)
      : plane_(plane), journal_(journal), socket_(plane.options.path, incarnation) {}

  // Reads one packet, if any is there, and queues what is to be sent.
  void read() {
    const auto up = socket_.receive();
    if (!up) return;
    const auto* m = std::get_if<MessageUp>(&*up);
    if (!m) return;
    if (journal_.done.emplace(m->association.id, m->sequence).second) ++journal_.changes;
    to_send_.push_back(plane_.answer(m->association.id, m->sequence));
    to_send_.push_back(plane_.ack(m->association.id, m->sequence));
  }
  void write() {
    if (to_send_.empty()) return;
    ASSERT_TRUE(socket_.send(to_send_.front()));
    to_send_.pop_front();
  }

 private:
  DataPlaneEnd& plane_;
  Journal& journal_;
  BareRegistrar socket_;
  std::deque<Down> to_send_;
};

TEST(ChannelReplay, whenever_registrars_die_each_message_is_done_once_and_answered_once) {
  for (unsigned seed = 1; seed <= 200; ++seed) {
    std::mt19937 random(seed);
    DataPlaneEnd plane;
    ModelRegistrar::Journal journal;
    std::map<uint32_t, uint64_t> submitted{{1, 0}, {2, 0}, {3, 0}};
    for (const auto& [id, n] : submitted) plane.up(id);
    uint64_t incarnation = 1;
    auto registrar = std::make_unique<ModelRegistrar>(plane, journal, incarnation);
    const auto step = [&](unsigned what) {
      if (what == 12 || what == 13) plane.server->run_once();  // keeps the listener's backlog from filling
      switch (what) {
        case 0:
        case 1:
        case 2: {
          auto at = std::next(submitted.begin(), random() % submitted.size());
          plane.message(at->first, std::to_string(++at->second));
          break;
        }
        case 3:
        case 4:
        case 5:
        case 6:
          registrar->read();
          break;
        case 7:
        case 8:
        case 9:
        case 10:
        case 11:
          registrar->write();
          break;
        case 12:
          registrar = std::make_unique<ModelRegistrar>(plane, journal, ++incarnation);
          break;  // both live a moment
        case 13:
          registrar.reset();
          registrar = std::make_unique<ModelRegistrar>(plane, journal, ++incarnation);
          break;
        default:
          plane.server->run_once();
          break;
      }
    };
    for (unsigned i = 0; i < 400; ++i) step(random() % 20);
    // No more deaths: all must come to rest.
    for (unsigned i = 0; i < 2000 && (plane.server->unacknowledged() > 0 || i == 0); ++i) {
      plane.run();
      registrar->read();
      registrar->write();
    }
    unsigned messages = 0;
    for (const auto& [id, n] : submitted) {
      messages += n;
      for (uint64_t sequence = 1; sequence <= n; ++sequence)
        ASSERT_EQ(plane.handler.answers_to(id, sequence), 1u)
            << "seed " << seed << ": " << id << "/" << sequence;
    }
    ASSERT_EQ(journal.changes, messages) << "seed " << seed;
    ASSERT_EQ(plane.server->unacknowledged(), 0u) << "seed " << seed;
  }
}

TEST(ChannelReplay, an_association_is_settled_once_when_the_last_of_its_messages_is_acknowledged) {
  DataPlaneEnd plane;
  BareRegistrar registrar(plane.options.path, 1);
  plane.up(1);
  plane.up(2);
  plane.message(1, "a");
  plane.message(1, "b");
  plane.message(2, "c");
  plane.run();
  registrar.send(plane.ack(1, 1));
  plane.run();
  EXPECT_TRUE(plane.handler.settlements.empty()) << "b is not acknowledged";
  registrar.send(plane.answer(1, 2, "answer to b"));
  registrar.send(plane.ack(1, 2));
  registrar.send(plane.ack(1, 2));
  plane.run();
  EXPECT_EQ(plane.handler.settlements, std::vector<uint32_t>{1});
  EXPECT_EQ(plane.handler.answers_to(1, 2), 1u) << "the answer was handed over before";
  plane.message(1, "d");
  MessageDown both = plane.answer(2, 1, "answer to c");
  both.acknowledges = true;
  plane.handler.room = false;
  registrar.send(both);
  plane.run();
  EXPECT_EQ(plane.handler.settlements, std::vector<uint32_t>{1}) << "nobody has taken the answer yet";
  plane.handler.room = true;
  plane.run();
  EXPECT_EQ(plane.handler.settlements, (std::vector<uint32_t>{1, 2}));
  EXPECT_EQ(plane.handler.answers_to(2, 1), 1u);
  // What cannot pass the channel is nobody's to acknowledge.
  plane.message(2, std::string(kMaxChannelPacket, 'x'));
  EXPECT_EQ(plane.handler.settlements, (std::vector<uint32_t>{1, 2, 2}));
}

}  // namespace
}  // namespace poolgate::channel_test
