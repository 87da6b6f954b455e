// SPDX-License-Identifier: BSD-3-Clause
// A bounded queue of plain values from one thread to one other.
#pragma once

#include <atomic>
#include <cstddef>
#include <memory>
#include <type_traits>

namespace poolgate::probe {

template <class Value>
class SpscQueue {
  static_assert(std::is_trivially_copyable_v<Value>);

 public:
  // capacity: a power of two.
  explicit SpscQueue(size_t capacity) : mask_(capacity - 1), slots_(std::make_unique<Value[]>(capacity)) {}

  bool push(const Value& value) {
    const size_t tail = tail_.load(std::memory_order_relaxed);
    if (tail - head_.load(std::memory_order_acquire) > mask_) return false;
    slots_[tail & mask_] = value;
    tail_.store(tail + 1, std::memory_order_release);
    return true;
  }
  bool pop(Value& value) {
    const size_t head = head_.load(std::memory_order_relaxed);
    if (head == tail_.load(std::memory_order_acquire)) return false;
    value = slots_[head & mask_];
    head_.store(head + 1, std::memory_order_release);
    return true;
  }

 private:
  const size_t mask_;
  std::unique_ptr<Value[]> slots_;
  alignas(64) std::atomic<size_t> head_{0};
  alignas(64) std::atomic<size_t> tail_{0};
};

}  // namespace poolgate::probe
