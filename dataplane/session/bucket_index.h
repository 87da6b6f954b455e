// SPDX-License-Identifier: BSD-3-Clause
// From a hash to the entries that may have it: buckets of one cache line, eight 16-bit signatures compared at
// once. An entry that finds its bucket full goes to one of the next; each bucket counts those that passed it
// by, so that a lookup stops where nothing did, and nothing is left behind when entries go.
#pragma once

#include <immintrin.h>

#include <cstdint>

#include "dataplane/session/session.h"

namespace poolgate::session {

class BucketIndex {
 public:
  struct alignas(64) Bucket {
    uint16_t signature[8];
    uint32_t entry[8];
    uint32_t passed_by;
    uint32_t unused[3];
  };
  static_assert(sizeof(Bucket) == 64);

  // Three quarters full when `entries` are in it.
  static uint32_t buckets_for(uint32_t entries) { return entries / 6 + 4; }
  // A chain longer than this is an attack or a bad secret: insert() fails.
  static constexpr uint32_t kMaxProbe = 32;

  // `buckets`: zeroed memory of n buckets.
  BucketIndex(Bucket* buckets, uint32_t n) : buckets_(buckets), n_(n) {}

  const Bucket* home(uint32_t hash) const { return buckets_ + position(hash); }

  // The first entry of the home bucket whose signature fits, the one that a hit nearly always is; kNone if
  // there is none.
  SessionIndex first_candidate(uint32_t hash) const {
    const Bucket& b = *home(hash);
    const uint32_t m = matches(b, signature(hash));
    return m != 0 ? b.entry[__builtin_ctz(m)] : kNone;
  }

  // The entry for which is_it(index) is true, of those whose hash may be this; kNone if none.
  template <class IsIt>
  SessionIndex find(uint32_t hash, IsIt&& is_it) const {
    uint32_t at = position(hash);
    const uint16_t s = signature(hash);
    for (uint32_t probe = 0; probe < kMaxProbe; ++probe) {
      const Bucket& b = buckets_[at];
      for (uint32_t m = matches(b, s); m != 0; m &= m - 1) {
        const SessionIndex i = b.entry[__builtin_ctz(m)];
        if (is_it(i)) return i;
      }
      if (b.passed_by == 0) break;
      at = at + 1 == n_ ? 0 : at + 1;
    }
    return kNone;
  }

  // False: no room within kMaxProbe buckets.
  bool insert(uint32_t hash, SessionIndex entry) {
    uint32_t at = position(hash);
    for (uint32_t probe = 0; probe < kMaxProbe; ++probe) {
      Bucket& b = buckets_[at];
      if (const uint32_t free = matches(b, 0); free != 0) {
        const int i = __builtin_ctz(free);
        b.entry[i] = entry;
        b.signature[i] = signature(hash);
        for (uint32_t p = position(hash); p != at; p = p + 1 == n_ ? 0 : p + 1) ++buckets_[p].passed_by;
        return true;
      }
      at = at + 1 == n_ ? 0 : at + 1;
    }
    return false;
  }

  bool erase(uint32_t hash, SessionIndex entry) {
    uint32_t at = position(hash);
    const uint16_t s = signature(hash);
    for (uint32_t probe = 0; probe < kMaxProbe; ++probe) {
      Bucket& b = buckets_[at];
      for (uint32_t m = matches(b, s); m != 0; m &= m - 1) {
        const int i = __builtin_ctz(m);
        if (b.entry[i] != entry) continue;
        b.signature[i] = 0;
        for (uint32_t p = position(hash); p != at; p = p + 1 == n_ ? 0 : p + 1) --buckets_[p].passed_by;
        return true;
      }
      if (b.passed_by == 0) break;
      at = at + 1 == n_ ? 0 : at + 1;
    }
    return false;
  }

 private:
  uint32_t position(uint32_t hash) const { return static_cast<uint32_t>(uint64_t{hash} * n_ >> 32); }
  // The position comes of the hash's high bits, the signature of the low ones. 0 is a free place.
  static uint16_t signature(uint32_t hash) { return static_cast<uint16_t>(hash | 1); }
  static uint32_t matches(const Bucket& b, uint16_t s) {
    const __m128i all = _mm_load_si128(reinterpret_cast<const __m128i*>(b.signature));
    const __m128i equal = _mm_cmpeq_epi16(all, _mm_set1_epi16(static_cast<int16_t>(s)));
    return static_cast<uint32_t>(_mm_movemask_epi8(_mm_packs_epi16(equal, _mm_setzero_si128()))) & 0xff;
  }

  Bucket* buckets_;
  uint32_t n_;
};

}  // namespace poolgate::session
