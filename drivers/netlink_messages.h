// SPDX-License-Identifier: BSD-3-Clause
// rtnetlink messages, parsed and built: pure functions over bytes (rtnetlink(7)).
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <vector>

#include "controlplane/rserpool/ip_address.h"
#include "drivers/next_hop_table.h"
#include "drivers/route_table.h"

struct nlmsghdr;

namespace poolgate::drivers {

// RTM_NEWNEIGH, RTM_DELNEIGH.
struct NeighbourMessage {
  uint32_t ifindex = 0;
  rserpool::IpAddress address;
  std::optional<MacAddress> mac;
  uint16_t nud = 0;  // NUD_*; 0 when the kernel forgot it
};
std::optional<NeighbourMessage> parse_neighbour(const nlmsghdr* message);

// RTM_NEWROUTE, RTM_DELROUTE: unicast, and those that refuse (unreachable, blackhole, prohibit).
struct RouteMessage {
  RouteEntry entry;
  bool removed = false;
  bool replaced = false;  // NLM_F_REPLACE: stands for all routes to the prefix with its metric
  bool ours = false;      // made by build_route()
};
std::optional<RouteMessage> parse_route(const nlmsghdr* message);

// RTM_NEWADDR: one address of an interface.
struct AddressMessage {
  uint32_t ifindex = 0;
  rserpool::IpAddress address;
  uint8_t length = 0;
  bool ours = false;  // made by build_address() (Linux 5.18 and later say so)
};
std::optional<AddressMessage> parse_address(const nlmsghdr* message);

using NetlinkBuffer = std::array<char, 512>;

// Asks for all neighbours, or all routes of a family (AF_INET, AF_INET6).
nlmsghdr* build_neighbour_dump(NetlinkBuffer& buffer, uint32_t sequence);
nlmsghdr* build_route_dump(NetlinkBuffer& buffer, uint32_t sequence, uint8_t family);
nlmsghdr* build_address_dump(NetlinkBuffer& buffer, uint32_t sequence);
// "I am about to use it": the kernel resolves or confirms the neighbour (NTF_USE). Not for permanent ones:
// since Linux 5.16 that takes the permanence, and with it the MAC, away.
nlmsghdr* build_neighbour_use(NetlinkBuffer& buffer, uint32_t sequence, const NextHopTable::Key& neighbour);
// Link: up, with this MAC and MTU.
nlmsghdr* build_link_up(NetlinkBuffer& buffer, uint32_t ifindex, const MacAddress& mac, uint32_t mtu);
// Marked as ours (IFA_PROTO), so that a later run knows its predecessor's from an operator's.
nlmsghdr* build_address(NetlinkBuffer& buffer, uint32_t ifindex, const rserpool::IpAddress& address,
                        uint8_t length, bool add);
// In the main table, marked as ours (its protocol); to be removed, it need not have the gateway.
nlmsghdr* build_route(NetlinkBuffer& buffer, uint32_t ifindex, const rserpool::IpAddress& destination,
                      uint8_t length, const rserpool::IpAddress& gateway, bool add);

}  // namespace poolgate::drivers
