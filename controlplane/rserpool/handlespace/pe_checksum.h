// SPDX-License-Identifier: BSD-3-Clause
// The PE checksum of RFC 5353 §3.6.2, kept incrementally: the blocks of all PEs of an owner, each its pool
// handle padded with zeros to a multiple of 4, then its PE id, as 16-bit big-endian words under RFC 1071. The
// sum is kept exactly, in 64 bits, and folded only to be sent: one's complement subtraction would make 0x0000
// of an empty set.
#pragma once

#include <cstdint>

#include "controlplane/rserpool/types.h"

namespace poolgate::rserpool {

// The sum of a handle's 16-bit words; the padding adds nothing.
constexpr uint64_t handle_words(PoolHandleView handle) {
  uint64_t sum = 0;
  for (size_t i = 0; i < handle.size(); ++i) {
    const auto byte = static_cast<uint8_t>(handle[i]);
    sum += i % 2 == 0 ? uint64_t{byte} << 8 : uint64_t{byte};
  }
  return sum;
}

class PeChecksum {
 public:
  // `words`: handle_words() of the PE's pool handle.
  constexpr void add(uint64_t words, PeId id) { sum_ += words + (id >> 16) + (id & 0xffff); }
  constexpr void remove(uint64_t words, PeId id) { sum_ -= words + (id >> 16) + (id & 0xffff); }
  // As in the PE Checksum parameter (RFC 5354 §3.15). Of no PE: 0xffff.
  constexpr uint16_t value() const {
    uint64_t sum = sum_;
    while (sum > 0xffff) sum = (sum >> 16) + (sum & 0xffff);
    return static_cast<uint16_t>(~sum);
  }
  constexpr uint64_t sum() const { return sum_; }

 private:
  uint64_t sum_ = 0;
};

}  // namespace poolgate::rserpool
