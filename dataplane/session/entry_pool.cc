// SPDX-License-Identifier: BSD-3-Clause
#include "dataplane/session/entry_pool.h"

#include <atomic>

namespace poolgate::session {
namespace {

// Flags of a free entry (kind free): a single one, or the first of three. Else it is on no list. Of a single
// or a wide one: on which side's.
constexpr uint8_t kFreeSingle = 1;
constexpr uint8_t kFreeThree = 2;
constexpr uint8_t kFreeFar = 4;

constexpr uint32_t kSlab = 192;  // lines: some pages

constexpr uint8_t flag_of(EntryPool::Side side) { return side == EntryPool::far ? kFreeFar : 0; }
constexpr EntryPool::Side other_side(EntryPool::Side side) {
  return side == EntryPool::far ? EntryPool::near : EntryPool::far;
}

// The process may be killed between any two stores; they are made in this order.
void ordered() { std::atomic_signal_fence(std::memory_order_seq_cst); }

}  // namespace

bool EntryPool::free_single(SessionIndex i) const {
  return entries_[i].kind == Kind::free && (entries_[i].flags & kFreeSingle) != 0;
}

EntryPool::Side EntryPool::side_of_free(SessionIndex i) const {
  return (entries_[i].flags & kFreeFar) != 0 ? far : near;
}

// By what is in use of it.
EntryPool::Side EntryPool::side_of_three(SessionIndex first, bool addresses) const {
  for (SessionIndex i = first; i < first + (addresses ? 2 : 3); ++i) {
    const Session& e = entries_[i];
    if (e.kind == Kind::session || e.kind == Kind::alias) return (e.flags & kFromPe) != 0 ? far : near;
  }
  return near;
}

void EntryPool::push(SessionIndex& head, SessionIndex i, Kind kind, uint8_t flags) {
  Session e;
  e.kind = kind;
  e.flags = flags;
  e.next_of_pe = head;
  entries_[i] = e;
  if (head != kNone) entries_[head].previous_of_pe = i;
  head = i;
}

// The entry keeps its kind, and nothing else.
void EntryPool::unlink(SessionIndex& head, SessionIndex i) {
  Session& e = entries_[i];
  if (e.previous_of_pe != kNone) entries_[e.previous_of_pe].next_of_pe = e.next_of_pe;
  if (e.next_of_pe != kNone) entries_[e.next_of_pe].previous_of_pe = e.previous_of_pe;
  if (head == i) head = e.next_of_pe;
  Session empty;
  empty.kind = e.kind;
  e = empty;
}

SessionIndex EntryPool::pop(SessionIndex& head) {
  const SessionIndex i = head;
  if (i != kNone) unlink(head, i);
  return i;
}

// The next three of the side's slab.
SessionIndex EntryPool::carve(Side side) {
  constexpr uint32_t kAhead = 12;  // lines that were never needed, and will be by the next associations
  Slab& slab = slabs_[side];
  if (slab.next == slab.end) return kNone;
  const SessionIndex first = slab.next;
  slab.next += 3;
  for (SessionIndex line = first; line < slab.next; ++line) {
    entries_[line] = Session{};
    if (line + kAhead < slab.end) __builtin_prefetch(&entries_[line + kAhead], 1);
  }
  return first;
}

// Where nothing is left but what the other side has, that.
SessionIndex EntryPool::take_three(Side side) {
  SessionIndex i = pop(threes_[side]);
  if (i != kNone) return i;
  if (Slab& slab = slabs_[side]; slab.next == slab.end && fresh_ < end_) {
    slab.next = fresh_;
    slab.end = fresh_ = end_ - fresh_ > kSlab ? fresh_ + kSlab : end_;
  }
  i = carve(side);
  if (i == kNone) i = pop(threes_[other_side(side)]);
  return i != kNone ? i : carve(other_side(side));
}

void EntryPool::give_three(SessionIndex first, Side side) {
  entries_[first + 2] = Session{};  // first: bytes of addresses are never taken for an entry
  ordered();
  entries_[first + 1] = Session{};
  push(threes_[side], first, Kind::free, kFreeThree);
}

SessionIndex EntryPool::take(Side side) {
  SessionIndex i = pop(singles_[side]);
  if (i == kNone) {
    i = take_three(side);
    if (i != kNone) {
      push(singles_[side], i + 2, Kind::free, kFreeSingle | flag_of(side));
      push(singles_[side], i + 1, Kind::free, kFreeSingle | flag_of(side));
    } else {
      i = pop(singles_[other_side(side)]);
      if (i == kNone) return kNone;
    }
  }
  ++used_;
  return i;
}

SessionIndex EntryPool::take_wide(Side side) {
  SessionIndex i = pop(wides_[side]);
  if (i == kNone) {
    i = take_three(side);
    if (i != kNone) {
      used_ += 3;
      push(wides_[side], i + 1, Kind::wide, flag_of(side));
      entries_[i].kind = Kind::wide;
    } else {
      i = pop(wides_[other_side(side)]);
      if (i == kNone) return kNone;
    }
  }
  ordered();
  return i;
}

void EntryPool::give(SessionIndex i, Side side) {
  --used_;
  const SessionIndex first = i - i % 3;
  for (SessionIndex other = first; other < first + 3; ++other) {
    if (other != i && !free_single(other)) {
      push(singles_[side], i, Kind::free, kFreeSingle | flag_of(side));
      return;
    }
  }
  for (SessionIndex other = first; other < first + 3; ++other) {
    if (other != i) unlink(singles_[side_of_free(other)], other);
  }
  give_three(first, side);
}

void EntryPool::give_wide(SessionIndex i, Side side) {
  const SessionIndex other = i % 3 == 0 ? i + 1 : i - 1;
  if (entries_[other].kind != Kind::wide) {
    push(wides_[side], i, Kind::wide, flag_of(side));
    return;
  }
  unlink(wides_[side_of_free(other)], other);
  used_ -= 3;
  give_three(i - i % 3, side);
}

void EntryPool::reattach(SessionIndex first) {
  const bool addresses = holds_addresses(first + 2);
  const auto free = [this](SessionIndex i) {
    return entries_[i].kind == Kind::free || entries_[i].kind == Kind::wide;
  };
  if (free(first) && free(first + 1) && (addresses || free(first + 2))) {
    give_three(first, reattached_);
    return;
  }
  used_ += 3;
  const Side side = reattached_ = side_of_three(first, addresses);
  for (SessionIndex i = first; i < first + (addresses ? 2 : 3); ++i) {
    if (!free(i)) continue;
    if (addresses) {
      push(wides_[side], i, Kind::wide, flag_of(side));
    } else {
      push(singles_[side], i, Kind::free, kFreeSingle | flag_of(side));
      --used_;
    }
  }
}

}  // namespace poolgate::session
