// SPDX-License-Identifier: BSD-3-Clause
// The end of a server: which of the others takes its PEs over (RFC 5353 §3.5).
#pragma once

#include <map>
#include <set>

#include "controlplane/registrar/core/enrp/bulk.h"
#include "controlplane/registrar/core/enrp/presence.h"

namespace poolgate::registrar {

class Takeovers {
 public:
  Takeovers(Context& context, Peers& peers, Presence& presence, Bulk& bulk)
      : context_(context), peers_(peers), presence_(presence), bulk_(bulk) {}

  // The server did not answer in time (§3.4.3).
  void dead(rserpool::ServerId server);
  // It spoke.
  void alive(rserpool::ServerId server);
  // ---- messages (§3.5.1, §3.5.2)
  void initiated(Peer& from, rserpool::ServerId target);
  void acknowledged(Peer& from, rserpool::ServerId target);
  void enforced(Peer& from, rserpool::ServerId target);

  // Nobody could agree or object while there was no channel: they have their time anew.
  void replay_done();
  void tick();
  Micros next_deadline() const;

  struct Running {
    std::set<rserpool::ServerId> waiting;  // whose acknowledgement is still to come
    Micros due = kNever;
    uint32_t expiries = 0;
  };
  const std::map<rserpool::ServerId, Running>& running() const { return running_; }

 private:
  void begin(rserpool::ServerId target);
  void win(rserpool::ServerId target);
  void not_active(rserpool::ServerId target);
  void acknowledge(const Peer& to, rserpool::ServerId target);
  void initiate(const Peer& to, rserpool::ServerId target);
  Micros timeout() const { return context_.settings.registrar.takeover_timeout_ms * kMilli; }

  Context& context_;
  Peers& peers_;
  Presence& presence_;
  Bulk& bulk_;
  std::map<rserpool::ServerId, Running> running_;
};

}  // namespace poolgate::registrar
