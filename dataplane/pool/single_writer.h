// SPDX-License-Identifier: BSD-3-Clause
#pragma once

#include <atomic>
#include <type_traits>

namespace poolgate::pool {

// To a counter that the calling thread alone writes; any thread may read it. It wraps: T(-1) takes one away.
template <class T>
void add(std::atomic<T>& counter, std::type_identity_t<T> n) {
  counter.store(static_cast<T>(counter.load(std::memory_order_relaxed) + n), std::memory_order_relaxed);
}

}  // namespace poolgate::pool
