// SPDX-License-Identifier: BSD-3-Clause
#pragma once

#include <atomic>
#include <cstdint>

namespace poolgate::worker {

// Wakes the main lcore, which sleeps in epoll. A worker that put something into a ring rings once; it costs a
// system call only if the main lcore is asleep, so at most one for each of its sleeps.
class Doorbell {
 public:
  Doorbell();
  ~Doorbell();
  Doorbell(const Doorbell&) = delete;
  Doorbell& operator=(const Doorbell&) = delete;

  // ---- main lcore: arm, look at the rings once more, then sleep on fd(); disarm after.
  void arm() {
    armed_.store(true, std::memory_order_relaxed);
    std::atomic_thread_fence(std::memory_order_seq_cst);
  }
  void disarm() { armed_.store(false, std::memory_order_relaxed); }
  void drain() const;
  int fd() const { return fd_; }

  // ---- any thread, after the entry is in the ring
  void ring() {
    std::atomic_thread_fence(std::memory_order_seq_cst);
    if (armed_.load(std::memory_order_relaxed) && armed_.exchange(false)) signal();
  }

 private:
  void signal() const;

  int fd_;
  alignas(64) std::atomic<bool> armed_{false};
};

}  // namespace poolgate::worker
