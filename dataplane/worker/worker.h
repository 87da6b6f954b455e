// SPDX-License-Identifier: BSD-3-Clause
#pragma once

#include <array>
#include <atomic>
#include <cstdint>
#include <memory>
#include <vector>

#include "controlplane/rserpool/result.h"
#include "dataplane/redirect/drop_reasons.h"
#include "dataplane/redirect/handover.h"
#include "dataplane/redirect/redirector.h"
#include "dataplane/worker/doorbell.h"
#include "dataplane/worker/endpoint_stage.h"
#include "dataplane/worker/prober_stage.h"
#include "dataplane/worker/ring.h"
#include "dataplane/worker/tsc_clock.h"
#include "dataplane/worker/worker_stats.h"
#include "drivers/neighbours.h"

struct rte_rcu_qsbr;

namespace poolgate::worker {

// How a worker sends on a port: on a queue of its own, or through the worker that has one.
struct TxRoute {
  bool own = false;
  uint16_t queue = 0;
  rte_ring* via = nullptr;
  uint16_t vlan = 0;  // that the port's frames carry; 0: none
  bool device_puts_vlan_on = false;
};

struct WorkerOptions {
  unsigned index = 0;
  unsigned lcore = 0;
  unsigned burst = 32;
  unsigned idle_sleep_us = 0;
  uint32_t sessions = 1'000'000;
  uint32_t half_open_sessions = 65'536;
  std::string session_file, client_hop_file;
  rte_mempool* pool = nullptr;
  rte_rcu_qsbr* rcu = nullptr;
  pool::PoolTable* pools = nullptr;
  const drivers::Neighbours* neighbours = nullptr;
  redirect::TunnelSources tunnel_sources;
  redirect::PortMtus port_mtus{};
  Doorbell* doorbell = nullptr;
  const redirect::Handover* handover = nullptr;   // to the other workers that receive
  const std::atomic<bool>* forwarding = nullptr;  // false: packets stay in the device (testpmd's `stop`)
};

// One lcore's loop: receive burst, classify and redirect, endpoint, rings, timers. DESIGN.md §2.
class Worker final : public PacketSink {
 public:
  static constexpr unsigned kTxRing = 2048;         // from the main lcore and other workers, to be sent
  static constexpr unsigned kExceptionRing = 1024;  // to the main lcore, for the TAP
  static constexpr unsigned kHoldRing = 512;        // to the main lcore, for a neighbour
  static constexpr unsigned kEndpointRing = 1024;   // SCTP packets that other workers received
  static constexpr unsigned kIdleTurns = 16;        // empty turns before it sleeps
  static constexpr unsigned kLongIdleTurns = 1000;  // and before it sleeps twice as long

  static Result<std::unique_ptr<Worker>> create(const WorkerOptions& options);
  ~Worker() override;

  // ---- before run(), main lcore
  void add_rx_queue(uint16_t port_id, uint16_t queue, uint16_t vlan) {
    rx_queues_.push_back({port_id, queue, vlan});
  }
  void set_tx_route(uint16_t port_id, const TxRoute& route) { tx_routes_[port_id] = route; }
  // This worker runs an endpoint, or hands the packets of each stack to the one that does.
  void run_endpoint(EndpointStage* stage);
  // Beside the endpoint: answers to probes come to our addresses, too.
  void run_prober(ProberStage* stage) { prober_ = stage; }
  void hand_endpoint_to(const sctp::Steering* steering, std::vector<rte_ring*> rings) {
    steering_ = steering;
    endpoint_via_ = std::move(rings);
  }

  // The loop, on the worker's lcore, until stop(). It may be run again.
  int run();
  // After run(), main lcore: sends what the endpoint said at its end.
  void flush_after_stop() { flush_own(); }
  void stop() { stopping_.store(true, std::memory_order_relaxed); }

  // ---- main lcore and other workers
  rte_ring* tx_ring() { return tx_ring_.get(); }              // packets with mbuf::port set: many producers
  rte_ring* endpoint_ring() { return endpoint_ring_.get(); }  // likewise
  rte_ring* exception_ring() { return exception_ring_.get(); }
  rte_ring* hold_ring() { return hold_ring_.get(); }  // next hop in mbuf::hash.usr
  redirect::Redirector& redirector() { return *redirector_; }

  // ---- any thread
  const WorkerStats& stats() const { return stats_; }
  const redirect::DropCounters& drops() const { return drops_; }
  const redirect::Redirector& redirector() const { return *redirector_; }
  redirect::DropCounters* drop_counters() { return &drops_; }
  unsigned index() const { return options_.index; }
  unsigned lcore() const { return options_.lcore; }
  bool receives_with_others() const { return options_.handover != nullptr; }
  bool has_endpoint() const { return endpoint_ != nullptr; }

  // ---- PacketSink: the endpoint's output
  void send_frame(rte_mbuf* frame, drivers::NextHopIndex next_hop) override;

 private:
  explicit Worker(const WorkerOptions& options) : options_(options) {}
  struct RxQueue {
    uint16_t port_id;
    uint16_t queue;
    uint16_t vlan;
  };

  bool turn(uint64_t began);
  void set_time(uint64_t us);
  bool turn_endpoint(uint64_t began);
  void turn_timers();
  void idle();
  unsigned receive();
  unsigned receive_handed();
  unsigned send_from_rings();
  unsigned endpoint_from_ring();
  void redirect_burst(rte_mbuf** packets, unsigned n);
  void deliver();
  void endpoint_input(rte_mbuf* packet, const redirect::PacketInfo& info);
  void to_endpoint(rte_mbuf* packet, const redirect::PacketInfo& info);
  unsigned stack_of(rte_mbuf* packet, const redirect::PacketInfo& info) const;
  void transmit(uint16_t port_id, rte_mbuf** packets, unsigned n);
  void to_main(rte_ring* ring, rte_mbuf** packets, unsigned n, redirect::DropReason full, Counter& counted);
  void flush_own();

  const WorkerOptions options_;
  TscClock clock_;
  uint64_t now_us_ = 0;     // without the gaps
  uint64_t clock_us_ = 0;   // as the clock said last
  uint64_t gaps_us_ = 0;    // in which this thread did not run
  bool ring_bell_ = false;  // something went to the main lcore in this turn
  unsigned empty_turns_ = 0;
  std::vector<RxQueue> rx_queues_;
  std::array<TxRoute, redirect::kMaxPorts> tx_routes_{};
  Ring tx_ring_;
  Ring endpoint_ring_;
  Ring exception_ring_;
  Ring hold_ring_;
  EndpointStage* endpoint_ = nullptr;
  ProberStage* prober_ = nullptr;
  const sctp::Steering* steering_ = nullptr;
  std::vector<rte_ring*> endpoint_via_;  // by stack; empty: this worker runs the endpoint
  uint64_t timers_us_ = 0;
  uint64_t session_timer_cycles_ = 0;
  std::unique_ptr<redirect::Redirector> redirector_;
  std::unique_ptr<redirect::Output> output_;
  // The endpoint's frames of this turn, by port.
  struct OwnFrames {
    unsigned n = 0;
    rte_mbuf* packets[redirect::kMaxBurst];
  };
  std::array<OwnFrames, redirect::kMaxPorts> own_;
  uint32_t own_used_ = 0;

  WorkerStats stats_;
  redirect::DropCounters drops_;
  alignas(64) std::atomic<bool> stopping_{false};
};

}  // namespace poolgate::worker
