// SPDX-License-Identifier: BSD-3-Clause
#include "dataplane/pool/pool_table.h"

#include <algorithm>

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

// Registrations are counted in 32 bits, which may wrap.
bool newer(uint32_t a, uint32_t b) { return static_cast<int32_t>(a - b) > 0; }

}  // namespace

PoolTable::PoolTable(PoolTableOptions options) : options_(std::move(options)) {}

Result<std::unique_ptr<PoolTable>> PoolTable::create(PoolTableOptions options) {
  auto slots = PeSlots::open(options.slot_file, options.max_elements, options.workers);
  if (!slots) return slots.error();
  std::unique_ptr<PoolTable> table(new PoolTable(std::move(options)));
  table->slots_ = std::move(*slots);
  // Sessions of a former process still point at these: they go on to be redirected, and the slots are taken
  // over by their PEs when the registrar names them again.
  for (PeSlotIndex i : table->slots_->attached()) {
    PeSlot& slot = (*table->slots_)[i];
    const auto address = slot.identity.family == 6 ? rserpool::IpAddress::v6(slot.identity.address)
                                                   : rserpool::IpAddress::v4(slot.identity.address);
    const Route route = table->options_.resolve ? table->options_.resolve(address) : Route{};
    slot.next_hop.store(route.next_hop, std::memory_order_relaxed);
    table->slots_->log(i);
    table->release(i);
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
      if (!element.found_dead) set_down(element, true, !registrar_guard_);
      element.found_dead = true;
    }
  }
  for (auto& [id, gone] : old) unbind(gone);
}

void PoolTable::abandon_transaction() { transaction_.reset(); }

// ---- elements and their slots

void PoolTable::bind(const Pool& pool, Element& element) {
  bind_family(pool, element, rserpool::IpAddress::Family::v4);
  bind_family(pool, element, rserpool::IpAddress::Family::v6);
}

// Takes the first address of the family that has a route, else the first.
void PoolTable::bind_family(const Pool& pool, Element& element, rserpool::IpAddress::Family family) {
  PeView::Endpoint found;
  for (const auto& address : element.pe.transport.addresses) {
    if (address.family() != family) continue;
    const Route route = options_.resolve ? options_.resolve(address) : Route{};
    if (!found.address.is_set() || route.next_hop != drivers::kNoNextHop) found = {address, route, kNoPeSlot};
    if (route.next_hop != drivers::kNoNextHop) break;
  }
  PeView::Endpoint& now = family == rserpool::IpAddress::Family::v4 ? element.v4 : element.v6;
  const uint16_t port = element.pe.transport.port;
  if (found.address.is_set()) {
    const PeIdentity identity = pe_identity(pool.handle, element.pe.id, found.address, port);
    if (now.slot != kNoPeSlot && (*slots_)[now.slot].identity == identity) {
      found.slot = now.slot;
    } else {
      found.slot = take_orphan(identity);
      if (found.slot == kNoPeSlot) found.slot = slots_->allocate(identity);
    }
  }
  if (now.slot != kNoPeSlot && now.slot != found.slot) release(now.slot);
  now = found;
  if (now.slot == kNoPeSlot) return;
  PeSlot& slot = (*slots_)[now.slot];
  slot.next_hop.store(now.route.next_hop, std::memory_order_relaxed);
  slot.down.store(element.found_dead || element.operator_state == OperatorState::block,
                  std::memory_order_relaxed);
  slots_->log(now.slot);
}

void PoolTable::unbind(Element& element) {
  if (element.v4.slot != kNoPeSlot) release(element.v4.slot);
  if (element.v6.slot != kNoPeSlot) release(element.v6.slot);
}

