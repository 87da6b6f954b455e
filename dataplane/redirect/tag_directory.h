// SPDX-License-Identifier: BSD-3-Clause
// What one worker knows of other workers' SCTP associations by (service, client port, Tp): who owns them. For
// packets from addresses that no INIT named, which no flow key finds. Bounded; an entry that its owner does
// not repeat in time no longer counts.
#pragma once

#include <cstdint>
#include <cstring>
#include <utility>

#include "controlplane/rserpool/result.h"
#include "dataplane/pool/mapped_file.h"

namespace poolgate::redirect {

class TagDirectory {
 public:
  struct Key {
    uint32_t tag = 0;  // as on the wire
    uint16_t client_port = 0;
    uint16_t service = 0;
    bool operator==(const Key&) const = default;
  };
  struct Found {
    unsigned owners = 0;  // 2: more than one
    unsigned owner = 0;   // the first
  };
  static constexpr uint32_t kForgetMs = 400'000;

  // Room for about `entries`.
  static Result<TagDirectory> create(uint32_t entries);

  // False: another entry, the oldest of its place, had to go.
  bool add(const Key& key, unsigned owner, uint32_t now_ms);
  void remove(const Key& key, unsigned owner);
  Found find(const Key& key, uint32_t now_ms) const;

 private:
  struct Entry {
    Key key;
    uint32_t seen_ms = 0;
    uint8_t owner = 0;
    uint8_t used = 0;
    uint16_t unused = 0;
  };
  static_assert(sizeof(Entry) == 16);
  struct alignas(64) Bucket {
    Entry entry[4];
  };
  static bool counts(const Entry& e, uint32_t now_ms) {
    return e.used != 0 && now_ms - e.seen_ms < kForgetMs;
  }
  TagDirectory(pool::MappedFile memory, uint32_t buckets)
      : memory_(std::move(memory)), buckets_(reinterpret_cast<Bucket*>(memory_.data())), n_(buckets) {}
  // An entry is in one of two places.
  void places(const Key& key, Bucket* at[2]) const;

  pool::MappedFile memory_;
  Bucket* buckets_;
  uint32_t n_;
};

}  // namespace poolgate::redirect
