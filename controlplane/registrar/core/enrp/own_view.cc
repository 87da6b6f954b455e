// SPDX-License-Identifier: BSD-3-Clause
#include "controlplane/registrar/core/enrp/own_view.h"

#include "controlplane/registrar/core/pe_flags.h"

namespace poolgate::registrar {

using rserpool::PeChecksum;
using rserpool::PeIndex;

size_t OwnView::kind(PeIndex pe) const {
  const auto pool = context_.space.record(pe).pool;
  const auto handle = context_.space.handle(pool);
  const auto transport = context_.space.transport_type(pool);
  const bool too_long = !Partner{.short_handles = true}.holds(handle, transport);
  const bool unknown = !Partner{.known_transports = true}.holds(handle, transport);
  return (too_long ? 1 : 0) + (unknown ? 2 : 0);
}

void OwnView::joined(PeIndex pe) {
  const auto& record = context_.space.record(pe);
  sums_[kind(pe)].add(rserpool::handle_words(context_.space.handle(record.pool)), record.id);
}

void OwnView::left(PeIndex pe) {
  const auto& record = context_.space.record(pe);
  sums_[kind(pe)].remove(rserpool::handle_words(context_.space.handle(record.pool)), record.id);
}

uint16_t OwnView::checksum(const Partner& partner) const {
  PeChecksum sum;
  for (size_t kind = 0; kind < kKinds; ++kind) {
    const bool hidden =
        ((kind & 1) != 0 && partner.short_handles) || ((kind & 2) != 0 && partner.known_transports);
    if (!hidden) sum.add(sums_[kind]);
  }
  return partner.checksum_wraps ? sum.rsplib_value() : sum.value();
}

uint16_t OwnView::checksum_of(rserpool::ServerId home, const Partner& partner) const {
  const PeChecksum sum = context_.space.checksum_of(home);
  return partner.checksum_wraps ? sum.rsplib_value() : sum.value();
}

// RFC 5354 §3.10.
bool OwnView::read(PeIndex pe, const Partner& partner, rserpool::PoolElement& out) const {
  const auto& record = context_.space.record(pe);
  if (!partner.holds(context_.space.handle(record.pool), context_.space.transport_type(record.pool)))
    return false;
  context_.space.read(pe, out);
  out.registration_life = life_for(partner, out.registration_life, life_unit(record));
  return true;
}

}  // namespace poolgate::registrar
