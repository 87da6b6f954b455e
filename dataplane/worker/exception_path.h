// SPDX-License-Identifier: BSD-3-Clause
#pragma once

#include <cstdint>
#include <functional>
#include <vector>

#include "dataplane/redirect/drop_reasons.h"
#include "dataplane/worker/worker.h"
#include "drivers/held_packets.h"
#include "drivers/neighbours.h"
#include "drivers/port.h"
#include "drivers/tap.h"

namespace poolgate::worker {

// The slow path, on the main lcore: what the workers pass for the kernel goes to the TAPs, what the kernel
// sends goes to a worker to be sent, and packets whose neighbour is not resolved wait here.
class ExceptionPath {
 public:
  struct Twin {
    drivers::PortInfo port;
    drivers::Tap tap;
    Worker* sender = nullptr;  // has a transmit queue of the port
    bool link_up = false;
  };
  struct Counters {
    Counter to_kernel, from_kernel, resolved_later;
  };

  ExceptionPath(std::vector<Twin> twins, rte_mempool* pool, drivers::Neighbours* neighbours,
                std::vector<Worker*> workers);
  ~ExceptionPath();

  // Workers' rings: a bounded share; returns how many packets were moved.
  unsigned run_rings(uint64_t now_ms);
  // The kernel has frames for the port of this twin.
  unsigned run_tap(size_t twin);
  void neighbour_changed(drivers::NextHopIndex index);
  // Every 100 ms or so: expiry, carrier, the TAPs' MACs.
  void tick(uint64_t now_ms);
  // Time in which nothing ran: no packet has waited in it.
  void skip(uint64_t ms) { held_.skip(ms); }
  // Not ready: no TAP has carrier, whatever its link.
  void set_ready(bool ready);

  std::vector<Twin>& twins() { return twins_; }
  const Counters& counters() const { return counters_; }
  const redirect::DropCounters& drops() const { return drops_; }
  redirect::DropCounters* drop_counters() { return &drops_; }
  size_t held() const { return held_.size(); }

 private:
  void to_kernel(rte_mbuf* packet);
  void hold(rte_mbuf* packet, uint64_t now_ms);
  void send(rte_mbuf* packet, const drivers::NextHop& hop);
  void drop(rte_mbuf* packet, redirect::DropReason reason);
  void keep_mac(Twin& twin, uint64_t now_ms);
  Twin* twin_of(uint16_t port_id);

  std::vector<Twin> twins_;
  rte_mempool* pool_;
  drivers::Neighbours* neighbours_;
  std::vector<Worker*> workers_;
  drivers::HeldPackets held_;
  bool ready_ = false;
  uint64_t mac_said_ms_ = 0;
  Counters counters_;
  redirect::DropCounters drops_;
};

}  // namespace poolgate::worker
