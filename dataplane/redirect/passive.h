// SPDX-License-Identifier: BSD-3-Clause
// What a worker notices of PEs without asking them: INITs and SYNs that nobody answers, and ICMP that says
// why. None of it is proof (anybody can send an ICMP error): the main lcore tells the registrar, which asks.
#pragma once

#include <array>
#include <cstdint>

#include "dataplane/pool/pe_slot.h"
#include "dataplane/probe/spsc_queue.h"
#include "dataplane/redirect/token_bucket.h"

namespace poolgate::redirect {

struct Suspicion {
  enum class Why : uint8_t {
    unanswered,          // `nat`: several clients' INITs or SYNs, and not a packet of the PE's
    unreachable,         // `nat`: Destination Unreachable about a client's packet on its way to the PE
    tunnel_unreachable,  // the same about the outer header of a tunnel packet: the PE is named by address
  };
  Why why = Why::unanswered;
  uint8_t protocol = 0;  // the clients'; 0 if that is not known
  uint8_t code = 0;      // of the ICMP error
  uint8_t family = 0;    // of address
  pool::PeSlotIndex pe = pool::kNoPeSlot;
  uint8_t address[16] = {};

  // Anybody can send an ICMP error: those have a rate of their own, so that the rest is not drowned.
  bool is_hearsay() const { return why != Why::unanswered; }
};

// Counts clients whose first packet went to a PE that has answered no new client since. Costs nothing per
// packet of what is established: PeLine::answers counts answers to INITs and SYNs alone.
class PassiveWatch {
 public:
  static constexpr unsigned kClients =
      4;  // so many different ones are a suspicion: not one that the PE has a reason to ignore
  static constexpr uint32_t kWindowMs = 10'000;   // within this
  static constexpr uint32_t kPatienceMs = 1'000;  // after the last of them: what an answer may take
  static constexpr unsigned kWatched = 256;       // PEs at once, by number: one that answered makes room

  // An INIT or SYN of a new session goes to the PE. `lines`: the worker's, of all PEs.
  void asked(const pool::PeLine* lines, pool::PeSlotIndex pe, uint64_t client, uint8_t protocol,
             uint32_t now_ms);
  // And is answered, by whatever.
  static void answered(pool::PeLine& line) { ++line.answers; }
  // Looks at one watched PE; the caller goes round.
  bool look(const pool::PeLine* lines, uint32_t now_ms, Suspicion& suspicion);

 private:
  struct Entry {
    pool::PeSlotIndex pe = pool::kNoPeSlot;
    uint32_t answers = 0;
    uint32_t first_ms = 0, last_ms = 0;
    uint8_t n = 0;
    uint8_t protocol = 0;
    std::array<uint64_t, kClients> clients{};

    bool goes_on(const pool::PeLine* lines, uint32_t now_ms) const {
      return n != 0 && lines[pe].answers == answers && now_ms - first_ms <= kWindowMs;
    }
  };
  std::array<Entry, kWatched> entries_;
  unsigned cursor_ = 0;
};

// RFC 792, RFC 4443 §3.1: Destination Unreachable, but for what is about a packet's size.
inline bool is_unreachable(uint8_t family, uint8_t type, uint8_t code) {
  constexpr uint8_t kFragmentationNeeded = 4;
  return family == 6 ? type == 1 : type == 3 && code != kFragmentationNeeded;
}

// One worker's suspicions on their way to the main lcore: at a bounded rate, counted.
class Suspicions {
 public:
  static constexpr uint32_t kRate = 50;  // a second, of either kind

  // Worker. False: not passed on.
  bool tell(const Suspicion& suspicion, uint64_t now_us) {
    return pace_[suspicion.is_hearsay()].take(now_us, kRate) && queue_.push(suspicion);
  }
  // Main lcore.
  bool next(Suspicion& suspicion) { return queue_.pop(suspicion); }

 private:
  TokenBucket pace_[2];  // [1]: hearsay
  probe::SpscQueue<Suspicion> queue_{256};
};

}  // namespace poolgate::redirect
