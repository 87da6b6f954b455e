// SPDX-License-Identifier: BSD-3-Clause
#include "controlplane/agent/links.h"

#include <algorithm>
#include <asio/post.hpp>
#include <asio/steady_timer.hpp>

#include "controlplane/agent/tcp_link.h"
#include "controlplane/rserpool/wire/code_points.h"

namespace poolgate::agent {

using transport::SctpAssociationId;

Links::Links(asio::io_context& io, Events events) : io_(io), events_(std::move(events)) {}

Links::~Links() {
  for (auto& [server, link] : tcp_connecting_) link->close();
  for (auto& [id, link] : tcp_links_) link->close();
}

void Links::later(std::function<void()> what) {
  asio::post(io_, [alive = std::weak_ptr<bool>(alive_), what = std::move(what)] {
    if (!alive.expired()) what();
  });
}

Result<uint16_t> Links::open_sctp(const transport::SctpOptions& options) {
  transport::SctpEvents events;
  events.up = [this](SctpAssociationId id, const transport::SctpUp& up) { sctp_up(id, up); };
  events.down = [this](SctpAssociationId id, transport::SctpDown reason) { sctp_down(id, reason); };
  events.message = [this](SctpAssociationId id, transport::SctpMessage message) {
    const Link link = link_of(id);
    if (link != 0 && message.ppid == rserpool::wire::kAsapPpid)
      events_.received(link, std::move(message.payload));
  };
  events.send_failed = [this](SctpAssociationId id, const transport::SctpMessage&) {
    if (const Link link = link_of(id)) events_.send_failed(link);
  };
  auto socket = transport::open_sctp(io_, options, std::move(events));
  if (!socket) return socket.error();
  own_ = options.addresses;
  sctp_ = std::move(*socket);
  return sctp_->port();
}

void Links::connect(ServerRef server, const rserpool::endpoint::ServerAddress& address) {
  if (address.tcp) {
    TcpLink::Events events;
    events.connected = [this, server](bool ok) {
      const auto it = tcp_connecting_.find(server);
      if (it == tcp_connecting_.end()) return;
      const auto link = it->second;
      tcp_connecting_.erase(it);
      if (!ok) return events_.connect_failed(server);
      const Link id = next_++;
      tcp_links_[id] = link;
      events_.connected(server, id);
    };
    // The link's number is known only once it is connected.
    const auto number = [this](const TcpLink* which) {
      for (const auto& [id, link] : tcp_links_)
        if (link.get() == which) return id;
      return Link{0};
    };
    auto self = std::make_shared<TcpLink*>(nullptr);
    events.received = [this, number, self](std::string message) {
      events_.received(number(*self), std::move(message));
    };
    events.down = [this, number, self](const std::string& why) {
      const Link id = number(*self);
      tcp_links_.erase(id);
      events_.down(id, why);
    };
    const auto link = std::make_shared<TcpLink>(io_, std::move(events));
    *self = link.get();
    tcp_connecting_[server] = link;
    link->connect(address.addresses.front(), address.port);
    return;
  }
  const auto association = sctp_ ? sctp_->connect(within_reach(address.addresses), address.port)
                                 : Result<SctpAssociationId>(Error{"no SCTP socket"});
  if (association) {
    connecting_[*association] = server;
    return;
  }
  // The registrar may have been first, and there is only one association between two endpoints.
  const Link link = existing(address);
  later([this, server, link] {
    if (link != 0 && sctp_links_.contains(link)) return events_.connected(server, link);
    events_.connect_failed(server);
  });
}

// A registrar has addresses of both families, our socket may be of one.
std::vector<rserpool::IpAddress> Links::within_reach(std::vector<rserpool::IpAddress> addresses) const {
  const auto spoken = [this](const rserpool::IpAddress& a) {
    return own_.empty() || std::any_of(own_.begin(), own_.end(), [&](const rserpool::IpAddress& own) {
             return own.family() == a.family();
           });
  };
  std::erase_if(addresses, [&](const rserpool::IpAddress& a) { return !spoken(a); });
  return addresses;
}

Links::Link Links::existing(const rserpool::endpoint::ServerAddress& address) const {
  for (const auto& [id, link] : sctp_links_) {
    if (link.peer_port != address.port) continue;
    for (const auto& a : address.addresses)
      if (std::find(link.peer.begin(), link.peer.end(), a) != link.peer.end()) return id;
  }
  return 0;
}

void Links::cancel(ServerRef server) {
  if (const auto it = tcp_connecting_.find(server); it != tcp_connecting_.end()) {
    it->second->close();
    tcp_connecting_.erase(it);
  }
  for (auto it = connecting_.begin(); it != connecting_.end(); ++it) {
    if (it->second != server) continue;
    sctp_->abort(it->first);
    connecting_.erase(it);
    return;
  }
}

void Links::send(Link link, const std::string& message) {
  if (const auto it = tcp_links_.find(link); it != tcp_links_.end()) return it->second->send(message);
  const auto it = sctp_links_.find(link);
  if (it == sctp_links_.end()) return;
  if (sctp_->send(it->second.association, {rserpool::wire::kAsapPpid, 0, message})) return;
  later([this, link] {
    if (sctp_links_.contains(link)) events_.send_failed(link);
  });
}

// By ABORT: a connection to the same registrar may follow at once.
void Links::close(Link link) {
  if (const auto it = tcp_links_.find(link); it != tcp_links_.end()) {
    it->second->close();
    tcp_links_.erase(it);
  }
  if (const auto it = sctp_links_.find(link); it != sctp_links_.end()) {
    sctp_->abort(it->second.association);
    sctp_links_.erase(it);
  }
}

void Links::shutdown(std::chrono::milliseconds limit, std::function<void()> done) {
  for (auto& [id, link] : tcp_links_) link->close();
  tcp_links_.clear();
  for (const auto& [id, link] : sctp_links_) sctp_->shutdown(link.association);
  if (sctp_links_.empty()) return later(std::move(done));
  when_empty_ = std::move(done);
  const auto timer = std::make_shared<asio::steady_timer>(io_, limit);
  timer->async_wait([this, timer, alive = std::weak_ptr<bool>(alive_)](asio::error_code) {
    if (alive.expired() || !when_empty_) return;
    std::exchange(when_empty_, nullptr)();
  });
}

void Links::sctp_up(SctpAssociationId association, const transport::SctpUp& up) {
  Link link = link_of(association);
  if (link != 0) {
    // A restart: what the registrar knew of us may be gone, as with a new association.
    sctp_links_.erase(link);
    events_.down(link, "the registrar restarted the association");
  }
  link = next_++;
  sctp_links_[link] = {association, up.peer_addresses, up.peer_port};
  const auto it = connecting_.find(association);
  if (it == connecting_.end()) return;
  const ServerRef server = it->second;
  connecting_.erase(it);
  events_.connected(server, link);
}

void Links::sctp_down(SctpAssociationId association, transport::SctpDown reason) {
  if (const auto it = connecting_.find(association); it != connecting_.end()) {
    const ServerRef server = it->second;
    connecting_.erase(it);
    return events_.connect_failed(server);
  }
  const Link link = link_of(association);
  if (link == 0) return;
  sctp_links_.erase(link);
  if (sctp_links_.empty() && when_empty_) return std::exchange(when_empty_, nullptr)();
  events_.down(link, std::string("the association was ") + transport::to_string(reason));
}

Links::Link Links::link_of(SctpAssociationId association) const {
  for (const auto& [id, link] : sctp_links_)
    if (link.association == association) return id;
  return 0;
}

}  // namespace poolgate::agent
