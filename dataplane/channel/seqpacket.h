// SPDX-License-Identifier: BSD-3-Clause
// Non-blocking unix SOCK_SEQPACKET sockets.
#pragma once

#include <span>
#include <string>
#include <string_view>
#include <utility>

#include "controlplane/rserpool/result.h"

namespace poolgate::dataplane {

class FileDescriptor {
 public:
  FileDescriptor() = default;
  explicit FileDescriptor(int fd) : fd_(fd) {}
  FileDescriptor(FileDescriptor&& other) noexcept : fd_(std::exchange(other.fd_, -1)) {}
  FileDescriptor& operator=(FileDescriptor&& other) noexcept {
    if (this != &other) {
      reset();
      fd_ = std::exchange(other.fd_, -1);
    }
    return *this;
  }
  ~FileDescriptor() { reset(); }
  void reset();
  int get() const { return fd_; }
  explicit operator bool() const { return fd_ >= 0; }

 private:
  int fd_ = -1;
};

// Binds and listens; takes the place of a socket file whose process is dead, never of a living one's.
Result<FileDescriptor> listen_seqpacket(const std::string& path);
// An invalid descriptor if nobody waits.
FileDescriptor accept_seqpacket(int listener);

enum class Io { done, again, closed };
// One packet, whole.
Io send_packet(int fd, std::string_view packet);
// `buffer` is as long as a packet may be; on done, `size` says how much of it was filled. A longer packet
// comes cut, with a `size` beyond the buffer's.
Io receive_packet(int fd, std::string& buffer, size_t& size);

// Of the descriptors that `epoll` watches (by their numbers) those that have something now, into `out`;
// returns how many.
size_t ready_descriptors(int epoll, std::span<int> out);

}  // namespace poolgate::dataplane
