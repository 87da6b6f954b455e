// SPDX-License-Identifier: BSD-3-Clause
#include "controlplane/registrar/core/enrp/updates.h"

namespace poolgate::registrar {

namespace enrp = rserpool::enrp;
using rserpool::PeIndex;

namespace {

std::string encoded(enrp::HandleUpdate& update, rserpool::PoolElement& element) {
  std::string bytes;
  update.element = std::move(element);
  const bool fits = enrp::encode(enrp::Message(update), bytes);
  element = std::move(update.element);
  return fits ? bytes : std::string();
}

}  // namespace

// The receiver's id is 0, so that all partners of one kind get the same bytes.
void Updates::tell(PeIndex pe, enrp::UpdateAction action) {
  enrp::HandleUpdate update;
  update.sender = context_.server_id;
  update.action = action;
  update.handle = context_.space.handle(context_.space.record(pe).pool);
  const Partner* written_for = nullptr;
  bool goes = false;
  std::string bytes;
  for (const Peer& peer : peers_.list()) {
    if (!peer.connected()) continue;
    if (written_for == nullptr || !(*written_for == peer.partner)) {
      written_for = &peer.partner;
      goes = own_.read(pe, peer.partner, element_);
      if (goes) bytes = encoded(update, element_);
    }
    if (goes && peers_.send(peer, bytes)) ++context_.counters.enrp_updates_sent;
  }
  if (action == enrp::UpdateAction::add_pe && context_.settings.registrar.takeover_suggestion) suggest(pe);
}

// draft-dreibholz-rserpool-enrp-takeover: the server whose id is farthest from the PE's (by exclusive or)
// should be its home; it gets the update a second time, with the T flag. Bounds what a single dead server
// leaves behind.
void Updates::suggest(PeIndex pe) {
  const rserpool::PeId id = context_.space.record(pe).id;
  const Peer* best = nullptr;
  uint32_t distance = id ^ context_.server_id;
  for (const Peer& peer : peers_.list()) {
    if (peer.id == 0 || !peer.connected() || !peer.active || (id ^ peer.id) <= distance) continue;
    distance = id ^ peer.id;
    best = &peer;
  }
  if (best == nullptr || !own_.read(pe, best->partner, element_)) return;
  enrp::HandleUpdate update;
  update.sender = context_.server_id;
  update.takeover_suggested = true;
  update.handle = context_.space.handle(context_.space.record(pe).pool);
  if (peers_.send(*best, encoded(update, element_))) ++context_.counters.enrp_updates_sent;
}

}  // namespace poolgate::registrar
