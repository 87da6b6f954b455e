// SPDX-License-Identifier: BSD-3-Clause
// Update subscriptions (RFC 5352 §2.2.5, §2.2.6): the S bit asks for the new state of a pool whenever it
// changes.
#pragma once

#include <functional>
#include <map>
#include <optional>
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
  // The others' associations are gone.
  void forget_restored();
  // Whoever resumed may have missed a change: told the state once, when we know it.
  void tell_resumed();
  // Of associations that are not there again; of those that are forgotten, too.
  size_t restored() const { return restored_.size() + forgotten_.size(); }
  // Over a loss of the channel nothing is told; what was told last may have been lost with it, so that those
  // who survived are told the state once.
  void channel_lost() { lost_ = lost_ || !subscribers_.empty(); }
  void replay_done();
  // For a snapshot: whose are waiting, in the order of names the first behind one; and one association's as
  // records; how many.
  const channel::AssociationName* next_restored(const channel::AssociationName& name) const;
  size_t snapshot(const channel::AssociationName& name, const Association* association,
                  const TakeRecord& take) const;

  // Several changes within the time to coalesce make one update; a tick sends some hundred at most.
  void pool_changed(rserpool::PoolHandleView handle);
  void tick();
  Micros next_deadline() const {
    if (!forgotten_.empty()) return 0;
    if (!context_.replayed) return kNever;
    return telling_ ? 0 : flush_at_;
  }

 private:
  bool add(Association& association, const rserpool::PoolHandle& handle);
  struct Telling {
    rserpool::PoolHandle handle;
    channel::AssociationName last;  // that was told
  };
  bool begin_next();
  bool begin_next_of_all();
  void tell(size_t& room);

  Context& context_;
  std::map<rserpool::PoolHandle, std::set<channel::AssociationName>, std::less<>> subscribers_;
  std::set<rserpool::PoolHandle> changed_, resumed_;
  std::optional<Telling> telling_;
  std::map<channel::AssociationName, std::set<rserpool::PoolHandle>> restored_, forgotten_;
  size_t count_ = 0;
  bool tell_resumed_ = false;
  bool lost_ = false;
  std::optional<rserpool::PoolHandle> all_after_;  // all pools behind this one are to be told
  Micros flush_at_ = kNever;
};

}  // namespace poolgate::registrar
