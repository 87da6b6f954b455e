// SPDX-License-Identifier: BSD-3-Clause
#include "controlplane/registrar/core/keep_alive.h"

#include <algorithm>

namespace poolgate::registrar {

using rserpool::kNoPe;
using rserpool::PeIndex;
using rserpool::PeNotes;
using rserpool::PeTimer;
namespace asap = rserpool::asap;

namespace {
constexpr size_t kAtOnce = 500;  // PEs that are asked or found dead, at some 3 us each; the others next
}  // namespace

// PeNotes::number is when the last keep-alive was sent: the low 32 bits of the registrar's milliseconds.

uint32_t KeepAlives::interval(PeIndex pe) const {
  const auto handle = context_.space.handle(context_.space.record(pe).pool);
  const config::PoolSettings* pool = context_.settings_of(handle);
  if (pool != nullptr && pool->keepalive_interval_ms) return *pool->keepalive_interval_ms;
  return context_.settings.registrar.keepalive_interval_ms;
}

void KeepAlives::alive(PeIndex pe) {
  context_.space.notes(pe).keep_alives = 0;
  const uint32_t every = interval(pe);
  rserpool::TimeMs due = rserpool::kNever;
  // RFC 5352 §3.5: spread over time.
  if (every != 0)
    due = context_.clock.now_ms() + std::max<uint64_t>(every / 2 + context_.random.below(every + 1ull), 1);
  context_.space.set_timer(pe, PeTimer::probe, due);
}

void KeepAlives::send(PeIndex pe) {
  const rserpool::PeRecord& record = context_.space.record(pe);
  const Association* association = context_.associations.find(name_of(record.association));
  if (association == nullptr || !association->live()) return;
  std::string bytes;
  const asap::EndpointKeepAlive message{false, context_.server_id, context_.space.handle(record.pool),
                                        record.id};
  if (!asap::encode(asap::Message(message), bytes)) return;
  send_asap(context_, *association, std::move(bytes));
  ++context_.counters.keepalives_sent;
  PeNotes& notes = context_.space.notes(pe);
  notes.number = static_cast<uint32_t>(context_.clock.now_ms());
  // The wait counts from the first that was not answered, however many follow.
  if (notes.keep_alives++ == 0) {
    context_.space.set_timer(pe, PeTimer::probe,
                             context_.clock.now_ms() + context_.settings.registrar.keepalive_timeout_ms);
  }
}

void KeepAlives::send_immediately(PeIndex pe) {
  if (elements_.unconfirmed(pe)) return;
  const PeNotes& notes = context_.space.notes(pe);
  const uint32_t since = static_cast<uint32_t>(context_.clock.now_ms()) - notes.number;
  if (notes.number != 0 && since < context_.settings.registrar.min_keepalive_gap_ms) {
    ++context_.counters.keepalives_suppressed;
    return;
  }
  send(pe);
}

void KeepAlives::handle(const Request& request, const asap::EndpointKeepAliveAck& message) {
  const PeIndex pe = context_.space.find(message.handle, message.pe_id);
  const bool its_own = pe != kNoPe && !request.over_tcp() &&
                       context_.space.record(pe).association == key_of(request.association->name);
  if (!its_own) {
    ++context_.counters.unexpected_messages;
    if (pe == kNoPe && request.replayed) nobody(request, message);
    return;
  }
  ++context_.counters.keepalives_acked;
  PeNotes& notes = context_.space.notes(pe);
  if ((notes.flags & kSuspected) != 0) {
    notes.flags &= ~kSuspected;
    context_.out.put(channel::PeAlive{rserpool::PoolHandle(message.handle), message.pe_id,
                                      context_.space.registration(pe)});
  }
  if (const uint32_t sent = notes.number; sent != 0)
    request.association->round_trip_ms = static_cast<uint32_t>(context_.clock.now_ms()) - sent;
  alive(pe);
}

// A registrar before us told the PE that it is its home server, and died before it knew the answer: the PE
// learns so that it is at home nowhere, and registers again.
void KeepAlives::nobody(const Request& request, const asap::EndpointKeepAliveAck& message) {
  const auto& name = request.association->name;
  if (context_.space.first_of_association(key_of(name)) != kNoPe) return;
  context_.out.log(
      Log::Level::info, "pe-unknown",
      pe_text(message.handle, message.pe_id) + " answers, and is not listed: it is made to register");
  context_.out.put(channel::Close{name, true});
}

// RFC 5352 §3.5.
void KeepAlives::handle(const Request& request, const asap::EndpointUnreachable& message) {
  const PeIndex pe = context_.space.find(message.handle, message.pe_id);
  if (pe == kNoPe) return;
  ++context_.counters.unreachable_reports;
  PeNotes& notes = context_.space.notes(pe);
  if (notes.bad_reports < UINT16_MAX) ++notes.bad_reports;
  // Its home server judges a PE; what we were told of it counts if it becomes ours.
  if (!elements_.ours(pe)) return;
  if (notes.bad_reports > context_.settings.registrar.max_bad_pe_reports) {
    context_.out.log(
        Log::Level::warn, "bad-reports",
        pe_text(message.handle, message.pe_id) + ": reported unreachable too often, last by " + request.peer);
    elements_.remove(pe, Removal::bad_reports);
    return;
  }
  send_immediately(pe);
}

void KeepAlives::suspect(const channel::PeReport& report) {
  const PeIndex pe = context_.space.find(report.handle, report.pe_id);
  if (pe == kNoPe || context_.space.registration(pe) != report.registration) return;
  context_.out.log(Log::Level::info, "suspect",
                   pe_text(report.handle, report.pe_id) + ": the data plane says: " + report.how);
  ++context_.counters.data_plane_reports;
  // Another server's is that server's to judge; here it is as that says: listed.
  if (!elements_.ours(pe)) {
    context_.out.put(channel::PeAlive{report.handle, report.pe_id, report.registration});
    return;
  }
  context_.space.notes(pe).flags |= kSuspected;
  send_immediately(pe);
}

void KeepAlives::undelivered(const asap::EndpointKeepAlive& message, const channel::AssociationName& name) {
  if (!message.pe_id) return;
  const PeIndex pe = context_.space.find(message.handle, *message.pe_id);
  if (pe == kNoPe || context_.space.record(pe).association != key_of(name)) return;
  failed(pe);
}

void KeepAlives::failed(PeIndex pe) {
  const auto name = name_of(context_.space.record(pe).association);
  ++context_.counters.keepalives_timed_out;
  elements_.remove(pe, Removal::keep_alive_failed);
  // A PE that is only slow learns so that it is out, and registers again. Others of the association are
  // judged by their own keep-alives.
  const bool last = context_.space.first_of_association(key_of(name)) == kNoPe;
  if (last && context_.associations.find(name) != nullptr) context_.out.put(channel::Close{name, true});
}

void KeepAlives::tick(const std::function<void(PeIndex)>& claimed) {
  for (size_t looked = 0; looked < kAtOnce; ++looked) {
    const PeIndex pe = context_.space.take_due(PeTimer::probe, context_.clock.now_ms());
    if (pe == kNoPe) return;
    if ((context_.space.notes(pe).flags & kClaiming) != 0) {
      claimed(pe);
      continue;
    }
    if (elements_.unconfirmed(pe)) continue;
    if (context_.space.notes(pe).keep_alives != 0) {
      failed(pe);
    } else {
      send(pe);
    }
  }
}

}  // namespace poolgate::registrar
