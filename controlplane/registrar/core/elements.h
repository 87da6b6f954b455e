// SPDX-License-Identifier: BSD-3-Clause
// The pool elements of the handlespace as the registrar keeps them: every change goes to the journal, to the
// data plane and to the subscribers from here, and from nowhere else.
#pragma once

#include <functional>
#include <optional>
#include <string_view>

#include "controlplane/registrar/core/context.h"
#include "controlplane/registrar/core/subscriptions.h"

namespace poolgate::registrar {

// PeNotes::flags.
inline constexpr uint32_t kUnconfirmed =
    1;  // its association is not known to live (restart, loss of the channel)
inline constexpr uint32_t kMilliseconds = 2;  // its registration life counts milliseconds

enum class Removal : uint8_t {
  deregistered,
  expired,
  keep_alive_failed,
  association_lost,
  bad_reports,
  not_back_in_time,  // unconfirmed until the end of the grace time
};

class Elements {
 public:
  Elements(Context& context, Subscriptions& subscriptions)
      : context_(context), subscriptions_(subscriptions) {}

  // Adds or replaces. Home, ASAP Transport and association are set by the caller. On success the caller
  // journals with put() when it has the answer.
  rserpool::RegisterOutcome put(rserpool::PoolHandleView handle, const rserpool::PoolElement& element,
                                const Association& association, config::LifeUnit unit);
  // Removes it, journals (with `cause`'s message and answer, if given), tells the data plane. Found dead or
  // not follows from `why`.
  void remove(rserpool::PeIndex pe, Removal why, const Request* request = nullptr,
              std::string_view answer = {});
  void journal_put(rserpool::PeIndex pe, const Request& request, std::string_view answer);

  // Back to confirmed: its association lives, or it registered anew. The life starts again.
  void confirm(rserpool::PeIndex pe);
  void set_unconfirmed(rserpool::PeIndex pe);
  bool unconfirmed(rserpool::PeIndex pe) { return (context_.space.notes(pe).flags & kUnconfirmed) != 0; }
  config::LifeUnit unit(rserpool::PeIndex pe) const;
  // When the registration's life ends, counted from now; rserpool::kNever: infinite.
  rserpool::TimeMs expiry(int32_t life, config::LifeUnit unit) const;

  // Expires what is due. `notify` gets each PE before it goes.
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
  // All PEs that this server owns; each may be removed meanwhile.
  template <class Take>
  void for_each_own(Take&& take) {
    for (rserpool::PeIndex pe = context_.space.first_of_owner(context_.server_id); pe != rserpool::kNoPe;) {
      const rserpool::PeIndex next = context_.space.next_of_owner(pe);
      take(pe);
      pe = next;
    }
  }

 private:
  void changed(rserpool::PoolHandleView handle);

  Context& context_;
  Subscriptions& subscriptions_;
};

}  // namespace poolgate::registrar
