// SPDX-License-Identifier: BSD-3-Clause
#include "controlplane/registrar/core/enrp/downloads.h"

#include <algorithm>

namespace poolgate::registrar {

namespace enrp = rserpool::enrp;

bool Downloads::begin(Peer& peer, bool own_only) {
  if (peer.download.running || !peer.connected()) return false;
  peer.download = {.running = true, .own_only = own_only, .generation = ++generation_};
  elements_.reading(true);
  if (request(peer)) return true;
  end(peer);
  return false;
}

bool Downloads::request(Peer& peer) {
  std::string bytes;
  const enrp::HandleTableRequest message{context_.server_id, peer.id, peer.download.own_only};
  if (!enrp::encode(enrp::Message(message), bytes)) return false;
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

std::optional<DownloadEnd> Downloads::response(Peer& peer, enrp::HandleTableResponse& message) {
  if (!peer.download.running) {
    ++context_.counters.unexpected_messages;
    return std::nullopt;
  }
  if (message.rejected) {
    ++context_.counters.downloads_failed;
    end(peer);
    return DownloadEnd::rejected;
  }
  foreign_.table(peer, message);
  ++peer.download.chunks;
  if (message.more && request(peer)) return std::nullopt;
  end(peer);
  return message.more ? DownloadEnd::timed_out : DownloadEnd::complete;
}

void Downloads::abandon(Peer& peer) { end(peer); }

void Downloads::tick(const std::function<void(Peer&, bool own_only, DownloadEnd)>& ended) {
  for (Peer& peer : peers_.list()) {
    if (!peer.download.running || peer.download.due > context_.clock.now()) continue;
    ++context_.counters.downloads_failed;
    end(peer);
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
