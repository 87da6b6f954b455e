// SPDX-License-Identifier: BSD-3-Clause
// Asks a server whether it is alive, at intervals.
#pragma once

#include <asio/io_context.hpp>
#include <chrono>
#include <functional>
#include <memory>
#include <string>

#include "controlplane/rserpool/ip_address.h"
#include "controlplane/rserpool/result.h"
#include "controlplane/transport/sctp_socket.h"

namespace poolgate::agent {

struct ProbeOptions {
  enum class Kind : uint8_t { none, tcp, udp, sctp, command };
  Kind kind = Kind::none;
  std::string text;  // the UDP payload, or the command
  rserpool::IpAddress address;
  uint16_t port = 0;
  std::chrono::milliseconds interval{1000};
  std::chrono::milliseconds timeout{1000};
  unsigned fall = 2;  // failures in a row until it counts as down
  unsigned rise = 1;
  transport::SctpOptions sctp;
};

// "none", "tcp", "udp:PAYLOAD", "sctp", "cmd:COMMAND": kind and text.
Result<ProbeOptions> parse_probe(const std::string& text);

// One question; `done` hears the answer once, or never if the attempt is dropped.
class Attempt {
 public:
  virtual ~Attempt() = default;
};
std::unique_ptr<Attempt> ask(asio::io_context& io, const ProbeOptions& options,
                             std::function<void(bool ok, const std::string& why)> done);

// Calls `changed` when the server turns out to be up or down; down is assumed before the first answer.
class Probe {
 public:
  Probe(asio::io_context& io, ProbeOptions options,
        std::function<void(bool up, const std::string& why)> changed);
  ~Probe();
  void start();

 private:
  struct State;
  std::shared_ptr<State> state_;
};

}  // namespace poolgate::agent
