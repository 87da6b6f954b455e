// SPDX-License-Identifier: BSD-3-Clause
#pragma once

#include <rte_errno.h>
#include <rte_mbuf.h>
#include <rte_ring.h>

#include <memory>
#include <string>

#include "controlplane/rserpool/result.h"

namespace poolgate::worker {

struct RingDeleter {
  void operator()(rte_ring* ring) const { rte_ring_free(ring); }
};
using Ring = std::unique_ptr<rte_ring, RingDeleter>;

// Bounded; `flags`: RING_F_SP_ENQ, RING_F_SC_DEQ.
inline Result<Ring> make_ring(const std::string& name, unsigned entries, unsigned flags) {
  rte_ring* ring = rte_ring_create(name.c_str(), entries, SOCKET_ID_ANY, flags | RING_F_EXACT_SZ);
  if (ring == nullptr) return Error{"ring " + name + ": " + rte_strerror(rte_errno)};
  return Ring(ring);
}

inline void free_packets(rte_ring* ring) {
  void* packet = nullptr;
  while (rte_ring_dequeue(ring, &packet) == 0) rte_pktmbuf_free(static_cast<rte_mbuf*>(packet));
}

}  // namespace poolgate::worker
