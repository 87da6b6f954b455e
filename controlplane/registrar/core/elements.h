// SPDX-License-Identifier: BSD-3-Clause
// The pool elements of the handlespace as the registrar keeps them: every change goes to the journal, to the
// data plane, to the subscribers and, of our own, to the peers from here, and from nowhere else.
#pragma once

#include <functional>
#include <optional>
#include <string_view>

#include "controlplane/registrar/core/context.h"
#include "controlplane/registrar/core/enrp/own_view.h"
#include "controlplane/registrar/core/enrp/updates.h"
#include "controlplane/registrar/core/pe_flags.h"
#include "controlplane/registrar/core/subscriptions.h"

namespace poolgate::registrar {

enum class Removal : uint8_t {
  deregistered,
  expired,
  keep_alive_failed,
  association_lost,
  bad_reports,
  not_back_in_time,  // unconfirmed until the end of the grace time
  claim_failed,      // taken over, and nowhere to be found
  // ---- of another server's
  deleted_by_owner,  // its home server said so, or no longer lists it
  not_refreshed,     // its life ended, and its home server said nothing
};

struct RemovalFacts {
  bool dead;
  uint64_t Counters::*counter;
  const char* text;
};
RemovalFacts facts_of(Removal why);

class Elements {
 public:
  Elements(Context& context, Subscriptions& subscriptions, Updates& updates, OwnView& own)
      : context_(context), subscriptions_(subscriptions), updates_(updates), own_(own) {}

  // Adds or replaces. Home, ASAP Transport and association are set by the caller. On success the caller
  // journals with put() when it has the answer.
  rserpool::RegisterOutcome put(rserpool::PoolHandleView handle, const rserpool::PoolElement& element,
                                const Association& association, config::LifeUnit unit);
  // Removes it, journals (with `cause`'s message and answer, if given), tells the data plane. Found dead or
  // not follows from `why`.
  void remove(rserpool::PeIndex pe, Removal why, const Request* request = nullptr,
              std::string_view answer = {});
  void journal_put(rserpool::PeIndex pe, const Request& request, std::string_view answer);

  // ---- PEs of other servers. kNoPe: refused, and said so.
  rserpool::PeIndex put_foreign(rserpool::PoolHandleView handle, const rserpool::PoolElement& element,
                                const Partner& owner);
  // Its home server lists it as it is.
  void refresh_foreign(rserpool::PeIndex pe);
  void remove_foreign(rserpool::PeIndex pe, Removal why);
  // ---- owners. It is ours, but has not said so (RFC 5353 §3.5.2).
  void take_over(rserpool::PeIndex pe);
  // It answered its new home.
  void claimed(rserpool::PeIndex pe, const Association& association);
  // Another server's, and it speaks to us as to its home: ours by its own word, and said to be so.
  void adopt(rserpool::PeIndex pe, const Association& association);
  // What is ours is said to be so.
  void tell_peers(rserpool::PeIndex pe) { updates_.added(pe); }
  // It is that server's, by its word or a third one's.
  void give(rserpool::PeIndex pe, rserpool::ServerId home);
  bool ours(rserpool::PeIndex pe) const { return context_.space.record(pe).home == context_.server_id; }

  // While a table is read, the data plane is not sent each pool anew for each PE of it: what changed is told
  // at least once a second, and when nobody reads any more.
  void reading(bool begins);
  void tick();
  Micros next_deadline() const { return gathered_.empty() ? kNever : tell_at_; }

  // Back to confirmed: its association lives, or it registered anew. The life starts again.
  void confirm(rserpool::PeIndex pe);
  // Ours, and its association is not known to live (restart, loss of the channel).
  bool unconfirmed(rserpool::PeIndex pe) const;
  void set_unconfirmed(rserpool::PeIndex pe);
  // The channel is lost: that is so of all of them, but for those that are being claimed.
  void doubt_all();
  config::LifeUnit unit(rserpool::PeIndex pe) const;
  // When the registration's life ends, counted from now; rserpool::kNever: infinite.
  rserpool::TimeMs expiry(int32_t life, config::LifeUnit unit) const;

  // PEs that were taken over and have not answered yet.
  size_t claiming() const { return claiming_; }

  // Expires what is due, some hundred at most. `notify` gets each PE before it goes.
  void expire(const std::function<void(rserpool::PeIndex)>& notify);

  StoredPe stored(rserpool::PeIndex pe) const;
  void restore(const StoredPe& pe);
  void restore_removal(rserpool::PoolHandleView handle, rserpool::PeId id);

  // All PEs that registered over this association, one after the other; each may be removed meanwhile.
  template <class Take>
  void for_each_of(const channel::AssociationName& name, Take&& take) {
    for (rserpool::PeIndex pe = context_.space.first_of_association(key_of(name)); pe != rserpool::kNoPe;) {
      const rserpool::PeIndex next = context_.space.next_of_association(pe);
      take(pe);
      pe = next;
    }
  }

 private:
  void set_flags(rserpool::PeIndex pe, uint32_t flags);
  void deregister(rserpool::PeIndex pe);
  void changed(rserpool::PoolHandleView handle);
  // A resolution names the home server: the data plane is told with the next tick.
  void owner_changed(rserpool::PeIndex pe);
  void tell_gathered();
  void journal_foreign(rserpool::PeIndex pe);
  void journal_owner(rserpool::PeIndex pe);
  rserpool::TimeMs foreign_expiry(int32_t life, config::LifeUnit unit) const;

  Context& context_;
  Subscriptions& subscriptions_;
  Updates& updates_;
  OwnView& own_;
  size_t claiming_ = 0;
  uint32_t readers_ = 0;
  std::set<rserpool::PoolHandle, std::less<>> gathered_;
  Micros tell_at_ = 0;
};

}  // namespace poolgate::registrar
