// SPDX-License-Identifier: BSD-3-Clause
#pragma once

#include <immintrin.h>

#include <cstdint>
#include <cstring>

namespace poolgate::session {

// The flow as it stands on the wire: 16 bytes compared and hashed at once. Ports and addresses in network
// order. IPv6 addresses do not fit: `source` and `destination` then hold 64 bits of a keyed hash of both (the
// session stage sets them; the parser leaves 0), and whoever finds an equal key compares the addresses
// themselves.
struct alignas(16) FlowKey {
  uint32_t source = 0;
  uint32_t destination = 0;
  uint16_t source_port = 0;
  uint16_t destination_port = 0;
  uint8_t protocol = 0;
  uint8_t family = 0;  // 4 or 6
  uint16_t zero = 0;

  bool operator==(const FlowKey&) const = default;
};
static_assert(sizeof(FlowKey) == 16);

// A bit for each byte.
inline uint32_t differing_bytes(const FlowKey& a, const FlowKey& b) {
  const __m128i x = _mm_load_si128(reinterpret_cast<const __m128i*>(&a));
  const __m128i y = _mm_load_si128(reinterpret_cast<const __m128i*>(&b));
  return static_cast<uint32_t>(_mm_movemask_epi8(_mm_cmpeq_epi8(x, y))) ^ 0xffff;
}
inline bool same_key(const FlowKey& a, const FlowKey& b) { return differing_bytes(a, b) == 0; }

// Both addresses of an IPv6 flow, as they stand in the header: source, destination.
using V6Addresses = uint8_t[32];

// The secret of one table: without it, nobody can choose flows that fall into one bucket.
struct HashSecret {
  uint64_t a = 0, b = 0, c = 0;
};

inline uint64_t mix(uint64_t a, uint64_t b) {
  const auto product = static_cast<unsigned __int128>(a) * b;
  return static_cast<uint64_t>(product) ^ static_cast<uint64_t>(product >> 64);
}

inline uint32_t hash_flow(const FlowKey& key, const HashSecret& secret) {
  uint64_t words[2];
  std::memcpy(words, &key, 16);
  const uint64_t h = mix(words[0] ^ secret.a, words[1] ^ secret.b);
  return static_cast<uint32_t>(h ^ h >> 32);
}

// What stands in source and destination of an IPv6 flow's key.
inline void set_v6_words(FlowKey& key, const uint8_t* addresses, const HashSecret& secret) {
  uint64_t words[4];
  std::memcpy(words, addresses, 32);
  const uint64_t h =
      mix(words[0] ^ secret.c, words[1] ^ secret.a) ^ mix(words[2] ^ secret.b, words[3] ^ secret.c);
  std::memcpy(&key.source, &h, 8);
}

// The same flow of IPv4 but for its addresses. By words: what hashes it reads words, and waits for smaller
// stores.
inline FlowKey with_v4_addresses(const FlowKey& flow, uint32_t source, uint32_t destination) {
  uint64_t words[2];
  std::memcpy(words, &flow, 16);
  words[0] = source | uint64_t{destination} << 32;
  FlowKey key;
  std::memcpy(&key, words, 16);
  return key;
}

// `both`: source and destination, each of the key's family's size, one after the other.
inline void set_addresses(FlowKey& key, const uint8_t* both, const HashSecret& secret) {
  if (key.family == 6) {
    set_v6_words(key, both, secret);
  } else {
    std::memcpy(&key.source, both, 8);
  }
}

// The next of a sequence that a seed begins (splitmix64's shape): for secrets, not for hashing.
inline uint64_t stretch(uint64_t& seed) {
  seed += 0x9e3779b97f4a7c15;
  uint64_t z = (seed ^ seed >> 30) * 0xbf58476d1ce4e5b9;
  z = (z ^ z >> 27) * 0x94d049bb133111eb;
  return z ^ z >> 31;
}

}  // namespace poolgate::session
