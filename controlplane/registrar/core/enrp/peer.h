// SPDX-License-Identifier: BSD-3-Clause
#pragma once

#include <optional>

#include "controlplane/registrar/core/associations.h"
#include "controlplane/registrar/core/clock.h"
#include "controlplane/registrar/core/enrp/rsplib_partner.h"

namespace poolgate::registrar {

// Our download of a peer's table (RFC 5353 §3.2.3, §3.6.3).
struct Download {
  bool running = false;
  bool own_only = false;          // W
  Micros due = kNever;            // the next chunk
  channel::AssociationName over;  // asked for the next chunk
  uint32_t generation = 0;        // PeNotes::number of what it has brought
  uint32_t chunks = 0;
  uint32_t idle_chunks = 0;  // in a row that brought nothing
};

// Another registrar of the scope: what RFC 5353 §3.4 and §4.1 have a server keep of each.
struct Peer {
  rserpool::ServerId id = 0;  // 0: configured, and not heard yet
  bool configured = false;
  std::vector<rserpool::IpAddress> addresses;  // none: known by the PEs that it owns only
  uint16_t port = 0;
  Partner partner;

  // ---- its association; id 0: there is none
  channel::AssociationName association;
  uint64_t request = 0;   // of the Connect under way
  Micros connect_at = 0;  // the next attempt; of the one under way, when we believe in it no more
  Micros retry = 0;       // the wait before the one after that
  uint32_t attempts = 0;

  // ---- presence
  channel::AssociationName asked_list_over;  // whom it knows
  bool heard = false;                        // any message of it ever
  Micros last_heard = 0;                     // peer_last_heard
  Micros probed_until = kNever;              // it was asked for its presence, and has until then
  bool active = true;                        // false: another takes it over, it is not monitored
  Micros inactive_until = kNever;
  std::optional<uint16_t> checksum;  // of its PEs, as it said last
  Micros asked_at = 0;               // when its presence was asked for; 0: it has answered
  uint32_t round_trip_ms = 0;
  Micros same_id_at = 0;  // when it may be said again that another host has its id

  // ---- audit
  Download download;
  // We gave a download of its table up, maybe in our life before this one: where that ended, the next one may
  // go on.
  bool cut_short = false;
  Micros next_resync = 0;
  Micros resync_gap = 0;
  Micros resync_at = kNever;  // after a failure
  uint32_t resyncs = 0;       // begun
  bool mentor = false;        // our table came from it

  bool connected() const { return association.id != 0; }
};

}  // namespace poolgate::registrar
