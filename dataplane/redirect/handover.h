// SPDX-License-Identifier: BSD-3-Clause
// What workers give each other: packets that another one owns the session of, and notices of which keys are
// whose. A pair of rings for each ordered pair of workers, of one producer and one consumer; bounded, never
// waited for.
#pragma once

#include <algorithm>
#include <cstdint>
#include <memory>
#include <vector>

#include "controlplane/rserpool/result.h"
#include "dataplane/redirect/homes.h"
#include "dataplane/session/flow_key.h"

struct rte_mbuf;
struct rte_ring;

namespace poolgate::redirect {

// Soft state: one that is lost is said again (elsewhere.cc), one that is not repeated is forgotten.
struct Notice {
  enum class About : uint8_t {
    alias,     // packets with this key are for the sender's session
    no_alias,  // no more
    tag,       // the sender's session has this Tp
    no_tag,
    seen,  // to the owner: the copy that an alias is was used
  };
  session::FlowKey flow;  // of a tag: its source port
  uint8_t v6[32] = {};    // both addresses of an IPv6 flow
  uint32_t tag = 0;       // of a tag: Tp; of an alias: Tc, as its INIT had it
  uint16_t service = 0;
  About about = About::alias;
  bool confirmed = false;  // of an alias: its association is established
  // Of an alias that may be used as a copy of its session, what that has.
  bool copy = false;
  uint8_t flags = 0;
  uint16_t deaths = 0;
  uint32_t pe = 0;
  uint32_t tag_p = 0;
  uint32_t idle_ms = 0;  // of seen: how long ago
};
static_assert(sizeof(Notice) == 80);

// A packet in a ring; with its frame's first byte, so that the next worker can have both on their way before
// it looks at either.
struct Handed {
  rte_mbuf* packet = nullptr;
  uint8_t* frame = nullptr;
};

// Why a packet was handed over. In its mbuf's hash.usr while it is in a ring.
enum class Stage : uint8_t {
  fresh,     // from a device
  to_home,   // its receiver does not know it
  to_owner,  // the sender has an alias of the owner's
  by_tag,    // the tag's directory named the owner
  ask_tag,   // home does not know it: who has this tag?
  ask_init,  // home does not know it: an INIT; is one of its addresses yours?
  nobody,    // all were asked
};

class Handover {
 public:
  static constexpr unsigned kPackets = 1024;
  static constexpr unsigned kNotices = 1024;
  static constexpr unsigned kMaxHops = 12;
  static constexpr unsigned kMaxWorkers = 64;

  // `receivers`: the workers among which sessions are spread, in ascending order. `spread` names no others.
  static Result<std::unique_ptr<Handover>> create(const std::vector<uint8_t>& receivers,
                                                  const Spread& spread);
  ~Handover();
  Handover(const Handover&) = delete;
  Handover& operator=(const Handover&) = delete;

  const Homes& homes() const { return homes_; }
  const std::vector<uint8_t>& receivers() const { return receivers_; }
  bool receives(unsigned worker) const {
    return std::find(receivers_.begin(), receivers_.end(), worker) != receivers_.end();
  }

  // ---- worker `from`. How many were taken; the rest is the caller's.
  unsigned give(unsigned from, unsigned to, const Handed* packets, unsigned n) const;
  bool tell(unsigned from, unsigned to, const Notice& notice) const;
  // ---- worker `to`
  unsigned take(unsigned from, unsigned to, Handed* packets, unsigned max) const;
  bool hear(unsigned from, unsigned to, Notice& notice) const;

 private:
  struct Pair {
    rte_ring* packets = nullptr;
    rte_ring* notices = nullptr;
  };
  Handover(const std::vector<uint8_t>& receivers, const Spread& spread);
  Pair& pair(unsigned from, unsigned to) { return pairs_[from * kMaxWorkers + to]; }
  const Pair& pair(unsigned from, unsigned to) const { return pairs_[from * kMaxWorkers + to]; }

  Homes homes_;
  std::vector<uint8_t> receivers_;
  std::vector<Pair> pairs_;
};

}  // namespace poolgate::redirect
