// SPDX-License-Identifier: BSD-3-Clause
#include "tests/unit/allocations.h"

#include <malloc.h>

#include <atomic>
#include <cstdlib>
#include <new>

namespace poolgate::test {

namespace {
std::atomic<uint64_t> made{0};
std::atomic<int64_t> bytes{0};
constexpr int64_t kMallocWord = 8;

void* counted(void* memory) {
  if (memory == nullptr) std::abort();
  made.fetch_add(1, std::memory_order_relaxed);
  bytes.fetch_add(static_cast<int64_t>(malloc_usable_size(memory)) + kMallocWord, std::memory_order_relaxed);
  return memory;
}
void uncounted(void* memory) {
  if (memory == nullptr) return;
  bytes.fetch_sub(static_cast<int64_t>(malloc_usable_size(memory)) + kMallocWord, std::memory_order_relaxed);
  std::free(memory);
}
}  // namespace

uint64_t allocations_made() { return made.load(std::memory_order_relaxed); }
int64_t bytes_allocated() { return bytes.load(std::memory_order_relaxed); }

}  // namespace poolgate::test

void* operator new(size_t size) { return poolgate::test::counted(std::malloc(size != 0 ? size : 1)); }
void* operator new(size_t size, std::align_val_t alignment) {
  const auto unit = static_cast<size_t>(alignment);
  return poolgate::test::counted(std::aligned_alloc(unit, (size + unit - 1) / unit * unit));
}
void operator delete(void* memory) noexcept { poolgate::test::uncounted(memory); }
void operator delete(void* memory, size_t) noexcept { poolgate::test::uncounted(memory); }
void operator delete(void* memory, std::align_val_t) noexcept { poolgate::test::uncounted(memory); }
void operator delete(void* memory, size_t, std::align_val_t) noexcept { poolgate::test::uncounted(memory); }
