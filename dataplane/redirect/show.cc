// SPDX-License-Identifier: BSD-3-Clause
// What other threads may ask of a worker's redirect stage.
#include <algorithm>

#include "dataplane/redirect/impl.h"
#include "dataplane/redirect/wire.h"

namespace poolgate::redirect {

using rserpool::IpAddress;

namespace {

// Of `nat`, what its PE's packets note lies beside it.
uint32_t last_seen(const session::SessionTable& table, const Session& s) {
  const SessionIndex far = s.counterpart;
  if (far < session::kFirst || far >= table.end()) return s.last_seen_ms;
  const Session& alias = table.at(far);
  const bool later =
      alias.state == State::established && static_cast<int32_t>(alias.last_seen_ms - s.last_seen_ms) > 0;
  return later ? alias.last_seen_ms : s.last_seen_ms;
}

}  // namespace

uint64_t Redirector::pe_sessions(pool::PeSlotIndex slot) const {
  return impl_->lines[slot].sessions.load(std::memory_order_relaxed);
}
uint64_t Redirector::pe_packets(pool::PeSlotIndex slot) const {
  return impl_->lines[slot].packets.load(std::memory_order_relaxed);
}
uint64_t Redirector::pe_bytes(pool::PeSlotIndex slot) const {
  return impl_->lines[slot].bytes.load(std::memory_order_relaxed);
}

SessionStats Redirector::session_stats() const {
  const session::SessionTable& table = impl_->sessions;
  SessionStats stats;
  stats.sessions = table.sessions();
  stats.used = table.used();
  stats.capacity = table.capacity();
  stats.half_open = table.half_open();
  stats.half_open_quota = impl_->half_open_quota;
  stats.reattached = table.reattached();
  stats.lost = table.lost();
  stats.snat_lost = impl_->snat_lost;
  stats.bytes = table.bytes();
  return stats;
}

const session::SessionTable& Redirector::session_table() const { return impl_->sessions; }

const std::string& Redirector::session_file_note() const { return impl_->sessions.note(); }

uint32_t Redirector::dump_sessions(uint32_t cursor, unsigned max, std::vector<SessionView>& out) const {
  const session::SessionTable& table = impl_->sessions;
  const ServiceTable* services = services_.load(std::memory_order_acquire);
  cursor = std::max(cursor, session::kFirst);
  for (unsigned n = 0; cursor < table.end() && n < max; ++cursor) {
    if (!table.valid(cursor)) continue;
    // A copy, checked again afterwards: the worker may have changed the entry meanwhile.
    const Session s = table.at(cursor);
    if (s.kind != session::Kind::session || s.pe >= impl_->slots.capacity()) continue;
    uint8_t v6[32] = {};
    if (s.key.family == 6) std::memcpy(v6, table.addresses(cursor), sizeof v6);
    if (!table.valid(cursor) || !(table.at(cursor).key == s.key)) continue;
    SessionView& view = out.emplace_back();
    if (s.key.family == 6) {
      view.client = IpAddress::v6(v6);
      view.vip = IpAddress::v6(v6 + 16);
    } else {
      view.client = IpAddress::v4(&s.key.source);
      view.vip = IpAddress::v4(&s.key.destination);
    }
    const pool::PeIdentity& pe = impl_->slots[s.pe].identity;
    view.pe = pe.ip();
    const bool nat = (s.flags & session::kNat) != 0;
    view.via = impl_->slots[nat ? s.pe : impl_->slots.via(s.pe)].identity.ip();
    view.pe_id = pe.pe_id;
    view.pe_port = wire::swap16(pe.port);
    view.client_port = wire::swap16(s.key.source_port);
    view.vip_port = wire::swap16(s.key.destination_port);
    view.protocol = s.key.protocol;
    view.state = session::to_string(s.state);
    const ServiceEntry* service = services == nullptr ? nullptr : services->service(s.service);
    if (service != nullptr) view.service = service->settings.name;
    view.idle_ms = impl_->now_ms - last_seen(table, s);
    view.tag_p = wire::swap32(s.tag_p);
    view.tag_c = wire::swap32(s.tag_c);
    ++n;
  }
  return cursor < table.end() ? cursor : 0;
}

}  // namespace poolgate::redirect
