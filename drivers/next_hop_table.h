// SPDX-License-Identifier: BSD-3-Clause
#pragma once

#include <array>
#include <cstdint>
#include <memory>
#include <string>

#include "controlplane/rserpool/ip_address.h"
#include "controlplane/rserpool/result.h"
#include "drivers/next_hop.h"

struct rte_hash;

namespace poolgate::drivers {

using MacAddress = std::array<uint8_t, 6>;
std::string to_string(const MacAddress& mac);  // 02:00:00:00:00:01

// The neighbours that packets leave by, (interface, address, the route's MTU) -> NextHop. One writer, the
// main lcore; workers read without locks. Entries are not moved, and an index stays its neighbour's until
// release() and a grace period.
class NextHopTable {
 public:
  struct Key {
    rserpool::IpAddress address;
    uint32_t ifindex = 0;  // of the port's TAP twin
    uint16_t mtu = 0;  // that the route says, which may differ between routes by one neighbour; 0: nothing
    auto operator<=>(const Key&) const = default;
  };

  static Result<std::unique_ptr<NextHopTable>> create(const char* name, uint32_t capacity);
  ~NextHopTable();
  NextHopTable(const NextHopTable&) = delete;
  NextHopTable& operator=(const NextHopTable&) = delete;

  // ---- any thread
  const NextHop& operator[](NextHopIndex index) const { return entries_[index]; }
  // kNoNextHop if the neighbour has no entry.
  NextHopIndex find(const Key& key) const;
  const NextHop* data() const { return entries_.get(); }
  uint32_t capacity() const { return capacity_; }

  // ---- the main lcore
  // The entry of `key`, made (incomplete) if there is none; kNoNextHop when the table is full.
  // `mtu`: the interface's.
  NextHopIndex acquire(const Key& key, uint16_t port_id, const MacAddress& source, uint16_t mtu);
  void resolve(NextHopIndex index, const MacAddress& destination);
  void set_state(NextHopIndex index, NextHop::State state);
  // Takes the entry out of find(). The index may be reused after recycle(), which the caller calls once no
  // worker can still hold it.
  void release(NextHopIndex index);
  void recycle(NextHopIndex index);
  const Key& key(NextHopIndex index) const { return keys_[index]; }
  uint32_t used() const { return used_; }

 private:
  NextHopTable() = default;

  uint32_t capacity_ = 0;
  uint32_t used_ = 0;
  rte_hash* hash_ = nullptr;
  std::unique_ptr<NextHop[]> entries_;
  std::unique_ptr<Key[]> keys_;
  std::unique_ptr<uint32_t[]> free_;  // a stack of free indices
  uint32_t free_count_ = 0;
};

}  // namespace poolgate::drivers
