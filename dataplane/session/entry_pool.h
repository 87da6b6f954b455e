// SPDX-License-Identifier: BSD-3-Clause
// Which entries of a table are free. Lines go in threes: three entries of IPv4, or (wide) two of IPv6 that
// share the third line for their addresses. Keys of the far side (a `nat` session's second one) have slabs of
// their own, as long as there is room: a processor that fetches a line has its neighbour fetched as well, and
// packets of one side have no use for the other's. The free entries themselves are the lists; memory that was
// never needed is never touched.
#pragma once

#include <cstdint>

#include "dataplane/session/session.h"

namespace poolgate::session {

class EntryPool {
 public:
  // Entries kFirst .. capacity + 2 of `entries`; those before are nobody's, so that 0 can mean none.
  // `capacity` is a multiple of three.
  EntryPool(Session* entries, uint32_t capacity) : entries_(entries), end_(capacity + kFirst) {}

  enum Side : uint8_t { near, far };

  // Zeroed but for what the caller sets. kNone: none free.
  SessionIndex take(Side side);
  // For IPv6: its kind stays `wide` until the caller sets it, after the key, so that whoever reads the lines
  // at any moment knows that the third is no entry.
  SessionIndex take_wide(Side side);
  // `side`: as it was taken.
  void give(SessionIndex i, Side side);
  void give_wide(SessionIndex i, Side side);

  // True if line i is the third of a wide three.
  bool holds_addresses(SessionIndex i) const { return i % 3 == 2 && (wide(i - 2) || wide(i - 1)); }

  // After re-attaching: lines from `fresh` on were never used. Of those before it, three by three in their
  // order, takes over what is free (kind free, or wide); `first` is a multiple of three.
  void set_fresh(uint32_t fresh) { fresh_ = fresh; }
  void reattach(SessionIndex first);
  uint32_t fresh() const { return fresh_; }  // no entry at or after this is in use
  uint32_t used() const { return used_; }    // lines that no entry of IPv4 can have

 private:
  bool wide(SessionIndex i) const {
    const Session& e = entries_[i];
    return e.kind == Kind::wide || (e.kind != Kind::free && e.key.family == 6);
  }
  bool free_single(SessionIndex i) const;
  Side side_of_free(SessionIndex i) const;
  Side side_of_three(SessionIndex first, bool addresses) const;
  void push(SessionIndex& head, SessionIndex i, Kind kind, uint8_t flags);
  void unlink(SessionIndex& head, SessionIndex i);
  SessionIndex pop(SessionIndex& head);
  SessionIndex take_three(Side side);
  SessionIndex carve(Side side);
  void give_three(SessionIndex first, Side side);

  Session* entries_;
  uint32_t end_;
  uint32_t fresh_ = kFirst;
  uint32_t used_ = 0;
  SessionIndex singles_[2] = {kNone, kNone};  // by side
  SessionIndex wides_[2] = {kNone, kNone};
  SessionIndex threes_[2] = {kNone, kNone};
  // Lines of a side's last slab that were never used.
  struct Slab {
    SessionIndex next = kFirst, end = kFirst;
  } slabs_[2];
  Side reattached_ = near;  // of the last three: that of a free one is its neighbours'
};

}  // namespace poolgate::session
