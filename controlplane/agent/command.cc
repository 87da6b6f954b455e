// SPDX-License-Identifier: BSD-3-Clause
#include "controlplane/agent/command.h"

#include <fcntl.h>
#include <signal.h>
#include <spawn.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <array>
#include <asio/buffer.hpp>
#include <asio/posix/stream_descriptor.hpp>
#include <asio/post.hpp>
#include <asio/steady_timer.hpp>

extern char** environ;

namespace poolgate::agent {

class Command : public std::enable_shared_from_this<Command> {
 public:
  Command(asio::io_context& io, std::function<void(const CommandResult&)> done)
      : io_(io), done_(std::move(done)), output_(io), process_(io), timer_(io) {}
  ~Command() {
    if (pid_ > 0) reap(true);
  }

  void start(const std::string& command, std::chrono::milliseconds limit) {
    std::array<int, 2> ends{};
    if (pipe2(ends.data(), O_CLOEXEC) != 0) return finish_later();
    if (spawn(command, ends[1])) process_fd_ = static_cast<int>(syscall(SYS_pidfd_open, pid_, 0));
    close(ends[1]);
    if (process_fd_ < 0) {
      close(ends[0]);
      if (pid_ > 0) reap(true);
      return finish_later();
    }
    asio::error_code ignored;
    output_.assign(ends[0], ignored);
    process_.assign(process_fd_, ignored);
    read();
    process_.async_wait(asio::posix::descriptor_base::wait_read,
                        [self = shared_from_this()](asio::error_code ec) {
                          if (!ec) self->exited();
                        });
    timer_.expires_after(limit);
    timer_.async_wait([self = shared_from_this()](asio::error_code ec) {
      if (ec || self->pid_ <= 0) return;
      self->reap(true);
      self->finish();
    });
  }

 private:
  bool spawn(const std::string& command, int output) {
    posix_spawn_file_actions_t actions;
    posix_spawnattr_t attributes;
    posix_spawn_file_actions_init(&actions);
    posix_spawn_file_actions_addopen(&actions, 0, "/dev/null", O_RDONLY, 0);
    posix_spawn_file_actions_adddup2(&actions, output, 1);
    posix_spawnattr_init(&attributes);
    posix_spawnattr_setflags(&attributes, POSIX_SPAWN_SETPGROUP);  // killed with its children
    posix_spawnattr_setpgroup(&attributes, 0);
    std::string shell = "sh";
    std::string flag = "-c";
    std::string text = command;
    const std::array<char*, 4> arguments = {shell.data(), flag.data(), text.data(), nullptr};
    pid_t pid = -1;
    const int error = posix_spawn(&pid, "/bin/sh", &actions, &attributes, arguments.data(), environ);
    posix_spawn_file_actions_destroy(&actions);
    posix_spawnattr_destroy(&attributes);
    if (error == 0) pid_ = pid;
    return error == 0;
  }

  void read() {
    output_.async_read_some(
        asio::buffer(buffer_), [self = shared_from_this()](asio::error_code ec, size_t n) {
          if (ec) return;
          constexpr size_t kMost = 4096;
          self->result_.output.append(self->buffer_.data(),
                                      std::min(n, kMost - std::min(kMost, self->result_.output.size())));
          self->read();
        });
  }

  void exited() {
    if (pid_ <= 0) return;
    reap(false);
    // What it wrote before it ended may still be in the pipe.
    asio::error_code ec;
    output_.non_blocking(true, ec);
    while (!ec && result_.output.size() < 4096) {
      const size_t n = output_.read_some(asio::buffer(buffer_), ec);
      if (!ec) result_.output.append(buffer_.data(), n);
    }
    finish();
  }

  void reap(bool kill_it) {
    if (kill_it) kill(-pid_, SIGKILL);
    int status = 0;
    if (waitpid(pid_, &status, 0) == pid_ && !kill_it && WIFEXITED(status)) {
      result_.ran = true;
      result_.status = WEXITSTATUS(status);
    }
    pid_ = -1;
  }

  void finish_later() {
    asio::post(io_, [self = shared_from_this()] { self->finish(); });
  }

  void finish() {
    asio::error_code ignored;
    output_.close(ignored);
    process_.close(ignored);
    timer_.cancel();
    if (done_) std::exchange(done_, nullptr)(result_);
  }

  asio::io_context& io_;
  std::function<void(const CommandResult&)> done_;
  asio::posix::stream_descriptor output_;
  asio::posix::stream_descriptor process_;
  asio::steady_timer timer_;
  std::array<char, 4096> buffer_{};
  CommandResult result_;
  pid_t pid_ = -1;
  int process_fd_ = -1;
};

std::shared_ptr<Command> run_command(asio::io_context& io, const std::string& command,
                                     std::chrono::milliseconds limit,
                                     std::function<void(const CommandResult&)> done) {
  auto out = std::make_shared<Command>(io, std::move(done));
  out->start(command, limit);
  return out;
}

}  // namespace poolgate::agent
