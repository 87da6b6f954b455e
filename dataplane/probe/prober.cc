// SPDX-License-Identifier: BSD-3-Clause
#include "dataplane/probe/prober.h"

#include <algorithm>
#include <bit>
#include <cstring>
#include <utility>

#include "dataplane/pool/single_writer.h"

namespace poolgate::probe {

const char* to_string(Health health) {
  switch (health) {
    case Health::silent:
      return "silent";
    case Health::alive:
      return "alive";
    case Health::dead:
      return "dead";
    case Health::unknown:
      break;
  }
  return "unknown";
}

Prober::Prober(Board& board, const sctp::HashKey& key, uint32_t rate, BfdProber* bfd)
    : board_(board),
      key_(key),
      rate_(rate),
      bfd_(bfd),
      states_(std::make_unique<State[]>(board.capacity())),
      wheel_(std::make_unique<TargetIndex[]>(kWheel)),
      chain_mask_(std::bit_ceil(board.capacity() * 2) - 1) {
  chains_ = std::make_unique<TargetIndex[]>(size_t{chain_mask_} + 1);
  std::fill_n(wheel_.get(), kWheel, kNoTarget);
  std::fill_n(chains_.get(), size_t{chain_mask_} + 1, kNoTarget);
}

uint64_t Prober::hash(TargetIndex index, uint32_t number) const {
  const uint32_t what[3] = {index, states_[index].status.incarnation, number};
  return sctp::keyed_hash(key_, reinterpret_cast<const uint8_t*>(what), sizeof what);
}

Token Prober::token(TargetIndex index, uint32_t number) const {
  const uint64_t h = hash(index, number);
  return {std::max(static_cast<uint32_t>(h), 1u), static_cast<uint16_t>(h >> 32)};
}

TargetIndex& Prober::chain(const rserpool::IpAddress& address, uint16_t port) const {
  uint8_t what[18] = {};
  std::memcpy(what, address.data(), address.size());
  std::memcpy(what + 16, &port, sizeof port);
  return chains_[sctp::keyed_hash(key_, what, sizeof what) & chain_mask_];
}

// ---- what is probed

void Prober::take_changes() {
  Change change;
  for (unsigned n = 0; n < kSteps && board_.next_change(change); ++n) {
    if (change.index >= board_.capacity()) continue;
    if (bfd_ != nullptr) bfd_->change(change);
    State& s = states_[change.index];
    switch (change.what) {
      case Change::What::set:
        if (change.target.how != config::ProbeKind::bfd)
          set(change);
        else if (s.used)
          remove(change.index);
        break;
      case Change::What::remove:
        if (s.used && s.status.incarnation == change.incarnation) remove(change.index);
        break;
      case Change::What::ask:
        if (!s.used || s.status.incarnation != change.incarnation) break;
        s.asked = true;
        s.counted = s.sent;
        s.run = 0;
        s.refused = 0;
        tell(change.index, Health::unknown, false);
        break;
    }
  }
}

void Prober::set(const Change& change) {
  State& s = states_[change.index];
  if (s.used && s.status.incarnation == change.incarnation) {
    s.target = change.target;
    return;
  }
  if (s.used) remove(change.index);
  const bool scheduled = s.due_us != 0;  // a target that went is in the wheel until its time comes
  const uint64_t due_us = s.due_us;
  const TargetIndex next_due = s.next_due;
  s = State{};
  s.target = change.target;
  s.used = true;
  s.status.incarnation = change.incarnation;
  TargetIndex& first = chain(s.target.address, s.target.port);
  s.next_in_chain = first;
  first = change.index;
  ++used_;
  board_.begin(change.index, s.status);
  if (scheduled) {
    s.due_us = due_us;
    s.next_due = next_due;
  } else {
    schedule(change.index, clock_.us() + hash(change.index, 0) % s.target.interval_us);
  }
}

void Prober::remove(TargetIndex index) {
  State& s = states_[index];
  TargetIndex* at = &chain(s.target.address, s.target.port);
  while (*at != index) at = &states_[*at].next_in_chain;
  *at = s.next_in_chain;
  s.used = false;
  --used_;
}

// ---- time

void Prober::schedule(TargetIndex index, uint64_t due_us) {
  State& s = states_[index];
  s.due_us = due_us;
  // Never into the slot that is being emptied, or behind it.
  TargetIndex& slot = wheel_[std::max(due_us / 1000, wheel_ms_ + 1) % kWheel];
  s.next_due = slot;
  slot = index;
}

void Prober::advance(uint64_t now_us) {
  clock_.advance(now_us);
  while (wheel_ms_ < clock_.us() / 1000) {
    ++wheel_ms_;
    TargetIndex index = std::exchange(wheel_[wheel_ms_ % kWheel], kNoTarget);
    while (index != kNoTarget) {
      State& s = states_[index];
      const TargetIndex next = s.next_due;
      if (s.due_us / 1000 > wheel_ms_) {
        schedule(index, s.due_us);
      } else {
        s.next_due = kNoTarget;
        (ready_ == kNoTarget ? ready_ : states_[ready_last_].next_due) = index;
        ready_last_ = index;
      }
      index = next;
    }
  }
}

bool Prober::next(Probe& probe) {
  for (unsigned n = 0; n < kSteps && ready_ != kNoTarget; ++n) {
    const TargetIndex index = ready_;
    State& s = states_[index];
    if (!s.used) {
      ready_ = s.next_due;
      s.due_us = 0;  // nowhere any more
      continue;
    }
    judge(index);
    if (!pace_.take(clock_.us(), rate_)) return false;
    ready_ = s.next_due;
    ++s.sent;
    pool::add(board_.counters(index).sent, 1);
    // From when it really leaves: a target that had to wait is not asked in haste.
    schedule(index, clock_.us() + s.target.interval_us);
    probe = {index, &s.target, token(index, s.sent), static_cast<uint16_t>(s.sent)};
    return true;
  }
  return false;
}

void Prober::unsent(const Probe& probe) {
  State& s = states_[probe.index];
  pool::add(board_.counters(probe.index).sent, UINT64_MAX);
  // All before it might have been answered meanwhile: begin to count again.
  --s.sent;
  s.counted = s.sent;
  s.run = 0;
}

// ---- verdicts

void Prober::tell(TargetIndex index, Health health, bool judged) {
  State& s = states_[index];
  Status now = s.status;
  now.health = health;
  now.refuses = s.refused >= s.target.count;
  board_.tell_change(index, s.status, now, s.asked, judged);
}

// An interval has passed since the last probe.
void Prober::judge(TargetIndex index) {
  State& s = states_[index];
  if (s.sent - s.counted < s.target.count) return;
  s.refused = 0;
  tell(index, s.heard ? Health::dead : Health::silent, true);
}

bool Prober::answered(const Answer& answer) {
  for (TargetIndex i = chain(answer.address, answer.port); i != kNoTarget; i = states_[i].next_in_chain) {
    const Target& target = states_[i].target;
    if (target.how != answer.how || target.port != answer.port || target.address != answer.address) continue;
    const uint32_t sent = states_[i].sent;
    for (uint32_t number = sent; number != 0 && sent - number < kWindow; --number) {
      if (!fits(token(i, number), answer)) continue;
      heard(i, number, answer.refused);
      return true;
    }
  }
  return false;
}

bool Prober::fits(const Token& expected, const Answer& answer) {
  return expected.tag == answer.token.tag &&
         (answer.how != config::ProbeKind::icmp || expected.id == answer.token.id);
}

void Prober::heard(TargetIndex index, uint32_t number, bool refused) {
  State& s = states_[index];
  const auto ahead = static_cast<int32_t>(number - s.counted);
  if (s.heard && ahead <= 0) return;  // nothing new
  pool::add(board_.counters(index).answered, 1);
  s.heard = true;
  s.refused = refused ? static_cast<uint8_t>(std::min(s.refused + 1, UINT8_MAX)) : uint8_t{0};
  s.run = ahead == 1 ? static_cast<uint8_t>(std::min(s.run + 1, UINT8_MAX)) : uint8_t{1};
  if (ahead > 0) s.counted = number;
  const bool still_dead = s.status.health == Health::dead && s.run < s.target.count;
  tell(index, still_dead ? Health::dead : Health::alive, ahead > 0);
}

}  // namespace poolgate::probe
