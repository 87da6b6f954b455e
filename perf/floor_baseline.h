// SPDX-License-Identifier: BSD-3-Clause
// The least that a redirect of IPv4/SCTP can be: parse, one exact-match table of 8-way signature buckets and
// 32-byte entries, a timestamp and counters, new MAC addresses. It knows no associations, no death, no IPv6,
// no next hops: the control that redirect_bench measures the real stages against.
#pragma once

#include <immintrin.h>
#include <rte_mbuf.h>

#include <cstdint>
#include <cstring>

#include "dataplane/pool/mapped_file.h"

namespace poolgate::perf {

struct alignas(16) FloorKey {
  uint32_t source = 0, destination = 0;
  uint16_t source_port = 0, destination_port = 0;
  uint32_t protocol = 0;
};
static_assert(sizeof(FloorKey) == 16);

struct alignas(32) FloorEntry {
  FloorKey key;
  uint32_t seen = 0;
  uint16_t backend = 0;
  uint16_t flags = 0;
  uint64_t packets = 0;
};
static_assert(sizeof(FloorEntry) == 32);

struct alignas(64) FloorBackend {
  uint8_t macs[12] = {};
  uint32_t address = 0;
  uint64_t packets = 0, bytes = 0;
};

class FloorTable {
 public:
  explicit FloorTable(uint32_t flows) : memory_(std::move(*pool::MappedFile::open("", bytes(flows), {}))) {
    n_ = buckets(flows);
    buckets_ = reinterpret_cast<Bucket*>(memory_.data());
    entries_ = reinterpret_cast<FloorEntry*>(memory_.data() + size_t{n_} * sizeof(Bucket));
  }

  static uint32_t hash(const FloorKey& key) {
    uint64_t words[2];
    std::memcpy(words, &key, 16);
    return static_cast<uint32_t>(_mm_crc32_u64(_mm_crc32_u64(0x9747b28c, words[0]), words[1]));
  }

  void insert(const FloorKey& key, uint16_t backend) {
    const uint32_t h = hash(key);
    for (uint32_t at = h & (n_ - 1);; at = (at + 1) & (n_ - 1)) {
      for (int i = 0; i < 8; ++i) {
        if (buckets_[at].signature[i] != 0) continue;
        buckets_[at].signature[i] = signature(h);
        buckets_[at].entry[i] = ++used_;
        entries_[used_] = {.key = key, .backend = backend};
        return;
      }
    }
  }

  void prefetch(uint32_t h) const { __builtin_prefetch(&buckets_[h & (n_ - 1)]); }

  void lookup(const FloorKey* keys, const uint32_t* hashes, FloorEntry** found, unsigned n) const {
    for (unsigned i = 0; i < n; ++i) {
      const Bucket& b = buckets_[hashes[i] & (n_ - 1)];
      const uint32_t m = matches(b, signature(hashes[i]));
      found[i] = m != 0 ? &entries_[b.entry[__builtin_ctz(m)]] : nullptr;
      if (m != 0) __builtin_prefetch(found[i]);
    }
    for (unsigned i = 0; i < n; ++i) {
      if (found[i] == nullptr || !equal(found[i]->key, keys[i])) [[unlikely]]
        found[i] = search(keys[i], hashes[i]);
    }
  }

 private:
  struct alignas(64) Bucket {
    uint16_t signature[8];
    uint32_t entry[8];
    uint8_t unused[16];
  };
  static_assert(sizeof(Bucket) == 64);

  static uint32_t buckets(uint32_t flows) {
    uint32_t n = 2;
    while (n < flows / 5) n *= 2;
    return n;
  }
  static size_t bytes(uint32_t flows) {
    return size_t{buckets(flows)} * sizeof(Bucket) + (size_t{flows} + 1) * sizeof(FloorEntry);
  }
  static uint16_t signature(uint32_t h) { return static_cast<uint16_t>(h >> 16 | 1); }
  static uint32_t matches(const Bucket& b, uint16_t s) {
    const __m128i all = _mm_load_si128(reinterpret_cast<const __m128i*>(b.signature));
    const __m128i same = _mm_cmpeq_epi16(all, _mm_set1_epi16(static_cast<int16_t>(s)));
    return static_cast<uint32_t>(_mm_movemask_epi8(_mm_packs_epi16(same, _mm_setzero_si128()))) & 0xff;
  }
  static bool equal(const FloorKey& a, const FloorKey& b) {
    const __m128i x = _mm_load_si128(reinterpret_cast<const __m128i*>(&a));
    const __m128i y = _mm_load_si128(reinterpret_cast<const __m128i*>(&b));
    return _mm_movemask_epi8(_mm_cmpeq_epi8(x, y)) == 0xffff;
  }
  FloorEntry* search(const FloorKey& key, uint32_t h) const {
    for (uint32_t at = h & (n_ - 1);; at = (at + 1) & (n_ - 1)) {
      for (uint32_t m = matches(buckets_[at], signature(h)); m != 0; m &= m - 1) {
        FloorEntry* e = &entries_[buckets_[at].entry[__builtin_ctz(m)]];
        if (equal(e->key, key)) return e;
      }
      if (buckets_[at].signature[7] == 0) return nullptr;
    }
  }

