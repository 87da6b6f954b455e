// SPDX-License-Identifier: BSD-3-Clause
// The program itself: started, killed and told things as an init system or an operator does.
#include <fcntl.h>
#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

#include <fstream>
#include <random>
#include <thread>

#include "controlplane/transport/command_socket.h"
#include "tests/unit/registrar_end.h"

namespace poolgate::registrar_test {
namespace {

// A child process; killed, if it still runs, when the test ends.
class Program {
 public:
  Program(std::vector<std::string> arguments, const std::string& output) {
    arguments.insert(arguments.begin(), POOLGATE_REGISTRAR);
    std::vector<char*> argv;
    for (std::string& a : arguments) argv.push_back(a.data());
    argv.push_back(nullptr);
    pid_ = ::fork();
    if (pid_ == 0) {
      const int fd = ::open(output.c_str(), O_WRONLY | O_CREAT | O_APPEND, 0600);
      ::dup2(fd, 1);
      ::dup2(fd, 2);
      ::execv(argv[0], argv.data());
      ::_exit(127);
    }
  }
  ~Program() {
    if (pid_ > 0) end(SIGKILL);
  }
  void signal(int number) const { ::kill(pid_, number); }
  // Its exit code, or minus the signal that ended it.
  int wait() {
    int status = 0;
    ::waitpid(std::exchange(pid_, -1), &status, 0);
    return WIFEXITED(status) ? WEXITSTATUS(status) : -WTERMSIG(status);
  }
  int end(int number) {
    signal(number);
    return wait();
  }

 private:
  pid_t pid_ = -1;
};

class RegistrarBinary : public ::testing::Test {
 protected:
  RegistrarBinary() { write_config(""); }
  void write_config(const std::string& more) {
    std::ofstream(file()) << "[general]\nrun_dir = \"" << plane.folder.path() << "\"\nstate_dir = \""
                          << plane.folder.file("state") << "\"\n[registrar]\nkeepalive_interval_ms = 0\n"
                          << more;
  }
  std::string file() const { return plane.folder.file("poolgate.toml"); }
  std::string log() const {
    std::ifstream in(plane.folder.file("log"));
    return {std::istreambuf_iterator<char>(in), {}};
  }
  std::unique_ptr<Program> start(std::vector<std::string> more = {}) {
    std::vector<std::string> arguments{"--config", file()};
    arguments.insert(arguments.end(), more.begin(), more.end());
    return std::make_unique<Program>(arguments, plane.folder.file("log"));
  }
  template <class Condition>
  bool until(Condition&& condition) {
    const auto stop = std::chrono::steady_clock::now() + std::chrono::seconds(60);
    while (!condition()) {
      if (std::chrono::steady_clock::now() > stop) return false;
      if (plane.server->run_once() == 0) std::this_thread::sleep_for(std::chrono::microseconds(100));
    }
    return true;
  }

  DataPlaneEnd plane;
};

TEST_F(RegistrarBinary, check_accepts_a_good_file_and_names_file_line_and_reason_of_a_bad_one) {
  EXPECT_EQ(start({"--check"})->wait(), 0);
  EXPECT_EQ(log(), file() + ": ok\n");
  write_config("tcp_listen = 17\n");
  EXPECT_EQ(start({"--check"})->wait(), 1);
  EXPECT_NE(log().find(file() + ":6: "), std::string::npos) << log();
}

TEST_F(RegistrarBinary, a_missing_file_is_an_error_and_a_term_is_a_clean_end) {
  Program missing({"--config", "/nonexistent.toml"}, plane.folder.file("log"));
  EXPECT_EQ(missing.wait(), 1);
  EXPECT_NE(log().find("/nonexistent.toml"), std::string::npos);
  auto registrar = start();
  ASSERT_TRUE(until([&] { return plane.server->registrar_connected(); })) << log();
  EXPECT_TRUE(std::filesystem::exists(plane.folder.file("registrar.pid")));
  EXPECT_EQ(registrar->end(SIGTERM), 0);
  EXPECT_FALSE(std::filesystem::exists(plane.folder.file("registrar.pid")));
  EXPECT_FALSE(std::filesystem::exists(plane.folder.file("registrar-cli.sock")));
}

TEST_F(RegistrarBinary, a_hangup_reloads_and_a_bad_file_leaves_the_old_configuration) {
  auto registrar = start();
  ASSERT_TRUE(until([&] { return plane.server->registrar_connected(); })) << log();
  write_config("max_pools = \"many\"\n");
  registrar->signal(SIGHUP);
  ASSERT_TRUE(until([&] { return log().find("the old configuration stays") != std::string::npos; })) << log();
  write_config("max_pools = 7\n");
  registrar->signal(SIGHUP);
  ASSERT_TRUE(until([&] { return log().find("configuration reloaded") != std::string::npos; })) << log();
  EXPECT_EQ(registrar->end(SIGTERM), 0);
}

TEST_F(RegistrarBinary, killed_at_any_moment_it_loses_no_registration_and_answers_each_once) {
  constexpr uint32_t kElements = 400;
  constexpr unsigned kKills = 25;
  std::mt19937 random(1);
  plane.up(1);
  uint32_t submitted = 0;
  const auto feed = [&](uint32_t window) {
    if (submitted == kElements || plane.server->unacknowledged() >= window) return;
    ++submitted;
    plane.message(1, registration("EchoPool", submitted));
  };
  // Moments are counted in messages, not in time: on any machine, of 25 lives some end before the registrar
  // has connected, some with work in every stage of the pipe, some just after an acknowledgement. What
  // remains is for the last life.
  for (unsigned kill = 1; kill <= kKills; ++kill) {
    const auto registrar = start();
    const uint32_t moment = kill * (kElements - 40) / kKills + random() % 15;
    const uint32_t window = 1 + random() % 20;
    const bool by_acknowledged = random() % 2 == 0;
    ASSERT_TRUE(until([&] {
      feed(window);
      return (by_acknowledged ? submitted - plane.server->unacknowledged() : submitted) >= moment;
    })) << log();
    registrar->end(SIGKILL);
  }
  const auto registrar = start();
  ASSERT_TRUE(until([&] {
    feed(20);
    return submitted == kElements && plane.server->unacknowledged() == 0;
  })) << log();
  for (uint32_t n = 1; n <= kElements; ++n) ASSERT_EQ(plane.handler.answers_to(1, n), 1u) << n;
  size_t told = 0;
  ASSERT_TRUE(until([&] {
    for (const auto& t : plane.handler.transactions)
      for (const auto& chunk : t.pools) told = chunk.elements.size();
    return told == kElements;
  })) << told;
  EXPECT_EQ(registrar->end(SIGTERM), 0);
}

}  // namespace
}  // namespace poolgate::registrar_test
