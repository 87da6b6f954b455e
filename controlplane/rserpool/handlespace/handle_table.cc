// SPDX-License-Identifier: BSD-3-Clause
#include "controlplane/rserpool/handlespace/handle_table.h"

#include <algorithm>
#include <cstring>

#include "controlplane/rserpool/policy/random.h"

namespace poolgate::rserpool {

namespace {

__extension__ using Wide = unsigned __int128;

uint64_t fold(uint64_t a, uint64_t b) {
  const Wide product = static_cast<Wide>(a) * b;
  return static_cast<uint64_t>(product) ^ static_cast<uint64_t>(product >> 64);
}

std::unique_ptr<uint32_t[]> make_chunk(uint32_t n) {
  auto chunk = std::make_unique<uint32_t[]>(n);
  std::fill_n(chunk.get(), n, HandleTable::kNone);
  return chunk;
}

}  // namespace

// 8 bytes a multiplication, each masked by a value that depends on the key and on all bytes before.
uint64_t hash_handle(PoolHandleView handle, uint64_t key) {
  const uint64_t factor = mix64(key + 0x9e3779b97f4a7c15u) | 1;
  uint64_t state = mix64(key ^ 0xd6e8feb86659fd93u);
  const char* at = handle.data();
  size_t left = handle.size();
  for (; left >= 8; at += 8, left -= 8) {
    uint64_t word;
    std::memcpy(&word, at, 8);
    state = fold(state ^ word, factor) + 0xd6e8feb86659fd93u;
  }
  uint64_t rest = 0;
  if (left != 0) std::memcpy(&rest, at, left);
  state = fold(state ^ rest, factor) ^ handle.size();
  return mix64(state);
}

HandleTable::HandleTable() { chunks_.push_back(make_chunk(kChunk)); }

void HandleTable::grow() {
  if (++end_ == 2 * half_) half_ *= 2;
  if (end_ > chunks_.size() * kChunk) chunks_.push_back(make_chunk(kChunk));
}

}  // namespace poolgate::rserpool
