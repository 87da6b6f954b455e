// SPDX-License-Identifier: BSD-3-Clause
#include "dataplane/redirect/handover.h"

#include <rte_errno.h>
#include <rte_mbuf.h>
#include <rte_ring.h>
#include <rte_ring_elem.h>

#include <atomic>
#include <string>

namespace poolgate::redirect {

Handover::Handover(const std::vector<uint8_t>& receivers, const Spread& spread)
    : homes_(spread), receivers_(receivers), pairs_(size_t{kMaxWorkers} * kMaxWorkers) {}

Result<std::unique_ptr<Handover>> Handover::create(const std::vector<uint8_t>& receivers,
                                                   const Spread& spread) {
  static std::atomic<unsigned> made{0};
  const std::string prefix = "poolgate_h" + std::to_string(made++) + "_";
  for (const uint8_t worker : receivers)
    if (worker >= kMaxWorkers) return Error{"more than " + std::to_string(kMaxWorkers) + " workers"};
  std::unique_ptr<Handover> handover(new Handover(receivers, spread));
  for (const uint8_t from : receivers) {
    for (const uint8_t to : receivers) {
      if (from == to) continue;
      const std::string name = prefix + std::to_string(from) + "_" + std::to_string(to);
      const unsigned flags = RING_F_SP_ENQ | RING_F_SC_DEQ | RING_F_EXACT_SZ;
      Pair& pair = handover->pair(from, to);
      pair.packets =
          rte_ring_create_elem((name + "p").c_str(), sizeof(Handed), kPackets, SOCKET_ID_ANY, flags);
      pair.notices =
          rte_ring_create_elem((name + "n").c_str(), sizeof(Notice), kNotices, SOCKET_ID_ANY, flags);
      if (pair.packets == nullptr || pair.notices == nullptr)
        return Error{"rings between workers: " + std::string(rte_strerror(rte_errno))};
    }
  }
  return handover;
}

Handover::~Handover() {
  for (const Pair& pair : pairs_) {
    Handed handed;
    while (pair.packets != nullptr && rte_ring_dequeue_elem(pair.packets, &handed, sizeof handed) == 0)
      rte_pktmbuf_free(handed.packet);
    rte_ring_free(pair.packets);
    rte_ring_free(pair.notices);
  }
}

unsigned Handover::give(unsigned from, unsigned to, const Handed* packets, unsigned n) const {
  return rte_ring_sp_enqueue_burst_elem(pair(from, to).packets, packets, sizeof *packets, n, nullptr);
}

bool Handover::tell(unsigned from, unsigned to, const Notice& notice) const {
  return rte_ring_sp_enqueue_bulk_elem(pair(from, to).notices, &notice, sizeof notice, 1, nullptr) == 1;
}

unsigned Handover::take(unsigned from, unsigned to, Handed* packets, unsigned max) const {
  return rte_ring_sc_dequeue_burst_elem(pair(from, to).packets, packets, sizeof *packets, max, nullptr);
}

bool Handover::hear(unsigned from, unsigned to, Notice& notice) const {
  return rte_ring_sc_dequeue_bulk_elem(pair(from, to).notices, &notice, sizeof notice, 1, nullptr) == 1;
}

}  // namespace poolgate::redirect
