// SPDX-License-Identifier: BSD-3-Clause
// The SCTP endpoint: a round trip of 100 bytes each way through two endpoints, beside the same through two
// bare usrsctp stacks; the share of a core that the timers of 10,000 associations of two paths take; set-ups.
// No CRC32c on either side: that is the NIC's.
#include <benchmark/benchmark.h>
#include <x86intrin.h>

#include <cstdlib>
#include <string>

#include "perf/bare_echo.h"
#include "perf/paired.h"
#include "tests/unit/sctp_crowd.h"

namespace {

using namespace poolgate;
using perf::cpu_seconds;
using sctp::Crowd;

constexpr uint64_t kRoundTrips = 20'000;  // a round
constexpr unsigned kWindow = 64;
const std::string kPayload(100, 'x');

class EndpointEcho {
 public:
  EndpointEcho() : crowd_(5000) {
    if (!crowd_.set_up(1, 10'000)) std::abort();
    for (Crowd::End* end : {&crowd_.us, &crowd_.peers})
      end->on_message = [end](const sctp::Message& m) { end->endpoint->send(m); };
    for (unsigned i = 0; i < kWindow; ++i)
      crowd_.peers.endpoint->send({crowd_.peers.ids[0], 0, 11, false, kPayload});
  }
  double round() {
    const uint64_t end = crowd_.peers.messages + kRoundTrips;
    const double begin = cpu_seconds();
    while (crowd_.peers.messages < end) crowd_.step();
    return 1e9 * (cpu_seconds() - begin) / kRoundTrips;
  }

 private:
  Crowd crowd_;
};

void echo(benchmark::State& state) {
  EndpointEcho ours;
  perf::BareEcho control(kPayload.size(), kPayload.size());
  perf::report_paired(
      state, "ns of CPU/round trip, both ends", "bare usrsctp echo", [&] { return ours.round(); },
      [&] { return perf::closed_loop(control, kWindow, kRoundTrips); });
}

void timers(benchmark::State& state) {
  constexpr uint32_t kPeers = 10'000;
  constexpr unsigned kEnough = 60'000;
  for (auto _ : state) {
    Crowd crowd(5000);
    if (!crowd.set_up(kPeers, kEnough) ||
        !crowd.until([&] { return crowd.us.path_changes >= kPeers; }, kEnough))
      std::abort();
    crowd.us.endpoint->clear_counters();
    const uint64_t begin = __rdtsc();
    crowd.until([] { return false; }, 10'000);  // two heartbeat intervals
    const auto cycles = static_cast<double>(crowd.us.endpoint->counters().timer_cycles);
    perf::report_figure(state, "percent of a core", 100 * cycles / static_cast<double>(__rdtsc() - begin));
  }
}

void set_up(benchmark::State& state) {
  constexpr uint32_t kPeers = 10'000;
  for (auto _ : state) {
    Crowd crowd(5000);
    const double begin = cpu_seconds();
    if (!crowd.set_up(kPeers, 60'000)) std::abort();
    perf::report_figure(state, "microseconds of CPU a set-up, both ends",
                        1e6 * (cpu_seconds() - begin) / kPeers);
  }
}

BENCHMARK(echo)->Name("sctp/echo/100B")->Iterations(1);
BENCHMARK(timers)->Name("sctp/timers/10000x2")->Iterations(1);
BENCHMARK(set_up)->Name("sctp/set_up/10000x2")->Iterations(1);

}  // namespace

BENCHMARK_MAIN();
