// SPDX-License-Identifier: BSD-3-Clause
#include "controlplane/transport/command_socket.h"

#include <fcntl.h>
#include <poll.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <optional>

namespace poolgate::transport {

namespace {

constexpr int kSlowMs = 5000;

class Fd {
 public:
  explicit Fd(int fd) : fd_(fd) {}
  ~Fd() {
    if (fd_ >= 0) close(fd_);
  }
  Fd(const Fd&) = delete;
  Fd& operator=(const Fd&) = delete;
  int get() const { return fd_; }
  int release() { return std::exchange(fd_, -1); }

 private:
  int fd_;
};

std::optional<sockaddr_un> address_of(const std::string& path) {
  sockaddr_un a{};
  a.sun_family = AF_UNIX;
  if (path.size() >= sizeof a.sun_path) return std::nullopt;
  std::memcpy(a.sun_path, path.c_str(), path.size() + 1);
  return a;
}

bool connect_to(int fd, const sockaddr_un& a) {
  return connect(fd, reinterpret_cast<const sockaddr*>(&a), sizeof a) == 0;
}

bool wait_for(int fd, short events) {
  pollfd p{fd, events, 0};
  return poll(&p, 1, kSlowMs) == 1;
}

bool write_all(int fd, std::string_view text) {
  while (!text.empty()) {
    if (!wait_for(fd, POLLOUT)) return false;
    const ssize_t n = send(fd, text.data(), text.size(), MSG_NOSIGNAL);
    if (n < 0) return false;
    text.remove_prefix(static_cast<size_t>(n));
  }
  return true;
}

// Reads to the end, at most `limit` bytes; nullopt on error, time-out or excess.
std::optional<std::string> read_all(int fd, size_t limit) {
  std::string text;
  char block[16 * 1024];
  for (;;) {
    if (!wait_for(fd, POLLIN)) return std::nullopt;
    const ssize_t n = recv(fd, block, sizeof block, 0);
    if (n < 0) return std::nullopt;
    if (n == 0) return text;
    if (text.size() + static_cast<size_t>(n) > limit) return std::nullopt;
    text.append(block, static_cast<size_t>(n));
  }
}

}  // namespace

Result<bool> CommandServer::start(const std::string& path, Handler handler) {
  const auto a = address_of(path);
  if (!a) return Error{path + ": a unix socket's path has at most 107 bytes"};
  {
    Fd probe(socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0));
    if (connect_to(probe.get(), *a)) return Error{path + ": another process serves there"};
  }
  Fd fd(socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0));
  unlink(path.c_str());
  const mode_t old = umask(0177);
  const bool bound = fd.get() >= 0 && bind(fd.get(), reinterpret_cast<const sockaddr*>(&*a), sizeof *a) == 0;
  umask(old);
  if (!bound || listen(fd.get(), 16) != 0) return Error{path + ": " + std::strerror(errno)};
  path_ = path;
  handler_ = std::move(handler);
  listener_ = fd.release();
  stopping_ = false;
  thread_ = std::thread([this] { serve(); });
  return true;
}

void CommandServer::stop() {
  if (!thread_.joinable()) return;
  stopping_ = true;
  shutdown(listener_, SHUT_RDWR);  // wakes accept
  thread_.join();
  close(std::exchange(listener_, -1));
  unlink(path_.c_str());
}

void CommandServer::serve() {
  while (!stopping_) {
    Fd client(accept4(listener_, nullptr, nullptr, SOCK_CLOEXEC));
    if (client.get() >= 0) {
      answer(client.get());
    } else if (!stopping_ && errno != EINTR) {
      poll(nullptr, 0, 100);  // out of descriptors: try again, but do not spin
    }
  }
}

void CommandServer::answer(int client) {
  const auto line = read_all(client, kMaxCommandLine);
  if (!line) {
    write_all(client, "error\nthe command did not arrive whole, or is over 64 KiB\n");
    return;
  }
  const auto result = handler_(*line);
  const std::string text = result ? "ok\n" + *result : "error\n" + result.error().text + "\n";
  write_all(client, text);
}

Result<std::string> ask(const std::string& path, std::string_view line) {
  const auto a = address_of(path);
  if (!a) return Error{path + ": a unix socket's path has at most 107 bytes"};
  if (line.size() > kMaxCommandLine) return Error{"a command has at most 64 KiB"};
  Fd fd(socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0));
  if (!connect_to(fd.get(), *a))
    return Error{path + ": " + std::strerror(errno) +
                 (errno == EACCES ? " (it is for root)" : " (is the process running?)")};
  if (!write_all(fd.get(), line) || shutdown(fd.get(), SHUT_WR) != 0)
    return Error{path + ": " + std::strerror(errno)};
  const auto reply = read_all(fd.get(), SIZE_MAX);
  if (!reply) return Error{path + ": no whole answer came within 5 s"};
  if (reply->starts_with("ok\n")) return reply->substr(3);
  std::string text = reply->starts_with("error\n") ? reply->substr(6) : "no answer";
  while (text.ends_with('\n')) text.pop_back();
  return Error{text};
}

}  // namespace poolgate::transport
