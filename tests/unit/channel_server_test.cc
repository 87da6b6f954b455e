// SPDX-License-Identifier: BSD-3-Clause
// The data plane's end: who may be its registrar, pool transactions, back-pressure.
#include "dataplane/channel/channel_server.h"

#include <poll.h>
#include <sys/stat.h>

#include "tests/unit/channel_test_ends.h"

namespace poolgate::channel_test {
namespace {

using Lines = std::vector<std::string>;

bool readable(int fd) {
  pollfd p{fd, POLLIN, 0};
  return ::poll(&p, 1, 0) == 1;
}

TEST(ChannelServer, welcome_tells_epoch_addresses_and_ports) {
  DataPlaneEnd plane([](auto& o) {
    o.welcome.local_addresses = {*rserpool::IpAddress::parse("192.0.2.9")};
    o.welcome.asap_port = 3863;
    o.welcome.enrp_port = 9901;
  });
  BareRegistrar registrar(plane.options.path, 1);
  plane.run();
  const auto welcome = std::get<Welcome>(*registrar.receive());
  EXPECT_NE(welcome.epoch, 0u);
  EXPECT_EQ(welcome.epoch, plane.server->epoch());
  EXPECT_EQ(welcome.local_addresses, plane.options.welcome.local_addresses);
  EXPECT_EQ(welcome.asap_port, 3863);
  EXPECT_EQ(welcome.enrp_port, 9901);
  EXPECT_EQ(plane.handler.registrars, std::vector<uint64_t>{1});
}

TEST(ChannelServer, a_restarted_data_plane_has_another_epoch) {
  DataPlaneEnd one, two;
  EXPECT_NE(one.server->epoch(), two.server->epoch());
}

TEST(ChannelServer, nothing_is_told_before_hello) {
  DataPlaneEnd plane;
  BareRegistrar registrar(plane.options.path);
  plane.up(1);
  plane.run();
  EXPECT_TRUE(registrar.receive_all().empty());
  EXPECT_FALSE(plane.server->registrar_connected());
}

TEST(ChannelServer, a_newer_incarnation_replaces_the_connected_registrar_and_says_so) {
  DataPlaneEnd plane;
  BareRegistrar old(plane.options.path, 1);
  plane.run();
  BareRegistrar young(plane.options.path, 2);
  plane.run();
  const auto last = old.receive_all();
  ASSERT_FALSE(last.empty());
  EXPECT_EQ(std::get<Refused>(last.back()).reason, "replaced by the registrar's incarnation 2");
  EXPECT_TRUE(old.closed);
  EXPECT_EQ(brief(young.receive_all()), (Lines{"Welcome", "done"}));
  EXPECT_EQ(plane.handler.registrars, (std::vector<uint64_t>{1, 2}));
}

TEST(ChannelServer, the_same_incarnation_may_come_back_before_its_old_socket_is_seen_dead) {
  DataPlaneEnd plane;
  BareRegistrar old(plane.options.path, 4, 0x5e);
  plane.run();
  BareRegistrar again(plane.options.path, 4, 0x5e);
  plane.run();
  EXPECT_EQ(brief(again.receive_all()), (Lines{"Welcome", "done"}));
}

TEST(ChannelServer, an_older_incarnation_and_another_server_are_refused_while_one_is_connected) {
  DataPlaneEnd plane;
  BareRegistrar young(plane.options.path, 5, 0x5e);
  plane.run();
  BareRegistrar old(plane.options.path, 4, 0x5e);
  BareRegistrar other(plane.options.path, 9, 0x77);
  plane.run();
  EXPECT_EQ(std::get<Refused>(old.receive().value()).reason,
            "incarnation 4 of server 0x0000005e: incarnation 5 of server 0x0000005e is connected");
  EXPECT_EQ(std::get<Refused>(other.receive().value()).reason,
            "incarnation 9 of server 0x00000077: incarnation 5 of server 0x0000005e is connected");
  EXPECT_TRUE(plane.server->registrar_connected());
  EXPECT_EQ(plane.server->counters().registrars_refused, 2u);
}

TEST(ChannelServer, any_incarnation_is_served_when_none_is_connected) {
  DataPlaneEnd plane;
  BareRegistrar young(plane.options.path, 5);
  plane.run();
  young.die();
  BareRegistrar fresh(plane.options.path, 1, 0x77);  // a new state directory
  plane.run();
  EXPECT_EQ(brief(fresh.receive_all()), (Lines{"Welcome", "done"}));
}

TEST(ChannelServer, silent_connections_are_bounded_and_keep_nobody_out) {
  DataPlaneEnd plane;
  std::vector<std::unique_ptr<BareRegistrar>> silent;
  for (int i = 0; i < 20; ++i) {
    silent.push_back(std::make_unique<BareRegistrar>(plane.options.path));
    plane.run();
  }
  BareRegistrar registrar(plane.options.path, 1);
  plane.run();
  EXPECT_EQ(brief(registrar.receive_all()), (Lines{"Welcome", "done"}));
  silent.front()->receive();
  EXPECT_TRUE(silent.front()->closed);
}

TEST(ChannelServer, a_bad_packet_costs_the_connection_and_the_reason_is_said_to_both) {
  DataPlaneEnd plane;
  BareRegistrar registrar(plane.options.path, 1);
  plane.run();
  registrar.send_bytes("rubbish");
  plane.run();
  const auto last = registrar.receive_all();
  const std::string reason = "channel: a packet of 7 bytes has no room for a header of 12";
  EXPECT_EQ(std::get<Refused>(last.back()).reason, reason);
  EXPECT_EQ(plane.handler.losses, Lines{reason});
  EXPECT_EQ(plane.server->counters().packets_bad, 1u);
}

TEST(ChannelServer, another_version_is_refused_in_words) {
  DataPlaneEnd plane;
  BareRegistrar registrar(plane.options.path);
  std::string hello = *encode(Down{Hello{1, 2}});
  hello[4] = 4;
  registrar.send_bytes(hello);
  plane.run();
  EXPECT_EQ(
      std::get<Refused>(registrar.receive().value()).reason,
      "channel: the peer speaks version 4, this program version 3: install both programs from one release");
  EXPECT_EQ(plane.server->counters().registrars_refused, 1u);
  EXPECT_EQ(plane.handler.refusals.size(), 1u) << "said on this side, too";
}

TEST(ChannelServer, its_beat_is_told_and_one_that_waits_is_enough) {
  DataPlaneEnd plane;
  plane.server->beat();  // nobody is there
  BareRegistrar registrar(plane.options.path);
  registrar.send(Hello{1, 2});
  plane.run();
  registrar.receive_all();
  for (int i = 0; i < 5; ++i) plane.server->beat();
  plane.run();
  const auto told = registrar.receive_all();
  ASSERT_EQ(told.size(), 1u);
  EXPECT_TRUE(std::holds_alternative<Beat>(told[0]));
}

TEST(ChannelServer, a_dead_processes_socket_is_replaced_a_living_ones_is_an_error) {
  DataPlaneEnd plane;
  Recorder handler;
  const auto second = dataplane::ChannelServer::listen(plane.options, handler);
  ASSERT_FALSE(second.ok());
  EXPECT_NE(second.error().text.find("another data plane"), std::string::npos) << second.error().text;
  // What a killed process leaves: a bound file that nobody listens on.
  dataplane::ChannelServerOptions options;
  options.path = plane.folder.file("dead.sock");
  const int fd = ::socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0);
  sockaddr_un at{};
  at.sun_family = AF_UNIX;
  std::strncpy(at.sun_path, options.path.c_str(), sizeof at.sun_path - 1);
  ASSERT_EQ(::bind(fd, reinterpret_cast<sockaddr*>(&at), sizeof at), 0);
  ::close(fd);
  EXPECT_TRUE(dataplane::ChannelServer::listen(options, handler).ok());
}

TEST(ChannelServer, a_path_that_cannot_be_is_an_error_that_names_it) {
  Recorder handler;
  dataplane::ChannelServerOptions options;
  options.path = "/nonexistent/channel.sock";
  auto server = dataplane::ChannelServer::listen(options, handler);
  ASSERT_FALSE(server.ok());
  EXPECT_NE(server.error().text.find("/nonexistent/channel.sock"), std::string::npos);
  options.path = "/tmp/" + std::string(200, 'x');
  EXPECT_FALSE(dataplane::ChannelServer::listen(options, handler).ok());
}

TEST(ChannelServer, the_descriptor_is_readable_when_there_is_work) {
  DataPlaneEnd plane;
  plane.run();
  EXPECT_FALSE(readable(plane.server->fd()));
  BareRegistrar registrar(plane.options.path, 1);
  EXPECT_TRUE(readable(plane.server->fd()));
  plane.run();
  EXPECT_FALSE(readable(plane.server->fd()));
  registrar.send(Close{plane.name(1), false});
  EXPECT_TRUE(readable(plane.server->fd()));
}

TEST(ChannelServer, connect_close_and_pe_down_reach_the_handler_whole) {
  DataPlaneEnd plane;
  BareRegistrar registrar(plane.options.path, 1);
  registrar.send(Connect{7, SctpService::enrp, 9901, {*rserpool::IpAddress::parse("192.0.2.7")}});
  registrar.send(PeDown{"EchoPool", 17, 3});
  plane.up(1);
  plane.run();
  registrar.send(Close{plane.name(1), true});
  plane.run();
  ASSERT_EQ(plane.handler.connects.size(), 1u);
  EXPECT_EQ(plane.handler.connects[0].request, 7u);
  EXPECT_EQ(plane.handler.connects[0].service, SctpService::enrp);
  ASSERT_EQ(plane.handler.downs.size(), 1u);
  EXPECT_EQ(plane.handler.downs[0].pe_id, 17u);
  ASSERT_EQ(plane.handler.closes.size(), 1u);
  EXPECT_TRUE(plane.handler.closes[0].abort);
}

TEST(ChannelServer, a_failed_connect_is_told_though_there_is_no_association) {
  DataPlaneEnd plane;
  BareRegistrar registrar(plane.options.path, 1);
  plane.run();
  plane.server->submit(AssociationDown{{0, 0, 0}, 7, DownReason::cannot_start});
  plane.run();
  const auto all = registrar.receive_all();
  const auto& failed = std::get<AssociationDown>(all.back());
  EXPECT_EQ(failed.request, 7u);
  EXPECT_EQ(failed.reason, DownReason::cannot_start);
}

// ---- pool transactions

PoolChunk chunk(uint64_t transaction, const std::string& handle, std::initializer_list<uint32_t> ids) {
  PoolChunk c{transaction, handle, rserpool::PolicyType::round_robin, false, {}};
  for (uint32_t id : ids) c.elements.emplace_back().id = id;
  return c;
}

TEST(ChannelPools, a_transaction_is_delivered_at_its_commit_with_chunks_of_a_handle_joined) {
  DataPlaneEnd plane;
  BareRegistrar registrar(plane.options.path, 1);
  registrar.send(PoolBegin{9, true});
  registrar.send(chunk(9, "A", {1, 2}));
  registrar.send(chunk(9, "B", {7}));
  registrar.send(chunk(9, "A", {3}));
  plane.run();
  EXPECT_TRUE(plane.handler.transactions.empty());
  registrar.send(PoolCommit{9});
  plane.run();
  ASSERT_EQ(plane.handler.transactions.size(), 1u);
  const auto& t = plane.handler.transactions[0];
  EXPECT_TRUE(t.full);
  ASSERT_EQ(t.pools.size(), 2u);
  EXPECT_EQ(t.pools[0].handle, "A");
  ASSERT_EQ(t.pools[0].elements.size(), 3u);
  EXPECT_EQ(t.pools[0].elements[2].id, 3u);
  EXPECT_EQ(t.pools[1].handle, "B");
  EXPECT_EQ(brief(registrar.receive_all()), (Lines{"Welcome", "done", "committed 9"}));
}

TEST(ChannelPools, half_a_transaction_is_never_delivered) {
  DataPlaneEnd plane;
  {
    BareRegistrar registrar(plane.options.path, 1);
    registrar.send(PoolBegin{9, true});
    registrar.send(chunk(9, "A", {1}));
    plane.run();
  }
  plane.run();
  EXPECT_EQ(plane.server->counters().transactions_abandoned, 1u);
  // Neither by the next registrar's commit of the same number.
  BareRegistrar next(plane.options.path, 2);
  next.send(PoolCommit{9});
  plane.run();
  EXPECT_TRUE(plane.handler.transactions.empty());
  EXPECT_EQ(brief(next.receive_all()),
            (Lines{"Welcome", "done", "refused 9: this registrar did not begin it"}));
}

TEST(ChannelPools, an_old_incarnations_commit_is_refused) {
  DataPlaneEnd plane;
  BareRegistrar old(plane.options.path, 1);
  old.send(PoolBegin{9, true});
  old.send(chunk(9, "A", {1}));
  plane.run();
  BareRegistrar young(plane.options.path, 2);
  plane.run();
  EXPECT_FALSE(old.send(PoolCommit{9}));
  young.send(PoolCommit{9});
  plane.run();
  EXPECT_TRUE(plane.handler.transactions.empty());
  EXPECT_EQ(plane.server->counters().transactions_abandoned, 1u);
  EXPECT_EQ(plane.server->counters().transactions_refused, 1u);
}

TEST(ChannelPools, a_chunk_of_another_transaction_spoils_neither) {
  DataPlaneEnd plane;
  BareRegistrar registrar(plane.options.path, 1);
  registrar.send(PoolBegin{1, false});
  registrar.send(chunk(2, "B", {2}));
  registrar.send(chunk(1, "A", {1}));
  registrar.send(PoolCommit{1});
  plane.run();
  ASSERT_EQ(plane.handler.transactions.size(), 1u);
  ASSERT_EQ(plane.handler.transactions[0].pools.size(), 1u);
  EXPECT_EQ(plane.handler.transactions[0].pools[0].handle, "A");
}

TEST(ChannelPools, a_begin_before_the_commit_abandons_the_first) {
  DataPlaneEnd plane;
  BareRegistrar registrar(plane.options.path, 1);
  registrar.send(PoolBegin{1, false});
  registrar.send(chunk(1, "A", {1}));
  registrar.send(PoolBegin{2, false});
  registrar.send(PoolCommit{1});
  registrar.send(PoolCommit{2});
  plane.run();
  ASSERT_EQ(plane.handler.transactions.size(), 1u);
  EXPECT_EQ(plane.handler.transactions[0].transaction, 2u);
  EXPECT_TRUE(plane.handler.transactions[0].pools.empty());
}

TEST(ChannelPools, the_handlers_refusal_is_passed_on) {
  DataPlaneEnd plane;
  plane.handler.refuse = "too many pools";
  BareRegistrar registrar(plane.options.path, 1);
  registrar.send(PoolBegin{1, false});
  registrar.send(PoolCommit{1});
  plane.run();
  EXPECT_EQ(brief(registrar.receive_all()), (Lines{"Welcome", "done", "refused 1: too many pools"}));
}

// ---- back-pressure

TEST(ChannelBackPressure, sixty_four_unacknowledged_block_that_association_only_and_half_unblocks_it) {
  DataPlaneEnd plane;
  BareRegistrar registrar(plane.options.path, 1);
  plane.up(1);
  plane.up(2);
  for (unsigned i = 0; i < kMaxUnacknowledged - 1; ++i) plane.message(1, "x");
  plane.message(2, "y");
  plane.run();
  EXPECT_TRUE(plane.handler.blocks.empty());
  plane.message(1, "the 64th");
  plane.message(1, "read before the block arrived");
  plane.run();
  EXPECT_EQ(plane.handler.blocks, (std::vector<std::pair<uint32_t, bool>>{{1, true}}));
  registrar.send(plane.ack(1, 32));
  plane.run();
  EXPECT_EQ(plane.handler.blocks.size(), 1u) << "33 are left";
  registrar.send(plane.ack(1, 33));
  plane.run();
  EXPECT_EQ(plane.handler.blocks, (std::vector<std::pair<uint32_t, bool>>{{1, true}, {1, false}}));
  EXPECT_TRUE(plane.handler.all_blocks.empty());
  // Nothing of it was lost: 65 and 1 came.
  size_t messages = 0;
  for (const Up& up : registrar.receive_all()) messages += std::holds_alternative<MessageUp>(up);
  EXPECT_EQ(messages, kMaxUnacknowledged + 2);
}

TEST(ChannelBackPressure, an_association_blocks_without_a_registrar_too) {
  DataPlaneEnd plane;
  plane.up(1);
  for (unsigned i = 0; i < kMaxUnacknowledged; ++i) plane.message(1, "x");
  EXPECT_EQ(plane.handler.blocks, (std::vector<std::pair<uint32_t, bool>>{{1, true}}));
}

TEST(ChannelBackPressure, the_total_bound_blocks_all_until_half_is_acknowledged) {
  DataPlaneEnd plane([](auto& o) { o.max_retained_bytes = 1000; });
  for (uint32_t id = 1; id <= 10; ++id) {
    plane.up(id);
    plane.message(id, std::string(100, 'x'));
  }
  plane.run();
  EXPECT_EQ(plane.handler.all_blocks, std::vector<bool>{true});
  BareRegistrar registrar(plane.options.path, 1);
  plane.run();
  for (uint32_t id = 1; id <= 4; ++id) registrar.send(plane.ack(id, 1));
  plane.run();
  EXPECT_EQ(plane.handler.all_blocks, std::vector<bool>{true});
  registrar.send(plane.ack(5, 1));
  plane.run();
  EXPECT_EQ(plane.handler.all_blocks, (std::vector<bool>{true, false}));
}

TEST(ChannelBackPressure, a_full_channel_blocks_all_and_loses_nothing) {
  DataPlaneEnd plane;
  BareRegistrar registrar(plane.options.path, 1);
  plane.run();
  constexpr uint32_t kAssociations = 200;
  for (uint32_t id = 1; id <= kAssociations; ++id) {
    plane.up(id);
    for (int i = 0; i < 3; ++i) plane.message(id, std::string(2000, static_cast<char>('a' + i)));
  }
  plane.run();  // 1.2 MB into a socket that nobody reads
  EXPECT_EQ(plane.handler.all_blocks, std::vector<bool>{true});
  std::map<uint32_t, std::vector<uint64_t>> got;
  for (unsigned round = 0; round < 1000; ++round) {
    for (const Up& up : registrar.receive_all())
      if (auto* m = std::get_if<MessageUp>(&up)) {
        EXPECT_EQ(m->payload, std::string(2000, static_cast<char>('a' + m->sequence - 1)));
        got[m->association.id].push_back(m->sequence);
      }
    plane.run();
  }
  ASSERT_EQ(got.size(), kAssociations);
  for (const auto& [id, sequences] : got) EXPECT_EQ(sequences, (std::vector<uint64_t>{1, 2, 3})) << id;
  EXPECT_EQ(plane.handler.all_blocks, (std::vector<bool>{true, false}));
}

TEST(ChannelBackPressure, a_registrar_that_dies_with_a_full_channel_unblocks_and_its_successor_gets_all) {
  DataPlaneEnd plane;
  auto stuck = std::make_unique<BareRegistrar>(plane.options.path, 1);
  for (uint32_t id = 1; id <= 200; ++id) {
    plane.up(id);
    plane.message(id, std::string(4000, 'x'));
  }
  plane.run();
  EXPECT_EQ(plane.handler.all_blocks, std::vector<bool>{true});
  stuck.reset();
  plane.run();
  EXPECT_EQ(plane.handler.all_blocks, (std::vector<bool>{true, false}));
  BareRegistrar next(plane.options.path, 2);
  size_t messages = 0;
  for (unsigned round = 0; round < 1000; ++round) {
    plane.run();
    for (const Up& up : next.receive_all()) messages += std::holds_alternative<MessageUp>(up);
  }
  EXPECT_EQ(messages, 200u);
}

TEST(ChannelBackPressure, a_registrar_that_reads_nothing_is_cut_off_at_the_bound_and_replayed_to) {
  DataPlaneEnd plane([](auto& o) { o.max_queued_events = 1000; });
  BareRegistrar stuck(plane.options.path, 1);
  plane.run();
  for (uint32_t id = 1; id < 20'000 && plane.server->registrar_connected(); ++id) {
    plane.up(id);
    plane.down(id);
    plane.run();
  }
  EXPECT_FALSE(plane.server->registrar_connected());
  ASSERT_EQ(plane.handler.losses.size(), 1u);
  EXPECT_NE(plane.handler.losses[0].find("does not read"), std::string::npos) << plane.handler.losses[0];
}

TEST(ChannelBackPressure, a_message_down_without_room_waits_in_order_and_resume_tells_its_end) {
  DataPlaneEnd plane;
  BareRegistrar registrar(plane.options.path, 1);
  plane.run();
  plane.up(1);
  plane.run();
  plane.handler.room = false;
  registrar.send(plane.answer(1, 0, "a"));
  registrar.send(plane.answer(1, 0, "b"));
  registrar.send(PeDown{"P", 1, 1});
  for (int i = 0; i < 3; ++i) plane.server->run_once();
  EXPECT_EQ(plane.handler.offered, 3u) << "once a call";
  EXPECT_TRUE(plane.handler.downs.empty()) << "later commands must not overtake";
  plane.handler.room = true;
  plane.run();
  ASSERT_EQ(plane.handler.messages.size(), 2u);
  EXPECT_EQ(plane.handler.messages[0].payload, "a");
  EXPECT_EQ(plane.handler.messages[1].payload, "b");
  EXPECT_EQ(plane.handler.downs.size(), 1u);
  EXPECT_EQ(brief(registrar.receive_all()), (Lines{"Welcome", "done", "up 1", "Resume"}));
}

TEST(ChannelBackPressure, an_answer_without_room_survives_its_registrars_death) {
  DataPlaneEnd plane;
  auto registrar = std::make_unique<BareRegistrar>(plane.options.path, 1);
  plane.up(1);
  plane.message(1, "question");
  plane.run();
  plane.handler.room = false;
  registrar->send(plane.answer(1, 1));
  registrar->send(plane.ack(1, 1));
  registrar.reset();
  BareRegistrar next(plane.options.path, 2);
  for (int i = 0; i < 5; ++i) plane.server->run_once();
  EXPECT_TRUE(next.receive_all().empty()) << "the dead one's last words come first";
  plane.handler.room = true;
  plane.run();
  EXPECT_EQ(plane.handler.answers_to(1, 1), 1u);
  EXPECT_EQ(brief(next.receive_all()), (Lines{"Welcome", "up 1*", "done"}));
}

TEST(ChannelBackPressure, one_call_reads_a_bounded_share) {
  DataPlaneEnd plane([](auto& o) { o.packets_a_call = 4; });
  BareRegistrar registrar(plane.options.path, 1);
  plane.run();
  for (uint32_t i = 0; i < 10; ++i) registrar.send(PeDown{"P", i, 1});
  plane.server->run_once();
  EXPECT_EQ(plane.handler.downs.size(), 4u);
  plane.run();
  EXPECT_EQ(plane.handler.downs.size(), 10u);
}

}  // namespace
}  // namespace poolgate::channel_test
