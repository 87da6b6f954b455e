// SPDX-License-Identifier: BSD-3-Clause
// The Internet checksum by increment (RFC 1624): what changes is subtracted and added, the rest is not read.
#pragma once

#include <cstddef>
#include <cstdint>

#include "dataplane/redirect/wire.h"

namespace poolgate::redirect {

// The sum of the differences of what is rewritten; words in network order, at even offsets.
class ChecksumDelta {
 public:
  void replace16(uint16_t from, uint16_t to) { sum_ += uint64_t{static_cast<uint16_t>(~from)} + to; }
  // n is even.
  void replace(const uint8_t* from, const uint8_t* to, size_t n) {
    for (size_t i = 0; i < n; i += 2) replace16(wire::raw16(from + i), wire::raw16(to + i));
  }
  // RFC 1624 §3, equation 3.
  uint16_t apply(uint16_t checksum) const {
    uint64_t s = sum_ + static_cast<uint16_t>(~checksum);
    while (s >> 16 != 0) s = (s & 0xffff) + (s >> 16);
    return static_cast<uint16_t>(~s);
  }

 private:
  uint64_t sum_ = 0;
};

// RFC 1071, in full: for packets that we build. `sum` is what a pseudo-header gave.
inline uint32_t checksum_add(const uint8_t* bytes, size_t n, uint32_t sum = 0) {
  for (size_t i = 0; i + 1 < n; i += 2) sum += wire::raw16(bytes + i);
  if (n & 1) sum += bytes[n - 1];
  return sum;
}
inline uint16_t checksum_finish(uint32_t sum) {
  while (sum >> 16 != 0) sum = (sum & 0xffff) + (sum >> 16);
  return static_cast<uint16_t>(~sum);
}

// What TCP, UDP and ICMPv6 count beside their own bytes (RFC 9293 §3.1, RFC 8200 §8.1). `n`: bytes of an
// address.
inline uint32_t pseudo_header(const uint8_t* from, const uint8_t* to, size_t n, uint8_t protocol,
                              size_t length) {
  return checksum_add(from, n, checksum_add(to, n)) + wire::swap16(protocol) +
         wire::swap16(static_cast<uint16_t>(length));
}

// Of a packet whose addresses stand one after the other: what goes into its checksum field while that is 0,
// and 0 if it is right. RFC 4443 §2.3 counts a pseudo-header; RFC 792 does not.
inline uint16_t icmp_checksum(uint8_t family, const uint8_t* addresses, const uint8_t* icmp, size_t length) {
  const uint32_t sum = family == 6 ? pseudo_header(addresses, addresses + 16, 16, wire::kIcmp6, length) : 0;
  return checksum_finish(checksum_add(icmp, length, sum));
}

}  // namespace poolgate::redirect
