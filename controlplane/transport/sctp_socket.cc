// SPDX-License-Identifier: BSD-3-Clause
#include "controlplane/transport/sctp_socket.h"

#include <unistd.h>

#include <algorithm>
#include <cstring>

#include "controlplane/transport/sctp_backends.h"

namespace poolgate::transport {

using rserpool::IpAddress;

std::optional<SctpBackend> parse_sctp_backend(std::string_view text) {
  for (const auto backend : {SctpBackend::automatic, SctpBackend::kernel, SctpBackend::raw, SctpBackend::udp})
    if (text == to_string(backend)) return backend;
  return std::nullopt;
}

const char* to_string(SctpBackend backend) {
  switch (backend) {
    case SctpBackend::automatic:
      return "auto";
    case SctpBackend::kernel:
      return "kernel";
    case SctpBackend::raw:
      return "raw";
    case SctpBackend::udp:
      return "udp";
  }
  return "";
}

const char* to_string(SctpDown reason) {
  switch (reason) {
    case SctpDown::lost:
      return "lost: the peer does not answer any more";
    case SctpDown::aborted:
      return "aborted by the peer";
    case SctpDown::shutdown:
      return "shut down";
    case SctpDown::cannot_start:
      return "could not be set up: no answer, or refused";
  }
  return "";
}

Result<std::unique_ptr<SctpSocket>> open_sctp(asio::io_context& io, const SctpOptions& options,
                                              SctpEvents events) {
  SctpOptions chosen = options;
  if (chosen.backend == SctpBackend::automatic)
    chosen.backend = kernel_has_sctp() ? SctpBackend::kernel : SctpBackend::raw;
  if (chosen.backend == SctpBackend::kernel) return open_sctp_kernel(io, chosen, std::move(events));
  return open_sctp_usrsctp(io, chosen, std::move(events));
}

PackedAddresses pack_addresses(const std::vector<IpAddress>& addresses, uint16_t port) {
  PackedAddresses out;
  for (const auto& address : addresses) {
    if (address.is_v4()) {
      sockaddr_in sin{};
      sin.sin_family = AF_INET;
      sin.sin_port = htons(port);
      std::memcpy(&sin.sin_addr, address.data(), 4);
      out.bytes.append(reinterpret_cast<const char*>(&sin), sizeof sin);
    } else {
      sockaddr_in6 sin6{};
      sin6.sin6_family = AF_INET6;
      sin6.sin6_port = htons(port);
      std::memcpy(&sin6.sin6_addr, address.data(), 16);
      out.bytes.append(reinterpret_cast<const char*>(&sin6), sizeof sin6);
    }
    ++out.count;
  }
  return out;
}

IpAddress from_sockaddr(const sockaddr* address, uint16_t* port) {
  if (address->sa_family == AF_INET) {
    sockaddr_in sin;
    std::memcpy(&sin, address, sizeof sin);
    if (port) *port = ntohs(sin.sin_port);
    return IpAddress::v4(&sin.sin_addr);
  }
  if (address->sa_family != AF_INET6) return {};
  sockaddr_in6 sin6;
  std::memcpy(&sin6, address, sizeof sin6);
  if (port) *port = ntohs(sin6.sin6_port);
  if (IN6_IS_ADDR_V4MAPPED(&sin6.sin6_addr)) return IpAddress::v4(sin6.sin6_addr.s6_addr + 12);
  return IpAddress::v6(&sin6.sin6_addr);
}

std::vector<IpAddress> unpack_addresses(const void* packed, int count) {
  std::vector<IpAddress> out;
  const char* at = static_cast<const char*>(packed);
  for (int i = 0; i < count; ++i) {
    sockaddr_storage one{};
    std::memcpy(&one.ss_family, at, sizeof one.ss_family);
    const size_t size = one.ss_family == AF_INET ? sizeof(sockaddr_in) : sizeof(sockaddr_in6);
    std::memcpy(&one, at, size);
    const IpAddress address = from_sockaddr(reinterpret_cast<const sockaddr*>(&one), nullptr);
    if (address.is_set()) out.push_back(address);
    at += size;
  }
  return out;
}

int socket_family(const std::vector<IpAddress>& addresses) {
  if (!addresses.empty())
    return std::any_of(addresses.begin(), addresses.end(), [](const IpAddress& a) { return a.is_v6(); })
               ? AF_INET6
               : AF_INET;
  const int fd = socket(AF_INET6, SOCK_DGRAM | SOCK_CLOEXEC, 0);
  if (fd < 0) return AF_INET;
  close(fd);
  return AF_INET6;
}

std::optional<IpAddress> local_address_towards(const IpAddress& peer) {
  // A connected UDP socket has chosen its source address, and has sent nothing.
  const PackedAddresses to = pack_addresses({peer}, 9);
  const int fd = socket(peer.is_v4() ? AF_INET : AF_INET6, SOCK_DGRAM | SOCK_CLOEXEC, 0);
  if (fd < 0) return std::nullopt;
  std::optional<IpAddress> out;
  sockaddr_storage own{};
  socklen_t length = sizeof own;
  if (connect(fd, reinterpret_cast<const sockaddr*>(to.bytes.data()),
              static_cast<socklen_t>(to.bytes.size())) == 0 &&
      getsockname(fd, reinterpret_cast<sockaddr*>(&own), &length) == 0) {
    const IpAddress address = from_sockaddr(reinterpret_cast<const sockaddr*>(&own), nullptr);
    if (address.is_set()) out = address;
  }
  close(fd);
  return out;
}

}  // namespace poolgate::transport
