// SPDX-License-Identifier: BSD-3-Clause
// One BFD session in Asynchronous mode (RFC 5880 §6), and nothing else: packets and time in, packets out. It
// knows no address, no clock and no bytes. Both sides are active (RFC 5881 §3). Not offered: authentication,
// Demand mode of ours, Echo. What a change of parameters needs a Poll Sequence for is in use once that ended.
#pragma once

#include <cstdint>
#include <optional>

#include "dataplane/probe/bfd_packet.h"

namespace poolgate::probe {

struct BfdParameters {
  uint32_t interval_us = 100'000;  // what we like to send at, and to receive at (§6.8.1)
  uint8_t detect_mult = 3;
  bool operator==(const BfdParameters&) const = default;
};

class BfdSession {
 public:
  static constexpr uint32_t kSlowUs = 1'000'000;  // §6.8.3: the least interval while not Up
  static constexpr uint64_t kNever = UINT64_MAX;

  BfdSession() = default;
  // `discriminator`: ours, not 0. `random`: of the jitter; not 0.
  BfdSession(uint32_t discriminator, const BfdParameters& parameters, uint32_t random, uint64_t now_us);

  // ---- what happens. Each may change the state, and when something is due.
  // §6.8.6 from where the session is known. If it says a reason, nothing happened.
  BfdDiscard receive(const BfdControl& packet, uint64_t now_us);
  // §6.8.4: the Detection Time may have passed. True: it just did, in state Init or Up.
  bool expire(uint64_t now_us);
  // A packet that is due now; call again until none is. At most two: a Final and a periodic one.
  std::optional<BfdControl> transmit(uint64_t now_us);
  // §6.8.10-12, at once or after a Poll Sequence, as §6.8.3 says.
  void set(const BfdParameters& parameters, uint64_t now_us);
  // §6.8.16.
  void disable(uint64_t now_us);
  // When expire() or transmit() may have something to do; kNever: not before a packet comes.
  uint64_t due_us() const;

  // ---- what is
  BfdState state() const { return state_; }
  BfdState remote_state() const { return remote_state_; }
  BfdDiagnostic diagnostic() const { return diagnostic_; }
  uint32_t discriminator() const { return local_discriminator_; }
  const BfdParameters& parameters() const { return parameters_; }
  // §6.8.4; 0 before the first packet.
  uint64_t detection_us() const;
  // §6.8.7, without jitter; 0: nothing is sent by the clock.
  uint64_t transmit_interval_us() const;

 private:
  void enter(BfdState state, BfdDiagnostic diagnostic, uint64_t now_us);
  void change_intervals(uint64_t now_us);
  void poll_ended();
  void begin_poll();
  void reschedule(uint64_t now_us);
  uint64_t jittered(uint64_t interval_us);
  bool remote_demands() const {
    return remote_demand_ && state_ == BfdState::up && remote_state_ == BfdState::up;
  }

  // §6.8.1, in its order.
  BfdState state_ = BfdState::down;
  BfdState remote_state_ = BfdState::down;
  uint32_t local_discriminator_ = 0;
  uint32_t remote_discriminator_ = 0;
  BfdDiagnostic diagnostic_ = BfdDiagnostic::none;
  uint32_t desired_min_tx_us_ = kSlowUs;  // as it is said
  uint32_t required_min_rx_us_ = 0;
  uint32_t remote_min_rx_us_ = 1;
  bool remote_demand_ = false;

  BfdParameters parameters_;       // while Up
  uint32_t used_tx_us_ = kSlowUs;  // as it is used, until a Poll Sequence has ended
  uint32_t used_rx_us_ = 0;
  uint32_t remote_desired_tx_us_ = 0;
  uint8_t remote_detect_mult_ = 0;
  // §6.8.3: what changes while a Poll Sequence is under way needs another, and that a packet between the two
  // without the F bit.
  enum class Poll : uint8_t { none, polling, polling_again, waiting } poll_ = Poll::none;
  bool final_due_ = false;
  bool changed_ = false;  // a packet would say something else than the last one did
  uint32_t random_ = 1;
  uint64_t heard_us_ = kNever;     // the last packet; kNever: none, or forgotten
  uint64_t sent_us_ = 0;           // the last periodic one
  uint64_t wait_us_ = 0;           // from that to the next, with its jitter
  uint64_t used_interval_us_ = 0;  // what wait_us_ was drawn from
};

}  // namespace poolgate::probe
