// SPDX-License-Identifier: BSD-3-Clause
// Virtual time: what is to happen, in order; of equal times in the order in which it was asked for.
#pragma once

#include <cstdint>
#include <functional>
#include <map>
#include <random>
#include <utility>

namespace poolgate::model {

using Micros = uint64_t;
inline constexpr Micros kMs = 1000;
inline constexpr Micros kS = 1'000'000;

class Events {
 public:
  explicit Events(uint64_t seed) : random_(seed) {}

  Micros now() const { return now_; }
  void after(Micros delay, std::function<void()> what) {
    queue_.emplace(std::pair(now_ + delay, ++order_), std::move(what));
  }
  void run_until(Micros end) {
    while (!queue_.empty() && queue_.begin()->first.first <= end) {
      auto first = queue_.extract(queue_.begin());
      now_ = first.key().first;
      first.mapped()();
    }
    now_ = end;
  }
  void run_for(Micros time) { run_until(now_ + time); }

  uint64_t between(uint64_t least, uint64_t most) { return least + random_() % (most - least + 1); }
  bool chance(unsigned percent) { return between(1, 100) <= percent; }

 private:
  std::mt19937_64 random_;
  Micros now_ = 1000 * kS;
  uint64_t order_ = 0;
  std::map<std::pair<Micros, uint64_t>, std::function<void()>> queue_;
};

}  // namespace poolgate::model
