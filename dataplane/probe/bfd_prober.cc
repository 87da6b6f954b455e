// SPDX-License-Identifier: BSD-3-Clause
#include "dataplane/probe/bfd_prober.h"

#include <algorithm>
#include <bit>
#include <cstring>
#include <utility>

#include "dataplane/pool/single_writer.h"

namespace poolgate::probe {

BfdProber::BfdProber(Board& board, const sctp::HashKey& key, uint32_t rate)
    : board_(board),
      key_(key),
      rate_(rate),
      index_bits_(static_cast<uint32_t>(std::bit_width(board.capacity() - 1))),
      states_(std::make_unique<State[]>(board.capacity())),
      lists_(std::make_unique<List[]>(kWheel + 1)),
      chain_mask_(std::bit_ceil(board.capacity() * 2) - 1) {
  chains_ = std::make_unique<TargetIndex[]>(size_t{chain_mask_} + 1);
  std::fill_n(chains_.get(), size_t{chain_mask_} + 1, kNoTarget);
}

TargetIndex& BfdProber::chain(const rserpool::IpAddress& address) const {
  return chains_[sctp::keyed_hash(key_, address.data(), address.size()) & chain_mask_];
}

// RFC 5880 §6.3, §6.8.1: unique by its lowest bits, not to be guessed by the others, never 0.
uint32_t BfdProber::discriminator(TargetIndex index, uint32_t incarnation) const {
  const uint32_t what[2] = {index, incarnation};
  const uint64_t h = sctp::keyed_hash(key_, reinterpret_cast<const uint8_t*>(what), sizeof what);
  const auto high = static_cast<uint32_t>(h) << index_bits_;
  return (high != 0 ? high : 1u << index_bits_) | index;
}

// Longer intervals where there are too many sessions for the rate: in steps, as each is a Poll Sequence for
// all.
BfdParameters BfdProber::parameters(const Target& target) const {
  const uint64_t fair = uint64_t{used_} * 1'000'000 / rate_;
  const uint64_t least = fair <= target.interval_us ? 0 : std::bit_ceil(fair);
  return {static_cast<uint32_t>(std::max<uint64_t>(target.interval_us, least)), target.count};
}

// ---- what is probed

void BfdProber::change(const Change& change) {
  if (change.index >= board_.capacity()) return;
  State& s = states_[change.index];
  const bool known = s.used && !s.leaving && s.status.incarnation == change.incarnation;
  switch (change.what) {
    case Change::What::set:
      if (known)
        s.target = change.target;  // its parameters follow with the next packet
      else if (change.target.how == config::ProbeKind::bfd)
        set(change);
      else if (s.used)
        drop(change.index);
      break;
    case Change::What::remove:
      if (known) leave(change.index);
      break;
    case Change::What::ask:
      if (!known) break;
      s.asked = true;
      s.tries = 0;
      tell(change.index, Health::unknown, false);
      break;
  }
}

void BfdProber::set(const Change& change) {
  if (states_[change.index].used) drop(change.index);
  TargetIndex& first = chain(change.target.address);
  for (TargetIndex i = first; i != kNoTarget; i = states_[i].next_in_chain) {
    if (states_[i].leaving && states_[i].target.address == change.target.address) {
      drop(i);  // is back
      break;
    }
  }
  State& s = states_[change.index];
  s = State{};
  s.list = kNowhere;
  s.target = change.target;
  s.used = true;
  s.status.incarnation = change.incarnation;
  ++used_;
  const uint32_t own = discriminator(change.index, change.incarnation);
  s.session = BfdSession(own, parameters(s.target), own, clock_.us());
  s.status.detail = bfd_detail(s.session.state(), s.session.diagnostic());
  s.next_in_chain = first;
  first = change.index;
  board_.begin(change.index, s.status);
  schedule(change.index);
}

// RFC 5880 §6.8.16: the neighbour is told for a Detection Time of its own that this is no failure.
void BfdProber::leave(TargetIndex index) {
  State& s = states_[index];
  if (s.session.detection_us() == 0) return drop(index);  // nobody was ever there
  s.session.disable(clock_.us());
  s.leaving = true;
  s.farewells = s.target.count;
  --used_;
  schedule(index);
}

void BfdProber::drop(TargetIndex index) {
  State& s = states_[index];
  take(index);
  TargetIndex* at = &chain(s.target.address);
  while (*at != index) at = &states_[*at].next_in_chain;
  *at = s.next_in_chain;
  if (!s.leaving) --used_;
  s.used = false;
}

// ---- time

void BfdProber::put(TargetIndex index, uint32_t list) {
  State& s = states_[index];
  List& l = lists_[list];
  s.list = list;
  s.before = l.last;
  s.after = kNoTarget;
  (l.last == kNoTarget ? l.first : states_[l.last].after) = index;
  l.last = index;
}

void BfdProber::take(TargetIndex index) {
  State& s = states_[index];
  if (s.list == kNowhere) return;
  List& l = lists_[s.list];
  (s.before == kNoTarget ? l.first : states_[s.before].after) = s.after;
  (s.after == kNoTarget ? l.last : states_[s.after].before) = s.before;
  s.list = kNowhere;
}

void BfdProber::schedule(TargetIndex index) {
  State& s = states_[index];
  uint64_t due_us = s.session.due_us();
  if (s.down_us != 0) due_us = std::min(due_us, s.down_us + uint64_t{s.target.count} * BfdSession::kSlowUs);
  take(index);
  if (due_us == BfdSession::kNever) return;
  const uint64_t due_ms = std::max(due_us / 1000 + (due_us % 1000 != 0), wheel_ms_ + 1);
  put(index, due_ms - wheel_ms_ < kWheel ? due_ms % kWheel : (wheel_ms_ + kWheel - 1) % kWheel);
}

void BfdProber::advance(uint64_t now_us) {
  clock_.advance(now_us);
  while (wheel_ms_ < clock_.us() / 1000) {
    ++wheel_ms_;
    while (lists_[wheel_ms_ % kWheel].first != kNoTarget) {
      const TargetIndex index = lists_[wheel_ms_ % kWheel].first;
      take(index);
      put(index, kReady);
    }
  }
}

bool BfdProber::next(Packet& packet) {
  for (unsigned n = 0; n < kSteps && lists_[kReady].first != kNoTarget; ++n) {
    const TargetIndex index = lists_[kReady].first;
    State& s = states_[index];
    judge(index, s.session.expire(clock_.us()) ? Event::expired : Event::time);
    if (!s.leaving)
      if (const BfdParameters now = parameters(s.target); now != s.session.parameters())
        s.session.set(now, clock_.us());
    const auto control = s.session.transmit(clock_.us());
    schedule(index);
    if (!control) {
      if (s.leaving && s.session.transmit_interval_us() == 0) drop(index);  // wants to hear nothing
      continue;
    }
    pool::add(board_.counters(index).sent, 1);
    packet = {index, &s.target, static_cast<uint16_t>(kBfdFirstSource + index % 16'384), *control};
    if (s.leaving && --s.farewells == 0) {
      drop(index);
    } else if (s.session.state() != BfdState::up && s.tries < UINT8_MAX) {
      ++s.tries;
    }
    return true;
  }
  return false;
}

void BfdProber::unsent(const Packet& packet) {
  State& s = states_[packet.index];
  if (!s.used || s.leaving) return;
  pool::add(board_.counters(packet.index).sent, UINT64_MAX);
  s.tries = 0;
}

// ---- packets

TargetIndex BfdProber::find(const BfdKey& key) const {
  if (key.your_discriminator != 0) {
    const TargetIndex index = key.your_discriminator & ((1u << index_bits_) - 1);
    if (index < board_.capacity() && states_[index].used &&
        states_[index].session.discriminator() == key.your_discriminator)
      return index;
  }
  // RFC 5881 §3: the one session with this neighbour. Also of one that repeats what is long gone: to be
  // discarded here, rather than left to a routing daemon.
  for (TargetIndex i = chain(key.from); i != kNoTarget; i = states_[i].next_in_chain)
    if (states_[i].target.address == key.from) return i;
  return kNoTarget;
}

BfdDiscard BfdProber::received(TargetIndex index, const BfdControl& control) {
  State& s = states_[index];
  const BfdDiscard discard = s.session.receive(control, clock_.us());
  if (discard != BfdDiscard::none) return discard;
  pool::add(board_.counters(index).answered, 1);
  judge(index, Event::packet);
  schedule(index);
  return discard;
}

// ---- verdicts

// `expired`: the Detection Time of a session that was Init or Up has just passed.
void BfdProber::judge(TargetIndex index, Event event) {
  State& s = states_[index];
  if (s.leaving) return;
  if (s.session.state() == BfdState::up) {
    if (event != Event::packet) return;
    s.heard = true;
    s.tries = 0;
    s.down_us = 0;
    return tell(index, Health::alive, true);
  }
  if (s.session.remote_state() == BfdState::admin_down) {
    s.heard = false;  // RFC 5882 §3.2: as if it had never spoken
    s.down_us = 0;
    return tell(index, Health::unknown, true);
  }
  const uint64_t patience_us = uint64_t{s.target.count} * BfdSession::kSlowUs;
  if (s.status.health == Health::alive && event == Event::packet && s.down_us == 0) s.down_us = clock_.us();
  const bool in_time = s.down_us != 0 && clock_.us() - s.down_us < patience_us;
  const bool over = (event == Event::expired && s.heard) || (s.down_us != 0 && !in_time) ||
                    (s.tries >= s.target.count && !in_time);
  if (!over) return tell(index, s.status.health, false);
  s.down_us = 0;
  tell(index, s.heard ? Health::dead : Health::silent, true);
}

void BfdProber::tell(TargetIndex index, Health health, bool judged) {
  State& s = states_[index];
  Status now = s.status;
  now.health = health;
  now.detail = bfd_detail(s.session.state(), s.session.diagnostic());
  board_.tell_change(index, s.status, now, s.asked, judged);
}

}  // namespace poolgate::probe
