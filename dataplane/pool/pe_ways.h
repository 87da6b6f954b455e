// SPDX-License-Identifier: BSD-3-Clause
// A PE has several addresses, so that a cut link is not its death (RFC 5354 §2.2, RFC 9260 §6.4). A packet to
// a service's VIP number i goes by the PE's address number i, so that a client's paths end on different links
// of it. A dead address is told from a dead PE: what would go there goes by a live address of the same PE
// instead (in direct return, where the VIP stays the packet's destination), until it is back.
// `nat` diverts nothing: the PE's address is the association's there, and so is what its peer thinks of the
// path. A heartbeat that arrived by another address would report a dead path as alive, and SCTP's own
// failover, which the client's heartbeats drive, would never come (RFC 9260 §8.2, §8.3). TCP has no other
// path: its connections there are lost (PeWay::lost).
#pragma once

#include <atomic>
#include <cstdint>

#include "drivers/next_hop.h"

namespace poolgate::pool {

using PeSlotIndex = uint32_t;
inline constexpr PeSlotIndex kNoPeSlot = UINT32_MAX;

// What is known of one address, by who knows it.
struct AddressVerdict {
  enum class Prober : uint8_t { none, alive, dead };
  bool no_route = false;
  bool neighbour = false;  // does not answer ARP or ND, or its router does not
  bool sctp_path = false;  // a path of the PE's own association with us, and unreachable
  Prober prober = Prober::none;

  // The prober asks the address itself, and often: where it is answered, the association's path, which is
  // asked each heartbeat interval only, is old news.
  bool dead() const { return no_route || found_dead(); }
  // It itself: a route of ours that is missing may be back at once.
  bool found_dead() const {
    return neighbour || prober == Prober::dead || (sctp_path && prober != Prober::alive);
  }
  bool operator==(const AddressVerdict&) const = default;
};

// Where packets to one address of a PE go: a line that the main lcore writes and workers read, where they
// have not copied it (PeLine).
struct alignas(64) PeWay {
  static constexpr unsigned kVips = 4;          // told apart
  static constexpr unsigned kMaxAddresses = 8;  // of one PE, of both families

  // The PE's addresses of this one's family, as far as they have a route (and are as this one on-link or
  // not).
  std::atomic<PeSlotIndex> by_vip[kVips];
  // All its addresses, kNoPeSlot after the last.
  std::atomic<PeSlotIndex> all[kMaxAddresses];
  std::atomic<PeSlotIndex> via{kNoPeSlot};  // tunnels: itself, or a live one while it is dead
  std::atomic<drivers::NextHopIndex> next_hop{drivers::kNoNextHop};  // `l2`: likewise, on-link
  std::atomic<bool> dead{false};
  // Found dead while another one of its family lives, and the guard does not hold what is there: TCP of
  // `nat` ends as if its PE had died.
  std::atomic<bool> lost{false};
};
static_assert(sizeof(PeWay) == 64);

}  // namespace poolgate::pool
