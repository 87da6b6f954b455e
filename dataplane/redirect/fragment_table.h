// SPDX-License-Identifier: BSD-3-Clause
// Where the fragments of a datagram go whose first fragment has been seen: that one has the ports, the others
// have not. Fixed in size: a datagram that finds its set full takes the place of the one that would expire
// first. Nothing is queued.
#pragma once

#include <cstdint>
#include <cstring>
#include <vector>

#include "dataplane/pool/pe_slot.h"

namespace poolgate::redirect {

// What makes fragments one datagram's (RFC 791 §3.2, RFC 8200 §4.5).
struct FragmentKey {
  uint8_t addresses[32] = {};  // source, destination, each of the family's size
  uint32_t id = 0;
  uint8_t family = 0;
  uint8_t protocol = 0;
  uint16_t zero = 0;
};

struct FragmentWay {
  FragmentKey key;
  uint8_t addresses[32] = {};  // `nat`: the new ones
  uint32_t until_ms = 0;       // 0: free
  pool::PeSlotIndex pe = 0;
  uint32_t hash = 0;  // of the flow: in tunnels all fragments of a datagram go one way
  uint16_t deaths = 0;
  uint16_t service = 0;
  uint16_t client_hop = 0;
  uint8_t flags = 0;  // the session's
  bool from_pe = false;
  bool steered = false;         // no session's
  uint8_t handed_to = kNobody;  // the worker that the first one was handed to
  static constexpr uint8_t kNobody = UINT8_MAX;
};

class FragmentTable {
 public:
  static constexpr unsigned kSets = 1024, kWays = 4;
  static constexpr uint32_t kLifetimeMs = 2000;  // of what belongs together and took one way

  explicit FragmentTable(uint64_t secret) : secret_(secret | 1), ways_(kSets * kWays) {}

  FragmentWay* find(const FragmentKey& key, uint32_t now_ms) {
    FragmentWay* const set = set_of(key);
    for (unsigned i = 0; i < kWays; ++i) {
      if (live(set[i], now_ms) && std::memcmp(&set[i].key, &key, sizeof key) == 0) return &set[i];
    }
    return nullptr;
  }
  // The place for a datagram: its own, a free one, or the one that would be free first.
  FragmentWay& place(const FragmentKey& key, uint32_t now_ms) {
    if (FragmentWay* known = find(key, now_ms); known != nullptr) return *known;
    FragmentWay* const set = set_of(key);
    FragmentWay* best = set;
    for (unsigned i = 0; i < kWays; ++i) {
      if (!live(set[i], now_ms)) {
        best = &set[i];
        break;
      }
      if (static_cast<int32_t>(set[i].until_ms - best->until_ms) < 0) best = &set[i];
    }
    *best = FragmentWay{};
    best->key = key;
    const uint32_t until = now_ms + kLifetimeMs;
    best->until_ms = until != 0 ? until : 1;
    return *best;
  }

 private:
  static bool live(const FragmentWay& way, uint32_t now_ms) {
    return way.until_ms != 0 && static_cast<int32_t>(way.until_ms - now_ms) > 0;
  }
  FragmentWay* set_of(const FragmentKey& key) {
    uint64_t words[5];
    std::memcpy(words, &key, 40);
    uint64_t h = secret_;
    for (const uint64_t w : words) h = (h ^ w) * 0x9e3779b97f4a7c15, h ^= h >> 29;
    return &ways_[(h >> 32) % kSets * kWays];
  }

  uint64_t secret_;
  std::vector<FragmentWay> ways_;
};
static_assert(sizeof(FragmentKey) == 40);

}  // namespace poolgate::redirect