  pool::MappedFile memory_;
  Bucket* buckets_;
  FloorEntry* entries_;
  uint32_t n_;
  uint32_t used_ = 0;
};

inline bool floor_parse(const rte_mbuf* m, FloorKey& key) {
  const auto* p = rte_pktmbuf_mtod(m, const uint8_t*);
  uint16_t type, fragment, length;
  std::memcpy(&type, p + 12, 2);
  std::memcpy(&fragment, p + 20, 2);
  std::memcpy(&length, p + 16, 2);
  if (m->data_len < 46 || type != 0x0008 || p[14] != 0x45 || (fragment & 0xff3f) != 0 ||
      __builtin_bswap16(length) > m->pkt_len - 14) [[unlikely]]
    return false;
  if (p[23] != 132 && p[23] != 17 && p[23] != 6) [[unlikely]]
    return false;
  std::memcpy(&key.source, p + 26, 4);
  std::memcpy(&key.destination, p + 30, 4);
  std::memcpy(&key.source_port, p + 34, 2);
  std::memcpy(&key.destination_port, p + 36, 2);
  key.protocol = p[23];
  return true;
}

enum class FloorMode { l2, nat, ipip };

inline void floor_nat(uint8_t* ip, uint32_t address) {
  uint16_t checksum;
  uint32_t old;
  std::memcpy(&checksum, ip + 10, 2);
  std::memcpy(&old, ip + 16, 4);
  uint32_t sum = static_cast<uint16_t>(~checksum);
  sum += static_cast<uint16_t>(~old) + static_cast<uint16_t>(~(old >> 16));
  sum += static_cast<uint16_t>(address) + static_cast<uint16_t>(address >> 16);
  sum = (sum & 0xffff) + (sum >> 16);
  sum = (sum & 0xffff) + (sum >> 16);
  checksum = static_cast<uint16_t>(~sum);
  std::memcpy(ip + 10, &checksum, 2);
  std::memcpy(ip + 16, &address, 4);
}

// Twenty bytes in front of the packet, with their checksum.
inline uint8_t* floor_ipip(rte_mbuf* m, uint32_t address) {
  auto* frame = reinterpret_cast<uint8_t*>(rte_pktmbuf_prepend(m, 20));
  uint16_t length;
  std::memcpy(&length, frame + 36, 2);
  length = static_cast<uint16_t>(__builtin_bswap16(length) + 20);
  const uint32_t words[5] = {0x45u | uint32_t{__builtin_bswap16(length)} << 16, 0x40, 64 | 4 << 8, 0x0100000a,
                             address};
  uint64_t sum = 0;
  for (const uint32_t w : words) sum += w;
  sum = (sum & 0xffff) + (sum >> 16 & 0xffff) + (sum >> 32);
  sum = (sum & 0xffff) + (sum >> 16);
  sum = (sum & 0xffff) + (sum >> 16);
  std::memcpy(frame + 14, words, 20);
  const auto checksum = static_cast<uint16_t>(~sum);
  std::memcpy(frame + 24, &checksum, 2);
  frame[12] = 8;
  frame[13] = 0;
  return frame;
}

// One burst; returns how many packets had no entry (there must be none).
template <FloorMode mode, unsigned kBurst>
unsigned floor_burst(const FloorTable& table, FloorBackend* backends, rte_mbuf* const* mbufs, uint32_t now) {
  FloorKey keys[kBurst];
  uint32_t hashes[kBurst];
  FloorEntry* found[kBurst];
  unsigned failed = 0;
  for (unsigned i = 0; i < kBurst; ++i) __builtin_prefetch(rte_pktmbuf_mtod(mbufs[i], const void*));
  for (unsigned i = 0; i < kBurst; ++i) failed += !floor_parse(mbufs[i], keys[i]);
  for (unsigned i = 0; i < kBurst; ++i) {
    hashes[i] = FloorTable::hash(keys[i]);
    table.prefetch(hashes[i]);
  }
  table.lookup(keys, hashes, found, kBurst);
  for (unsigned i = 0; i < kBurst; ++i) {
    if (found[i] == nullptr) [[unlikely]] {
      ++failed;
      continue;
    }
    found[i]->seen = now;
    ++found[i]->packets;
    FloorBackend& b = backends[found[i]->backend];
    auto* frame = rte_pktmbuf_mtod(mbufs[i], uint8_t*);
    if constexpr (mode == FloorMode::nat) floor_nat(frame + 14, b.address);
    if constexpr (mode == FloorMode::ipip) frame = floor_ipip(mbufs[i], b.address);
    std::memcpy(frame, b.macs, 12);
    ++b.packets;
    b.bytes += mbufs[i]->pkt_len;
  }
  return failed;
}

}  // namespace poolgate::perf
