// SPDX-License-Identifier: BSD-3-Clause
#include "dataplane/probe/bfd_session.h"

#include <algorithm>

namespace poolgate::probe {

BfdSession::BfdSession(uint32_t discriminator, const BfdParameters& parameters, uint32_t random,
                       uint64_t now_us)
    : local_discriminator_(discriminator),
      desired_min_tx_us_(std::max(parameters.interval_us, kSlowUs)),
      required_min_rx_us_(parameters.interval_us),
      parameters_(parameters),
      used_tx_us_(desired_min_tx_us_),
      used_rx_us_(parameters.interval_us),
      random_(random),
      sent_us_(now_us) {
  used_interval_us_ = transmit_interval_us();
  wait_us_ = jittered(used_interval_us_) * random_ >> 32;  // many at once begin evenly spread
}

// ---- reception

BfdDiscard BfdSession::receive(const BfdControl& packet, uint64_t now_us) {
  // §6.8.6, in its order. What is asked of the bytes alone, parse_bfd() has asked.
  if (packet.your_discriminator != 0 && packet.your_discriminator != local_discriminator_)
    return BfdDiscard::your_discriminator;
  if (packet.your_discriminator == 0 && packet.state != BfdState::down &&
      packet.state != BfdState::admin_down)
    return BfdDiscard::your_discriminator;
  if (packet.authentication) return BfdDiscard::authentication;
  changed_ |= remote_discriminator_ != packet.my_discriminator;
  remote_discriminator_ = packet.my_discriminator;
  remote_state_ = packet.state;
  remote_demand_ = packet.demand;
  remote_min_rx_us_ = packet.required_min_rx_us;
  remote_desired_tx_us_ = packet.desired_min_tx_us;
  remote_detect_mult_ = packet.detect_mult;
  if (packet.final)
    poll_ended();
  else if (poll_ == Poll::waiting)
    begin_poll();
  if (state_ == BfdState::admin_down) {  // discarded: not received for the Detection Time, and no Final
    reschedule(now_us);
    return BfdDiscard::none;
  }
  heard_us_ = now_us;
  if (packet.state == BfdState::admin_down) {
    if (state_ != BfdState::down) enter(BfdState::down, BfdDiagnostic::neighbor_signaled_down, now_us);
  } else if (state_ == BfdState::down) {
    if (packet.state == BfdState::down)
      enter(BfdState::init, diagnostic_, now_us);
    else if (packet.state == BfdState::init)
      enter(BfdState::up, BfdDiagnostic::none, now_us);
  } else if (state_ == BfdState::init) {
    if (packet.state != BfdState::down) enter(BfdState::up, BfdDiagnostic::none, now_us);
  } else if (packet.state == BfdState::down) {
    enter(BfdState::down, BfdDiagnostic::neighbor_signaled_down, now_us);
  }
  final_due_ |= packet.poll;
  reschedule(now_us);
  return BfdDiscard::none;
}

// §6.8.1: what was learnt of the remote system is forgotten after a Detection Time, in any state (§6.8.18).
bool BfdSession::expire(uint64_t now_us) {
  if (heard_us_ == kNever || now_us < heard_us_ + detection_us()) return false;
  heard_us_ = kNever;
  changed_ |= remote_discriminator_ != 0;
  remote_discriminator_ = 0;
  remote_min_rx_us_ = 1;
  remote_demand_ = false;
  const bool down = state_ == BfdState::init || state_ == BfdState::up;
  if (down) enter(BfdState::down, BfdDiagnostic::detection_time_expired, now_us);
  reschedule(now_us);
  return down;
}

void BfdSession::enter(BfdState state, BfdDiagnostic diagnostic, uint64_t now_us) {
  changed_ = true;
  diagnostic_ = diagnostic;
  state_ = state;
  change_intervals(now_us);
}

// ---- intervals

// §6.8.3. What grows of ours waits for the Poll Sequence while Up, and so does what shrinks of theirs.
void BfdSession::change_intervals(uint64_t now_us) {
  const bool up = state_ == BfdState::up;
  const uint32_t tx = up ? parameters_.interval_us : std::max(parameters_.interval_us, kSlowUs);
  const uint32_t rx = parameters_.interval_us;
  if (tx != desired_min_tx_us_ || rx != required_min_rx_us_) {
    desired_min_tx_us_ = tx;
    required_min_rx_us_ = rx;
    changed_ = true;
    if (poll_ == Poll::none)
      begin_poll();
    else if (poll_ == Poll::polling)
      poll_ = Poll::polling_again;
  }
  if (!up || tx < used_tx_us_) used_tx_us_ = tx;
  if (!up || rx > used_rx_us_) used_rx_us_ = rx;
  reschedule(now_us);
}

void BfdSession::begin_poll() { poll_ = Poll::polling; }

void BfdSession::poll_ended() {
  if (poll_ == Poll::polling_again) {
    poll_ = Poll::waiting;  // it may answer what was said before
  } else if (poll_ == Poll::polling) {
    poll_ = Poll::none;
    used_tx_us_ = desired_min_tx_us_;
    used_rx_us_ = required_min_rx_us_;
  }
}

void BfdSession::set(const BfdParameters& parameters, uint64_t now_us) {
  changed_ |= parameters.detect_mult != parameters_.detect_mult;
  parameters_ = parameters;
  change_intervals(now_us);
}

void BfdSession::disable(uint64_t now_us) {
  enter(BfdState::admin_down, BfdDiagnostic::administratively_down, now_us);
}

uint64_t BfdSession::detection_us() const {
  return uint64_t{remote_detect_mult_} * std::max(used_rx_us_, remote_desired_tx_us_);
}

// §6.8.7.
uint64_t BfdSession::transmit_interval_us() const {
  if (remote_min_rx_us_ == 0) return 0;
  const bool polls = poll_ == Poll::polling || poll_ == Poll::polling_again;
  if (remote_demands() && !polls) return 0;
  return std::max(used_tx_us_, remote_min_rx_us_);
}

// ---- transmission

// §6.8.7: 75 to 100 %, and to 90 % where one lost packet is a death.
uint64_t BfdSession::jittered(uint64_t interval_us) {
  random_ ^= random_ << 13;
  random_ ^= random_ >> 17;
  random_ ^= random_ << 5;
  const uint64_t least = interval_us - interval_us / 4;
  const uint64_t most = parameters_.detect_mult == 1 ? interval_us - interval_us / 10 : interval_us;
  return least + (uint64_t{random_} * (most - least + 1) >> 32);
}

// A new interval holds from the last packet on (§6.8.3): never later than that, at once if it has passed.
void BfdSession::reschedule(uint64_t now_us) {
  const uint64_t interval = transmit_interval_us();
  if (interval == used_interval_us_) return;
  // After a pause a periodic packet is due when its interval after the last has passed.
  used_interval_us_ = interval;
  if (interval != 0) wait_us_ = jittered(interval);
  if (sent_us_ + wait_us_ < now_us) wait_us_ = now_us - sent_us_;
}

std::optional<BfdControl> BfdSession::transmit(uint64_t now_us) {
  const bool periodic = used_interval_us_ != 0 && (changed_ || now_us >= sent_us_ + wait_us_);
  if (!final_due_ && !periodic) return std::nullopt;
  BfdControl packet;
  packet.diagnostic = static_cast<uint8_t>(diagnostic_);
  packet.state = state_;
  packet.control_plane_independent = true;
  packet.detect_mult = parameters_.detect_mult;
  packet.my_discriminator = local_discriminator_;
  packet.your_discriminator = remote_discriminator_;
  packet.desired_min_tx_us = desired_min_tx_us_;
  packet.required_min_rx_us = required_min_rx_us_;
  changed_ = false;
  if (final_due_) {  // never with P (§6.5), and beside the clock
    final_due_ = false;
    packet.final = true;
    return packet;
  }
  packet.poll = poll_ == Poll::polling || poll_ == Poll::polling_again;
  sent_us_ = now_us;
  wait_us_ = jittered(used_interval_us_);
  return packet;
}

uint64_t BfdSession::due_us() const {
  if (final_due_ || (changed_ && used_interval_us_ != 0)) return 0;
  const uint64_t send = used_interval_us_ != 0 ? sent_us_ + wait_us_ : kNever;
  return heard_us_ == kNever ? send : std::min(send, heard_us_ + detection_us());
}

}  // namespace poolgate::probe
