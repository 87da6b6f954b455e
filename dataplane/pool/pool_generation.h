// SPDX-License-Identifier: BSD-3-Clause
#pragma once

#include <atomic>
#include <cstdint>
#include <vector>

#include "controlplane/rserpool/types.h"
#include "dataplane/pool/pe_slot.h"

namespace poolgate::pool {

// A PE as a worker chooses among them. Only those that may get new sessions are in a generation: not drained,
// not found dead, not blocked, with a next hop.
struct Candidate {
  rserpool::PeId id = 0;
  uint32_t registration = 0;
  PeSlotIndex slot = kNoPeSlot;
  uint16_t port = 0;  // network order
  uint8_t family = 0;
  bool on_link = false;
  rserpool::PolicySettings policy;
};

// One state of a pool: immutable once published.
struct PoolGeneration {
  uint64_t number = 0;  // grows with each publication of any pool
  rserpool::PolicyType policy = rserpool::PolicyType::round_robin;
  std::vector<Candidate> candidates;  // by id
};

// Where a pool's generation is published: one a pool, for the life of the data plane.
struct alignas(64) PoolCell {
  std::atomic<const PoolGeneration*> generation{nullptr};
  uint32_t number = 0;
};

}  // namespace poolgate::pool
