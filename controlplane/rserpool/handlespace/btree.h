// SPDX-License-Identifier: BSD-3-Clause
// An ordered map of small keys and values in nodes of a few cache lines (a B+ tree). Every operation is O(log
// n) at worst: no rehashing, no rebalancing of the whole. References to values hold until the next change.
#pragma once

#include <algorithm>
#include <array>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <utility>

namespace poolgate::rserpool {

template <class Key, class Value, unsigned kLeaf = 30, unsigned kInner = 32>
class BTree {
 public:
  BTree() = default;
  ~BTree() { clear(); }
  BTree(const BTree&) = delete;
  BTree& operator=(const BTree&) = delete;
  BTree(BTree&& other) noexcept { swap(other); }
  BTree& operator=(BTree&& other) noexcept {
    swap(other);
    return *this;
  }
  void swap(BTree& other) noexcept {
    std::swap(root_, other.root_);
    std::swap(height_, other.height_);
    std::swap(size_, other.size_);
  }

  size_t size() const { return size_; }
  void clear() {
    if (root_ != nullptr) destroy(root_, height_);
    root_ = nullptr;
    height_ = 0;
    size_ = 0;
  }

  // Null: not there.
  Value* find(const Key& key) { return const_cast<Value*>(std::as_const(*this).find(key)); }
  const Value* find(const Key& key) const {
    const Leaf* leaf = leaf_of(key);
    if (leaf == nullptr) return nullptr;
    const unsigned at = lower(leaf->keys, leaf->size, key);
    return at < leaf->size && !(key < leaf->keys[at]) ? &leaf->values[at] : nullptr;
  }

  struct Entry {
    Key key;
    Value value;
  };
  std::optional<Entry> first() const {
    if (root_ == nullptr) return std::nullopt;
    void* node = root_;
    for (unsigned level = height_; level != 0; --level) node = static_cast<Inner*>(node)->children[0];
    return entry(static_cast<Leaf*>(node), 0);
  }
  // The entry of the smallest key above `key`, which need not be there.
  std::optional<Entry> after(const Key& key) const {
    const Leaf* leaf = leaf_of(key);
    if (leaf == nullptr) return std::nullopt;
    return entry(leaf, upper(leaf->keys, leaf->size, key));
  }

  // The key must not be there.
  void insert(const Key& key, const Value& value);
  // False: the key was not there.
  bool erase(const Key& key);

 private:
  struct Leaf {
    Leaf* previous = nullptr;
    Leaf* next = nullptr;
    uint32_t size = 0;
    std::array<Key, kLeaf> keys;
    std::array<Value, kLeaf> values;
  };
  // Child i holds keys >= keys[i - 1] and < keys[i].
  struct Inner {
    uint32_t size = 0;  // children; keys are one less
    std::array<Key, kInner - 1> keys;
    std::array<void*, kInner> children;
  };
  struct Step {
    Inner* node;
    unsigned child;
  };
  static constexpr unsigned kMaxHeight = 20;
  using Path = std::array<Step, kMaxHeight>;

  // How many of the first n keys are below (lower) or not above (upper) `key`: by halving, without branches
  // to mispredict.
  template <size_t N>
  static unsigned lower(const std::array<Key, N>& keys, unsigned n, const Key& key) {
    return count(n, [&](unsigned i) { return keys[i] < key; });
  }
  template <size_t N>
  static unsigned upper(const std::array<Key, N>& keys, unsigned n, const Key& key) {
    return count(n, [&](unsigned i) { return !(key < keys[i]); });
  }
  template <class Below>
  static unsigned count(unsigned n, const Below& below) {
    unsigned from = 0;
    while (n > 1) {
      const unsigned half = n / 2;
      from += half * static_cast<unsigned>(below(from + half - 1));
      n -= half;
    }
    return from + (n == 1 && below(from) ? 1 : 0);
  }
  template <size_t N, class T>
  static void open(std::array<T, N>& items, unsigned at, unsigned n) {
    std::move_backward(items.begin() + at, items.begin() + n, items.begin() + n + 1);
  }
  template <size_t N, class T>
  static void close(std::array<T, N>& items, unsigned at, unsigned n) {
    std::move(items.begin() + at + 1, items.begin() + n, items.begin() + at);
  }
  static std::optional<Entry> entry(const Leaf* leaf, unsigned at) {
    if (at == leaf->size) {
      leaf = leaf->next;
      at = 0;
    }
    if (leaf == nullptr) return std::nullopt;
    return Entry{leaf->keys[at], leaf->values[at]};
  }

