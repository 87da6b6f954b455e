// SPDX-License-Identifier: BSD-3-Clause
// Slots in ascending order of a 64-bit key; slots of equal key take turns. What RR, PRIO, LU and their kin
// pick from.
//
// Equal keys form a group: a ring of which one is the first; to take turns is to move on which that is. The
// groups are linked in order, so that the first k slots cost k steps, and a treap finds the group of a key.
#pragma once

#include <cstddef>
#include <cstdint>
#include <vector>

namespace poolgate::rserpool {

class OrderedSet {
 public:
  static constexpr uint32_t kNone = 0xffffffff;

  // Room for slots 0..n-1: nothing allocates for these.
  void reserve(size_t n);
  // A number of the caller's that goes with a slot, where a walk finds it without another cache line.
  void set_item(uint32_t slot, uint32_t item) {
    if (slot >= links_.size()) links_.resize(slot + 1);
    links_[slot].item = item;
  }
  uint32_t item(uint32_t slot) const { return links_[slot].item; }
  // Behind its equals. O(log of the number of different keys). The slot must not be in the set.
  void insert(uint32_t slot, uint64_t key);
  // The slot must be in the set.
  void erase(uint32_t slot);

  bool contains(uint32_t slot) const { return slot < links_.size() && links_[slot].group != kNone; }
  uint64_t key(uint32_t slot) const { return group(links_[slot].group).key; }
  // Walks the slots in order; the slot that it stands on may be erased once the next has been taken.
  class Walk {
   public:
    explicit Walk(const OrderedSet& set) : set_(set) { begin(set.first_group_); }
    // kNone at the end.
    uint32_t slot() const { return slot_; }
    void advance() {
      slot_ = set_.links_[slot_].next;
      if (const Group& group = set_.group(group_); slot_ == group.first) begin(group.next);
    }

   private:
    void begin(uint32_t group) {
      group_ = group;
      slot_ = group == kNone ? kNone : set_.group(group).first;
    }
    const OrderedSet& set_;
    uint32_t group_;
    uint32_t slot_;
  };
  uint32_t first() const { return first_group_ == kNone ? kNone : group(first_group_).first; }

  // Moves a slot behind its equals. O(1).
  void rotate(uint32_t slot) {
    Group& own = group(links_[slot].group);
    if (own.first == slot) {
      own.first = links_[slot].next;
    } else if (links_[slot].next != own.first) {
      move_behind(slot, own);
    }
  }

  // Subtracts `by` from every key; no key may be smaller. O(number of keys).
  void lower_keys(uint64_t by);

 private:
  struct Link {
    uint32_t previous = kNone;
    uint32_t next = kNone;
    uint32_t group = kNone;
    uint32_t item = 0;
  };
  struct Group {
    uint64_t key = 0;
    uint32_t first = kNone;
    uint32_t previous = kNone;  // groups in order
    uint32_t next = kNone;      // of a free group: the next free one
    uint32_t left = kNone;      // treap
    uint32_t right = kNone;
    uint32_t priority = 0;
  };

  // The first group lies in the set itself: where all keys are equal, as in RR, there is no other.
  Group& group(uint32_t number) { return number == 0 ? group0_ : groups_[number - 1]; }
  const Group& group(uint32_t number) const { return number == 0 ? group0_ : groups_[number - 1]; }

  void move_behind(uint32_t slot, const Group& own);
  void link_before(uint32_t next, uint32_t slot);
  void unlink(uint32_t slot);
  uint32_t new_group(uint64_t key);
  void tree_insert(uint32_t group);
  void tree_erase(uint32_t group);

  uint32_t first_group_ = kNone;
  uint32_t root_ = kNone;
  uint32_t free_group_ = 0;  // number 0 is there from the beginning
  Group group0_;
  std::vector<Link> links_;
  std::vector<Group> groups_;
};

}  // namespace poolgate::rserpool
