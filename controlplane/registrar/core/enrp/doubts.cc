// SPDX-License-Identifier: BSD-3-Clause
#include "controlplane/registrar/core/enrp/doubts.h"

namespace poolgate::registrar {

using channel::AssociationName;
using rserpool::PeId;
using rserpool::PoolHandle;
using rserpool::PoolHandleView;

Doubts::All::iterator Doubts::remove(All::iterator at) {
  by_age_.erase(at->second.place);
  return all_.erase(at);
}

void Doubts::add(const AssociationName& association, PoolHandleView handle, Doubt doubt) {
  Key key{association, {PoolHandle(handle), doubt.element.id}};
  if (const auto before = all_.find(key); before != all_.end()) remove(before);
  if (all_.size() == kMost) remove(all_.find(*by_age_.front()));
  const auto at = all_.emplace(std::move(key), Entry{std::move(doubt), {}}).first;
  at->second.place = by_age_.insert(by_age_.end(), &at->first);
}

std::optional<Doubt> Doubts::take(const AssociationName& association, PoolHandleView handle, PeId id) {
  if (all_.empty()) return std::nullopt;
  const auto at = all_.find({association, {PoolHandle(handle), id}});
  if (at == all_.end()) return std::nullopt;
  Doubt doubt = std::move(at->second.doubt);
  remove(at);
  return doubt;
}

void Doubts::lost(const AssociationName& association) {
  auto at = all_.lower_bound({association, {}});
  while (at != all_.end() && at->first.first == association) at = remove(at);
}

void Doubts::clear() {
  all_.clear();
  by_age_.clear();
}

}  // namespace poolgate::registrar
