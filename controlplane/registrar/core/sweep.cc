// SPDX-License-Identifier: BSD-3-Clause
#include "controlplane/registrar/core/sweep.h"

namespace poolgate::registrar {

using rserpool::kNoPe;
using rserpool::PeIndex;

namespace {

constexpr size_t kSteps = 5'000;   // PEs looked at, at some 0.2 us each
constexpr size_t kRemovals = 500;  // at some 3 us each with the journal

}  // namespace

void Sweep::begin(Removal why) {
  jobs_.push_back({why, {}});
  run(jobs_.back());
  if (jobs_.back().cursor.ended) jobs_.pop_back();
}

bool Sweep::concerns(Removal why, PeIndex pe) const {
  if (!elements_.unconfirmed(pe)) return false;
  return why != Removal::association_lost ||
         name_of(context_.space.record(pe).association).epoch == context_.welcome.epoch;
}

void Sweep::run(Job& job) {
  size_t removals = 0;
  for (size_t step = 0; step < kSteps && removals < kRemovals; ++step) {
    const PeIndex pe = context_.space.next(job.cursor);
    if (pe == kNoPe) return;
    if (!concerns(job.why, pe)) continue;
    elements_.remove(pe, job.why);
    ++removals;
  }
}

void Sweep::tick() {
  if (jobs_.empty()) return;
  run(jobs_.front());
  if (jobs_.front().cursor.ended) jobs_.erase(jobs_.begin());
}

}  // namespace poolgate::registrar
