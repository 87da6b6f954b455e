// SPDX-License-Identifier: BSD-3-Clause
// What we have of a peer's PEs is compared with what the peer says of them, and fetched anew if it differs
// (RFC 5353 §3.6).
#pragma once

#include "controlplane/registrar/core/enrp/bulk.h"
#include "controlplane/registrar/core/enrp/downloads.h"

namespace poolgate::registrar {

class Audit {
 public:
  Audit(Context& context, Peers& peers, OwnView& own, Downloads& downloads, Bulk& bulk)
      : context_(context), peers_(peers), own_(own), downloads_(downloads), bulk_(bulk) {}

  // The peer's PRESENCE says so.
  void checksum(Peer& peer, uint16_t theirs);
  // So it does, and we do not serve yet: its next PRESENCE may be long in coming when we do.
  void later(Peer& peer, uint16_t theirs);
  void table_ended(Peer& peer, DownloadEnd end);
  // What was fetched does not come to its end, through no fault of the peer.
  void again(Peer& peer);
  void tick();
  Micros next_deadline() const;

 private:
  bool differs(const Peer& peer) const;
  void resync(Peer& peer);

  Context& context_;
  Peers& peers_;
  OwnView& own_;
  Downloads& downloads_;
  Bulk& bulk_;
};

}  // namespace poolgate::registrar