  const Leaf* leaf_of(const Key& key) const {
    const void* node = root_;
    for (unsigned level = height_; level != 0; --level) {
      const auto* inner = static_cast<const Inner*>(node);
      node = inner->children[upper(inner->keys, inner->size - 1, key)];
    }
    return static_cast<const Leaf*>(node);
  }
  Leaf* descend(const Key& key, Path& path) {
    void* node = root_;
    for (unsigned level = 0; level < height_; ++level) {
      auto* inner = static_cast<Inner*>(node);
      const unsigned child = upper(inner->keys, inner->size - 1, key);
      path[level] = {inner, child};
      node = inner->children[child];
    }
    return static_cast<Leaf*>(node);
  }

  void insert_child(Path& path, unsigned level, Key key, void* child);
  void remove_child(Path& path, unsigned level, unsigned at);
  void destroy(void* node, unsigned level) {
    if (level == 0) {
      delete static_cast<Leaf*>(node);
      return;
    }
    auto* inner = static_cast<Inner*>(node);
    for (unsigned i = 0; i < inner->size; ++i) destroy(inner->children[i], level - 1);
    delete inner;
  }
  void merge_leaf(Path& path, Leaf* leaf);
  void absorb(Leaf* left, Leaf* right);

  void* root_ = nullptr;
  unsigned height_ = 0;  // levels of inner nodes
  size_t size_ = 0;
};

template <class Key, class Value, unsigned kLeaf, unsigned kInner>
void BTree<Key, Value, kLeaf, kInner>::insert(const Key& key, const Value& value) {
  if (root_ == nullptr) root_ = new Leaf;
  Path path;
  Leaf* leaf = descend(key, path);
  unsigned at = lower(leaf->keys, leaf->size, key);
  ++size_;
  if (leaf->size == kLeaf) {
    // Keys that come in ascending order fill their leaves: the last leaf is split at its end.
    const unsigned keep = at == kLeaf && leaf->next == nullptr ? kLeaf : kLeaf / 2;
    auto* right = new Leaf;
    right->size = kLeaf - keep;
    std::move(leaf->keys.begin() + keep, leaf->keys.end(), right->keys.begin());
    std::move(leaf->values.begin() + keep, leaf->values.end(), right->values.begin());
    leaf->size = keep;
    right->previous = leaf;
    right->next = leaf->next;
    if (right->next != nullptr) right->next->previous = right;
    leaf->next = right;
    insert_child(path, height_, right->size == 0 ? key : right->keys[0], right);
    if (at > keep || keep == kLeaf) {
      at -= keep;
      leaf = right;
    }
  }
  open(leaf->keys, at, leaf->size);
  open(leaf->values, at, leaf->size);
  leaf->keys[at] = key;
  leaf->values[at] = value;
  ++leaf->size;
}

// Puts `child`, of keys >= key, to the right of the child that path[level - 1] leads through.
template <class Key, class Value, unsigned kLeaf, unsigned kInner>
void BTree<Key, Value, kLeaf, kInner>::insert_child(Path& path, unsigned level, Key key, void* child) {
  while (level != 0) {
    auto [node, at] = path[--level];
    Inner* target = node;
    Inner* right = nullptr;
    Key middle{};
    if (node->size == kInner) {
      constexpr unsigned keep = kInner / 2;
      right = new Inner;
      right->size = kInner - keep;
      std::move(node->keys.begin() + keep, node->keys.end(), right->keys.begin());
      std::move(node->children.begin() + keep, node->children.end(), right->children.begin());
      middle = node->keys[keep - 1];
      node->size = keep;
      if (at >= keep) {
        at -= keep;
        target = right;
      }
    }
    open(target->keys, at, target->size - 1);
    open(target->children, at + 1, target->size);
    target->keys[at] = key;
    target->children[at + 1] = child;
    ++target->size;
    if (right == nullptr) return;
    key = middle;
    child = right;
  }
  auto* root = new Inner;
  root->size = 2;
  root->keys[0] = key;
  root->children[0] = root_;
  root->children[1] = child;
  root_ = root;
  ++height_;
}

template <class Key, class Value, unsigned kLeaf, unsigned kInner>
bool BTree<Key, Value, kLeaf, kInner>::erase(const Key& key) {
  if (root_ == nullptr) return false;
  Path path;
  Leaf* leaf = descend(key, path);
  const unsigned at = lower(leaf->keys, leaf->size, key);
  if (at == leaf->size || key < leaf->keys[at]) return false;
  close(leaf->keys, at, leaf->size);
  close(leaf->values, at, leaf->size);
  --leaf->size;
  --size_;
  if (size_ == 0) {
    clear();
  } else if (height_ != 0 && leaf->size < kLeaf / 4) {
    merge_leaf(path, leaf);
  }
  return true;
}

// Appends the right leaf's entries to the left, its neighbour, and unlinks it.
template <class Key, class Value, unsigned kLeaf, unsigned kInner>
void BTree<Key, Value, kLeaf, kInner>::absorb(Leaf* left, Leaf* right) {
  std::move(right->keys.begin(), right->keys.begin() + right->size, left->keys.begin() + left->size);
  std::move(right->values.begin(), right->values.begin() + right->size, left->values.begin() + left->size);
  left->size += right->size;
  left->next = right->next;
  if (left->next != nullptr) left->next->previous = left;
  delete right;
}

// A leaf that has become small joins a neighbour if both fit with room to spare; an empty one always goes.
template <class Key, class Value, unsigned kLeaf, unsigned kInner>
void BTree<Key, Value, kLeaf, kInner>::merge_leaf(Path& path, Leaf* leaf) {
  auto [parent, at] = path[height_ - 1];
  const auto fits = [](const Leaf* a, const Leaf* b) { return a->size + b->size <= kLeaf * 3 / 4; };
  if (at + 1 < parent->size) {
    auto* right = static_cast<Leaf*>(parent->children[at + 1]);
    if (!fits(leaf, right) && leaf->size != 0) return;
    absorb(leaf, right);
    remove_child(path, height_ - 1, at + 1);
  } else if (at != 0) {
    auto* left = static_cast<Leaf*>(parent->children[at - 1]);
    if (!fits(left, leaf) && leaf->size != 0) return;
    absorb(left, leaf);
    remove_child(path, height_ - 1, at);
  } else if (leaf->size == 0) {
    if (leaf->previous != nullptr) leaf->previous->next = leaf->next;
    if (leaf->next != nullptr) leaf->next->previous = leaf->previous;
    delete leaf;
    remove_child(path, height_ - 1, at);
  }
}

template <class Key, class Value, unsigned kLeaf, unsigned kInner>
void BTree<Key, Value, kLeaf, kInner>::remove_child(Path& path, unsigned level, unsigned at) {
  for (;; --level) {
    Inner* node = path[level].node;
    if (node->size > 1) close(node->keys, at == 0 ? 0 : at - 1, node->size - 1);
    close(node->children, at, node->size);
    --node->size;
    if (node->size != 0 || level == 0) break;
    delete node;
    at = path[level - 1].child;
  }
  while (height_ != 0 && static_cast<Inner*>(root_)->size == 1) {
    auto* root = static_cast<Inner*>(root_);
    root_ = root->children[0];
    delete root;
    --height_;
  }
}

}  // namespace poolgate::rserpool
