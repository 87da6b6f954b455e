// SPDX-License-Identifier: BSD-3-Clause
// PEs of other servers, and PEs that change their home server.
#include "controlplane/registrar/core/elements.h"

namespace poolgate::registrar {

namespace {
constexpr size_t kToldAtOnce = 2'000;  // pools, at some 0.5 us each; the others with the next ticks
}  // namespace

using rserpool::kNoPe;
using rserpool::PeIndex;
using rserpool::PeTimer;
using rserpool::PoolHandleView;

// Its home server ends it, and says so; we do so only when that server has fallen silent and nobody took it
// over, or said nothing of a PE for longer than it can have reason to.
rserpool::TimeMs Elements::foreign_expiry(int32_t life, config::LifeUnit unit) const {
  const rserpool::TimeMs end = expiry(life, unit);
  if (end == rserpool::kNever) return end;
  const config::Registrar& r = context_.settings.registrar;
  return end + r.max_time_last_heard_ms + r.max_time_no_response_ms + r.grace_ms;
}

void Elements::journal_foreign(PeIndex pe) {
  JournalRecord record;
  record.change = JournalRecord::Change::put;
  record.pe = stored(pe);
  context_.out.put(JournalPut{std::move(record), true});
}

// What was ours, or is now.
void Elements::journal_owner(PeIndex pe) {
  JournalRecord record;
  record.change = JournalRecord::Change::put;
  record.pe = stored(pe);
  context_.out.put(JournalPut{std::move(record)});
}

PeIndex Elements::put_foreign(PoolHandleView handle, const rserpool::PoolElement& element,
                              const Partner& owner) {
  const config::LifeUnit unit =
      owner.life_in_milliseconds ? config::LifeUnit::milliseconds : config::LifeUnit::seconds;
  const PeIndex before = context_.space.find(handle, element.id);
  const bool was_ours = before != kNoPe && ours(before);
  const auto outcome =
      context_.space.register_or_update(handle, element, {}, foreign_expiry(element.registration_life, unit));
  if (!outcome.ok()) {
    context_.out.log(Log::Level::warn, "foreign",
                     pe_text(handle, element.id) + " of " + server_text(element.home) +
                         " is not taken: " + std::string(rserpool::describe(outcome.status)));
    return kNoPe;
  }
  if (was_ours) {
    own_.left(outcome.pe);
    ++context_.counters.ownership_yielded;
    context_.out.log(Log::Level::info, "pe-moved",
                     pe_text(handle, element.id) + " has " + server_text(element.home) + " for its home now");
  }
  if (outcome.status == rserpool::RegisterStatus::added) ++context_.counters.foreign_pes;
  set_flags(outcome.pe, unit == config::LifeUnit::milliseconds ? kMilliseconds : 0);
  rserpool::PeNotes& notes = context_.space.notes(outcome.pe);
  notes = {.flags = notes.flags};
  context_.space.set_timer(outcome.pe, PeTimer::probe, rserpool::kNever);
  if (was_ours) {
    journal_owner(outcome.pe);
  } else {
    journal_foreign(outcome.pe);
  }
  changed(handle);
  return outcome.pe;
}

void Elements::refresh_foreign(PeIndex pe) {
  const auto& record = context_.space.record(pe);
  context_.space.set_timer(pe, PeTimer::expiry, foreign_expiry(record.registration_life, life_unit(record)));
}

void Elements::remove_foreign(PeIndex pe, Removal why) {
  const rserpool::PeRecord& record = context_.space.record(pe);
  JournalRecord entry;
  entry.change = JournalRecord::Change::remove;
  entry.pe.handle = context_.space.handle(record.pool);
  entry.pe.element.id = record.id;
  const RemovalFacts what = facts_of(why);
  ++(context_.counters.*what.counter);
  context_.out.log(Log::Level::info, "pe-out", pe_text(entry.pe.handle, record.id) + " is out: " + what.text);
  const rserpool::PoolHandle handle = entry.pe.handle;
  if (why == Removal::deleted_by_owner)
    context_.out.put(channel::PeLeft{handle, record.id, context_.space.registration(pe)});
  deregister(pe);
  context_.out.put(JournalPut{std::move(entry), true});
  changed(handle);
}

void Elements::take_over(PeIndex pe) {
  if (ours(pe)) return;
  context_.space.change_owner(pe, context_.server_id);
  owner_changed(pe);
  context_.space.set_association(pe, {});
  rserpool::PeNotes& notes = context_.space.notes(pe);
  set_flags(pe, (notes.flags & kMilliseconds) | kClaiming);
  notes = {.flags = notes.flags};
  context_.space.set_timer(pe, PeTimer::expiry, rserpool::kNever);
  own_.joined(pe);
  ++context_.counters.pes_taken_over;
  journal_owner(pe);
}

void Elements::claimed(PeIndex pe, const Association& association) {
  rserpool::PeNotes& notes = context_.space.notes(pe);
  set_flags(pe, (notes.flags & kMilliseconds) | confirmed_in(context_.channel_life));
  context_.space.set_association(pe, key_of(association.name));
  context_.space.set_timer(pe, PeTimer::expiry,
                           expiry(context_.space.record(pe).registration_life, unit(pe)));
  ++context_.counters.pes_claimed;
  journal_owner(pe);
}

void Elements::adopt(PeIndex pe, const Association& association) {
  const auto& record = context_.space.record(pe);
  const rserpool::PoolHandle handle(context_.space.handle(record.pool));
  rserpool::PoolElement element;
  context_.space.read(pe, element);
  element.home = context_.server_id;
  put(handle, element, association, life_unit(record));
}

void Elements::give(PeIndex pe, rserpool::ServerId home) {
  if (context_.space.record(pe).home == home) return;
  const bool was_ours = ours(pe);
  if (was_ours) {
    own_.left(pe);
    ++context_.counters.ownership_yielded;
  }
  context_.space.change_owner(pe, home);
  owner_changed(pe);
  context_.space.set_association(pe, {});
  rserpool::PeNotes& notes = context_.space.notes(pe);
  set_flags(pe, notes.flags & kMilliseconds);
  notes = {.flags = notes.flags, .number = context_.download_generation};
  context_.space.set_timer(pe, PeTimer::probe, rserpool::kNever);
  refresh_foreign(pe);
  if (was_ours) {
    journal_owner(pe);
  } else {
    journal_foreign(pe);
  }
}

// ---- what the data plane is told while tables are read

void Elements::reading(bool begins) {
  readers_ += begins ? 1 : -1;
  if (readers_ == 0) tell_gathered();
}

void Elements::owner_changed(PeIndex pe) {
  if (gathered_.empty()) tell_at_ = context_.clock.now();
  const rserpool::PoolHandleView handle = context_.space.handle(context_.space.record(pe).pool);
  if (gathered_.find(handle) == gathered_.end()) gathered_.emplace(handle);
}

void Elements::tell_gathered() {
  for (size_t told = 0; told < kToldAtOnce && !gathered_.empty(); ++told)
    context_.out.put(PoolChanged{std::move(gathered_.extract(gathered_.begin()).value())});
  tell_at_ = context_.clock.now();
}

void Elements::tick() {
  if (next_deadline() <= context_.clock.now()) tell_gathered();
}

}  // namespace poolgate::registrar
