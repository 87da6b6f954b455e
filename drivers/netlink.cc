// SPDX-License-Identifier: BSD-3-Clause
#include "drivers/netlink.h"

#include <libmnl/libmnl.h>
#include <linux/rtnetlink.h>
#include <poll.h>
#include <sys/socket.h>

#include <cerrno>
#include <cstring>
#include <memory>
#include <utility>

namespace poolgate::drivers {
namespace {

constexpr int kReceiveBuffer = 4 << 20;
constexpr size_t kDatagram = 32768;  // the kernel's dumps fill at most this
constexpr int kAnswerMs = 2000;

}  // namespace

NetlinkSocket::~NetlinkSocket() {
  if (socket_ != nullptr) mnl_socket_close(socket_);
}

NetlinkSocket::NetlinkSocket(NetlinkSocket&& other) noexcept
    : socket_(std::exchange(other.socket_, nullptr)), sequence_(other.sequence_) {}

NetlinkSocket& NetlinkSocket::operator=(NetlinkSocket&& other) noexcept {
  std::swap(socket_, other.socket_);
  std::swap(sequence_, other.sequence_);
  return *this;
}

Result<NetlinkSocket> NetlinkSocket::open(uint32_t groups) {
  NetlinkSocket opened;
  opened.socket_ = mnl_socket_open2(NETLINK_ROUTE, SOCK_CLOEXEC | SOCK_NONBLOCK);
  if (opened.socket_ == nullptr) return Error{std::string("netlink socket: ") + std::strerror(errno)};
  // A route flap of a full table must fit; without CAP_NET_ADMIN the system's maximum has to do.
  if (setsockopt(opened.fd(), SOL_SOCKET, SO_RCVBUFFORCE, &kReceiveBuffer, sizeof kReceiveBuffer) != 0)
    setsockopt(opened.fd(), SOL_SOCKET, SO_RCVBUF, &kReceiveBuffer, sizeof kReceiveBuffer);
  if (mnl_socket_bind(opened.socket_, groups, MNL_SOCKET_AUTOPID) != 0)
    return Error{std::string("netlink bind: ") + std::strerror(errno)};
  return opened;
}

int NetlinkSocket::fd() const { return mnl_socket_get_fd(socket_); }

bool NetlinkSocket::send(const nlmsghdr* message) {
  return mnl_socket_sendto(socket_, message, message->nlmsg_len) == static_cast<ssize_t>(message->nlmsg_len);
}

int NetlinkSocket::transact(nlmsghdr* message) {
  message->nlmsg_flags |= NLM_F_ACK;
  message->nlmsg_seq = ++sequence_;
  if (!send(message)) return errno;
  int answer = ETIMEDOUT;
  bool answered = false;
  while (!answered) {
    pollfd waiting{fd(), POLLIN, 0};
    if (poll(&waiting, 1, kAnswerMs) <= 0) return ETIMEDOUT;
    const Received got = receive([&](const nlmsghdr* reply) {
      if (reply->nlmsg_type != NLMSG_ERROR || reply->nlmsg_seq != sequence_) return;
      answer = -static_cast<const nlmsgerr*>(mnl_nlmsg_get_payload(reply))->error;
      answered = true;
    });
    if (got == Received::failed) return errno;
  }
  return answer;
}

int NetlinkSocket::dump(nlmsghdr* message, const std::function<void(const nlmsghdr*)>& handle) {
  message->nlmsg_seq = ++sequence_;
  if (!send(message)) return errno;
  int answer = ETIMEDOUT;
  bool done = false;
  while (!done) {
    pollfd waiting{fd(), POLLIN, 0};
    if (poll(&waiting, 1, kAnswerMs) <= 0) return ETIMEDOUT;
    const Received got = receive([&](const nlmsghdr* reply) {
      if (reply->nlmsg_seq != sequence_) return;
      if (reply->nlmsg_type == NLMSG_ERROR)
        answer = -static_cast<const nlmsgerr*>(mnl_nlmsg_get_payload(reply))->error;
      else if (reply->nlmsg_type == NLMSG_DONE)
        answer = 0;
      else
        return handle(reply);
      done = true;
    });
    if (got == Received::failed) return errno;
    if (got == Received::overrun) return ENOBUFS;
  }
  return answer;
}

NetlinkSocket::Received NetlinkSocket::receive(const std::function<void(const nlmsghdr*)>& handle) {
  alignas(nlmsghdr) static thread_local char buffer[kDatagram];
  for (;;) {
    const ssize_t got = mnl_socket_recvfrom(socket_, buffer, sizeof buffer);
    if (got < 0) {
      if (errno == EAGAIN || errno == EWOULDBLOCK) return Received::drained;
      if (errno == EINTR) continue;
      if (errno == ENOBUFS || errno == ENOSPC) return Received::overrun;
      return Received::failed;
    }
    int left = static_cast<int>(got);
    for (const nlmsghdr* message = reinterpret_cast<const nlmsghdr*>(buffer); mnl_nlmsg_ok(message, left);
         message = mnl_nlmsg_next(message, &left))
      handle(message);
  }
}

}  // namespace poolgate::drivers
