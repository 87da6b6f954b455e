// SPDX-License-Identifier: BSD-3-Clause
// The peer list, associations to peers, presence and silence (RFC 5353 §3.4).
#include <gmock/gmock.h>

#include "tests/unit/registrar_scope.h"

namespace poolgate::test {
namespace {

using testing::ElementsAre;
using testing::IsEmpty;
using testing::SizeIs;

registrar::Settings with_peer(const char* ip = "10.0.0.9") {
  registrar::Settings settings;
  settings.registrar.peers.push_back({{address(ip)}, 9901, 0});
  return settings;
}

TEST(EnrpPeers, ENRP_3_4_1_1_a_server_that_speaks_is_on_the_list_and_gets_our_heartbeat) {
  World w;
  const auto e = w.up({"10.0.0.9"}, 9901, SctpService::enrp);
  w.send(e, enrp::Message(enrp::HandleTableRequest{0x77, 0, false}));
  EXPECT_TRUE(w.sent<enrp::Presence>().at(0).reply_required);
  w.run(31 * kS);
  ASSERT_THAT(w.sent<enrp::Presence>(), SizeIs(2)) << "ENRP_3_4_2_1: at once, and each 30 s";
  EXPECT_FALSE(w.sent<enrp::Presence>()[1].reply_required);
  EXPECT_EQ(w.sent<enrp::Presence>()[1].receiver, 0u) << "ENRP_2_1_1";
}

TEST(EnrpPeers, a_configured_peer_is_connected_to_and_asked_who_it_is) {
  World w(with_peer());
  const auto connects = w.all<channel::Connect>();
  ASSERT_THAT(connects, SizeIs(1));
  EXPECT_EQ(connects[0].service, SctpService::enrp);
  EXPECT_EQ(connects[0].peer_port, 9901);
  EXPECT_THAT(connects[0].peer_addresses, ElementsAre(address("10.0.0.9")));
}

TEST(EnrpPeers, attempts_to_connect_come_ever_slower_but_do_not_end) {
  World w(with_peer());
  std::vector<Micros> at;
  const Micros begin = w.now;
  for (auto seen = w.all<channel::Connect>(); w.now < begin + 300 * kS;
       w.run(kS / 10), seen = w.all<channel::Connect>()) {
    for (const auto& connect : seen) {
      at.push_back(w.now);
      w.registrar.association_down(w.now, {.association = {1, 0, 0},
                                           .request = connect.request,
                                           .reason = channel::DownReason::cannot_start});
    }
  }
  ASSERT_GT(at.size(), 10u);
  EXPECT_LT(at.size(), 22u);
  EXPECT_LT(at[1] - at[0], kS);
  for (size_t i = 1; i < at.size(); ++i) EXPECT_LE(at[i] - at[i - 1], 38 * kS);
  EXPECT_GE(at.back() - at[at.size() - 2], 29 * kS);
}

// Each attempt of so long fails.
void fail_connects(World& w, Micros time) {
  for (const Micros end = w.now + time; w.now < end; w.run(kS / 10)) {
    for (const auto& connect : w.all<channel::Connect>())
      w.registrar.association_down(w.now, {.association = {1, 0, 0},
                                           .request = connect.request,
                                           .reason = channel::DownReason::cannot_start});
  }
}

TEST(EnrpPeers, a_peer_that_is_elsewhere_now_does_not_wait_for_the_attempts_at_its_old_place) {
  registrar::Settings settings = with_peer();
  settings.registrar.peers[0].server_id = 0x77;
  World w(settings);
  fail_connects(w, 200 * kS);
  settings.registrar.peers[0].addresses = {address("10.0.0.10")};
  w.registrar.reload(w.now, settings);
  w.run(kS);
  const auto connects = w.all<channel::Connect>();
  ASSERT_THAT(connects, SizeIs(1));
  EXPECT_THAT(connects[0].peer_addresses, ElementsAre(address("10.0.0.10")));
}

TEST(EnrpPeers, a_second_address_has_its_turn) {
  registrar::Settings settings = with_peer();
  settings.registrar.peers[0].addresses.push_back(address("10.1.0.9"));
  World w(settings);
  const auto first = w.all<channel::Connect>().at(0);
  w.registrar.association_down(
      w.now,
      {.association = {1, 0, 0}, .request = first.request, .reason = channel::DownReason::cannot_start});
  w.run(kS);
  EXPECT_THAT(w.all<channel::Connect>().at(0).peer_addresses,
              ElementsAre(address("10.1.0.9"), address("10.0.0.9")));
}

TEST(EnrpPeers, two_that_connect_to_each_other_at_once_keep_one_association_and_know_each_other) {
  Scope s;
  s.start(1, {2});
  s.start(2, {1});
  s.run(10 * kS);
  EXPECT_EQ(s.enrp_associations(1), 1u);
  EXPECT_EQ(s.enrp_associations(2), 1u);
  for (const rserpool::ServerId id : {1u, 2u}) {
    ASSERT_THAT(s[id].peers(s.now), SizeIs(1));
    EXPECT_EQ(s[id].peers(s.now)[0].id, 3 - id);
    EXPECT_TRUE(s[id].peers(s.now)[0].connected);
  }
  const size_t connects = s.nodes.at(1).connects + s.nodes.at(2).connects;
  s.run(100 * kS);
  EXPECT_EQ(s.nodes.at(1).connects + s.nodes.at(2).connects, connects);
}

TEST(EnrpPeers, an_association_that_is_lost_is_made_again) {
  Scope s;
  s.start(1);
  s.start(2, {1});
  s.run(2 * kS);
  s.cut_pairs.insert({Scope::ip_of(1), Scope::ip_of(2)});
  s.lose_cut_associations();
  EXPECT_EQ(s.enrp_associations(1), 0u);
  s.cut_pairs.clear();
  s.run(kS);
  EXPECT_EQ(s.enrp_associations(1), 1u);
  EXPECT_THAT(s.sent<enrp::InitTakeover>(), IsEmpty());
}

enrp::Message presence_of(rserpool::ServerId id) {
  enrp::Presence p;
  p.sender = id;
  p.checksum = 0xffff;
  return p;
}

TEST(EnrpPeers, ENRP_3_4_3_2_a_silent_server_is_asked_after_61_s_and_off_the_list_5_s_later) {
  World w;
  const auto e = w.up({"10.0.0.9"}, 9901, SctpService::enrp);
  w.send(e, presence_of(0x77));
  const auto asks = [&] {
    const auto all = w.sent<enrp::Presence>();
    return std::count_if(all.begin(), all.end(), [](const auto& p) { return p.reply_required; });
  };
  w.run(61 * kS - 1);
  EXPECT_EQ(asks(), 0);
  w.run(1);
  EXPECT_EQ(asks(), 1);
  w.run(5 * kS - 1);
  EXPECT_THAT(w.registrar.peers(w.now), SizeIs(1));
  w.run(1);
  EXPECT_THAT(w.registrar.peers(w.now), IsEmpty());
}

TEST(EnrpPeers, ENRP_3_4_3_1_any_message_counts_as_heard) {
  World w;
  const auto e = w.up({"10.0.0.9"}, 9901, SctpService::enrp);
  w.send(e, presence_of(0x77));
  PoolElement element = pe(1);
  element.home = 0x77;
  for (int i = 0; i < 5; ++i) {
    w.run(50 * kS);
    for (const auto& p : w.sent<enrp::Presence>()) EXPECT_FALSE(p.reply_required);
    w.send(e, enrp::Message(enrp::HandleUpdate{.sender = 0x77, .handle = "EchoPool", .element = element}));
  }
  EXPECT_THAT(w.registrar.peers(w.now), SizeIs(1));
}

TEST(EnrpPeers, a_flood_of_server_ids_is_bounded) {
  World w;
  const auto e = w.up({"10.0.0.9"}, 9901, SctpService::enrp);
  for (rserpool::ServerId id = 1; id < 1000; ++id) w.send(e, presence_of(id));
  EXPECT_THAT(w.registrar.peers(w.now), SizeIs(w.settings.registrar.max_peers));
}

// ---- two servers of one id: a mistake of whoever copied a configuration or a state directory

std::vector<std::string> lines_of(const World& w, const std::string& part) {
  std::vector<std::string> lines;
  for (const auto& line : w.all<registrar::Log>())
    if (line.text.find(part) != std::string::npos) lines.push_back(line.text);
  return lines;
}
constexpr const char* kSameId = "two servers have this id";

TEST(EnrpPeers, two_hosts_that_speak_as_one_server_are_named_once_a_minute) {
  World w;
  const std::vector<AssociationName> hosts{w.up({"10.0.0.9"}, 9901, SctpService::enrp),
                                           w.up({"10.0.0.10"}, 9901, SctpService::enrp)};
  std::vector<std::string> lines;
  for (int second = 0; second < 61; ++second) {
    for (const auto& host : hosts) {
      w.send(host, presence_of(0x77));
      for (const auto& line : lines_of(w, kSameId)) lines.push_back(line);
    }
    if (second == 59) {
      EXPECT_THAT(lines, SizeIs(1));
    }
    w.run(kS);
  }
  ASSERT_THAT(lines, SizeIs(2));
  for (const char* part : {"0x00000077", "10.0.0.9", "10.0.0.10"})
    EXPECT_THAT(lines[0], testing::HasSubstr(part));
}

TEST(EnrpPeers, two_associations_of_one_host_are_one_server) {
  World w;
  const auto one = w.up({"10.0.0.9", "10.0.1.9"}, 9901, SctpService::enrp);
  const auto other = w.up({"10.0.1.9"}, 9901, SctpService::enrp);
  for (const auto& association : {one, other, one}) {
    w.send(association, presence_of(0x77));
    EXPECT_THAT(lines_of(w, kSameId), IsEmpty());
  }
}

TEST(EnrpPeers, a_server_that_has_moved_to_another_host_is_no_second_one) {
  World w;
  const auto before = w.up({"10.0.0.9"}, 9901, SctpService::enrp);
  w.send(before, presence_of(0x77));
  w.down(before);
  w.send(w.up({"10.0.0.10"}, 9901, SctpService::enrp), presence_of(0x77));
  EXPECT_THAT(lines_of(w, kSameId), IsEmpty());
}

TEST(EnrpPeers, another_host_that_has_our_id_is_named_once_a_minute_with_both_addresses) {
  World w;
  const auto e = w.up({"10.0.0.9"}, 9901, SctpService::enrp);
  enrp::Presence p = std::get<enrp::Presence>(presence_of(kOurId));
  p.information = enrp::ServerInformation{kOurId, {.port = 9901, .addresses = {address("10.0.0.8")}}};
  std::string announced;
  ASSERT_TRUE(enrp::encode(enrp::Message(p), announced));
  std::vector<std::string> lines;
  for (int i = 0; i < 10; ++i) {
    w.send(e, presence_of(kOurId));
    for (const auto& line : lines_of(w, kSameId)) lines.push_back(line);
    w.registrar.enrp_announce_heard(w.now, announced);
    w.collect();
    for (const auto& line : lines_of(w, kSameId)) lines.push_back(line);
  }
  ASSERT_THAT(lines, SizeIs(1));
  for (const char* part : {"0xcafe0001", "192.0.2.1", "10.0.0.9"})
    EXPECT_THAT(lines[0], testing::HasSubstr(part));
  w.run(61 * kS);
  w.registrar.enrp_announce_heard(w.now, announced);
  w.collect();
  EXPECT_THAT(lines_of(w, "10.0.0.8"), SizeIs(1));
}

TEST(EnrpPeers, our_own_announcement_that_comes_back_is_no_second_server) {
  World w;
  enrp::Presence p = std::get<enrp::Presence>(presence_of(kOurId));
  p.information = enrp::ServerInformation{kOurId, {.port = 9901, .addresses = {address("192.0.2.1")}}};
  std::string announced;
  ASSERT_TRUE(enrp::encode(enrp::Message(p), announced));
  w.registrar.enrp_announce_heard(w.now, announced);
  w.collect();
  EXPECT_THAT(w.all<registrar::Log>(), IsEmpty());
}

TEST(EnrpPeers, peers_that_announce_themselves_are_connected_to) {
  registrar::Settings settings;
  settings.registrar.enrp_announce = {{address("239.0.0.51"), 9901}};
  World w(settings);
  enrp::Presence p = std::get<enrp::Presence>(presence_of(0x77));
  p.information = enrp::ServerInformation{0x77, {.port = 9901, .addresses = {address("10.0.0.9")}}};
  std::string bytes;
  ASSERT_TRUE(enrp::encode(enrp::Message(p), bytes));
  w.registrar.enrp_announce_heard(w.now, bytes);
  w.run(6 * kS);
  ASSERT_THAT(w.all<channel::Connect>(), SizeIs(1));
  const auto announces = w.all<registrar::Announce>();
  ASSERT_FALSE(announces.empty());
  EXPECT_TRUE(announces[0].enrp);
  EXPECT_TRUE(World::parsed<enrp::Presence>(announces[0].bytes).information.has_value());
}

TEST(EnrpPeers, peers_and_their_number_survive_a_restart) {
  World w;
  const auto e = w.up({"10.0.0.9"}, 9901, SctpService::enrp);
  w.send(e, presence_of(0x77));
  const auto next = w.restarted();
  ASSERT_THAT(next.peers(w.now), SizeIs(1));
  EXPECT_EQ(next.peers(w.now)[0].id, 0x77u);
  EXPECT_THAT(next.peers(w.now)[0].addresses, ElementsAre(address("10.0.0.9")));
  w.run(70 * kS);
  EXPECT_THAT(w.restarted().peers(w.now), IsEmpty()) << "it was gone by then";
}

}  // namespace
}  // namespace poolgate::test