void PoolTable::release(PeSlotIndex slot) {
  orphan_of_[(*slots_)[slot].identity] = orphans_.size();
  orphans_.push_back({slot, 0});
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
  for (const PeSlotIndex i : {element.v4.slot, element.v6.slot}) {
    if (i == kNoPeSlot) continue;
    PeSlot& slot = (*slots_)[i];
    if (dies) add(slot.deaths, 1);
    slot.down.store(down, std::memory_order_relaxed);
    slots_->log(i);
  }
}

void PoolTable::revive(Element& element) {
  element.found_dead = false;
  element.held = false;
  element.by_prober = false;
  if (element.operator_state != OperatorState::block) set_down(element, false, false);
}

// ---- death

bool PoolTable::pe_down(const channel::PeDown& message, uint64_t now_us, Finder finder) {
  Pool* const known = find(message.handle);
  if (known == nullptr) return false;
  const auto it = known->elements.find(message.pe_id);
  if (it == known->elements.end() || newer(it->second.pe.registration, message.registration)) return false;
  Element& element = it->second;
  const bool fresh = !element.found_dead;
  if (fresh || finder == Finder::registrar) element.by_prober = finder == Finder::prober;
  if (fresh) die(*known, element, now_us);
  return true;
}

bool PoolTable::guarded(Pool& pool, size_t elements, uint64_t now_us) {
  auto& deaths = pool.deaths_us;
  const uint64_t window = uint64_t{pool.guard.window_ms} * 1000;
  while (!deaths.empty() && deaths.front() + window < now_us) deaths.pop_front();
  deaths.push_back(now_us);
  pool.guard_active = registrar_guard_ ||
                      static_cast<double>(deaths.size()) > pool.guard.share * static_cast<double>(elements);
  return pool.guard_active;
}

void PoolTable::die(Pool& pool, Element& element, uint64_t now_us) {
  const bool guard = guarded(pool, pool.elements.size(), now_us);
  element.found_dead = true;
  element.held = guard;
  set_down(element, true, !guard);
  mark_dirty(pool, now_us);
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

bool PoolTable::left_dead(rserpool::PoolHandleView handle, PeSlotIndex slot, const PeIdentity& identity,
                          uint64_t now_us) {
  const auto orphan = orphan_of_.find(identity);
  if (orphan == orphan_of_.end() || orphans_[orphan->second].slot != slot) return false;
  Pool& left = pool(handle);
  if (guarded(left, left.elements.size() + 1, now_us)) return false;
  PeSlot& gone = (*slots_)[slot];
  add(gone.deaths, 1);
  gone.down.store(true, std::memory_order_relaxed);
  slots_->log(slot);
  return true;
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
    PeSlot& slot = (*slots_)[orphan.slot];
    const auto address = slot.identity.family == 6 ? rserpool::IpAddress::v6(slot.identity.address)
                                                   : rserpool::IpAddress::v4(slot.identity.address);
    slot.next_hop.store(options_.resolve ? options_.resolve(address).next_hop : drivers::kNoNextHop,
                        std::memory_order_relaxed);
    slots_->log(orphan.slot);
  }
}

std::vector<PoolTable::PeName> PoolTable::elements_at(PeSlotIndex slot,
                                                      const rserpool::IpAddress& address) const {
  std::vector<PeName> found;
  for (const auto& [handle, pool] : pools_) {
    for (const auto& [id, element] : pool->elements) {
      for (const PeView::Endpoint* endpoint : {&element.v4, &element.v6}) {
        const bool at =
            address.is_set() ? endpoint->address == address : slot != kNoPeSlot && endpoint->slot == slot;
        if (at) found.push_back({handle, id, element.pe.registration});
      }
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
  }
  return views;
}

bool PoolTable::guard_active(rserpool::PoolHandleView handle) const {
  const Pool* const known = find(handle);
  return known != nullptr && known->guard_active;
}

rserpool::PolicyType PoolTable::policy(rserpool::PoolHandleView handle) const {
  const Pool* const known = find(handle);
  return known != nullptr ? known->policy : rserpool::PolicyType::round_robin;
}

}  // namespace poolgate::pool
