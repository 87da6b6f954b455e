// SPDX-License-Identifier: BSD-3-Clause
// A worker as poolgate-dataplane has it, the loop and all its stages (worker/worker.h), on a net_ring device
// whose packets come back to it: in `l2`, what it sent to a PE is the next packet of that client.
#pragma once

#include <rte_dev.h>
#include <rte_ethdev.h>
#include <rte_lcore.h>
#include <rte_malloc.h>
#include <rte_rcu_qsbr.h>
#include <sched.h>
#include <time.h>

#include <atomic>
#include <semaphore>
#include <thread>

#include "dataplane/probe/board.h"
#include "dataplane/worker/endpoint_stage.h"
#include "dataplane/worker/prober_stage.h"
#include "dataplane/worker/worker.h"
#include "drivers/port.h"
#include "drivers/tap.h"
#include "perf/need.h"
#include "perf/paired.h"
#include "perf/stage_world.h"

namespace poolgate::perf {

// Ends a loop that fills its core, from another one, where there is one.
class Stopwatch {
 public:
  // Calls `stop` after a while; `run` is to return soon after. The TSC cycles that it had the core for.
  template <class Run, class Stop>
  double time(unsigned microseconds, Run&& run, Stop&& stop) {
    std::thread waiting([&] {
      cpu_set_t first;
      CPU_ZERO(&first);
      CPU_SET(0, &first);
      sched_setaffinity(0, sizeof first, &first);
      ready_.release();
      const timespec pause{0, static_cast<long>(microseconds) * 1000};
      clock_nanosleep(CLOCK_MONOTONIC, 0, &pause, nullptr);
      stop();
    });
    ready_.acquire();  // it is on its core
    const double start = cpu_seconds();
    run();
    const double spent = cpu_seconds() - start;
    waiting.join();
    return spent * static_cast<double>(rte_get_tsc_hz());
  }

 private:
  std::binary_semaphore ready_{0};
};

// A net_ring device, started as the data plane starts any; what leaves by it comes back.
inline drivers::PortInfo start_ring_port(const std::string& name, rte_mempool* pool) {
  need(rte_eal_hotplug_add("vdev", name.c_str(), "") == 0, name + " cannot be made");
  config::Port port;
  port.name = port.device = name;
  auto started = drivers::start_port(port, {1, 1}, pool);
  need(started.ok(), started ? "" : started.error().text);
  return *started;
}

// How many packets go round: full bursts, in a ring of 1,024.
inline constexpr unsigned kCircling = 31 * kBurst;

// Needs a network namespace of its own (unshare(CLONE_NEWNET)): the neighbours are the kernel's.
class WorkerRig {
 public:
  static constexpr uint32_t kFlows = 1'000;
  static constexpr drivers::MacAddress kOurs = {2, 0, 0, 0, 0, 1};  // the device has none

  // `with_endpoint`: one worker for all, so the SCTP endpoint and the prober are stages of its loop, too.
  WorkerRig(const std::string& name, bool with_endpoint)
      : packets_(rte_pktmbuf_pool_create(name.c_str(), 4095, 256, 0, RTE_MBUF_DEFAULT_BUF_SIZE, 0)),
        port_(start_ring_port("net_ring_" + name, packets_)) {
    need(packets_ != nullptr, "no memory for packets");
    rcu_ = static_cast<rte_rcu_qsbr*>(rte_zmalloc(nullptr, rte_rcu_qsbr_get_memsize(1), RTE_CACHE_LINE_SIZE));
    need(rcu_ != nullptr && rte_rcu_qsbr_init(rcu_, 1) == 0, "no rte_rcu_qsbr");
    start_neighbours(name);
    pool::PoolTableOptions table;
    table.qsbr = rcu_;
    table.resolve = [this](const rserpool::IpAddress& a) {
      return pool::Route{neighbours_->resolve(a, true), true};
    };
    pool_ = std::make_unique<ServedPool>(std::move(table), config::Mode::l2, kPort);
    worker::WorkerOptions options;
    options.lcore = rte_lcore_id();
    options.sessions = kFlows * 2;
    options.pool = packets_;
    options.rcu = rcu_;
    options.pools = &pool_->pools();
    options.neighbours = neighbours_.get();
    options.doorbell = &doorbell_;
    options.forwarding = &forwarding_;
    auto worker = worker::Worker::create(options);
    need(worker.ok(), worker ? "" : worker.error().text);
    worker_ = std::move(*worker);
    worker_->redirector().set_services(pool_->services());
    worker_->add_rx_queue(port_.port_id, 0, 0);
    worker_->set_tx_route(port_.port_id, {.own = true});
    if (with_endpoint) start_endpoint();
    fill();
  }
  ~WorkerRig() {
    worker_.reset();
    prober_.reset();
    endpoint_.reset();
    pool_.reset();
    neighbours_.reset();
    rte_free(rcu_);
    drivers::stop_port(port_.port_id);
  }
  WorkerRig(const WorkerRig&) = delete;
  WorkerRig& operator=(const WorkerRig&) = delete;

