// SPDX-License-Identifier: BSD-3-Clause
#include "dataplane/channel/seqpacket.h"

#include <sys/epoll.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstring>

namespace poolgate::dataplane {
namespace {

FileDescriptor make_socket() {
  return FileDescriptor(::socket(AF_UNIX, SOCK_SEQPACKET | SOCK_NONBLOCK | SOCK_CLOEXEC, 0));
}

Error failed(const std::string& path, const char* what) {
  return Error{"channel: " + path + ": " + what + ": " + std::strerror(errno)};
}

}  // namespace

void FileDescriptor::reset() {
  if (fd_ >= 0) ::close(std::exchange(fd_, -1));
}

Result<FileDescriptor> listen_seqpacket(const std::string& path) {
  sockaddr_un at{};
  at.sun_family = AF_UNIX;
  if (path.size() >= sizeof at.sun_path)
    return Error{"channel: " + path + ": longer than the " + std::to_string(sizeof at.sun_path - 1) +
                 " bytes of a unix socket's path: choose a shorter general.run_dir"};
  std::memcpy(at.sun_path, path.c_str(), path.size());
  const auto* address = reinterpret_cast<const sockaddr*>(&at);

  FileDescriptor probe = make_socket();
  if (!probe) return failed(path, "socket");
  if (::connect(probe.get(), address, sizeof at) == 0 || errno == EAGAIN)
    return Error{"channel: " + path +
                 ": another data plane listens here: stop it, or give this one its own general.run_dir"};
  if (errno == ECONNREFUSED) ::unlink(path.c_str());

  FileDescriptor listener = make_socket();
  if (!listener) return failed(path, "socket");
  if (::bind(listener.get(), address, sizeof at) != 0) return failed(path, "bind");
  if (::chmod(path.c_str(), 0660) != 0) return failed(path, "chmod");
  if (::listen(listener.get(), 8) != 0) return failed(path, "listen");
  return listener;
}

FileDescriptor accept_seqpacket(int listener) {
  return FileDescriptor(::accept4(listener, nullptr, nullptr, SOCK_NONBLOCK | SOCK_CLOEXEC));
}

Io send_packet(int fd, std::string_view packet) {
  for (;;) {
    if (::send(fd, packet.data(), packet.size(), MSG_DONTWAIT | MSG_NOSIGNAL) >= 0) return Io::done;
    if (errno == EINTR) continue;
    return errno == EAGAIN || errno == ENOBUFS || errno == ENOMEM ? Io::again : Io::closed;
  }
}

Io receive_packet(int fd, std::string& buffer, size_t& size) {
  for (;;) {
    const ssize_t n = ::recv(fd, buffer.data(), buffer.size(), MSG_DONTWAIT | MSG_TRUNC);
    if (n > 0) {
      size = static_cast<size_t>(n);
      return Io::done;
    }
    // A peer that died with unread packets leaves ECONNRESET before its own last ones; reading the error
    // clears it.
    if (n < 0 && (errno == EINTR || errno == ECONNRESET)) continue;
    return n < 0 && errno == EAGAIN ? Io::again : Io::closed;
  }
}

size_t ready_descriptors(int epoll, std::span<int> out) {
  std::array<epoll_event, 8> events;
  const auto most = static_cast<int>(std::min(events.size(), out.size()));
  const int n = ::epoll_wait(epoll, events.data(), most, 0);
  for (int i = 0; i < n; ++i) out[static_cast<size_t>(i)] = events[static_cast<size_t>(i)].data.fd;
  return static_cast<size_t>(std::max(n, 0));
}

}  // namespace poolgate::dataplane
