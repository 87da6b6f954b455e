// SPDX-License-Identifier: BSD-3-Clause
// The registrar's process over the real channel, journal and sockets: what a registration sets off, what
// survives a death, who else is served.
#include "controlplane/registrar/process/registrar_process.h"

#include <asio/connect.hpp>
#include <asio/read.hpp>
#include <asio/write.hpp>
#include <future>
#include <nlohmann/json.hpp>
#include <thread>

#include "tests/unit/registrar_end.h"

namespace poolgate::registrar_test {
namespace {

using channel::MessageDown;

// Its handle is a view into the message.
asap::RegistrationResponse registration_response(const MessageDown& m) {
  const auto parsed = asap::parse(m.payload);
  EXPECT_TRUE(parsed.ok());
  return std::get<asap::RegistrationResponse>(parsed->message);
}

TEST(RegistrarProcess, a_registration_is_answered_acknowledged_and_the_pool_table_follows) {
  Appliance a;
  a.start();
  ASSERT_TRUE(a.in_step());
  a.plane.up(1);
  a.plane.message(1, registration("EchoPool", 17));
  ASSERT_TRUE(a.until([&] { return a.plane.server->unacknowledged() == 0 && a.told("EchoPool") == 1; }));
  ASSERT_EQ(a.plane.handler.messages.size(), 1u);
  const auto response = registration_response(a.plane.handler.messages[0]);
  EXPECT_EQ(response.handle, "EchoPool");
  EXPECT_EQ(response.pe_id, 17u);
  EXPECT_FALSE(response.rejected);
  EXPECT_EQ(a.plane.handler.messages[0].answers, 1u);
  const auto& pe = a.plane.handler.transactions.back().pools.at(0).elements.at(0);
  EXPECT_EQ(pe.id, 17u);
  EXPECT_EQ(pe.transport.port, 7);
}

TEST(RegistrarProcess, changes_of_one_moment_are_one_transaction) {
  Appliance a;
  a.start();
  ASSERT_TRUE(a.in_step());
  const size_t before = a.plane.handler.transactions.size();
  a.plane.up(1);
  for (uint32_t id = 1; id <= 20; ++id) a.plane.message(1, registration("EchoPool", id));
  ASSERT_TRUE(a.until([&] { return a.told("EchoPool") == 20; }));
  EXPECT_LE(a.plane.handler.transactions.size() - before, 3u);
}

TEST(RegistrarProcess, registrations_survive_a_death_and_the_whole_table_is_told_again) {
  Appliance a;
  a.start();
  a.plane.up(1);
  for (uint32_t id = 1; id <= 5; ++id) a.plane.message(1, registration("EchoPool", id));
  ASSERT_TRUE(a.until([&] { return a.told("EchoPool") == 5; }));
  const auto identity = a.process().identity();
  a.kill();
  a.plane.run();
  EXPECT_FALSE(a.plane.server->registrar_connected());
  a.start();
  EXPECT_EQ(a.process().core().element_count(), 5u);
  ASSERT_TRUE(a.in_step());
  EXPECT_EQ(a.process().identity().server_id, identity.server_id);
  EXPECT_EQ(a.process().identity().incarnation, identity.incarnation + 1);
  EXPECT_TRUE(a.plane.handler.transactions.back().full);
  EXPECT_EQ(a.told("EchoPool"), 5);
  EXPECT_EQ(a.process().core().elements("EchoPool", 0).at(0).confirmed, true)
      << "its association was replayed";
}

TEST(RegistrarProcess, a_death_between_journal_and_answer_repeats_the_stored_answer_and_registers_once) {
  Appliance a;
  a.start();
  ASSERT_TRUE(a.in_step());
  a.plane.up(1);
  a.plane.handler.room = false;  // the answer reaches the data plane's socket, and no further
  a.plane.message(1, registration("EchoPool", 17));
  ASSERT_TRUE(a.until([&] { return a.process().core().counters().registrations == 1; }));
  a.kill();
  a.plane.handler.room = true;
  a.plane.run();
  a.start();
  ASSERT_TRUE(a.in_step());
  EXPECT_EQ(a.plane.handler.answers_to(1, 1), 1u);
  EXPECT_EQ(a.process().core().counters().registrations, 0u) << "it was in the journal";
  EXPECT_EQ(a.process().core().element_count(), 1u);
  EXPECT_EQ(a.plane.server->unacknowledged(), 0u);
}

TEST(RegistrarProcess, what_came_while_no_registrar_ran_is_served_by_the_next) {
  Appliance a;
  a.plane.up(1);
  a.plane.message(1, registration("EchoPool", 17));
  a.start();
  ASSERT_TRUE(a.until([&] { return a.told("EchoPool") == 1; }));
  EXPECT_EQ(a.plane.handler.answers_to(1, 1), 1u);
}

TEST(RegistrarProcess, an_association_lost_while_no_registrar_ran_takes_its_elements_with_it) {
  Appliance a;
  a.start();
  a.plane.up(1);
  a.plane.message(1, registration("EchoPool", 17));
  ASSERT_TRUE(a.until([&] { return a.told("EchoPool") == 1; }));
  a.kill();
  a.plane.run();
  a.plane.down(1);
  a.start();
  ASSERT_TRUE(a.in_step());
  EXPECT_EQ(a.told("EchoPool"), -1);
}

TEST(RegistrarProcess, a_lost_association_is_told_as_pe_down_and_the_pool_goes) {
  Appliance a;
  a.start();
  a.plane.up(1);
  a.plane.message(1, registration("EchoPool", 17));
  ASSERT_TRUE(a.until([&] { return a.told("EchoPool") == 1; }));
  a.plane.server->submit(channel::AssociationDown{{0, 0, 1}, 0, channel::DownReason::lost});
  ASSERT_TRUE(a.until([&] { return a.told("EchoPool") == -1; }));
  ASSERT_EQ(a.plane.handler.downs.size(), 1u);
  EXPECT_EQ(a.plane.handler.downs[0].handle, "EchoPool");
  EXPECT_EQ(a.plane.handler.downs[0].pe_id, 17u);
}

TEST(RegistrarProcess, a_refused_table_is_told_again_whole) {
  Appliance a;
  a.plane.handler.refuse = "no memory";
  a.start();
  ASSERT_TRUE(a.until([&] { return a.plane.handler.transactions.size() == 1; }));
  a.plane.handler.refuse.clear();
  ASSERT_TRUE(a.until([&] { return a.plane.handler.transactions.size() == 2; }));
  EXPECT_TRUE(a.plane.handler.transactions[1].full);
}

// ---- ASAP over TCP

class TcpUser {
 public:
  explicit TcpUser(uint16_t port) : socket_(loop_) {
    asio::error_code error;
    socket_.connect({asio::ip::address_v4::loopback(), port}, error);
    EXPECT_FALSE(error) << error.message();
    socket_.non_blocking(true);
  }
  void send(const std::string& text) { asio::write(socket_, asio::buffer(text)); }
  // What has come so far; `closed` tells the end.
  const std::string& received() {
    char block[4096];
    for (asio::error_code error;;) {
      const size_t n = socket_.read_some(asio::buffer(block), error);
      received_.append(block, n);
      closed = error == asio::error::eof || error == asio::error::connection_reset;
      if (error) return received_;
    }
  }
  bool closed = false;

