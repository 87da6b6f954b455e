// SPDX-License-Identifier: BSD-3-Clause
// SipHash-2-4: a hash that nobody can find collisions of who does not know its key.
#pragma once

#include <cstddef>
#include <cstdint>

namespace poolgate::sctp {

struct HashKey {
  uint64_t low = 0, high = 0;
  // From the kernel's random numbers.
  static HashKey random();
};

uint64_t keyed_hash(const HashKey& key, const uint8_t* data, size_t length);

}  // namespace poolgate::sctp
