// SPDX-License-Identifier: BSD-3-Clause
// Which of several stacks an SCTP packet to our ports is for (DESIGN.md §3).
#pragma once

#include <cstdint>
#include <functional>
#include <span>

#include "controlplane/rserpool/ip_address.h"
#include "dataplane/sctp/keyed_hash.h"

namespace poolgate::sctp {

// Every tag that a stack chooses carries its index. An INIT has no tag of ours: it goes by its peer, so that
// one that restarts, or whose INIT meets ours, finds the stack that knows it, whichever of its addresses it
// comes from. All but `by_peer` reads the packet alone: any thread.
class Steering {
 public:
  struct Ports {
    uint16_t asap, enrp;
  };
  enum class Way : uint8_t {
    stack,       // Route::stack's
    by_peer,     // an INIT
    all_stacks,  // ABORT or SHUTDOWN COMPLETE with the T bit: the tag is the peer's (RFC 9260 §8.5.1)
  };
  struct Route {
    Way way = Way::stack;
    unsigned stack = 0;
  };

  // `stacks`: 1 to 16. The key keeps peers from choosing their stack.
  Steering(unsigned stacks, Ports ports, const HashKey& key) : stacks_(stacks), ports_(ports), key_(key) {}

  unsigned stacks() const { return stacks_; }
  // `packet`: from the SCTP common header on. What is too short or to other ports is the first stack's.
  Route route(std::span<const uint8_t> packet) const;
  // `addresses`: those that the peer has, in any order, ours among them (`is_ours`: a PE has the VIP on its
  // loopback); `port`: the peer's. The smallest of them decides.
  unsigned by_peer(std::span<const rserpool::IpAddress> addresses, uint16_t port,
                   const std::function<bool(const rserpool::IpAddress&)>& is_ours) const;

 private:
  unsigned stacks_;
  Ports ports_;
  HashKey key_;
};

}  // namespace poolgate::sctp
