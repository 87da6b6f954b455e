// SPDX-License-Identifier: BSD-3-Clause
#include "dataplane/session/entry_pool.h"

namespace poolgate::session {

// A free entry: kind free; flags says whether it stands for a pair.
constexpr uint8_t kFreePair = 1;

void EntryPool::push(SessionIndex& head, SessionIndex i, bool pair) {
  entries_[i] = Session{};
  entries_[i].flags = pair ? kFreePair : 0;
  entries_[i].next_of_pe = head;
  if (head != kNone) entries_[head].previous_of_pe = i;
  head = i;
}

void EntryPool::unlink(SessionIndex& head, SessionIndex i) {
  const Session& e = entries_[i];
  if (e.previous_of_pe != kNone) entries_[e.previous_of_pe].next_of_pe = e.next_of_pe;
  if (e.next_of_pe != kNone) entries_[e.next_of_pe].previous_of_pe = e.previous_of_pe;
  if (head == i) head = e.next_of_pe;
  entries_[i] = Session{};
}

SessionIndex EntryPool::pop(SessionIndex& head) {
  const SessionIndex i = head;
  if (i != kNone) unlink(head, i);
  return i;
}

SessionIndex EntryPool::take_pair() {
  SessionIndex i = pop(pairs_);
  if (i == kNone) {
    if (fresh_ + 1 >= end_) return kNone;
    i = fresh_;
    fresh_ += 2;
  }
  entries_[i] = entries_[i + 1] = Session{};
  entries_[i + 1].kind = Kind::second;
  used_ += 2;
  return i;
}

SessionIndex EntryPool::take_single() {
  SessionIndex i = pop(singles_);
  if (i == kNone) {
    i = take_pair();
    if (i == kNone) return kNone;
    used_ -= 2;
    push(singles_, i + 1, false);
  }
  ++used_;
  return i;
}

void EntryPool::give_single(SessionIndex i) {
  --used_;
  const SessionIndex buddy = i ^ 1;
  if (entries_[buddy].kind == Kind::free && entries_[buddy].flags != kFreePair) {
    unlink(singles_, buddy);
    push(pairs_, i & ~1u, true);
    entries_[i | 1] = Session{};
    entries_[i | 1].kind = Kind::second;  // never taken for a single's free buddy
  } else {
    push(singles_, i, false);
  }
}

void EntryPool::give_pair(SessionIndex i) {
  used_ -= 2;
  push(pairs_, i, true);
  entries_[i + 1] = Session{};
  entries_[i + 1].kind = Kind::second;
}

}  // namespace poolgate::session
