// SPDX-License-Identifier: BSD-3-Clause
#include "controlplane/registrar/core/sweep.h"

#include <utility>

namespace poolgate::registrar {

using rserpool::kNoPe;
using rserpool::PeIndex;

namespace {

constexpr size_t kSteps = 5'000;  // PEs looked at, at some 0.2 us each
constexpr size_t kActs = 500;     // and removed, at some 3 us each with the journal

}  // namespace

void Sweep::begin(Removal why) {
  Job job;
  job.why = why;
  begin(std::move(job));
}

void Sweep::begin(Job job) {
  jobs_.push_back(std::move(job));
  if (jobs_.size() == 1) tick();
}

void Sweep::association(const channel::AssociationName& name, Fate fate) {
  const rserpool::AssociationKey key = key_of(name);
  size_t n = 0;
  for (PeIndex pe = context_.space.first_of_association(key); pe != kNoPe && n <= kActs; ++n)
    pe = context_.space.next_of_association(pe);
  if (n <= kActs)
    return elements_.for_each_of(name, [&](PeIndex pe) { act(pe, Removal::association_lost, fate); });
  begin({Removal::association_lost, {}, key, fate, context_.space.last_registration()});
}

void Sweep::channel_lost() {
  jobs_.remove_if([](const Job& job) { return !job.association.is_set() || job.fate != Fate::removed; });
}

bool Sweep::concerns(const Job& job, PeIndex pe) const {
  const auto& association = context_.space.record(pe).association;
  if (!job.association.is_set()) {
    return elements_.unconfirmed(pe) &&
           (job.why != Removal::association_lost || name_of(association).epoch == context_.welcome.epoch);
  }
  // Numbers wrap.
  const auto later = static_cast<int32_t>(context_.space.registration(pe) - job.last_registration);
  if (association != job.association || later > 0) return false;
  return job.fate == Fate::removed || elements_.unconfirmed(pe) == (job.fate == Fate::confirmed);
}

void Sweep::act(PeIndex pe, Removal why, Fate fate) {
  switch (fate) {
    case Fate::removed:
      return elements_.remove(pe, why);
    case Fate::confirmed:
      elements_.confirm(pe);
      return keep_alives_.alive(pe);
    case Fate::doubted:
      break;
  }
  elements_.set_unconfirmed(pe);
  const auto& record = context_.space.record(pe);
  context_.out.log(Log::Level::info, "given-up",
                   pe_text(context_.space.handle(record.pool), record.id) +
                       " ended its association after our silence: it may come back");
}

void Sweep::run(Job& job) {
  size_t acts = 0;
  for (size_t step = 0; step < kSteps && acts < kActs; ++step) {
    const PeIndex pe = context_.space.next(job.cursor);
    if (pe == kNoPe) return;
    if (!concerns(job, pe)) continue;
    act(pe, job.why, job.fate);
    ++acts;
  }
}

void Sweep::tick() {
  if (jobs_.empty()) return;
  run(jobs_.front());
  if (jobs_.front().cursor.ended) jobs_.pop_front();
}

}  // namespace poolgate::registrar
