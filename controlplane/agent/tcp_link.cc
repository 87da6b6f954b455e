// SPDX-License-Identifier: BSD-3-Clause
#include "controlplane/agent/tcp_link.h"

#include <asio/buffer.hpp>
#include <asio/write.hpp>

#include "controlplane/rserpool/wire/asap.h"
#include "controlplane/transport/asio_address.h"

namespace poolgate::agent {

using asio::ip::tcp;

void TcpLink::connect(const rserpool::IpAddress& address, uint16_t port) {
  const tcp::endpoint to(transport::to_asio(address), port);
  socket_.async_connect(to, [self = shared_from_this()](asio::error_code ec) {
    if (self->closed_) return;
    if (ec) {
      self->close();
      return self->events_.connected(false);
    }
    asio::error_code ignored;
    self->socket_.set_option(tcp::no_delay(true), ignored);
    self->events_.connected(true);
    if (!self->closed_) self->read();
  });
}

void TcpLink::send(const std::string& message) {
  constexpr size_t kMostPending = 1 << 20;  // a registrar that reads nothing
  if (closed_ || pending_.size() > kMostPending) return;
  pending_ += message;
  write();
}

void TcpLink::write() {
  if (writing_ || pending_.empty()) return;
  writing_ = true;
  output_.swap(pending_);
  pending_.clear();
  asio::async_write(socket_, asio::buffer(output_), [self = shared_from_this()](asio::error_code ec, size_t) {
    if (self->closed_) return;
    self->writing_ = false;
    if (ec) return self->fail(ec.message());
    self->write();
  });
}

void TcpLink::read() {
  socket_.async_read_some(asio::buffer(buffer_), [self = shared_from_this()](asio::error_code ec, size_t n) {
    if (self->closed_) return;
    if (ec) return self->fail(ec == asio::error::eof ? "closed by the registrar" : ec.message());
    self->input_.append(self->buffer_.data(), n);
    for (;;) {
      const size_t size = rserpool::asap::stream_message_size(self->input_);
      if (size == 0 || size > self->input_.size()) break;
      std::string message = self->input_.substr(0, size);
      self->input_.erase(0, size);
      self->events_.received(std::move(message));
      if (self->closed_) return;
    }
    self->read();
  });
}

void TcpLink::fail(const std::string& why) {
  close();
  events_.down(why);
}

void TcpLink::close() {
  closed_ = true;
  asio::error_code ignored;
  socket_.close(ignored);
}

}  // namespace poolgate::agent
