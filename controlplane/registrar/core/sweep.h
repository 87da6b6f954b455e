// SPDX-License-Identifier: BSD-3-Clause
// Which of our own PEs did not come back after the channel was lost, of 100,000 that may be: a slice a tick,
// by keys, whatever happens to the PEs meanwhile.
#pragma once

#include <vector>

#include "controlplane/registrar/core/elements.h"

namespace poolgate::registrar {

class Sweep {
 public:
  Sweep(Context& context, Elements& elements) : context_(context), elements_(elements) {}

  // Removes those that are unconfirmed when it comes to them: not_back_in_time all, association_lost those
  // whose association was of the present data plane. The first slice now.
  void begin(Removal why);
  void cancel() { jobs_.clear(); }
  void tick();
  Micros next_deadline() const { return jobs_.empty() ? kNever : 0; }

 private:
  struct Job {
    Removal why;
    rserpool::KeyCursor cursor;
  };
  bool concerns(Removal why, rserpool::PeIndex pe) const;
  void run(Job& job);

  Context& context_;
  Elements& elements_;
  std::vector<Job> jobs_;
};

}  // namespace poolgate::registrar
