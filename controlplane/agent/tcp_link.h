// SPDX-License-Identifier: BSD-3-Clause
// ASAP over a TCP connection: messages follow each other, as long as their headers say (RFC 5352 §2.1).
#pragma once

#include <array>
#include <asio/ip/tcp.hpp>
#include <functional>
#include <memory>
#include <string>

#include "controlplane/rserpool/endpoint/outputs.h"

namespace poolgate::agent {

class TcpLink : public std::enable_shared_from_this<TcpLink> {
 public:
  struct Events {
    std::function<void(bool ok)> connected;
    std::function<void(std::string message)> received;
    std::function<void(const std::string& why)> down;
  };

  TcpLink(asio::io_context& io, Events events) : socket_(io), events_(std::move(events)) {}

  void connect(const rserpool::IpAddress& address, uint16_t port);
  void send(const std::string& message);
  void close();  // no event follows

 private:
  void read();
  void write();
  void fail(const std::string& why);

  asio::ip::tcp::socket socket_;
  Events events_;
  bool closed_ = false;
  bool writing_ = false;
  std::string output_;
  std::string pending_;
  std::string input_;
  std::array<char, 16384> buffer_;
};

}  // namespace poolgate::agent
