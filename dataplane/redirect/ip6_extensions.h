// SPDX-License-Identifier: BSD-3-Clause
// Extension headers of IPv6 that may stand in front of a transport header (RFC 8200 §4).
#pragma once

#include <cstddef>
#include <cstdint>

#include "dataplane/redirect/wire.h"

namespace poolgate::redirect::ip6_extensions {

inline constexpr uint8_t kHopByHop = 0, kRouting = 43, kFragment = 44, kDestination = 60;
// More than this is nobody's honest packet.
inline constexpr unsigned kMax = 8;
// Of each header, the least there is: with its length.
inline constexpr size_t kLeast = 8;

inline bool is_one(uint8_t header) {
  return header == kHopByHop || header == kDestination || header == kRouting || header == kFragment;
}
// `at`: kLeast bytes of it; the first is the next one's type.
inline size_t length(uint8_t header, const uint8_t* at) {
  return header == kFragment ? kLeast : (at[1] + 1u) * 8;
}

// Past those of a packet that somebody quotes, as far as it is quoted; `at` and `protocol`: the first header
// behind the fixed one, then the transport's. False: there is none, as of a fragment that is not the first,
// or the packet was on its way to another than its last receiver (RFC 8200 §4.4).
inline bool skip(const uint8_t* quoted, size_t bytes, size_t& at, uint8_t& protocol) {
  for (unsigned n = 0; is_one(protocol); ++n) {
    if (n == kMax || bytes < at + kLeast) return false;
    const uint8_t* header = quoted + at;
    if (protocol == kFragment && (wire::get16(header + 2) & 0xfff8) != 0) return false;
    if (protocol == kRouting && header[3] != 0) return false;
    at += length(protocol, header);
    protocol = header[0];
  }
  return true;
}

}  // namespace poolgate::redirect::ip6_extensions
