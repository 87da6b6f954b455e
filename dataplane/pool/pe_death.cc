// SPDX-License-Identifier: BSD-3-Clause
// PEs that are found dead, and the guard: too many deaths at once say more of whoever found them dead, and of
// the network between, than of the PEs. Their sessions are then held, and an alarm lasts as long.
#include <algorithm>
#include <utility>

#include "dataplane/pool/pool_model.h"
#include "dataplane/pool/single_writer.h"

namespace poolgate::pool {

bool PoolTable::pe_down(const channel::PeDown& message, uint64_t now_us, Finder finder) {
  Pool* const known = find(message.handle);
  if (known == nullptr) return false;
  const auto it = known->elements.find(message.pe_id);
  if (it == known->elements.end() || newer(it->second.pe.registration, message.registration)) return false;
  Element& element = it->second;
  const bool fresh = !element.found_dead;
  if (fresh || finder == Finder::registrar) element.by_prober = finder == Finder::prober;
  if (!fresh) return true;
  die(*known, element, guarded(*known, known->elements.size(), now_us));
  mark_dirty(*known, now_us);
  return true;
}

bool PoolTable::guarded(Pool& pool, size_t elements, uint64_t now_us) {
  auto& deaths = pool.deaths_us;
  const uint64_t window = uint64_t{pool.guard.window_ms} * 1000;
  while (!deaths.empty() && deaths.front() + window < now_us) deaths.pop_front();
  deaths.push_back(now_us);
  return registrar_guard_ ||
         static_cast<double>(deaths.size()) > pool.guard.share * static_cast<double>(elements);
}

// An address of a PE that lives at another one of the family was found dead: the same question, as the
// network between may be what is dead there, too. Of several addresses the PE counts once. Only TCP of `nat`,
// whose views are of one family, has something to lose.
bool PoolTable::guards_address(PeSlotIndex slot) {
  const PeIdentity& identity = (*slots_)[slot].identity;
  const auto known = by_hash_.find({identity.pool[0], identity.pool[1]});
  if (known == by_hash_.end()) return false;
  Pool& pool = *known->second;
  const auto loses = [](const auto& view) {
    return view->eligibility.transport == rserpool::TransportType::tcp && view->eligibility.family != 0;
  };
  if (std::none_of(pool.views.begin(), pool.views.end(), loses)) return false;
  auto& lost = pool.lost_us;
  const uint64_t window = uint64_t{pool.guard.window_ms} * 1000;
  std::erase_if(
      lost, [&](const auto& one) { return one.first + window < now_us_ || one.second == identity.pe_id; });
  lost.emplace_back(now_us_, identity.pe_id);
  const bool held = registrar_guard_ || static_cast<double>(lost.size()) >
                                            pool.guard.share * static_cast<double>(pool.elements.size());
  if (held) raise_alarm(pool);
  return held;
}

void PoolTable::die(Pool& pool, Element& element, bool held) {
  element.found_dead = true;
  element.held = held;
  set_down(element, true, !held);
  if (held) raise_alarm(pool);
}

bool PoolTable::pe_alive(const channel::PeAlive& message, uint64_t now_us) {
  Pool* const known = find(message.handle);
  if (known == nullptr) return false;
  const auto it = known->elements.find(message.pe_id);
  if (it == known->elements.end() || it->second.pe.registration != message.registration) return false;
  if (!it->second.found_dead || !it->second.by_prober) return false;
  revive(it->second);
  mark_dirty(*known, now_us);
  return true;
}

bool PoolTable::left_dead(rserpool::PoolHandleView handle, const LeftSlots& slots, uint64_t now_us) {
  const auto is_back = [this](const auto& left) {
    const auto orphan = orphan_of_.find(left.second);
    return orphan == orphan_of_.end() || orphans_[orphan->second].slot != left.first;
  };
  LeftSlots gone = slots;
  std::erase_if(gone, is_back);
  if (gone.empty()) return false;
  Pool& left = pool(handle);
  note_empty(left);
  if (guarded(left, left.elements.size() + 1, now_us)) {
    for (const auto& [slot, identity] : gone) hold_orphan(orphans_[orphan_of_.at(identity)], &left);
    raise_alarm(left);
    return false;
  }
  for (const auto& [slot, identity] : gone) set_down(slot, true, true);
  return true;
}

// ---- what the guard holds

void PoolTable::raise_alarm(Pool& pool) { guarded_.emplace(pool.handle, &pool); }

void PoolTable::hold_orphan(Orphan& orphan, Pool* held_for) {
  if (orphan.held_for != nullptr) --orphan.held_for->held_orphans;
  if (held_for != nullptr) ++held_for->held_orphans;
  orphan.held_for = held_for;
}

bool PoolTable::holds(const Pool& pool) const {
  const auto holds_some = [this](const auto& e) {
    const auto& paths = e.second.paths;
    return e.second.held || std::any_of(paths.begin(), paths.end(), [this](const auto& path) {
             return path.slot != kNoPeSlot && slots_->holds(path.slot) && slots_->sessions(path.slot) != 0;
           });
  };
  return pool.held_orphans != 0 || std::any_of(pool.elements.begin(), pool.elements.end(), holds_some);
}

uint64_t PoolTable::end_held(rserpool::PoolHandleView handle, uint64_t now_us) {
  Pool* const known = find(handle);
  if (known == nullptr) return 0;
  uint64_t ended = 0;
  for (auto& [id, element] : known->elements) {
    for (const auto& path : element.paths)
      if (path.slot != kNoPeSlot && slots_->end_held(path.slot) && !element.held)
        ended += slots_->sessions(path.slot);
    if (!std::exchange(element.held, false)) continue;
    for (const auto& path : element.paths)
      if (path.slot != kNoPeSlot) ended += slots_->sessions(path.slot);
    set_down(element, true, true);
  }
  for (Orphan& orphan : orphans_) {
    if (orphan.held_for != known) continue;
    hold_orphan(orphan, nullptr);
    ended += slots_->sessions(orphan.slot);
    set_down(orphan.slot, true, true);
  }
  mark_dirty(*known, now_us);
  return ended;
}

bool PoolTable::guard_active(rserpool::PoolHandleView handle) const {
  const auto it = guarded_.find(handle);
  return it != guarded_.end() && holds(*it->second);
}

std::vector<std::string> PoolTable::panicking() {
  std::erase_if(guarded_, [this](const auto& g) { return !holds(*g.second); });
  std::vector<std::string> handles;
  for (const auto& [handle, pool] : guarded_) handles.emplace_back(handle);
  return handles;
}

}  // namespace poolgate::pool
