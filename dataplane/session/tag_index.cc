// SPDX-License-Identifier: BSD-3-Clause
#include "dataplane/session/tag_index.h"

namespace poolgate::session {

bool TagIndex::insert(uint32_t hash, SessionIndex session) {
  uint32_t at = position(hash);
  for (uint32_t probe = 0; probe < kMaxProbe; ++probe, at = next(at)) {
    for (uint32_t& e : buckets_[at].entry) {
      if (e != 0) continue;
      e = (hash & 0xff) << 24 | session;
      for (uint32_t p = position(hash); p != at; p = next(p)) ++buckets_[p].passed_by;
      return true;
    }
  }
  return false;
}

bool TagIndex::erase(uint32_t hash, SessionIndex session) {
  uint32_t at = position(hash);
  const uint32_t wanted = (hash & 0xff) << 24 | session;
  for (uint32_t probe = 0; probe < kMaxProbe; ++probe, at = next(at)) {
    for (uint32_t& e : buckets_[at].entry) {
      if (e != wanted) continue;
      e = 0;
      for (uint32_t p = position(hash); p != at; p = next(p)) --buckets_[p].passed_by;
      return true;
    }
    if (buckets_[at].passed_by == 0) return false;
  }
  return false;
}

}  // namespace poolgate::session
