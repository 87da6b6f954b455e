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

bool Subscriptions::subscribe(Association& association, PoolHandleView handle) {
  const rserpool::PoolHandle key(handle);
  if (association.subscriptions.contains(key)) return true;
  if (association.subscriptions.size() >= kMaxOfAssociation || count_ >= kMax) return false;
  association.subscriptions.insert(key);
  subscribers_[key].insert(association.name);
  ++count_;
  return true;
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
    count_ -= at->second.size();
    subscribers_.erase(at);
  }
}

}  // namespace poolgate::registrar
