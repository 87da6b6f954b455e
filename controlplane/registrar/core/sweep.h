// SPDX-License-Identifier: BSD-3-Clause
// What is done with all of our own PEs of which there may be 100,000: those that did not come back after the
// channel was lost, and those of an association that ended or is there again. A slice a tick, by keys,
// whatever happens to the PEs meanwhile, and one after the other.
#pragma once

#include <list>

#include "controlplane/registrar/core/elements.h"
#include "controlplane/registrar/core/keep_alive.h"

namespace poolgate::registrar {

class Sweep {
 public:
  Sweep(Context& context, Elements& elements, KeepAlives& keep_alives)
      : context_(context), elements_(elements), keep_alives_(keep_alives) {}

  // Removes those that are unconfirmed when it comes to them: not_back_in_time all, association_lost those
  // whose association was of the present data plane. The first slice now, if nothing else is under way.
  void begin(Removal why);
  // The PEs that registered over this association until now: at once if they are some hundred.
  enum class Fate : uint8_t {
    removed,  // found dead
    doubted,  // it ended after our silence: they may come back
    confirmed
  };
  void association(const channel::AssociationName& name, Fate fate);
  // The channel is lost, and who is confirmed another matter.
  void channel_lost();
  void tick();
  Micros next_deadline() const { return jobs_.empty() ? kNever : 0; }

 private:
  struct Job {
    Removal why = Removal::association_lost;
    rserpool::KeyCursor cursor;
    // Of one association, those that registered up to this one; else not set.
    rserpool::AssociationKey association;
    Fate fate = Fate::removed;
    uint32_t last_registration = 0;
  };
  bool concerns(const Job& job, rserpool::PeIndex pe) const;
  void act(rserpool::PeIndex pe, Removal why, Fate fate);
  void run(Job& job);
  void begin(Job job);

  Context& context_;
  Elements& elements_;
  KeepAlives& keep_alives_;
  std::list<Job> jobs_;
};

}  // namespace poolgate::registrar
