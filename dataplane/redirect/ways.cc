// SPDX-License-Identifier: BSD-3-Clause
// By which of its PE's addresses a packet goes (pool/pe_ways.h). A session's own key has its way in the
// session: the slot of the address that belongs to its VIP. Its other keys have another VIP, or (`nat`) their
// own address of the PE.
#include "dataplane/redirect/impl.h"
#include "dataplane/redirect/wire.h"

namespace poolgate::redirect {

// Among those of its family.
unsigned Redirector::Impl::vip_number(const ServiceEntry& service, uint8_t family, const uint8_t* vip) {
  if (service.settings.vips.size() == 1) return 0;
  unsigned n = 0;
  for (const auto& known : service.settings.vips) {
    if (static_cast<uint8_t>(known.family()) != family) continue;
    if (std::memcmp(known.data(), vip, family == 6 ? 16 : 4) == 0) return n;
    ++n;
  }
  return 0;
}

// What this worker has not yet read of a slot made meanwhile, it goes without.
pool::PeSlotIndex Redirector::Impl::way(pool::PeSlotIndex pe, unsigned vip) const {
  const pool::PeSlotIndex to = slots.way(pe, vip);
  return to == pe || slots.head() == log_seen ? to : pe;
}

// Of the PE that was chosen for it.
pool::PeSlotIndex Redirector::Impl::way_of_new(const Packet& packet, const ServiceEntry& service,
                                               pool::PeSlotIndex pe) const {
  if (pe == pool::kNoPeSlot) return pe;
  const pool::PeSlotIndex to = way(pe, vip_number(service, packet.info.flow.family, packet.destination()));
  // Not to begin with what its client would only find to be dead.
  return service.settings.mode == config::Mode::nat && leaves_dead(to) ? lines[to].via : to;
}

// This address is dead, and line.via names a live one of its PE and family. Of `nat`, which stays with the
// address that it began with.
bool Redirector::Impl::leaves_dead(pool::PeSlotIndex way) const {
  const pool::PeLine& line = lines[way];
  return line.dead && line.via != way && lines[line.via].family == line.family;
}

// A connection with an address of its PE's that is dead, and not the PE (PeWay::lost): it cannot be moved,
// and ends as if the PE had died.
bool Redirector::Impl::has_lost_address(const Session& s) const {
  return s.key.protocol == wire::kTcp && (s.flags & session::kNat) != 0 && lines[s.pe].lost;
}

// The one that has this address; `pe` itself, if none has it, or this worker has not read of it.
pool::PeSlotIndex Redirector::Impl::way_to(pool::PeSlotIndex pe, uint8_t family,
                                           const uint8_t* address) const {
  if (has_address(lines[pe], family, address)) return pe;
  pool::PeSlotIndex all[pool::PeWay::kMaxAddresses];
  const unsigned n = slots.siblings(pe, all);
  if (slots.head() != log_seen) return pe;
  for (unsigned i = 0; i < n; ++i)
    if (has_address(lines[all[i]], family, address)) return all[i];
  return pe;
}

// Where a path of another family goes, which begins with its first VIP; kNoPeSlot: the PE has no address of
// it.
pool::PeSlotIndex Redirector::Impl::way_of_family(pool::PeSlotIndex pe, uint8_t family) const {
  pool::PeSlotIndex all[pool::PeWay::kMaxAddresses];
  const unsigned n = slots.siblings(pe, all);
  if (slots.head() != log_seen) return pool::kNoPeSlot;
  for (unsigned i = 0; i < n; ++i) {
    if (lines[all[i]].family != family) continue;
    const pool::PeSlotIndex to = way(all[i], 0);
    return leaves_dead(to) ? lines[to].via : to;
  }
  return pool::kNoPeSlot;
}

// Of a packet that came with this key from a client.
pool::PeSlotIndex Redirector::Impl::way_of(SessionIndex entry) const {
  const Session& e = sessions.at(entry);
  if (e.kind == session::Kind::session) return e.pe;
  const Session& s = sessions.at(e.session);
  if ((s.flags & session::kNat) == 0) return way(s.pe, e.vip);
  if (e.counterpart == session::kNone) return s.pe;
  return way_to(s.pe, e.key.family, sessions.addresses(e.counterpart));
}

}  // namespace poolgate::redirect
