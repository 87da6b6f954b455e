// SPDX-License-Identifier: BSD-3-Clause
// The handlespace's orders: by key, by home server, by association.
#include "controlplane/rserpool/handlespace/handlespace.h"

namespace poolgate::rserpool {

PeIndex Handlespace::first_in_pool(PoolIndex pool) const {
  const auto entry = pools_[pool].by_id.first();
  return entry ? entry->value : kNoPe;
}

PeIndex Handlespace::next_in_pool(PeIndex pe) const {
  const auto entry = pools_[records_[pe].pool].by_id.after(records_[pe].id);
  return entry ? entry->value : kNoPe;
}

PeIndex Handlespace::next(KeyCursor& cursor) const {
  auto at = by_handle_.lower_bound(cursor.handle);
  std::optional<BTree<PeId, PeIndex>::Entry> entry;
  if (at != by_handle_.end()) {
    const auto& ids = pools_[at->second].by_id;
    // The pool of the cursor, if it is still there, goes on after the last PE; any other begins.
    entry = cursor.started && at->first == cursor.handle ? ids.after(cursor.id) : ids.first();
    if (!entry && ++at != by_handle_.end()) entry = pools_[at->second].by_id.first();
  }
  cursor.started = true;
  if (!entry) {
    cursor.ended = true;
    return kNoPe;
  }
  if (cursor.handle != at->first) cursor.handle = at->first;
  cursor.id = entry->key;
  return entry->value;
}

PoolIndex Handlespace::first_pool() const {
  return by_handle_.empty() ? kNoPool : by_handle_.begin()->second;
}

PoolIndex Handlespace::next_pool(PoolIndex pool) const {
  const auto at = by_handle_.upper_bound(pools_[pool].handle);
  return at == by_handle_.end() ? kNoPool : at->second;
}

uint32_t Handlespace::owner_of(ServerId home) {
  const auto [at, is_new] = by_home_.try_emplace(home, 0);
  if (is_new) {
    at->second = owners_.allocate();
    owners_[at->second].home = home;
  }
  return at->second;
}

void Handlespace::join_owner(PeIndex pe, ServerId home) {
  PeRecord& record = records_[pe];
  record.home = home;
  record.owner = owner_of(home);
  Owner& owner = owners_[record.owner];
  record.owner_previous = owner.last;
  record.owner_next = kNoPe;
  (owner.last == kNoPe ? owner.first : records_[owner.last].owner_next) = pe;
  owner.last = pe;
  ++owner.size;
  owner.checksum.add(pools_[record.pool].words, record.id);
}

void Handlespace::leave_owner(PeIndex pe) {
  const PeRecord& record = records_[pe];
  Owner& owner = owners_[record.owner];
  (record.owner_previous == kNoPe ? owner.first : records_[record.owner_previous].owner_next) =
      record.owner_next;
  (record.owner_next == kNoPe ? owner.last : records_[record.owner_next].owner_previous) =
      record.owner_previous;
  owner.checksum.remove(pools_[record.pool].words, record.id);
  if (--owner.size == 0) {
    by_home_.erase(owner.home);
    owners_.release(record.owner);
  }
}

void Handlespace::change_owner(PeIndex pe, ServerId home) {
  if (records_[pe].home == home) return;
  leave_owner(pe);
  join_owner(pe, home);
}

PeIndex Handlespace::first_of_owner(ServerId home) const {
  const auto at = by_home_.find(home);
  return at == by_home_.end() ? kNoPe : owners_[at->second].first;
}

std::vector<ServerId> Handlespace::owners() const {
  std::vector<ServerId> list;
  for (const auto& [home, owner] : by_home_) list.push_back(home);
  return list;
}

size_t Handlespace::owned(ServerId home) const {
  const auto at = by_home_.find(home);
  return at == by_home_.end() ? 0 : owners_[at->second].size;
}

PeChecksum Handlespace::checksum_of(ServerId home) const {
  const auto at = by_home_.find(home);
  return at == by_home_.end() ? PeChecksum() : owners_[at->second].checksum;
}

PeIndex Handlespace::first_of_association(const AssociationKey& association) const {
  const PeIndex* first = by_association_.find(association);
  return first == nullptr ? kNoPe : *first;
}

void Handlespace::join_association(PeIndex pe, const AssociationKey& association) {
  PeRecord& record = records_[pe];
  record.association = association;
  record.association_previous = record.association_next = kNoPe;
  if (!association.is_set()) return;
  PeIndex* first = by_association_.find(association);
  if (first == nullptr) {
    by_association_.insert(association, pe);
    return;
  }
  record.association_next = *first;
  records_[*first].association_previous = pe;
  *first = pe;
}

void Handlespace::leave_association(PeIndex pe) {
  PeRecord& record = records_[pe];
  if (!record.association.is_set()) return;
  if (record.association_next != kNoPe) {
    records_[record.association_next].association_previous = record.association_previous;
  }
  if (record.association_previous != kNoPe) {
    records_[record.association_previous].association_next = record.association_next;
  } else if (record.association_next != kNoPe) {
    *by_association_.find(record.association) = record.association_next;
  } else {
    by_association_.erase(record.association);
  }
  record.association = {};
}

void Handlespace::set_association(PeIndex pe, const AssociationKey& association) {
  if (records_[pe].association == association) return;
  leave_association(pe);
  join_association(pe, association);
}

}  // namespace poolgate::rserpool
