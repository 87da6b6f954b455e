// SPDX-License-Identifier: BSD-3-Clause
// The whole loop of a worker on net_ring, `l2`, 1,000 sessions, beside macswap's, in turns on one core.
// Cycles are those of the TSC while the loop had the core, all of them: what it does beside the packets
// counts. testpmd counts its own, of turns that found packets.
#include <benchmark/benchmark.h>

#include "perf/bench_eal.h"
#include "perf/macswap.h"
#include "perf/paired.h"

namespace {

using namespace poolgate;

// Short ones, and their median: what else the machine does meanwhile falls out.
constexpr unsigned kRuns = 15, kRunUs = 2'000;

template <class Loop>
double round(Loop& loop) {
  std::vector<double> cycles;
  for (unsigned i = 0; i < kRuns; ++i) cycles.push_back(loop.run(kRunUs));
  return perf::median(cycles);
}

unsigned made = 0;  // devices and pools have names

template <class Control>
void beside(benchmark::State& state, bool with_endpoint, const char* what) {
  ++made;
  perf::WorkerRig worker("loop" + std::to_string(made), with_endpoint);
  Control control("control" + std::to_string(made));
  perf::report_paired(
      state, "cycles/packet", what, [&] { return round(worker); }, [&] { return round(control); });
  worker.check();
}

}  // namespace

int main(int argc, char** argv) {
  if (unshare(CLONE_NEWNET) != 0) {
    std::perror("bench_loop: a network namespace (run it as root)");
    return 1;
  }
  if (!perf::start_eal(argv[0])) return 1;
  benchmark::RegisterBenchmark("worker/macswap", beside<perf::MacSwap>, true,
                               "macswap loop, its own net_ring")
      ->Iterations(1);
  benchmark::RegisterBenchmark("worker/macswap/without-endpoint", beside<perf::MacSwap>, false,
                               "macswap loop, its own net_ring")
      ->Iterations(1);
  if (perf::TestPmd::is_there())
    benchmark::RegisterBenchmark("worker/testpmd", beside<perf::TestPmd>, true,
                                 "dpdk-testpmd's macswap, its own net_ring")
        ->Iterations(1);
  return perf::run_benchmarks(argc, argv);
}
