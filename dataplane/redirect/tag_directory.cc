// SPDX-License-Identifier: BSD-3-Clause
#include "dataplane/redirect/tag_directory.h"

#include "dataplane/session/flow_key.h"

namespace poolgate::redirect {

Result<TagDirectory> TagDirectory::create(uint32_t entries) {
  const uint32_t buckets = entries / 3 + 2;
  auto memory = pool::MappedFile::open("", size_t{buckets} * sizeof(Bucket), {});
  if (!memory) return memory.error();
  return TagDirectory(std::move(*memory), buckets);
}

void TagDirectory::places(const Key& key, Bucket* at[2]) const {
  uint64_t word;
  std::memcpy(&word, &key, 8);
  const uint64_t h = session::mix(word ^ 0x2545f4914f6cdd1d, 0x9e3779b97f4a7c15);
  at[0] = buckets_ + (uint64_t{static_cast<uint32_t>(h)} * n_ >> 32);
  at[1] = buckets_ + ((h >> 32) * n_ >> 32);
}

bool TagDirectory::add(const Key& key, unsigned owner, uint32_t now_ms) {
  Bucket* at[2];
  places(key, at);
  Entry* free = nullptr;
  Entry* oldest = &at[0]->entry[0];
  for (Bucket* b : at) {
    for (Entry& e : b->entry) {
      if (e.used != 0 && e.key == key && e.owner == owner) {
        e.seen_ms = now_ms;
        return true;
      }
      if (free == nullptr && !counts(e, now_ms)) free = &e;
      if (now_ms - e.seen_ms > now_ms - oldest->seen_ms) oldest = &e;
    }
  }
  Entry* to = free != nullptr ? free : oldest;
  *to = {key, now_ms, static_cast<uint8_t>(owner), 1, 0};
  return free != nullptr;
}

void TagDirectory::remove(const Key& key, unsigned owner) {
  Bucket* at[2];
  places(key, at);
  for (Bucket* b : at) {
    for (Entry& e : b->entry) {
      if (e.used != 0 && e.key == key && e.owner == owner) e = {};
    }
  }
}

TagDirectory::Found TagDirectory::find(const Key& key, uint32_t now_ms) const {
  Bucket* at[2];
  places(key, at);
  Found found;
  for (size_t b = 0; b < (at[0] == at[1] ? 1 : 2); ++b) {
    for (const Entry& e : at[b]->entry) {
      if (!counts(e, now_ms) || !(e.key == key)) continue;
      if (found.owners++ == 0) found.owner = e.owner;
    }
  }
  return found;
}

}  // namespace poolgate::redirect
