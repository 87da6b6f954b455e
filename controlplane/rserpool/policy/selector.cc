// SPDX-License-Identifier: BSD-3-Clause
#include "controlplane/rserpool/policy/selector.h"

#include <algorithm>
#include <limits>

namespace poolgate::rserpool {

namespace {

__extension__ using Wide = unsigned __int128;

// WRR runs on a virtual clock: an element of weight w has a turn every kRound / w. In each kRound every
// element has exactly `weight` turns, evenly spread. 2^40 leaves 8 bits to tell the turns of the greatest
// weights apart.
constexpr uint64_t kRound = uint64_t{1} << 40;
// The clock is set back before it can overflow.
constexpr uint64_t kLateClock = uint64_t{1} << 62;

std::variant<OrderedSet, UniformSet, WeightTree> make_set(SelectionMethod method) {
  switch (method) {
    case SelectionMethod::uniform_random:
      return UniformSet{};
    case SelectionMethod::weighted_random:
      return WeightTree{};
    default:
      return OrderedSet{};
  }
}

}  // namespace

Selector::Selector(PolicyType type, uint64_t seed)
    : type_(type),
      method_(selection_method(type).value_or(SelectionMethod::ordered)),
      degrades_(counts_degradation(type)),
      set_(make_set(method_)),
      random_(seed) {}

Selector::Selector(PolicyType type, uint64_t seed, std::span<const SelectorElement> elements)
    : Selector(type, seed) {
  reserve(elements.size());
  for (const SelectorElement& element : elements) add(element);
}

void Selector::reserve(size_t n) {
  elements_.reserve(n);
  std::visit([n](auto& set) { set.reserve(n); }, set_);
}

Slot Selector::add(const SelectorElement& element) {
  Slot slot;
  if (free_slots_.empty()) {
    slot = static_cast<Slot>(elements_.size());
    elements_.emplace_back();
  } else {
    slot = free_slots_.back();
    free_slots_.pop_back();
  }
  Element& added = elements_[slot];
  added = Element{};
  added.id = element.id;
  added.registration = element.registration;
  added.settings = element.policy;
  added.settings.type = type_;
  added.item = element.item;
  added.used = true;
  ++size_;
  if (auto* set = std::get_if<OrderedSet>(&set_)) set->set_item(slot, element.item);
  enter(slot);
  return slot;
}

void Selector::update(Slot slot, uint32_t registration, const PolicySettings& settings) {
  Element& element = elements_[slot];
  const PolicySettings before = element.settings;
  const uint32_t degradations_before = element.degradations;
  element.registration = registration;
  element.settings = settings;
  element.settings.type = type_;
  std::atomic_ref<uint32_t>(element.degradations).store(0, std::memory_order_relaxed);
  if (element.aside) return;

  switch (method_) {
    case SelectionMethod::ordered:
      if (selection_key(element.settings, 0) != selection_key(before, degradations_before)) {
        ordered().erase(slot);
        enter(slot);
      }
      return;
    case SelectionMethod::weighted_round_robin: {
      const uint32_t weight = selection_weight(element.settings, 0);
      const uint32_t old_weight = selection_weight(before, 0);
      if (weight == old_weight) return;
      if (weight == 0 || old_weight == 0) {
        if (old_weight != 0) ordered().erase(slot);
        enter(slot);
        return;
      }
      // What it still had to wait shrinks or grows as its interval does.
      const uint64_t key = ordered().key(slot);
      const uint64_t wait = key > now_ ? key - now_ : 0;
      ordered().erase(slot);
      element.remainder = 0;
      enter_turn(slot, static_cast<uint64_t>(static_cast<Wide>(wait) * old_weight / weight));
      return;
    }
    case SelectionMethod::uniform_random:
      return;
    case SelectionMethod::weighted_random:
      enter(slot);
      return;
  }
}

void Selector::remove(Slot slot) {
  Element& element = elements_[slot];
  if (element.aside) {
    --aside_;
  } else {
    leave(slot);
  }
  element = Element{};
  --size_;
  free_slots_.push_back(slot);
}

void Selector::set_aside(Slot slot) {
  Element& element = elements_[slot];
  if (element.aside) return;
  leave(slot);
  element.aside = true;
  ++aside_;
}

void Selector::readmit() {
  for (Slot slot = 0; slot < elements_.size() && aside_ != 0; ++slot) {
    if (!elements_[slot].aside) continue;
    elements_[slot].aside = false;
    --aside_;
    enter(slot);
  }
}

void Selector::add_degradations(Slot slot, uint32_t n) {
  if (degrades_) degrade(slot, n, true);
}

void Selector::adopt(const Selector& previous) {
  random_ = previous.random_;
  if (previous.type_ != type_) return;
  const bool is_ordered = std::holds_alternative<OrderedSet>(set_);
  // The successor of an old element, by its id.
  const auto successor = [this](const Element& old) -> Slot {
    const auto at = std::lower_bound(elements_.begin(), elements_.end(), old.id,
                                     [](const Element& element, PeId id) { return element.id < id; });
    if (at == elements_.end() || at->id != old.id) return kNoSlot;
    return static_cast<Slot>(at - elements_.begin());
  };
  if (!is_ordered) {
    if (!degrades_) return;
    for (const Element& old : previous.elements_) {
      const Slot slot = old.used && old.degradations != 0 ? successor(old) : kNoSlot;
      if (slot == kNoSlot || elements_[slot].registration != old.registration) continue;
      elements_[slot].degradations = old.degradations;
      enter(slot);
    }
    return;
  }

  // Those that were there come first, in their old order; then the new ones.
  now_ = previous.now_;
  for (Slot slot = 0; slot < elements_.size(); ++slot) {
    if (ordered().contains(slot)) ordered().erase(slot);
  }
  for (OrderedSet::Walk walk(previous.ordered()); walk.slot() != kNoSlot; walk.advance()) {
    const Slot at = walk.slot();
    const Element& old = previous.elements_[at];
    const Slot slot = successor(old);
    if (slot == kNoSlot) continue;
    Element& element = elements_[slot];
    if (element.registration == old.registration) element.degradations = old.degradations;
    if (method_ == SelectionMethod::weighted_round_robin &&
        selection_weight(element.settings, 0) == old.settings.weight) {
      element.remainder = old.remainder;
      ordered().insert(slot, previous.ordered().key(at));
    } else {
      enter(slot);
    }
  }
  // An old element that was set aside has no place any more, but its degradations count.
  for (const Element& old : previous.elements_) {
    const Slot slot = old.aside ? successor(old) : kNoSlot;
    if (slot == kNoSlot || elements_[slot].registration != old.registration) continue;
    elements_[slot].degradations = old.degradations;
  }
  for (Slot slot = 0; slot < elements_.size(); ++slot) {
    if (!ordered().contains(slot)) enter(slot);
  }
}

void Selector::enter(Slot slot) {
  Element& element = elements_[slot];
  switch (method_) {
    case SelectionMethod::ordered:
      ordered().insert(slot, selection_key(element.settings, element.degradations));
      return;
    case SelectionMethod::weighted_round_robin: {
      const uint32_t weight = selection_weight(element.settings, 0);
      if (weight == 0) return;
      element.remainder = static_cast<uint32_t>((kRound / 2) % weight);
      enter_turn(slot, (kRound / 2) / weight);
      return;
    }
    case SelectionMethod::uniform_random:
      uniform().insert(slot);
      return;
    case SelectionMethod::weighted_random:
      weights().set(slot, selection_weight(element.settings, element.degradations));
      return;
  }
}

void Selector::leave(Slot slot) {
  switch (method_) {
    case SelectionMethod::ordered:
    case SelectionMethod::weighted_round_robin:
      if (ordered().contains(slot)) ordered().erase(slot);  // not if its weight is 0
      return;
    case SelectionMethod::uniform_random:
      uniform().erase(slot);
      return;
    case SelectionMethod::weighted_random:
      weights().set(slot, 0);
      return;
  }
}

void Selector::used_in_order(std::span<const Slot> listed) {
  if (degrades_) {
    // The head last, so that it comes behind its equals (RFC 5356 §5.2.2: turns as in LU), however many of
    // them are listed.
    for (const Slot slot : listed.subspan(1)) degrade(slot, 1, false);
    degrade(listed.front(), 1, true);
  } else if (method_ == SelectionMethod::weighted_round_robin) {
    next_turn(listed.front());
  } else {
    ordered().rotate(listed.front());
  }
}

// `turn`: where its key stays as it is, it goes behind its equals all the same.
void Selector::degrade(Slot slot, uint32_t n, bool turn) {
  Element& element = elements_[slot];
  const uint32_t before = element.degradations;
  const uint32_t after =
      n > std::numeric_limits<uint32_t>::max() - before ? std::numeric_limits<uint32_t>::max() : before + n;
  std::atomic_ref<uint32_t>(element.degradations).store(after, std::memory_order_relaxed);
  if (element.aside) return;
  if (method_ == SelectionMethod::weighted_random) {
    enter(slot);
  } else if (selection_key(element.settings, after) == ordered().key(slot)) {
    if (turn) ordered().rotate(slot);
  } else {
    ordered().erase(slot);
    enter(slot);
  }
}

void Selector::enter_turn(Slot slot, uint64_t wait) { ordered().insert(slot, now_ + wait); }

void Selector::next_turn(Slot slot) {
  Element& element = elements_[slot];
  const uint32_t weight = element.settings.weight;
  uint64_t key = ordered().key(slot);
  now_ = key;
  if (now_ >= kLateClock) {
    ordered().lower_keys(now_);  // it is the first: no other key is smaller
    key = now_ = 0;
  }
  uint64_t remainder = element.remainder + kRound % weight;
  key += kRound / weight;
  if (remainder >= weight) {
    remainder -= weight;
    ++key;
  }
  element.remainder = static_cast<uint32_t>(remainder);
  ordered().erase(slot);
  ordered().insert(slot, key);
}

void Selector::restart_lists() {
  for (Element& element : elements_) element.remainder = 0;
  list_ = 1;
}

}  // namespace poolgate::rserpool
