// SPDX-License-Identifier: BSD-3-Clause
// Redirect of established SCTP flows through the worker's own stages (Redirector::process: parse,
// lookup, the association's state, the PE's death, rewrite, counters, next hop, transmit arrays), in bursts
// of 32 from uniformly random flows, beside the floor (floor_baseline.h) on the same packets. Cycles are
// those of the TSC.
#include <benchmark/benchmark.h>
#include <rte_cycles.h>
#include <rte_mempool.h>

#include <cstdio>
#include <memory>

#include "dataplane/redirect/crc32c.h"
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

uint64_t random_word() {
  static uint64_t s = 88172645463325252;
  s ^= s << 13;
  s ^= s >> 7;
  return s ^= s << 17;
}

// Flow i: a bijection, so that flows differ.
uint32_t scatter(uint32_t i) {
  i *= 2654435761u;
  i ^= i >> 15;
  i *= 2246822519u;
  return i ^ i >> 13;
}

struct FlowOf {
  explicit FlowOf(uint32_t i) {
    const uint32_t m = scatter(i);
    source = redirect::wire::swap32(0x0a000000 | (m & 0x3ffff));
    port = redirect::wire::swap16(static_cast<uint16_t>(1024 + (m >> 18)));
    tag = m | 1;
  }
  uint32_t source;
  uint16_t port;
  uint32_t tag;
};

// Ethernet, IPv4, SCTP, one chunk.
constexpr uint16_t kShort = 66, kLong = 1500;
void fill(rte_mbuf* m, const FlowOf& f, uint32_t tag, uint8_t chunk, uint16_t length = kShort) {
  using namespace redirect::wire;
  m->data_off = RTE_PKTMBUF_HEADROOM;
  m->data_len = length;
  m->pkt_len = length;
  m->ol_flags = 0;
  m->port = 0;
  auto* p = rte_pktmbuf_mtod(m, uint8_t*);
  std::memset(p, 0x11, 12);
  put16(p + 12, kEtherIpv4);
  static const uint8_t ip[12] = {0x45, 0, 0, 52, 0, 0, 0, 0, 64, kSctp, 0, 0};
  std::memcpy(p + 14, ip, 12);
  put16(p + 16, static_cast<uint16_t>(length - 14));
  put_raw32(p + 26, f.source);
  put_raw32(p + 30, kVip);
  put_raw16(p + 34, f.port);
  put16(p + 36, kPort);
  put_raw32(p + 38, tag);
  put_raw32(p + 42, 0);
  p[46] = chunk;
  p[47] = 3;
  put16(p + 48, static_cast<uint16_t>(length - 46));
  put_raw32(p + 50, f.tag);  // INIT: the initiate tag
  std::memset(p + 54, 0, 12);
  if (chunk == 1) put_raw32(p + 42, redirect::sctp_checksum(p + 34, 32));  // `nat` looks at an INIT's
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
    associate();
  }

  // Cycles a packet.
  double round() {
    std::vector<double> cycles;
    for (unsigned r = 0; r < kRepeats; ++r) {
      for (unsigned i = 0; i < kPackets; ++i) {
        const FlowOf f(static_cast<uint32_t>(random_word() % flows_));
        fill(mbufs_[i], f, f.tag, 0, length_);
      }
      const uint64_t start = rte_rdtsc_precise();
      for (unsigned b = 0; b < kBursts; ++b) burst(mbufs_ + b * kBurst, start);
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
  void burst(rte_mbuf** mbufs, uint64_t tsc) {
    // Microseconds, as the worker's clock has them.
    forwarded_ +=
        world_.burst(0, mbufs, kBurst, 1'000'000 + static_cast<uint64_t>(static_cast<double>(tsc) * us_));
  }
  void associate() {
    for (uint32_t first = 0; first < flows_; first += kBurst) {
      for (const uint8_t chunk : {uint8_t{1}, uint8_t{10}}) {
        for (unsigned i = 0; i < kBurst; ++i) {
          const FlowOf f(std::min(first + i, flows_ - 1));
          fill(mbufs_[i], f, chunk == 1 ? 0 : f.tag, chunk);
        }
        burst(mbufs_, rte_rdtsc());
        for (unsigned i = 0; i < kBurst; ++i) sent_ += 1;
      }
    }
    if (world_.stage(0).session_stats().sessions != flows_ || forwarded_ != sent_) {
      std::fprintf(stderr, "redirect_bench: %llu of %u associations, %llu of %llu packets\n",
                   static_cast<unsigned long long>(world_.stage(0).session_stats().sessions), flows_,
                   static_cast<unsigned long long>(forwarded_), static_cast<unsigned long long>(sent_));
      std::abort();
    }
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
      const FlowOf f(i);
      table_.insert({f.source, kVip, f.port, redirect::wire::swap16(kPort), 132},
                    static_cast<uint16_t>(i % kPes));
    }
    for (unsigned i = 0; i < kPes; ++i) backends_[i].address = redirect::wire::swap32(0x0a630000 | i);
  }
  template <perf::FloorMode mode>
  double round() {
    std::vector<double> cycles;
    unsigned failed = 0;
    ++now_;
    for (unsigned r = 0; r < kRepeats; ++r) {
      for (unsigned i = 0; i < kPackets; ++i) {
        const FlowOf f(static_cast<uint32_t>(random_word() % flows_));
        fill(mbufs_[i], f, f.tag, 0);
      }
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
  static rte_mbuf* mbufs[kPackets];
  if (mbufs[0] == nullptr) {
    rte_mempool* pool = rte_pktmbuf_pool_create("bench", 4095, 256, 0, RTE_MBUF_DEFAULT_BUF_SIZE, 0);
    if (pool == nullptr) std::abort();
    for (auto& m : mbufs) m = rte_pktmbuf_alloc(pool);
  }
  return mbufs;
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
  }
  benchmark::RegisterBenchmark("redirect/nat-port/64", nat_port, kShort)->Iterations(1);
  benchmark::RegisterBenchmark("redirect/nat-port/1500", nat_port, kLong)->Iterations(1);
  benchmark::RegisterBenchmark("session/bytes", session_bytes)->Iterations(1);
  benchmark::Initialize(&argc, argv);
  benchmark::RunSpecifiedBenchmarks();
  return 0;
}
