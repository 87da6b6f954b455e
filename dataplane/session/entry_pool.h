// SPDX-License-Identifier: BSD-3-Clause
// Which entries of a table are free: single lines (IPv4) and aligned pairs (IPv6), as a buddy allocator of
// two sizes. The free entries themselves are the lists; memory that was never needed is never touched.
#pragma once

#include <cstdint>

#include "dataplane/session/session.h"

namespace poolgate::session {

class EntryPool {
 public:
  // Entries 2 .. capacity + 1 of `entries`; 0 and 1 are nobody's, so that 0 can mean none. capacity is even.
  EntryPool(Session* entries, uint32_t capacity) : entries_(entries), end_(capacity + 2) {}

  // Zeroed but for what the caller sets. kNone: none free.
  SessionIndex take_single();
  SessionIndex take_pair();  // even
  void give_single(SessionIndex i);
  void give_pair(SessionIndex i);

  // After re-attaching: entries from `fresh` on were never used; those before it are given back one by one.
  void set_fresh(uint32_t fresh) { fresh_ = fresh; }
  uint32_t fresh() const { return fresh_; }  // no entry at or after this is in use
  uint32_t used() const { return used_; }
  void count_used(uint32_t n) { used_ += n; }

 private:
  void push(SessionIndex& head, SessionIndex i, bool pair);
  void unlink(SessionIndex& head, SessionIndex i);
  SessionIndex pop(SessionIndex& head);

  Session* entries_;
  uint32_t end_;
  uint32_t fresh_ = 2;
  uint32_t used_ = 0;
  SessionIndex singles_ = kNone;
  SessionIndex pairs_ = kNone;
};

}  // namespace poolgate::session
