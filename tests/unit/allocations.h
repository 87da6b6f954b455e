// SPDX-License-Identifier: BSD-3-Clause
// Counts what operator new gives out. Link allocations.cc into the program.
#pragma once

#include <cstdint>

namespace poolgate::test {

// Of all threads, since the program began. Bytes are those that malloc takes for it, its own word included.
uint64_t allocations_made();
int64_t bytes_allocated();

// Since its construction.
class Allocations {
 public:
  uint64_t count() const { return allocations_made() - made_; }
  int64_t bytes() const { return bytes_allocated() - bytes_; }

 private:
  uint64_t made_ = allocations_made();
  int64_t bytes_ = bytes_allocated();
};

}  // namespace poolgate::test
