// SPDX-License-Identifier: BSD-3-Clause
#include "controlplane/registrar/core/subscriptions.h"

#include <utility>

#include "controlplane/rserpool/wire/asap.h"
#include "controlplane/rserpool/wire/builders.h"

namespace poolgate::registrar {

using rserpool::kNoPe;
using rserpool::kNoPool;
using rserpool::PeIndex;
using rserpool::PoolHandleView;
using rserpool::PoolIndex;

namespace {

constexpr size_t kMaxOfAssociation = 64;
constexpr size_t kMax = 100'000;
constexpr Micros kCoalesce = 100 * kMilli;
// Of one tick; an update costs its bytes, and some microseconds besides.
constexpr size_t kBytesAtOnce = 1u << 20;
constexpr size_t kBytesOfAnUpdate = 2048;
constexpr size_t kForgottenAtOnce = 500;  // associations
using Change = JournalRecord::Change;

JournalRecord record_of(Change change, const channel::AssociationName& name,
                        const rserpool::PoolHandle& handle) {
  JournalRecord record;
  record.change = change;
  record.association = name;
  record.pe.handle = handle;
  return record;
}

// The pool as it is now, in order of PE id: an update is no selection, and moves no policy's state.
std::string update_message(rserpool::Handlespace& space, PoolIndex pool, PoolHandleView handle) {
  std::string bytes;
  if (pool == kNoPool) {
    rserpool::asap::HandleResolutionResponse gone;
    gone.handle = handle;
    gone.causes = {{rserpool::Cause::unknown_pool_handle, ""}};
    return rserpool::asap::encode(rserpool::asap::Message(gone), bytes) ? bytes : std::string();
  }
  PeIndex pe = space.first_in_pool(pool);
  rserpool::wire::ResolutionResponseBuilder builder(bytes, handle, space.settings(pe), true,
                                                    rserpool::wire::kMaxMessageLength, space.policy_data(pe));
  rserpool::PoolElement element;
  for (; pe != kNoPe; pe = space.next_in_pool(pe)) {
    space.read(pe, element, false);
    if (!builder.append(element)) break;
  }
  return builder.finish() ? bytes : std::string();
}

}  // namespace

bool Subscriptions::add(Association& association, const rserpool::PoolHandle& handle) {
  if (association.subscriptions.size() >= kMaxOfAssociation || count_ >= kMax) return false;
  association.subscriptions.insert(handle);
  subscribers_[handle].insert(association.name);
  ++count_;
  return true;
}

bool Subscriptions::subscribe(Association& association, PoolHandleView handle) {
  const rserpool::PoolHandle key(handle);
  if (association.subscriptions.contains(key)) return true;
  if (!add(association, key)) return false;
  // A loss of power ends the association, and the subscription with it.
  context_.out.put(JournalPut{record_of(Change::subscribe, association.name, key), true});
  return true;
}

// ---- over a restart

void Subscriptions::restore(const JournalRecord& record) {
  const rserpool::PoolHandle& handle = record.pe.handle;
  if (record.change == Change::subscribe) restored_[record.association].insert(handle);
  if (record.change != Change::unsubscribe) return;
  for (auto& entry : restored_) entry.second.erase(handle);
}

void Subscriptions::resume(Association& association) {
  const auto at = restored_.find(association.name);
  if (at == restored_.end()) return;
  for (const rserpool::PoolHandle& handle : at->second) {
    if (!association.subscriptions.contains(handle) && add(association, handle)) resumed_.insert(handle);
  }
  restored_.erase(at);
}

void Subscriptions::tell_resumed() {
  if (resumed_.empty()) return;
  tell_resumed_ = true;
  if (flush_at_ == kNever) flush_at_ = context_.clock.now() + kCoalesce;
}

void Subscriptions::replay_done() {
  if (!std::exchange(lost_, false)) return;
  changed_.clear();
  telling_.reset();
  all_after_.emplace();
  flush_at_ = context_.clock.now() + kCoalesce;
}

void Subscriptions::forget_restored() {
  if (forgotten_.empty())
    forgotten_.swap(restored_);
  else
    forgotten_.merge(restored_);
  restored_.clear();
}

const channel::AssociationName* Subscriptions::next_restored(const channel::AssociationName& name) const {
  const auto at = restored_.upper_bound(name);
  return at == restored_.end() ? nullptr : &at->first;
}

size_t Subscriptions::snapshot(const channel::AssociationName& name, const Association* association,
                               const TakeRecord& take) const {
  const auto waiting = restored_.find(name);
  if (waiting == restored_.end() && association == nullptr) return 0;
  const auto& handles = waiting != restored_.end() ? waiting->second : association->subscriptions;
  for (const rserpool::PoolHandle& handle : handles) take(record_of(Change::subscribe, name, handle));
  return handles.size();
}

void Subscriptions::unsubscribe_all(Association& association) {
  for (const rserpool::PoolHandle& handle : association.subscriptions) {
    const auto at = subscribers_.find(handle);
    if (at == subscribers_.end()) continue;
    count_ -= at->second.erase(association.name);
    if (at->second.empty()) subscribers_.erase(at);
  }
  association.subscriptions.clear();
}

void Subscriptions::pool_changed(PoolHandleView handle) {
  if (subscribers_.find(handle) == subscribers_.end()) return;
  changed_.insert(rserpool::PoolHandle(handle));
  if (flush_at_ == kNever) flush_at_ = context_.clock.now() + kCoalesce;
}

bool Subscriptions::begin_next() {
  if (changed_.empty() && !(tell_resumed_ && !resumed_.empty())) return begin_next_of_all();
  std::set<rserpool::PoolHandle>& from = changed_.empty() ? resumed_ : changed_;
  telling_ = Telling{std::move(from.extract(from.begin()).value()), {}};
  return true;
}

bool Subscriptions::begin_next_of_all() {
  if (!all_after_) return false;
  const auto next = subscribers_.upper_bound(*all_after_);
  if (next == subscribers_.end()) {
    all_after_.reset();
    return false;
  }
  all_after_ = next->first;
  telling_ = Telling{next->first, {}};
  return true;
}

void Subscriptions::tick() {
  for (size_t n = 0; n < kForgottenAtOnce && !forgotten_.empty(); ++n) forgotten_.erase(forgotten_.begin());
  if (!context_.replayed) return;
  if (!telling_ && flush_at_ > context_.clock.now()) return;
  flush_at_ = kNever;
  for (size_t room = kBytesAtOnce; room > 0 && (telling_ || begin_next());) tell(room);
  if (!telling_ && !begin_next()) tell_resumed_ = false;
}

// The subscribers of a pool, from one on; what changes meanwhile is told to all of them once more.
void Subscriptions::tell(size_t& room) {
  const auto at = subscribers_.find(telling_->handle);
  if (at == subscribers_.end()) return telling_.reset();
  const PoolIndex pool = context_.space.find_pool(at->first);
  const std::string bytes = update_message(context_.space, pool, at->first);
  std::set<channel::AssociationName>& names = at->second;
  for (auto next = names.upper_bound(telling_->last); next != names.end();) {
    if (room == 0) return;
    room -= std::min(room, bytes.size() + kBytesOfAnUpdate);
    telling_->last = *next;
    Association* association = context_.associations.find(*next);
    if (association != nullptr && association->live()) {
      send_asap(context_, *association, bytes);
      ++context_.counters.updates_sent;
    }
    ++next;
    // A pool that is created anew has no subscribers: RFC 5352 §2.2.5.
    if (pool != kNoPool) continue;
    if (association != nullptr) association->subscriptions.erase(at->first);
    names.erase(telling_->last);
    --count_;
  }
  if (pool == kNoPool && names.empty()) {
    context_.out.put(JournalPut{record_of(Change::unsubscribe, {}, at->first), true});
    subscribers_.erase(at);
  }
  telling_.reset();
}

}  // namespace poolgate::registrar
