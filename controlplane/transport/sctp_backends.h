// SPDX-License-Identifier: BSD-3-Clause
// What sctp_socket.cc chooses from, and what the two back ends share. Not for others.
#pragma once

#include <netinet/in.h>
#include <sys/socket.h>

#include <vector>

#include "controlplane/transport/sctp_socket.h"

namespace poolgate::transport {

bool kernel_has_sctp();
Result<std::unique_ptr<SctpSocket>> open_sctp_kernel(asio::io_context& io, const SctpOptions& options,
                                                     SctpEvents events);
Result<std::unique_ptr<SctpSocket>> open_sctp_usrsctp(asio::io_context& io, const SctpOptions& options,
                                                      SctpEvents events);

// Addresses as the socket API extensions want them: sockaddr_in and sockaddr_in6 one after the other (RFC
// 6458 §9).
struct PackedAddresses {
  std::string bytes;
  int count = 0;
};
PackedAddresses pack_addresses(const std::vector<rserpool::IpAddress>& addresses, uint16_t port);
std::vector<rserpool::IpAddress> unpack_addresses(const void* packed, int count);
rserpool::IpAddress from_sockaddr(const sockaddr* address, uint16_t* port);
// AF_INET6 if an IPv6 address is among them, or if none is given and the machine speaks IPv6.
int socket_family(const std::vector<rserpool::IpAddress>& addresses);

}  // namespace poolgate::transport
