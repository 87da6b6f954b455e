// SPDX-License-Identifier: BSD-3-Clause
// Registrars of one scope: a whole table from one to another, updates to three peers, a takeover. CPU of the
// registrar's state machine, its journal and its codec, loop step by loop step; SCTP and the channel are
// others' figures. The controls do the same work on the same bytes without a registrar: the bare codec, and a
// std::map for a handlespace.
#include <tbb/task_arena.h>

#include <asio/executor_work_guard.hpp>
#include <asio/io_context.hpp>
#include <asio/post.hpp>
#include <chrono>
#include <functional>

#include "controlplane/rserpool/wire/builders.h"
#include "controlplane/rserpool/wire/enrp.h"
#include "perf/enrp_rig.h"
#include "perf/handlespace_control.h"
#include "perf/paired.h"

namespace {

namespace asap = poolgate::rserpool::asap;
namespace enrp = poolgate::rserpool::enrp;
using namespace poolgate::rserpool;
using poolgate::perf::cpu_milliseconds;
using poolgate::perf::EnrpRig;
using poolgate::perf::report_figure;
using poolgate::perf::report_paired;

constexpr uint32_t kPerPool = 100, kPerHost = 10;

PoolHandle handle_of(uint32_t n, uint32_t per_pool) {
  return "Pool" + std::to_string(10'000'000 + n / per_pool);
}

PoolElement element_of(uint32_t n) {
  PoolElement element;
  element.id = n * 2654435761u + 1;
  element.registration_life = 300;
  element.user_transport.port = 3868;
  element.user_transport.addresses = {EnrpRig::host_address(n / kPerHost)};
  return element;
}

std::string registration_of(uint32_t n, uint32_t per_pool) {
  std::string bytes;
  const PoolHandle handle = handle_of(n, per_pool);
  if (!asap::encode(asap::Message(asap::Registration{handle, element_of(n)}), bytes)) std::abort();
  return bytes;
}

void register_all(EnrpRig& rig, EnrpRig::Node& node, uint32_t elements, uint32_t per_pool = kPerPool) {
  for (uint32_t n = 0; n < elements; ++n) {
    rig.from_host(node, n / kPerHost, registration_of(n, per_pool));
    rig.pass(200);
  }
}

// ---- a whole table

struct SyncFigures {
  double mentor_ms, joiner_ms, longest_ms;
};

class Sync {
 public:
  Sync(uint32_t elements, uint32_t per_pool) : elements_(elements), mentor_(rig_.start(1)) {
    register_all(rig_, mentor_, elements, per_pool);
    for (uint32_t n = 0; n < elements; ++n) {
      PoolElement element = element_of(n);
      element.home = 1;
      element.has_asap_transport = true;
      element.asap_transport = element.user_transport;
      plain_.emplace_back(handle_of(n, per_pool), std::move(element));
    }
  }
  // One server joins, and is gone again.
  SyncFigures round(benchmark::State& state) {
    mentor_.forget_figures();
    EnrpRig::Node& joiner = rig_.start(++last_);
    if (!joiner.core->serving() || joiner.core->element_count() != elements_)
      state.SkipWithError("not all PEs came over");
    const SyncFigures figures{mentor_.cpu_ms, joiner.cpu_ms, std::max(mentor_.longest_ms, joiner.longest_ms)};
    rig_.forget(last_);
    return figures;
  }
  double encode_control() {
    const double begun = cpu_milliseconds();
    chunks_.clear();
    for (size_t n = 0; n < plain_.size();) {
      std::string bytes;
      wire::TableResponseBuilder builder(bytes, 1, 2, 16 * 1024);
      while (n < plain_.size() && builder.append(plain_[n].first, plain_[n].second)) ++n;
      if (!builder.finish(n < plain_.size())) std::abort();
      chunks_.push_back(std::move(bytes));
    }
    return cpu_milliseconds() - begun;
  }
  // A chunk at a time is read, as a download gets them: by the loop, or by a thread of oneTBB that gives it
  // back to the loop, which asks for the next one then.
  struct Reading {
    double elapsed_ms, loop_cpu_ms;
  };
  Reading read_chunks(bool elsewhere) {
    if (chunks_.empty()) encode_control();
    asio::io_context loop(1);
    tbb::task_arena arena(2, 1);
    auto unfinished = asio::make_work_guard(loop);
    size_t next = 0;
    std::function<void()> go_on = [&] {
      if (next == chunks_.size()) return unfinished.reset();
      const std::string& bytes = chunks_[next++];
      const auto read = [&] {
        auto parsed = enrp::parse(bytes);
        if (!parsed.ok()) std::abort();
        asio::post(loop, [&, keep = std::make_shared<decltype(parsed)>(std::move(parsed))] { go_on(); });
      };
      if (elsewhere)
        arena.enqueue(read);
      else
        read();
    };
    const auto begun = std::chrono::steady_clock::now();
    const double cpu = cpu_milliseconds();
    go_on();
    loop.run();
    const auto took = std::chrono::steady_clock::now() - begun;
    return {std::chrono::duration<double, std::milli>(took).count(), cpu_milliseconds() - cpu};
  }
  double apply_control() {
    if (chunks_.empty()) encode_control();
    const double begun = cpu_milliseconds();
    poolgate::perf::MapHandlespace space;
    uint32_t number = 0;
    for (const std::string& bytes : chunks_) {
      auto parsed = enrp::parse(bytes);
      auto& table = std::get<enrp::HandleTableResponse>(parsed->message);
      for (const auto& entry : table.entries)
        for (const auto& element : entry.elements) {
          ++number;
          benchmark::DoNotOptimize(space.register_or_update(entry.handle, element, {1, 0, number}, number));
        }
    }
    const double took = cpu_milliseconds() - begun;
    return took;
  }

