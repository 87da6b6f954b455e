// SPDX-License-Identifier: BSD-3-Clause
// The PE checksum of RFC 5353 §3.6.2, kept incrementally: the blocks of all PEs of an owner, each its pool
// handle padded with zeros to a multiple of 4, then its PE id, as 16-bit big-endian words under RFC 1071. The
// sum is kept exactly, in 64 bits, and folded only to be sent: one's complement subtraction would make 0x0000
// of an empty set.
#pragma once

#include <cstdint>

#include "controlplane/rserpool/types.h"

namespace poolgate::rserpool {

// The bytes of a block by their place in the 16-bit words: all that a checksum needs to know of it.
struct BlockSum {
  uint64_t high = 0, low = 0;
};

// Of a handle; the padding adds nothing.
constexpr BlockSum handle_words(PoolHandleView handle) {
  BlockSum sum;
  for (size_t i = 0; i < handle.size(); ++i) {
    const auto byte = static_cast<uint8_t>(handle[i]);
    (i % 2 == 0 ? sum.high : sum.low) += byte;
  }
  return sum;
}

class PeChecksum {
 public:
  // `words`: handle_words() of the PE's pool handle.
  constexpr void add(const BlockSum& words, PeId id) {
    sum_.high += words.high + (id >> 24) + (id >> 8 & 0xff);
    sum_.low += words.low + (id >> 16 & 0xff) + (id & 0xff);
  }
  constexpr void remove(const BlockSum& words, PeId id) {
    sum_.high -= words.high + (id >> 24) + (id >> 8 & 0xff);
    sum_.low -= words.low + (id >> 16 & 0xff) + (id & 0xff);
  }
  constexpr void add(const PeChecksum& other) {
    sum_.high += other.sum_.high;
    sum_.low += other.sum_.low;
  }
  // As in the PE Checksum parameter (RFC 5354 §3.15). Of no PE: 0xffff.
  constexpr uint16_t value() const { return folded((sum_.high << 8) + sum_.low); }
  // As RSPLIB computes it: of little-endian words, in 32 bits that lose their carries (conformance §10). The
  // same as value() up to there.
  constexpr uint16_t rsplib_value() const {
    const uint16_t value = folded(((sum_.low << 8) + sum_.high) & 0xffffffff);
    return static_cast<uint16_t>(value << 8 | value >> 8);
  }
  constexpr uint64_t sum() const { return (sum_.high << 8) + sum_.low; }

 private:
  static constexpr uint16_t folded(uint64_t sum) {
    while (sum > 0xffff) sum = (sum >> 16) + (sum & 0xffff);
    return static_cast<uint16_t>(~sum);
  }

  BlockSum sum_;
};

}  // namespace poolgate::rserpool
