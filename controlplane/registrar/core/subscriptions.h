// SPDX-License-Identifier: BSD-3-Clause
// Update subscriptions (RFC 5352 §2.2.5, §2.2.6): the S bit asks for the new state of a pool whenever it
// changes.
#pragma once

#include <functional>
#include <map>
#include <set>
#include <vector>

#include "controlplane/registrar/core/context.h"

namespace poolgate::registrar {

class Subscriptions {
 public:
  explicit Subscriptions(Context& context) : context_(context) {}

  // False (A=0): too many of this association or in all.
  bool subscribe(Association& association, rserpool::PoolHandleView handle);
  void unsubscribe_all(Association& association);

  // ---- over a restart of the registrar: what the journal kept waits until its association is there again
  void restore(const JournalRecord& record);
  void resume(Association& association);
  // The others' associations are gone; of all, or of an epoch that is not this.
  void forget_restored() { restored_.clear(); }
  void forget_restored_but(uint64_t epoch);
  // Whoever resumed may have missed a change: told the state once, when we know it.
  void tell_resumed();
  // For a snapshot: whose are waiting, and one association's as records; how many.
  void restored_names(std::vector<channel::AssociationName>& names) const;
  size_t snapshot(const channel::AssociationName& name, const Association* association,
                  const std::function<void(const JournalRecord&)>& take) const;

  // Several changes within the time to coalesce make one update.
  void pool_changed(rserpool::PoolHandleView handle);
  void tick();
  Micros next_deadline() const { return flush_at_; }

 private:
  bool add(Association& association, const rserpool::PoolHandle& handle);
  void send_updates(const rserpool::PoolHandle& handle);

  Context& context_;
  std::map<rserpool::PoolHandle, std::set<channel::AssociationName>, std::less<>> subscribers_;
  std::set<rserpool::PoolHandle> changed_, resumed_;
  std::map<channel::AssociationName, std::set<rserpool::PoolHandle>> restored_;
  size_t count_ = 0;
  Micros flush_at_ = kNever;
};

}  // namespace poolgate::registrar
