// SPDX-License-Identifier: BSD-3-Clause
// Two servers that connect to each other at once have two associations, of which one is closed (unless SCTP
// made one of them): what was asked over that one, and not answered, is asked over the other. Nor is an
// association that ends the end of what was asked of the server.
#include <gmock/gmock.h>

#include <functional>

#include "tests/unit/registrar_world.h"

namespace poolgate::test {
namespace {

using testing::ElementsAre;
using testing::IsEmpty;
using testing::SizeIs;

// Of the larger id: what it began is kept.
constexpr rserpool::ServerId kMentor = kOurId + 1;

registrar::Settings with_peers(std::initializer_list<const char*> ips) {
  registrar::Settings s;
  s.registrar.keepalive_interval_ms = 0;
  for (const char* ip : ips) s.registrar.peers.push_back({{address(ip)}, 9901, 0});
  return s;
}

struct Linked : testing::Test {
  AssociationName begun_by_us() { return keep(w.reached(w.all<channel::Connect>().at(0))); }
  AssociationName begun_by_it() { return keep(w.up({"10.0.0.9"}, 9901, SctpService::enrp)); }
  AssociationName keep(const AssociationName& name) {
    keep();
    return name;
  }
  void keep() {
    for (const auto& down : w.sent()) log.push_back(down);
    for (const auto& close : w.all<channel::Close>()) closed.push_back(close.association);
  }
  void send(const AssociationName& over, const enrp::Message& message) {
    w.send(over, message);
    keep();
  }
  void presence(const AssociationName& over, std::optional<uint16_t> checksum = {}) {
    send(over, enrp::Presence{.sender = kMentor, .checksum = checksum});
  }
  void list(const AssociationName& over) { send(over, enrp::ListResponse{kMentor, kOurId, false, {}}); }
  void table(const AssociationName& over, const std::vector<PeId>& ids, bool more = false) {
    enrp::HandleTableResponse table{kMentor, kOurId, false, more, {{"EchoPool", {}}}};
    for (const PeId id : ids) table.entries[0].elements.push_back(pe_of(kMentor, id));
    send(over, table);
  }
  void down(const AssociationName& name, channel::DownReason reason = channel::DownReason::closed_by_us) {
    w.down(name, reason);
    keep();
  }
  void run(Micros time) {
    w.run(time);
    keep();
  }
  // How often it was asked since the last call.
  template <class T>
  size_t asked(const AssociationName& over) {
    size_t n = 0;
    std::erase_if(log, [&](const channel::MessageDown& m) {
      const auto outcome = parse_enrp(m.payload);
      const bool it = m.association == over && outcome.ok() && std::holds_alternative<T>(outcome->message);
      n += it;
      return it;
    });
    return n;
  }
  std::string state() const { return w.registrar.scope().state; }

