// SPDX-License-Identifier: BSD-3-Clause
// Slots in ascending order of a 64-bit key; slots of equal key take turns. What RR, PRIO, LU and their kin
// pick from.
//
// All slots are in one doubly linked list in order, so that the first k cost k steps. Equal keys form a
// group; a treap finds the group of a key. To take turns is to move a slot to the end of its group: O(1).
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
  // Behind its equals. O(log of the number of different keys). The slot must not be in the set.
  void insert(uint32_t slot, uint64_t key);
  // The slot must be in the set.
  void erase(uint32_t slot);
  void clear();

  bool contains(uint32_t slot) const { return slot < links_.size() && links_[slot].group != kNone; }
  uint64_t key(uint32_t slot) const { return groups_[links_[slot].group].key; }
  uint32_t first() const { return first_; }
  uint32_t next(uint32_t slot) const { return links_[slot].next; }

  // Moves a slot behind its equals. O(1).
  void rotate(uint32_t slot) {
    const Group& group = groups_[links_[slot].group];
    if (group.last == slot) return;
    rotate_in(links_[slot].group, slot);
  }

  // Subtracts `by` from every key; no key may be smaller. O(number of keys).
  void lower_keys(uint64_t by);

 private:
  struct Link {
    uint32_t previous = kNone;
    uint32_t next = kNone;
    uint32_t group = kNone;
  };
  struct Group {
    uint64_t key = 0;
    uint32_t first = kNone;
    uint32_t last = kNone;
    uint32_t left = kNone;  // treap; of a free group: the next free one
    uint32_t right = kNone;
  };

  static uint32_t priority(uint32_t group);
  void rotate_in(uint32_t group, uint32_t slot);
  void link_after(uint32_t previous, uint32_t slot);  // kNone: at the front
  void unlink(uint32_t slot);
  uint32_t new_group(uint64_t key);
  void tree_insert(uint32_t group);
  void tree_erase(uint32_t group);

  std::vector<Link> links_;
  std::vector<Group> groups_;
  uint32_t first_ = kNone;
  uint32_t root_ = kNone;
  uint32_t free_group_ = kNone;
};

}  // namespace poolgate::rserpool
