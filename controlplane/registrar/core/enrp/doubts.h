// SPDX-License-Identifier: BSD-3-Clause
// PEs whose home servers dropped them, and that were asked whether they live: each until a moment.
#pragma once

#include <map>

#include "controlplane/config/config.h"
#include "controlplane/registrar/core/clock.h"
#include "controlplane/rserpool/types.h"

namespace poolgate::registrar {

struct Doubt {
  rserpool::PoolElement element;
  config::LifeUnit unit = config::LifeUnit::seconds;
  Micros until = 0;
};

class Doubts {
 public:
  static constexpr size_t kMost = 10'000;

  // In the place of an earlier one of the same PE. False: as many are in doubt as may be.
  bool add(rserpool::PoolHandleView handle, Doubt doubt, Micros now);
  // Its time may be over. Null: it is not in doubt.
  const Doubt* find(rserpool::PoolHandleView handle, rserpool::PeId id) const;
  // What find() has found; it is in doubt no more.
  Doubt take(rserpool::PoolHandleView handle, rserpool::PeId id);

  size_t size() const { return all_.size(); }
  // Entries looked at for whether their time is over: what all calls of add() have cost.
  size_t looked_at() const { return looked_at_; }

 private:
  using Key = std::pair<rserpool::PoolHandle, rserpool::PeId>;
  using ByEnd = std::multimap<Micros, const Key*>;
  struct Entry {
    Doubt doubt;
    ByEnd::iterator end;
  };
  using All = std::map<Key, Entry>;

  Doubt remove(All::iterator at);

  All all_;
  ByEnd by_end_;
  size_t looked_at_ = 0;
};

}  // namespace poolgate::registrar