 private:
  uint32_t elements_;
  EnrpRig rig_;
  EnrpRig::Node& mentor_;
  ServerId last_ = 1;
  std::vector<std::pair<PoolHandle, PoolElement>> plain_;
  std::vector<std::string> chunks_;
};

unsigned rounds_for(uint32_t elements) { return elements > 10'000 ? 5 : 11; }

void bench_mentor(benchmark::State& state, uint32_t elements) {
  Sync sync(elements, kPerPool);
  report_paired(
      state, "ms", "the bare codec writes the same chunks", [&] { return sync.round(state).mentor_ms; },
      [&] { return sync.encode_control(); }, rounds_for(elements));
}

void bench_joiner(benchmark::State& state, uint32_t elements) {
  Sync sync(elements, kPerPool);
  report_paired(
      state, "ms", "the bare codec reads the same chunks into a std::map",
      [&] { return sync.round(state).joiner_ms; }, [&] { return sync.apply_control(); },
      rounds_for(elements));
}

// The median round's: of all its steps on either side the longest.
void bench_longest_step(benchmark::State& state, uint32_t elements, uint32_t per_pool) {
  Sync sync(elements, per_pool);
  std::vector<double> longest;
  for (auto _ : state) {
    for (unsigned round = 0; round < rounds_for(elements); ++round)
      longest.push_back(sync.round(state).longest_ms);
    report_figure(state, "ms", poolgate::perf::median(longest));
    state.counters["worst"] = *std::max_element(longest.begin(), longest.end());
  }
}

void bench_read_elsewhere(benchmark::State& state, uint32_t elements, double Sync::Reading::*which) {
  Sync sync(elements, kPerPool);
  report_paired(
      state, "ms", "the loop reads them itself", [&] { return sync.read_chunks(true).*which; },
      [&] { return sync.read_chunks(false).*which; }, 11);
}

// ---- updates

constexpr uint32_t kUpdated = 1000, kUpdates = 5000;

class Updates {
 public:
  Updates() : owner_(rig_.start(1)), peer_(rig_.start(2)) {
    rig_.start(3);
    rig_.start(4);
    register_all(rig_, owner_, kUpdated);
    for (uint32_t n = 0; n < kUpdated; ++n) messages_.push_back(registration_of(n, kPerPool));
  }
  // Nanoseconds an update at the owner and at a peer.
  std::pair<double, double> round(benchmark::State& state) {
    owner_.forget_figures();
    peer_.forget_figures();
    const uint64_t before = owner_.core->counters().enrp_updates_sent;
    const uint64_t received = peer_.core->counters().enrp_updates_received;
    for (uint32_t n = 0; n < kUpdates; ++n) {
      rig_.from_host(owner_, n % kUpdated / kPerHost, messages_[n % kUpdated]);
      rig_.pass(200);
    }
    if (owner_.core->counters().enrp_updates_sent - before != 3 * kUpdates ||
        peer_.core->counters().enrp_updates_received - received != kUpdates)
      state.SkipWithError("not every update went to each of three peers");
    return {owner_.cpu_ms * 1e6 / kUpdates, peer_.cpu_ms * 1e6 / kUpdates};
  }
  double write_control() {
    const double begun = cpu_milliseconds();
    for (uint32_t n = 0; n < kUpdates; ++n) {
      const auto parsed = asap::parse(messages_[n % kUpdated]);
      const auto& registration = std::get<asap::Registration>(parsed->message);
      enrp::HandleUpdate update;
      update.sender = 1;
      update.handle = registration.handle;
      update.element = registration.element;
      std::string bytes;
      if (!enrp::encode(enrp::Message(update), bytes)) std::abort();
      for (std::string& copy : copies_) copy = bytes;
    }
    return (cpu_milliseconds() - begun) * 1e6 / kUpdates;
  }
  double read_control() {
    if (copies_[0].empty()) write_control();
    const double begun = cpu_milliseconds();
    for (uint32_t n = 0; n < kUpdates; ++n) benchmark::DoNotOptimize(enrp::parse(copies_[0]));
    return (cpu_milliseconds() - begun) * 1e6 / kUpdates;
  }

 private:
  EnrpRig rig_;
  EnrpRig::Node& owner_;
  EnrpRig::Node& peer_;
  std::vector<std::string> messages_;
  std::string copies_[3];
};

void bench_update_sender(benchmark::State& state) {
  Updates updates;
  report_paired(
      state, "ns/update", "the codec alone: registration read, update written, copied thrice",
      [&] { return updates.round(state).first; }, [&] { return updates.write_control(); }, 11);
}
void bench_update_receiver(benchmark::State& state) {
  Updates updates;
  report_paired(
      state, "ns/update", "the codec alone: update read", [&] { return updates.round(state).second; },
      [&] { return updates.read_control(); }, 11);
}
// What a core sustains at the slower end.
void bench_update_rate(benchmark::State& state) {
  Updates updates;
  std::vector<double> rates;
  for (auto _ : state) {
    for (int round = 0; round < 11; ++round) {
      const auto [sender, receiver] = updates.round(state);
      rates.push_back(1e9 / std::max(sender, receiver));
    }
    report_figure(state, "updates/s to 3 peers", poolgate::perf::median(rates));
  }
}

// ---- a takeover, with the timers' defaults

struct TakeoverFigures {
  double seconds, cpu_ms, longest_ms;
};

TakeoverFigures takeover(benchmark::State& state, uint32_t elements) {
  poolgate::registrar::Settings settings;
  settings.registrar.keepalive_interval_ms = 0;  // the claims alone
  EnrpRig rig;
  EnrpRig::Node& survivor = rig.start(1, settings);
  EnrpRig::Node& dying = rig.start(2, settings);
  register_all(rig, dying, elements);
  rig.tick_until(rig.now() + 35'000'000);  // a heartbeat of each
  // The next one is its last.
  const uint64_t said = dying.core->counters().presences_sent;
  while (dying.core->counters().presences_sent == said) rig.tick_until(rig.now() + 100'000);
  const auto last_heartbeat = rig.now();
  rig.kill(dying);
  survivor.forget_figures();
  const auto end = last_heartbeat + 600'000'000;
  while (survivor.core->counters().pes_claimed < elements && rig.now() < end)
    rig.tick_until(rig.now() + 1'000'000);
  if (survivor.core->counters().pes_claimed != elements) state.SkipWithError("not all PEs were claimed");
  return {static_cast<double>(rig.last_claimed() - last_heartbeat) / 1e6, survivor.cpu_ms,
          survivor.longest_ms};
}

void bench_takeover(benchmark::State& state, uint32_t elements, const char* unit,
                    double TakeoverFigures::*which) {
  for (auto _ : state) report_figure(state, unit, takeover(state, elements).*which);
}

void register_benchmarks() {
  const auto add = [](const std::string& name, auto body) {
    benchmark::RegisterBenchmark(("enrp/" + name).c_str(), body)->Iterations(1);
  };
  for (const auto& [name, n] : {std::pair{"1k", 1000u}, {"10k", 10'000u}, {"100k", 100'000u}}) {
    const std::string sync = std::string("sync/") + name;
    add(sync + "/mentor", [n = n](auto& state) { bench_mentor(state, n); });
    add(sync + "/joiner", [n = n](auto& state) { bench_joiner(state, n); });
    add(sync + "/longest_step", [n = n](auto& state) { bench_longest_step(state, n, kPerPool); });
  }
  add("sync/100k/longest_step/1_pool", [](auto& state) { bench_longest_step(state, 100'000, 100'000); });
  add("sync/100k/longest_step/100k_pools", [](auto& state) { bench_longest_step(state, 100'000, 1); });
  add("sync/100k/read_by_oneTBB/elapsed",
      [](auto& state) { bench_read_elsewhere(state, 100'000, &Sync::Reading::elapsed_ms); });
  add("sync/100k/read_by_oneTBB/loop_cpu",
      [](auto& state) { bench_read_elsewhere(state, 100'000, &Sync::Reading::loop_cpu_ms); });
  add("updates/sender", [](auto& state) { bench_update_sender(state); });
  add("updates/receiver", [](auto& state) { bench_update_receiver(state); });
  add("updates/rate", [](auto& state) { bench_update_rate(state); });
  add("takeover/50k/time",
      [](auto& state) { bench_takeover(state, 50'000, "s", &TakeoverFigures::seconds); });
  add("takeover/50k/cpu", [](auto& state) { bench_takeover(state, 50'000, "ms", &TakeoverFigures::cpu_ms); });
  add("takeover/50k/longest_step",
      [](auto& state) { bench_takeover(state, 50'000, "ms", &TakeoverFigures::longest_ms); });
}

}  // namespace

int main(int argc, char** argv) {
  register_benchmarks();
  return poolgate::perf::run_benchmarks(argc, argv);
}
