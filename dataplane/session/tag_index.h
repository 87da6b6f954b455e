// SPDX-License-Identifier: BSD-3-Clause
// From (service, client port, Tp) to the SCTP sessions that have them: for packets from addresses that no
// INIT named. Off the fast path, so small: 4 bytes an entry, of which 8 are a signature and 24 the session.
#pragma once

#include <cstdint>

#include "dataplane/session/session.h"

namespace poolgate::session {

class TagIndex {
 public:
  struct alignas(64) Bucket {
    uint32_t entry[15];  // signature << 24 | session; 0: free
    uint32_t passed_by;
  };
  static_assert(sizeof(Bucket) == 64);

  static uint32_t buckets_for(uint32_t entries) { return entries / 12 + 2; }
  static constexpr uint32_t kMaxProbe = 16;
  static constexpr uint32_t kMaxSession = 0xffffff;

  TagIndex(Bucket* buckets, uint32_t n) : buckets_(buckets), n_(n) {}

  void prefetch(uint32_t hash) const { __builtin_prefetch(&buckets_[position(hash)], 1); }
  bool insert(uint32_t hash, SessionIndex session);
  bool erase(uint32_t hash, SessionIndex session);
  // Calls visit(session) for each that may be it, until it returns false.
  template <class Visit>
  void for_each(uint32_t hash, Visit&& visit) const {
    uint32_t at = position(hash);
    for (uint32_t probe = 0; probe < kMaxProbe; ++probe) {
      const Bucket& b = buckets_[at];
      for (const uint32_t e : b.entry) {
        if (e != 0 && e >> 24 == (hash & 0xff) && !visit(e & kMaxSession)) return;
      }
      if (b.passed_by == 0) return;
      at = next(at);
    }
  }

 private:
  uint32_t position(uint32_t hash) const { return static_cast<uint32_t>(uint64_t{hash} * n_ >> 32); }
  uint32_t next(uint32_t at) const { return at + 1 == n_ ? 0 : at + 1; }

  Bucket* buckets_;
  uint32_t n_;
};

}  // namespace poolgate::session
