// SPDX-License-Identifier: BSD-3-Clause
// Servers of the lab that answer each request with their name in front of it, so that a client can tell who
// answered. UDP: one datagram; TCP: one line; SCTP: one user message, on the stream and with the PPID it came
// with.
#pragma once

#include <asio/io_context.hpp>
#include <memory>
#include <string>
#include <vector>

#include "controlplane/rserpool/ip_address.h"
#include "controlplane/rserpool/result.h"
#include "controlplane/transport/sctp_socket.h"

namespace poolgate::lab {

struct EchoOptions {
  std::string name;
  uint16_t port = 0;
  transport::SctpBackend sctp = transport::SctpBackend::automatic;
  std::vector<rserpool::IpAddress> addresses;  // empty: all of the machine's
};

class EchoServer {
 public:
  virtual ~EchoServer() = default;
};

Result<std::unique_ptr<EchoServer>> serve_udp(asio::io_context& io, const EchoOptions& options);
Result<std::unique_ptr<EchoServer>> serve_tcp(asio::io_context& io, const EchoOptions& options);
Result<std::unique_ptr<EchoServer>> serve_sctp(asio::io_context& io, const EchoOptions& options);

}  // namespace poolgate::lab