 private:
  asio::io_context loop_;
  asio::ip::tcp::socket socket_;
  std::string received_;
};

TEST(RegistrarTcp, a_resolution_is_answered_though_it_comes_byte_by_byte) {
  Appliance a;
  a.config.registrar.tcp_listen = {{*rserpool::IpAddress::parse("127.0.0.1"), 0}};
  a.start();
  a.plane.up(1);
  a.plane.message(1, registration("EchoPool", 17));
  ASSERT_TRUE(a.until([&] { return a.told("EchoPool") == 1; }));
  TcpUser user(a.process().tcp_ports().at(0));
  asap::HandleResolution question;
  question.handle = "EchoPool";
  const std::string one = bytes(question);
  for (const char byte : one) {
    user.send(std::string(1, byte));
    a.life->loop.run_one_for(std::chrono::milliseconds(1));
  }
  user.send(one + one);  // and two in one segment
  ASSERT_TRUE(
      a.until([&] { return user.received().size() >= 3 && a.process().core().counters().resolutions == 3; }));
  std::string_view all = user.received();
  size_t size = 0;
  ASSERT_TRUE(a.until([&] {
    all = user.received();
    size = asap::stream_message_size(all);
    return size != 0 && all.size() == 3 * size;
  }));
  const auto answer = asap::parse(all.substr(0, size));
  ASSERT_TRUE(answer.ok());
  const auto& response = std::get<asap::HandleResolutionResponse>(answer->message);
  ASSERT_EQ(response.elements.size(), 1u);
  EXPECT_EQ(response.elements[0].id, 17u);
}

TEST(RegistrarTcp, a_length_that_cannot_be_ends_the_connection) {
  Appliance a;
  a.config.registrar.tcp_listen = {{*rserpool::IpAddress::parse("127.0.0.1"), 0}};
  a.start();
  TcpUser user(a.process().tcp_ports().at(0));
  user.send(std::string("\x05\0\0\0", 4));
  ASSERT_TRUE(a.until([&] { return user.received(), user.closed; }));
}

class TcpRecorder : public registrar::TcpEvents {
 public:
  void tcp_up(uint64_t, const rserpool::IpAddress&) override { ++ups; }
  void tcp_message(uint64_t, std::string_view) override {}
  void tcp_down(uint64_t) override { ++downs; }
  void tcp_batch_done() override {}
  void tcp_note(const std::string& text, bool) override { notes.push_back(text); }
  unsigned ups = 0, downs = 0;
  std::vector<std::string> notes;
};

TEST(RegistrarTcp, connections_are_bounded_in_all_and_a_peer) {
  asio::io_context loop;
  TcpRecorder events;
  registrar::TcpLimits limits;
  limits.connections_a_peer = 3;
  registrar::TcpServer server(loop, limits, events);
  server.listen({{*rserpool::IpAddress::parse("127.0.0.1"), 0}});
  std::vector<std::unique_ptr<TcpUser>> users;
  for (int i = 0; i < 5; ++i) users.push_back(std::make_unique<TcpUser>(server.ports().at(0)));
  while (events.ups + server.counters().refused < 5) loop.run_one_for(std::chrono::seconds(5));
  EXPECT_EQ(server.connections(), 3u);
  EXPECT_EQ(server.counters().refused, 2u);
}

TEST(RegistrarTcp, idle_connections_are_closed) {
  asio::io_context loop;
  TcpRecorder events;
  registrar::TcpLimits limits;
  limits.idle = std::chrono::milliseconds(20);
  registrar::TcpServer server(loop, limits, events);
  server.listen({{*rserpool::IpAddress::parse("127.0.0.1"), 0}});
  TcpUser user(server.ports().at(0));
  while (events.downs == 0) loop.run_one_for(std::chrono::seconds(5));
  EXPECT_EQ(server.counters().idle_closed, 1u);
  EXPECT_EQ(server.connections(), 0u);
}

TEST(RegistrarTcp, a_port_in_use_is_said_once_and_taken_when_it_is_free) {
  asio::io_context loop;
  TcpRecorder events;
  registrar::TcpServer server(loop, {}, events);
  server.listen({{*rserpool::IpAddress::parse("127.0.0.1"), 0}});
  const uint16_t port = server.ports().at(0);
  registrar::TcpLimits limits;
  limits.listen_retry = std::chrono::milliseconds(10);
  registrar::TcpServer second(loop, limits, events);
  second.listen({{*rserpool::IpAddress::parse("127.0.0.1"), port}});
  ASSERT_EQ(events.notes.size(), 1u);
  EXPECT_NE(events.notes[0].find("in use"), std::string::npos) << events.notes[0];
  while (second.counters().listen_failed < 3) loop.run_one_for(std::chrono::seconds(5));
  EXPECT_EQ(events.notes.size(), 1u);
  EXPECT_EQ(second.ports().size(), 0u);

  server.stop();
  while (second.ports().empty()) loop.run_one_for(std::chrono::seconds(5));
  ASSERT_EQ(events.notes.size(), 2u);
  EXPECT_NE(events.notes[1].find("listens now"), std::string::npos) << events.notes[1];
  TcpUser user(port);
  while (events.ups == 0) loop.run_one_for(std::chrono::seconds(5));
  EXPECT_EQ(second.connections(), 1u);
}

TEST(RegistrarTcp, a_port_in_use_that_is_wanted_no_more_is_not_tried_again) {
  asio::io_context loop;
  TcpRecorder events;
  registrar::TcpServer server(loop, {}, events);
  server.listen({{*rserpool::IpAddress::parse("127.0.0.1"), 0}});
  registrar::TcpLimits limits;
  limits.listen_retry = std::chrono::milliseconds(10);
  registrar::TcpServer second(loop, limits, events);
  second.listen({{*rserpool::IpAddress::parse("127.0.0.1"), server.ports().at(0)}});
  second.listen({});
  server.stop();
  loop.run_for(std::chrono::milliseconds(50));
  EXPECT_EQ(second.counters().listen_failed, 1u);
  EXPECT_EQ(events.notes.size(), 1u);
}

// ---- reload, commands, state

TEST(RegistrarProcess, a_reload_applies_new_limits_and_listeners_and_keeps_the_elements) {
  Appliance a;
  a.start();
  a.plane.up(1);
  a.plane.message(1, registration("EchoPool", 1));
  ASSERT_TRUE(a.until([&] { return a.told("EchoPool") == 1; }));
  config::Config next = a.config;
  next.registrar.max_elements_per_pool = 1;
  next.registrar.tcp_listen = {{*rserpool::IpAddress::parse("127.0.0.1"), 0}};
  a.process().reload(next);
  EXPECT_EQ(a.process().tcp_ports().size(), 1u);
  a.plane.message(1, registration("EchoPool", 2));
  ASSERT_TRUE(a.until([&] { return a.plane.handler.messages.size() == 2; }));
  EXPECT_TRUE(registration_response(a.plane.handler.messages[1]).rejected);
  EXPECT_EQ(a.process().core().element_count(), 1u);
}

std::string ask(Appliance& a, const std::string& line) {
  auto answer =
      std::async(std::launch::async, [&] { return transport::ask(a.config.registrar_cli_path(), line); });
  EXPECT_TRUE(a.until([&] { return answer.wait_for(std::chrono::seconds(0)) == std::future_status::ready; }));
  auto result = answer.get();
  return result.ok() ? *result : "error: " + result.error().text;
}

TEST(RegistrarCommands, show_registrar_tells_identity_channel_and_counters_as_text_and_json) {
  Appliance a;
  a.config.registrar.server_id = 0xabcdef01;
  a.start();
  ASSERT_TRUE(a.in_step());
  const auto json = nlohmann::json::parse(ask(a, "show registrar json"));
  EXPECT_EQ(json["registrar"]["server_id"], "0xabcdef01");
  EXPECT_EQ(json["registrar"]["channel"], "connected");
  EXPECT_EQ(json["registrar"]["journal"], "ok");
  EXPECT_EQ(json["counters"]["registrations"], 0);
  const std::string text = ask(a, "show registrar");
  EXPECT_NE(text.find("server_id:"), std::string::npos);
  EXPECT_NE(text.find("0xabcdef01"), std::string::npos);
}

TEST(RegistrarCommands, show_pool_lists_elements_and_handles_of_any_bytes) {
  Appliance a;
  a.start();
  a.plane.up(1);
  a.plane.message(1, registration("EchoPool", 17));
  a.plane.message(1, registration(std::string("\xff\0 x", 4), 18));
  ASSERT_TRUE(a.until([&] { return a.told("EchoPool") == 1 && a.plane.server->unacknowledged() == 0; }));
  const auto json = nlohmann::json::parse(ask(a, "show registrar pool all json"));
  ASSERT_EQ(json["pools"].size(), 2u);
  const auto one = nlohmann::json::parse(ask(a, "show pool EchoPool json"));
  ASSERT_EQ(one["pools"].size(), 1u);
  EXPECT_EQ(one["pools"][0]["elements"][0]["id"], "0x00000011");
  EXPECT_EQ(one["pools"][0]["elements"][0]["transport"], "sctp 192.0.2.1 port 7");
  const auto odd = nlohmann::json::parse(ask(a, "show pool \"\\xff\\x00 x\" json"));
  EXPECT_EQ(odd["pools"][0]["elements"][0]["id"], "0x00000012");
  EXPECT_EQ(ask(a, "show pool Nowhere"), "error: no pool \"Nowhere\" (show registrar pool lists them)");
  EXPECT_NE(ask(a, "show pool all").find("pool EchoPool: RoundRobin, 1 PEs"), std::string::npos);
}

TEST(RegistrarCommands, an_unknown_command_is_an_error_that_names_it) {
  Appliance a;
  a.start();
  EXPECT_EQ(ask(a, "make coffee"), "error: unknown command of the registrar: make coffee (try help)");
}

TEST(RegistrarProcess, a_second_registrar_on_the_state_folder_is_refused) {
  Appliance a;
  a.start();
  asio::io_context loop;
  const auto second = RegistrarProcess::make(loop, a.config, "m1");
  ASSERT_FALSE(second.ok());
  EXPECT_NE(second.error().text.find("another poolgate-registrar"), std::string::npos);
}

TEST(RegistrarProcess, a_configured_server_id_takes_over_what_the_drawn_one_owned) {
  Appliance a;
  a.start();
  a.plane.up(1);
  a.plane.message(1, registration("EchoPool", 17));
  ASSERT_TRUE(a.until([&] { return a.told("EchoPool") == 1; }));
  a.kill();
  a.config.registrar.server_id = 0x77;
  a.start();
  ASSERT_EQ(a.process().core().element_count(), 1u);
  EXPECT_EQ(a.process().core().elements("EchoPool", 0).at(0).element.home, 0x77u);
  a.kill();
  a.config.registrar.server_id = 0;
  a.start();
  EXPECT_EQ(a.process().core().server_id(), 0x77u);
}

TEST(WorkClock, without_signs_of_life_of_the_data_plane_time_stands_still) {
  constexpr registrar::Micros kMs = 1000;
  registrar::WorkClock clock;
  EXPECT_EQ(clock.now(1000 * kMs), 1000 * kMs) << "none came yet: as the real one";
  clock.beat(1000 * kMs);
  EXPECT_EQ(clock.now(1300 * kMs), 1300 * kMs);
  EXPECT_FALSE(clock.silent(1300 * kMs));
  EXPECT_EQ(clock.now(2000 * kMs), 1400 * kMs);
  EXPECT_TRUE(clock.silent(2000 * kMs));
  EXPECT_EQ(clock.now(31'000 * kMs), 1400 * kMs);
  EXPECT_EQ(clock.beat(31'000 * kMs), 30'000 * kMs);
  EXPECT_EQ(clock.now(31'100 * kMs), 1500 * kMs);
  EXPECT_EQ(clock.real(1500 * kMs), 31'100 * kMs);
  EXPECT_EQ(clock.real(registrar::kNever), registrar::kNever);
  clock.lost(31'200 * kMs);
  EXPECT_EQ(clock.now(60'000 * kMs), 30'400 * kMs) << "the channel is gone: its silence is no news";
}

TEST(RegistrarProcess, a_stopped_data_plane_costs_no_pe_that_could_not_be_heard) {
  Appliance a;
  a.config.registrar.keepalive_interval_ms = 10;
  a.config.registrar.keepalive_timeout_ms = 500;
  a.start();
  a.plane.up(1);
  a.plane.message(1, registration("EchoPool", 17));
  ASSERT_TRUE(a.until([&] {
    a.plane.server->beat();
    return a.process().core().counters().keepalives_sent > 0;
  }));
  // It neither reads nor speaks, for longer than a PE may be silent; the registrar runs on.
  const auto stop = std::chrono::steady_clock::now() + std::chrono::milliseconds(1500);
  while (std::chrono::steady_clock::now() < stop) a.life->loop.run_one_for(std::chrono::milliseconds(10));
  EXPECT_EQ(a.process().core().element_count(), 1u);
  EXPECT_EQ(a.process().core().counters().keepalives_timed_out, 0u);
  // Once it lives, what stays silent is dead.
  ASSERT_TRUE(a.until([&] {
    a.plane.server->beat();
    return a.process().core().counters().keepalives_timed_out == 1;
  }));
}

TEST(RegistrarProcess, whom_a_stopped_data_plane_made_give_up_may_come_back) {
  Appliance a;
  a.start();
  a.plane.up(1);
  a.plane.message(1, registration("EchoPool", 17));
  ASSERT_TRUE(a.until([&] {
    a.plane.server->beat();
    return a.told("EchoPool") == 1;
  }));
  const auto stop = std::chrono::steady_clock::now() + std::chrono::milliseconds(1200);
  while (std::chrono::steady_clock::now() < stop) a.life->loop.run_one_for(std::chrono::milliseconds(10));
  // What the peer did meanwhile is the data plane's first sign of life.
  a.plane.server->submit(
      channel::AssociationDown{.association = {0, 0, 1}, .reason = channel::DownReason::aborted});
  ASSERT_TRUE(a.until([&] { return a.process().core().association_count() == 0; }));
  EXPECT_EQ(a.process().core().element_count(), 1u);
  a.plane.up(2);
  a.plane.message(2, registration("EchoPool", 17));
  ASSERT_TRUE(a.until([&] { return a.process().core().counters().reregistrations == 1; }));
  EXPECT_EQ(a.told("EchoPool"), 1);
}

TEST(RegistrarLog, lines_of_one_key_are_limited_and_the_rest_is_counted) {
  registrar::RateLimitedLog log;
  const auto start = registrar::RateLimitedLog::Clock::time_point{};
  std::string suffix;
  for (unsigned i = 1; i <= registrar::RateLimitedLog::kLines; ++i) {
    EXPECT_EQ(suffix, "");
    EXPECT_TRUE(log.admit("k", start, suffix));
  }
  EXPECT_EQ(suffix, " (more like it within 10 s are counted only)");
  suffix.clear();
  for (int i = 0; i < 7; ++i) EXPECT_FALSE(log.admit("k", start + std::chrono::seconds(1), suffix));
  EXPECT_TRUE(log.admit("other", start, suffix));
  EXPECT_EQ(suffix, "");
  EXPECT_TRUE(log.admit("k", start + registrar::RateLimitedLog::kWindow, suffix));
  EXPECT_EQ(suffix, " (and 7 more like it before)");
}

}  // namespace
}  // namespace poolgate::registrar_test