  // Cycles a packet, of everything that the loop did for so long.
  double run(unsigned microseconds) {
    const uint64_t before = worker_->stats().received.get();
    double cycles = 0;
    // Again, if it was stopped before the scheduler let it begin.
    while (worker_->stats().received.get() == before)
      cycles = stopwatch_.time(
          microseconds, [&] { worker_->run(); }, [&] { worker_->stop(); });
    return cycles / static_cast<double>(worker_->stats().received.get() - before);
  }
  // Every packet went its way: aborts otherwise.
  void check() const {
    const worker::WorkerStats& stats = worker_->stats();
    need(stats.received.get() > kCircling && stats.sent.get() == stats.received.get(), "packets were lost");
    need(worker_->redirector().session_stats().sessions == kFlows, "sessions came or went");
  }

 private:
  // All PEs are behind the port's own address: what it sends comes back as if a router had sent it.
  void start_neighbours(const std::string& name) {
    auto tap = drivers::Tap::open("pgb-" + name, kOurs, 1500);
    need(tap.ok(), tap ? "" : tap.error().text);
    tap_ = std::make_unique<drivers::Tap>(std::move(*tap));
    tap_->set_carrier(true);
    need(tap_->add_address(rserpool::IpAddress::v4("\x0a\x63\x00\xfe"), 24).ok(), "no address on the TAP");
    char mac[18];
    rte_ether_addr ether;
    std::memcpy(ether.addr_bytes, kOurs.data(), kOurs.size());
    rte_ether_format_addr(mac, sizeof mac, &ether);
    std::string command = "{ ";
    for (unsigned i = 0; i < kPes; ++i)
      command += "echo neigh replace 10.99.0." + std::to_string(i) + " lladdr " + mac +
                 " nud permanent dev " + tap_->name() + "; ";
    need(std::system((command + "} | ip -batch -").c_str()) == 0, "ip neigh failed");
    auto neighbours = drivers::Neighbours::open({{tap_->ifindex(), port_.port_id, kOurs, 1500}}, rcu_, 256);
    need(neighbours.ok(), neighbours ? "" : neighbours.error().text);
    neighbours_ = std::move(*neighbours);
  }

  void start_endpoint() {
    worker::EndpointStageOptions stage;
    stage.sctp.epoch = 1;
    stage.sctp.addresses = {rserpool::IpAddress::v4("\x0a\x63\x00\xfe")};
    stage.neighbours = neighbours_.get();
    stage.resolutions = &pool_->pools().resolutions();
    stage.pe_slots = &pool_->pools().slots();
    stage.pool = packets_;
    auto endpoint = worker::EndpointStage::create(std::move(stage));
    need(endpoint.ok(), endpoint ? "" : endpoint.error().text);
    endpoint_ = std::move(*endpoint);
    worker_->run_endpoint(endpoint_.get());
    prober_ = std::make_unique<worker::ProberStage>(worker::ProberStageOptions{
        &board_, 20'000, endpoint_.get(), neighbours_.get(), packets_, worker_->drop_counters()});
    worker_->run_prober(prober_.get());
  }

  void from_ourselves(rte_mbuf* m) const {
    for (const size_t at : {0, 6})
      std::memcpy(rte_pktmbuf_mtod(m, uint8_t*) + at, kOurs.data(), kOurs.size());
  }
  // Associations, then a packet each of theirs into the ring.
  void fill() {
    rte_mbuf* m = nullptr;
    auto out = std::make_unique<redirect::Output>();
    for (uint32_t i = 0; i < kFlows; ++i) {
      for (const bool opening : {true, false}) {
        m = rte_pktmbuf_alloc(packets_);
        need(m != nullptr, "no packet");
        opening ? init(m, Client(i), 0) : packet(m, Client(i), 0, kCookieEcho);
        from_ourselves(m);
        m->port = port_.port_id;
        worker_->redirector().process(&m, 1, worker::TscClock().now_us(), *out);
        need(out->ports_used == 1u << port_.port_id, "an association was not redirected");
        out->ports[port_.port_id].n = 0;
        out->ports_used = 0;
        rte_pktmbuf_free(m);
      }
    }
    for (unsigned i = 0; i < kCircling; ++i) {
      m = rte_pktmbuf_alloc(packets_);
      need(m != nullptr, "no packet");
      packet(m, Client(i), 0, kDataChunk);
      from_ourselves(m);
      need(rte_eth_tx_burst(port_.port_id, 0, &m, 1) == 1, "the ring is full");
    }
  }

  rte_mempool* packets_;
  drivers::PortInfo port_;
  rte_rcu_qsbr* rcu_ = nullptr;
  std::unique_ptr<drivers::Tap> tap_;
  std::unique_ptr<drivers::Neighbours> neighbours_;
  std::unique_ptr<ServedPool> pool_;
  worker::Doorbell doorbell_;
  std::atomic<bool> forwarding_{true};
  probe::Board board_;
  std::unique_ptr<worker::EndpointStage> endpoint_;
  std::unique_ptr<worker::ProberStage> prober_;
  std::unique_ptr<worker::Worker> worker_;
  Stopwatch stopwatch_;
};

}  // namespace poolgate::perf
