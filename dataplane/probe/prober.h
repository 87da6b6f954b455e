// SPDX-License-Identifier: BSD-3-Clause
// The prober's rules, and nothing else: time and answers in, probes and statuses out. It knows no packet and
// no clock. One thread; nothing is allocated after the constructor.
//  - A target is asked each interval_us, its first time at a place of the interval that is its own: the rate
//    is even. Of all targets together at most `rate` a second: beyond, intervals grow, and deaths are found
//    later.
//  - Dead: it has answered before, and its last `count` probes were not answered within an interval after
//    the last of them. An answer to any of the last kWindow counts: the way there and back may be longer than
//    an interval.
//  - Alive again: `count` probes in a row were answered.
//  - A target that has never answered gets no verdict (Health::silent).
//  - The clock stands still while nobody runs the prober: who did not listen has heard no silence.
#pragma once

#include <memory>

#include "dataplane/probe/bfd_prober.h"
#include "dataplane/probe/board.h"
#include "dataplane/probe/probe_clock.h"
#include "dataplane/redirect/token_bucket.h"
#include "dataplane/sctp/keyed_hash.h"

namespace poolgate::probe {

class Prober {
 public:
  static constexpr uint32_t kWindow = 16;  // at least Target::count's largest value
  static constexpr unsigned kSteps = 256;  // targets looked at in one call of next()

  // `rate`: probes a second, of all targets. `bfd`: whose the targets are that are asked by BFD; may be null.
  Prober(Board& board, const sctp::HashKey& key, uint32_t rate, BfdProber* bfd = nullptr);

  // What the main lcore has changed; at most kSteps of it.
  void take_changes();
  // Time passes: at least each millisecond.
  void advance(uint64_t now_us);
  // A probe that is due; false: none is now.
  bool next(Probe& probe);
  // The last one from next() did not leave: no buffer, no route. It counts for nothing.
  void unsent(const Probe& probe);
  // False: of no probe of ours, or of one too old: forged, or late.
  bool answered(const Answer& answer);

  uint32_t targets() const { return used_; }

 private:
  struct State {
    Target target;
    Status status;  // as told last
    bool used = false;
    bool heard = false;  // ever
    bool asked = false;
    uint8_t refused = 0;                    // in a row
    uint8_t run = 0;                        // answered in a row
    uint32_t sent = 0;                      // the last probe's number
    uint32_t counted = 0;                   // the last one that was answered, or from which on to count
    uint64_t due_us = 0;                    // by the prober's clock
    TargetIndex next_due = kNoTarget;       // in the wheel
    TargetIndex next_in_chain = kNoTarget;  // of equal hash
  };
  static constexpr uint32_t kWheel = 4096;  // milliseconds; what is due later goes round again

  void set(const Change& change);
  void remove(TargetIndex index);
  void schedule(TargetIndex index, uint64_t due_us);
  void judge(TargetIndex index);
  void tell(TargetIndex index, Health health, bool judged);
  void heard(TargetIndex index, uint32_t number, bool refused);
  static bool fits(const Token& expected, const Answer& answer);
  Token token(TargetIndex index, uint32_t number) const;
  uint64_t hash(TargetIndex index, uint32_t number) const;
  TargetIndex& chain(const rserpool::IpAddress& address, uint16_t port) const;

  Board& board_;
  const sctp::HashKey key_;
  const uint32_t rate_;
  BfdProber* const bfd_;
  redirect::TokenBucket pace_;
  uint32_t used_ = 0;
  ProbeClock clock_;
  uint64_t wheel_ms_ = 0;  // this slot is being emptied into ready_
  TargetIndex ready_ = kNoTarget, ready_last_ = kNoTarget;
  std::unique_ptr<State[]> states_;
  std::unique_ptr<TargetIndex[]> wheel_;
  std::unique_ptr<TargetIndex[]> chains_;
  uint32_t chain_mask_;
};

}  // namespace poolgate::probe
