// SPDX-License-Identifier: BSD-3-Clause
// The links of an ASAP endpoint: SCTP associations of one socket, and TCP connections for a pool user that
// prefers them.
#pragma once

#include <asio/io_context.hpp>
#include <functional>
#include <map>
#include <memory>
#include <string>

#include "controlplane/rserpool/endpoint/outputs.h"
#include "controlplane/rserpool/result.h"
#include "controlplane/transport/sctp_socket.h"

namespace poolgate::agent {

class TcpLink;

class Links {
 public:
  using Link = rserpool::endpoint::Link;
  using ServerRef = rserpool::endpoint::ServerRef;

  // None is called from within a call to Links.
  struct Events {
    std::function<void(ServerRef, Link)> connected;
    std::function<void(ServerRef)> connect_failed;
    std::function<void(Link, const std::string& why)> down;
    std::function<void(Link, std::string message)> received;
    std::function<void(Link)> send_failed;
  };

  Links(asio::io_context& io, Events events);
  ~Links();

  // Before the first SCTP connection.
  Result<uint16_t> open_sctp(const transport::SctpOptions& options);
  transport::SctpBackend backend() const { return sctp_->backend(); }

  void connect(ServerRef server, const rserpool::endpoint::ServerAddress& address);
  void cancel(ServerRef server);
  void send(Link link, const std::string& message);
  void close(Link link);
  // Gracefully, all of them; `done` when none is left or `limit` is over.
  void shutdown(std::chrono::milliseconds limit, std::function<void()> done);

 private:
  friend class TcpLink;
  struct SctpLink {
    transport::SctpAssociationId association = 0;
    std::vector<rserpool::IpAddress> peer;
    uint16_t peer_port = 0;
  };

  void sctp_up(transport::SctpAssociationId association, const transport::SctpUp& up);
  void sctp_down(transport::SctpAssociationId association, transport::SctpDown reason);
  Link link_of(transport::SctpAssociationId association) const;
  std::vector<rserpool::IpAddress> within_reach(std::vector<rserpool::IpAddress> addresses) const;
  Link existing(const rserpool::endpoint::ServerAddress& address) const;
  // Later, and only if this is still there.
  void later(std::function<void()> what);

  asio::io_context& io_;
  Events events_;
  std::shared_ptr<bool> alive_ = std::make_shared<bool>(true);
  std::unique_ptr<transport::SctpSocket> sctp_;
  std::vector<rserpool::IpAddress> own_;  // what it is bound to; none: all
  std::map<transport::SctpAssociationId, ServerRef> connecting_;
  std::map<Link, SctpLink> sctp_links_;
  std::map<ServerRef, std::shared_ptr<TcpLink>> tcp_connecting_;
  std::map<Link, std::shared_ptr<TcpLink>> tcp_links_;
  Link next_ = 1;
  std::function<void()> when_empty_;
};

}  // namespace poolgate::agent
