// SPDX-License-Identifier: BSD-3-Clause
// A server comes into the scope: mentor, list, table, service (RFC 5353 §3.2).
#include <gmock/gmock.h>

#include "tests/unit/registrar_scope.h"

namespace poolgate::test {
namespace {

using testing::ElementsAre;
using testing::IsEmpty;
using testing::SizeIs;

TEST(EnrpJoining, ENRP_3_2_2_1_1_without_peers_a_server_is_alone_and_serves_at_once) {
  Scope s;
  s.start(1);
  EXPECT_EQ(s[1].scope().state, "serving");
  s.enroll(1, 7);
  EXPECT_THAT(s.sent<asap::RegistrationResponse>(1), SizeIs(1));
}

TEST(EnrpJoining, ENRP_3_2_3_the_mentors_whole_table_is_downloaded_with_its_owners) {
  Scope s;
  s.start(1);
  s.start(2, {1});
  s.run(kS);
  for (PeId id = 1; id <= 1000; ++id) s.enroll(1 + id % 2, id, "Pool" + std::to_string(id % 3));
  s.start(3, {1});
  s.run(kS);
  EXPECT_EQ(s[3].scope().state, "serving");
  EXPECT_EQ(s[3].element_count(), 1000u);
  for (const char* pool : {"Pool0", "Pool1", "Pool2"}) EXPECT_EQ(s.homes(3, pool), s.homes(1, pool));
  EXPECT_GT(s[3].counters().handle_tables_received, 3u) << "in chunks";
  const auto requests = s.sent<enrp::HandleTableRequest>(3);
  ASSERT_FALSE(requests.empty());
  EXPECT_FALSE(requests[0].own_only) << "ENRP_3_2_3_1: W=0";
  EXPECT_EQ(s[3].counters().resyncs, 0u) << "what the mentor gave equals what the owners say";
}

TEST(EnrpJoining, ENRP_3_2_2_2_3_the_servers_of_the_list_become_peers_and_get_our_presence) {
  Scope s;
  s.start(1);
  s.start(2, {1});
  s.run(kS);
  s.start(3, {1});
  s.run(kS);
  EXPECT_THAT(s[3].peers(s.now), SizeIs(2));
  EXPECT_THAT(s[2].peers(s.now), SizeIs(2)) << "it was asked for its presence by the new one";
  for (const auto& peer : s[3].peers(s.now)) EXPECT_TRUE(peer.connected && peer.heard);
}

TEST(EnrpJoining, ENRP_3_2_3_5_ASAP_is_answered_when_the_table_is_there_and_not_before) {
  Scope s;
  s.start(1);
  s.enroll(1, 1);
  // It has the association and gets no answer.
  registrar::Settings slow = Scope::fast();
  slow.registrar.max_time_no_response_ms = 2000;
  s.kill_registrar(1);
  s.start(2, {1}, slow);
  s.run(kS);
  s.enroll(2, 7);
  EXPECT_THAT(s.sent<asap::RegistrationResponse>(2), IsEmpty());
  s.restart(1);
  s.run(kS / 10);
  EXPECT_THAT(s.sent<asap::RegistrationResponse>(2), SizeIs(1)) << "once, and it was not lost";
  EXPECT_EQ(s.homes(2).size(), 2u);
}

// A World in the place of the joining server, and scripted mentors.
struct Joining {
  explicit Joining(size_t mentors, uint32_t max_elements = 1'000'000) : w(settings(mentors, max_elements)) {
    for (const auto& connect : w.all<channel::Connect>()) {
      names.push_back(w.reached(connect));
      keep();
    }
  }
  static registrar::Settings settings(size_t mentors, uint32_t max_elements = 1'000'000) {
    registrar::Settings s;
    s.registrar.max_elements = max_elements;
    for (size_t i = 0; i < mentors; ++i)
      s.registrar.peers.push_back({{address(("10.0.0." + std::to_string(i + 2)).c_str())}, 9901, 0});
    return s;
  }
  void keep() {
    for (const auto& down : w.sent()) log.push_back(down);
  }
  void run(Micros time) {
    w.run(time);
    keep();
  }
  void send(size_t mentor, const enrp::Message& message) {
    w.send(names.at(mentor), message);
    keep();
  }
  // What the mentor was sent since the last call.
  template <class T>
  size_t asked(size_t mentor) {
    size_t n = 0;
    for (const auto& down : log) {
      const auto outcome = parse_enrp(down.payload);
      n +=
          down.association == names.at(mentor) && outcome.ok() && std::holds_alternative<T>(outcome->message);
    }
    return n;
  }
  std::string state() { return w.registrar.scope().state; }
  World w;
  std::vector<AssociationName> names;
  std::vector<channel::MessageDown> log;
};

TEST(EnrpJoining, ENRP_3_2_2_2_1_a_mute_mentor_is_given_up_after_5_s_for_the_backup) {
  Joining j(2);
  EXPECT_EQ(j.asked<enrp::ListRequest>(0), 1u);
  EXPECT_EQ(j.asked<enrp::ListRequest>(1), 0u);
  j.run(5 * kS - 1);
  EXPECT_EQ(j.asked<enrp::ListRequest>(1), 0u);
  j.run(1);
  EXPECT_EQ(j.asked<enrp::ListRequest>(1), 1u);
}

TEST(EnrpJoining, ENRP_3_2_3_7_a_download_that_stops_is_begun_anew_with_the_backup) {
  Joining j(2);
  j.send(0, enrp::ListResponse{0x10, kOurId, false, {}});
  EXPECT_EQ(j.asked<enrp::HandleTableRequest>(0), 1u);
  j.send(0, enrp::HandleTableResponse{0x10, kOurId, false, true, {}});
  EXPECT_EQ(j.asked<enrp::HandleTableRequest>(0), 2u) << "M=1, of an empty chunk";
  j.run(5 * kS);
  EXPECT_EQ(j.asked<enrp::ListRequest>(1), 1u);
  j.send(1, enrp::ListResponse{0x11, kOurId, false, {}});
  j.send(1, enrp::HandleTableResponse{0x11, kOurId, false, false, {}});
  EXPECT_EQ(j.state(), "serving");
}

TEST(EnrpJoining, ENRP_3_2_2_2_5_a_mentor_that_rejects_is_asked_again_after_some_seconds) {
  Joining j(1);
  j.send(0, enrp::ListResponse{0x10, kOurId, true, {}});
  EXPECT_EQ(j.asked<enrp::ListRequest>(0), 1u);
  j.run(2 * kS);
  EXPECT_EQ(j.asked<enrp::ListRequest>(0), 2u);
  j.send(0, enrp::ListResponse{0x10, kOurId, false, {}});
  j.send(0, enrp::HandleTableResponse{0x10, kOurId, true, false, {}});
  EXPECT_NE(j.state(), "serving") << "ENRP_3_2_3_6: the table was rejected";
  j.run(2 * kS);
  EXPECT_EQ(j.asked<enrp::ListRequest>(0), 3u);
}

TEST(EnrpJoining, ENRP_2_6_1_and_2_3_1_while_it_initializes_it_rejects) {
  Joining j(1);
  j.log.clear();
  j.send(0, enrp::ListRequest{0x10, 0});
  j.send(0, enrp::HandleTableRequest{0x10, 0, false});
  size_t rejected = 0;
  for (const auto& down : j.log) {
    const auto outcome = parse_enrp(down.payload);
    if (const auto* list = std::get_if<enrp::ListResponse>(&outcome->message))
      rejected += list->rejected && list->servers.empty();
    if (const auto* table = std::get_if<enrp::HandleTableResponse>(&outcome->message))
      rejected += table->rejected && table->entries.empty();
  }
  EXPECT_EQ(rejected, 2u);
}

TEST(EnrpJoining, a_server_whose_mentors_cannot_be_reached_begins_alone_after_5_s) {
  World w(Joining::settings(1));
  w.run(5 * kS - 1);
  EXPECT_NE(w.registrar.scope().state, "serving");
  w.run(1);
  EXPECT_EQ(w.registrar.scope().state, "serving");
}

TEST(EnrpJoining, two_that_begin_at_once_with_each_other_for_mentor_do_not_wait_for_ever) {
  Scope s;
  registrar::Settings slow = Scope::fast();
  slow.registrar.peer_retry_ms = 10;
  s.start(1, {2}, slow);
  s.start(2, {1}, slow);
  s.run(3 * kS);
  EXPECT_EQ(s[1].scope().state, "serving");
  EXPECT_EQ(s[2].scope().state, "serving");
}

TEST(EnrpJoining, ENRP_3_2_3_7_a_mentor_whose_table_never_ends_is_given_up) {
  PoolElement element = pe_of(0x10, 1);
  const std::vector<enrp::TableEntry> nothing, the_same = {{"EchoPool", {element}}};
  for (const auto& always : {nothing, the_same}) {
    Joining j(1, 1000);
    j.send(0, enrp::ListResponse{0x10, kOurId, false, {}});
    size_t chunks = 0;
    for (; j.state() != "serving" && chunks < 10'000; ++chunks)
      j.send(0, enrp::HandleTableResponse{0x10, kOurId, false, true, always});
    EXPECT_EQ(j.state(), "serving");
    EXPECT_GT(chunks, 1000u) << "of 1,000 elements that may be there, each may come in a chunk of its own";
    EXPECT_EQ(j.w.registrar.counters().downloads_failed, 1u);
  }
}

TEST(EnrpJoining, a_table_of_one_PE_a_chunk_is_taken_to_its_end) {
  Joining j(1, 5000);
  j.send(0, enrp::ListResponse{0x10, kOurId, false, {}});
  PoolElement element = pe(0);
  element.home = 0x10;
  for (element.id = 1; element.id <= 5000; ++element.id)
    j.send(0, enrp::HandleTableResponse{
                  0x10, kOurId, false, element.id < 5000, {enrp::TableEntry{"EchoPool", {element}}}});
  EXPECT_EQ(j.state(), "serving");
  EXPECT_EQ(j.w.registrar.element_count(), 5000u);
  EXPECT_EQ(j.w.registrar.counters().downloads_failed, 0u);
}

TEST(EnrpJoining, what_changes_during_the_download_is_neither_lost_nor_twice) {
  Joining j(1);
  j.send(0, enrp::ListResponse{0x10, kOurId, false, {}});
  // An update overtakes the chunk that has the PE, and one removes what a chunk brought.
  PoolElement element = pe_of(0x10, 1);
  j.send(0, enrp::HandleTableResponse{0x10, kOurId, false, true, {{"EchoPool", {element}}}});
  j.send(0, enrp::HandleUpdate{0x10, 0, false, enrp::UpdateAction::del_pe, "EchoPool", element});
  element.id = 2;
  j.send(0, enrp::HandleUpdate{0x10, 0, false, enrp::UpdateAction::add_pe, "EchoPool", element});
  j.send(0, enrp::HandleTableResponse{0x10, kOurId, false, false, {{"EchoPool", {element}}}});
  EXPECT_THAT(j.w.there(), ElementsAre(2));
}

}  // namespace
}  // namespace poolgate::test
