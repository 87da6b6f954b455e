// SPDX-License-Identifier: BSD-3-Clause
// Work on all PEs of a server, of which there may be 100,000: a slice a tick, so that the loop never stands
// still for longer than some milliseconds.
#pragma once

#include <list>

#include "controlplane/registrar/core/enrp/claims.h"

namespace poolgate::registrar {

class Bulk {
 public:
  Bulk(Context& context, Elements& elements, Claims& claims)
      : context_(context), elements_(elements), claims_(claims) {}

  // The PEs of `home` that its last download did not bring are removed (RFC 5353 §3.6.3, step 5).
  void purge(rserpool::ServerId home, uint32_t generation);
  // The PEs of `target` have `heir` for their home server; ours are claimed (§3.5.2).
  void rehome(rserpool::ServerId target, rserpool::ServerId heir);
  // The server is there after all: what is still its own remains so.
  void cancel(rserpool::ServerId target);
  // Its PEs are being worked on: what is here says nothing of it.
  bool concerns(rserpool::ServerId server) const;
  size_t pending() const { return jobs_.size(); }

  void tick();
  Micros next_deadline() const { return jobs_.empty() ? kNever : 0; }

 private:
  struct Job {
    rserpool::ServerId server = 0;
    rserpool::ServerId heir = 0;  // 0: a purge
    uint32_t generation = 0;
    rserpool::KeyCursor cursor;
  };
  bool run_purge(Job& job);
  bool run_rehome(const Job& job);

  Context& context_;
  Elements& elements_;
  Claims& claims_;
  std::list<Job> jobs_;
};

}  // namespace poolgate::registrar
