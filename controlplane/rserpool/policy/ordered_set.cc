// SPDX-License-Identifier: BSD-3-Clause
#include "controlplane/rserpool/policy/ordered_set.h"

#include "controlplane/rserpool/policy/random.h"

namespace poolgate::rserpool {

void OrderedSet::reserve(size_t n) {
  groups_.reserve(n);
  links_.reserve(n);
  if (links_.size() < n) links_.resize(n);
}

void OrderedSet::insert(uint32_t slot, uint64_t key) {
  if (slot >= links_.size()) links_.resize(slot + 1);
  uint32_t before = kNone;  // the greatest group of a smaller key
  for (uint32_t at = root_; at != kNone;) {
    const Group& found = group(at);
    if (found.key == key) {
      links_[slot].group = at;
      link_before(found.first, slot);
      return;
    }
    if (found.key < key) {
      before = at;
      at = found.right;
    } else {
      at = found.left;
    }
  }
  const uint32_t number = new_group(key);
  links_[slot].previous = links_[slot].next = slot;
  links_[slot].group = number;
  Group& created = group(number);
  created.first = slot;
  created.previous = before;
  created.next = before == kNone ? first_group_ : group(before).next;
  if (created.next != kNone) group(created.next).previous = number;
  (before == kNone ? first_group_ : group(before).next) = number;
  tree_insert(number);
}

void OrderedSet::erase(uint32_t slot) {
  const uint32_t number = links_[slot].group;
  Group& own = group(number);
  if (links_[slot].next == slot) {
    tree_erase(number);
    if (own.next != kNone) group(own.next).previous = own.previous;
    (own.previous == kNone ? first_group_ : group(own.previous).next) = own.next;
    own.next = free_group_;
    free_group_ = number;
  } else {
    if (own.first == slot) own.first = links_[slot].next;
    unlink(slot);
  }
  links_[slot].group = kNone;
}

void OrderedSet::lower_keys(uint64_t by) {
  for (uint32_t at = first_group_; at != kNone; at = group(at).next) group(at).key -= by;
}

void OrderedSet::move_behind(uint32_t slot, const Group& own) {
  unlink(slot);
  link_before(own.first, slot);
}

void OrderedSet::link_before(uint32_t next, uint32_t slot) {
  const uint32_t previous = links_[next].previous;
  links_[slot].previous = previous;
  links_[slot].next = next;
  links_[previous].next = slot;
  links_[next].previous = slot;
}

void OrderedSet::unlink(uint32_t slot) {
  const Link& link = links_[slot];
  links_[link.previous].next = link.next;
  links_[link.next].previous = link.previous;
}

uint32_t OrderedSet::new_group(uint64_t key) {
  uint32_t number = free_group_;
  if (number == kNone) {
    groups_.emplace_back();
    number = static_cast<uint32_t>(groups_.size());
  } else {
    free_group_ = group(number).next;
  }
  Group& created = group(number);
  created = Group{};
  created.key = key;
  // Of the group's number, not of its key: peers choose the keys, and must not choose the tree's shape.
  created.priority = static_cast<uint32_t>(mix64(number + 0x9e3779b97f4a7c15u));
  return number;
}

void OrderedSet::tree_insert(uint32_t number) {
  Group& created = group(number);
  uint32_t* link = &root_;
  while (*link != kNone && group(*link).priority >= created.priority) {
    Group& at = group(*link);
    link = at.key < created.key ? &at.right : &at.left;
  }
  uint32_t at = *link;
  *link = number;
  uint32_t* smaller = &created.left;
  uint32_t* greater = &created.right;
  while (at != kNone) {
    Group& split = group(at);
    if (split.key < created.key) {
      *smaller = at;
      smaller = &split.right;
      at = split.right;
    } else {
      *greater = at;
      greater = &split.left;
      at = split.left;
    }
  }
  *smaller = *greater = kNone;
}

void OrderedSet::tree_erase(uint32_t number) {
  const Group& gone = group(number);
  uint32_t* link = &root_;
  while (*link != number) {
    Group& at = group(*link);
    link = at.key < gone.key ? &at.right : &at.left;
  }
  uint32_t smaller = gone.left;
  uint32_t greater = gone.right;
  while (smaller != kNone && greater != kNone) {
    if (group(smaller).priority > group(greater).priority) {
      *link = smaller;
      link = &group(smaller).right;
      smaller = *link;
    } else {
      *link = greater;
      link = &group(greater).left;
      greater = *link;
    }
  }
  *link = smaller != kNone ? smaller : greater;
}

}  // namespace poolgate::rserpool
