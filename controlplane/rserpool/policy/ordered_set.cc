// SPDX-License-Identifier: BSD-3-Clause
#include "controlplane/rserpool/policy/ordered_set.h"

#include "controlplane/rserpool/policy/random.h"

namespace poolgate::rserpool {

// Of the group's number, not of its key: peers choose the keys, and must not choose the tree's shape.
uint32_t OrderedSet::priority(uint32_t group) {
  return static_cast<uint32_t>(mix64(group + 0x9e3779b97f4a7c15u));
}

void OrderedSet::reserve(size_t n) {
  links_.reserve(n);
  groups_.reserve(n);
  if (links_.size() < n) links_.resize(n);
}

void OrderedSet::clear() {
  for (Link& link : links_) link = Link{};
  groups_.clear();
  first_ = root_ = free_group_ = kNone;
}

void OrderedSet::insert(uint32_t slot, uint64_t key) {
  if (slot >= links_.size()) links_.resize(slot + 1);
  uint32_t before = kNone;  // the greatest group of a smaller key
  for (uint32_t at = root_; at != kNone;) {
    Group& group = groups_[at];
    if (group.key == key) {
      links_[slot].group = at;
      link_after(group.last, slot);
      group.last = slot;
      return;
    }
    if (group.key < key) {
      before = at;
      at = group.right;
    } else {
      at = group.left;
    }
  }
  const uint32_t after = before == kNone ? kNone : groups_[before].last;
  const uint32_t created = new_group(key);
  groups_[created].first = groups_[created].last = slot;
  links_[slot].group = created;
  link_after(after, slot);
  tree_insert(created);
}

void OrderedSet::erase(uint32_t slot) {
  Link& link = links_[slot];
  Group& group = groups_[link.group];
  if (group.first == slot && group.last == slot) {
    tree_erase(link.group);
    group.left = free_group_;
    free_group_ = link.group;
  } else if (group.first == slot) {
    group.first = link.next;
  } else if (group.last == slot) {
    group.last = link.previous;
  }
  unlink(slot);
  link = Link{};
}

void OrderedSet::lower_keys(uint64_t by) {
  for (uint32_t at = first_; at != kNone;) {
    Group& group = groups_[links_[at].group];
    group.key -= by;
    at = links_[group.last].next;
  }
}

void OrderedSet::rotate_in(uint32_t number, uint32_t slot) {
  Group& group = groups_[number];
  if (group.first == slot) group.first = links_[slot].next;
  unlink(slot);
  link_after(group.last, slot);
  group.last = slot;
}

void OrderedSet::link_after(uint32_t previous, uint32_t slot) {
  const uint32_t next = previous == kNone ? first_ : links_[previous].next;
  links_[slot].previous = previous;
  links_[slot].next = next;
  if (next != kNone) links_[next].previous = slot;
  (previous == kNone ? first_ : links_[previous].next) = slot;
}

void OrderedSet::unlink(uint32_t slot) {
  const Link link = links_[slot];
  if (link.next != kNone) links_[link.next].previous = link.previous;
  (link.previous == kNone ? first_ : links_[link.previous].next) = link.next;
}

uint32_t OrderedSet::new_group(uint64_t key) {
  uint32_t group = free_group_;
  if (group == kNone) {
    group = static_cast<uint32_t>(groups_.size());
    groups_.emplace_back();
  } else {
    free_group_ = groups_[group].left;
    groups_[group] = Group{};
  }
  groups_[group].key = key;
  return group;
}

void OrderedSet::tree_insert(uint32_t created) {
  Group& group = groups_[created];
  const uint32_t own = priority(created);
  uint32_t* link = &root_;
  while (*link != kNone && priority(*link) >= own) {
    Group& at = groups_[*link];
    link = at.key < group.key ? &at.right : &at.left;
  }
  uint32_t at = *link;
  *link = created;
  uint32_t* smaller = &group.left;
  uint32_t* greater = &group.right;
  while (at != kNone) {
    Group& split = groups_[at];
    if (split.key < group.key) {
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
  const Group& group = groups_[number];
  uint32_t* link = &root_;
  while (*link != number) {
    Group& at = groups_[*link];
    link = at.key < group.key ? &at.right : &at.left;
  }
  uint32_t smaller = group.left;
  uint32_t greater = group.right;
  while (smaller != kNone && greater != kNone) {
    if (priority(smaller) > priority(greater)) {
      *link = smaller;
      link = &groups_[smaller].right;
      smaller = *link;
    } else {
      *link = greater;
      link = &groups_[greater].left;
      greater = *link;
    }
  }
  *link = smaller != kNone ? smaller : greater;
}

}  // namespace poolgate::rserpool
