// SPDX-License-Identifier: BSD-3-Clause
#pragma once

#include <atomic>
#include <cstdint>

namespace poolgate::drivers {

// Where a packet leaves: an entry of the next-hop table, named by its index, so that an ARP or ND change
// touches this one line and rebuilds no pool generation. Written by the main lcore only; read by workers.
struct alignas(64) NextHop {
  // 14 bytes as they stand at the start of an untagged frame but for the ether type: destination, source.
  uint8_t ether_addresses[12] = {};
  uint16_t port_id = 0;
  uint16_t mtu = 1500;  // of the route, in bytes of IP
  // resolved: the addresses are good. incomplete: hold the packet (drivers/held_packets.h) and resolve.
  enum State : uint32_t { unused = 0, incomplete = 1, resolved = 2, unreachable = 3 };
  std::atomic<uint32_t> state{unused};
};

using NextHopIndex = uint32_t;
inline constexpr NextHopIndex kNoNextHop = UINT32_MAX;

}  // namespace poolgate::drivers