  World w{with_peers({"10.0.0.9"})};
  std::vector<channel::MessageDown> log;
  std::vector<AssociationName> closed;
};

// Whatever came first of the two associations, and whatever was asked over it already.
TEST_F(Linked, ENRP_3_2_2_2_a_list_that_was_asked_for_over_the_link_that_is_closed_is_asked_for_anew) {
  const AssociationName ours = begun_by_us(), theirs = begun_by_it();
  EXPECT_EQ(asked<enrp::ListRequest>(ours), 1u);
  presence(theirs);
  ASSERT_THAT(closed, ElementsAre(ours));
  EXPECT_EQ(asked<enrp::ListRequest>(theirs), 0u) << "it may answer still";
  down(ours);
  EXPECT_EQ(asked<enrp::ListRequest>(theirs), 1u) << "at once";
  list(theirs);
  table(theirs, {1, 2});
  EXPECT_EQ(state(), "serving");
  EXPECT_THAT(w.there(), ElementsAre(1, 2));
}

TEST_F(Linked, ENRP_3_2_2_2_also_if_the_other_side_closes_it) {
  const auto connect = w.all<channel::Connect>().at(0);
  const AssociationName theirs = begun_by_it();
  EXPECT_EQ(asked<enrp::ListRequest>(theirs), 1u);
  const AssociationName ours = keep(w.reached(connect));
  down(theirs, channel::DownReason::shutdown);
  EXPECT_EQ(asked<enrp::ListRequest>(ours), 1u);
}

TEST_F(Linked, ENRP_3_2_2_2_what_is_answered_before_it_closes_is_not_asked_for_twice) {
  const AssociationName ours = begun_by_us(), theirs = begun_by_it();
  presence(theirs);
  list(ours);
  EXPECT_EQ(asked<enrp::HandleTableRequest>(ours) + asked<enrp::HandleTableRequest>(theirs), 1u);
  table(ours, {1});
  EXPECT_EQ(state(), "serving");
  down(ours);
  EXPECT_EQ(asked<enrp::ListRequest>(theirs), 0u);
  EXPECT_THAT(w.there(), ElementsAre(1));
}

TEST_F(Linked, ENRP_3_2_3_3_a_download_over_the_link_that_is_closed_begins_anew_over_the_other) {
  const AssociationName ours = begun_by_us(), theirs = begun_by_it();
  list(ours);
  table(ours, {1, 2}, true);
  EXPECT_EQ(asked<enrp::HandleTableRequest>(ours), 2u);
  presence(theirs);
  ASSERT_THAT(closed, ElementsAre(ours));
  down(ours);
  EXPECT_EQ(asked<enrp::ListRequest>(theirs), 1u);
  list(theirs);
  EXPECT_EQ(asked<enrp::HandleTableRequest>(theirs), 1u);
  // It may go on where it was (conformance §12.16): what it had given last, and we did not have, comes with
  // the next one.
  table(theirs, {5, 6});
  EXPECT_NE(state(), "serving");
  table(theirs, {1, 2, 3, 4, 5, 6});
  EXPECT_EQ(state(), "serving");
  EXPECT_THAT(w.there(), SizeIs(6));
}

TEST_F(Linked, ENRP_3_2_3_3_a_download_that_goes_on_over_the_other_link_already_is_not_disturbed) {
  const AssociationName ours = begun_by_us(), theirs = begun_by_it();
  list(ours);
  presence(theirs);
  table(ours, {1}, true);
  EXPECT_EQ(asked<enrp::HandleTableRequest>(theirs), 1u);
  down(ours);
  EXPECT_EQ(asked<enrp::ListRequest>(theirs), 0u);
  table(theirs, {1, 2});
  EXPECT_EQ(state(), "serving");
  EXPECT_THAT(w.there(), ElementsAre(1, 2));
}

TEST_F(Linked, ENRP_3_2_2_2_a_mentor_whose_association_is_lost_is_asked_when_it_is_back) {
  const AssociationName first = begun_by_us();
  list(first);
  down(first, channel::DownReason::lost);
  EXPECT_NE(state(), "serving");
  for (int i = 0; i < 30 && w.all<channel::Connect>().empty(); ++i) run(100 * kMs);
  const AssociationName again = begun_by_us();
  EXPECT_EQ(asked<enrp::ListRequest>(again), 1u);
  list(again);
  table(again, {1});
  table(again, {1});
  EXPECT_EQ(state(), "serving");
  EXPECT_THAT(w.there(), ElementsAre(1));
}

TEST_F(Linked, ENRP_3_2_2_2_so_is_one_that_restarts) {
  const AssociationName name = begun_by_us();
  EXPECT_EQ(asked<enrp::ListRequest>(name), 1u);
  channel::AssociationUp up = w.ups.back();
  up.request = 0;
  up.restarted = true;
  w.registrar.association_up(w.now, up);
  w.collect();
  keep();
  EXPECT_EQ(asked<enrp::ListRequest>(name), 1u);
  list(name);
  table(name, {1});
  EXPECT_EQ(state(), "serving");
  EXPECT_THAT(w.there(), ElementsAre(1));
}

TEST_F(Linked, ENRP_3_2_2_2_one_that_does_not_come_back_is_not_waited_for_longer_than_for_an_answer) {
  down(begun_by_us(), channel::DownReason::lost);
  run(5 * kS - 1);
  EXPECT_NE(state(), "serving");
  run(1);
  EXPECT_EQ(state(), "serving");
}

TEST_F(Linked, ENRP_3_2_2_2_one_that_comes_and_goes_is_not_waited_for_for_ever) {
  for (int i = 0; i < 20 && state() != "serving"; ++i) {
    if (!w.all<channel::Connect>().empty()) down(begun_by_us(), channel::DownReason::lost);
    for (int j = 0; j < 40 && w.all<channel::Connect>().empty() && state() != "serving"; ++j) run(100 * kMs);
  }
  EXPECT_EQ(state(), "serving");
}

TEST_F(Linked, ENRP_3_4_1_of_two_links_that_a_registrar_left_to_its_successor_one_is_closed) {
  const AssociationName ours = begun_by_us();
  begun_by_it();
  World next(with_peers({"10.0.0.9"}));
  next.replay(w.ups);
  const AssociationName theirs = w.ups.back().association;
  next.send(ours, enrp::Message(enrp::Presence{.sender = kMentor}));
  EXPECT_THAT(next.all<channel::Close>(), IsEmpty());
  next.send(theirs, enrp::Message(enrp::Presence{.sender = kMentor}));
  const auto closed_now = next.all<channel::Close>();
  ASSERT_THAT(closed_now, SizeIs(1));
  EXPECT_EQ(closed_now[0].association, ours);
}

// Its state directory was lost, say, and its configuration here is of before.
TEST(EnrpLinks, ENRP_3_2_2_1_a_mentor_of_another_id_than_its_configuration_says_is_taken_for_what_it_says) {
  auto settings = with_peers({"10.0.0.9"});
  settings.registrar.peers[0].server_id = kMentor + 5;
  World w(settings);
  const auto mentor = w.reached(w.all<channel::Connect>().at(0));
  const auto requests = w.sent<enrp::ListRequest>();
  ASSERT_THAT(requests, SizeIs(1));
  EXPECT_EQ(requests[0].receiver, 0u) << "else it would not take this for its own";
  w.send(mentor, enrp::Message(enrp::ListResponse{kMentor, kOurId, false, {}}));
  ASSERT_THAT(w.sent<enrp::HandleTableRequest>(), SizeIs(1));
  w.send(mentor, enrp::Message(enrp::HandleTableResponse{
                     kMentor, kOurId, false, false, {{"EchoPool", {pe_of(kMentor, 1)}}}}));
  EXPECT_EQ(w.registrar.scope().state, "serving");
  EXPECT_THAT(w.there(), ElementsAre(1));
  const auto peers = w.registrar.peers(w.now);
  ASSERT_THAT(peers, SizeIs(1));
  EXPECT_EQ(peers[0].id, kMentor);
  EXPECT_TRUE(peers[0].configured);
  EXPECT_TRUE(peers[0].connected);
}

// It may be dead, and its PEs are to be taken over from here.
TEST(EnrpLinks, ENRP_3_4_1_but_one_that_owns_PEs_is_not_renamed) {
  auto settings = with_peers({"10.0.0.9", "10.0.0.10"});
  settings.registrar.peers[1].server_id = kMentor + 5;
  World w(settings);
  const auto connects = w.all<channel::Connect>();
  const auto mentor = w.reached(connects.at(0));
  w.send(mentor, enrp::Message(enrp::ListResponse{kMentor, kOurId, false, {}}));
  w.send(mentor, enrp::Message(enrp::HandleTableResponse{
                     kMentor, kOurId, false, false, {{"EchoPool", {pe_of(kMentor + 5, 1)}}}}));
  const auto other = w.reached(connects.at(1));
  w.send(other, enrp::Message(enrp::Presence{.sender = kMentor + 6}));
  std::vector<rserpool::ServerId> ids;
  for (const auto& peer : w.registrar.peers(w.now)) ids.push_back(peer.id);
  EXPECT_THAT(ids, testing::UnorderedElementsAre(kMentor, kMentor + 5, kMentor + 6));
}

TEST(EnrpLinks, ENRP_3_2_3_6_a_backup_that_is_not_there_is_not_waited_for_for_ever) {
  for (const bool rejected : {true, false}) {
    World w(with_peers({"10.0.0.9", "10.0.0.10"}));
    const auto mentor = w.reached(w.all<channel::Connect>().at(0));
    w.send(mentor, enrp::Message(enrp::ListResponse{kMentor, kOurId, false, {}}));
    ASSERT_THAT(w.sent<enrp::HandleTableRequest>(), SizeIs(1));
    if (rejected) w.send(mentor, enrp::Message(enrp::HandleTableResponse{kMentor, kOurId, true, false, {}}));
    for (int i = 0; i < 60 && w.registrar.scope().state != "serving"; ++i) {
      w.run(kS);
      if (!w.sent<enrp::ListRequest>().empty())
        w.send(mentor, enrp::Message(enrp::ListResponse{kMentor, kOurId, true, {}}));
    }
    EXPECT_EQ(w.registrar.scope().state, "serving");
  }
}

TEST_F(Linked, ENRP_3_6_1_what_it_said_of_its_PEs_before_we_served_is_audited_when_we_do) {
  const AssociationName ours = begun_by_us();
  presence(ours, 0x1234);
  send(ours, enrp::ListResponse{kMentor, kOurId, true, {}});
  ASSERT_EQ(state(), "serving") << "it begins, too, and has the larger id";
  run(kMs);
  EXPECT_EQ(asked<enrp::HandleTableRequest>(ours), 1u) << "not with its next heartbeat";
}

TEST_F(Linked, ENRP_3_6_1_of_a_mentor_its_table_says_more) {
  const AssociationName ours = begun_by_us();
  presence(ours, 0x1234);
  list(ours);
  table(ours, {1});
  ASSERT_EQ(state(), "serving");
  run(kMs);
  EXPECT_EQ(asked<enrp::HandleTableRequest>(ours), 1u);
}

// RFC 5353 §3.6.3.
TEST_F(Linked, ENRP_3_6_3_an_audits_download_over_the_link_that_is_closed_is_tried_again_soon) {
  run(5 * kS);
  ASSERT_EQ(state(), "serving");
  const auto connect = w.all<channel::Connect>();
  const AssociationName theirs = begun_by_it();
  presence(theirs, 0x1234);
  EXPECT_EQ(asked<enrp::HandleTableRequest>(theirs), 1u);
  const AssociationName other = begun_by_it();
  presence(other);
  down(theirs, channel::DownReason::shutdown);
  run(2 * kS);
  EXPECT_EQ(asked<enrp::HandleTableRequest>(other), 1u);
}

TEST_F(Linked, ENRP_3_2_2_2_a_link_over_which_it_has_not_spoken_yet_is_as_good) {
  const AssociationName ours = begun_by_us(), theirs = begun_by_it();
  down(ours, channel::DownReason::lost);
  EXPECT_EQ(asked<enrp::ListRequest>(theirs), 1u) << "at once";
  run(2 * kS);
  EXPECT_THAT(w.all<channel::Connect>(), IsEmpty());
}

// A side of a network that was apart may be known to this one only.
TEST_F(Linked, ENRP_3_4_1_whom_it_knows_is_asked_anew_over_each_link) {
  run(5 * kS);
  ASSERT_EQ(state(), "serving");
  enrp::Presence presence{.sender = kMentor};
  presence.information = enrp::ServerInformation{kMentor, {.port = 9901, .addresses = {address("10.0.0.9")}}};
  const AssociationName first = begun_by_it();
  send(first, presence);
  send(first, presence);
  EXPECT_EQ(asked<enrp::ListRequest>(first), 1u);
  down(first, channel::DownReason::lost);
  const AssociationName second = begun_by_it();
  send(second, presence);
  EXPECT_EQ(asked<enrp::ListRequest>(second), 1u);
}

// draft-dreibholz-rserpool-delay.
TEST(EnrpLinks, a_distance_is_not_measured_by_an_answer_that_was_lost_with_the_link) {
  registrar::Settings settings = with_peers({"10.0.0.9"});
  settings.registrar.distance_step_ms = 10;
  World w(settings);
  const auto ours = w.reached(w.all<channel::Connect>().at(0));  // it is asked for its presence
  w.run(5 * kS);
  w.down(ours);
  const auto theirs = w.up({"10.0.0.9"}, 9901, SctpService::enrp);
  w.send(theirs, enrp::Message(enrp::Presence{.sender = kMentor}));
  PoolElement element = pe_of(kMentor, 1);
  element.policy = {.type = PolicyType::least_used_dpf, .distance = 50};
  w.send(theirs, enrp::Message(enrp::HandleUpdate{.sender = kMentor, .handle = "P", .element = element}));
  EXPECT_EQ(w.registrar.elements("P", w.now).at(0).element.policy.distance, 50u);
}

}  // namespace
}  // namespace poolgate::test
