// SPDX-License-Identifier: BSD-3-Clause
#include "drivers/tap.h"

#include <fcntl.h>
#include <linux/if_tun.h>
#include <linux/rtnetlink.h>
#include <net/if.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include <cerrno>
#include <cstdio>
#include <cstring>
#include <utility>

#include "drivers/netlink.h"
#include "drivers/netlink_messages.h"

namespace poolgate::drivers {
namespace {

// A setting of the interface in /proc/sys/net; a kernel without IPv6 has none of its settings.
void set_sysctl(const char* family, const std::string& interface, const char* key, const char* value) {
  const std::string path = std::string("/proc/sys/net/") + family + "/conf/" + interface + "/" + key;
  const int fd = ::open(path.c_str(), O_WRONLY | O_CLOEXEC);
  if (fd < 0) return;
  [[maybe_unused]] const ssize_t written = ::write(fd, value, std::strlen(value));
  ::close(fd);
}

Result<bool> transact(nlmsghdr* message, const std::string& what, int fine = 0) {
  auto socket = NetlinkSocket::open(0);
  if (!socket) return socket.error();
  const int error = socket->transact(message);
  if (error == 0 || error == fine) return true;
  return Error{what + ": " + std::strerror(error)};
}

}  // namespace

Result<Tap> Tap::open(const std::string& name, const MacAddress& mac, uint16_t mtu) {
  if (name.empty() || name.size() >= IFNAMSIZ)
    return Error{"TAP \"" + name + "\": a name has 1 to 15 characters"};
  Tap tap;
  tap.name_ = name;
  tap.mac_ = mac;
  tap.fd_ = ::open("/dev/net/tun", O_RDWR | O_NONBLOCK | O_CLOEXEC);
  if (tap.fd_ < 0)
    return Error{std::string("/dev/net/tun: ") + std::strerror(errno) + "; is the tun module there?"};
  ifreq request{};
  std::snprintf(request.ifr_name, sizeof request.ifr_name, "%s", name.c_str());
  request.ifr_flags = IFF_TAP | IFF_NO_PI;
  if (ioctl(tap.fd_, TUNSETIFF, &request) != 0)
    return Error{"TAP " + name + ": " + std::strerror(errno) +
                 (errno == EBUSY ? "; another instance has it" : "")};
  if (ioctl(tap.fd_, TUNSETPERSIST, 1) != 0)
    return Error{"TAP " + name + ": persist: " + std::strerror(errno)};
  tap.ifindex_ = if_nametoindex(name.c_str());
  tap.set_carrier(false);
  // Router advertisements and autoconfiguration are for hosts; and addresses must be usable at once.
  set_sysctl("ipv6", name, "disable_ipv6", "0");
  set_sysctl("ipv6", name, "accept_ra", "0");
  set_sysctl("ipv6", name, "accept_dad", "0");
  // Neighbours are told of a MAC that changes: take_back_mac().
  set_sysctl("ipv4", name, "arp_notify", "1");
  set_sysctl("ipv6", name, "ndisc_notify", "1");
  NetlinkBuffer buffer;
  if (auto up = transact(build_link_up(buffer, tap.ifindex_, mac, mtu), "TAP " + name + ": MAC, MTU, up");
      !up)
    return up.error();
  return tap;
}

Tap::~Tap() {
  if (fd_ >= 0) ::close(fd_);
}

Tap::Tap(Tap&& other) noexcept
    : fd_(std::exchange(other.fd_, -1)),
      ifindex_(other.ifindex_),
      mac_(other.mac_),
      name_(std::move(other.name_)) {}

Tap& Tap::operator=(Tap&& other) noexcept {
  std::swap(fd_, other.fd_);
  std::swap(ifindex_, other.ifindex_);
  std::swap(mac_, other.mac_);
  std::swap(name_, other.name_);
  return *this;
}

Result<bool> Tap::add_address(const rserpool::IpAddress& address, uint8_t length) {
  NetlinkBuffer buffer;
  return transact(build_address(buffer, ifindex_, address, length, true),
                  "TAP " + name_ + ": address " + address.to_string(), EEXIST);
}

Result<bool> Tap::remove_address(const rserpool::IpAddress& address, uint8_t length) {
  NetlinkBuffer buffer;
  return transact(build_address(buffer, ifindex_, address, length, false),
                  "TAP " + name_ + ": address " + address.to_string(), EADDRNOTAVAIL);
}

Result<std::vector<config::Prefix>> Tap::own_addresses() const {
  std::vector<config::Prefix> found;
  NetlinkBuffer buffer;
  auto socket = NetlinkSocket::open(0);
  if (!socket) return socket.error();
  const auto handle = [&](const nlmsghdr* message) {
    const auto parsed = parse_address(message);
    if (parsed && parsed->ours && parsed->ifindex == ifindex_)
      found.push_back({parsed->address, parsed->length});
  };
  if (const int error = socket->dump(build_address_dump(buffer, 0), handle); error != 0)
    return Error{"TAP " + name_ + ": addresses: " + std::strerror(error)};
  return found;
}

Result<bool> Tap::add_route(const config::Route& route) {
  NetlinkBuffer buffer;
  return transact(
      build_route(buffer, ifindex_, route.destination.address, route.destination.length, route.gateway, true),
      "TAP " + name_ + ": route to " + route.destination.to_string());
}

Result<bool> Tap::remove_route(const config::Prefix& destination) {
  NetlinkBuffer buffer;
  return transact(build_route(buffer, ifindex_, destination.address, destination.length, {}, false),
                  "TAP " + name_ + ": route to " + destination.to_string(), ESRCH);
}

Result<std::vector<config::Prefix>> Tap::own_routes() const {
  std::vector<config::Prefix> found;
  auto socket = NetlinkSocket::open(0);
  if (!socket) return socket.error();
  const auto handle = [&](const nlmsghdr* message) {
    const auto parsed = parse_route(message);
    if (!parsed || !parsed->ours || parsed->entry.table != RT_TABLE_MAIN) return;
    for (const RouteHop& hop : parsed->entry.hops)
      if (hop.ifindex == ifindex_) found.push_back({parsed->entry.destination, parsed->entry.length});
  };
  for (const uint8_t family : {AF_INET, AF_INET6}) {
    NetlinkBuffer buffer;
    if (const int error = socket->dump(build_route_dump(buffer, 0, family), handle); error != 0)
      return Error{"TAP " + name_ + ": routes: " + std::strerror(error)};
  }
  return found;
}

bool Tap::set_carrier(bool up) {
  int carrier = up ? 1 : 0;
  return ioctl(fd_, TUNSETCARRIER, &carrier) == 0;
}

std::optional<MacAddress> Tap::take_back_mac() {
  ifreq request{};
  if (ioctl(fd_, SIOCGIFHWADDR, &request) != 0) return std::nullopt;
  MacAddress found;
  std::memcpy(found.data(), request.ifr_hwaddr.sa_data, found.size());
  if (found == mac_) return std::nullopt;
  std::memcpy(request.ifr_hwaddr.sa_data, mac_.data(), mac_.size());
  ioctl(fd_, SIOCSIFHWADDR, &request);  // what it did is seen at the next call
  return found;
}

bool Tap::write(const void* frame, size_t length) {
  return ::write(fd_, frame, length) == static_cast<ssize_t>(length);
}

size_t Tap::read(void* frame, size_t capacity) {
  const ssize_t got = ::read(fd_, frame, capacity);
  return got > 0 ? static_cast<size_t>(got) : 0;
}

}  // namespace poolgate::drivers
