// SPDX-License-Identifier: BSD-3-Clause
// SERVER_ANNOUNCE over multicast UDP (RFC 5352 §3.6): sends ours to every configured group, hears the
// others'.
#pragma once

#include <array>
#include <asio/io_context.hpp>
#include <asio/ip/udp.hpp>
#include <functional>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "controlplane/rserpool/ip_address.h"

namespace poolgate::registrar {

class Announcements {
 public:
  using Groups = std::vector<std::pair<rserpool::IpAddress, uint16_t>>;
  using Heard = std::function<void(std::string_view bytes)>;
  using Note = std::function<void(const std::string& key, const std::string& text)>;

  Announcements(asio::io_context& loop, Heard heard, Note note);
  ~Announcements();
  Announcements(const Announcements&) = delete;
  Announcements& operator=(const Announcements&) = delete;

  // Sends from `source_port` (that of ASAP over SCTP: RSPLIB takes it for the server's), by the interfaces of
  // this host that have one of `local_addresses`, or where the routes lead if none has. Replaces what was
  // open.
  void open(const Groups& groups, uint16_t source_port,
            const std::vector<rserpool::IpAddress>& local_addresses);
  void send(const std::string& bytes);
  void stop();

 private:
  struct Listener;
  void hear(const std::shared_ptr<Listener>& listener);
  void listen(const rserpool::IpAddress& group, uint16_t port, const std::vector<unsigned>& interfaces);
  // One socket a family and interface; index 0: where the routes lead.
  struct Sender {
    asio::ip::udp::socket socket;
    bool v4;
  };
  void add_sender(bool v4, unsigned interface, uint16_t source_port);

  asio::io_context& loop_;
  Heard heard_;
  Note note_;
  Groups groups_;
  std::vector<Sender> senders_;
  std::vector<std::shared_ptr<Listener>> listeners_;
};

}  // namespace poolgate::registrar
