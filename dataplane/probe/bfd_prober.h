// SPDX-License-Identifier: BSD-3-Clause
// The BFD sessions of the targets that are asked so, and what their states say of a target: time and packets
// in, packets and statuses out. One thread; nothing is allocated after the constructor.
//  - Alive: its session is Up. Dead: it was, and the Detection Time passed. A neighbour that says Down is
//    there, and has perhaps only begun anew: it has `count` seconds to come Up again.
//  - What has never been Up, or is held down by its administrator, gets no verdict (RFC 5882 §3.2).
//  - The clock stands still while nobody runs the prober, as Prober's does.
//  - Of all sessions together about `rate` packets a second go each way: beyond, each asks for longer
//    intervals, by BFD's own means.
#pragma once

#include <memory>

#include "dataplane/probe/bfd_session.h"
#include "dataplane/probe/board.h"
#include "dataplane/probe/probe_clock.h"
#include "dataplane/sctp/keyed_hash.h"

namespace poolgate::probe {

class BfdProber {
 public:
  static constexpr unsigned kSteps = 256;  // sessions looked at in one call of next()

  BfdProber(Board& board, const sctp::HashKey& key, uint32_t rate);

  // What the main lcore has changed, of whatever kind of target.
  void change(const Change& change);
  // Time passes: at least each millisecond.
  void advance(uint64_t now_us);
  struct Packet {
    TargetIndex index = kNoTarget;
    const Target* target = nullptr;  // until the next call
    uint16_t source_port = 0;        // the session's own, host order
    BfdControl control;
  };
  // A packet that is due; false: none is now.
  bool next(Packet& packet);
  // The last one from next() did not leave: it says nothing of the target.
  void unsent(const Packet& packet);
  // The session that a packet is of; kNoTarget: none of ours.
  TargetIndex find(const BfdKey& key) const;
  // Of find()'s session.
  BfdDiscard received(TargetIndex index, const BfdControl& control);

  const BfdSession& session(TargetIndex index) const { return states_[index].session; }
  uint32_t sessions() const { return used_; }

 private:
  struct State {
    BfdSession session;
    Target target;
    Status status;         // as told last
    bool used = false;     // is anybody's
    bool leaving = false;  // is no more, and says so
    bool heard = false;    // has been Up
    bool asked = false;
    uint8_t tries = 0;      // packets sent since it was last Up, or asked
    uint8_t farewells = 0;  // still to be said
    uint64_t down_us = 0;   // when the neighbour said Down, while that may pass
    uint32_t list = 0;
    TargetIndex before = kNoTarget, after = kNoTarget;  // in the list
    TargetIndex next_in_chain = kNoTarget;              // of equal hash
  };
  struct List {
    TargetIndex first = kNoTarget, last = kNoTarget;
  };
  static constexpr uint32_t kWheel = 4096;  // milliseconds; what is due later goes round again
  static constexpr uint32_t kReady = kWheel;
  static constexpr uint32_t kNowhere = kWheel + 1;

  void set(const Change& change);
  void leave(TargetIndex index);
  void drop(TargetIndex index);
  void put(TargetIndex index, uint32_t list);
  void take(TargetIndex index);
  void schedule(TargetIndex index);
  enum class Event : uint8_t { time, expired, packet };
  void judge(TargetIndex index, Event event);
  void tell(TargetIndex index, Health health, bool judged);
  BfdParameters parameters(const Target& target) const;
  TargetIndex& chain(const rserpool::IpAddress& address) const;
  uint32_t discriminator(TargetIndex index, uint32_t incarnation) const;

  Board& board_;
  const sctp::HashKey key_;
  const uint32_t rate_;
  const uint32_t index_bits_;
  uint32_t used_ = 0;  // without those that leave
  ProbeClock clock_;
  uint64_t wheel_ms_ = 0;
  std::unique_ptr<State[]> states_;
  std::unique_ptr<List[]> lists_;
  std::unique_ptr<TargetIndex[]> chains_;
  uint32_t chain_mask_;
};

}  // namespace poolgate::probe
