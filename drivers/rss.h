// SPDX-License-Identifier: BSD-3-Clause
#pragma once

#include <array>
#include <cstdint>
#include <optional>
#include <vector>

namespace poolgate::drivers {

// How a device spreads packets over its receive queues (RSS), as it says itself.
struct Rss {
  std::array<uint8_t, 40> key{};
  std::vector<uint16_t> queues;  // by the Toeplitz hash modulo its size
  bool sctp_ports = false;       // hashed, too; else addresses alone
  bool tcp_ports = false;
  bool udp_ports = false;
};

// Empty: the device does not do it, or does not say how.
std::optional<Rss> read_rss(uint16_t port_id);

}  // namespace poolgate::drivers
