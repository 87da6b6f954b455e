// SPDX-License-Identifier: BSD-3-Clause
// Redirect of established SCTP flows through the worker's own stages (Redirector::process: parse,
// lookup, the association's state, the PE's death, rewrite, counters, next hop, transmit arrays), in bursts
// of 32 from uniformly random flows, beside the floor (floor_baseline.h) on the same packets. Cycles are
// those of the TSC.
#include <benchmark/benchmark.h>
#include <rte_cycles.h>

#include <cstdio>
#include <memory>
#include <string>
#include <vector>

#include "dataplane/redirect/wire.h"
#include "perf/bench_eal.h"
#include "perf/floor_baseline.h"
#include "perf/paired.h"
#include "perf/stage_world.h"

namespace {

using namespace poolgate;

using perf::kBurst, perf::kPes, perf::kPort, perf::kVip;
constexpr unsigned kPackets = 1024, kBursts = kPackets / kBurst;
// Of kPackets, in one round. Its figure is their median: what else the machine does meanwhile falls out.
constexpr unsigned kRepeats = 61;

// Bytes of a chunk: of the smallest frames, and of those that fill an MTU of 1,500 but for 14.
constexpr uint16_t kShort = 20, kLong = 1454;

// DATA of flows at random.
void fill(rte_mbuf** mbufs, uint32_t flows, uint16_t length = kShort) {
  for (unsigned i = 0; i < kPackets; ++i)
    perf::packet(mbufs[i], perf::Client(static_cast<uint32_t>(perf::random_word() % flows)), 0,
                 perf::kDataChunk, length);
}

// The same the other way: of each flow's PE to its client, in `nat`.
using Pes = std::vector<uint8_t>;  // last byte of the address, by flow
uint32_t pe_address(uint8_t last) { return redirect::wire::swap32(0x0a630000 | last); }
void packet_back(rte_mbuf* m, uint32_t flow, uint8_t pe) {
  const perf::Client c(flow);
  perf::packet(m, c, 0, perf::kDataChunk, kShort);
  auto* p = rte_pktmbuf_mtod(m, uint8_t*);
  redirect::wire::put_raw32(p + 26, pe_address(pe));
  redirect::wire::put_raw32(p + 30, c.address[0]);
  redirect::wire::put16(p + 34, kPort);
  redirect::wire::put_raw16(p + 36, c.port);
}
void fill_back(rte_mbuf** mbufs, const Pes& pes) {
  for (unsigned i = 0; i < kPackets; ++i) {
    const auto flow = static_cast<uint32_t>(perf::random_word() % pes.size());
    packet_back(mbufs[i], flow, pes[flow]);
  }
}

class Stage {
 public:
  Stage(uint32_t flows, config::Mode mode, rte_mbuf** mbufs, uint16_t pe_port = kPort,
        uint16_t length = kShort)
      : mbufs_(mbufs),
        flows_(flows),
        length_(length),
        // 85 % full; in `nat` an association has a second key.
        world_({.lines = static_cast<uint32_t>(flows * (mode == config::Mode::nat ? 2.0 : 1.0) / 0.85),
                .mode = mode,
                .pe_port = pe_port}) {
    perf::associate(world_, mbufs, flows, now(rte_rdtsc()));
  }

  // Where `nat` sends each flow. Of each, one packet has come back.
  Pes pes() {
    Pes pes;
    for (uint32_t flow = 0; flow < flows_; ++flow) {
      perf::packet(mbufs_[0], perf::Client(flow), 0, perf::kDataChunk, kShort);
      if (world_.burst(0, mbufs_, 1, now(rte_rdtsc())) != 1) std::abort();
      pes.push_back(rte_pktmbuf_mtod(mbufs_[0], const uint8_t*)[33]);
      packet_back(mbufs_[0], flow, pes.back());
      if (world_.burst(0, mbufs_, 1, now(rte_rdtsc())) != 1) std::abort();
    }
    return pes;
  }

  // Cycles a packet.
  double round(const Pes* back = nullptr) {
    std::vector<double> cycles;
    for (unsigned r = 0; r < kRepeats; ++r) {
      back != nullptr ? fill_back(mbufs_, *back) : fill(mbufs_, flows_, length_);
      const uint64_t start = rte_rdtsc_precise();
      for (unsigned b = 0; b < kBursts; ++b)
        forwarded_ += world_.burst(0, mbufs_ + b * kBurst, kBurst, now(start));
      cycles.push_back(static_cast<double>(rte_rdtsc_precise() - start));
    }
    sent_ += uint64_t{kRepeats} * kPackets;
    if (forwarded_ != sent_) {
      std::fprintf(stderr, "redirect_bench: %llu packets were not forwarded\n",
                   static_cast<unsigned long long>(sent_ - forwarded_));
      std::abort();
    }
    return perf::median(cycles) / kPackets;
  }
  double bytes_per_session() { return static_cast<double>(world_.stage(0).session_stats().bytes) / flows_; }

 private:
  // Microseconds, as the worker's clock has them.
  uint64_t now(uint64_t tsc) const {
    return perf::kNow + static_cast<uint64_t>(static_cast<double>(tsc) * us_);
  }

