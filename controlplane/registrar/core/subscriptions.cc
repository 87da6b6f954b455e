// SPDX-License-Identifier: BSD-3-Clause
#include "controlplane/registrar/core/subscriptions.h"

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
  rserpool::wire::ResolutionResponseBuilder builder(bytes, handle, space.settings(pe), true);
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

void Subscriptions::forget_restored_but(uint64_t epoch) {
  std::erase_if(restored_, [&](const auto& entry) { return entry.first.epoch != epoch; });
}

void Subscriptions::tell_resumed() {
  for (const rserpool::PoolHandle& handle : std::exchange(resumed_, {})) pool_changed(handle);
}

void Subscriptions::restored_names(std::vector<channel::AssociationName>& names) const {
  for (const auto& entry : restored_) names.push_back(entry.first);
}

size_t Subscriptions::snapshot(const channel::AssociationName& name, const Association* association,
                               const std::function<void(const JournalRecord&)>& take) const {
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

void Subscriptions::tick() {
  if (flush_at_ > context_.clock.now()) return;
  flush_at_ = kNever;
  for (const rserpool::PoolHandle& handle : std::exchange(changed_, {})) send_updates(handle);
}

void Subscriptions::send_updates(const rserpool::PoolHandle& handle) {
  const auto at = subscribers_.find(handle);
  if (at == subscribers_.end()) return;
  const PoolIndex pool = context_.space.find_pool(handle);
  const std::string bytes = update_message(context_.space, pool, handle);
  for (const channel::AssociationName& name : at->second) {
    Association* association = context_.associations.find(name);
    if (association == nullptr) continue;
    if (association->live) {
      send_asap(context_, *association, bytes);
      ++context_.counters.updates_sent;
    }
    // A pool that is created anew has no subscribers: RFC 5352 §2.2.5.
    if (pool == kNoPool) association->subscriptions.erase(handle);
  }
  if (pool == kNoPool) {
    context_.out.put(JournalPut{record_of(Change::unsubscribe, {}, handle), true});
    count_ -= at->second.size();
    subscribers_.erase(at);
  }
}

}  // namespace poolgate::registrar
