// SPDX-License-Identifier: BSD-3-Clause
// What workers read of a pool. A *view* is a pool as one kind of service may use it: the elements that are
// eligible for it. Each view publishes its generations in a cell of its own.
#pragma once

#include <atomic>
#include <cstdint>
#include <memory>
#include <string_view>
#include <vector>

#include "controlplane/rserpool/policy/rendezvous.h"
#include "controlplane/rserpool/policy/selector.h"
#include "controlplane/rserpool/types.h"
#include "dataplane/pool/pe_slot.h"

namespace poolgate::pool {

// What a service asks of an element.
struct Eligibility {
  rserpool::TransportType transport = rserpool::TransportType::udp;
  uint16_t port = 0;     // host order; not 0: the PE must listen on it (direct return)
  uint8_t family = 0;    // 4 or 6; 0: any (direct return)
  bool on_link = false;  // the PE must be on a network of ours (l2)
  auto operator<=>(const Eligibility&) const = default;
};

struct Candidate {
  rserpool::PeId id = 0;
  PeSlotIndex slot = kNoPeSlot;
};

// One state of a view: immutable once published, but for the selectors, which their workers take out.
struct ViewGeneration {
  uint64_t number = 0;                                     // grows with each publication, of any view
  std::vector<Candidate> candidates;                       // by id; selector slot i is candidates[i]
  std::unique_ptr<const rserpool::Rendezvous> rendezvous;  // over the same elements; shared by the workers
  // One a worker, built on the main lcore. The worker that first meets this generation takes its own (null
  // then), lets it adopt the state of the one that it used before, and leaves that one in `returned`, to be
  // freed with this.
  std::vector<std::atomic<rserpool::Selector*>> selectors;
  std::vector<std::atomic<rserpool::Selector*>> returned;

  explicit ViewGeneration(unsigned workers) : selectors(workers), returned(workers) {}
  ViewGeneration(const ViewGeneration&) = delete;
  ViewGeneration& operator=(const ViewGeneration&) = delete;
  ~ViewGeneration() {
    for (auto& s : selectors) delete s.load(std::memory_order_acquire);
    for (auto& s : returned) delete s.load(std::memory_order_acquire);
  }
};

// What a worker does when it meets a new generation: it takes its selector, with the state of the one that it
// used before. That one is freed with the generation, by the main lcore: freeing is no work for a worker.
inline void take_selector(std::atomic<rserpool::Selector*>& published,
                          std::atomic<rserpool::Selector*>& returned,
                          std::unique_ptr<rserpool::Selector>& mine) {
  std::unique_ptr<rserpool::Selector> next(published.exchange(nullptr, std::memory_order_acq_rel));
  if (mine) {
    next->adopt(*mine);
    returned.store(mine.release(), std::memory_order_release);
  }
  mine = std::move(next);
}

// Where a view is published: never moves, lives as long as the pool table. Never null inside.
struct alignas(64) ViewCell {
  std::atomic<ViewGeneration*> generation{nullptr};  // release, acquire
  uint32_t number = 0;  // 0, 1, 2...: an index for what a worker keeps for each view
};
inline constexpr uint32_t kMaxViews = 8192;

}  // namespace poolgate::pool
