// SPDX-License-Identifier: BSD-3-Clause
// Honest ratios on a machine that has phases: ours and a control take turns in one run, and what is reported
// is the median of the ratios of neighbouring rounds. Every benchmark of perf/ that claims a ratio goes
// through here; scripts/bench reads the counters and the label into build/bench.json.
#pragma once

#include <benchmark/benchmark.h>
#include <time.h>

#include <algorithm>
#include <string>
#include <utility>
#include <vector>

namespace poolgate::perf {

inline constexpr unsigned kRounds = 21;  // odd: the median is a measured one

// Of this thread on a CPU: what other programs of the machine take away does not count.
inline double cpu_seconds() {
  timespec now{};
  clock_gettime(CLOCK_THREAD_CPUTIME_ID, &now);
  return static_cast<double>(now.tv_sec) + 1e-9 * static_cast<double>(now.tv_nsec);
}
inline double cpu_milliseconds() { return 1e3 * cpu_seconds(); }

// CPU time of each of so many operations, which `all` does.
template <class All>
double nanoseconds(size_t operations, All&& all) {
  const double start = cpu_seconds();
  all();
  return 1e9 * (cpu_seconds() - start) / static_cast<double>(operations);
}

inline double median(std::vector<double> values) {
  std::sort(values.begin(), values.end());
  return values[values.size() / 2];
}

struct Paired {
  double value = 0, control = 0;          // medians
  double ratio = 0, worst = 0, best = 0;  // of the pairs' ratios value/control
};

// `ours` and `control` each run one round and return its figure (cycles a packet, ns an operation; less is
// better, or more is better for both alike). A first round of each is not counted.
template <class Ours, class Control>
Paired take_turns(Ours&& ours, Control&& control, unsigned rounds = kRounds) {
  ours();
  control();
  std::vector<double> values, controls, ratios;
  for (unsigned i = 0; i < rounds; ++i) {
    double v = 0, c = 0;
    if (i % 2 == 0) {  // neither is always the one that follows the other
      v = ours();
      c = control();
    } else {
      c = control();
      v = ours();
    }
    values.push_back(v);
    controls.push_back(c);
    ratios.push_back(v / c);
  }
  const auto [best, worst] = std::minmax_element(ratios.begin(), ratios.end());
  return {median(values), median(controls), median(ratios), *worst, *best};
}

// The body of a benchmark with a control: runs once (register it with ->Iterations(1)), and hands the figures
// to scripts/bench. `unit`: e.g. "cycles/packet"; `control_name` says what the control is.
template <class Ours, class Control>
void report_paired(benchmark::State& state, const std::string& unit, const std::string& control_name,
                   Ours&& ours, Control&& control, unsigned rounds = kRounds) {
  const std::string label = unit + "|" + control_name;
  for (auto _ : state) {
    const Paired p = take_turns(ours, control, rounds);
    state.counters["value"] = p.value;
    state.counters["control_value"] = p.control;
    state.counters["ratio"] = p.ratio;
    state.counters["ratio_min"] = p.best;
    state.counters["ratio_max"] = p.worst;
    state.SetLabel(label);
  }
}

// A figure without a control, e.g. bytes a PE.
inline void report_figure(benchmark::State& state, const std::string& unit, double value) {
  state.counters["value"] = value;
  state.SetLabel(unit + "|");
}

// The end of every main(): what has been registered, as the command line chooses; main()'s result.
inline int run_benchmarks(int argc, char** argv) {
  benchmark::Initialize(&argc, argv);
  if (benchmark::ReportUnrecognizedArguments(argc, argv)) return 1;
  benchmark::RunSpecifiedBenchmarks();
  benchmark::Shutdown();
  return 0;
}

}  // namespace poolgate::perf
