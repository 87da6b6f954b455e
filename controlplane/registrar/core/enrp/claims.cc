// SPDX-License-Identifier: BSD-3-Clause
#include "controlplane/registrar/core/enrp/claims.h"

#include <algorithm>

#include "controlplane/registrar/core/enrp/updates.h"

namespace poolgate::registrar {

namespace asap = rserpool::asap;
using rserpool::kNoPe;
using rserpool::PeIndex;
using rserpool::PeTimer;

// PeNotes::keep_alives counts the attempts of a claim.

// No second has more of them than configured.
Micros Claims::between() const {
  const Micros rate = context_.settings.registrar.takeover_rate;
  return (kSecond + rate - 1) / rate;
}

// However many servers died.
Micros Claims::turn(Micros not_before) {
  next_turn_ = std::max(next_turn_, not_before);
  const Micros at = next_turn_;
  next_turn_ += between();
  return at;
}

void Claims::begin(PeIndex pe) {
  // Those whose turns are still to come went back, or have answered.
  if (pending() == 0) next_turn_ = std::min(next_turn_, context_.clock.now() + between());
  elements_.take_over(pe);
  resume(pe);
}

void Claims::resume(PeIndex pe) {
  rserpool::PeNotes& notes = context_.space.notes(pe);
  notes.flags = (notes.flags & ~kHasMoment) | kHasTurn;
  const Micros at = turn(context_.clock.now());
  context_.space.set_timer(pe, PeTimer::probe, (at + kMilli - 1) / kMilli);
}

void Claims::contest(PeIndex pe, rserpool::ServerId other) {
  context_.space.notes(pe).flags |= kContested;
  contested_[pe] = other;
}

// Nobody watches a home that is not on the list: what it were given would have nobody to keep it alive.
void Claims::rival_gone(rserpool::ServerId rival, rserpool::ServerId heir) {
  const bool inherited = heir != 0 && heir != context_.server_id;
  for (auto at = contested_.begin(); at != contested_.end();) {
    if (at->second == rival && !inherited) {
      // Its index may be another PE's by now.
      rserpool::PeNotes& notes = context_.space.notes(at->first);
      if ((notes.flags & kContested) != 0) notes.keep_alives = 0;
      at = contested_.erase(at);
      continue;
    }
    if (at->second == rival) at->second = heir;
    ++at;
  }
}

void Claims::due(PeIndex pe) {
  rserpool::PeNotes& notes = context_.space.notes(pe);
  const config::Registrar& r = context_.settings.registrar;
  if (!context_.replayed) {
    context_.space.set_timer(pe, PeTimer::probe, context_.clock.now_ms() + 1000);
    return;
  }
  const bool has_moment = (notes.flags & kHasMoment) != 0;
  if (!has_moment && notes.keep_alives >= r.claim_attempts) return failed(pe);
  if (!has_moment && (notes.flags & kHasTurn) == 0) return resume(pe);
  notes.flags &= ~(kHasTurn | kHasMoment);
  context_.space.set_timer(pe, PeTimer::probe, context_.clock.now_ms() + r.keepalive_timeout_ms);
  if (!has_moment) return reach(pe, notes.keep_alives++);
  if (const Association* association = association_of(pe)) return say(pe, *association);
  reach(pe, notes.keep_alives);
}

void Claims::failed(PeIndex pe) {
  const auto contested = contested_.find(pe);
  const bool is_contested =
      (context_.space.notes(pe).flags & kContested) != 0 && contested != contested_.end();
  const rserpool::ServerId other = is_contested ? contested->second : 0;
  if (contested != contested_.end()) contested_.erase(contested);
  if (is_contested) {
    elements_.give(pe, other);
  } else {
    remember(pe);  // its answer may be on its way
    elements_.remove(pe, Removal::claim_failed);
  }
}

// RFC 5352 §2.2.7.
void Claims::say(PeIndex pe, const Association& association) {
  const rserpool::PeRecord& record = context_.space.record(pe);
  std::string bytes;
  const asap::EndpointKeepAlive message{true, context_.server_id, context_.space.handle(record.pool),
                                        record.id};
  if (!asap::encode(asap::Message(message), bytes)) return;
  send_asap(context_, association, std::move(bytes));
  ++context_.counters.keepalives_sent;
}

// Those of one host are all reached at one moment, when its association is up: they are told one after the
// other. A PE that is not being claimed is one that is invited.
void Claims::tell(PeIndex pe, const Association& association) {
  rserpool::PeNotes& notes = context_.space.notes(pe);
  if ((notes.flags & kClaiming) == 0) return say(pe, association);
  const Micros now = context_.clock.now_ms() * kMilli;
  const Micros at = std::max(next_moment_, now);
  next_moment_ = at + between();
  if (at == now) return say(pe, association);
  notes.flags = (notes.flags & ~kHasTurn) | kHasMoment;
  context_.space.set_timer(pe, PeTimer::probe, (at + kMilli - 1) / kMilli);
}

// Reads element_.
const Association* Claims::association_of(PeIndex pe) {
  context_.space.read(pe, element_);
  const rserpool::Transport& transport = element_.asap_transport;
  if (!element_.has_asap_transport || transport.addresses.empty() || transport.port == 0) return nullptr;
  return context_.associations.at(transport.addresses, transport.port);
}

void Claims::reach(PeIndex pe, uint32_t attempt) {
  if (const Association* association = association_of(pe)) return tell(pe, *association);
  const rserpool::PeRecord& record = context_.space.record(pe);
  const rserpool::Transport& transport = element_.asap_transport;
  if (!element_.has_asap_transport || transport.addresses.empty() || transport.port == 0) return;
  const std::pair place{transport.addresses.front(), transport.port};
  const auto [at, is_new] = requests_.try_emplace(place, 0);
  if (is_new) {
    channel::Connect connect;
    connect.request = at->second = ++context_.last_request;
    connect.service = channel::SctpService::asap;
    connect.peer_port = transport.port;
    connect.peer_addresses = transport.addresses;
    const auto first = connect.peer_addresses.begin();
    std::rotate(first, first + static_cast<ptrdiff_t>(attempt % transport.addresses.size()),
                connect.peer_addresses.end());
    pending_[at->second].place = place;
    context_.out.put(std::move(connect));
  }
  auto& waiting = pending_[at->second].elements;
  const Waiting element{rserpool::PoolHandle(context_.space.handle(record.pool)), record.id,
                        (record.notes.flags & kClaiming) != 0};
  if (std::find(waiting.begin(), waiting.end(), element) == waiting.end()) waiting.push_back(element);
}

bool Claims::up(const Association& association, uint64_t request) {
  const auto at = pending_.find(request);
  if (request == 0 || at == pending_.end()) return false;
  const Pending pending = std::move(at->second);
  pending_.erase(at);
  requests_.erase(pending.place);
  for (const Waiting& waiting : pending.elements) {
    const PeIndex pe = context_.space.find(waiting.handle, waiting.id);
    if (pe == kNoPe) continue;
    // It may have registered meanwhile, here or at another server, whose it is then.
    if (waiting.claimed && (context_.space.notes(pe).flags & kClaiming) == 0) continue;
    tell(pe, association);
  }
  return true;
}

bool Claims::connect_failed(uint64_t request) {
  const auto at = pending_.find(request);
  if (at == pending_.end()) return false;
  requests_.erase(at->second.place);
  pending_.erase(at);
  return true;
}

void Claims::channel_lost() {
  pending_.clear();
  requests_.clear();
  doubts_.clear();
}

bool Claims::acknowledged(const Request& request, const asap::EndpointKeepAliveAck& message) {
  const PeIndex pe = context_.space.find(message.handle, message.pe_id);
  if (request.over_tcp()) return false;
  if (pe == kNoPe) return came_back(*request.association, message);
  if ((context_.space.notes(pe).flags & kClaiming) == 0) return false;
  context_.space.read(pe, element_);
  if (!is_from(*request.association, element_)) return false;
  const bool contested = (context_.space.notes(pe).flags & kContested) != 0;
  contested_.erase(pe);
  elements_.claimed(pe, *request.association);
  keep_alives_.alive(pe);
  if (contested) elements_.tell_peers(pe);
  return true;
}

void Claims::heard(const Request& request, rserpool::PoolHandleView handle, rserpool::PeId id) {
  if (!request.over_tcp()) doubts_.take(request.association->name, handle, id);
}

// From where the PE is, and from nowhere else.
bool Claims::is_from(const Association& association, const rserpool::PoolElement& element) const {
  return element.has_asap_transport && element.asap_transport.port == association.port &&
         association.shares_address(element.asap_transport.addresses);
}

void Claims::doubt(PeIndex pe) {
  if (const Association* association = remember(pe)) say(pe, *association);
}

// The association over which it can answer when it is listed no more. Null: there is none.
const Association* Claims::remember(PeIndex pe) {
  const Association* association = association_of(pe);
  if (association == nullptr) return nullptr;
  const auto handle = context_.space.handle(context_.space.record(pe).pool);
  doubts_.add(association->name, handle, {element_, elements_.unit(pe)});
  return association;
}

bool Claims::came_back(const Association& association, const asap::EndpointKeepAliveAck& message) {
  auto answered = doubts_.take(association.name, message.handle, message.pe_id);
  if (!answered) return false;
  Doubt& doubt = *answered;
  doubt.element.home = context_.server_id;
  const auto outcome = elements_.put(message.handle, doubt.element, association, doubt.unit);
  if (!outcome.ok()) return false;
  elements_.claimed(outcome.pe, association);
  keep_alives_.alive(outcome.pe);
  context_.out.log(Log::Level::info, "pe-back",
                   pe_text(message.handle, message.pe_id) + " lives, and has us for its home server");
  return true;
}

void Claims::insist(PeIndex pe) {
  const Association* association = context_.associations.find(name_of(context_.space.record(pe).association));
  if (association == nullptr || !association->live()) return;
  say(pe, *association);
  elements_.tell_peers(pe);
}

void Claims::invite(PeIndex pe) { reach(pe, 0); }

}  // namespace poolgate::registrar
