// SPDX-License-Identifier: BSD-3-Clause
#include "controlplane/transport/sctp_socket.h"
#include "tests/tools/echo_server.h"

namespace poolgate::lab {
namespace {

class SctpServer : public EchoServer {
 public:
  Result<uint16_t> open(asio::io_context& io, const EchoOptions& options) {
    transport::SctpOptions sctp;
    sctp.backend = options.sctp;
    sctp.addresses = options.addresses;
    sctp.port = options.port;
    sctp.listen = true;
    transport::SctpEvents events;
    events.message = [this, name = options.name](transport::SctpAssociationId id,
                                                 transport::SctpMessage message) {
      message.payload = name + " " + message.payload;
      socket_->send(id, message);
    };
    auto socket = transport::open_sctp(io, sctp, std::move(events));
    if (!socket) return socket.error();
    socket_ = std::move(*socket);
    return socket_->port();
  }

 private:
  std::unique_ptr<transport::SctpSocket> socket_;
};

}  // namespace

Result<std::unique_ptr<EchoServer>> serve_sctp(asio::io_context& io, const EchoOptions& options) {
  auto server = std::make_unique<SctpServer>();
  const auto port = server->open(io, options);
  if (!port) return port.error();
  return std::unique_ptr<EchoServer>(std::move(server));
}

}  // namespace poolgate::lab
