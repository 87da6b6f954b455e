// SPDX-License-Identifier: BSD-3-Clause
// One flow of the lab's client: a UDP socket, a TCP connection or an SCTP association to the service.
#pragma once

#include <asio/io_context.hpp>
#include <functional>
#include <memory>
#include <string>

#include "controlplane/rserpool/ip_address.h"
#include "controlplane/transport/sctp_socket.h"

namespace poolgate::lab {

struct FlowTarget {
  rserpool::IpAddress address;
  uint16_t port = 0;
  rserpool::IpAddress source;  // not set: the kernel's choice
  transport::SctpBackend sctp = transport::SctpBackend::automatic;
};

enum class FlowEnd {
  reset,    // SCTP ABORT, TCP RST, ICMP unreachable
  refused,  // the same, or silence, before it was up
  closed,   // TCP FIN, SCTP SHUTDOWN
  lost,     // the association ended for want of answers
};

// What a flow tells its owner. None is called from within send().
struct FlowEvents {
  std::function<void(const std::string& answer)> answer;
  // What was sent and not answered is lost (UDP: perhaps); the next send() starts anew.
  std::function<void(FlowEnd)> end;
};

class Flow {
 public:
  virtual ~Flow() = default;
  // Connects first if need be. A request is one datagram, line or user message.
  virtual void send(const std::string& request) = 0;
};

std::unique_ptr<Flow> make_udp_flow(asio::io_context& io, const FlowTarget& target, FlowEvents events);
std::unique_ptr<Flow> make_tcp_flow(asio::io_context& io, const FlowTarget& target, FlowEvents events);
std::unique_ptr<Flow> make_sctp_flow(asio::io_context& io, const FlowTarget& target, FlowEvents events);

}  // namespace poolgate::lab
