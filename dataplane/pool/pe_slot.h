// SPDX-License-Identifier: BSD-3-Clause
// One cache line to each PE that traffic may go to: what a session points at. Written by the main lcore, read
// by workers. A slot's address and port never change while it is in use: a PE that registers with another
// address gets another slot, and the old one lives on until its last session has gone.
#pragma once

#include <atomic>
#include <cstdint>
#include <memory>
#include <vector>

#include "controlplane/rserpool/types.h"
#include "drivers/next_hop.h"

namespace poolgate::pool {

using PeSlotIndex = uint32_t;
inline constexpr PeSlotIndex kNoPeSlot = UINT32_MAX;

struct alignas(64) PeSlot {
  // How often this PE was found dead. A session keeps the value that it began with: another value now means
  // that its server is gone, even if the PE has registered again since.
  std::atomic<uint16_t> deaths{0};
  std::atomic<bool> down{false};     // found dead, no newer registration yet
  std::atomic<bool> blocked{false};  // `set pe block`: its sessions are ended too
  std::atomic<drivers::NextHopIndex> next_hop{drivers::kNoNextHop};
  uint8_t address[16] = {};       // network order; 4 or 16 bytes by family
  uint16_t port = 0;              // network order, of the user transport
  uint8_t family = 0;             // 4 or 6
  std::atomic<bool> hold{false};  // found dead, but the guard holds: neither aborted nor given new sessions
  uint32_t pe_id = 0;
  uint32_t pool = 0;  // number of the pool's cell
  bool in_use = false;
};

// A fixed array of slots, and the log by which workers learn what changed: a worker copies what it needs of a
// slot into its own line when it reads the slot's index in the log, so that the fast path reads no shared
// line but the log's head, once a burst.
class PeSlots {
 public:
  explicit PeSlots(uint32_t capacity);

  uint32_t capacity() const { return static_cast<uint32_t>(capacity_); }
  const PeSlot& operator[](PeSlotIndex i) const { return slots_[i]; }
  PeSlot& operator[](PeSlotIndex i) { return slots_[i]; }

  // ---- main lcore
  PeSlotIndex allocate();  // kNoPeSlot: all in use
  void free(PeSlotIndex slot);
  void log(PeSlotIndex slot);  // "read this slot again"; release

  // ---- workers. Sequence of the newest entry; entry(n) is valid for the last kLog of them.
  static constexpr uint64_t kLog = 65536;
  uint64_t head() const { return head_.load(std::memory_order_acquire); }
  PeSlotIndex entry(uint64_t sequence) const { return log_[sequence % kLog].load(std::memory_order_relaxed); }

 private:
  size_t capacity_;
  std::unique_ptr<PeSlot[]> slots_;
  std::vector<PeSlotIndex> free_;
  std::unique_ptr<std::atomic<PeSlotIndex>[]> log_;
  alignas(64) std::atomic<uint64_t> head_{0};
};

}  // namespace poolgate::pool
