// SPDX-License-Identifier: BSD-3-Clause
// Building generations, publishing them, and freeing those that no worker can see any more.
#include <rte_rcu_qsbr.h>

#include <algorithm>

#include "dataplane/pool/pool_model.h"

namespace poolgate::pool {
const ViewCell* PoolTable::view(rserpool::PoolHandleView handle, const Eligibility& eligibility,
                                uint64_t now_us) {
  Pool& p = pool(handle);
  for (const auto& v : p.views) {
    if (v->eligibility == eligibility) return &v->cell;
  }
  if (views_ == kMaxViews) return nullptr;
  View& made = *p.views.emplace_back(std::make_unique<View>());
  made.eligibility = eligibility;
  made.cell.number = views_++;
  p.published_us = now_us;
  made.cell.generation.store(build(p, eligibility).release(), std::memory_order_release);
  return &made.cell;
}

void PoolTable::set_guards(std::span<const std::pair<rserpool::PoolHandle, Guard>> guards) {
  for (auto& [handle, p] : pools_) {
    p->guard = {};
    p->guard_set = false;
  }
  for (const auto& [handle, guard] : guards) {
    Pool& p = pool(handle);
    if (!p.guard_set || guard.share < p.guard.share) p.guard = guard;
    p.guard_set = true;
  }
}

std::unique_ptr<ViewGeneration> PoolTable::build(const Pool& pool, const Eligibility& eligibility) {
  auto generation = std::make_unique<ViewGeneration>(options_.workers);
  generation->number = ++number_;
  std::vector<rserpool::SelectorElement> elements;
  for (const PeView& pe : this->elements(pool.handle)) {
    if (!ineligible_because(pe, eligibility).empty()) continue;
    generation->candidates.push_back({pe.id, endpoint_for(pe, eligibility).slot});
    elements.push_back({pe.id, pe.registration, pe.policy});
  }
  generation->rendezvous = std::make_unique<const rserpool::Rendezvous>(pool.policy, elements);
  for (unsigned w = 0; w < options_.workers; ++w) {
    const uint64_t seed =
        options_.random_seed * 0x9e3779b97f4a7c15 + generation->number * options_.workers + w;
    generation->selectors[w].store(new rserpool::Selector(pool.policy, seed, elements),
                                   std::memory_order_relaxed);
  }
  return generation;
}

// The first change of a quiet pool goes out at once; those that follow within a millisecond go out together.
void PoolTable::mark_dirty(Pool& pool, uint64_t now_us) {
  ++changes_;
  if (pool.views.empty() && !pool.resolution) return;
  if (now_us >= pool.published_us + options_.min_publish_interval_us || pool.published_us == 0) {
    publish(pool, now_us);
  } else if (!pool.dirty) {
    pool.dirty = true;
    dirty_.push_back(&pool);
  }
}

void PoolTable::publish(Pool& pool, uint64_t now_us) {
  pool.published_us = now_us;
  for (auto& v : pool.views) {
    retire(std::unique_ptr<const ViewGeneration>(
        v->cell.generation.exchange(build(pool, v->eligibility).release(), std::memory_order_acq_rel)));
  }
  if (!pool.resolution) return;
  retire(std::unique_ptr<const ResolutionGeneration>(
      pool.resolution->generation.exchange(build_resolution(pool).release(), std::memory_order_acq_rel)));
}

void PoolTable::tick(uint64_t now_us) {
  now_us_ = now_us;
  for (size_t i = 0; i < dirty_.size();) {
    Pool& pool = *dirty_[i];
    if (now_us < pool.published_us + options_.min_publish_interval_us) {
      ++i;
      continue;
    }
    pool.dirty = false;
    dirty_[i] = dirty_.back();
    dirty_.pop_back();
    publish(pool, now_us);
  }
  reclaim(now_us);
  forget_empty(now_us);
}

uint64_t PoolTable::start_grace() { return options_.qsbr == nullptr ? 0 : rte_rcu_qsbr_start(options_.qsbr); }

bool PoolTable::grace_over(uint64_t token) {
  return options_.qsbr == nullptr || rte_rcu_qsbr_check(options_.qsbr, token, false) == 1;
}

// What a former process left is nobody's before the registrar has spoken.
void PoolTable::drain(Orphan& orphan, uint64_t now_us) {
  if (orphan.held_for != nullptr || !told_.load(std::memory_order_relaxed)) return;
  if (orphan.since_us == 0) orphan.since_us = now_us;
  if (now_us - orphan.since_us >= kUdpDrainUs)
    (*slots_)[orphan.slot].drained.store(true, std::memory_order_relaxed);
}

void PoolTable::reclaim(uint64_t now_us) {
  // Without RCU there is one thread, which may still hold what it has just read: only slots are given back.
  if (options_.qsbr != nullptr)
    std::erase_if(retired_, [this](const Retired& r) { return grace_over(r.token); });
  // Some each time: after a restart all slots may be here.
  for (unsigned n = 0; n < kOrphansATurn && !orphans_.empty(); ++n) {
    if (orphan_cursor_ >= orphans_.size()) orphan_cursor_ = 0;
    Orphan& orphan = orphans_[orphan_cursor_];
    if (slots_->sessions(orphan.slot) != 0) {
      orphan.token = 0;
      drain(orphan, now_us);
      ++orphan_cursor_;
      continue;
    }
    // No sessions now, but a worker may be choosing it from a generation that it still reads: ask again after
    // a grace.
    if (orphan.token == 0) {
      orphan.token = start_grace();
      if (options_.qsbr != nullptr) {
        ++orphan_cursor_;
        continue;
      }
    }
    if (!grace_over(orphan.token)) {
      ++orphan_cursor_;
      continue;
    }
    const PeSlotIndex slot = orphan.slot;
    forget_orphan(orphan_cursor_);
    slots_->free(slot);
  }
}

}  // namespace poolgate::pool
