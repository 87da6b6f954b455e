// SPDX-License-Identifier: BSD-3-Clause
// Keep-alives, adoption, the server hunt and the list of registrars.
#include <algorithm>
#include <set>

#include "tests/unit/endpoint_world.h"

namespace poolgate::rserpool::endpoint {
namespace {

asap::EndpointKeepAliveAck ack_in(const std::string& bytes) {
  return std::get<asap::EndpointKeepAliveAck>(asap::parse(bytes)->message);
}

class EndpointKeepAlive : public ::testing::Test {
 protected:
  EndpointKeepAlive() {
    world.server(1).reachable = false;
    world.register_pe("EchoPool", element(7));
    world.run_for(1s);
  }
  World world{2};
};

TEST_F(EndpointKeepAlive, ASAP_3_4_1_one_for_another_pool_is_silently_discarded) {
  world.deliver(0, asap::EndpointKeepAlive{false, 0xaa, "Echo", {}});
  world.deliver(1, asap::EndpointKeepAlive{true, 0xbb, "EchoPool2", {}});
  world.run_for(1s);
  EXPECT_EQ(world.all_sent.size(), 1u);  // the registration
  EXPECT_EQ(world.events<HomeFound>().size(), 1u);
}

TEST_F(EndpointKeepAlive, ASAP_3_4_2_is_answered_on_the_association_it_came_on_whatever_H_says) {
  world.deliver(0, asap::EndpointKeepAlive{false, 0xaa, "EchoPool", {}});
  world.deliver(0, asap::EndpointKeepAlive{true, 0xaa, "EchoPool", {}});
  world.deliver(1, asap::EndpointKeepAlive{false, 0xbb, "EchoPool", {}});
  const auto acks = world.sent<asap::EndpointKeepAliveAck>();
  ASSERT_EQ(acks.size(), 3u);
  EXPECT_EQ(acks[0].server, 0u);
  EXPECT_EQ(acks[2].server, 1u);
  EXPECT_EQ(ack_in(acks[0].bytes).handle, "EchoPool");
  EXPECT_EQ(ack_in(acks[0].bytes).pe_id, 7u);
  EXPECT_EQ(world.events<HomeFound>().size(), 1u);  // H=0 of another server changes nothing
}

TEST_F(EndpointKeepAlive, ASAP_3_4_2_a_PE_identifier_in_it_chooses_among_the_PEs_of_the_pool) {
  world.register_pe("EchoPool", element(8));
  world.run_for(1s);
  world.deliver(0, asap::EndpointKeepAlive{false, 0xaa, "EchoPool", 8});
  auto acks = world.sent<asap::EndpointKeepAliveAck>();
  ASSERT_EQ(acks.size(), 1u);
  EXPECT_EQ(ack_in(acks[0].bytes).pe_id, 8u);
  world.deliver(0, asap::EndpointKeepAlive{false, 0xaa, "EchoPool", 9});
  EXPECT_EQ(world.sent<asap::EndpointKeepAliveAck>().size(), 1u);
  world.deliver(0, asap::EndpointKeepAlive{false, 0xaa, "EchoPool", {}});
  acks = world.sent<asap::EndpointKeepAliveAck>();
  ASSERT_EQ(acks.size(), 3u);  // without one: both
  EXPECT_EQ(std::set({ack_in(acks[1].bytes).pe_id, ack_in(acks[2].bytes).pe_id}), std::set<PeId>({7, 8}));
}

TEST_F(EndpointKeepAlive, ASAP_3_4_1_a_deregistered_PE_does_not_answer) {
  world.endpoint.deregister_pe("EchoPool", 7, world.now);
  world.run_for(1s);
  world.deliver(0, asap::EndpointKeepAlive{false, 0xaa, "EchoPool", {}});
  EXPECT_EQ(world.sent<asap::EndpointKeepAliveAck>().size(), 0u);
}

TEST_F(EndpointKeepAlive,
       ASAP_3_4_3_H_from_another_server_makes_it_the_home_and_the_next_registration_goes_there) {
  world.deliver(1, asap::EndpointKeepAlive{true, 0xbb, "EchoPool", {}});
  const auto homes = world.events<HomeFound>();
  ASSERT_EQ(homes.size(), 2u);
  EXPECT_TRUE(homes[1].second.adopted);
  EXPECT_EQ(homes[1].second.server, 0xbbu);
  EXPECT_EQ(world.sent<asap::Registration>().size(), 1u);  // not before T4
  EXPECT_TRUE(world.has_link(0));
  world.run_until(581s);
  const auto sent = world.sent<asap::Registration>();
  ASSERT_EQ(sent.size(), 2u);
  EXPECT_EQ(sent[1].server, 1u);
  EXPECT_EQ(sent[1].at, 580s + 2ms);
  EXPECT_FALSE(world.has_link(0));  // the former home, once the new one has answered
}

// A server that was taken over comes back, still has the PE, and insists.
TEST_F(EndpointKeepAlive, ASAP_3_4_3_a_former_home_that_claims_the_PE_back_keeps_its_link) {
  const Link first = world.endpoint.home();
  world.deliver(1, asap::EndpointKeepAlive{true, 0xbb, "EchoPool", {}});
  const Link second = world.endpoint.home();
  world.deliver(0, asap::EndpointKeepAlive{true, 0xaa, "EchoPool", {}});
  EXPECT_EQ(world.endpoint.home(), first);
  EXPECT_TRUE(world.closed.empty());
  world.deliver(1, asap::EndpointKeepAlive{true, 0xbb, "EchoPool", {}});
  EXPECT_EQ(world.endpoint.home(), second);
  EXPECT_TRUE(world.closed.empty());
  world.run_until(581s);  // T4
  EXPECT_EQ(world.sent<asap::Registration>().back().link, second);
  EXPECT_EQ(world.closed, std::vector<Link>{first});
}

TEST_F(EndpointKeepAlive, ASAP_3_4_3_a_former_home_that_claims_a_PE_without_a_home_keeps_its_link) {
  const Link first = world.endpoint.home();
  world.deliver(1, asap::EndpointKeepAlive{true, 0xbb, "EchoPool", {}});
  world.break_link(1);
  world.deliver(0, asap::EndpointKeepAlive{true, 0xaa, "EchoPool", {}});
  EXPECT_EQ(world.endpoint.home(), first);
  world.run_until(581s);
  EXPECT_TRUE(world.has_link(0));
  EXPECT_TRUE(world.closed.empty());
}

TEST_F(EndpointKeepAlive, ASAP_3_4_3_H_from_the_home_itself_changes_nothing) {
  world.deliver(0, asap::EndpointKeepAlive{true, 0xaa, "EchoPool", {}});
  world.run_for(1s);
  EXPECT_EQ(world.events<HomeFound>().size(), 1u);
  EXPECT_EQ(world.sent<asap::Registration>().size(), 1u);
}

TEST_F(EndpointKeepAlive, ASAP_3_4_3_H_ends_a_hunt) {
  world.server(0).reachable = false;
  world.break_link(0);
  world.run_for(1s);
  EXPECT_TRUE(world.endpoint.hunting());
  world.deliver(1, asap::EndpointKeepAlive{true, 0xbb, "EchoPool", {}});
  EXPECT_FALSE(world.endpoint.hunting());
  EXPECT_EQ(world.in_flight, 0u);
  world.run_for(1s);
  EXPECT_EQ(world.sent<asap::Registration>().back().server, 1u);  // it was without a home: at once
}

TEST(EndpointHunt, ASAP_3_6_22_SH1_at_most_three_are_tried_at_a_time) {
  World world(10);
  for (size_t i = 0; i < 10; ++i) world.server(i).reachable = false;
  world.register_pe("EchoPool", element(7));
  world.run_for(1s);
  EXPECT_EQ(world.connects.size(), 3u);
  world.run_until(600s);
  EXPECT_EQ(world.most_in_flight, 3u);
}

TEST(EndpointHunt, ASAP_3_6_22_SH5_T5_doubles_up_to_RETRAN_max_and_each_time_others_are_tried) {
  World world(9);
  for (size_t i = 0; i < 9; ++i) world.server(i).reachable = false;
  world.register_pe("EchoPool", element(7));
  world.run_until(200s);
  std::vector<Time> rounds;
  std::map<Time, std::set<size_t>> who;
  for (const auto& [at, server] : world.connects) {
    if (rounds.empty() || rounds.back() != at) rounds.push_back(at);
    who[at].insert(server);
  }
  ASSERT_EQ(rounds, (std::vector<Time>{0s, 10s, 30s, 70s, 130s, 190s}));  // 10, 20, 40, 60, 60
  EXPECT_EQ(who[0s], (std::set<size_t>{0, 1, 2}));
  EXPECT_EQ(who[10s], (std::set<size_t>{3, 4, 5}));
  EXPECT_EQ(who[30s], (std::set<size_t>{6, 7, 8}));
  EXPECT_EQ(who[70s], (std::set<size_t>{0, 1, 2}));
}

TEST(EndpointHunt, ASAP_3_6_22_SH3_success_sets_T5_back) {
  World world(1);
  world.server(0).reachable = false;
  world.register_pe("EchoPool", element(7));
  world.run_until(35s);  // T5 is 40 s now
  world.server(0).reachable = true;
  world.run_until(75s);
  ASSERT_EQ(world.events<Registered>().size(), 1u);
  world.server(0).reachable = false;
  world.break_link(0);
  const Time lost = world.now;
  const size_t before = world.connects.size();
  world.run_for(15s);
  ASSERT_EQ(world.connects.size(), before + 1);
  EXPECT_EQ(world.connects.back().first, lost + 10s);
}

TEST(EndpointHunt, ASAP_3_6_22_SH4_a_refused_connection_is_followed_by_another_at_once) {
  World world(5);
  for (size_t i = 0; i < 4; ++i) world.server(i).refuses = true;
  world.register_pe("EchoPool", element(7));
  world.run_for(1s);
  EXPECT_EQ(world.connects.size(), 5u);
  EXPECT_EQ(world.events<Registered>().size(), 1u);
  EXPECT_EQ(world.sent<asap::Registration>()[0].server, 4u);
}

TEST(EndpointHunt, ASAP_3_6_22_SH4_nobody_is_tried_twice_before_T5) {
  World world(2);
  world.server(0).refuses = true;
  world.server(1).refuses = true;
  world.register_pe("EchoPool", element(7));
  world.run_until(9s);
  EXPECT_EQ(world.connects.size(), 2u);
  ASSERT_EQ(world.events<HuntFailed>().size(), 1u);
  EXPECT_EQ(world.events<HuntFailed>()[0].second.next, 10s);
  world.run_until(11s);
  EXPECT_EQ(world.connects.size(), 4u);
}

TEST(EndpointHunt, ASAP_3_6_22_SH6_one_is_picked_and_the_other_attempts_end) {
  World world(3);
  world.register_pe("EchoPool", element(7));
  world.run_for(1s);
  EXPECT_EQ(world.events<HomeFound>().size(), 1u);
  EXPECT_EQ(world.in_flight, 0u);
  EXPECT_EQ(world.sent<asap::Registration>().size(), 1u);
}

TEST(EndpointHunt, ASAP_3_6_22_a_registrar_that_comes_back_is_found_without_others) {
  World world(1);
  world.register_pe("EchoPool", element(7));
  world.run_for(1s);
  world.break_link(0);
  world.run_for(1s);
  EXPECT_EQ(world.sent<asap::Registration>().size(), 2u);
  EXPECT_EQ(world.events<Registered>().size(), 2u);
}

asap::ServerAnnounce announce(std::vector<Transport> transports) { return {0xcc, std::move(transports)}; }

TEST(ServerListRules, ASAP_3_6_20_announced_addresses_live_until_T7_and_are_restarted) {
  ServerList list;
  const Transport one{
      TransportType::sctp, 3863, TransportUse::data_only, 0, {ip("10.0.0.1"), ip("10.1.0.1")}, {}};
  list.announced(announce({one}), ip("10.9.9.9"), 0, 0s, 5s);
  ASSERT_EQ(list.servers().size(), 1u);
  EXPECT_EQ(list.servers()[0].address, (ServerAddress{false, one.addresses, 3863}));
  list.announced(announce({one}), ip("10.9.9.9"), 0, 4s, 5s);
  list.tick(8s);
  EXPECT_EQ(list.servers().size(), 1u);
  EXPECT_EQ(list.next_deadline(), 9s);
  list.tick(9s);
  EXPECT_EQ(list.servers().size(), 0u);
}

TEST(ServerListRules, ASAP_3_6_20_without_transports_the_source_address_and_the_IANA_port_are_used) {
  ServerList list;
  list.announced(announce({}), ip("10.9.9.9"), 0, 0s, 5s);
  ASSERT_EQ(list.servers().size(), 1u);
  EXPECT_EQ(list.servers()[0].address, (ServerAddress{false, {ip("10.9.9.9")}, 3863}));
}

TEST(ServerListRules, ASAP_12_22_without_transports_RSPLIB_means_the_UDP_source_port) {
  ServerList list;
  list.announced(announce({}), ip("10.9.9.9"), 3870, 0s, 5s);
  ASSERT_EQ(list.servers().size(), 2u);
  EXPECT_EQ(list.servers()[0].address, (ServerAddress{false, {ip("10.9.9.9")}, 3863}));
  EXPECT_EQ(list.servers()[1].address, (ServerAddress{false, {ip("10.9.9.9")}, 3870}));
  list.announced(announce({}), ip("10.9.9.8"), 3863, 0s, 5s);
  EXPECT_EQ(list.servers().size(), 3u);
}

TEST(ServerListRules, ASAP_2_1_1_a_PE_remembers_announced_SCTP_only_and_a_TCP_user_TCP_only) {
  const Transport sctp{TransportType::sctp, 3863, TransportUse::data_only, 0, {ip("10.0.0.1")}, {}};
  const Transport tcp{TransportType::tcp, 3863, TransportUse::data_only, 0, {ip("10.0.0.1")}, {}};
  for (const auto use : {AnnouncedUse::sctp, AnnouncedUse::tcp}) {
    ServerList list;
    list.use_announced(use);
    list.announced(announce({tcp, sctp}), ip("10.9.9.9"), 0, 0s, 5s);
    ASSERT_EQ(list.servers().size(), 1u);
    EXPECT_EQ(list.servers()[0].address.tcp, use == AnnouncedUse::tcp);
  }
}

TEST(ServerListRules, ASAP_3_6_21_configured_registrars_are_not_outdated) {
  ServerList list;
  list.configure({false, {ip("10.9.9.9")}, 3863});
  list.announced(announce({}), ip("10.9.9.9"), 0, 0s, 5s);
  list.tick(3600s);
  EXPECT_EQ(list.servers().size(), 1u);
  EXPECT_EQ(list.next_deadline(), kNever);
}

TEST(ServerListRules, ASAP_9_2_8_a_flood_of_announcements_fills_a_bounded_table) {
  ServerList list;
  list.configure({false, {ip("10.9.9.9")}, 3863});
  for (int i = 0; i < 10000; ++i) {
    const std::string source = "10.5." + std::to_string(i / 250) + "." + std::to_string(i % 250);
    list.announced(announce({}), ip(source.c_str()), 0, 0s, 5s);
  }
  EXPECT_EQ(list.servers().size(), ServerList::kMaxAnnounced + 1);
}

TEST(EndpointAnnounce, ASAP_3_6_20_an_announced_registrar_is_hunted) {
  World world(1);
  world.server(0).refuses = true;
  Endpoint& endpoint = world.endpoint;
  endpoint.announced(bytes_of(announce({})), ip("10.0.0.77"), 0, 0s);
  endpoint.announced("garbage", ip("10.0.0.78"), 0, 0s);
  endpoint.register_pe("EchoPool", element(7), 0s);
  size_t found = 0;
  for (const auto& output : endpoint.take())
    if (const auto* connect = std::get_if<Connect>(&output))
      found += connect->address.addresses[0] == ip("10.0.0.77");
  EXPECT_EQ(found, 1u);
}

TEST(EndpointAnnounce, ASAP_3_6_20_one_that_is_announced_during_a_hunt_is_tried_at_once) {
  Endpoint endpoint({}, 1);
  endpoint.register_pe("EchoPool", element(7), 0s);
  const auto nobody = endpoint.take();
  ASSERT_EQ(nobody.size(), 1u);
  EXPECT_TRUE(std::holds_alternative<HuntFailed>(nobody[0]));
  endpoint.announced(bytes_of(announce({})), ip("10.0.0.77"), 0, 1s);
  const auto outputs = endpoint.take();
  ASSERT_EQ(outputs.size(), 1u);
  EXPECT_EQ(std::get<Connect>(outputs[0]).address.addresses, std::vector{ip("10.0.0.77")});
  endpoint.announced(bytes_of(announce({})), ip("10.0.0.77"), 0, 2s);  // no news
  EXPECT_TRUE(endpoint.take().empty());
}

}  // namespace
}  // namespace poolgate::rserpool::endpoint
