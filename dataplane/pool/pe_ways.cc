// SPDX-License-Identifier: BSD-3-Clause
#include "dataplane/pool/pe_ways.h"

#include <algorithm>
#include <array>
#include <optional>
#include <type_traits>
#include <utility>

#include "dataplane/pool/pe_slot.h"

namespace poolgate::pool {
namespace {

constexpr auto kRelaxed = std::memory_order_relaxed;
constexpr auto kRelease = std::memory_order_release;

// The slots of a PE, as one of them lists them.
struct Siblings {
  explicit Siblings(const PeWay& way) {
    for (const auto& entry : way.all) {
      const PeSlotIndex slot = entry.load(std::memory_order_acquire);
      if (slot == kNoPeSlot) break;
      slots[n++] = slot;
    }
  }
  std::array<PeSlotIndex, PeWay::kMaxAddresses> slots{};
  size_t n = 0;
  const PeSlotIndex* begin() const { return slots.data(); }
  const PeSlotIndex* end() const { return slots.data() + n; }
  bool has(PeSlotIndex slot) const { return std::find(begin(), end(), slot) != end(); }
};

// True: it was another value.
template <class T>
bool put(std::atomic<T>& to, std::type_identity_t<T> value) {
  if (to.load(kRelaxed) == value) return false;
  to.store(value, kRelease);
  return true;
}

void list(PeWay& way, std::span<const PeSlotIndex> slots) {
  for (size_t i = 0; i < PeWay::kMaxAddresses; ++i)
    way.all[i].store(i < slots.size() ? slots[i] : kNoPeSlot, kRelease);
}

}  // namespace

unsigned PeSlots::siblings(PeSlotIndex slot, PeSlotIndex (&all)[PeWay::kMaxAddresses]) const {
  const Siblings found(ways_[slot]);
  std::copy(found.begin(), found.end(), all);
  return static_cast<unsigned>(found.n);
}

bool PeSlots::same_pe(PeSlotIndex a, PeSlotIndex b) const { return a == b || Siblings(ways_[a]).has(b); }

// ---- main lcore

void PeSlots::alone(PeSlotIndex slot) {
  PeWay& way = ways_[slot];
  list(way, {&slot, 1});
  for (auto& entry : way.by_vip) entry.store(slot, kRelease);
  way.via.store(slot, kRelease);
  way.lost.store(false, kRelease);
  way.next_hop.store(slots_[slot].next_hop.load(kRelaxed), kRelease);
}

// A slot begins to be used.
void PeSlots::enter(PeSlotIndex slot) {
  const rserpool::IpAddress address = slots_[slot].identity.ip();
  by_address_.emplace(address, slot);
  const auto known = verdicts_.find(address);
  paths_[slot] = {false, known != verdicts_.end() ? known->second : AddressVerdict{}};
  paths_[slot].verdict.no_route = true;
  ways_[slot].dead.store(true, kRelaxed);
  alone(slot);
}

// The others of its PE forget it.
void PeSlots::leave(PeSlotIndex slot) {
  const Siblings all(ways_[slot]);
  if (all.n < 2) return;
  std::array<PeSlotIndex, PeWay::kMaxAddresses> rest;
  size_t n = 0;
  for (const PeSlotIndex other : all)
    if (other != slot) rest[n++] = other;
  alone(slot);
  const std::span<const PeSlotIndex> left(rest.data(), n);
  for (const PeSlotIndex other : left) list(ways_[other], left);
  find_ways(left);
  find_ways({&slot, 1});
}

void PeSlots::join(std::span<const PeSlotIndex> slots) {
  slots = slots.first(std::min<size_t>(slots.size(), PeWay::kMaxAddresses));
  for (const PeSlotIndex slot : slots) {
    const Siblings now(ways_[slot]);
    const bool same = std::all_of(now.begin(), now.end(), [&](PeSlotIndex other) {
      return std::find(slots.begin(), slots.end(), other) != slots.end();
    });
    if (!same) leave(slot);
  }
  for (const PeSlotIndex slot : slots) list(ways_[slot], slots);
  find_ways(slots);
}

// `all`: a PE's slots, in order. What each of them stands for follows from what is known of all.
void PeSlots::find_ways(std::span<const PeSlotIndex> all) {
  const auto routed = [&](PeSlotIndex i) { return !paths_[i].verdict.no_route; };
  const auto live = [&](PeSlotIndex i) { return !paths_[i].verdict.dead(); };
  const auto family = [&](PeSlotIndex i) { return slots_[i].identity.family; };
  for (size_t at = 0; at < all.size(); ++at) {
    const PeSlotIndex slot = all[at];
    PeWay& way = ways_[slot];
    // One without a route is on the kind of link that the first with one is on.
    bool on_link = paths_[slot].on_link;
    if (!routed(slot)) {
      const auto first = std::find_if(all.begin(), all.end(),
                                      [&](PeSlotIndex i) { return family(i) == family(slot) && routed(i); });
      if (first != all.end()) on_link = paths_[*first].on_link;
    }
    std::array<PeSlotIndex, PeWay::kMaxAddresses> of_kind;
    size_t n = 0;
    for (const PeSlotIndex i : all)
      if (family(i) == family(slot) && routed(i) && paths_[i].on_link == on_link) of_kind[n++] = i;
    if (n == 0) of_kind[n++] = slot;
    for (size_t vip = 0; vip < PeWay::kVips; ++vip) way.by_vip[vip].store(of_kind[vip % n], kRelease);

    // The next live one after it: of its family, and on-link as it is, if there is one.
    std::optional<PeSlotIndex> any, kin, neighbour;
    for (size_t step = 1; step < all.size(); ++step) {
      const PeSlotIndex other = all[(at + step) % all.size()];
      if (!live(other)) continue;
      if (!any) any = other;
      if (!kin && family(other) == family(slot)) kin = other;
      const bool better = !neighbour || (family(*neighbour) != family(slot) && family(other) == family(slot));
      if (paths_[other].on_link && better) neighbour = other;
    }
    const bool dead = !live(slot);
    const PeSlotIndex tunnel = kin ? *kin : any.value_or(slot);
    const drivers::NextHopIndex own = slots_[slot].next_hop.load(kRelaxed);
    const drivers::NextHopIndex direct = dead && neighbour ? slots_[*neighbour].next_hop.load(kRelaxed) : own;
    bool changed = put(way.via, dead ? tunnel : slot);
    changed |= put(way.next_hop, direct);
    changed |= put(way.dead, dead);
    const bool lost = kin.has_value() && paths_[slot].verdict.found_dead();
    if (std::exchange(paths_[slot].lost, lost) != lost)
      changed |= put(way.lost, lost && !(guard_ && guard_(slot)));
    if (changed) log(slot);
  }
}

bool PeSlots::end_held(PeSlotIndex slot) {
  if (!holds(slot)) return false;
  ways_[slot].lost.store(true, kRelease);
  log(slot);
  return true;
}

void PeSlots::set_route(PeSlotIndex slot, drivers::NextHopIndex next_hop, bool on_link, bool unreachable) {
  const drivers::NextHopIndex before = slots_[slot].next_hop.load(kRelaxed);
  const bool no_route = next_hop == drivers::kNoNextHop;
  if (before != next_hop) by_next_hop_.erase({before, slot});
  if (!no_route) by_next_hop_.emplace(next_hop, slot);
  slots_[slot].next_hop.store(next_hop, kRelaxed);
  paths_[slot].on_link = on_link;
  paths_[slot].verdict.no_route = no_route;
  paths_[slot].verdict.neighbour = unreachable;
  const Siblings all(ways_[slot]);
  find_ways({all.begin(), all.n});
  if (before != next_hop) log(slot);
}

template <class Change>
unsigned PeSlots::change_verdict(PeSlotIndex slot, Change&& change) {
  AddressVerdict& verdict = paths_[slot].verdict;
  const bool before = verdict.dead();
  change(verdict);
  if (verdict.dead() == before) return 0;
  const Siblings all(ways_[slot]);
  find_ways({all.begin(), all.n});
  return 1;
}

template <class Change>
unsigned PeSlots::change_verdicts(const rserpool::IpAddress& address, Change&& change) {
  AddressVerdict& kept = verdicts_[address];
  change(kept);
  if (kept == AddressVerdict{}) verdicts_.erase(address);
  unsigned changed = 0;
  for (auto at = by_address_.lower_bound({address, 0}); at != by_address_.end() && at->first == address; ++at)
    changed += change_verdict(at->second, change);
  return changed;
}

unsigned PeSlots::sctp_path_is(const rserpool::IpAddress& address, bool down) {
  return change_verdicts(address, [down](AddressVerdict& verdict) { verdict.sctp_path = down; });
}

unsigned PeSlots::prober_says(const rserpool::IpAddress& address, AddressVerdict::Prober now) {
  return change_verdicts(address, [now](AddressVerdict& verdict) { verdict.prober = now; });
}

unsigned PeSlots::neighbour_is(drivers::NextHopIndex next_hop, bool unreachable) {
  unsigned changed = 0;
  for (auto at = by_next_hop_.lower_bound({next_hop, 0}); at != by_next_hop_.end() && at->first == next_hop;
       ++at)
    changed += change_verdict(at->second,
                              [unreachable](AddressVerdict& verdict) { verdict.neighbour = unreachable; });
  return changed;
}

}  // namespace poolgate::pool
