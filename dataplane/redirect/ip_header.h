// SPDX-License-Identifier: BSD-3-Clause
// The IP header in front of a packet that we make ourselves.
#pragma once

#include <cstddef>
#include <cstdint>
#include <cstring>

#include "dataplane/redirect/checksum.h"
#include "dataplane/redirect/wire.h"

namespace poolgate::redirect {

inline constexpr uint8_t kOurHopLimit = 64;

struct IpHeader {
  uint8_t family = 4;
  uint8_t protocol = 0;
  const uint8_t* from = nullptr;  // 4 or 16 bytes by family
  const uint8_t* to = nullptr;
  size_t payload = 0;         // bytes behind the header
  uint16_t id = 0;            // IPv4; with DF it may be 0 (RFC 6864)
  bool dont_fragment = true;  // IPv4
  uint8_t hop_limit = kOurHopLimit;
};

// RFC 791 §3.1, RFC 8200 §3, with its checksum. Returns its length: where the payload goes.
inline size_t put_ip_header(uint8_t* ip, const IpHeader& header) {
  using namespace wire;
  if (header.family == 6) {
    put32(ip, 6u << 28);
    put16(ip + 4, static_cast<uint16_t>(header.payload));
    ip[6] = header.protocol;
    ip[7] = header.hop_limit;
    std::memcpy(ip + 8, header.from, 16);
    std::memcpy(ip + 24, header.to, 16);
    return kIpv6Header;
  }
  ip[0] = 0x45;
  ip[1] = 0;
  put16(ip + 2, static_cast<uint16_t>(kIpv4Header + header.payload));
  put16(ip + 4, header.id);
  put16(ip + 6, header.dont_fragment ? 0x4000 : 0);
  ip[8] = header.hop_limit;
  ip[9] = header.protocol;
  put16(ip + 10, 0);
  std::memcpy(ip + 12, header.from, 4);
  std::memcpy(ip + 16, header.to, 4);
  put_raw16(ip + 10, checksum_finish(checksum_add(ip, kIpv4Header)));
  return kIpv4Header;
}

}  // namespace poolgate::redirect
