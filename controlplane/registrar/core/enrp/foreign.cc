// SPDX-License-Identifier: BSD-3-Clause
#include "controlplane/registrar/core/enrp/foreign.h"

#include <utility>

#include "controlplane/registrar/core/enrp/distance.h"

namespace poolgate::registrar {

namespace enrp = rserpool::enrp;
using rserpool::kNoPe;
using rserpool::PeIndex;
using rserpool::PoolElement;
using rserpool::PoolHandleView;

void Foreign::refuse(const Peer& peer, PoolHandleView handle, rserpool::PeId id, const char* why) {
  ++context_.counters.enrp_updates_refused;
  context_.out.log(Log::Level::warn, "update " + std::to_string(peer.id),
                   server_text(peer.id) + " speaks of " + pe_text(handle, id) + ": " + why);
}

// RFC 5353 §3.3.
void Foreign::update(Peer& peer, const enrp::HandleUpdate& message) {
  ++context_.counters.enrp_updates_received;
  const PeIndex pe = context_.space.find(message.handle, message.element.id);
  if (message.action == enrp::UpdateAction::del_pe) {
    if (pe == kNoPe) return;
    // RFC 5353 §3.3.2 lets anybody remove anything; only its home server knows that a PE is gone.
    if (context_.space.record(pe).home != peer.id)
      return refuse(peer, message.handle, message.element.id, "removes what it does not own");
    claims_.doubt(pe);
    elements_.remove_foreign(pe, Removal::deleted_by_owner);
    return;
  }
  if (message.element.home != peer.id)
    return refuse(peer, message.handle, message.element.id, "adds what it does not own");
  PoolElement element = message.element;
  add_distance(peer, element);
  const PeIndex now = elements_.put_foreign(message.handle, element, peer.partner);
  if (now == kNoPe) return;
  context_.space.notes(now).number = context_.download_generation;
  if (message.takeover_suggested && context_.settings.registrar.takeover_suggestion) claims_.invite(now);
}

// Both of us own the PE: it was taken over by one who could not reach the other. Who has it registered and
// alive is right, and an ADD_PE of a registration settles it; a table alone does not tell that. So one that
// is being claimed stays until the PE has answered or not. Of two that both have it, that of the larger id
// insists, and has the PE adopt it.
bool Foreign::yields(Peer& peer, PeIndex pe) {
  const auto& record = context_.space.record(pe);
  if ((record.notes.flags & kClaiming) != 0) {
    claims_.contest(pe, peer.id);
    return false;
  }
  if (elements_.unconfirmed(pe)) return true;
  if (context_.server_id > peer.id) claims_.insist(pe);
  return false;
}

// Of a PE whose home server nobody watches (RFC 5353 §3.4.3) nobody would notice the end.
bool Foreign::watched(PoolHandleView handle, const PoolElement& element) {
  if (peers_.learn_owner(element.home)) return true;
  ++context_.counters.foreign_pes_unwatched;
  context_.out.log(Log::Level::warn, "unwatched " + std::to_string(element.home),
                   pe_text(handle, element.id) + " is not taken: the list of peers has no place for " +
                       server_text(element.home) + ", its home server");
  return false;
}

size_t Foreign::table(Peer& peer, enrp::HandleTableResponse& message) {
  ++context_.counters.handle_tables_received;
  size_t brought = 0;
  for (enrp::TableEntry& entry : message.entries) {
    for (PoolElement& element : entry.elements) {
      // What is said to be ours we know better.
      if (element.home == context_.server_id) continue;
      if (element.home == 0 || (peer.download.own_only && element.home != peer.id)) {
        refuse(peer, entry.handle, element.id, "lists what it does not own");
        continue;
      }
      const PeIndex there = context_.space.find(entry.handle, element.id);
      if (there != kNoPe && context_.space.record(there).home == context_.server_id && !yields(peer, there))
        continue;
      if (!watched(entry.handle, element)) continue;
      add_distance(peer, element);
      PeIndex pe = there;
      if (there != kNoPe) context_.space.read(there, present_);
      // What is as it was did not register anew: its number stays, or a PE found dead would be up again.
      if (there != kNoPe && present_ == element) {
        elements_.refresh_foreign(there);
      } else {
        pe = elements_.put_foreign(entry.handle, element, peer.partner);
      }
      if (pe == kNoPe) continue;
      brought += std::exchange(context_.space.notes(pe).number, peer.download.generation) !=
                 peer.download.generation;
    }
  }
  return brought;
}

// draft-dreibholz-rserpool-delay: who hears of a PE from a peer is that much farther from it.
void Foreign::add_distance(const Peer& peer, PoolElement& element) const {
  const uint32_t step = context_.settings.registrar.distance_step_ms;
  if (step != 0 && has_distance(element.policy.type))
    element.policy.distance += distance_of(peer.round_trip_ms, step);
}

}  // namespace poolgate::registrar
