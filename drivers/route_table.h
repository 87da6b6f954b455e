// SPDX-License-Identifier: BSD-3-Clause
#pragma once

#include <array>
#include <cstdint>
#include <optional>
#include <unordered_map>
#include <vector>

#include "controlplane/rserpool/ip_address.h"

namespace poolgate::drivers {

// One way out: through `gateway`, or on-link when it is not set.
struct RouteHop {
  rserpool::IpAddress gateway;
  uint32_t ifindex = 0;
  bool operator==(const RouteHop&) const = default;
};

struct RouteEntry {
  rserpool::IpAddress destination;  // masked to `length`
  uint8_t length = 0;
  uint32_t table = 0;
  uint32_t metric = 0;
  uint16_t mtu = 0;            // 0: the interface's
  std::vector<RouteHop> hops;  // several: equal cost; none: unreachable, blackhole or prohibit
};

// Longest-prefix match over an immutable set of routes: built by the main lcore, read by workers, replaced
// whole. Lookups go from the longest prefix in use to the shortest; an appliance's table has few lengths.
class RouteTable {
 public:
  RouteTable() = default;
  // Of several routes to one prefix the one with the lowest metric counts.
  explicit RouteTable(const std::vector<RouteEntry>& routes);

  // The best route to `destination`; nullptr if there is none.
  const RouteEntry* lookup(const rserpool::IpAddress& destination) const;
  // Of a route with several hops always the same one for the same destination.
  static const RouteHop* pick(const RouteEntry& route, const rserpool::IpAddress& destination);
  size_t size() const { return size_; }

 private:
  using ByPrefix = std::unordered_map<rserpool::IpAddress, RouteEntry>;
  struct Length {
    uint8_t length;
    ByPrefix routes;
  };
  std::vector<Length> v4_;  // longest first
  std::vector<Length> v6_;
  size_t size_ = 0;
};

// `address` with all bits beyond `length` zero.
rserpool::IpAddress masked(const rserpool::IpAddress& address, uint8_t length);

}  // namespace poolgate::drivers
