// SPDX-License-Identifier: BSD-3-Clause
// The deadlines of many elements: setting, clearing and taking the next are O(log n) at worst, with no moment
// at which many are moved at once. A 4-ary heap in chunks; each element holds a DeadlineNode: `nodes(index)`
// gives it.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <optional>
#include <vector>

namespace poolgate::rserpool {

// Milliseconds of whatever steady clock the caller has.
using TimeMs = uint64_t;
inline constexpr TimeMs kNever = UINT64_MAX;

struct DeadlineNode {
  static constexpr uint32_t kNowhere = 0xffffffff;
  TimeMs due = kNever;
  uint32_t place = kNowhere;  // in the heap
};

class Deadlines {
 public:
  static constexpr uint32_t kNone = 0xffffffff;

  size_t size() const { return size_; }

  // kNever clears it. To put off a deadline costs a store: the heap finds out when the old one comes.
  template <class Nodes>
  void set(Nodes&& nodes, uint32_t index, TimeMs due) {
    DeadlineNode& node = nodes(index);
    const TimeMs before = node.due;
    node.due = due;
    if (node.place != DeadlineNode::kNowhere) {
      if (due == kNever) {
        remove(nodes, node);
      } else if (due < before && due < at(node.place).at) {
        rise(nodes, node.place, {due, index});
      }
    } else if (due != kNever) {
      if (size_ == chunks_.size() * kChunk) chunks_.push_back(std::make_unique<Entry[]>(kChunk));
      rise(nodes, size_++, {due, index});
    }
  }

  // The element of the earliest deadline that is not after `now`, its deadline cleared; kNone: there is none.
  template <class Nodes>
  uint32_t take_due(Nodes&& nodes, TimeMs now) {
    while (size_ != 0 && at(0).at <= now) {
      const Entry first = at(0);
      DeadlineNode& node = nodes(first.index);
      if (node.due == first.at) {
        remove(nodes, node);
        node.due = kNever;
        return first.index;
      }
      sink(nodes, 0, {node.due, first.index});  // it was put off
    }
    return kNone;
  }

  // Not after the earliest deadline; before it if that was put off. nullopt: none is set.
  std::optional<TimeMs> next_event() const { return size_ == 0 ? std::nullopt : std::optional(at(0).at); }

 private:
  struct Entry {
    TimeMs at;
    uint32_t index;
  };
  static constexpr uint32_t kArity = 4;
  static constexpr uint32_t kChunk = 256;

  Entry& at(uint32_t i) { return chunks_[i / kChunk][i % kChunk]; }
  const Entry& at(uint32_t i) const { return chunks_[i / kChunk][i % kChunk]; }

  template <class Nodes>
  void put(Nodes&& nodes, uint32_t place, const Entry& entry) {
    at(place) = entry;
    nodes(entry.index).place = place;
  }
  // Puts `entry` where it belongs above the hole at `place`.
  template <class Nodes>
  void rise(Nodes&& nodes, uint32_t place, Entry entry) {
    while (place != 0) {
      const uint32_t parent = (place - 1) / kArity;
      if (at(parent).at <= entry.at) break;
      put(nodes, place, at(parent));
      place = parent;
    }
    put(nodes, place, entry);
  }
  // Likewise below.
  template <class Nodes>
  void sink(Nodes&& nodes, uint32_t place, Entry entry) {
    for (;;) {
      const uint32_t first = place * kArity + 1;
      if (first >= size_) break;
      uint32_t best = first;
      for (uint32_t child = first + 1; child < first + kArity && child < size_; ++child) {
        if (at(child).at < at(best).at) best = child;
      }
      if (entry.at <= at(best).at) break;
      put(nodes, place, at(best));
      place = best;
    }
    put(nodes, place, entry);
  }
  template <class Nodes>
  void remove(Nodes&& nodes, DeadlineNode& node) {
    const uint32_t place = node.place;
    node.place = DeadlineNode::kNowhere;
    const Entry last = at(--size_);
    if (place == size_) return;
    if (last.at < at(place).at) {
      rise(nodes, place, last);
    } else {
      sink(nodes, place, last);
    }
  }

  std::vector<std::unique_ptr<Entry[]>> chunks_;
  uint32_t size_ = 0;
};

}  // namespace poolgate::rserpool
