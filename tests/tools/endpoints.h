// SPDX-License-Identifier: BSD-3-Clause
// Our addresses as asio's.
#pragma once

#include <netinet/in.h>
#include <sys/socket.h>

#include <asio/ip/address.hpp>
#include <cstring>
#include <vector>

#include "controlplane/rserpool/ip_address.h"

namespace poolgate::lab {

inline asio::ip::address to_asio(const rserpool::IpAddress& a) {
  if (a.is_v4()) {
    asio::ip::address_v4::bytes_type bytes;
    std::memcpy(bytes.data(), a.data(), bytes.size());
    return asio::ip::address_v4(bytes);
  }
  asio::ip::address_v6::bytes_type bytes;
  std::memcpy(bytes.data(), a.data(), bytes.size());
  return asio::ip::address_v6(bytes);
}

// The addresses to bind; none given means the wildcard, which with a dual-stack socket is both families.
template <class Protocol>
std::vector<typename Protocol::endpoint> endpoints(const std::vector<rserpool::IpAddress>& addresses,
                                                   uint16_t port) {
  std::vector<typename Protocol::endpoint> out;
  for (const auto& a : addresses) out.emplace_back(to_asio(a), port);
  if (out.empty()) out.emplace_back(asio::ip::address_v6::any(), port);
  return out;
}

// Opens and binds; an address that is not there yet (a VIP that is added later) is no error.
template <class Socket, class Endpoint>
void open_and_bind(Socket& socket, const Endpoint& endpoint, asio::error_code& ec) {
  socket.open(endpoint.protocol(), ec);
  if (ec) return;
  const int on = 1;
  const int off = 0;
  setsockopt(socket.native_handle(), SOL_SOCKET, SO_REUSEADDR, &on, sizeof on);
  setsockopt(socket.native_handle(), IPPROTO_IP, IP_FREEBIND, &on, sizeof on);
  if (endpoint.address().is_v6()) {
    const bool any = endpoint.address().to_v6() == asio::ip::address_v6::any();
    setsockopt(socket.native_handle(), IPPROTO_IPV6, IPV6_V6ONLY, any ? &off : &on, sizeof on);
    setsockopt(socket.native_handle(), IPPROTO_IPV6, IPV6_FREEBIND, &on, sizeof on);
  }
  socket.bind(endpoint, ec);
}

}  // namespace poolgate::lab
