// SPDX-License-Identifier: BSD-3-Clause
#include "dataplane/redirect/chooser.h"

#include <cstring>

namespace poolgate::redirect {
namespace {

// Of the client alone: every appliance gives the same (Rendezvous takes the top bits).
uint64_t client_hash(uint8_t family, const uint8_t* address, uint16_t port) {
  uint64_t words[2] = {};
  std::memcpy(words, address, family == 6 ? 16 : 4);
  uint64_t h = session::mix(words[0] ^ 0x9e3779b97f4a7c15, words[1] ^ 0xd1b54a32d192ed03);
  h = session::mix(h ^ port, 0xbf58476d1ce4e5b9);
  return h;
}

}  // namespace

pool::PeSlotIndex Chooser::choose(const ServiceEntry& service, pool::ViewGeneration& now, uint8_t family,
                                  const uint8_t* address, uint16_t port) {
  if (service.settings.selection == config::Selection::rendezvous || service.settings.client_affinity)
    return steer(service, now, family, address, port);
  return by_policy((family == 6 ? service.view_v6 : service.view_v4)->number, now);
}

pool::PeSlotIndex Chooser::steer(const ServiceEntry& service, const pool::ViewGeneration& now, uint8_t family,
                                 const uint8_t* address, uint16_t port) const {
  // With affinity, all that comes from one address has one PE (RFC 3237 §2.10).
  if (service.settings.client_affinity) port = 0;
  const rserpool::Slot slot = now.rendezvous->pick(client_hash(family, address, port), [&](rserpool::Slot i) {
    return !lines_[now.candidates[i].slot].down;
  });
  return slot == rserpool::kNoSlot ? pool::kNoPeSlot : now.candidates[slot].slot;
}

pool::PeSlotIndex Chooser::by_policy(uint32_t view, pool::ViewGeneration& now) {
  View& mine = views_[view];
  if (mine.generation != now.number) {
    pool::take_selector(now.selectors[worker_], now.returned[worker_], mine.selector);
    mine.generation = now.number;
  }
  const rserpool::Slot slot =
      mine.selector->pick([&](rserpool::Slot i) { return !lines_[now.candidates[i].slot].down; });
  return slot == rserpool::kNoSlot ? pool::kNoPeSlot : now.candidates[slot].slot;
}

}  // namespace poolgate::redirect
