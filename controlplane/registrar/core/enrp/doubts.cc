// SPDX-License-Identifier: BSD-3-Clause
#include "controlplane/registrar/core/enrp/doubts.h"

#include <utility>

namespace poolgate::registrar {

using rserpool::PeId;
using rserpool::PoolHandle;
using rserpool::PoolHandleView;

Doubt Doubts::remove(All::iterator at) {
  Doubt doubt = std::move(at->second.doubt);
  by_end_.erase(at->second.end);
  all_.erase(at);
  return doubt;
}

// Two of those whose time is over go for each that comes: that is room enough, at a bounded cost.
bool Doubts::add(PoolHandleView handle, Doubt doubt, Micros now) {
  for (int n = 0; n < 2 && !by_end_.empty(); ++n) {
    ++looked_at_;
    const auto first = by_end_.begin();
    if (first->first >= now) break;
    remove(all_.find(*first->second));
  }
  Key key{PoolHandle(handle), doubt.element.id};
  if (const auto before = all_.find(key); before != all_.end()) remove(before);
  if (all_.size() >= kMost) return false;
  const Micros until = doubt.until;
  const auto at = all_.emplace(std::move(key), Entry{std::move(doubt), {}}).first;
  at->second.end = by_end_.emplace(until, &at->first);
  return true;
}

const Doubt* Doubts::find(PoolHandleView handle, PeId id) const {
  const auto at = all_.find({PoolHandle(handle), id});
  return at == all_.end() ? nullptr : &at->second.doubt;
}

Doubt Doubts::take(PoolHandleView handle, PeId id) { return remove(all_.find({PoolHandle(handle), id})); }

}  // namespace poolgate::registrar
