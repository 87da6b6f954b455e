// SPDX-License-Identifier: BSD-3-Clause
#include <asio/buffer.hpp>
#include <asio/ip/tcp.hpp>
#include <asio/post.hpp>
#include <asio/read_until.hpp>
#include <asio/write.hpp>

#include "tests/tools/endpoints.h"
#include "tests/tools/flow.h"

namespace poolgate::lab {
namespace {

using asio::ip::tcp;

class TcpConnection : public std::enable_shared_from_this<TcpConnection> {
 public:
  TcpConnection(asio::io_context& io, const FlowTarget& target, const FlowEvents& events)
      : io_(io), socket_(io), target_(target), events_(events) {}

  bool closed() const { return closed_; }

  void connect() {
    const tcp::endpoint to(to_asio(target_.address), target_.port);
    asio::error_code ec;
    socket_.open(to.protocol(), ec);
    if (!ec && target_.source.is_set()) socket_.bind(tcp::endpoint(to_asio(target_.source), 0), ec);
    if (ec) {
      asio::post(io_, [self = shared_from_this()] { self->fail(FlowEnd::refused); });
      return;
    }
    socket_.async_connect(to, [self = shared_from_this()](asio::error_code error) {
      if (self->closed_) return;
      if (error) return self->fail(FlowEnd::refused);
      asio::error_code ignored;
      self->socket_.set_option(tcp::no_delay(true), ignored);
      self->connected_ = true;
      self->read();
      self->write();
    });
  }

  void send(const std::string& request) {
    pending_ += request + "\n";
    if (connected_) write();
  }

  void close() {
    closed_ = true;
    asio::error_code ignored;
    socket_.close(ignored);
  }

 private:
  void write() {
    if (writing_ || pending_.empty()) return;
    writing_ = true;
    output_.swap(pending_);
    pending_.clear();
    asio::async_write(socket_, asio::buffer(output_),
                      [self = shared_from_this()](asio::error_code ec, size_t) {
                        if (self->closed_) return;
                        self->writing_ = false;
                        if (ec) return self->fail(ended(ec));
                        self->write();
                      });
  }

  void read() {
    asio::async_read_until(socket_, asio::dynamic_buffer(input_, 65536), '\n',
                           [self = shared_from_this()](asio::error_code ec, size_t n) {
                             if (self->closed_) return;
                             if (ec) return self->fail(ended(ec));
                             const std::string line = self->input_.substr(0, n - 1);
                             self->input_.erase(0, n);
                             self->events_.answer(line);
                             if (!self->closed_) self->read();
                           });
  }

  static FlowEnd ended(asio::error_code ec) {
    if (ec == asio::error::eof) return FlowEnd::closed;
    return ec == asio::error::timed_out ? FlowEnd::lost : FlowEnd::reset;
  }

  void fail(FlowEnd how) {
    if (closed_) return;
    close();
    events_.end(how);
  }

  asio::io_context& io_;
  tcp::socket socket_;
  FlowTarget target_;
  FlowEvents events_;
  std::string pending_;
  std::string output_;
  std::string input_;
  bool connected_ = false;
  bool writing_ = false;
  bool closed_ = false;
};

class TcpFlow : public Flow {
 public:
  TcpFlow(asio::io_context& io, const FlowTarget& target, FlowEvents events)
      : io_(io), target_(target), events_(std::move(events)) {}
  ~TcpFlow() override {
    if (connection_) connection_->close();
  }

  void send(const std::string& request) override {
    if (!connection_ || connection_->closed()) {
      connection_ = std::make_shared<TcpConnection>(io_, target_, events_);
      connection_->connect();
    }
    connection_->send(request);
  }

 private:
  asio::io_context& io_;
  FlowTarget target_;
  FlowEvents events_;
  std::shared_ptr<TcpConnection> connection_;
};

}  // namespace

std::unique_ptr<Flow> make_tcp_flow(asio::io_context& io, const FlowTarget& target, FlowEvents events) {
  return std::make_unique<TcpFlow>(io, target, std::move(events));
}

}  // namespace poolgate::lab
