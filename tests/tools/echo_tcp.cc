// SPDX-License-Identifier: BSD-3-Clause
#include <asio/buffer.hpp>
#include <asio/ip/tcp.hpp>
#include <asio/read_until.hpp>
#include <asio/write.hpp>

#include "tests/tools/echo_server.h"
#include "tests/tools/endpoints.h"

namespace poolgate::lab {
namespace {

using asio::ip::tcp;
constexpr size_t kLongestLine = 64 * 1024;

class TcpConnection : public std::enable_shared_from_this<TcpConnection> {
 public:
  TcpConnection(tcp::socket socket, const std::string& name) : socket_(std::move(socket)), name_(name) {}

  void read() {
    asio::async_read_until(socket_, asio::dynamic_buffer(input_, kLongestLine), '\n',
                           [self = shared_from_this()](asio::error_code ec, size_t n) {
                             if (ec) return;
                             self->output_ = self->name_ + " " + self->input_.substr(0, n);
                             self->input_.erase(0, n);
                             self->write();
                           });
  }

 private:
  void write() {
    asio::async_write(socket_, asio::buffer(output_),
                      [self = shared_from_this()](asio::error_code ec, size_t) {
                        if (!ec) self->read();
                      });
  }

  tcp::socket socket_;
  std::string name_;
  std::string input_;
  std::string output_;
};

class TcpAcceptor : public std::enable_shared_from_this<TcpAcceptor> {
 public:
  TcpAcceptor(asio::io_context& io, std::string name) : acceptor_(io), name_(std::move(name)) {}
  tcp::acceptor& acceptor() { return acceptor_; }

  void accept() {
    acceptor_.async_accept([self = shared_from_this()](asio::error_code ec, tcp::socket socket) {
      if (ec == asio::error::operation_aborted) return;
      if (!ec) {
        asio::error_code ignored;
        socket.set_option(tcp::no_delay(true), ignored);
        std::make_shared<TcpConnection>(std::move(socket), self->name_)->read();
      }
      self->accept();
    });
  }

 private:
  tcp::acceptor acceptor_;
  std::string name_;
};

class TcpServer : public EchoServer {
 public:
  ~TcpServer() override {
    asio::error_code ignored;
    for (auto& a : acceptors) a->acceptor().close(ignored);
  }
  std::vector<std::shared_ptr<TcpAcceptor>> acceptors;
};

}  // namespace

Result<std::unique_ptr<EchoServer>> serve_tcp(asio::io_context& io, const EchoOptions& options) {
  auto server = std::make_unique<TcpServer>();
  for (const auto& endpoint : endpoints<tcp>(options.addresses, options.port)) {
    auto listener = std::make_shared<TcpAcceptor>(io, options.name);
    asio::error_code ec;
    open_and_bind(listener->acceptor(), endpoint, ec);
    if (!ec) listener->acceptor().listen(asio::socket_base::max_listen_connections, ec);
    if (ec)
      return Error{"TCP " + endpoint.address().to_string() + " port " + std::to_string(options.port) + ": " +
                   ec.message()};
    listener->accept();
    server->acceptors.push_back(std::move(listener));
  }
  return std::unique_ptr<EchoServer>(std::move(server));
}

}  // namespace poolgate::lab
