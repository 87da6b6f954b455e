// SPDX-License-Identifier: BSD-3-Clause
#pragma once

#include <chrono>
#include <condition_variable>
#include <deque>
#include <functional>
#include <memory>
#include <mutex>

#include "dataplane/worker/doorbell.h"

namespace poolgate::worker {

// Other threads (CLI, telemetry) have the main lcore do something and wait for it, for a bounded time.
class Requests {
 public:
  explicit Requests(Doorbell& doorbell) : doorbell_(doorbell) {}

  // Any thread but the main lcore's. Runs `what` there; false: it was not begun within `patience`, and never
  // will be.
  bool ask(std::function<void()> what, std::chrono::milliseconds patience = std::chrono::seconds(1)) {
    const auto item = std::make_shared<Item>();
    item->what = std::move(what);
    {
      const std::lock_guard lock(mutex_);
      waiting_.push_back(item);
    }
    doorbell_.ring();
    std::unique_lock lock(mutex_);
    changed_.wait_for(lock, patience, [&] { return item->state == Item::done; });
    if (item->state == Item::running) changed_.wait(lock, [&] { return item->state == Item::done; });
    if (item->state == Item::done) return true;
    item->state = Item::given_up;
    return false;
  }

  // Main lcore: runs what waits.
  unsigned run() {
    unsigned done = 0;
    for (std::unique_lock lock(mutex_); !waiting_.empty(); ++done) {
      const std::shared_ptr<Item> item = waiting_.front();
      waiting_.pop_front();
      if (item->state != Item::waiting) continue;
      item->state = Item::running;
      lock.unlock();
      item->what();
      lock.lock();
      item->state = Item::done;
      changed_.notify_all();
    }
    return done;
  }

 private:
  struct Item {
    enum { waiting, running, done, given_up } state = waiting;
    std::function<void()> what;
  };
  Doorbell& doorbell_;
  std::mutex mutex_;
  std::condition_variable changed_;
  std::deque<std::shared_ptr<Item>> waiting_;
};

}  // namespace poolgate::worker
