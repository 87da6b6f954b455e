// SPDX-License-Identifier: BSD-3-Clause
// ASAP over TCP (RFC 5352 §2.1, §8.2: port 3863): handle resolution for pool users without SCTP. Messages
// follow each other and are framed by their own length. Connections are bounded, in number and in what waits
// for them.
#pragma once

#include <asio/io_context.hpp>
#include <asio/ip/tcp.hpp>
#include <asio/steady_timer.hpp>
#include <chrono>
#include <functional>
#include <map>
#include <memory>
#include <string>
#include <string_view>
#include <unordered_map>
#include <utility>
#include <vector>

#include "controlplane/rserpool/ip_address.h"

namespace poolgate::registrar {

struct TcpLimits {
  size_t connections = 1024;
  size_t connections_a_peer = 64;
  std::chrono::milliseconds idle{60'000};
  std::chrono::milliseconds listen_retry{5'000};  // a port in use is tried again
  size_t output =
      256 * 1024;  // waiting for a peer that does not read: it is not read from, and closed at four times it
};

class TcpEvents {
 public:
  virtual ~TcpEvents() = default;
  virtual void tcp_up(uint64_t connection, const rserpool::IpAddress& peer) = 0;
  virtual void tcp_message(uint64_t connection, std::string_view bytes) = 0;
  virtual void tcp_down(uint64_t connection) = 0;
  virtual void tcp_batch_done() = 0;
  virtual void tcp_note(const std::string& text, bool fault) = 0;
};

class TcpServer {
 public:
  TcpServer(asio::io_context& loop, TcpLimits limits, TcpEvents& events);
  ~TcpServer();
  TcpServer(const TcpServer&) = delete;
  TcpServer& operator=(const TcpServer&) = delete;

  // Listens on these and no others; an address need not be on this host yet. What cannot be is noted, tried
  // again, and noted when it can.
  void listen(const std::vector<std::pair<rserpool::IpAddress, uint16_t>>& addresses);
  void send(uint64_t connection, std::string_view bytes);
  // After what waits for it was sent.
  void close(uint64_t connection);
  void stop();

  size_t connections() const;
  // Of each that listens, for tests with port 0.
  std::vector<uint16_t> ports() const;
  struct Counters {
    uint64_t accepted = 0, refused = 0, idle_closed = 0, slow_closed = 0, broken = 0;
    uint64_t listen_failed = 0;  // attempts
  };
  const Counters& counters() const { return counters_; }

 private:
  struct Connection;
  struct Listener;
  void open(const std::shared_ptr<Listener>& listener);
  void accept(const std::shared_ptr<Listener>& listener);
  void admit(asio::ip::tcp::socket socket);
  void read(const std::shared_ptr<Connection>& c);
  // False: the bytes cannot be ASAP, and the connection is closed.
  bool take_messages(const std::shared_ptr<Connection>& c);
  void write(const std::shared_ptr<Connection>& c);
  void drop(const std::shared_ptr<Connection>& c);
  void sweep();

  asio::io_context& loop_;
  TcpLimits limits_;
  TcpEvents& events_;
  Counters counters_;
  std::vector<std::shared_ptr<Listener>> listeners_;
  std::map<uint64_t, std::shared_ptr<Connection>> connections_;
  std::unordered_map<rserpool::IpAddress, size_t> by_peer_;
  asio::steady_timer sweep_;
  uint64_t next_ = 1;
};

}  // namespace poolgate::registrar
