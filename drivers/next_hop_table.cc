// SPDX-License-Identifier: BSD-3-Clause
#include "drivers/next_hop_table.h"

#include <rte_errno.h>
#include <rte_hash.h>
#include <rte_hash_crc.h>
#include <rte_lcore.h>

#include <algorithm>
#include <cstdio>
#include <cstring>

namespace poolgate::drivers {
namespace {

// What rte_hash compares: no padding that could differ.
struct HashKey {
  uint8_t address[16] = {};
  uint32_t family = 0;
  uint32_t ifindex = 0;
  uint32_t mtu = 0;
};

HashKey hash_key(const NextHopTable::Key& key) {
  HashKey made;
  std::memcpy(made.address, key.address.data(), key.address.size());
  made.family = static_cast<uint32_t>(key.address.family());
  made.ifindex = key.ifindex;
  made.mtu = key.mtu;
  return made;
}

NextHopIndex index_of(void* data) { return static_cast<NextHopIndex>(reinterpret_cast<uintptr_t>(data)); }
void* data_of(NextHopIndex index) { return reinterpret_cast<void*>(static_cast<uintptr_t>(index)); }

}  // namespace

std::string to_string(const MacAddress& mac) {
  char text[18];
  std::snprintf(text, sizeof text, "%02x:%02x:%02x:%02x:%02x:%02x", mac[0], mac[1], mac[2], mac[3], mac[4],
                mac[5]);
  return text;
}

Result<std::unique_ptr<NextHopTable>> NextHopTable::create(const char* name, uint32_t capacity) {
  std::unique_ptr<NextHopTable> table(new NextHopTable);
  rte_hash_parameters parameters{};
  parameters.name = name;
  parameters.entries = std::max(capacity * 2, 64u);  // room to spare: an insertion must not fail
  parameters.key_len = sizeof(HashKey);
  parameters.hash_func = rte_hash_crc;
  parameters.socket_id = static_cast<int>(SOCKET_ID_ANY);
  parameters.extra_flag = RTE_HASH_EXTRA_FLAGS_RW_CONCURRENCY_LF | RTE_HASH_EXTRA_FLAGS_EXT_TABLE;
  table->hash_ = rte_hash_create(&parameters);
  if (table->hash_ == nullptr)
    return Error{std::string("next-hop table of ") + std::to_string(capacity) +
                 " neighbours: " + rte_strerror(rte_errno)};
  table->capacity_ = capacity;
  table->entries_ = std::make_unique<NextHop[]>(capacity);
  table->keys_ = std::make_unique<Key[]>(capacity);
  table->free_ = std::make_unique<uint32_t[]>(capacity);
  for (uint32_t i = 0; i < capacity; ++i) table->free_[i] = capacity - 1 - i;
  table->free_count_ = capacity;
  return table;
}

NextHopTable::~NextHopTable() { rte_hash_free(hash_); }

NextHopIndex NextHopTable::find(const Key& key) const {
  const HashKey wanted = hash_key(key);
  void* data = nullptr;
  return rte_hash_lookup_data(hash_, &wanted, &data) >= 0 ? index_of(data) : kNoNextHop;
}

NextHopIndex NextHopTable::acquire(const Key& key, uint16_t port_id, const MacAddress& source, uint16_t mtu) {
  if (const NextHopIndex known = find(key); known != kNoNextHop) return known;
  if (free_count_ == 0) return kNoNextHop;
  const NextHopIndex index = free_[free_count_ - 1];
  NextHop& entry = entries_[index];
  std::memset(entry.ether_addresses, 0, sizeof entry.ether_addresses);
  std::memcpy(entry.ether_addresses + 6, source.data(), source.size());
  entry.port_id = port_id;
  entry.mtu = key.mtu != 0 ? std::min(key.mtu, mtu) : mtu;
  entry.state.store(NextHop::incomplete, std::memory_order_release);
  const HashKey made = hash_key(key);
  if (rte_hash_add_key_data(hash_, &made, data_of(index)) != 0) {
    entry.state.store(NextHop::unused, std::memory_order_release);
    return kNoNextHop;
  }
  --free_count_;
  ++used_;
  keys_[index] = key;
  return index;
}

void NextHopTable::resolve(NextHopIndex index, const MacAddress& destination) {
  NextHop& entry = entries_[index];
  if (std::memcmp(entry.ether_addresses, destination.data(), destination.size()) != 0) {
    // A worker that reads between the two stores of a changed address would send to neither: it holds
    // meanwhile.
    entry.state.store(NextHop::incomplete, std::memory_order_release);
    std::memcpy(entry.ether_addresses, destination.data(), destination.size());
  }
  entry.state.store(NextHop::resolved, std::memory_order_release);
}

void NextHopTable::set_state(NextHopIndex index, NextHop::State state) {
  entries_[index].state.store(state, std::memory_order_release);
}

void NextHopTable::release(NextHopIndex index) {
  const HashKey gone = hash_key(keys_[index]);
  const int position = rte_hash_del_key(hash_, &gone);
  if (position >= 0) rte_hash_free_key_with_position(hash_, position);
  entries_[index].state.store(NextHop::unused, std::memory_order_release);
  --used_;
}

void NextHopTable::recycle(NextHopIndex index) { free_[free_count_++] = index; }

}  // namespace poolgate::drivers
