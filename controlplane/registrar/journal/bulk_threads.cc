// SPDX-License-Identifier: BSD-3-Clause
#include "controlplane/registrar/journal/bulk_threads.h"

#include <tbb/parallel_pipeline.h>
#include <tbb/task_arena.h>

#include <algorithm>
#include <atomic>
#include <cstdint>
#include <vector>

namespace poolgate::registrar {

namespace {

// TBB's library hands work from one thread to the next. ThreadSanitizer does not see into it: so each piece
// of work says itself that it comes after those that had ended before it began.
std::atomic<uint64_t> ended_pieces{0};
class Piece {
 public:
  Piece() { static_cast<void>(ended_pieces.load(std::memory_order_acquire)); }
  ~Piece() { ended_pieces.fetch_add(1, std::memory_order_release); }
  Piece(const Piece&) = delete;
  Piece& operator=(const Piece&) = delete;
};

}  // namespace

struct BulkThreads::Arena {
  explicit Arena(unsigned threads) : arena(static_cast<int>(threads)) {}
  tbb::task_arena arena;
};

BulkThreads::BulkThreads(unsigned threads)
    : count_(std::max(threads, 1u)), arena_(count_ > 1 ? std::make_unique<Arena>(count_) : nullptr) {}
BulkThreads::~BulkThreads() = default;

void BulkThreads::each(size_t n, const std::function<void(size_t)>& work) const {
  size_t next = 0;
  std::vector<size_t> at(places());
  line({[&](size_t place) { return at[place] = next, next++ < n; }, [&](size_t place) { work(at[place]); },
        [](size_t) { return true; }});
}

void BulkThreads::line(const Stations& stations) const {
  if (!arena_) {
    while (stations.read(0)) {
      stations.change(0);
      if (!stations.take(0)) return;
    }
    return;
  }
  // Items leave in the order in which they came, and no more than places() are under way: whoever comes finds
  // its place left.
  size_t read = 0;
  std::atomic<bool> ended = false;
  const auto input = [&](tbb::flow_control& control) {
    const Piece piece;
    const size_t place = read++ % places();
    if (ended.load(std::memory_order_relaxed) || !stations.read(place)) control.stop();
    return place;
  };
  const auto change = [&](size_t place) {
    const Piece piece;
    if (!ended.load(std::memory_order_relaxed)) stations.change(place);
    return place;
  };
  const auto output = [&](size_t place) {
    const Piece piece;
    if (!ended.load(std::memory_order_relaxed) && !stations.take(place))
      ended.store(true, std::memory_order_relaxed);
  };
  { const Piece before; }
  arena_->arena.execute([&] {
    tbb::parallel_pipeline(places(),
                           tbb::make_filter<void, size_t>(tbb::filter_mode::serial_in_order, input) &
                               tbb::make_filter<size_t, size_t>(tbb::filter_mode::parallel, change) &
                               tbb::make_filter<size_t, void>(tbb::filter_mode::serial_in_order, output));
  });
  { const Piece all; }
}

}  // namespace poolgate::registrar
