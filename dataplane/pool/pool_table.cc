// SPDX-License-Identifier: BSD-3-Clause
#include "dataplane/pool/pool_table.h"

#include <algorithm>
#include <utility>

#include "dataplane/pool/pool_model.h"
#include "dataplane/pool/single_writer.h"

namespace poolgate::pool {
namespace {

PeView as_view(const channel::PoolPe& pe) {
  PeView view;
  view.id = pe.id;
  view.registration = pe.registration;
  view.state = pe.state;
  view.policy = pe.policy;
  view.transport = pe.transport;
  return view;
}

}  // namespace

PoolTable::PoolTable(PoolTableOptions options) : options_(std::move(options)) {}

Result<std::unique_ptr<PoolTable>> PoolTable::create(PoolTableOptions options) {
  auto slots = PeSlots::open(options.slot_file, options.max_elements, options.workers);
  if (!slots) return slots.error();
  std::unique_ptr<PoolTable> table(new PoolTable(std::move(options)));
  table->slots_ = std::move(*slots);
  table->slots_->set_guard([of = table.get()](PeSlotIndex slot) { return of->guards_address(slot); });
  // Sessions of a former process still point at these: they go on to be redirected, and the slots are taken
  // over by their PEs when the registrar names them again.
  for (PeSlotIndex i : table->slots_->attached()) {
    const auto address = (*table->slots_)[i].identity.ip();
    table->set_route(i, table->options_.resolve ? table->options_.resolve(address) : Route{});
    table->slots_->log(i);
    table->release(i, nullptr);
  }
  return table;
}

PoolTable::~PoolTable() {
  for (auto& [handle, pool] : pools_) {
    for (auto& view : pool->views) delete view->cell.generation.load(std::memory_order_acquire);
    if (pool->resolution) delete pool->resolution->generation.load(std::memory_order_acquire);
  }
  delete resolutions_.load(std::memory_order_acquire);
}

PoolTable::Pool& PoolTable::pool(rserpool::PoolHandleView handle) {
  if (Pool* known = find(handle)) return *known;
  auto made = std::make_unique<Pool>();
  made->handle = handle;
  return *pools_.emplace(std::string(handle), std::move(made)).first->second;
}

PoolTable::Pool* PoolTable::find(rserpool::PoolHandleView handle) const {
  const auto it = pools_.find(handle);
  return it == pools_.end() ? nullptr : it->second.get();
}

// ---- transactions

Result<bool> PoolTable::begin(const channel::PoolBegin& message) {
  transaction_ = std::make_unique<Transaction>();
  transaction_->number = message.transaction;
  transaction_->full = message.full;
  return true;
}

Result<bool> PoolTable::chunk(channel::PoolChunk message) {
  if (!transaction_ || transaction_->number != message.transaction) {
    transaction_.reset();
    return Error{"PoolChunk of transaction " + std::to_string(message.transaction) + ", which is not open"};
  }
  auto& change = transaction_->changes[message.handle];
  change.policy = message.policy;
  change.remove = message.remove;
  transaction_->elements += message.elements.size();
  // Twice the slots: a transaction may exchange all elements, but is bounded.
  if (transaction_->elements > size_t{options_.max_elements} * 2) {
    transaction_.reset();
    return Error{"transaction of more elements than twice the table's " +
                 std::to_string(options_.max_elements)};
  }
  std::move(message.elements.begin(), message.elements.end(), std::back_inserter(change.elements));
  return true;
}

Result<bool> PoolTable::commit(const channel::PoolCommit& message, uint64_t now_us) {
  const std::unique_ptr<Transaction> transaction = std::move(transaction_);
  if (!transaction || transaction->number != message.transaction)
    return Error{"PoolCommit of transaction " + std::to_string(message.transaction) + ", which is not open"};
  if (transaction->full) {
    for (auto& [handle, known] : pools_) {
      if (!transaction->changes.contains(handle) && !known->elements.empty())
        transaction->changes[handle].remove = true;
    }
  }
  for (auto& [handle, change] : transaction->changes) {
    Pool& changed = pool(handle);
    if (change.remove) change.elements.clear();
    if (!change.remove) changed.policy = change.policy;
    apply(changed, std::move(change.elements));
    mark_dirty(changed, now_us);
    note_empty(changed);
  }
  told_.store(true, std::memory_order_relaxed);
  return true;
}

// The pool's elements are these now. What is gone was deregistered or has expired: its sessions stay (a
// drain).
void PoolTable::apply(Pool& pool, std::vector<channel::PoolPe>&& elements) {
  std::map<rserpool::PeId, Element> old = std::move(pool.elements);
  pool.elements.clear();
  for (auto& pe : elements) {
    auto [it, fresh] = pool.elements.try_emplace(pe.id);
    if (!fresh) continue;  // the first of two of one id stays
    Element& element = it->second;
    if (const auto before = old.find(pe.id); before != old.end()) {
      element = std::move(before->second);
      old.erase(before);
    }
    const bool again = newer(pe.registration, element.pe.registration);
    const bool moved = element.pe.transport != pe.transport;
    element.pe = std::move(pe);
    if (again && element.found_dead) revive(element);
    if (moved || (element.v4.slot == kNoPeSlot && element.v6.slot == kNoPeSlot)) bind(pool, element);
    // The registrar found it dead while we were not there to be told.
    if (element.pe.state == channel::PeState::down) {
      element.by_prober = false;
      if (!element.found_dead) die(pool, element, registrar_guard_);
    }
  }
  for (auto& [id, gone] : old) unbind(pool, gone);
}

// Handles come and go as PEs like to name pools: what is left of them must not add up.
void PoolTable::note_empty(Pool& pool) {
  if (!pool.elements.empty() || pool.noted_empty) return;
  pool.noted_empty = true;
  empty_.push_back(pool.handle);
}

// Those that no service asks for, and of which the guard has nothing to know any more.
void PoolTable::forget_empty(uint64_t now_us) {
  for (size_t n = std::min<size_t>(empty_.size(), kEmptyATurn); n > 0; --n) {
    std::string handle = std::move(empty_.front());
    empty_.pop_front();
    Pool& known = pool(handle);
    known.noted_empty = false;
    if (!known.elements.empty() || !known.views.empty() || known.resolution || known.guard_set) continue;
    const bool died =
        !known.deaths_us.empty() && known.deaths_us.back() + uint64_t{known.guard.window_ms} * 1000 >= now_us;
    if (died || known.held_orphans != 0 || guarded_.contains(handle)) {
      note_empty(known);
      continue;
    }
    const PeIdentity identity = pe_identity(handle, 0, rserpool::IpAddress(), 0);
    by_hash_.erase({identity.pool[0], identity.pool[1]});
    pools_.erase(handle);
  }
}

void PoolTable::abandon_transaction() { transaction_.reset(); }

// ---- elements and their slots

// A slot to each address: kMaxAddresses of a PE, half of them of each family, in its own order.
void PoolTable::bind(Pool& pool, Element& element) {
  std::vector<PeView::Endpoint> before = std::move(element.paths);
  element.paths.clear();
  element.v4 = element.v6 = {};
  std::vector<PeSlotIndex> slots;
  for (const auto family : {rserpool::IpAddress::Family::v4, rserpool::IpAddress::Family::v6}) {
    PeView::Endpoint& first = family == rserpool::IpAddress::Family::v4 ? element.v4 : element.v6;
    size_t n = 0;
    for (const auto& address : element.pe.transport.addresses) {
      const bool known = std::any_of(element.paths.begin(), element.paths.end(),
                                     [&](const auto& path) { return path.address == address; });
      if (address.family() != family || known || n == PeWay::kMaxAddresses / 2) continue;
      ++n;
      PeView::Endpoint path{address, options_.resolve ? options_.resolve(address) : Route{}, kNoPeSlot};
      const PeIdentity identity = pe_identity(pool.handle, element.pe.id, address, element.pe.transport.port);
      by_hash_[{identity.pool[0], identity.pool[1]}] = &pool;
      path.slot = take_slot(before, identity);
      if (path.slot != kNoPeSlot) {
        slots.push_back(path.slot);
        set_route(path.slot, path.route);
        (*slots_)[path.slot].down.store(element.found_dead || element.operator_state == OperatorState::block,
                                        std::memory_order_relaxed);
        slots_->log(path.slot);
      }
      const bool has_route = path.route.next_hop != drivers::kNoNextHop;
      if (!first.address.is_set() || (has_route && first.route.next_hop == drivers::kNoNextHop)) first = path;
      element.paths.push_back(path);
    }
  }
  slots_->join(slots);
  for (const auto& path : before)
    if (path.slot != kNoPeSlot) release(path.slot, element.held ? &pool : nullptr);
}

// The one that it has for this address, or had, or a new one.
PeSlotIndex PoolTable::take_slot(std::vector<PeView::Endpoint>& before, const PeIdentity& identity) {
  for (auto& path : before)
    if (path.slot != kNoPeSlot && (*slots_)[path.slot].identity == identity)
      return std::exchange(path.slot, kNoPeSlot);
  const PeSlotIndex orphan = take_orphan(identity);
  return orphan != kNoPeSlot ? orphan : slots_->allocate(identity);
}

void PoolTable::unbind(Pool& pool, Element& element) {
  for (const auto& path : element.paths)
    if (path.slot != kNoPeSlot) release(path.slot, element.held ? &pool : nullptr);
}

void PoolTable::release(PeSlotIndex slot, Pool* held_for) {
  orphan_of_[(*slots_)[slot].identity] = orphans_.size();
  (*slots_)[slot].drained.store(false, std::memory_order_relaxed);
  orphans_.push_back({slot, 0});
  hold_orphan(orphans_.back(), held_for);
}

PeSlotIndex PoolTable::take_orphan(const PeIdentity& identity) {
  const auto found = orphan_of_.find(identity);
  if (found == orphan_of_.end()) return kNoPeSlot;
  const PeSlotIndex slot = orphans_[found->second].slot;
  forget_orphan(found->second);
  return slot;
}

// The last takes its place.
void PoolTable::forget_orphan(size_t at) {
  hold_orphan(orphans_[at], nullptr);
  (*slots_)[orphans_[at].slot].drained.store(false, std::memory_order_relaxed);
  const auto mine = orphan_of_.find((*slots_)[orphans_[at].slot].identity);
  if (mine != orphan_of_.end() && mine->second == at) orphan_of_.erase(mine);
  const size_t last = orphans_.size() - 1;
  if (at != last) {
    const auto moved = orphan_of_.find((*slots_)[orphans_[last].slot].identity);
    if (moved != orphan_of_.end() && moved->second == last) moved->second = at;
    orphans_[at] = orphans_[last];
  }
  orphans_.pop_back();
}

// `dies`: its sessions are to end, by the rules of their services.
void PoolTable::set_down(const Element& element, bool down, bool dies) {
  for (const auto& path : element.paths)
    if (path.slot != kNoPeSlot) set_down(path.slot, down, dies);
}

void PoolTable::set_down(PeSlotIndex index, bool down, bool dies) {
  PeSlot& slot = (*slots_)[index];
  if (dies) add(slot.deaths, 1);
  slot.down.store(down, std::memory_order_relaxed);
  slots_->log(index);
}

void PoolTable::revive(Element& element) {
  element.found_dead = false;
  element.held = false;
  element.by_prober = false;
  if (element.operator_state != OperatorState::block) set_down(element, false, false);
}

bool PoolTable::set_pe(rserpool::PoolHandleView handle, rserpool::PeId id, OperatorState state,
                       uint64_t now_us) {
  Pool* const known = find(handle);
  if (known == nullptr) return false;
  const auto it = known->elements.find(id);
  if (it == known->elements.end()) return false;
  Element& element = it->second;
  const bool was_blocked = element.operator_state == OperatorState::block;
  element.operator_state = state;
  if (state == OperatorState::block && !was_blocked) set_down(element, true, true);
  if (state != OperatorState::block && was_blocked) set_down(element, element.found_dead, false);
  mark_dirty(*known, now_us);
  return true;
}

void PoolTable::routes_changed(uint64_t now_us) {
  for (auto& [handle, pool] : pools_) {
    for (auto& [id, element] : pool->elements) bind(*pool, element);
    mark_dirty(*pool, now_us);
  }
  for (const Orphan& orphan : orphans_) {
    const auto address = (*slots_)[orphan.slot].identity.ip();
    set_route(orphan.slot, options_.resolve ? options_.resolve(address) : Route{});
  }
}

std::vector<PoolTable::PeName> PoolTable::elements_at(PeSlotIndex slot,
                                                      const rserpool::IpAddress& address) const {
  std::vector<PeName> found;
  for (const auto& [handle, pool] : pools_) {
    for (const auto& [id, element] : pool->elements) {
      const bool at = std::any_of(element.paths.begin(), element.paths.end(), [&](const auto& path) {
        return address.is_set() ? path.address == address : slot != kNoPeSlot && path.slot == slot;
      });
      if (at) found.push_back({handle, id, element.pe.registration});
    }
  }
  return found;
}

// ---- for show

std::vector<std::string> PoolTable::handles() const {
  std::vector<std::string> names;
  for (const auto& [handle, pool] : pools_) {
    if (!pool->elements.empty()) names.push_back(handle);
  }
  return names;
}

std::vector<PeView> PoolTable::elements(rserpool::PoolHandleView handle) const {
  std::vector<PeView> views;
  const Pool* const known = find(handle);
  if (known == nullptr) return views;
  for (const auto& [id, element] : known->elements) {
    PeView& view = views.emplace_back(as_view(element.pe));
    view.operator_state = element.operator_state;
    view.found_dead = element.found_dead;
    view.held = element.held;
    view.by_prober = element.by_prober;
    view.v4 = element.v4;
    view.v6 = element.v6;
    view.paths = element.paths;
  }
  return views;
}

rserpool::PolicyType PoolTable::policy(rserpool::PoolHandleView handle) const {
  const Pool* const known = find(handle);
  return known != nullptr ? known->policy : rserpool::PolicyType::round_robin;
}

}  // namespace poolgate::pool
