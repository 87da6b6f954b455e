// SPDX-License-Identifier: BSD-3-Clause
// Deadlines of many elements in milliseconds: setting, clearing and taking the next are O(1) (a timer moves
// at most once a level, of which there are 8). The nodes lie in the elements: `nodes(index)` gives a
// TimerNode&.
#pragma once

#include <array>
#include <bit>
#include <cstdint>
#include <optional>

namespace poolgate::rserpool {

// Milliseconds of whatever steady clock the caller has; only compared and counted on.
using TimeMs = uint64_t;
inline constexpr TimeMs kNever = UINT64_MAX;

struct TimerNode {
  TimeMs due = kNever;
  uint32_t previous = 0;
  uint32_t next = 0;
};

class TimerWheel {
 public:
  static constexpr uint32_t kNone = 0xffffffff;

  explicit TimerWheel(TimeMs now = 0) : now_(now) {
    for (auto& level : heads_) level.fill(kNone);
  }

  // kNever clears it. To put off a deadline that is set costs a store: the wheel finds out when the old one
  // comes.
  template <class Nodes>
  void set(Nodes&& nodes, uint32_t index, TimeMs due) {
    if (due > kHorizon && due != kNever) due = kHorizon;
    TimerNode& node = nodes(index);
    if (node.due != kNever) {
      if (due >= node.due && due != kNever) {
        node.due = due;
        return;
      }
      unlink(nodes, node);
    }
    node.due = due;
    if (due != kNever) link(nodes, index, node);
  }

  // The next element whose deadline is not after `now`, its timer cleared; kNone: no more. In order of
  // deadlines.
  template <class Nodes>
  uint32_t take_due(Nodes&& nodes, TimeMs now) {
    for (;;) {
      const std::optional<TimeMs> event = next_event();
      if (!event || *event > now) {
        if (now > now_ && now != kNever) now_ = now;
        return kNone;
      }
      now_ = *event;
      const Place place = earliest();
      const uint32_t index = heads_[place.level][place.slot];
      TimerNode& node = nodes(index);
      unlink(nodes, node);
      if (node.due <= now_) {
        node.due = kNever;
        return index;
      }
      link(nodes, index, node);
    }
  }

  // Not after the next deadline (and not long before it): when to ask take_due() again. nullopt: nothing is
  // set.
  std::optional<TimeMs> next_event() const {
    if (levels_ == 0) return std::nullopt;
    const Place place = earliest();
    const unsigned shift = place.level * kBits;
    return (now_ >> shift >> kBits << kBits << shift) | (TimeMs{place.slot} << shift);
  }

 private:
  static constexpr unsigned kBits = 6;
  static constexpr unsigned kSlots = 1u << kBits;
  static constexpr unsigned kLevels = 8;  // 2^48 ms are 8,900 years: the clock never gets there
  static constexpr TimeMs kHorizon = (TimeMs{1} << (kBits * kLevels)) - 1;
  static constexpr uint32_t kHead = 0x80000000;  // in `previous`: the first of a slot

  struct Place {
    unsigned level;
    unsigned slot;
  };

  // A timer lies on the level of the highest digit (of 6 bits) in which it differs from now: the first slot
  // of the lowest level is the earliest. What is due already lies in the slot of now itself, on level 0.
  Place place_of(TimeMs due) const {
    if (due <= now_) return {0, static_cast<unsigned>(now_ % kSlots)};
    const unsigned level = static_cast<unsigned>(63 - std::countl_zero(due ^ now_)) / kBits;
    return {level, static_cast<unsigned>(due >> (level * kBits)) % kSlots};
  }
  Place earliest() const {
    const auto level = static_cast<unsigned>(std::countr_zero(levels_));
    return {level, static_cast<unsigned>(std::countr_zero(occupied_[level]))};
  }

  template <class Nodes>
  void link(Nodes&& nodes, uint32_t index, TimerNode& node) {
    const Place place = place_of(node.due);
    uint32_t& head = heads_[place.level][place.slot];
    node.previous = kHead | place.level * kSlots | place.slot;
    node.next = head;
    if (head != kNone) nodes(head).previous = index;
    head = index;
    occupied_[place.level] |= uint64_t{1} << place.slot;
    levels_ |= 1u << place.level;
  }
  template <class Nodes>
  void unlink(Nodes&& nodes, TimerNode& node) {
    if (node.next != kNone) nodes(node.next).previous = node.previous;
    if ((node.previous & kHead) == 0) {
      nodes(node.previous).next = node.next;
      return;
    }
    const unsigned level = (node.previous & ~kHead) / kSlots;
    const unsigned slot = node.previous % kSlots;
    heads_[level][slot] = node.next;
    if (node.next != kNone) return;
    occupied_[level] &= ~(uint64_t{1} << slot);
    if (occupied_[level] == 0) levels_ &= ~(1u << level);
  }

  TimeMs now_;
  uint32_t levels_ = 0;  // which have an occupied slot
  std::array<uint64_t, kLevels> occupied_{};
  std::array<std::array<uint32_t, kSlots>, kLevels> heads_;
};

}  // namespace poolgate::rserpool
