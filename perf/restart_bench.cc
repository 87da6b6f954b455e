// SPDX-License-Identifier: BSD-3-Clause
// How long a restart takes: the registrar reads its journal into a state that serves, the data plane attaches
// its session table. Beside each, the bare reading of the same file; beside oneTBB's threads, one.
#include <fcntl.h>
#include <unistd.h>

#include <algorithm>
#include <chrono>
#include <cstdlib>
#include <optional>
#include <thread>

#include "controlplane/registrar/core/registrar.h"
#include "controlplane/registrar/journal/journal.h"
#include "controlplane/registrar/journal/journal_records.h"
#include "dataplane/session/session_table.h"
#include "perf/paired.h"
#include "perf/scratch_folder.h"

namespace {

using namespace poolgate;

double milliseconds(const std::function<void()>& work) {
  const auto begun = std::chrono::steady_clock::now();
  work();
  return std::chrono::duration<double, std::milli>(std::chrono::steady_clock::now() - begun).count();
}

// The bytes, from the page cache, looked at once.
void read_file(const std::string& path) {
  const int fd = ::open(path.c_str(), O_RDONLY | O_CLOEXEC);
  std::string block(4u << 20, '\0');
  uint64_t sum = 0;
  for (ssize_t n = 0; (n = ::read(fd, block.data(), block.size())) > 0;)
    for (ssize_t i = 0; i < n; i += 64) sum += static_cast<uint8_t>(block[static_cast<size_t>(i)]);
  benchmark::DoNotOptimize(sum);
  ::close(fd);
}

constexpr rserpool::ServerId kServer = 0x5e;
constexpr size_t kSlice = 500;
const unsigned kThreads = std::max(2u, std::thread::hardware_concurrency());

registrar::JournalRecord record(uint32_t n) {
  registrar::JournalRecord r;
  r.change = registrar::JournalRecord::Change::put;
  r.pe.handle = "pool-" + std::to_string(n / 100);
  r.pe.element.id = n + 1;
  r.pe.element.home = kServer;
  r.pe.element.registration_life = 300;
  const uint8_t address[4] = {10, static_cast<uint8_t>(n >> 16), static_cast<uint8_t>(n >> 8),
                              static_cast<uint8_t>(n)};
  r.pe.element.user_transport.type = rserpool::TransportType::sctp;
  r.pe.element.user_transport.port = 3868;
  r.pe.element.user_transport.addresses = {rserpool::IpAddress::v4(address)};
  r.pe.element.has_asap_transport = true;
  r.pe.element.asap_transport = r.pe.element.user_transport;
  r.pe.registration = n + 1;
  r.pe.association = {1, 0, n / 10 + 1};
  return r;
}

std::optional<registrar::Registrar> restart(const std::string& folder, unsigned threads) {
  std::optional<registrar::Registrar> core(std::in_place, registrar::Settings{}, kServer, 1, 1'000'000);
  auto opened = registrar::Journal::open(
      folder, "perf", [&](const registrar::Identity&, registrar::JournalRecord&& r) { core->restore(r); },
      threads);
  if (!opened.ok()) std::abort();
  core->restored(1'000'000);
  return core;
}

// A journal with so many registrations.
class Written {
 public:
  explicit Written(uint32_t elements) : elements_(elements) {
    auto opened = registrar::Journal::open(folder_.path(), "perf",
                                           [](const registrar::Identity&, registrar::JournalRecord&&) {});
    if (!opened.ok()) std::abort();
    opened->journal->start({"perf", kServer, 1});
    for (uint32_t n = 0; n < elements; ++n) {
      opened->journal->append(record(n));
      if (n % 1000 == 999) opened->journal->commit();
    }
    opened->journal->commit();
  }
  double restart(benchmark::State& state, unsigned threads) const {
    std::optional<registrar::Registrar> core;
    const double ms = milliseconds([&] { core = ::restart(folder_.path(), threads); });
    if (core->element_count() != elements_) state.SkipWithError("not all PEs came back");
    return ms;
  }
  double read() const {
    return milliseconds([&] { read_file(folder_.path() + "/journal"); });
  }
  struct Rewriting {
    double all_ms = 0, loop_ms = 0;  // how long it takes; the CPU time of the thread that keeps the records
  };
  // It is rewritten from this state, as the process does it but for its pauses.
  Rewriting rewrite(const registrar::Registrar& core, unsigned threads) const {
    auto opened = registrar::Journal::open(
        folder_.path(), "perf", [](const registrar::Identity&, registrar::JournalRecord&&) {}, threads);
    if (!opened.ok()) std::abort();
    registrar::Journal& journal = *opened->journal;
    Rewriting took;
    const auto keep = [&](registrar::JournalRecord&& r) { journal.keep(std::move(r)); };
    took.all_ms = milliseconds([&] {
      if (!journal.begin_compaction()) std::abort();
      registrar::SnapshotCursor cursor;
      for (bool more = true; more;) {
        if (!journal.room_to_keep()) {
          ::usleep(50);
          continue;
        }
        const double begun = perf::cpu_milliseconds();
        more = core.snapshot(cursor, kSlice, keep);
        took.loop_ms += perf::cpu_milliseconds() - begun;
      }
      while (journal.end_compaction() == registrar::Journal::Compaction::going) ::usleep(50);
    });
    if (journal.compactions() != 1) std::abort();
    return took;
  }
  // The same slices, put into bytes by who takes them.
  static double loop_with_bytes(const registrar::Registrar& core) {
    std::string bytes;
    const auto keep = [&](registrar::JournalRecord&& r) {
      registrar::RecordFile::frame(registrar::kChangeRecord, registrar::to_bytes(r), bytes);
      if (bytes.size() > (1u << 20)) bytes.clear();
    };
    registrar::SnapshotCursor cursor;
    const double begun = perf::cpu_milliseconds();
    while (core.snapshot(cursor, kSlice, keep)) continue;
    return perf::cpu_milliseconds() - begun;
  }
  const std::string& folder() const { return folder_.path(); }

