// SPDX-License-Identifier: BSD-3-Clause
#include "controlplane/registrar/core/enrp/downloads.h"

#include <algorithm>
#include <utility>

namespace poolgate::registrar {

namespace enrp = rserpool::enrp;

bool Downloads::begin(Peer& peer, bool own_only) {
  if (peer.download.running || !peer.connected()) return false;
  peer.download = {.running = true, .own_only = own_only, .generation = ++context_.download_generation};
  elements_.reading(true);
  if (request(peer)) return true;
  end(peer);
  return false;
}

bool Downloads::request(Peer& peer) {
  std::string bytes;
  const enrp::HandleTableRequest message{context_.server_id, peer.id, peer.download.own_only};
  if (!enrp::encode(enrp::Message(message), bytes)) return false;
  peer.download.over = peer.association;
  peer.download.due = context_.clock.now() + context_.settings.registrar.max_time_no_response_ms * kMilli;
  return peers_.send(peer, std::move(bytes));
}

// What it brought keeps its generation: the purge of what it did not bring is still to come.
void Downloads::end(Peer& peer) {
  if (!peer.download.running) return;
  peer.download.running = false;
  peer.download.due = kNever;
  elements_.reading(false);
}

void Downloads::give_up(Peer& peer) {
  if (!peer.download.running) return;
  peer.cut_short = true;
  end(peer);
}

std::optional<DownloadEnd> Downloads::response(Peer& peer, enrp::HandleTableResponse& message) {
  if (!peer.download.running) {
    ++context_.counters.unexpected_messages;
    return std::nullopt;
  }
  if (message.rejected) {
    ++context_.counters.downloads_failed;
    peer.cut_short = peer.cut_short || peer.download.chunks != 0;
    end(peer);
    return DownloadEnd::rejected;
  }
  ++peer.download.chunks;
  const bool brought = foreign_.table(peer, message) != 0;
  peer.download.idle_chunks = brought ? 0 : peer.download.idle_chunks + 1;
  const bool endless = message.more && peer.download.idle_chunks > most_idle_chunks();
  if (message.more && !endless && request(peer)) return std::nullopt;
  if (!message.more) {
    end(peer);
    return std::exchange(peer.cut_short, false) ? DownloadEnd::tail : DownloadEnd::complete;
  }
  give_up(peer);
  ++context_.counters.downloads_failed;
  if (endless)
    context_.out.log(Log::Level::warn, "download " + std::to_string(peer.id),
                     server_text(peer.id) + ": its table does not end: given up");
  return DownloadEnd::timed_out;
}

// Chunks with nothing but PEs that are ours, or refused, or already there by an update are no fault, as many
// as there may be PEs; a table that goes on longer without anything new does not end.
uint32_t Downloads::most_idle_chunks() const { return context_.settings.registrar.max_elements + 100; }

void Downloads::abandon(Peer& peer) { give_up(peer); }

void Downloads::lost(const channel::AssociationName& over, const std::function<void(Peer&)>& audited) {
  for (Peer& peer : peers_.list()) {
    if (!peer.download.running || peer.download.over != over) continue;
    give_up(peer);
    if (peer.download.own_only) audited(peer);
  }
}

void Downloads::tick(const std::function<void(Peer&, bool own_only, DownloadEnd)>& ended) {
  for (Peer& peer : peers_.list()) {
    if (!peer.download.running || peer.download.due > context_.clock.now()) continue;
    ++context_.counters.downloads_failed;
    give_up(peer);
    ended(peer, peer.download.own_only, DownloadEnd::timed_out);
  }
}

Micros Downloads::next_deadline() const {
  Micros next = kNever;
  for (const Peer& peer : peers_.list()) {
    if (peer.download.running) next = std::min(next, peer.download.due);
  }
  return next;
}

}  // namespace poolgate::registrar
