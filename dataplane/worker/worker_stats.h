// SPDX-License-Identifier: BSD-3-Clause
#pragma once

#include <atomic>
#include <cstdint>

#include "dataplane/pool/single_writer.h"

namespace poolgate::worker {

// One thread adds, any thread may read.
class Counter {
 public:
  void add(uint64_t n) { pool::add(value_, n); }
  void set(uint64_t n) { value_.store(n, std::memory_order_relaxed); }
  uint64_t get() const { return value_.load(std::memory_order_relaxed); }

 private:
  std::atomic<uint64_t> value_{0};
};

// What one worker did, in packets and in TSC cycles.
struct alignas(64) WorkerStats {
  Counter turns;        // of the loop
  Counter bursts;       // that were not empty
  Counter received;     // packets, from its queues
  Counter sent;         // packets, to its queues
  Counter exceptions;   // to the main lcore, for the TAP
  Counter held;         // to the main lcore, for a neighbour
  Counter handed_over;  // to the endpoint's worker, or to the one that owns a transmit queue
  Counter from_main;    // from the main lcore or other workers, to be sent
  Counter sleeps;
  Counter gaps;  // of more than a second, in which the thread did not run
  // TSC cycles. busy and idle are all there is; the others are parts of busy (and the timers' of idle, too).
  Counter busy_cycles;      // turns that found work
  Counter idle_cycles;      // turns that found none, and sleep
  Counter redirect_cycles;  // receive to send
  Counter endpoint_cycles;  // SCTP endpoint: input, messages, timers
  Counter timer_cycles;     // the endpoint's timers and the sessions' ageing
};

}  // namespace poolgate::worker
