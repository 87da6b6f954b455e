// SPDX-License-Identifier: BSD-3-Clause
// A handle resolution through everything but the wire: a client's endpoint, frames, ours as a worker's stage,
// the channel, a whole registrar, or answered in its place; all in one thread, so that its CPU time is the
// cost. Beside it a bare usrsctp echo of the same request and response sizes. The pool has five PEs by round
// robin. No CRC32c on either side: the NIC's.
#include <benchmark/benchmark.h>

#include <cstdio>
#include <cstdlib>

#include "perf/bare_echo.h"
#include "perf/bench_eal.h"
#include "perf/paired.h"
#include "perf/resolution_rig.h"

namespace {

using namespace poolgate;
using perf::BareEcho;

constexpr uint64_t kRoundTrips = 10'000;  // a round
constexpr unsigned kWindow = 64;
constexpr unsigned kElements = 5;

// Aborts if the rig's resolutions are not answered where they should be.
void check(const perf::ResolutionRig& rig, bool on_worker) {
  if ((rig.answered_on_worker() > 0) == on_worker) return;
  std::fprintf(stderr, "answered in the wrong place\n");
  std::abort();
}

void cost(benchmark::State& state, bool on_worker) {
  perf::ResolutionRig ours(kElements, on_worker);
  BareEcho control(ours.request_size(), ours.response_size());
  perf::report_paired(
      state, "ns of CPU/resolution, both ends", "bare usrsctp echo of the same sizes",
      [&] { return perf::closed_loop(ours, kWindow, kRoundTrips); },
      [&] { return perf::closed_loop(control, kWindow, kRoundTrips); });
  check(ours, on_worker);
}

// At half of the load that each can carry.
void p99(benchmark::State& state, bool on_worker) {
  perf::ResolutionRig ours(kElements, on_worker);
  BareEcho control(ours.request_size(), ours.response_size());
  const auto distance = [](auto& pair) { return 2 * perf::closed_loop(pair, kWindow, 5 * kRoundTrips); };
  const double our_distance = distance(ours), control_distance = distance(control);
  perf::report_paired(
      state, "us of CPU, 99th percentile at half load", "bare usrsctp echo of the same sizes",
      [&] { return perf::open_loop_p99(ours, our_distance, kRoundTrips); },
      [&] { return perf::open_loop_p99(control, control_distance, kRoundTrips); });
  check(ours, on_worker);
}

BENCHMARK_CAPTURE(cost, registrar, false)->Name("resolution/registrar/5PEs")->Iterations(1);
BENCHMARK_CAPTURE(p99, registrar, false)->Name("resolution/registrar/5PEs/p99")->Iterations(1);
BENCHMARK_CAPTURE(cost, worker, true)->Name("resolution/worker/5PEs")->Iterations(1);
BENCHMARK_CAPTURE(p99, worker, true)->Name("resolution/worker/5PEs/p99")->Iterations(1);

}  // namespace

int main(int argc, char** argv) {
  if (!perf::start_eal(argv[0])) return 1;
  return perf::run_benchmarks(argc, argv);
}
