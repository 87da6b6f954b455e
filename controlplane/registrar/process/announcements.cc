// SPDX-License-Identifier: BSD-3-Clause
#include "controlplane/registrar/process/announcements.h"

#include <ifaddrs.h>
#include <net/if.h>
#include <netinet/in.h>
#include <sys/socket.h>

#include <algorithm>
#include <asio/buffer.hpp>
#include <asio/ip/multicast.hpp>
#include <asio/ip/v6_only.hpp>
#include <set>

#include "controlplane/transport/multicast.h"

namespace poolgate::registrar {

using asio::ip::udp;
using rserpool::IpAddress;
using transport::to_asio;

namespace {

// Beyond the link, within the operational scope: group addresses bound it, not the hop limit.
constexpr int kHops = 32;

std::vector<unsigned> interfaces_with(const std::vector<IpAddress>& addresses) {
  std::set<unsigned> found;
  ifaddrs* all = nullptr;
  if (::getifaddrs(&all) != 0) return {};
  for (const ifaddrs* i = all; i; i = i->ifa_next) {
    if (!i->ifa_addr) continue;
    IpAddress address;
    if (i->ifa_addr->sa_family == AF_INET)
      address = IpAddress::v4(&reinterpret_cast<const sockaddr_in*>(i->ifa_addr)->sin_addr);
    else if (i->ifa_addr->sa_family == AF_INET6)
      address = IpAddress::v6(&reinterpret_cast<const sockaddr_in6*>(i->ifa_addr)->sin6_addr);
    if (address.is_set() && std::find(addresses.begin(), addresses.end(), address) != addresses.end())
      found.insert(::if_nametoindex(i->ifa_name));
  }
  ::freeifaddrs(all);
  return {found.begin(), found.end()};
}

void send_by(udp::socket& socket, bool v4, unsigned interface) {
  if (interface == 0) return;
  if (v4) {
    ip_mreqn request{};
    request.imr_ifindex = static_cast<int>(interface);
    ::setsockopt(socket.native_handle(), IPPROTO_IP, IP_MULTICAST_IF, &request, sizeof request);
  } else {
    ::setsockopt(socket.native_handle(), IPPROTO_IPV6, IPV6_MULTICAST_IF, &interface, sizeof interface);
  }
}

}  // namespace

struct Announcements::Listener {
  explicit Listener(asio::io_context& loop) : socket(loop) {}
  udp::socket socket;
  udp::endpoint from;
  std::array<char, 65536> datagram;
  bool open = true;
};

Announcements::Announcements(asio::io_context& loop, Heard heard, Note note)
    : loop_(loop), heard_(std::move(heard)), note_(std::move(note)) {}
Announcements::~Announcements() { stop(); }

void Announcements::stop() {
  senders_.clear();
  for (auto& listener : listeners_) {
    listener->open = false;
    asio::error_code ignored;
    listener->socket.close(ignored);
  }
  listeners_.clear();
}

void Announcements::open(const Groups& groups, uint16_t source_port,
                         const std::vector<IpAddress>& local_addresses) {
  stop();
  groups_ = groups;
  if (groups.empty()) return;
  std::vector<unsigned> interfaces = interfaces_with(local_addresses);
  if (interfaces.empty()) interfaces = {0};
  for (const bool v4 : {true, false}) {
    const auto same = [&](const auto& group) { return group.first.is_v4() == v4; };
    if (std::none_of(groups.begin(), groups.end(), same)) continue;
    for (const unsigned interface : interfaces) add_sender(v4, interface, source_port);
  }
  for (const auto& [group, port] : groups) listen(group, port, interfaces);
}

void Announcements::add_sender(bool v4, unsigned interface, uint16_t source_port) {
  udp::socket socket(loop_);
  asio::error_code error;
  const auto protocol = v4 ? udp::v4() : udp::v6();
  socket.open(protocol, error);
  if (!error) socket.set_option(udp::socket::reuse_address(true), error);
  if (!error && !v4) socket.set_option(asio::ip::v6_only(true), error);
  if (!error) socket.bind({protocol, source_port}, error);
  if (!error) socket.set_option(asio::ip::multicast::hops(kHops), error);
  if (!error) socket.non_blocking(true, error);
  if (error)
    return note_("announce socket",
                 "registrar.announce: UDP port " + std::to_string(source_port) + ": " + error.message());
  send_by(socket, v4, interface);
  // What comes to this port by unicast is nobody's.
  ::shutdown(socket.native_handle(), SHUT_RD);
  senders_.push_back({std::move(socket), v4});
}

void Announcements::listen(const IpAddress& group, uint16_t port, const std::vector<unsigned>& interfaces) {
  auto listener = std::make_shared<Listener>(loop_);
  const asio::error_code error = transport::open_group(listener->socket, group, port);
  const std::string what = "registrar.announce " + group.to_string() + " port " + std::to_string(port) + ": ";
  if (error) return note_("announce listener", what + error.message());
  bool joined = false;
  for (const unsigned interface : interfaces)
    joined |= transport::join_group(listener->socket, group, interface);
  if (!joined)
    return note_("announce group", what + "cannot join the group: announcements of others are not heard");
  listeners_.push_back(listener);
  hear(listener);
}

void Announcements::hear(const std::shared_ptr<Listener>& listener) {
  listener->socket.async_receive_from(asio::buffer(listener->datagram), listener->from,
                                      [this, listener](const asio::error_code& error, size_t n) {
                                        if (!listener->open || error == asio::error::operation_aborted)
                                          return;
                                        if (!error) heard_(std::string_view(listener->datagram.data(), n));
                                        hear(listener);
                                      });
}

void Announcements::send(const std::string& bytes) {
  for (const auto& [group, port] : groups_) {
    for (Sender& sender : senders_) {
      if (sender.v4 != group.is_v4()) continue;
      asio::error_code error;
      sender.socket.send_to(asio::buffer(bytes), {to_asio(group), port}, 0, error);
      if (error)
        note_("announce " + group.to_string(), "registrar.announce " + group.to_string() + " port " +
                                                   std::to_string(port) + ": " + error.message());
    }
  }
}

}  // namespace poolgate::registrar
