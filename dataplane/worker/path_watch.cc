// SPDX-License-Identifier: BSD-3-Clause
#include "dataplane/worker/path_watch.h"

#include <utility>

namespace poolgate::worker {

using channel::PathState;

void PathWatch::changed(const channel::PathChange& change) {
  const Name name = of(change.association);
  const rserpool::IpAddress& address = change.peer_address;
  if (change.state == PathState::unreachable) {
    auto& associations = down_[address];
    associations.insert(name);
    of_association_[name].insert(address);
    if (associations.size() == 1) tell_(address, true);
    return;
  }
  if (change.state == PathState::removed) return forget(address, name);
  const auto known = down_.find(address);
  if (change.state != PathState::available || known == down_.end()) return;
  for (const Name& association : std::set<Name>(known->second)) forget(address, association);
}

void PathWatch::ended(const channel::AssociationName& association) {
  const auto known = of_association_.find(of(association));
  if (known == of_association_.end()) return;
  for (const rserpool::IpAddress& address : std::set<rserpool::IpAddress>(known->second))
    forget(address, known->first);
}

void PathWatch::forget(const rserpool::IpAddress& address, Name association) {
  const auto of_it = of_association_.find(association);
  if (of_it != of_association_.end() && of_it->second.erase(address) != 0 && of_it->second.empty())
    of_association_.erase(of_it);
  const auto known = down_.find(address);
  if (known == down_.end() || known->second.erase(association) == 0 || !known->second.empty()) return;
  const rserpool::IpAddress told = address;  // which may be in what is erased
  down_.erase(known);
  tell_(told, false);
}

}  // namespace poolgate::worker
