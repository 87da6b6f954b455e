// SPDX-License-Identifier: BSD-3-Clause
#include "controlplane/registrar/core/enrp/presence.h"

#include <algorithm>

#include "controlplane/rserpool/wire/code_points.h"

namespace poolgate::registrar {

namespace enrp = rserpool::enrp;
using rserpool::ServerId;

// RFC 5353 §2.1. The checksum always (§3.6.1).
std::string Presence::message(const Partner& partner, ServerId receiver, bool reply_required) const {
  enrp::Presence message;
  message.sender = context_.server_id;
  message.receiver = receiver;
  message.reply_required = reply_required;
  message.checksum = own_.checksum(partner);
  const auto& addresses = context_.welcome.local_addresses;
  if (!addresses.empty() && (kInformationInEveryPresence || receiver != 0)) {
    auto& information = message.information.emplace();
    information.server = context_.server_id;
    information.transport.port = context_.welcome.enrp_port;
    const size_t n = std::min(addresses.size(), rserpool::wire::kMaxTransportAddresses);
    information.transport.addresses.assign(addresses.begin(), addresses.begin() + static_cast<ptrdiff_t>(n));
  }
  std::string bytes;
  return enrp::encode(enrp::Message(message), bytes) ? bytes : std::string();
}

void Presence::ask(Peer& peer) {
  if (!peers_.send(peer, message(peer.partner, peer.id, true))) return;
  ++context_.counters.presences_sent;
  peer.asked_at = context_.clock.now();
}

void Presence::announce() {
  for (const Peer& peer : peers_.list()) {
    if (peers_.send(peer, message(peer.partner, 0, false))) ++context_.counters.presences_sent;
  }
}

void Presence::heard(Peer& peer) {
  if (!peer.active) context_.out.log(Log::Level::info, "peer", server_text(peer.id) + " is active again");
  peer.heard = true;
  peer.last_heard = context_.clock.now();
  peer.probed_until = kNever;
  peer.active = true;
  peer.inactive_until = kNever;
}

// A server that never said anything and owns nothing is nobody to take over; it is only connected to.
bool Presence::monitored(const Peer& peer) const {
  return peer.id != 0 && peer.active &&
         (peer.heard || !peer.configured || context_.space.owned(peer.id) != 0);
}

Micros Presence::silent_at(const Peer& peer) const {
  return peer.last_heard + context_.settings.registrar.max_time_last_heard_ms * kMilli;
}

void Presence::tick(const std::function<void(ServerId)>& dead) {
  if (!context_.replayed) return;
  const Micros now = context_.clock.now();
  std::vector<ServerId> gone;
  for (Peer& peer : peers_.list()) {
    if (!peer.active && peer.inactive_until <= now) {
      context_.out.log(Log::Level::warn, "peer",
                       server_text(peer.id) + " was to be taken over, but nobody did: it is monitored again");
      peer.active = true;
      peer.inactive_until = kNever;
    }
    if (!monitored(peer)) continue;
    if (peer.probed_until <= now) {
      peer.probed_until = kNever;
      gone.push_back(peer.id);
    } else if (peer.probed_until == kNever && silent_at(peer) <= now) {
      peer.probed_until = now + context_.settings.registrar.max_time_no_response_ms * kMilli;
      ask(peer);
    }
  }
  const bool multicast = !context_.settings.registrar.enrp_announce.empty();
  if ((multicast || !peers_.alone()) && next_ <= now) {
    announce();
    if (multicast) context_.out.put(Announce{announcement(), true});
    next_ = now + context_.settings.registrar.peer_heartbeat_ms * kMilli;
  }
  for (const ServerId id : gone) dead(id);
}

Micros Presence::next_deadline() const {
  const bool multicast = !context_.settings.registrar.enrp_announce.empty();
  if (!context_.replayed || (peers_.alone() && !multicast)) return kNever;
  Micros next = next_;
  for (const Peer& peer : peers_.list()) {
    if (!peer.active) next = std::min(next, peer.inactive_until);
    if (monitored(peer))
      next =
          std::min(next, std::min(peer.probed_until, peer.probed_until == kNever ? silent_at(peer) : kNever));
  }
  return next;
}

}  // namespace poolgate::registrar
