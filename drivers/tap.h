// SPDX-License-Identifier: BSD-3-Clause
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "controlplane/config/config.h"
#include "controlplane/rserpool/result.h"
#include "drivers/next_hop_table.h"

namespace poolgate::drivers {

// The kernel's twin of a port: a persistent TAP device of fixed name with the port's MAC and MTU. What the
// fast path does not handle is written to it; what the kernel sends comes out of it and leaves by the port.
// Main lcore only.
class Tap {
 public:
  // Makes the device, or attaches to the one a former run left. Up, but without carrier until
  // set_carrier(true).
  static Result<Tap> open(const std::string& name, const MacAddress& mac, uint16_t mtu);
  ~Tap();
  Tap(Tap&& other) noexcept;
  Tap& operator=(Tap&& other) noexcept;

  // Addresses that the kernel has on the device besides are left alone. No duplicate address detection: ours
  // are configured, not guessed.
  Result<bool> add_address(const rserpool::IpAddress& address, uint8_t length);
  Result<bool> remove_address(const rserpool::IpAddress& address, uint8_t length);
  // Those that add_address() gave it, in this run or a former one; an operator's are not among them.
  Result<std::vector<config::Prefix>> own_addresses() const;
  // The same of routes, by the TAP's interface and the main table.
  Result<bool> add_route(const config::Route& route);
  Result<bool> remove_route(const config::Prefix& destination);
  Result<std::vector<config::Prefix>> own_routes() const;
  // The carrier follows the port's link, so that routing daemons withdraw. False: the kernel cannot
  // (before 5.0).
  bool set_carrier(bool up);

  // Who answers ARP with another MAC than the port's gets nothing: sets ours again if another program gave
  // the device one, and returns that one. systemd-udevd does so to a device that it meets before open() has
  // set the MAC (MACAddressPolicy=persistent). The kernel tells the neighbours (arp_notify, ndisc_notify).
  std::optional<MacAddress> take_back_mac();

  // One frame; false: the device's queue is full or it has no carrier.
  bool write(const void* frame, size_t length);
  // One frame; 0: none waits.
  size_t read(void* frame, size_t capacity);

  int fd() const { return fd_; }
  uint32_t ifindex() const { return ifindex_; }
  const std::string& name() const { return name_; }

 private:
  Tap() = default;
  int fd_ = -1;
  uint32_t ifindex_ = 0;
  MacAddress mac_{};
  std::string name_;
};

}  // namespace poolgate::drivers
