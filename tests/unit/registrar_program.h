// SPDX-License-Identifier: BSD-3-Clause
// poolgate-registrar itself, as a child process: started, killed and told things as an init system or an
// operator does.
#pragma once

#include <fcntl.h>
#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

#include <fstream>
#include <thread>

#include "tests/unit/registrar_end.h"

namespace poolgate::registrar_test {

// A child process; killed, if it still runs, when the test ends.
class Program {
 public:
  // `environment`: of "NAME=value", besides the test's own.
  Program(std::vector<std::string> arguments, const std::string& output,
          const std::vector<std::string>& environment = {}) {
    arguments.insert(arguments.begin(), POOLGATE_REGISTRAR);
    std::vector<char*> argv;
    for (std::string& a : arguments) argv.push_back(a.data());
    argv.push_back(nullptr);
    pid_ = ::fork();
    if (pid_ == 0) {
      const int fd = ::open(output.c_str(), O_WRONLY | O_CREAT | O_APPEND, 0600);
      ::dup2(fd, 1);
      ::dup2(fd, 2);
      for (const std::string& e : environment) ::putenv(const_cast<char*>(e.c_str()));
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
  // It has ended by itself; wait() tells how.
  bool ended() const {
    siginfo_t info{};
    return ::waitid(P_PID, static_cast<id_t>(pid_), &info, WEXITED | WNOHANG | WNOWAIT) == 0 &&
           info.si_pid == pid_;
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
  std::unique_ptr<Program> start(std::vector<std::string> more = {},
                                 const std::vector<std::string>& environment = {}) {
    std::vector<std::string> arguments{"--config", file()};
    arguments.insert(arguments.end(), more.begin(), more.end());
    return std::make_unique<Program>(arguments, plane.folder.file("log"), environment);
  }
  // The same with a library of tests/tools in front of it.
  std::unique_ptr<Program> start_behind(const std::string& library, std::vector<std::string> environment) {
    const char* sanitizer = std::getenv("ASAN_OPTIONS");
    environment.push_back("LD_PRELOAD=" + library);
    environment.push_back("ASAN_OPTIONS=" + std::string(sanitizer != nullptr ? sanitizer : "") +
                          ":verify_asan_link_order=0");
    return start({}, environment);
  }
  static std::vector<size_t> where(const std::string& text, const std::string& what) {
    std::vector<size_t> places;
    for (size_t at = text.find(what); at != std::string::npos; at = text.find(what, at + 1))
      places.push_back(at);
    return places;
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

}  // namespace poolgate::registrar_test
