// SPDX-License-Identifier: BSD-3-Clause
// The control of handlespace_bench: what one writes first. One std::map keyed by (handle, id), selection by
// walking the pool. It gives the same answers in RR, LU and WRAND.
#pragma once

#include <algorithm>
#include <map>
#include <numeric>
#include <span>
#include <string>
#include <utility>
#include <vector>

#include "controlplane/rserpool/handlespace/handlespace.h"

namespace poolgate::perf {

class MapHandlespace {
 public:
  using Key = std::pair<std::string, rserpool::PeId>;

  bool register_or_update(rserpool::PoolHandleView handle, const rserpool::PoolElement& element,
                          const rserpool::AssociationKey& association, rserpool::TimeMs expires) {
    const auto [at, is_new] = elements_.try_emplace(Key(handle, element.id));
    Entry& entry = at->second;
    if (is_new) {
      by_association_.emplace(association, at);
    } else {
      expiry_.erase({entry.expires, &entry});
    }
    entry.element = element;
    entry.expires = expires;
    expiry_.emplace(std::pair(expires, &entry), at);
    return is_new;
  }

  size_t resolve(const rserpool::PoolHandle& handle, std::span<rserpool::PeIndex> out) {
    pool_.clear();
    for (auto at = elements_.lower_bound(Key(handle, 0)); at != elements_.end() && at->first.first == handle;
         ++at) {
      pool_.push_back(&at->second);
    }
    if (pool_.empty()) return 0;
    const size_t n = std::min(out.size(), pool_.size());
    const auto begin = pool_.begin();
    switch (pool_.front()->element.policy.type) {
      case rserpool::PolicyType::least_used:
        std::partial_sort(
            begin, begin + static_cast<long>(n), pool_.end(), [](const Entry* a, const Entry* b) {
              return std::pair(a->element.policy.load, a->turn) < std::pair(b->element.policy.load, b->turn);
            });
        pool_.front()->turn = ++turns_;
        break;
      case rserpool::PolicyType::weighted_random:
        draw(n);
        break;
      default:
        std::partial_sort(begin, begin + static_cast<long>(n), pool_.end(),
                          [](const Entry* a, const Entry* b) { return a->turn < b->turn; });
        pool_.front()->turn = ++turns_;
    }
    for (size_t i = 0; i < n; ++i) out[i] = pool_[i]->element.id;
    return n;
  }

 private:
  struct Entry {
    rserpool::PoolElement element;
    rserpool::TimeMs expires = 0;
    uint64_t turn = 0;
  };
  using Map = std::map<Key, Entry>;

  // Moves n of the pool to its front, each drawn by weight from those behind.
  void draw(size_t n) {
    uint64_t left = 0;
    for (const Entry* entry : pool_) left += entry->element.policy.weight;
    for (size_t i = 0; i < n; ++i) {
      uint64_t point = random_.below(left);
      size_t at = i;
      while (point >= pool_[at]->element.policy.weight) point -= pool_[at++]->element.policy.weight;
      left -= pool_[at]->element.policy.weight;
      std::swap(pool_[i], pool_[at]);
    }
  }

  Map elements_;
  std::map<rserpool::AssociationKey, Map::iterator> by_association_;
  std::map<std::pair<rserpool::TimeMs, Entry*>, Map::iterator> expiry_;
  std::vector<Entry*> pool_;
  uint64_t turns_ = 0;
  rserpool::Random random_{1};
};

}  // namespace poolgate::perf
