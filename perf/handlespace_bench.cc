// SPDX-License-Identifier: BSD-3-Clause
// The handlespace: register, re-register, resolve, and bytes a PE, beside the same on a std::map keyed by
// (handle, id). The counter `rsplib` quotes RSPLIB 3.5.10's handlespace, measured elsewhere on a machine like
// this one (thousands a second, one thread, no sockets); `thousand_per_s` is ours to compare.
#include <benchmark/benchmark.h>

#include <malloc.h>

#include <algorithm>
#include <memory>

#include "controlplane/rserpool/handlespace/handlespace.h"
#include "perf/handlespace_control.h"
#include "perf/paired.h"

namespace {

using namespace poolgate::rserpool;
using poolgate::perf::MapHandlespace;
using poolgate::perf::nanoseconds;

struct Shape {
  const char* name;
  uint32_t pools;
  uint32_t elements;  // a pool
};
constexpr Shape kShapes[] = {{"1x1000", 1, 1000}, {"1000x10", 1000, 10}, {"10000x10", 10000, 10}};

struct Policy {
  const char* name;
  PolicyType type;
};
constexpr Policy kPolicies[] = {
    {"RR", PolicyType::round_robin}, {"LU", PolicyType::least_used}, {"WRAND", PolicyType::weighted_random}};

// RSPLIB, thousands a second: [operation][policy][shape].
constexpr int kRsplib[5][3][3] = {
    {{1574, 786, 269}, {866, 626, 235}, {1351, 910, 253}},
    {{1338, 687, 203}, {1085, 606, 192}, {1082, 671, 195}},
    {{4747, 2076, 493}, {4516, 3454, 560}, {1536, 2092, 593}},
    {{4035, 1751, 541}, {4194, 3075, 507}, {385, 741, 312}},
    {{2935, 2085, 518}, {3375, 2469, 381}, {124, 476, 242}},
};

// What is registered, in random order. A registration comes in one PoolElement, as a parser would give it.
struct Load {
  struct Item {
    uint32_t number;
    uint32_t pool;
    PeId id;
    uint32_t load;
    uint32_t weight;
  };
  std::vector<PoolHandle> handles;
  std::vector<Item> items;
  std::vector<uint32_t> asked;  // pools in the order in which they are resolved
  PolicyType policy;