 private:
  perf::ScratchFolder folder_;
  uint32_t elements_;
};

unsigned rounds_for(uint32_t elements) { return elements > 100'000 ? 5 : 11; }

void bench_registrar(benchmark::State& state, uint32_t elements) {
  const Written journal(elements);
  perf::report_paired(
      state, "ms", "reading the journal's bytes", [&] { return journal.restart(state, 1); },
      [&] { return journal.read(); }, rounds_for(elements));
}

void bench_registrar_threads(benchmark::State& state, uint32_t elements) {
  const Written journal(elements);
  perf::report_paired(
      state, "ms", "by one thread", [&] { return journal.restart(state, kThreads); },
      [&] { return journal.restart(state, 1); }, rounds_for(elements));
}

void bench_rewrite(benchmark::State& state, uint32_t elements) {
  const Written journal(elements);
  const auto core = restart(journal.folder(), 1);
  perf::report_paired(
      state, "ms", "by one thread beside the loop", [&] { return journal.rewrite(*core, kThreads).all_ms; },
      [&] { return journal.rewrite(*core, 1).all_ms; }, rounds_for(elements));
}

void bench_rewrite_loop(benchmark::State& state, uint32_t elements) {
  const Written journal(elements);
  const auto core = restart(journal.folder(), 1);
  perf::report_paired(
      state, "ms of the loop's CPU", "the loop puts the records into bytes, too",
      [&] { return journal.rewrite(*core, kThreads).loop_ms; },
      [&] { return Written::loop_with_bytes(*core); }, rounds_for(elements));
}

void bench_data_plane(benchmark::State& state, uint32_t sessions) {
  constexpr uint32_t kSlots = 1024;
  const perf::ScratchFolder folder;
  const std::string file = folder.path() + "/sessions";
  const auto open = [&](pool::PeLine* lines) {
    auto made = session::SessionTable::open(file, sessions, lines, kSlots, 1000);
    if (!made.ok()) std::abort();
    return std::move(*made);
  };
  {
    const auto lines = std::make_unique<pool::PeLine[]>(kSlots);
    const auto table = open(lines.get());
    for (uint32_t n = 0; n < sessions; ++n) {
      session::FlowKey key;
      key.source = n;
      key.destination = 0x010200c0;
      key.source_port = static_cast<uint16_t>(n | 1);
      key.destination_port = 0x1c0f;
      key.protocol = 132;
      key.family = 4;
      const auto i = table->insert(key, session::hash_flow(key, table->secret()), nullptr, n % kSlots);
      if (i == session::kNone) return state.SkipWithError("the table is full");
      table->set_tag_p(i, n * 2654435761u | 1);
      table->set_state(i, session::State::established);
    }
  }
  poolgate::perf::report_paired(
      state, "ms", "reading the table's bytes",
      [&] {
        const auto lines = std::make_unique<pool::PeLine[]>(kSlots);
        std::unique_ptr<session::SessionTable> table;
        const double ms = milliseconds([&] { table = open(lines.get()); });
        if (table->reattached() != sessions) state.SkipWithError("not all sessions came back");
        return ms;
      },
      [&] { return milliseconds([&] { read_file(file); }); }, 5);
}

void register_benchmarks() {
  for (const auto& [name, n] : {std::pair{"1k", 1000u}, {"100k", 100'000u}, {"1M", 1'000'000u}})
    benchmark::RegisterBenchmark((std::string("restart/registrar/PEs/") + name).c_str(), bench_registrar, n)
        ->Iterations(1);
  for (const auto& [name, n] : {std::pair{"100k", 100'000u}, {"1M", 1'000'000u}}) {
    const auto add = [n = n, name = name](const std::string& what, auto body) {
      benchmark::RegisterBenchmark(("restart/" + what + "/" + name).c_str(), body, n)->Iterations(1);
    };
    add("registrar/oneTBB/PEs", bench_registrar_threads);
    add("journal/rewrite/oneTBB/PEs", bench_rewrite);
    add("journal/rewrite/loop/PEs", bench_rewrite_loop);
  }
  for (const auto& [name, n] : {std::pair{"64k", 65'536u}, {"1M", 1'000'000u}})
    benchmark::RegisterBenchmark((std::string("restart/data_plane/sessions/") + name).c_str(),
                                 bench_data_plane, n)
        ->Iterations(1);
}

}  // namespace

int main(int argc, char** argv) {
  register_benchmarks();
  return poolgate::perf::run_benchmarks(argc, argv);
}
