// SPDX-License-Identifier: BSD-3-Clause
// ICMP and ICMPv6 errors by hand.
#pragma once

#include <algorithm>

#include "tests/unit/packet_builder.h"

namespace poolgate::test {

// From the IP header on: an error of `type` and `code` from a router about `about` (a frame).
inline Bytes icmp_error(const IpAddress& router, const IpAddress& to, uint8_t type, uint8_t code,
                        uint32_t what, const Bytes& about, size_t quoted = 128) {
  Bytes p{type, code};
  add16(p, 0);
  add32(p, what);
  add(p, slice(about, 14, std::min(quoted, about.size() - 14)));
  if (to.is_v6()) {
    set16(p, 2, transport_checksum(router, to, 58, p));
  } else {
    set16(p, 2, internet_checksum(p));
  }
  return ip_frame({router, to, 0, 0}, to.is_v6() ? 58 : 1, p);
}

}  // namespace poolgate::test
