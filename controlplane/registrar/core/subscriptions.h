// SPDX-License-Identifier: BSD-3-Clause
// Update subscriptions (RFC 5352 §2.2.5, §2.2.6): the S bit asks for the new state of a pool whenever it
// changes.
#pragma once

#include <map>
#include <set>

#include "controlplane/registrar/core/context.h"

namespace poolgate::registrar {

class Subscriptions {
 public:
  explicit Subscriptions(Context& context) : context_(context) {}

  // False (A=0): too many of this association or in all.
  bool subscribe(Association& association, rserpool::PoolHandleView handle);
  void unsubscribe_all(Association& association);

  // Several changes within the time to coalesce make one update.
  void pool_changed(rserpool::PoolHandleView handle);
  void tick();
  Micros next_deadline() const { return flush_at_; }

 private:
  void send_updates(const rserpool::PoolHandle& handle);

  Context& context_;
  std::map<rserpool::PoolHandle, std::set<channel::AssociationName>, std::less<>> subscribers_;
  std::set<rserpool::PoolHandle> changed_;
  size_t count_ = 0;
  Micros flush_at_ = kNever;
};

}  // namespace poolgate::registrar
