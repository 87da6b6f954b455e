// SPDX-License-Identifier: BSD-3-Clause
#include "controlplane/registrar/core/enrp/bulk.h"

#include <algorithm>

namespace poolgate::registrar {

using rserpool::kNoPe;
using rserpool::PeIndex;
using rserpool::ServerId;

namespace {

constexpr size_t kSteps = 5'000;  // PEs looked at, at some 0.2 us each
constexpr size_t kMoves = 500;    // PEs changed, at some 3 us each with the journal

}  // namespace

void Bulk::purge(ServerId home, uint32_t generation) { jobs_.push_back({home, 0, generation, {}}); }

void Bulk::rehome(ServerId target, ServerId heir) {
  cancel(target);
  claims_.rival_gone(target, heir);
  jobs_.push_back({target, heir, 0, {}});
}

void Bulk::cancel(ServerId target) {
  jobs_.remove_if([&](const Job& job) { return job.heir != 0 && job.server == target; });
}

bool Bulk::concerns(ServerId server) const {
  return std::any_of(jobs_.begin(), jobs_.end(),
                     [&](const Job& job) { return job.server == server || job.heir == server; });
}

bool Bulk::run_purge(Job& job) {
  size_t moves = 0;
  for (size_t step = 0; step < kSteps && moves < kMoves; ++step) {
    const PeIndex pe = context_.space.next(job.cursor);
    if (pe == kNoPe) return true;
    // Numbers wrap.
    const auto later = static_cast<int32_t>(context_.space.notes(pe).number - job.generation);
    if (context_.space.record(pe).home != job.server || later >= 0) continue;
    claims_.doubt(pe);
    elements_.remove_foreign(pe, Removal::deleted_by_owner);
    ++moves;
  }
  return false;
}

bool Bulk::run_rehome(const Job& job) {
  for (size_t move = 0; move < kMoves; ++move) {
    const PeIndex pe = context_.space.first_of_owner(job.server);
    if (pe == kNoPe) return true;
    if (job.heir == context_.server_id) {
      claims_.begin(pe);
    } else {
      elements_.give(pe, job.heir);
    }
  }
  return context_.space.owned(job.server) == 0;
}

void Bulk::tick() {
  if (jobs_.empty()) return;
  Job& job = jobs_.front();
  if (job.heir == 0 ? run_purge(job) : run_rehome(job)) jobs_.pop_front();
}

}  // namespace poolgate::registrar
