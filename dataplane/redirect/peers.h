// SPDX-License-Identifier: BSD-3-Clause
// What a worker's stage keeps for the others: packets to be handed over after the burst, and whose tags it
// was told of. Private to dataplane/redirect.
#pragma once

#include <rte_mbuf.h>

#include <memory>

#include "dataplane/redirect/handover.h"
#include "dataplane/redirect/redirector.h"
#include "dataplane/redirect/tag_directory.h"

namespace poolgate::redirect {

struct Peers {
  Peers(const Handover& shared, TagDirectory directory, HandoverCounters& figures)
      : rings(shared),
        homes(shared.homes()),
        tags(std::move(directory)),
        counters(figures),
        outgoing(std::make_unique<Outgoing[]>(Handover::kMaxWorkers)),
        waiting(std::make_unique<Waiting[]>(Handover::kMaxWorkers)) {}
  ~Peers() {
    for (unsigned w = 0; w < Handover::kMaxWorkers; ++w)
      for (unsigned i = 0; i < waiting[w].n; ++i) rte_pktmbuf_free(waiting[w].packets[i].packet);
  }
  Peers(const Peers&) = delete;
  Peers& operator=(const Peers&) = delete;

  // At most one for each packet of the burst.
  struct Outgoing {
    unsigned n = 0;
    Handed packets[kMaxBurst];
  };
  // Taken from a ring, and on their way into the cache.
  using Waiting = Outgoing;

  const Handover& rings;
  const Homes& homes;
  TagDirectory tags;
  HandoverCounters& counters;
  std::unique_ptr<Outgoing[]> outgoing;  // by worker
  uint64_t outgoing_used = 0;            // bit i: outgoing[i].n != 0
  std::unique_ptr<Waiting[]> waiting;    // by worker

  // The burst in progress: from a ring, and whose.
  bool handed = false;
  unsigned from = 0;

  uint8_t last_given_to = 0;  // a fragment's way

  uint32_t round = 0;        // of the walk over the table
  bool first_round = false;  // after a restart: everything is said again
};

}  // namespace poolgate::redirect
