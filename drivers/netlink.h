// SPDX-License-Identifier: BSD-3-Clause
#pragma once

#include <cstdint>
#include <functional>

#include "controlplane/rserpool/result.h"

struct mnl_socket;
struct nlmsghdr;

namespace poolgate::drivers {

// An rtnetlink socket.
class NetlinkSocket {
 public:
  enum class Received : uint8_t { drained, overrun, failed };

  NetlinkSocket() = default;
  ~NetlinkSocket();
  NetlinkSocket(NetlinkSocket&& other) noexcept;
  NetlinkSocket& operator=(NetlinkSocket&& other) noexcept;

  // `groups`: RTMGRP_* bits to subscribe to.
  static Result<NetlinkSocket> open(uint32_t groups);

  int fd() const;
  bool send(const nlmsghdr* message);
  // Sends a request with NLM_F_ACK set and waits for the kernel's answer (it comes at once). 0 or an errno.
  int transact(nlmsghdr* message);
  // Sends a request for a dump and hands over each of its messages, waiting for the last. 0 or an errno.
  int dump(nlmsghdr* message, const std::function<void(const nlmsghdr*)>& handle);
  // Calls `handle` for every message that waits; never blocks.
  Received receive(const std::function<void(const nlmsghdr*)>& handle);

 private:
  mnl_socket* socket_ = nullptr;
  uint32_t sequence_ = 0;
};

}  // namespace poolgate::drivers
