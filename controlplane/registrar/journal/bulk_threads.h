// SPDX-License-Identifier: BSD-3-Clause
// Threads for long computation over bytes that knows nothing of protocol: a oneTBB arena of a bounded number,
// of whom the caller is one. The event loop never calls these: its start does, before there is a loop, and
// the thread that rewrites the journal.
#pragma once

#include <cstddef>
#include <functional>
#include <memory>

namespace poolgate::registrar {

class BulkThreads {
 public:
  // 1: none but the caller, which does one thing after the other.
  explicit BulkThreads(unsigned threads = 1);
  ~BulkThreads();
  BulkThreads(const BulkThreads&) = delete;
  BulkThreads& operator=(const BulkThreads&) = delete;

  unsigned count() const { return count_; }

  // work(0) to work(n - 1), in any order and beside each other; back when all are done.
  void each(size_t n, const std::function<void(size_t)>& work) const;

  // Items pass three stations in the places 0 to places() - 1: read() fills a place, in order, until it says
  // false; change() works on it, beside others; take() gets the items in the order of reading, one at a time,
  // and false ends it all: what is still under way is dropped. Back when nothing is.
  struct Stations {
    std::function<bool(size_t place)> read;
    std::function<void(size_t place)> change;
    std::function<bool(size_t place)> take;
  };
  void line(const Stations& stations) const;
  size_t places() const { return count_ == 1 ? 1 : 2 * count_ + 2; }

 private:
  struct Arena;
  unsigned count_;
  std::unique_ptr<Arena> arena_;  // null: count() is 1
};

}  // namespace poolgate::registrar
