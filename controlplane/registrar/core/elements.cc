// SPDX-License-Identifier: BSD-3-Clause
#include "controlplane/registrar/core/elements.h"

namespace poolgate::registrar {

using rserpool::kNoPe;
using rserpool::PeIndex;
using rserpool::PeTimer;
using rserpool::PoolHandleView;

RemovalFacts facts_of(Removal why) {
  switch (why) {
    case Removal::deregistered:
      return {false, &Counters::deregistrations, "deregistered"};
    case Removal::expired:
      return {false, &Counters::pes_expired, "registration life ended"};
    case Removal::keep_alive_failed:
      return {true, &Counters::pes_found_dead, "keep-alive failed"};
    case Removal::association_lost:
      return {true, &Counters::pes_out_by_association, "association lost"};
    case Removal::bad_reports:
      return {false, &Counters::pes_out_by_reports, "too many unreachable reports"};
    case Removal::claim_failed:
      return {true, &Counters::claims_failed, "does not answer the server that took it over"};
    case Removal::deleted_by_owner:
      return {false, &Counters::foreign_pes_out, "its home server has it no more"};
    case Removal::not_refreshed:
      return {false, &Counters::foreign_pes_expired, "its life ended without a word of its home server"};
    case Removal::not_back_in_time:
      break;
  }
  return {false, &Counters::pes_out_by_grace, "not back within the grace time"};
}

namespace {

constexpr size_t kExpiredAtOnce = 500;  // at some 3 us each with the journal; the others with the next ticks

void fill_message(JournalRecord& record, const Request& request, std::string_view answer) {
  if (request.over_tcp()) return;
  record.association = request.association->name;
  record.sequence = request.sequence;
  record.stream = request.association->answer_stream(request.stream);
  record.answer = answer;
}

}  // namespace

void Elements::set_flags(PeIndex pe, uint32_t flags) {
  uint32_t& present = context_.space.notes(pe).flags;
  claiming_ += (flags & kClaiming) != 0;
  claiming_ -= (present & kClaiming) != 0;
  present = flags;
}

void Elements::deregister(PeIndex pe) {
  set_flags(pe, 0);
  context_.space.deregister(pe);
}

config::LifeUnit Elements::unit(PeIndex pe) const { return life_unit(context_.space.record(pe)); }

// RFC 5354 §3.10; milliseconds are unsigned, as RSPLIB means them (conformance §12.3).
rserpool::TimeMs Elements::expiry(int32_t life, config::LifeUnit unit) const {
  if (life == rserpool::kInfiniteLife) return rserpool::kNever;
  const bool ms = unit == config::LifeUnit::milliseconds;
  const uint64_t length = ms         ? static_cast<uint32_t>(life)
                          : life < 0 ? 0
                                     : static_cast<uint64_t>(life) * 1000;
  return context_.clock.now_ms() + length;
}

void Elements::changed(PoolHandleView handle) {
  if (readers_ != 0) {
    if (gathered_.empty()) tell_at_ = context_.clock.now() + kSecond;
    if (gathered_.find(handle) == gathered_.end()) gathered_.emplace(handle);
    subscriptions_.pool_changed(handle);
    return;
  }
  context_.out.put(PoolChanged{rserpool::PoolHandle(handle)});
  subscriptions_.pool_changed(handle);
}

rserpool::RegisterOutcome Elements::put(PoolHandleView handle, const rserpool::PoolElement& element,
                                        const Association& association, config::LifeUnit unit) {
  const auto outcome = context_.space.register_or_update(handle, element, key_of(association.name),
                                                         expiry(element.registration_life, unit));
  if (!outcome.ok()) return outcome;
  set_flags(outcome.pe, confirmed_in(context_.channel_life) |
                            (unit == config::LifeUnit::milliseconds ? kMilliseconds : 0));
  context_.space.notes(outcome.pe).bad_reports = 0;
  if (outcome.previous_home != context_.server_id) own_.joined(outcome.pe);
  changed(handle);
  updates_.added(outcome.pe);
  return outcome;
}

void Elements::journal_put(PeIndex pe, const Request& request, std::string_view answer) {
  JournalRecord record;
  record.change = JournalRecord::Change::put;
  record.pe = stored(pe);
  fill_message(record, request, answer);
  context_.out.put(JournalPut{std::move(record)});
}

void Elements::remove(PeIndex pe, Removal why, const Request* request, std::string_view answer) {
  const rserpool::PeRecord& record = context_.space.record(pe);
  const rserpool::PoolHandle handle(context_.space.handle(record.pool));
  const rserpool::PeId id = record.id;
  const RemovalFacts what = facts_of(why);
  ++(context_.counters.*what.counter);
  if (what.dead) {
    context_.out.put(channel::PeDown{handle, id, context_.space.registration(pe)});
    context_.out.log(Log::Level::warn, "pe-dead", pe_text(handle, id) + " is found dead: " + what.text);
  } else {
    context_.out.log(Log::Level::info, "pe-out", pe_text(handle, id) + " is out: " + what.text);
  }
  updates_.removed(pe);
  own_.left(pe);
  deregister(pe);
  JournalRecord entry;
  entry.change = JournalRecord::Change::remove;
  entry.pe.handle = handle;
  entry.pe.element.id = id;
  if (request != nullptr) fill_message(entry, *request, answer);
  context_.out.put(JournalPut{std::move(entry)});
  changed(handle);
}

void Elements::confirm(PeIndex pe) {
  if (!unconfirmed(pe)) return;
  rserpool::PeNotes& notes = context_.space.notes(pe);
  notes.flags = (notes.flags & kFlagBits) | confirmed_in(context_.channel_life);
  notes.keep_alives = 0;
  context_.space.set_timer(pe, PeTimer::expiry,
                           expiry(context_.space.record(pe).registration_life, unit(pe)));
}

bool Elements::unconfirmed(PeIndex pe) const {
  const rserpool::PeRecord& record = context_.space.record(pe);
  return record.home == context_.server_id && (record.notes.flags & kClaiming) == 0 &&
         (record.notes.flags & ~kFlagBits) != confirmed_in(context_.channel_life);
}

void Elements::set_unconfirmed(PeIndex pe) {
  rserpool::PeNotes& notes = context_.space.notes(pe);
  notes.flags &= kFlagBits;
  notes.keep_alives = 0;
}

void Elements::doubt_all() {
  context_.channel_life = context_.channel_life == 0xffff ? 1 : context_.channel_life + 1;
}

void Elements::expire(const std::function<void(PeIndex)>& notify) {
  for (size_t looked = 0; looked < kExpiredAtOnce; ++looked) {
    const PeIndex pe = context_.space.take_due(PeTimer::expiry, context_.clock.now_ms());
    if (pe == kNoPe) return;
    if (!ours(pe)) {
      remove_foreign(pe, Removal::not_refreshed);
      continue;
    }
    // Without its association a PE can neither register anew nor answer: only the grace time counts.
    if (unconfirmed(pe)) continue;
    notify(pe);
    remove(pe, Removal::expired);
  }
}

StoredPe Elements::stored(PeIndex pe) const {
  StoredPe stored;
  const rserpool::PeRecord& record = context_.space.record(pe);
  stored.handle = context_.space.handle(record.pool);
  context_.space.read(pe, stored.element);
  stored.registration = context_.space.registration(pe);
  stored.life_unit = unit(pe);
  stored.association = name_of(record.association);
  return stored;
}

void Elements::restore(const StoredPe& pe) {
  const bool is_ours = pe.element.home == context_.server_id;
  const PeIndex before = context_.space.find(pe.handle, pe.element.id);
  const bool was_ours = before != kNoPe && ours(before);
  const auto outcome =
      context_.space.register_or_update(pe.handle, pe.element, key_of(pe.association), rserpool::kNever);
  if (!outcome.ok()) {
    context_.out.log(Log::Level::warn, "restore",
                     pe_text(pe.handle, pe.element.id) + " of the journal is not taken back: " +
                         std::string(rserpool::describe(outcome.status)));
    return;
  }
  context_.space.restore_registration(outcome.pe, pe.registration);
  set_flags(outcome.pe, (pe.life_unit == config::LifeUnit::milliseconds ? kMilliseconds : 0) |
                            (is_ours && pe.association.id == 0 ? kClaiming : 0));
  if (!is_ours)
    context_.space.set_timer(outcome.pe, PeTimer::expiry,
                             foreign_expiry(pe.element.registration_life, pe.life_unit));
  if (is_ours && !was_ours) own_.joined(outcome.pe);
  if (!is_ours && was_ours) own_.left(outcome.pe);
}

void Elements::restore_removal(PoolHandleView handle, rserpool::PeId id) {
  const PeIndex pe = context_.space.find(handle, id);
  if (pe == kNoPe) return;
  if (ours(pe)) own_.left(pe);
  deregister(pe);
}

}  // namespace poolgate::registrar
