// SPDX-License-Identifier: BSD-3-Clause
// What a worker is measured beside: the loop that testpmd calls macswap, written anew with what that one does
// for each packet (prefetch of the next, swap, offload flags) and each burst (two TSC reads, counters); and
// testpmd itself, in a process of its own.
#pragma once

#include <fcntl.h>
#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

#include <csignal>
#include <optional>

#include "perf/bench_eal.h"
#include "perf/worker_rig.h"

namespace poolgate::perf {

// On a net_ring device of its own, on the same core, with packets of the same flows.
class MacSwap {
 public:
  explicit MacSwap(const std::string& name)
      : packets_(rte_pktmbuf_pool_create(name.c_str(), 4095, 256, 0, RTE_MBUF_DEFAULT_BUF_SIZE, 0)),
        port_(start_ring_port("net_ring_" + name, packets_)) {
    need(packets_ != nullptr, "no memory for packets");
    for (unsigned i = 0; i < kCircling; ++i) {
      rte_mbuf* m = rte_pktmbuf_alloc(packets_);
      need(m != nullptr, "no packet");
      packet(m, Client(i), 0, kDataChunk);
      need(rte_eth_tx_burst(port_.port_id, 0, &m, 1) == 1, "the ring is full");
    }
  }
  ~MacSwap() { drivers::stop_port(port_.port_id); }
  MacSwap(const MacSwap&) = delete;
  MacSwap& operator=(const MacSwap&) = delete;

  // Cycles a packet, of everything that the loop did for so long.
  double run(unsigned microseconds) {
    const uint64_t before = received_;
    double cycles = 0;
    while (received_ == before) {  // again, if it was stopped before the scheduler let it begin
      stopping_ = false;
      cycles = stopwatch_.time(
          microseconds, [&] { loop(); }, [&] { stopping_.store(true, std::memory_order_relaxed); });
    }
    need(sent_ == received_, "macswap lost packets");
    return cycles / static_cast<double>(received_ - before);
  }

 private:
  void loop() {
    while (!stopping_.load(std::memory_order_relaxed)) burst();
  }
  [[gnu::noinline]] void burst() {
    const uint64_t began = rte_rdtsc();
    rte_mbuf* packets[kBurst];
    const unsigned n = rte_eth_rx_burst(port_.port_id, 0, packets, kBurst);
    if (n == 0) return;
    received_ += n;
    ++bursts_[n];
    for (unsigned i = 0; i < n; ++i) {
      if (i + 1 < n) __builtin_prefetch(rte_pktmbuf_mtod(packets[i + 1], void*));
      swap(packets[i]);
    }
    sent_ += rte_eth_tx_burst(port_.port_id, 0, packets, static_cast<uint16_t>(n));
    cycles_ += rte_rdtsc() - began;
  }
  static void swap(rte_mbuf* m) {
    auto* ether = rte_pktmbuf_mtod(m, rte_ether_hdr*);
    const rte_ether_addr destination = ether->dst_addr;
    rte_ether_addr_copy(&ether->src_addr, &ether->dst_addr);
    rte_ether_addr_copy(&destination, &ether->src_addr);
    m->ol_flags &= RTE_MBUF_F_INDIRECT | RTE_MBUF_F_EXTERNAL;
    m->l2_len = sizeof(rte_ether_hdr);
    m->l3_len = sizeof(rte_ipv4_hdr);
  }

  rte_mempool* packets_;
  drivers::PortInfo port_;
  uint64_t received_ = 0, sent_ = 0, cycles_ = 0;
  uint64_t bursts_[kBurst + 1] = {};
  std::atomic<bool> stopping_{false};
  Stopwatch stopwatch_;
};

// dpdk-testpmd on a net_ring port, as many packets round it, on the core of whoever makes it; it waits in
// between runs.
class TestPmd {
 public:
  static bool is_there() { return std::system("command -v dpdk-testpmd >/dev/null") == 0; }

  explicit TestPmd(const std::string& name) {
    int in[2], out[2];
    need(pipe2(in, O_CLOEXEC) == 0 && pipe2(out, O_CLOEXEC) == 0, "no pipe");
    const std::string cores = rte_lcore_id() == 0 ? "0,1" : "0," + std::to_string(rte_lcore_id());
    const std::string main = rte_lcore_id() == 0 ? "1" : "0";
    child_ = fork();
    need(child_ >= 0, "no process");
    if (child_ == 0) {
      dup2(in[0], 0);
      dup2(out[1], 1);
      dup2(out[1], 2);
      cpu_set_t all;
      CPU_ZERO(&all);
      for (unsigned cpu = 0; cpu < CPU_SETSIZE; ++cpu) CPU_SET(cpu, &all);
      sched_setaffinity(0, sizeof all, &all);
      const std::string device = "net_ring_" + name;
      std::vector<const char*> argv = {"stdbuf",         "-oL",          "dpdk-testpmd", "-l",
                                       cores.c_str(),    "--main-lcore", main.c_str(),   "--no-pci",
                                       "--no-telemetry", "-m",           "256",          "--vdev",
                                       device.c_str()};
      for (const char* option :
           has_huge_pages() ? std::vector{"--in-memory"} : std::vector{"--no-huge", "--no-shconf"})
        argv.push_back(option);
      for (const char* option : {"--", "-i", "--nb-cores=1", "--total-num-mbufs=8191", "--record-core-cycles",
                                 "--no-flush-rx", "--forward-mode=macswap", "--port-topology=loop"})
        argv.push_back(option);
      argv.push_back(nullptr);
      execvp(argv[0], const_cast<char**>(argv.data()));
      _exit(127);
    }
    close(in[0]);
    close(out[1]);
    to_ = in[1];
    from_ = out[0];
    say("start tx_first " + std::to_string(kCircling / kBurst));
    say("stop");
    answer();
  }
  ~TestPmd() {
    close(to_);  // the end of its input is its end
    close(from_);
    waitpid(child_, nullptr, 0);
  }
  TestPmd(const TestPmd&) = delete;
  TestPmd& operator=(const TestPmd&) = delete;

  // Cycles a packet, as it counts them: of turns that found packets.
  double run(unsigned microseconds) {
    say("start");
    usleep(microseconds);
    say("stop");
    const std::string said = answer();
    static const std::string kFigure = "CPU cycles/packet=";
    const size_t at = said.find(kFigure);
    need(at != std::string::npos, "testpmd said no figure: " + said);
    return std::strtod(said.c_str() + at + kFigure.size(), nullptr);
  }

 private:
  void say(const std::string& command) const {
    const std::string line = command + "\n";
    need(write(to_, line.data(), line.size()) == static_cast<ssize_t>(line.size()), "testpmd is gone");
  }
  // What it says to `stop`, which ends so.
  std::string answer() const {
    std::string said;
    char some[4096];
    while (said.find("\nDone.\n") == std::string::npos) {
      const ssize_t n = read(from_, some, sizeof some);
      need(n > 0, "testpmd ended: " + said);
      said.append(some, static_cast<size_t>(n));
    }
    return said;
  }

  pid_t child_ = -1;
  int to_ = -1, from_ = -1;
};

}  // namespace poolgate::perf