  Load(const Shape& shape, PolicyType type) : policy(type) {
    Random random(shape.pools + shape.elements);
    for (uint32_t pool = 0; pool < shape.pools; ++pool)
      handles.push_back("Pool" + std::to_string(10'000'000 + pool));
    for (uint32_t i = 0; i < shape.pools * shape.elements; ++i) {
      items.push_back({i, i % shape.pools, static_cast<PeId>(random.next()), 0, 0});
    }
    change(random);
    shuffle(random);
    for (int i = 0; i < 1 << 15; ++i) asked.push_back(static_cast<uint32_t>(random.below(shape.pools)));
  }
  void change(Random& random) {
    for (Item& item : items) {
      item.load = static_cast<uint32_t>(random.below(1000)) * 4'000'000;
      item.weight = static_cast<uint32_t>(random.below(100)) + 1;
    }
  }
  void shuffle(Random& random) {
    for (size_t i = items.size(); i > 1; --i) std::swap(items[i - 1], items[random.below(i)]);
  }
};

template <class Space>
void register_all(Space& space, const Load& load) {
  PoolElement element;
  element.home = 0x1234;
  element.registration_life = 300;
  element.user_transport.port = 3868;
  element.user_transport.addresses.resize(1);
  element.has_asap_transport = true;
  element.asap_transport.port = 3863;
  element.asap_transport.addresses.resize(1);
  element.policy.type = load.policy;
  TimeMs expires = 300'000;
  for (const Load::Item& item : load.items) {
    element.id = item.id;
    element.user_transport.addresses[0] = element.asap_transport.addresses[0] = IpAddress::v4(&item.number);
    element.policy.load = item.load;
    element.policy.weight = item.weight;
    benchmark::DoNotOptimize(
        space.register_or_update(load.handles[item.pool], element, {1, 0, item.number + 1}, ++expires));
  }
}

template <class Space>
double register_round(const Load& load, size_t repeat) {
  double sum = 0;
  for (size_t i = 0; i < repeat; ++i) {
    const auto space = std::make_unique<Space>();
    sum += nanoseconds(load.items.size() * repeat, [&] { register_all(*space, load); });
  }
  return sum;
}

template <class Space>
double resolve_round(Space& space, const Load& load, size_t n, size_t operations) {
  PeIndex out[32];
  return nanoseconds(operations, [&] {
    for (size_t i = 0; i < operations; ++i) {
      const uint32_t pool = load.asked[i % load.asked.size()];
      benchmark::DoNotOptimize(space.resolve(load.handles[pool], {out, n}));
      benchmark::ClobberMemory();
    }
  });
}

void report(benchmark::State& state, int rsplib, const auto& ours, const auto& control) {
  poolgate::perf::report_paired(state, "ns/operation", "std::map keyed by (handle, id)", ours, control);
  state.counters["thousand_per_s"] = 1e6 / state.counters["value"];
  state.counters["rsplib"] = rsplib;
}

void bench_register(benchmark::State& state, Shape shape, Policy policy, int rsplib) {
  const Load load(shape, policy.type);
  const size_t repeat = std::max<size_t>(1, 10'000 / load.items.size());
  report(
      state, rsplib, [&] { return register_round<Handlespace>(load, repeat); },
      [&] { return register_round<MapHandlespace>(load, repeat); });
}

void bench_reregister(benchmark::State& state, Shape shape, Policy policy, int rsplib) {
  Load load(shape, policy.type);
  Handlespace space;
  MapHandlespace control;
  register_all(space, load);
  register_all(control, load);
  Random random(9);
  load.shuffle(random);
  const auto round = [&](auto& target) {
    load.change(random);
    const size_t repeat = std::max<size_t>(1, 20'000 / load.items.size());
    return nanoseconds(load.items.size() * repeat, [&] {
      for (size_t i = 0; i < repeat; ++i) register_all(target, load);
    });
  };
  report(
      state, rsplib, [&] { return round(space); }, [&] { return round(control); });
}

void bench_resolve(benchmark::State& state, Shape shape, Policy policy, size_t n, int rsplib) {
  const Load load(shape, policy.type);
  Handlespace space;
  MapHandlespace control;
  register_all(space, load);
  register_all(control, load);
  report(
      state, rsplib, [&] { return resolve_round(space, load, n, 1 << 15); },
      [&] { return resolve_round(control, load, n, shape.elements > 100 ? 1 << 8 : 1 << 13); });
}

// What malloc has given out, small blocks and mapped ones alike.
double bytes_in_use() {
  const struct mallinfo2 info = mallinfo2();
  return static_cast<double>(info.uordblks + info.hblkhd);
}

void bench_bytes(benchmark::State& state, Shape shape) {
  const Load load(shape, PolicyType::round_robin);
  const double before = bytes_in_use();
  Handlespace space;
  register_all(space, load);
  const double after = bytes_in_use();
  for (auto _ : state) {
    poolgate::perf::report_figure(state, "bytes/PE",
                                  (after - before) / static_cast<double>(load.items.size()));
  }
}

void register_benchmarks() {
  const auto add = [](const std::string& name, auto body) {
    benchmark::RegisterBenchmark(("handlespace/" + name).c_str(), body)->Iterations(1);
  };
  for (int p = 0; p < 3; ++p) {
    for (int s = 0; s < 3; ++s) {
      const Policy policy = kPolicies[p];
      const Shape shape = kShapes[s];
      const std::string which = std::string("/") + policy.name + "/" + shape.name;
      const auto rsplib = [p, s](int operation) { return kRsplib[operation][p][s]; };
      add("register" + which, [=](auto& state) { bench_register(state, shape, policy, rsplib(0)); });
      add("reregister" + which, [=](auto& state) { bench_reregister(state, shape, policy, rsplib(1)); });
      add("resolve1" + which, [=](auto& state) { bench_resolve(state, shape, policy, 1, rsplib(2)); });
      add("resolve5" + which, [=](auto& state) { bench_resolve(state, shape, policy, 5, rsplib(3)); });
      add("resolve20" + which, [=](auto& state) { bench_resolve(state, shape, policy, 20, rsplib(4)); });
    }
  }
  for (const Shape& shape : {kShapes[1], kShapes[2], Shape{"10000x100", 10000, 100}}) {
    add(std::string("bytes_per_pe/") + shape.name, [=](auto& state) { bench_bytes(state, shape); });
  }
}

}  // namespace

int main(int argc, char** argv) {
  register_benchmarks();
  return poolgate::perf::run_benchmarks(argc, argv);
}
