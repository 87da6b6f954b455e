// SPDX-License-Identifier: BSD-3-Clause
// Options of an IPv4 header (RFC 791 §3.1): what stands behind its first 20 bytes.
#pragma once

#include <cstddef>
#include <cstdint>
#include <cstring>

namespace poolgate::redirect::ip_options {

inline constexpr uint8_t kEnd = 0, kNoOperation = 1, kLooseRoute = 131, kStrictRoute = 137;
inline constexpr uint8_t kCopied = 0x80;  // flag of a type: the option is in every fragment
inline constexpr size_t kMax = 40;        // bytes of all

// Of the option at `at` < n, which is no end of the list. 0: malformed.
inline size_t length(const uint8_t* options, size_t n, size_t at) {
  if (options[at] == kNoOperation) return 1;
  const size_t wanted = at + 1 < n ? options[at + 1] : 0;
  return wanted < 2 || wanted > n - at ? 0 : wanted;
}

// Those that a fragment has that is not the first (RFC 791 §3.2), filled up to a multiple of four; `to` has
// room for n, itself a multiple of four. Their length. Stops at a malformed one, which the parser refuses.
inline size_t copied(const uint8_t* options, size_t n, uint8_t* to) {
  size_t kept = 0;
  for (size_t at = 0; at < n && options[at] != kEnd;) {
    const size_t one = length(options, n, at);
    if (one == 0) break;
    if ((options[at] & kCopied) != 0) {
      std::memcpy(to + kept, options + at, one);
      kept += one;
    }
    at += one;
  }
  while (kept % 4 != 0) to[kept++] = kEnd;
  return kept;
}

}  // namespace poolgate::redirect::ip_options
