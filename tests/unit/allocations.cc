// SPDX-License-Identifier: BSD-3-Clause
#include "tests/unit/allocations.h"

#include <malloc.h>

#include <atomic>
#include <cstdlib>
#include <new>

#include "tests/unit/sanitizer.h"

namespace poolgate::test {

namespace {
std::atomic<uint64_t> made{0};
std::atomic<int64_t> bytes{0};
constexpr int64_t kMallocWord = 8;

int64_t size_of(const volatile void* memory) {
  return static_cast<int64_t>(malloc_usable_size(const_cast<void*>(memory))) + kMallocWord;
}
void count(const volatile void* memory) {
  made.fetch_add(1, std::memory_order_relaxed);
  bytes.fetch_add(size_of(memory), std::memory_order_relaxed);
}
void uncount(const volatile void* memory) {
  if (memory != nullptr) bytes.fetch_sub(size_of(memory), std::memory_order_relaxed);
}
}  // namespace

uint64_t allocations_made() { return made.load(std::memory_order_relaxed); }
int64_t bytes_allocated() { return bytes.load(std::memory_order_relaxed); }

}  // namespace poolgate::test

#ifdef POOLGATE_SANITIZED

// A sanitizer has an operator new of its own, which tells us (and so does its malloc: all the stricter).
extern "C" void __sanitizer_malloc_hook(const volatile void* memory, size_t) {
  poolgate::test::count(memory);
}
extern "C" void __sanitizer_free_hook(const volatile void* memory) { poolgate::test::uncount(memory); }

#else

namespace {
void* counted(void* memory) {
  if (memory == nullptr) std::abort();
  poolgate::test::count(memory);
  return memory;
}
void give_back(void* memory) {
  poolgate::test::uncount(memory);
  std::free(memory);
}
}  // namespace

void* operator new(size_t size) { return counted(std::malloc(size != 0 ? size : 1)); }
void* operator new(size_t size, std::align_val_t alignment) {
  const auto unit = static_cast<size_t>(alignment);
  return counted(std::aligned_alloc(unit, (size + unit - 1) / unit * unit));
}
void operator delete(void* memory) noexcept { give_back(memory); }
void operator delete(void* memory, size_t) noexcept { give_back(memory); }
void operator delete(void* memory, std::align_val_t) noexcept { give_back(memory); }
void operator delete(void* memory, size_t, std::align_val_t) noexcept { give_back(memory); }

#endif
