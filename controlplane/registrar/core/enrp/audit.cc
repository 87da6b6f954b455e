// SPDX-License-Identifier: BSD-3-Clause
#include "controlplane/registrar/core/enrp/audit.h"

#include <algorithm>

namespace poolgate::registrar {

namespace {

// The first resynchronisation is at once; if it does not help, the next ones are not.
constexpr Micros kFirstGap = kSecond;
constexpr Micros kLongestGap = 60 * kSecond;
// "A few seconds" after a rejection.
constexpr Micros kAfterRejection = 2 * kSecond;
// The peer remembers how far our download came for some time (ours: 30 s): before that a new one would go on
// in the middle, and another would have to follow.
constexpr Micros kAfterTimeOut = 35 * kSecond;

}  // namespace

bool Audit::differs(const Peer& peer) const {
  return peer.checksum && *peer.checksum != own_.checksum_of(peer.id, peer.partner);
}

void Audit::checksum(Peer& peer, uint16_t theirs) {
  peer.checksum = theirs;
  if (peer.download.running || bulk_.concerns(peer.id)) return;
  if (!differs(peer)) {
    peer.resync_gap = 0;
    peer.resync_at = kNever;
    return;
  }
  if (peer.next_resync <= context_.clock.now()) resync(peer);
}

void Audit::later(Peer& peer, uint16_t theirs) {
  peer.checksum = theirs;
  peer.resync_at = context_.clock.now();
}

void Audit::resync(Peer& peer) {
  peer.resync_at = kNever;
  if (!downloads_.begin(peer, true)) return;
  ++peer.resyncs;
  ++context_.counters.resyncs;
  context_.out.log(Log::Level::info, "resync " + std::to_string(peer.id),
                   "what is here of " + server_text(peer.id) + "'s PEs differs from its own: fetching them");
  peer.resync_gap = peer.resync_gap == 0 ? kFirstGap : std::min(peer.resync_gap * 2, kLongestGap);
  peer.next_resync = context_.clock.now() + peer.resync_gap;
}

void Audit::again(Peer& peer) { peer.resync_at = peer.next_resync; }

void Audit::table_ended(Peer& peer, DownloadEnd end) {
  if (end == DownloadEnd::complete) return bulk_.purge(peer.id, peer.download.generation);
  if (end == DownloadEnd::tail) return again(peer);
  const Micros wait = end == DownloadEnd::rejected ? kAfterRejection : kAfterTimeOut;
  peer.next_resync = std::max(peer.next_resync, context_.clock.now() + wait);
  peer.resync_at = peer.next_resync;
}

void Audit::tick() {
  for (Peer& peer : peers_.list()) {
    if (peer.resync_at > context_.clock.now()) continue;
    peer.resync_at = kNever;
    if (peer.connected() && !bulk_.concerns(peer.id) && differs(peer)) resync(peer);
  }
}

Micros Audit::next_deadline() const {
  Micros next = kNever;
  for (const Peer& peer : peers_.list()) next = std::min(next, peer.resync_at);
  return next;
}

}  // namespace poolgate::registrar