  rte_mbuf** mbufs_;
  uint32_t flows_;
  uint16_t length_;
  double us_ = 1e6 / static_cast<double>(rte_get_tsc_hz());
  perf::World world_;
  uint64_t forwarded_ = 0, sent_ = 0;
};

class Floor {
 public:
  Floor(uint32_t flows, rte_mbuf** mbufs) : mbufs_(mbufs), flows_(flows), table_(flows) {
    for (uint32_t i = 0; i < flows; ++i) {
      const perf::Client c(i);
      table_.insert({c.address[0], kVip, c.port, redirect::wire::swap16(kPort), 132},
                    static_cast<uint16_t>(i % kPes));
    }
    for (unsigned i = 0; i < kPes; ++i) backends_[i].address = pe_address(static_cast<uint8_t>(i));
  }
  // Of the packets from PEs.
  Floor(const Pes& pes, rte_mbuf** mbufs)
      : mbufs_(mbufs), flows_(static_cast<uint32_t>(pes.size())), table_(flows_) {
    for (uint32_t i = 0; i < flows_; ++i) {
      const perf::Client c(i);
      table_.insert({pe_address(pes[i]), c.address[0], redirect::wire::swap16(kPort), c.port, 132},
                    static_cast<uint16_t>(i % kPes));
    }
  }
  template <perf::FloorMode mode>
  double round(const Pes* back = nullptr) {
    std::vector<double> cycles;
    unsigned failed = 0;
    ++now_;
    for (unsigned r = 0; r < kRepeats; ++r) {
      back != nullptr ? fill_back(mbufs_, *back) : fill(mbufs_, flows_);
      const uint64_t start = rte_rdtsc_precise();
      for (unsigned b = 0; b < kBursts; ++b)
        failed += perf::floor_burst<mode, kBurst>(table_, backends_, mbufs_ + b * kBurst, now_);
      cycles.push_back(static_cast<double>(rte_rdtsc_precise() - start));
    }
    if (failed != 0) std::abort();
    return perf::median(cycles) / kPackets;
  }

 private:
  rte_mbuf** mbufs_;
  uint32_t flows_;
  perf::FloorTable table_;
  perf::FloorBackend backends_[kPes];
  uint32_t now_ = 1;
};

rte_mbuf** packets() {
  static std::vector<rte_mbuf*> mbufs = perf::buffers(kPackets);
  return mbufs.data();
}

void l2(benchmark::State& state, uint32_t flows) {
  Stage stage(flows, config::Mode::l2, packets());
  Floor control(flows, packets());
  perf::report_paired(
      state, "cycles/packet", "floor, 8-way buckets, l2", [&] { return stage.round(); },
      [&] { return control.round<perf::FloorMode::l2>(); });
}

void nat(benchmark::State& state, uint32_t flows) {
  Stage stage(flows, config::Mode::nat, packets());
  Floor control(flows, packets());
  perf::report_paired(
      state, "cycles/packet", "floor, 8-way buckets, nat", [&] { return stage.round(); },
      [&] { return control.round<perf::FloorMode::nat>(); });
}

void nat_back(benchmark::State& state, uint32_t flows) {
  Stage stage(flows, config::Mode::nat, packets());
  const Pes pes = stage.pes();
  Floor control(pes, packets());
  perf::report_paired(
      state, "cycles/packet", "floor, 8-way buckets, nat", [&] { return stage.round(&pes); },
      [&] { return control.round<perf::FloorMode::nat>(&pes); });
}

void ipip(benchmark::State& state, uint32_t flows) {
  Stage stage(flows, config::Mode::ipip, packets());
  Floor control(flows, packets());
  perf::report_paired(
      state, "cycles/packet", "floor, 8-way buckets, ipip", [&] { return stage.round(); },
      [&] { return control.round<perf::FloorMode::ipip>(); });
}

// What the PE's other port costs: CRC32c by increment, whatever the length.
void nat_port(benchmark::State& state, uint16_t length) {
  constexpr uint32_t kFlows = 1'000;
  Stage stage(kFlows, config::Mode::nat, packets(), kPort + 1, length);
  Stage control(kFlows, config::Mode::nat, packets(), kPort, length);
  perf::report_paired(
      state, "cycles/packet", "nat without port change", [&] { return stage.round(); },
      [&] { return control.round(); });
}

void session_bytes(benchmark::State& state) {
  for (auto _ : state) {
    Stage stage(850'000, config::Mode::l2, packets());
    perf::report_figure(state, "bytes/session", stage.bytes_per_session());
  }
}

}  // namespace

int main(int argc, char** argv) {
  if (!perf::start_eal(argv[0])) return 1;
  const std::pair<const char*, uint32_t> sizes[] = {
      {"1k", 1'000}, {"100k", 100'000}, {"1M", 1'000'000}, {"4M", 4'000'000}};
  for (const auto& [name, flows] : sizes) {
    benchmark::RegisterBenchmark(("redirect/l2/" + std::string(name)).c_str(), l2, flows)->Iterations(1);
    benchmark::RegisterBenchmark(("redirect/ipip/" + std::string(name)).c_str(), ipip, flows)->Iterations(1);
    benchmark::RegisterBenchmark(("redirect/nat/" + std::string(name)).c_str(), nat, flows)->Iterations(1);
    benchmark::RegisterBenchmark(("redirect/nat-back/" + std::string(name)).c_str(), nat_back, flows)
        ->Iterations(1);
  }
  benchmark::RegisterBenchmark("redirect/nat-port/64", nat_port, kShort)->Iterations(1);
  benchmark::RegisterBenchmark("redirect/nat-port/1500", nat_port, kLong)->Iterations(1);
  benchmark::RegisterBenchmark("session/bytes", session_bytes)->Iterations(1);
  return perf::run_benchmarks(argc, argv);
}
