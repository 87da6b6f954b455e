// SPDX-License-Identifier: BSD-3-Clause
#include <array>
#include <asio/buffer.hpp>
#include <asio/ip/udp.hpp>

#include "tests/tools/echo_server.h"
#include "tests/tools/endpoints.h"

namespace poolgate::lab {
namespace {

using asio::ip::udp;

class UdpEcho : public std::enable_shared_from_this<UdpEcho> {
 public:
  UdpEcho(asio::io_context& io, std::string name) : socket_(io), name_(std::move(name)) {}
  udp::socket& socket() { return socket_; }

  void receive() {
    socket_.async_receive_from(
        asio::buffer(data_), peer_, [self = shared_from_this()](asio::error_code ec, size_t n) {
          if (ec == asio::error::operation_aborted) return;
          if (!ec) {
            const std::string answer = self->name_ + " " + std::string(self->data_.data(), n);
            asio::error_code ignored;  // a client that is gone is its own concern
            self->socket_.send_to(asio::buffer(answer), self->peer_, 0, ignored);
          }
          self->receive();
        });
  }

 private:
  udp::socket socket_;
  udp::endpoint peer_;
  std::string name_;
  std::array<char, 65536> data_;
};

class UdpServer : public EchoServer {
 public:
  ~UdpServer() override {
    asio::error_code ignored;
    for (auto& s : sockets) s->socket().close(ignored);
  }
  std::vector<std::shared_ptr<UdpEcho>> sockets;
};

}  // namespace

Result<std::unique_ptr<EchoServer>> serve_udp(asio::io_context& io, const EchoOptions& options) {
  auto server = std::make_unique<UdpServer>();
  for (const auto& endpoint : endpoints<udp>(options.addresses, options.port)) {
    auto echo = std::make_shared<UdpEcho>(io, options.name);
    asio::error_code ec;
    open_and_bind(echo->socket(), endpoint, ec);
    if (ec)
      return Error{"UDP " + endpoint.address().to_string() + " port " + std::to_string(options.port) + ": " +
                   ec.message()};
    echo->receive();
    server->sockets.push_back(std::move(echo));
  }
  return std::unique_ptr<EchoServer>(std::move(server));
}

}  // namespace poolgate::lab
