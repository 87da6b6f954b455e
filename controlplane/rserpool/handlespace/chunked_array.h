// SPDX-License-Identifier: BSD-3-Clause
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <vector>

namespace poolgate::rserpool {

// Items that never move, addressed by an index that is given again after it was released. Grows by a chunk at
// a time.
template <class T, unsigned kChunkBits = 7>
class ChunkedArray {
 public:
  T& operator[](uint32_t i) { return chunks_[i >> kChunkBits][i & kMask]; }
  const T& operator[](uint32_t i) const { return chunks_[i >> kChunkBits][i & kMask]; }

  // The item is as T{} or as release() left it. Amortised O(1); a chunk's allocation at worst.
  uint32_t allocate() {
    if (!free_.empty()) {
      const uint32_t index = free_.back();
      free_.pop_back();
      return index;
    }
    if (end_ >> kChunkBits == chunks_.size())
      chunks_.emplace_back(std::make_unique<T[]>(size_t{1} << kChunkBits));
    return end_++;
  }
  void release(uint32_t index) {
    (*this)[index] = T{};
    free_.push_back(index);
  }
  // Indices 0..end()-1 have been given at some time.
  uint32_t end() const { return end_; }

 private:
  static constexpr uint32_t kMask = (1u << kChunkBits) - 1;
  std::vector<std::unique_ptr<T[]>> chunks_;
  std::vector<uint32_t> free_;
  uint32_t end_ = 0;
};

}  // namespace poolgate::rserpool
