// SPDX-License-Identifier: BSD-3-Clause
// Which PE a new session goes to: the pool's policy with this worker's own state, or rendezvous.
#pragma once

#include <cstdint>
#include <memory>
#include <vector>

#include "dataplane/pool/pool_generation.h"
#include "dataplane/redirect/classify.h"

namespace poolgate::redirect {

class Chooser {
 public:
  Chooser(unsigned worker, const pool::PeLine* lines)
      : worker_(worker), lines_(lines), views_(pool::kMaxViews) {}

  // The generation to choose from. Load it before catching up with the PE slots' log, which is written first:
  // so what the lines say of a PE is never older than the generation.
  static pool::ViewGeneration& current(const ServiceEntry& service, uint8_t family) {
    const pool::ViewCell& cell = family == 6 ? *service.view_v6 : *service.view_v4;
    return *cell.generation.load(std::memory_order_acquire);
  }
  // By the service's selection. kNoPeSlot: no PE is eligible. `address`: the client's, 4 or 16 bytes by
  // family.
  pool::PeSlotIndex choose(const ServiceEntry& service, pool::ViewGeneration& now, uint8_t family,
                           const uint8_t* address, uint16_t port);
  // By rendezvous whatever the service says: for packets whose PE must be found without a session.
  pool::PeSlotIndex steer(const ServiceEntry& service, const pool::ViewGeneration& now, uint8_t family,
                          const uint8_t* address, uint16_t port) const;

 private:
  struct View {
    uint64_t generation = 0;
    std::unique_ptr<rserpool::Selector> selector;
  };
  pool::PeSlotIndex by_policy(uint32_t view, pool::ViewGeneration& now);

  unsigned worker_;
  const pool::PeLine* lines_;
  std::vector<View> views_;
};

}  // namespace poolgate::redirect
