// SPDX-License-Identifier: BSD-3-Clause
#pragma once

#include <cstdint>

namespace poolgate::worker {

// Of one worker's session table: raised when it is 80 % full, cleared when it is below 70 % again, so that a
// table at the limit is not spoken of all the time.
class SessionAlarm {
 public:
  enum class Change : uint8_t { none, raised, cleared };

  static bool is_high(uint64_t used, uint64_t capacity) { return capacity > 0 && used * 10 >= capacity * 8; }

  Change look(uint64_t used, uint64_t capacity) {
    if (!raised_ && is_high(used, capacity)) {
      raised_ = true;
      return Change::raised;
    }
    if (raised_ && used * 10 < capacity * 7) {
      raised_ = false;
      return Change::cleared;
    }
    return Change::none;
  }
  bool raised() const { return raised_; }

 private:
  bool raised_ = false;
};

}  // namespace poolgate::worker
