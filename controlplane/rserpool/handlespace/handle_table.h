// SPDX-License-Identifier: BSD-3-Clause
// From a pool handle to its pool: a hash table that grows one bucket at a time (linear hashing), so that no
// single registration pays for a rehash of everything. Peers choose the handles: the hash is keyed.
#pragma once

#include <cstdint>
#include <memory>
#include <vector>

#include "controlplane/rserpool/types.h"

namespace poolgate::rserpool {

uint64_t hash_handle(PoolHandleView handle, uint64_t key);

// `Nodes`: from a number to a node with members `hash` (uint64_t), `next_in_bucket` (uint32_t) and `handle`.
class HandleTable {
 public:
  static constexpr uint32_t kNone = 0xffffffff;

  HandleTable();

  template <class Nodes>
  uint32_t find(const Nodes& nodes, PoolHandleView handle, uint64_t hash) const {
    uint32_t at = bucket(address(hash));
    while (at != kNone && (nodes[at].hash != hash || nodes[at].handle != handle))
      at = nodes[at].next_in_bucket;
    return at;
  }
  template <class Nodes>
  void insert(Nodes& nodes, uint32_t node) {
    if (++size_ > end_) split(nodes);
    push(nodes, address(nodes[node].hash), node);
  }
  template <class Nodes>
  void erase(Nodes& nodes, uint32_t node) {
    uint32_t* link = &bucket(address(nodes[node].hash));
    while (*link != node) link = &nodes[*link].next_in_bucket;
    *link = nodes[node].next_in_bucket;
    --size_;
  }

 private:
  static constexpr unsigned kChunkBits = 8;
  static constexpr uint32_t kChunk = 1u << kChunkBits;

  // Buckets 0..end_-1 exist. half_ is the greatest power of two not above end_: buckets split once since then
  // are addressed by one bit more.
  uint32_t address(uint64_t hash) const {
    const auto at = static_cast<uint32_t>(hash) & (2 * half_ - 1);
    return at < end_ ? at : at & (half_ - 1);
  }
  uint32_t& bucket(uint32_t at) { return chunks_[at >> kChunkBits][at & (kChunk - 1)]; }
  uint32_t bucket(uint32_t at) const { return chunks_[at >> kChunkBits][at & (kChunk - 1)]; }

  template <class Nodes>
  void push(Nodes& nodes, uint32_t at, uint32_t node) {
    uint32_t& head = bucket(at);
    nodes[node].next_in_bucket = head;
    head = node;
  }
  template <class Nodes>
  void split(Nodes& nodes) {
    const uint32_t from = end_ - half_;
    uint32_t at = bucket(from);
    bucket(from) = kNone;
    grow();
    while (at != kNone) {
      const uint32_t next = nodes[at].next_in_bucket;
      push(nodes, address(nodes[at].hash), at);
      at = next;
    }
  }
  void grow();

  std::vector<std::unique_ptr<uint32_t[]>> chunks_;
  uint32_t end_ = kChunk;
  uint32_t half_ = kChunk;
  uint32_t size_ = 0;
};

}  // namespace poolgate::rserpool
