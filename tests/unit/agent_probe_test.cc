// SPDX-License-Identifier: BSD-3-Clause
// Commands, probes and loads, with real processes and sockets.
#include "controlplane/agent/probe.h"

#include <gtest/gtest.h>
#include <signal.h>
#include <unistd.h>

#include <algorithm>
#include <asio/buffer.hpp>
#include <asio/ip/tcp.hpp>
#include <asio/ip/udp.hpp>
#include <cerrno>
#include <fstream>
#include <optional>

#include "controlplane/agent/command.h"
#include "controlplane/agent/load_source.h"

namespace poolgate::agent {
namespace {

using namespace std::chrono_literals;
constexpr auto kStop = 120s;  // for hangs only

class AgentProcesses : public ::testing::Test {
 protected:
  template <class Until>
  bool run_until(Until until) {
    const auto stop = std::chrono::steady_clock::now() + kStop;
    while (!until() && std::chrono::steady_clock::now() < stop) io.run_one_for(100ms);
    return until();
  }
  CommandResult run(const std::string& command, std::chrono::milliseconds limit = 100s) {
    std::optional<CommandResult> result;
    run_command(io, command, limit, [&](const CommandResult& r) { result = r; });
    EXPECT_TRUE(run_until([&] { return result.has_value(); }));
    return result.value_or(CommandResult{});
  }
  asio::io_context io;
};

TEST_F(AgentProcesses, a_commands_status_and_output_are_told) {
  const auto result = run("echo 0.25; exit 3");
  EXPECT_TRUE(result.ran);
  EXPECT_EQ(result.status, 3);
  EXPECT_EQ(result.output, "0.25\n");
}

TEST_F(AgentProcesses, a_command_that_takes_too_long_is_killed_with_its_children) {
  const auto result = run("sleep 1000 & echo $!; wait", 2s);
  EXPECT_FALSE(result.ran);
  const pid_t child = std::atoi(result.output.c_str());
  ASSERT_GT(child, 0);
  const auto dead = [child] {
    if (kill(child, 0) != 0) return true;
    std::ifstream stat("/proc/" + std::to_string(child) + "/stat");  // a zombie, until somebody reaps it
    std::string line;
    return std::getline(stat, line) && line.find(") Z") != std::string::npos;
  };
  EXPECT_TRUE(run_until(dead));
}

TEST_F(AgentProcesses, a_command_that_prints_without_end_is_read_and_cut) {
  const auto result = run("yes | head -c 1000000");
  EXPECT_TRUE(result.ran);
  EXPECT_EQ(result.status, 0);
  EXPECT_LE(result.output.size(), 8192u);
}

struct Heard {
  bool up;
  std::string why;
};

class AgentProbe : public AgentProcesses {
 protected:
  ProbeOptions options(const std::string& text, uint16_t port = 0) {
    ProbeOptions out = *parse_probe(text);
    out.address = *rserpool::IpAddress::parse("127.0.0.1");
    out.port = port;
    out.interval = 20ms;
    out.timeout = 60s;  // a server that answers is up, however slow the machine
    return out;
  }
  void start(const ProbeOptions& options) {
    probe.emplace(io, options, [this](bool up, const std::string& why) { heard.push_back({up, why}); });
    probe->start();
  }
  std::optional<Probe> probe;
  std::vector<Heard> heard;
};

TEST_F(AgentProbe, kinds_are_parsed_with_their_text) {
  EXPECT_EQ(parse_probe("udp:hello:1")->text, "hello:1");
  EXPECT_EQ(parse_probe("cmd:true")->kind, ProbeOptions::Kind::command);
  EXPECT_EQ(parse_probe("none")->kind, ProbeOptions::Kind::none);
  for (const char* wrong : {"", "http", "cmd:", "cmd"}) EXPECT_FALSE(parse_probe(wrong).ok()) << wrong;
}

TEST_F(AgentProbe, a_tcp_server_is_up_while_it_accepts_and_down_after_two_refusals) {
  std::optional<asio::ip::tcp::acceptor> server(std::in_place, io,
                                                asio::ip::tcp::endpoint(asio::ip::address_v4::loopback(), 0));
  const auto port = server->local_endpoint().port();
  start(options("tcp", port));
  ASSERT_TRUE(run_until([&] { return heard.size() == 1; }));
  EXPECT_TRUE(heard[0].up);
  server.reset();
  ASSERT_TRUE(run_until([&] { return heard.size() == 2; }));
  EXPECT_FALSE(heard[1].up);
  server.emplace(io, asio::ip::tcp::endpoint(asio::ip::address_v4::loopback(), port));
  ASSERT_TRUE(run_until([&] { return heard.size() == 3; }));
  EXPECT_TRUE(heard[2].up);
}

TEST_F(AgentProbe, a_udp_server_gets_the_payload_and_is_up_when_it_answers) {
  asio::ip::udp::socket server(io, asio::ip::udp::endpoint(asio::ip::address_v4::loopback(), 0));
  asio::ip::udp::endpoint from;
  std::array<char, 100> data{};
  std::string got;
  server.async_receive_from(asio::buffer(data), from, [&](asio::error_code, size_t n) {
    got.assign(data.data(), n);
    server.send_to(asio::buffer("yes", 3), from);
  });
  start(options("udp:are you there", server.local_endpoint().port()));
  ASSERT_TRUE(run_until([&] { return heard.size() == 1; }));
  EXPECT_TRUE(heard[0].up);
  EXPECT_EQ(got, "are you there");
}

TEST_F(AgentProbe, a_server_that_is_silent_from_the_start_is_told_to_be_down_once) {
  asio::ip::udp::socket server(io, asio::ip::udp::endpoint(asio::ip::address_v4::loopback(), 0));
  auto silent = options("udp:x", server.local_endpoint().port());
  silent.timeout = 30ms;
  start(silent);
  ASSERT_TRUE(run_until([&] { return heard.size() == 1; }));
  EXPECT_FALSE(heard[0].up);
  EXPECT_EQ(heard[0].why, "no answer");
  io.run_for(300ms);
  EXPECT_EQ(heard.size(), 1u);
}

TEST_F(AgentProbe, one_failure_among_answers_is_forgiven) {
  // Fails each second time.
  const std::string file = ::testing::TempDir() + "agent_probe_" + std::to_string(getpid());
  start(options("cmd:echo >>" + file + "; [ $(($(wc -l <" + file + ") % 2)) = 1 ]"));
  const auto runs = [&] {
    std::ifstream in(file);
    return std::count(std::istreambuf_iterator<char>(in), {}, '\n');
  };
  ASSERT_TRUE(run_until([&] { return runs() >= 9; }));
  ASSERT_EQ(heard.size(), 1u);
  EXPECT_TRUE(heard[0].up);
  probe.reset();
  unlink(file.c_str());
}

TEST_F(AgentProbe, a_dropped_probe_calls_nothing) {
  start(options("cmd:sleep 0.1"));
  probe.reset();
  io.run_for(400ms);
  EXPECT_TRUE(heard.empty());
}

class AgentLoad : public AgentProcesses {
 protected:
  void start(const std::string& command, const std::string& file) {
    source.emplace(io, command, file, 50ms, [this](const Result<uint32_t>& load) {
      if (load)
        loads.push_back(*load);
      else
        errors.push_back(load.error().text);
    });
    source->start();
  }
  std::optional<LoadSource> source;
  std::vector<uint32_t> loads;
  std::vector<std::string> errors;
};

TEST_F(AgentLoad, comes_from_a_commands_first_word_again_and_again) {
  start("echo 50% busy", "");
  ASSERT_TRUE(run_until([&] { return loads.size() == 2; }));
  EXPECT_EQ(loads, (std::vector<uint32_t>{0x80000000, 0x80000000}));
}

TEST_F(AgentLoad, comes_from_a_file_and_a_missing_one_is_an_error_that_names_it) {
  const std::string file = ::testing::TempDir() + "agent_load_" + std::to_string(getpid());
  start("", file);
  ASSERT_TRUE(run_until([&] { return errors.size() == 1; }));
  EXPECT_NE(errors[0].find(file), std::string::npos);
  std::ofstream(file) << "1\n";
  ASSERT_TRUE(run_until([&] { return loads.size() == 1; }));
  EXPECT_EQ(loads[0], 0xffffffffu);
  unlink(file.c_str());
}

}  // namespace
}  // namespace poolgate::agent
