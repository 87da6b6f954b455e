// SPDX-License-Identifier: BSD-3-Clause
// IPv4 and IPv6 address parameters of INIT and INIT ACK chunks: what usrsctp neither writes nor reads on
// AF_CONN.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <vector>

#include "controlplane/rserpool/ip_address.h"

namespace poolgate::sctp {

using rserpool::IpAddress;

inline constexpr size_t kCommonHeaderSize = 12;
// Addresses read of one chunk at most: the rest is not looked at (RFC 9260 sets no limit).
inline constexpr size_t kMaxPeerAddresses = 32;

enum class ChunkType : uint8_t {
  data = 0,
  init = 1,
  init_ack = 2,
  heartbeat_ack = 5,
  abort = 6,
  cookie_echo = 10,
  cookie_ack = 11,
  shutdown_complete = 14
};

// One parameter (RFC 9260 §3.3.2.1), at the end of `bytes`.
void append_address(std::vector<uint8_t>& bytes, const IpAddress& address);

// `packet`: an SCTP packet that holds one INIT or INIT ACK chunk. Appends one parameter for each address (RFC
// 9260 §3.3.2.1) to `packet` and corrects the chunk's length; the checksum is left to the caller.
void append_addresses(std::vector<uint8_t>& packet, std::span<const IpAddress> addresses);

// `chunk`: an INIT or INIT ACK chunk from its header on, as much of it as there is. The addresses that it
// lists, in order, each once; what is malformed ends the list.
std::vector<IpAddress> read_addresses(std::span<const uint8_t> chunk);

// Whether a peer may have it: not unspecified, loopback, multicast, broadcast or link-local (RFC 9260 §3.3.2
// leaves the list to the peer; heartbeats go to whatever it says).
bool is_unicast(const IpAddress& address);

}  // namespace poolgate::sctp
