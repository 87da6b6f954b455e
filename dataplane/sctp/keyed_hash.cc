// SPDX-License-Identifier: BSD-3-Clause
#include "dataplane/sctp/keyed_hash.h"

#include <sys/random.h>

#include <bit>
#include <chrono>
#include <cstring>

namespace poolgate::sctp {
namespace {

struct State {
  uint64_t v0, v1, v2, v3;

  void round() {
    v0 += v1;
    v1 = std::rotl(v1, 13) ^ v0;
    v0 = std::rotl(v0, 32);
    v2 += v3;
    v3 = std::rotl(v3, 16) ^ v2;
    v0 += v3;
    v3 = std::rotl(v3, 21) ^ v0;
    v2 += v1;
    v1 = std::rotl(v1, 17) ^ v2;
    v2 = std::rotl(v2, 32);
  }
  void absorb(uint64_t word) {
    v3 ^= word;
    round();
    round();
    v0 ^= word;
  }
};

}  // namespace

HashKey HashKey::random() {
  HashKey key;
  if (getrandom(&key, sizeof(key), 0) != sizeof(key)) {
    key.low = static_cast<uint64_t>(std::chrono::steady_clock::now().time_since_epoch().count());
    key.high = reinterpret_cast<uintptr_t>(&key);
  }
  return key;
}

uint64_t keyed_hash(const HashKey& key, const uint8_t* data, size_t length) {
  State s{key.low ^ 0x736f6d6570736575, key.high ^ 0x646f72616e646f6d, key.low ^ 0x6c7967656e657261,
          key.high ^ 0x7465646279746573};
  size_t i = 0;
  for (; i + 8 <= length; i += 8) {
    uint64_t word;
    std::memcpy(&word, data + i, sizeof(word));
    s.absorb(word);
  }
  uint64_t last = static_cast<uint64_t>(length) << 56;
  std::memcpy(&last, data + i, length - i);
  s.absorb(last);
  s.v2 ^= 0xff;
  for (int n = 0; n < 4; ++n) s.round();
  return s.v0 ^ s.v1 ^ s.v2 ^ s.v3;
}

}  // namespace poolgate::sctp
