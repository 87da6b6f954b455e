// SPDX-License-Identifier: BSD-3-Clause
// Selection among the elements of one pool: what the registrar resolves by and what workers redirect by.
//
// A Selector is private to one thread. It is built once from a list (a pool generation: slot i is element i)
// or kept up to date element by element (the handlespace). A pick costs O(1) (RR, LU, PLU, PRIO, RAND) or
// O(log n) (the others) and does not allocate. State (rotation, turns of WRR, degradations) goes to a
// successor by adopt().
#pragma once

#include <atomic>
#include <cstdint>
#include <span>
#include <variant>
#include <vector>

#include "controlplane/rserpool/policy/ordered_set.h"
#include "controlplane/rserpool/policy/policy_rules.h"
#include "controlplane/rserpool/policy/random.h"
#include "controlplane/rserpool/policy/uniform_set.h"
#include "controlplane/rserpool/policy/weight_tree.h"
#include "controlplane/rserpool/types.h"

namespace poolgate::rserpool {

// Position of an element within its selector: stable from add() to remove().
using Slot = uint32_t;
inline constexpr Slot kNoSlot = 0xffffffff;

struct SelectorElement {
  PeId id = 0;
  uint32_t registration = 0;  // counts registrations of this PE: another value resets its degradation
  PolicySettings policy;      // its `type` is ignored: the pool's counts
  uint32_t item = 0;          // the caller's own number of it, see to_items()
};

class Selector {
 public:
  // An unknown policy selects as RR does. The same seed gives the same random picks.
  Selector(PolicyType type, uint64_t seed);
  // For a pool generation: element i gets slot i. Allocates all that picks will ever need.
  Selector(PolicyType type, uint64_t seed, std::span<const SelectorElement> elements);

  PolicyType type() const { return type_; }
  size_t size() const { return size_; }

  // Room for `n` elements: nothing allocates until there are more.
  void reserve(size_t n);
  // O(log n). It comes last in RR and among its equals; in WRR it has its first turn after half its interval.
  Slot add(const SelectorElement& element);
  // A re-registration: degradation goes back to 0. The place in the rotation stays if the key does.
  void update(Slot slot, uint32_t registration, const PolicySettings& settings);
  void remove(Slot slot);

  PeId id(Slot slot) const { return elements_[slot].id; }
  uint32_t registration(Slot slot) const { return elements_[slot].registration; }
  const PolicySettings& settings(Slot slot) const { return elements_[slot].settings; }

  // One element; it counts as used. kNoSlot if there is none to select.
  Slot pick() {
    return pick([](Slot) { return true; });
  }
  // The same among those for which eligible(slot) is true. One found ineligible is set aside and costs later
  // picks nothing; when elements may have become eligible again, call readmit().
  template <class Eligible>
  Slot pick(Eligible&& eligible) {
    Slot slot = kNoSlot;
    select({&slot, 1}, eligible);
    return slot;
  }

  // Up to out.size() different elements in the order that the policy demands; returns how many. The first
  // counts as used (RFC 5356 §4.1.2: the head advances by one); in policies with degradation all listed do
  // (§5.2.2). Elements of weight 0 are never listed (§3.2).
  size_t select(std::span<Slot> out) {
    return select(out, [](Slot) { return true; });
  }
  template <class Eligible>
  size_t select(std::span<Slot> out, Eligible&& eligible) {
    switch (method_) {
      case SelectionMethod::ordered:
      case SelectionMethod::weighted_round_robin:
        return select_ordered(out, eligible);
      case SelectionMethod::uniform_random:
        return select_uniform(out, eligible);
      case SelectionMethod::weighted_random:
        return select_weighted(out, eligible);
    }
    return 0;
  }

  // Replaces each slot by its item.
  void to_items(std::span<uint32_t> slots) const {
    if (const auto* set = std::get_if<OrderedSet>(&set_)) {
      for (uint32_t& slot : slots) slot = set->item(slot);
    } else {
      for (uint32_t& slot : slots) slot = elements_[slot].item;
    }
  }

  // Takes an element out of selection until readmit().
  void set_aside(Slot slot);
  // Puts all that were set aside back. O(n).
  void readmit();
  size_t set_aside_count() const { return aside_; }

  // Selections since the registration, those of add_degradations() included; 0 for policies without
  // degradation. Any thread may ask while the owner selects.
  uint32_t degradations(Slot slot) const {
    return std::atomic_ref<uint32_t>(const_cast<uint32_t&>(elements_[slot].degradations))
        .load(std::memory_order_relaxed);
  }
  // Selections made elsewhere, counted as if made here. The owner's.
  void add_degradations(Slot slot, uint32_t n);

  // Takes over the state of the selector that this one, freshly built, replaces: the rotation and the turns
  // of PEs of the same id, and the degradations if the registration is the same too. This one's elements must
  // have been given in ascending order of id. Allocates nothing. O(n log n).
  void adopt(const Selector& previous);

