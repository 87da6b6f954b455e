// SPDX-License-Identifier: BSD-3-Clause
#include "controlplane/registrar/process/tcp_server.h"

#include <netinet/in.h>

#include <algorithm>
#include <array>
#include <asio/ip/v6_only.hpp>
#include <asio/write.hpp>

#include "controlplane/rserpool/wire/asap.h"
#include "controlplane/transport/asio_address.h"

namespace poolgate::registrar {

using asio::ip::tcp;
using Clock = std::chrono::steady_clock;
using rserpool::IpAddress;

struct TcpServer::Listener {
  Listener(asio::io_context& loop, const IpAddress& at, uint16_t on)
      : acceptor(loop), retry(loop), address(at), port(on) {}
  tcp::acceptor acceptor;
  asio::steady_timer retry;
  IpAddress address;
  uint16_t port;
  bool open = true;     // wanted
  bool failed = false;  // and said so
};

struct TcpServer::Connection {
  Connection(tcp::socket s, uint64_t n, IpAddress p) : socket(std::move(s)), number(n), peer(p) {}
  tcp::socket socket;
  uint64_t number;
  IpAddress peer;
  Clock::time_point heard = Clock::now();
  std::array<char, 16 * 1024> block;
  std::string input;           // from the start of a message that is not whole yet
  std::string writing, queue;  // what is being written; what comes behind it
  bool reading = false;
  bool closing = false;
  bool gone = false;
};

namespace {

IpAddress from_asio(const asio::ip::address& a) {
  if (a.is_v4()) return IpAddress::v4(a.to_v4().to_bytes().data());
  if (a.to_v6().is_v4_mapped())
    return IpAddress::v4(asio::ip::make_address_v4(asio::ip::v4_mapped, a.to_v6()).to_bytes().data());
  return IpAddress::v6(a.to_v6().to_bytes().data());
}

asio::error_code open_listener(tcp::acceptor& acceptor, const tcp::endpoint& at) {
  using FreeBind = asio::detail::socket_option::boolean<IPPROTO_IP, IP_FREEBIND>;
  asio::error_code error;
  acceptor.open(at.protocol(), error);
  if (!error) acceptor.set_option(tcp::acceptor::reuse_address(true), error);
  // The address is the TAP's, and comes with the data plane: either may start first.
  if (!error) acceptor.set_option(FreeBind(true), error);
  if (!error && at.protocol() == tcp::v6()) acceptor.set_option(asio::ip::v6_only(true), error);
  if (!error) acceptor.bind(at, error);
  if (!error) acceptor.listen(asio::socket_base::max_listen_connections, error);
  return error;
}

}  // namespace

TcpServer::TcpServer(asio::io_context& loop, TcpLimits limits, TcpEvents& events)
    : loop_(loop), limits_(limits), events_(events), sweep_(loop) {
  sweep();
}
TcpServer::~TcpServer() { stop(); }

void TcpServer::listen(const std::vector<std::pair<IpAddress, uint16_t>>& addresses) {
  for (auto& listener : listeners_) {
    listener->open = false;
    asio::error_code ignored;
    listener->acceptor.close(ignored);
    listener->retry.cancel();
  }
  listeners_.clear();
  for (const auto& [address, port] : addresses) {
    listeners_.push_back(std::make_shared<Listener>(loop_, address, port));
    open(listeners_.back());
  }
}

void TcpServer::open(const std::shared_ptr<Listener>& listener) {
  const std::string what =
      "registrar.tcp_listen " + listener->address.to_string() + " port " + std::to_string(listener->port);
  const auto error =
      open_listener(listener->acceptor, {transport::to_asio(listener->address), listener->port});
  if (!error) {
    if (std::exchange(listener->failed, false)) events_.tcp_note(what + ": listens now", false);
    return accept(listener);
  }
  ++counters_.listen_failed;
  asio::error_code ignored;
  listener->acceptor.close(ignored);
  if (!std::exchange(listener->failed, true))
    events_.tcp_note(what + ": " + error.message() + "; tried again until it can be", true);
  listener->retry.expires_after(limits_.listen_retry);
  listener->retry.async_wait([this, listener](const asio::error_code& stopped) {
    if (!stopped && listener->open) open(listener);
  });
}

void TcpServer::accept(const std::shared_ptr<Listener>& listener) {
  listener->acceptor.async_accept([this, listener](const asio::error_code& error, tcp::socket socket) {
    if (!listener->open || error == asio::error::operation_aborted) return;
    if (!error) {
      admit(std::move(socket));
      return accept(listener);
    }
    // Out of descriptors, or the peer left: not at once again.
    listener->retry.expires_after(std::chrono::milliseconds(100));
    listener->retry.async_wait([this, listener](const asio::error_code& stopped) {
      if (!stopped && listener->open) accept(listener);
    });
  });
}

void TcpServer::admit(tcp::socket socket) {
  asio::error_code error;
  const auto remote = socket.remote_endpoint(error);
  if (error) return;
  const IpAddress peer = from_asio(remote.address());
  const auto known = by_peer_.find(peer);
  if (connections_.size() >= limits_.connections ||
      (known != by_peer_.end() && known->second >= limits_.connections_a_peer)) {
    ++counters_.refused;
    return;
  }
  ++counters_.accepted;
  ++by_peer_[peer];
  socket.set_option(tcp::no_delay(true), error);
  auto c = std::make_shared<Connection>(std::move(socket), next_++, peer);
  connections_.emplace(c->number, c);
  events_.tcp_up(c->number, peer);
  events_.tcp_batch_done();
  read(c);
}

void TcpServer::read(const std::shared_ptr<Connection>& c) {
  if (c->reading || c->closing || c->gone || c->writing.size() + c->queue.size() > limits_.output) return;
  c->reading = true;
  c->socket.async_read_some(asio::buffer(c->block), [this, c](const asio::error_code& error, size_t n) {
    c->reading = false;
    if (c->gone) return;
    if (error) return drop(c);
    c->heard = Clock::now();
    c->input.append(c->block.data(), n);
    const bool whole = take_messages(c);
    events_.tcp_batch_done();
    if (whole) read(c);
  });
}

bool TcpServer::take_messages(const std::shared_ptr<Connection>& c) {
  size_t at = 0;
  while (!c->gone && !c->closing) {
    const std::string_view rest = std::string_view(c->input).substr(at);
    const size_t size = rserpool::asap::stream_message_size(rest);
    if (size == 0 || size > rest.size()) break;
    events_.tcp_message(c->number, rest.substr(0, size));
    at += size;
    // Below a header's length nothing says where the next message begins.
    if (static_cast<uint8_t>(rest[2]) == 0 && static_cast<uint8_t>(rest[3]) < 4) {
      ++counters_.broken;
      close(c->number);
      return false;
    }
  }
  c->input.erase(0, at);
  return !c->gone && !c->closing;
}

void TcpServer::send(uint64_t connection, std::string_view bytes) {
  const auto at = connections_.find(connection);
  if (at == connections_.end()) return;
  const auto c = at->second;
  c->queue += bytes;
  if (c->writing.size() + c->queue.size() > 4 * limits_.output) {
    ++counters_.slow_closed;
    return drop(c);
  }
  write(c);
}

void TcpServer::write(const std::shared_ptr<Connection>& c) {
  if (!c->writing.empty() || c->gone) return;
  if (c->queue.empty()) {
    if (c->closing) drop(c);
    return;
  }
  c->writing.swap(c->queue);
  asio::async_write(c->socket, asio::buffer(c->writing), [this, c](const asio::error_code& error, size_t) {
    c->writing.clear();
    if (c->gone) return;
    if (error) return drop(c);
    write(c);
    read(c);
  });
}

void TcpServer::close(uint64_t connection) {
  const auto at = connections_.find(connection);
  if (at == connections_.end()) return;
  const auto c = at->second;
  c->closing = true;
  write(c);
}

void TcpServer::drop(const std::shared_ptr<Connection>& c) {
  if (std::exchange(c->gone, true)) return;
  asio::error_code ignored;
  c->socket.close(ignored);
  connections_.erase(c->number);
  if (const auto at = by_peer_.find(c->peer); at != by_peer_.end() && --at->second == 0) by_peer_.erase(at);
  events_.tcp_down(c->number);
}

void TcpServer::sweep() {
  sweep_.expires_after(limits_.idle / 4);
  sweep_.async_wait([this](const asio::error_code& error) {
    if (error) return;
    const auto now = Clock::now();
    std::vector<std::shared_ptr<Connection>> idle;
    for (const auto& [number, c] : connections_)
      if (now - c->heard >= limits_.idle) idle.push_back(c);
    for (const auto& c : idle) {
      ++counters_.idle_closed;
      drop(c);
    }
    if (!idle.empty()) events_.tcp_batch_done();
    sweep();
  });
}

void TcpServer::stop() {
  listen({});
  sweep_.cancel();
  const auto all = std::exchange(connections_, {});
  by_peer_.clear();
  for (const auto& [number, c] : all) {
    c->gone = true;
    asio::error_code ignored;
    c->socket.close(ignored);
  }
}

size_t TcpServer::connections() const { return connections_.size(); }

std::vector<uint16_t> TcpServer::ports() const {
  std::vector<uint16_t> out;
  for (const auto& listener : listeners_) {
    asio::error_code ignored;
    if (listener->acceptor.is_open()) out.push_back(listener->acceptor.local_endpoint(ignored).port());
  }
  return out;
}

}  // namespace poolgate::registrar
