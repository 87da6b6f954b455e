// SPDX-License-Identifier: BSD-3-Clause
// From a hash to the entries that may have it: buckets of one cache line, twelve 16-bit signatures compared
// at once, and as many numbers of 24 bits. An entry that finds its bucket full goes to one of the next; each
// bucket counts those that passed it by, so that a lookup stops where nothing did, and nothing is left behind
// when entries go.
#pragma once

#include <immintrin.h>

#include <cstdint>
#include <cstring>

#include "dataplane/session/session.h"

namespace poolgate::session {

class BucketIndex {
 public:
  static constexpr unsigned kSlots = 12;
  struct alignas(64) Bucket {
    uint16_t signature[kSlots];
    uint8_t entry[kSlots][3];  // little endian
    uint32_t passed_by;

    SessionIndex at(unsigned slot) const {
      uint32_t v;
      std::memcpy(&v, entry[slot], 4);  // with a byte of what follows
      return v & 0xffffff;
    }
    void set(unsigned slot, SessionIndex i) { std::memcpy(entry[slot], &i, 3); }
  };
  static_assert(sizeof(Bucket) == 64);

  // Seven of twelve when `entries` are in it: one in a hundred and fifty then finds its own bucket full.
  static uint32_t buckets_for(uint32_t entries) { return entries / 7 + 4; }
  // A chain longer than this is an attack or a bad secret: insert() fails.
  static constexpr uint32_t kMaxProbe = 32;

  // `buckets`: zeroed memory of n buckets.
  BucketIndex(Bucket* buckets, uint32_t n) : buckets_(buckets), n_(n) {}

  const Bucket* home(uint32_t hash) const { return buckets_ + position(hash); }

  // The first entry of its home bucket whose signature fits, the one that a hit nearly always is; kNone if
  // there is none.
  static SessionIndex first_candidate(const Bucket& b, uint32_t hash) {
    const uint32_t m = matches(b, signature(hash));
    return m != 0 ? b.at(static_cast<unsigned>(__builtin_ctz(m))) : kNone;
  }

  // The entry for which is_it(index) is true, of those whose hash may be this; kNone if none.
  template <class IsIt>
  SessionIndex find(uint32_t hash, IsIt&& is_it) const {
    uint32_t at = position(hash);
    const uint16_t s = signature(hash);
    for (uint32_t probe = 0; probe < kMaxProbe; ++probe) {
      const Bucket& b = buckets_[at];
      for (uint32_t m = matches(b, s); m != 0; m &= m - 1) {
        const SessionIndex i = b.at(static_cast<unsigned>(__builtin_ctz(m)));
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
        const auto i = static_cast<unsigned>(__builtin_ctz(free));
        b.set(i, entry);
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
        const auto i = static_cast<unsigned>(__builtin_ctz(m));
        if (b.at(i) != entry) continue;
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
    const __m128i wanted = _mm_set1_epi16(static_cast<int16_t>(s));
    const __m128i first = _mm_load_si128(reinterpret_cast<const __m128i*>(b.signature));
    const __m128i last = _mm_loadl_epi64(reinterpret_cast<const __m128i*>(b.signature + 8));
    const __m128i equal = _mm_packs_epi16(_mm_cmpeq_epi16(first, wanted), _mm_cmpeq_epi16(last, wanted));
    return static_cast<uint32_t>(_mm_movemask_epi8(equal)) & ((1u << kSlots) - 1);
  }

  Bucket* buckets_;
  uint32_t n_;
};

}  // namespace poolgate::session
