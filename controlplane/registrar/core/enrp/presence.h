// SPDX-License-Identifier: BSD-3-Clause
// ENRP_PRESENCE: our heartbeat, and whether the peers are there (RFC 5353 §3.4.2, §3.4.3).
#pragma once

#include <functional>

#include "controlplane/registrar/core/enrp/own_view.h"
#include "controlplane/registrar/core/enrp/peers.h"
#include "controlplane/rserpool/wire/enrp.h"

namespace poolgate::registrar {

class Presence {
 public:
  Presence(Context& context, Peers& peers, OwnView& own) : context_(context), peers_(peers), own_(own) {}

  // `receiver`: 0 for what goes to all.
  std::string message(const Partner& partner, rserpool::ServerId receiver, bool reply_required) const;
  // Asks it for its own.
  void ask(Peer& peer);
  // To all peers, now.
  void announce();
  // To the multicast groups, if any: no reply is asked for, and none comes.
  std::string announcement() const { return message({}, 0, false); }

  // A message of any type came from it.
  void heard(Peer& peer);
  // `dead`: the peers that did not answer in time (§3.4.3). They are still on the list.
  void tick(const std::function<void(rserpool::ServerId)>& dead);
  Micros next_deadline() const;
  void restart() { next_ = 0; }

 private:
  bool monitored(const Peer& peer) const;
  Micros silent_at(const Peer& peer) const;

  Context& context_;
  Peers& peers_;
  OwnView& own_;
  Micros next_ = 0;
};

}  // namespace poolgate::registrar
