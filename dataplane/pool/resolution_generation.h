// SPDX-License-Identifier: BSD-3-Clause
// What the endpoints' workers read of a pool to answer a resolution in the registrar's place (DESIGN.md §4):
// the PEs that are neither found dead nor drained nor blocked, encoded, and a selector over them. Published
// as views are (pool_generation.h), for the pools that the configuration names.
#pragma once

#include <atomic>
#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <string_view>
#include <unordered_map>
#include <vector>

#include "controlplane/rserpool/policy/selector.h"
#include "controlplane/rserpool/types.h"
#include "dataplane/pool/pe_slot.h"

namespace poolgate::pool {

// One state of a pool: immutable once published, but for the selectors, which the workers take out.
struct ResolutionGeneration {
  uint64_t number = 0;
  struct Element {
    std::string parameter;         // Pool Element, as a resolution response carries it
    PeSlotIndex slot = kNoPeSlot;  // tells its death at once; none: it has no address of ours
  };
  std::vector<Element> elements;  // by id; selector slot i is elements[i]
  // As ViewGeneration's, by SCTP stack: each is one worker's.
  std::vector<std::atomic<rserpool::Selector*>> selectors;
  std::vector<std::atomic<rserpool::Selector*>> returned;

  explicit ResolutionGeneration(unsigned stacks) : selectors(stacks), returned(stacks) {}
  ResolutionGeneration(const ResolutionGeneration&) = delete;
  ResolutionGeneration& operator=(const ResolutionGeneration&) = delete;
  ~ResolutionGeneration() {
    for (auto& s : selectors) delete s.load(std::memory_order_acquire);
    for (auto& s : returned) delete s.load(std::memory_order_acquire);
  }
};

// Where a pool's generations are published: never moves, lives as long as the pool table. Never null inside.
struct alignas(64) ResolutionCell {
  std::atomic<ResolutionGeneration*> generation{nullptr};  // release, acquire
  uint32_t number = 0;  // 0, 1, 2...: an index for what the worker keeps for each pool
};

// Which pools are answered on the worker, and within which limits: immutable, replaced whole.
struct ResolutionDirectory {
  struct Hash {
    using is_transparent = void;
    size_t operator()(std::string_view handle) const noexcept {
      return std::hash<std::string_view>()(handle);
    }
  };
  std::unordered_map<std::string, const ResolutionCell*, Hash, std::equal_to<>> pools;
  uint32_t max_items = 0;          // config::Registrar's
  uint32_t peer_message_rate = 0;  // likewise; messages a second from one association
};

}  // namespace poolgate::pool
