// SPDX-License-Identifier: BSD-3-Clause
// Between the main lcore, which says what is to be probed, and the worker, which says what it found. A status
// is a word that is overwritten: what is told late is told right, and nothing of it can be lost.
#pragma once

#include <atomic>
#include <memory>
#include <utility>

#include "dataplane/probe/spsc_queue.h"
#include "dataplane/probe/target.h"

namespace poolgate::probe {

// One thread adds, any thread may read.
struct TargetCounters {
  std::atomic<uint64_t> sent{0}, answered{0};
};

class Board {
 public:
  static constexpr uint32_t kTargets = 16'384;
  static constexpr size_t kQueue = 4096;

  explicit Board(uint32_t capacity = kTargets)
      : capacity_(capacity),
        status_(std::make_unique<std::atomic<uint64_t>[]>(capacity)),
        counters_(std::make_unique<TargetCounters[]>(capacity)) {}

  uint32_t capacity() const { return capacity_; }

  // ---- main lcore
  bool change(const Change& change) { return changes_.push(change); }
  // Indices whose status is another one now; false: no more. `all`: some were not queued, look at each.
  bool news(TargetIndex& index, bool& all) {
    all = overflow_.exchange(false, std::memory_order_acquire);
    return all || news_.pop(index);
  }
  // ---- any thread
  Status status(TargetIndex index) const {
    return Status::of(status_[index].load(std::memory_order_acquire));
  }
  const TargetCounters& counters(TargetIndex index) const { return counters_[index]; }

  // ---- worker
  bool next_change(Change& change) { return changes_.pop(change); }
  void tell(TargetIndex index, const Status& status) {
    status_[index].store(status.packed(), std::memory_order_release);
    if (!news_.push(index)) overflow_.store(true, std::memory_order_release);
    told_ = true;
  }
  // `said`: as told last. Told if it is another one now; `judged`: a question, if there is one, is answered
  // by it. One word: whoever sees the one sees the other.
  void tell_change(TargetIndex index, Status& said, Status now, bool& asked, bool judged) {
    if (judged && asked) {
      asked = false;
      ++now.judged;
    }
    if (now == said) return;
    said = now;
    tell(index, now);
  }
  // A target that begins: nothing was sent yet.
  void begin(TargetIndex index, const Status& status) {
    counters_[index].sent.store(0, std::memory_order_relaxed);
    counters_[index].answered.store(0, std::memory_order_relaxed);
    tell(index, status);
  }
  // Whether anything was told since the last call.
  bool take_told() { return std::exchange(told_, false); }
  TargetCounters& counters(TargetIndex index) { return counters_[index]; }

 private:
  const uint32_t capacity_;
  std::unique_ptr<std::atomic<uint64_t>[]> status_;
  std::unique_ptr<TargetCounters[]> counters_;
  SpscQueue<Change> changes_{kQueue};
  SpscQueue<TargetIndex> news_{kQueue};
  std::atomic<bool> overflow_{false};
  bool told_ = false;  // the worker's
};

}  // namespace poolgate::probe
