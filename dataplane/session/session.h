// SPDX-License-Identifier: BSD-3-Clause
// One session in 64 bytes: an SCTP association, a TCP connection or a UDP flow, as seen from the client to
// the VIP. Its first half is all that a packet of an established flow needs. Pointer-free: it outlives the
// process.
#pragma once

#include <cstddef>
#include <cstdint>

#include "dataplane/session/flow_key.h"

namespace poolgate::session {

// Position in a worker's table; 0: none.
using SessionIndex = uint32_t;
inline constexpr SessionIndex kNone = 0;
inline constexpr SessionIndex kFirst = 3;  // the first that there can be

enum class Kind : uint8_t {
  free = 0,
  session,
  alias,  // another key of a session: an address learnt from INIT, or (nat) the PE's side
  wide,   // free, and its line and a neighbour's share a third for IPv6 addresses
};

enum class State : uint8_t {
  half_open = 0,  // INIT or SYN seen; or picked up in the middle, not confirmed yet
  established,    // also every UDP flow
  closing,        // SHUTDOWN or FIN seen
  closed,         // ABORT, SHUTDOWN COMPLETE or RST seen: kept for what is still under way
};

enum Flags : uint8_t {
  kNat = 1,         // the service's mode when the session began
  kSnat = 2,        // nat with an address and port of ours
  kFromPe = 4,      // of an alias: packets with this key come from the PE
  kTagIndexed = 8,  // tag_p is in the tag index
  kIpip = 16,       // the service's mode when the session began
  kGue = 32,        // likewise
  kRemote = 64,     // of an alias: the session is another worker's, `owner`
  kAway = 128,      // another worker has been told of this key
  kRewritten = kNat | kIpip | kGue,
};

//
// A remote alias is a copy of what an established session's packets need (its PE, mode, service and Tp), as
// its owner last told it: `state` says established where the copy may be used, else packets go to the owner.
// A far alias (kFromPe) is one of what packets to the client need, so that they touch this line alone;
// whatever changes that, SessionTable::forget_copies() ends it.
struct alignas(64) Session {
  FlowKey key;
  uint32_t last_seen_ms = 0;  // CLOCK_MONOTONIC, wraps
  union {
    uint32_t pe = 0;   // slot of the PE
    uint32_t session;  // of an alias that is not remote
  };
  uint16_t deaths = 0;   // the PE's when the session began
  uint16_t service = 0;  // its number
  State state = State::half_open;
  uint8_t flags = 0;
  Kind kind = Kind::free;
  uint8_t generation = 0;  // low bits of the file's: the entry is of this table

  union {
    uint32_t tag_p = 0;  // SCTP: in packets to the PE (0: not known). TCP: the client's last ACK
    uint32_t far_pe;     // of a far alias: slot of the PE
    uint32_t not_of;  // of another alias in direct return: tag_p of an association that has no such address
  };
  union {
    uint32_t tag_c = 0;  // SCTP: in packets to the client. TCP: the client's next sequence number, or 0
    uint32_t named_by;  // as not_of: of the one that came with this address (client_keys.cc); both 0: settled
  };
  union {
    uint32_t tag_c_pending = 0;  // of an INIT that no COOKIE ECHO has confirmed. TCP: 1 after the PE's RST;
                                 // half-open, the sequence number of who connects anew (succession.cc);
                                 // closing, the one behind the client's FIN (tcp_flow.cc)
    uint32_t heard_ms;           // of a remote alias: when its owner last spoke of it
    uint32_t far_source;         // of a far alias: what the client sees, as on the wire
  };
  union {
    SessionIndex next_of_pe = kNone;  // also the free list's
    uint32_t told_ms;                 // of a remote alias: the last use of it that its owner was told of
    uint32_t far_destination;         // of a far alias: the client
  };
  union {
    SessionIndex previous_of_pe = kNone;  // likewise
    uint32_t far_ports;                   // of a far alias: the source's in the low half
  };
  SessionIndex aliases = kNone;  // first of the session's; of an alias: the next
  uint16_t client_hop = 0;       // where the client's packets with this key came from; 0: not known
  union {
    uint16_t pending_ms = 0;  // when tag_c_pending came: low bits of the clock of last_seen_ms
    uint16_t pending_hop;     // `nat`, instead: where its INIT came from, as client_hop
    uint16_t owner;           // of a remote alias: the worker whose session it is
    uint16_t vip;             // of another alias in direct return: the number of its VIP in its service
  };
  SessionIndex counterpart = kNone;  // nat: the entry (of the same session) whose key the other side sees
};
static_assert(sizeof(Session) == 64);

// The third line of two entries of IPv6: their addresses (source, destination), one after the other.
struct alignas(64) AddressLine {
  uint8_t addresses[2][32];
};
static_assert(sizeof(AddressLine) == sizeof(Session));

inline const char* to_string(State state) {
  switch (state) {
    case State::half_open:
      return "half-open";
    case State::established:
      return "established";
    case State::closing:
      return "closing";
    case State::closed:
      return "closed";
  }
  return "?";
}

}  // namespace poolgate::session
