// SPDX-License-Identifier: BSD-3-Clause
// What a new association costs; what two workers gain over one, with and without packets handed over; ours
// beside rte_hash. Through the stages as the worker calls them, in bursts of 32. Cycles are those of the TSC.
#include <benchmark/benchmark.h>
#include <pthread.h>
#include <rte_cycles.h>
#include <rte_hash.h>
#include <rte_hash_crc.h>

#include <atomic>
#include <cstdio>
#include <thread>

#include "perf/bench_eal.h"
#include "perf/floor_baseline.h"
#include "perf/paired.h"
#include "perf/stage_world.h"

namespace {

using namespace poolgate;
using namespace poolgate::perf;

void expect(uint64_t got, uint64_t wanted, const char* what) {
  if (got == wanted) return;
  std::fprintf(stderr, "workers_bench: %s: %llu, not %llu\n", what, static_cast<unsigned long long>(got),
               static_cast<unsigned long long>(wanted));
  std::abort();
}

// ---- associations/new: INIT with three addresses, choice, three keys, COOKIE ECHO, tag; all in one table of
// 85 % when the last has been added. The control is what three keys cost in the floor's table.
void new_association(benchmark::State& state) {
  constexpr unsigned kRepeats = 15, kCalls = perf::kRounds + 1;
  World world({.lines = static_cast<uint32_t>(3 * kRepeats * kCalls * kPackets / 0.85)});
  auto mbufs = buffers(kPackets);
  perf::FloorTable table(3 * kRepeats * kCalls * kPackets);
  uint32_t next = 0, next_floor = 0;
  const auto ours = [&] {
    std::vector<double> cycles;
    for (unsigned r = 0; r < kRepeats; ++r) {
      uint64_t spent = 0;
      for (const bool first : {true, false}) {
        for (unsigned i = 0; i < kPackets; ++i) {
          if (first)
            init(mbufs[i], Client(next + i));
          else
            packet(mbufs[i], Client(next + i), 0, kCookieEcho);
        }
        const uint64_t start = rte_rdtsc_precise();
        unsigned sent = 0;
        for (unsigned b = 0; b < kPackets; b += kBurst) sent += world.burst(0, mbufs.data() + b, kBurst);
        spent += rte_rdtsc_precise() - start;
        expect(sent, kPackets, "packets of new associations");
      }
      next += kPackets;
      cycles.push_back(static_cast<double>(spent) / kPackets);
    }
    expect(world.stage(0).session_stats().sessions, next, "associations");
    expect(world.stage(0).session_stats().half_open, 0, "half-open ones");
    return perf::median(cycles);
  };
  const auto control = [&] {
    std::vector<double> cycles;
    for (unsigned r = 0; r < kRepeats; ++r, next_floor += kPackets) {
      const uint64_t start = rte_rdtsc_precise();
      for (unsigned i = 0; i < kPackets; ++i) {
        const Client c(next_floor + i);
        for (const uint32_t address : c.address)
          table.insert({address, kVip, c.port, swap16(kPort), kSctp}, static_cast<uint16_t>(i % kPes));
      }
      cycles.push_back(static_cast<double>(rte_rdtsc_precise() - start) / kPackets);
    }
    return perf::median(cycles);
  };
  perf::report_paired(state, "cycles/association", "three inserts into the floor's table", ours, control);
  for (auto* m : mbufs) rte_pktmbuf_free(m);
}

// ---- session/bytes, IPv6: a line and a half, and their share of the indices, 85 % full.
void session_bytes_v6(benchmark::State& state) {
  for (auto _ : state) {
    World world({.lines = 1'000'000});
    const auto stats = world.stage(0).session_stats();
    perf::report_figure(state, "bytes/session",
                        static_cast<double>(stats.bytes) / (stats.capacity * 0.85 / 1.5));
  }
}

// ---- rte_hash with the same flows: parse, bulk look-up, entry, rewrite.
void beside_rte_hash(benchmark::State& state, uint32_t flows) {
  World world({.lines = static_cast<uint32_t>(flows / 0.85)});
  auto mbufs = buffers(kPackets);
  rte_hash_parameters parameters{};
  parameters.name = "bench";
  parameters.entries = flows + flows / 4 + 8;
  parameters.key_len = sizeof(perf::FloorKey);
  parameters.hash_func = rte_hash_crc;
  rte_hash* hash = rte_hash_create(&parameters);
  if (hash == nullptr) std::abort();
  std::vector<perf::FloorEntry> entries(flows);
  std::vector<perf::FloorBackend> backends(kPes);
  associate(world, mbufs.data(), flows);
  for (uint32_t i = 0; i < flows; ++i) {
    const Client c(i);
    entries[i].key = {c.address[0], kVip, c.port, swap16(kPort), kSctp};
    if (rte_hash_add_key_data(hash, &entries[i].key, reinterpret_cast<void*>(uintptr_t{i})) != 0)
      std::abort();
  }
  const auto fill = [&] {
    for (auto* m : mbufs) packet(m, Client(static_cast<uint32_t>(random_word() % flows)), 0, kDataChunk);
  };
  const auto measure = [&](auto&& burst) {
    std::vector<double> cycles;
    for (unsigned r = 0; r < 61; ++r) {
      fill();
      unsigned done = 0;
      const uint64_t start = rte_rdtsc_precise();
      for (unsigned b = 0; b < kPackets; b += kBurst) done += burst(mbufs.data() + b);
      cycles.push_back(static_cast<double>(rte_rdtsc_precise() - start) / kPackets);
      expect(done, kPackets, "packets");
    }
    return perf::median(cycles);
  };
  uint32_t now = 0;
  perf::report_paired(
      state, "cycles/packet", "rte_hash_lookup_bulk_data with the same flows",
      [&] { return measure([&](rte_mbuf** m) { return world.burst(0, m, kBurst); }); },
      [&] {
        ++now;
        return measure([&](rte_mbuf** m) {
          perf::FloorKey keys[kBurst];
          const void* at[kBurst];
          void* data[kBurst];
          for (unsigned i = 0; i < kBurst; ++i) __builtin_prefetch(rte_pktmbuf_mtod(m[i], const void*));
          for (unsigned i = 0; i < kBurst; ++i) {
            if (!perf::floor_parse(m[i], keys[i])) std::abort();
            at[i] = &keys[i];
          }
          uint64_t hits = 0;
          rte_hash_lookup_bulk_data(hash, at, kBurst, &hits, data);
          for (unsigned i = 0; i < kBurst; ++i)
            __builtin_prefetch(&entries[reinterpret_cast<uintptr_t>(data[i])]);
          unsigned done = 0;
          for (unsigned i = 0; i < kBurst; ++i) {
            if ((hits >> i & 1) == 0) continue;
            perf::FloorEntry& e = entries[reinterpret_cast<uintptr_t>(data[i])];
            e.seen = now;
            ++e.packets;
            perf::FloorBackend& backend = backends[e.backend];
            std::memcpy(rte_pktmbuf_mtod(m[i], uint8_t*), backend.macs, 12);
            ++backend.packets;
            backend.bytes += m[i]->pkt_len;
            ++done;
          }
          return done;
        });
      });
  rte_hash_free(hash);
  for (auto* m : mbufs) rte_pktmbuf_free(m);
}

// ---- two workers together: what both get done, over what one alone does; the control is the same of two
// floors. 1.0 would be: a second worker adds as much as a second floor.
constexpr unsigned kSet = 1024, kTurns = 41;

// Threads in turns of a set each, on a CPU each. prepare(thread) is not counted, nor is waiting: nobody works
// before all have prepared, nor prepares before all have worked. work(thread) returns the cycles that it
// worked. Packets a cycle, of all.
template <class Prepare, class Work>
double together(unsigned threads, Prepare&& prepare, Work&& work) {
  std::vector<std::thread> all;
  std::vector<double> rates(threads);
  std::atomic<unsigned> arrived{0};
  for (unsigned t = 0; t < threads; ++t) {
    all.emplace_back([&, t] {
      cpu_set_t cpu;
      CPU_ZERO(&cpu);
      CPU_SET(t, &cpu);
      pthread_setaffinity_np(pthread_self(), sizeof cpu, &cpu);
      unsigned meetings = 0;
      const auto meet = [&] {
        ++arrived;
        ++meetings;
        while (arrived.load() < threads * meetings) std::this_thread::yield();
      };
      std::vector<double> cycles;
      for (unsigned turn = 0; turn < kTurns; ++turn) {
        prepare(t);
        meet();
        cycles.push_back(static_cast<double>(work(t)));
        meet();
      }
      rates[t] = kSet / perf::median(cycles);
    });
  }
  for (auto& t : all) t.join();
  double sum = 0;
  for (const double r : rates) sum += r;
  return sum;
}

void associate_each(World& world, uint32_t flows, bool several) {
  auto one = buffers(1);
  const auto pump = [&] {
    for (unsigned i = 0; several && i < 8; ++i)
      for (const unsigned w : {0u, 1u}) world.handed(w);
  };
  for (uint32_t i = 0; i < flows; ++i) {
    const Client c(i);
    const unsigned owner = several ? world.home(c, 0) : 0;
    for (const bool opening : {true, false}) {
      if (opening)
        init(one[0], c);
      else
        packet(one[0], c, 0, kCookieEcho);
      world.burst(owner, one.data(), 1);
      pump();
    }
  }
  rte_pktmbuf_free(one[0]);
}

// A packet of a set: whose, and from which of its addresses.
struct Arrival {
  uint32_t client;
  unsigned address;
};
using Arrivals = std::vector<Arrival>;

// Written anew each turn by who works with them, into what it sent in the last one: what was handed over
// stays where it was sent, as a mempool's cache has it.
void write(const std::vector<rte_mbuf*>& mbufs, const Arrivals& arrivals) {
  for (unsigned i = 0; i < kSet; ++i)
    packet(mbufs[i], Client(arrivals[i].client), arrivals[i].address, kDataChunk);
}

// `percent` arrive at another worker than their association's. `idle_timeout_s`: short, so that they are all
// handed over; else what changes nothing leaves where it arrived.
void handover(benchmark::State& state, unsigned percent, uint32_t idle_timeout_s) {
  constexpr uint32_t kFlows = 20'000;
  World world({.workers = 2, .lines = 100'000, .idle_timeout_s = idle_timeout_s}), alone({.lines = 100'000});
  associate_each(world, kFlows, true);
  associate_each(alone, kFlows, false);
  expect(world.stage(0).session_stats().sessions + world.stage(1).session_stats().sessions, kFlows,
         "associations");
  expect(alone.stage(0).session_stats().sessions, kFlows, "associations of one worker");
  // The hash is linear: an address that differs in the same bits from another either changes everybody's
  // worker or nobody's.
  const unsigned away = world.home(Client(0), 1) != world.home(Client(0), 0) ? 1 : 2;
  // What arrives at worker w: of its own associations, and, by another of their addresses, of the other's.
  std::vector<uint32_t> own[2], others[2];
  for (uint32_t i = 0; i < kFlows; ++i) {
    const unsigned owner = world.home(Client(i), 0);
    own[owner].push_back(i);
    if (world.home(Client(i), away) != owner) others[1 - owner].push_back(i);
  }
  if (others[0].empty() || others[1].empty()) {
    state.SkipWithError("no address leads to the other worker");
    return;
  }
  std::vector<rte_mbuf*> sets[2] = {buffers(kSet), buffers(kSet)};
  std::vector<rte_mbuf*> sent[2] = {std::vector<rte_mbuf*>(2 * kSet), std::vector<rte_mbuf*>(2 * kSet)};
  std::vector<rte_mbuf*> floor_sets[2] = {buffers(kSet), buffers(kSet)};
  auto alone_set = buffers(kSet);
  Arrivals arrivals[2], floor_arrivals[2], alone_arrivals;
  unsigned over = 0;  // of each worker
  for (unsigned w = 0; w < 2; ++w) {
    over = 0;
    for (unsigned i = 0; i < kSet; ++i) {
      const bool is_over = i * 37 % 100 < percent;
      const auto& from = is_over ? others[w] : own[w];
      over += is_over;
      arrivals[w].push_back({from[i * 7919 % from.size()], is_over ? away : 0});
      floor_arrivals[w].push_back({own[w][i * 7919 % own[w].size()], 0});
      if (w == 0) alone_arrivals.push_back({i * 7919 % kFlows, 0});
    }
  }
  const unsigned given = idle_timeout_s == 0 ? 0 : over;
  const auto given_so_far = [&] {
    return world.stage(0).handover_counters().given.load() + world.stage(1).handover_counters().given.load();
  };
  const uint64_t given_before = given_so_far();
  std::atomic<uint64_t> failed{0}, turns{0};
  const auto two = [&] {
    return together(
        2, [&](unsigned w) { write(sets[w], arrivals[w]); },
        [&](unsigned w) {
          unsigned n = 0, handed = 0;
          rte_mbuf** const left = sent[w].data();
          const uint64_t began = rte_rdtsc_precise();
          for (unsigned b = 0; b < kSet; b += kBurst) {
            world.fetch_handed(w);
            n += world.burst(w, sets[w].data() + b, kBurst, kNow, left + n);
            const unsigned more = world.handed(w, left + n);
            n += more;
            handed += more;
          }
          uint64_t spent = rte_rdtsc_precise() - began;
          while (handed < given) {
            const uint64_t start = rte_rdtsc_precise();
            const unsigned more = world.handed(w, left + n);
            if (more > 0)
              spent += rte_rdtsc_precise() - start;
            else
              std::this_thread::yield();
            n += more;
            handed += more;
          }
          failed += kSet - n;
          ++turns;
          if (n == kSet) std::copy_n(left, kSet, sets[w].data());
          return spent;
        });
  };
  const auto one = [&] {
    return together(
        1, [&](unsigned) { write(alone_set, alone_arrivals); },
        [&](unsigned) {
          const uint64_t start = rte_rdtsc_precise();
          unsigned n = 0;
          for (unsigned b = 0; b < kSet; b += kBurst) n += alone.burst(0, alone_set.data() + b, kBurst);
          failed += kSet - n;
          return rte_rdtsc_precise() - start;
        });
  };
  perf::FloorTable table(kFlows);
  for (uint32_t i = 0; i < kFlows; ++i) {
    const Client c(i);
    table.insert({c.address[0], kVip, c.port, swap16(kPort), kSctp}, static_cast<uint16_t>(i % kPes));
  }
  std::vector<perf::FloorBackend> backends[2] = {std::vector<perf::FloorBackend>(kPes),
                                                 std::vector<perf::FloorBackend>(kPes)};
  const auto floors = [&](unsigned threads) {
    return together(
        threads, [&](unsigned w) { write(floor_sets[w], floor_arrivals[w]); },
        [&](unsigned w) {
          const uint64_t start = rte_rdtsc_precise();
          for (unsigned b = 0; b < kSet; b += kBurst)
            failed += perf::floor_burst<perf::FloorMode::l2, kBurst>(table, backends[w].data(),
                                                                     floor_sets[w].data() + b, 1);
          return rte_rdtsc_precise() - start;
        });
  };
  perf::report_paired(
      state, "times one worker", "two floors over one", [&] { return two() / one(); },
      [&] { return floors(2) / floors(1); });
  expect(failed, 0, "packets that were lost");
  expect(given_so_far() - given_before, turns * given, "packets handed over");
  for (const auto* set : {&sets[0], &sets[1], &floor_sets[0], &floor_sets[1], &alone_set})
    for (auto* m : *set) rte_pktmbuf_free(m);
}

}  // namespace

int main(int argc, char** argv) {
  if (!perf::start_eal(argv[0])) return 1;
  benchmark::RegisterBenchmark("associations/new", new_association)->Iterations(1);
  benchmark::RegisterBenchmark("session/bytes/ipv6", session_bytes_v6)->Iterations(1);
  const std::pair<const char*, uint32_t> sizes[] = {
      {"1k", 1'000}, {"100k", 100'000}, {"1M", 1'000'000}, {"4M", 4'000'000}};
  for (const auto& [name, flows] : sizes)
    benchmark::RegisterBenchmark(("redirect/rte_hash/" + std::string(name)).c_str(), beside_rte_hash, flows)
        ->Iterations(1);
  benchmark::RegisterBenchmark("handover/0", handover, 0, 0)->Iterations(1);
  benchmark::RegisterBenchmark("handover/30", handover, 30, 0)->Iterations(1);
  benchmark::RegisterBenchmark("handover/30/by_ring", handover, 30, 10)->Iterations(1);
  return perf::run_benchmarks(argc, argv);
}
