// SPDX-License-Identifier: BSD-3-Clause
// Sockets that hear one multicast group.
#pragma once

#include <netinet/in.h>
#include <sys/socket.h>

#include <asio/ip/udp.hpp>
#include <cstring>

#include "controlplane/transport/asio_address.h"

namespace poolgate::transport {

// Bound to the group: nothing else arrives. Several sockets of a host may hear one group.
inline asio::error_code open_group(asio::ip::udp::socket& socket, const rserpool::IpAddress& group,
                                   uint16_t port) {
  const asio::ip::udp::endpoint at(to_asio(group), port);
  asio::error_code error;
  socket.open(at.protocol(), error);
  if (!error) socket.set_option(asio::ip::udp::socket::reuse_address(true), error);
  if (!error) socket.bind(at, error);
  return error;
}

// On one interface, by its index. False: the kernel refuses; errno says why.
inline bool join_group(asio::ip::udp::socket& socket, const rserpool::IpAddress& group, unsigned interface) {
  const int fd = socket.native_handle();
  if (group.is_v4()) {
    ip_mreqn request{};
    std::memcpy(&request.imr_multiaddr, group.data(), sizeof request.imr_multiaddr);
    request.imr_ifindex = static_cast<int>(interface);
    return ::setsockopt(fd, IPPROTO_IP, IP_ADD_MEMBERSHIP, &request, sizeof request) == 0;
  }
  ipv6_mreq request{};
  std::memcpy(&request.ipv6mr_multiaddr, group.data(), sizeof request.ipv6mr_multiaddr);
  request.ipv6mr_interface = interface;
  return ::setsockopt(fd, IPPROTO_IPV6, IPV6_JOIN_GROUP, &request, sizeof request) == 0;
}

}  // namespace poolgate::transport
