// SPDX-License-Identifier: BSD-3-Clause
// Rendezvous selection (highest random weight): a client's PE is a function of the client and of the pool's
// PE ids and weights alone, so that every appliance chooses the same. A PE that comes takes its share and a
// PE that goes leaves its share; no other client moves. Loads and distances do not count.
#pragma once

#include <atomic>
#include <cstdint>
#include <memory>
#include <span>
#include <vector>

#include "controlplane/rserpool/policy/selector.h"

namespace poolgate::rserpool {

// Built once from a list; then const, and shared by any number of threads. Integer arithmetic only: the same
// result on every machine and with every compiler.
class Rendezvous {
 public:
  // Clients fall into this many classes, by the top bits of their hash; a class goes to one PE.
  static constexpr unsigned kClassBits = 20;
  // Above this many elements the winner of each class is remembered when it is first needed.
  static constexpr size_t kDirect = 96;

  // Weights are those of WRR, WRAND and WRAND-DPF; elsewhere all are equal. Slot i is element i. Order is of
  // no matter.
  Rendezvous(PolicyType type, std::span<const SelectorElement> elements);

  size_t size() const { return elements_.size(); }

  // O(n) up to kDirect elements (about 2 ns each), O(1) beyond once the class has been asked for. kNoSlot:
  // none has weight.
  Slot pick(uint64_t client_hash) const;
  // The best for which eligible(slot) is true.
  template <class Eligible>
  Slot pick(uint64_t client_hash, Eligible&& eligible) const {
    const Slot best = pick(client_hash);
    if (best == kNoSlot || eligible(best)) return best;
    Contest contest(client_hash);
    for (const Contender& contender : elements_) {
      if (eligible(contender.slot)) contest.enter(contender);
    }
    return contest.winner;
  }

 private:
  struct Contender {
    uint64_t seed = 0;
    uint32_t weight = 1;
    Slot slot = kNoSlot;
  };
  struct Contest {
    explicit Contest(uint64_t client_hash);
    void enter(const Contender& contender);

    uint64_t client;
    uint64_t cost = 0;  // of the winner: -log2 of its number; its score is cost / weight, the smallest wins
    uint32_t weight = 0;
    Slot winner = kNoSlot;
  };
  Slot contest(uint64_t client_hash) const;

  std::vector<Contender> elements_;  // those with weight, by id
  bool equal_weights_ = true;
  struct Free {
    void operator()(std::atomic<uint32_t>* p) const;
  };
  std::unique_ptr<std::atomic<uint32_t>[], Free> winners_;  // of each class, slot + 1; 0: not known yet
};

}  // namespace poolgate::rserpool
