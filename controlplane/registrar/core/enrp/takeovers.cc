// SPDX-License-Identifier: BSD-3-Clause
#include "controlplane/registrar/core/enrp/takeovers.h"

#include <algorithm>
#include <utility>
#include <vector>

namespace poolgate::registrar {

namespace enrp = rserpool::enrp;
using rserpool::ServerId;

namespace {

// Expiries of the wait for acknowledgements before somebody has to do it all the same: whoever does not
// answer by then neither takes over nor objects.
constexpr uint32_t kMostExpiries = 3;

std::string encoded(const enrp::Message& message) {
  std::string bytes;
  return enrp::encode(message, bytes) ? bytes : std::string();
}

}  // namespace

void Takeovers::dead(ServerId server) {
  Peer* peer = peers_.by_id(server);
  if (peer == nullptr) return;
  context_.out.log(Log::Level::warn, "peer-dead " + std::to_string(server),
                   server_text(server) + " does not answer");
  // Nobody waits for the acknowledgement of one that is dead, too.
  std::vector<ServerId> won;
  for (auto& [target, running] : running_) {
    if (running.waiting.erase(server) != 0 && running.waiting.empty()) won.push_back(target);
  }
  for (const ServerId target : won) win(target);
  if (running_.contains(server)) return;
  if (context_.space.owned(server) == 0) {
    peers_.forget(*peer);
  } else {
    begin(server);
  }
}

void Takeovers::initiate(const Peer& to, ServerId target) {
  peers_.send(to, encoded(enrp::InitTakeover{context_.server_id, to.id, target}));
}

// RFC 5353 §3.5.1.
void Takeovers::begin(ServerId target) {
  ++context_.counters.takeovers_begun;
  Running& running = running_[target];
  running.due = context_.clock.now() + timeout();
  Peer* peer = peers_.by_id(target);
  peer->active = false;
  peer->inactive_until = kNever;
  for (const Peer& other : peers_.list()) {
    initiate(other, target);
    if (other.id != 0 && other.id != target && other.heard && other.active) running.waiting.insert(other.id);
  }
  context_.out.log(Log::Level::warn, "takeover " + std::to_string(target),
                   "taking over " + server_text(target) + ", if " + std::to_string(running.waiting.size()) +
                       " other servers agree");
  if (running.waiting.empty()) win(target);
}

void Takeovers::not_active(ServerId target) {
  Peer* peer = peers_.by_id(target);
  if (peer == nullptr) return;
  peer->active = false;
  peer->probed_until = kNever;
  // If nobody does it in the end, it is to be noticed.
  peer->inactive_until = context_.clock.now() + (kMostExpiries + 1) * timeout();
}

void Takeovers::acknowledge(const Peer& to, ServerId target) {
  peers_.send(to, encoded(enrp::InitTakeoverAck{context_.server_id, to.id, target}));
}

void Takeovers::initiated(Peer& from, ServerId target) {
  if (target == context_.server_id) return presence_.announce();
  if (target == from.id) return;
  if (running_.contains(target)) {
    const bool theirs =
        from.partner.smaller_id_wins ? from.id < context_.server_id : from.id > context_.server_id;
    ++context_.counters.takeovers_contested;
    if (!theirs) {
      context_.out.log(
          Log::Level::info, "takeover " + std::to_string(target),
          server_text(from.id) + ", which would take over " + server_text(target) + ", too, is to give way");
      return;
    }
    running_.erase(target);
    ++context_.counters.takeovers_stopped;
    context_.out.log(Log::Level::info, "takeover " + std::to_string(target),
                     server_text(from.id) + " takes over " + server_text(target) + " instead");
  }
  not_active(target);
  acknowledge(from, target);
}

void Takeovers::acknowledged(Peer& from, ServerId target) {
  const auto at = running_.find(target);
  if (at == running_.end()) return;
  at->second.waiting.erase(from.id);
  if (at->second.waiting.empty()) win(target);
}

// RFC 5353 §3.5.2.
void Takeovers::win(ServerId target) {
  running_.erase(target);
  ++context_.counters.takeovers_won;
  context_.out.log(
      Log::Level::warn, "takeover " + std::to_string(target),
      server_text(target) + " is taken over with " + std::to_string(context_.space.owned(target)) + " PEs");
  for (const Peer& peer : peers_.list()) {
    if (peer.id != target && peer.active)
      peers_.send(peer, encoded(enrp::TakeoverServer{context_.server_id, 0, target}));
  }
  if (Peer* peer = peers_.by_id(target)) peers_.forget(*peer);
  bulk_.rehome(target, context_.server_id);
}

void Takeovers::enforced(Peer& from, ServerId target) {
  // That is not so; who has which PE is settled PE by PE.
  if (target == context_.server_id) return presence_.announce();
  if (target == from.id) return;
  if (running_.erase(target) != 0) ++context_.counters.takeovers_stopped;
  context_.out.log(Log::Level::info, "takeover " + std::to_string(target),
                   server_text(from.id) + " has taken over " + server_text(target));
  // First, as what it contested goes to its heir, too.
  bulk_.rehome(target, from.id);
  if (Peer* peer = peers_.by_id(target)) peers_.forget(*peer);
}

void Takeovers::alive(ServerId server) {
  bulk_.cancel(server);
  if (running_.erase(server) == 0) return;
  ++context_.counters.takeovers_stopped;
  context_.out.log(Log::Level::info, "takeover " + std::to_string(server),
                   server_text(server) + " is alive: it is not taken over");
}

void Takeovers::replay_done() {
  for (auto& [target, running] : running_)
    running = {std::move(running.waiting), context_.clock.now() + timeout(), 0};
}

void Takeovers::tick() {
  if (!context_.replayed) return;
  std::vector<ServerId> won;
  for (auto& [target, running] : running_) {
    if (running.due > context_.clock.now()) continue;
    std::erase_if(running.waiting, [this](ServerId id) {
      const Peer* peer = peers_.by_id(id);
      return peer == nullptr || !peer->connected();
    });
    if (running.waiting.empty() || ++running.expiries >= kMostExpiries) {
      won.push_back(target);
      continue;
    }
    for (const ServerId id : running.waiting) initiate(*peers_.by_id(id), target);
    running.due = context_.clock.now() + timeout();
  }
  for (const ServerId target : won) win(target);
}

Micros Takeovers::next_deadline() const {
  Micros next = kNever;
  if (!context_.replayed) return next;
  for (const auto& [target, running] : running_) next = std::min(next, running.due);
  return next;
}

}  // namespace poolgate::registrar
