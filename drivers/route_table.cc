// SPDX-License-Identifier: BSD-3-Clause
#include "drivers/route_table.h"

#include <algorithm>
#include <cstring>

namespace poolgate::drivers {

using rserpool::IpAddress;

IpAddress masked(const IpAddress& address, uint8_t length) {
  uint8_t bytes[16] = {};
  std::memcpy(bytes, address.data(), address.size());
  for (size_t i = 0; i < address.size(); ++i) {
    const size_t first_bit = i * 8;
    if (first_bit >= length)
      bytes[i] = 0;
    else if (length - first_bit < 8)
      bytes[i] = static_cast<uint8_t>(bytes[i] & (0xff00u >> (length - first_bit)));
  }
  return address.is_v4() ? IpAddress::v4(bytes) : IpAddress::v6(bytes);
}

RouteTable::RouteTable(const std::vector<RouteEntry>& routes) {
  for (const RouteEntry& route : routes) {
    auto& lengths = route.destination.is_v4() ? v4_ : v6_;
    auto at = std::find_if(lengths.begin(), lengths.end(),
                           [&](const Length& l) { return l.length <= route.length; });
    if (at == lengths.end() || at->length != route.length) at = lengths.insert(at, Length{route.length, {}});
    auto [found, added] = at->routes.try_emplace(masked(route.destination, route.length), route);
    if (added)
      ++size_;
    else if (route.metric < found->second.metric)
      found->second = route;
  }
}

const RouteEntry* RouteTable::lookup(const IpAddress& destination) const {
  for (const Length& length : destination.is_v4() ? v4_ : v6_) {
    const auto found = length.routes.find(masked(destination, length.length));
    if (found != length.routes.end()) return &found->second;
  }
  return nullptr;
}

const RouteHop* RouteTable::pick(const RouteEntry& route, const IpAddress& destination) {
  if (route.hops.empty()) return nullptr;
  if (route.hops.size() == 1) return &route.hops.front();
  return &route.hops[std::hash<IpAddress>{}(destination) % route.hops.size()];
}

}  // namespace poolgate::drivers