 private:
  struct Element {
    PeId id = 0;
    uint32_t registration = 0;
    PolicySettings settings;
    uint32_t degradations = 0;
    uint32_t remainder =
        0;  // WRR: of the division that gave its turn; else the list that it was drawn in last
    uint32_t item = 0;
    bool used = false;
    bool aside = false;
  };

  template <class Eligible>
  size_t select_ordered(std::span<Slot> out, Eligible& eligible);
  template <class Eligible>
  size_t select_uniform(std::span<Slot> out, Eligible& eligible);
  template <class Eligible>
  size_t select_weighted(std::span<Slot> out, Eligible& eligible);
  template <class Eligible>
  size_t select_of_few_weights(std::span<Slot> out, Eligible& eligible);

  static constexpr size_t kFewWeights = 64;

  OrderedSet& ordered() { return *std::get_if<OrderedSet>(&set_); }
  const OrderedSet& ordered() const { return *std::get_if<OrderedSet>(&set_); }
  UniformSet& uniform() { return *std::get_if<UniformSet>(&set_); }
  WeightTree& weights() { return *std::get_if<WeightTree>(&set_); }

  void enter(Slot slot);  // into the set, by its settings
  void leave(Slot slot);
  void used_in_order(std::span<const Slot> listed);
  void degrade(Slot slot, uint32_t n, bool turn);
  void enter_turn(Slot slot, uint64_t wait);
  void next_turn(Slot slot);
  void restart_lists();

  PolicyType type_;
  SelectionMethod method_;
  bool degrades_;
  std::variant<OrderedSet, UniformSet, WeightTree> set_;
  uint32_t list_ = 0;  // number of the list being drawn
  size_t size_ = 0;
  size_t aside_ = 0;
  uint64_t now_ = 0;  // WRR: the turn that was taken last
  Random random_;
  std::vector<Element> elements_;
  std::vector<Slot> free_slots_;
};

template <class Eligible>
size_t Selector::select_ordered(std::span<Slot> out, Eligible& eligible) {
  size_t n = 0;
  OrderedSet::Walk walk(ordered());
  while (walk.slot() != kNoSlot && n < out.size()) {
    const Slot slot = walk.slot();
    walk.advance();
    if (eligible(slot)) {
      out[n++] = slot;
    } else {
      set_aside(slot);
    }
  }
  if (n != 0) used_in_order(out.first(n));
  return n;
}

template <class Eligible>
size_t Selector::select_uniform(std::span<Slot> out, Eligible& eligible) {
  UniformSet& set = uniform();
  size_t n = 0;
  while (n < out.size() && n < set.size()) {
    const Slot slot = set.draw(n, random_);
    if (eligible(slot)) {
      out[n++] = slot;
    } else {
      set_aside(slot);
    }
  }
  return n;
}

// Without replacement. While what is listed weighs little, an element that comes up again is drawn anew; when
// that begins to cost, the listed are taken out of the tree until the list is complete.
template <class Eligible>
size_t Selector::select_weighted(std::span<Slot> out, Eligible& eligible) {
  if (out.size() > 1 && elements_.size() <= kFewWeights) return select_of_few_weights(out, eligible);
  WeightTree& tree = weights();
  if (++list_ == 0) restart_lists();
  size_t n = 0;
  size_t taken_out = 0;
  uint64_t listed = 0;  // weight of those listed and still in the tree
  while (n < out.size() && tree.total() > listed) {
    if (listed > tree.total() / 2) {
      for (; taken_out < n; ++taken_out) tree.set(out[taken_out], 0);
      listed = 0;
      continue;
    }
    const Slot slot = tree.find(random_.below(tree.total()));
    Element& element = elements_[slot];
    if (element.remainder == list_) continue;
    if (!eligible(slot)) {
      set_aside(slot);
      continue;
    }
    element.remainder = list_;
    listed += tree.weight(slot);
    out[n++] = slot;
  }
  for (size_t i = 0; i < taken_out; ++i) enter(out[i]);
  if (degrades_) {
    for (const Slot slot : out.first(n)) degrade(slot, 1, true);
  }
  return n;
}

// The same where the pool is so small that to go through it costs less than its tree.
template <class Eligible>
size_t Selector::select_of_few_weights(std::span<Slot> out, Eligible& eligible) {
  uint32_t weight[kFewWeights];
  Slot slots[kFewWeights];
  size_t left = 0;
  uint64_t total = 0;
  for (Slot slot = 0; slot < elements_.size(); ++slot) {
    weight[left] = weights().weight(slot);
    slots[left] = slot;
    total += weight[left];
    left += weight[left] != 0;
  }
  size_t n = 0;
  while (n < out.size() && left != 0) {
    uint64_t point = random_.below(total);
    size_t at = 0;
    while (point >= weight[at]) point -= weight[at++];
    const Slot slot = slots[at];
    total -= weight[at];
    --left;
    weight[at] = weight[left];
    slots[at] = slots[left];
    if (eligible(slot)) {
      out[n++] = slot;
    } else {
      set_aside(slot);
    }
  }
  if (degrades_) {
    for (const Slot slot : out.first(n)) degrade(slot, 1, true);
  }
  return n;
}

}  // namespace poolgate::rserpool
