// SPDX-License-Identifier: BSD-3-Clause
#pragma once

#include <array>
#include <cstdint>

#include "controlplane/rserpool/handlespace/deadlines.h"
#include "controlplane/rserpool/handlespace/stored_transport.h"
#include "controlplane/rserpool/types.h"

namespace poolgate::rserpool {

// Numbers of a PE and of a pool within a handlespace. One stays valid, and means the same, until its PE
// deregisters or its pool loses its last PE; then the number is used anew.
using PeIndex = uint32_t;
using PoolIndex = uint32_t;
inline constexpr PeIndex kNoPe = 0xffffffff;
inline constexpr PoolIndex kNoPool = 0xffffffff;

// Names the association that a PE registered over, as the control channel does. All 0: none (learnt by ENRP).
struct AssociationKey {
  uint64_t epoch = 0;
  uint32_t stack = 0;
  uint32_t id = 0;
  bool operator==(const AssociationKey&) const = default;
  bool operator<(const AssociationKey& other) const { return number() < other.number(); }
  bool is_set() const { return *this != AssociationKey{}; }

 private:
  __extension__ using Wide = unsigned __int128;
  Wide number() const { return Wide{epoch} << 64 | uint64_t{stack} << 32 | id; }
};

enum class PeTimer : uint8_t {
  expiry,  // end of the registration life
  probe,   // next keep-alive, or the end of the wait for its answer
};

// What the registrar keeps with a PE. The handlespace gives the space and resets it when the PE is new,
// nothing else.
struct PeNotes {
  uint16_t bad_reports = 0;  // ENDPOINT_UNREACHABLE since the counter was reset
  uint16_t keep_alives = 0;  // sent and not answered
  uint32_t flags = 0;        // the registrar's own bits: unconfirmed, marked by an audit...
  uint32_t number = 0;       // free
};

// One PE, as a handlespace stores it.
struct PeRecord {
  PeId id = 0;
  ServerId home = 0;
  PoolIndex pool = kNoPool;
  uint32_t slot = 0;  // in the pool's selector, where registration number and policy are
  int32_t registration_life = 0;
  PeNotes notes;
  AssociationKey association;
  std::array<DeadlineNode, 2> timers;
  StoredTransport user_transport;
  StoredTransport asap_transport;
  bool has_asap_transport = false;

  // Lists of the PEs of one home server and of one association.
  uint32_t owner = 0;
  PeIndex owner_previous = kNoPe;
  PeIndex owner_next = kNoPe;
  PeIndex association_previous = kNoPe;
  PeIndex association_next = kNoPe;
};

}  // namespace poolgate::rserpool
