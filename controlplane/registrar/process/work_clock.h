// SPDX-License-Identifier: BSD-3-Clause
#pragma once

#include <algorithm>

#include "controlplane/registrar/core/actions.h"

namespace poolgate::registrar {

// The time by which deadlines are kept: the real one, less the time in which the data plane gave no sign of
// life though connected (stopped, starved; or we were, and its signs wait to be read). What a PE answered
// then could not be heard, so that nothing may expire by it.
class WorkClock {
 public:
  static constexpr Micros kSilence = 4ull * channel::kBeatMs * 1000;

  Micros now(Micros real) {
    if (beat_ != 0 && real > beat_ + kSilence) {
      held_ += real - std::max(beat_ + kSilence, held_to_);
      held_to_ = real;
    }
    return real - held_;
  }
  // From this time to the real one.
  Micros real(Micros time) const { return time == kNever ? kNever : time + held_; }
  bool silent(Micros real) const { return beat_ != 0 && real > beat_ + kSilence; }

  // This data plane gives signs of life.
  bool beats() const { return beat_ != 0; }
  // A sign of life. How long none had come.
  Micros beat(Micros real) {
    now(real);
    const Micros since = beat_ == 0 ? 0 : real - beat_;
    beat_ = real;
    return since;
  }
  // The channel is gone: its time-outs are another matter.
  void lost(Micros real) {
    now(real);
    beat_ = 0;
  }

 private:
  Micros beat_ = 0;  // 0: none on this connection yet
  Micros held_ = 0;
  Micros held_to_ = 0;
};

}  // namespace poolgate::registrar
