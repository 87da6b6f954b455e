// SPDX-License-Identifier: BSD-3-Clause
// PeNotes::flags as the registrar uses them.
#pragma once

#include "controlplane/config/config.h"
#include "controlplane/rserpool/handlespace/pe_record.h"

namespace poolgate::registrar {

// Its association is not known to live (restart, loss of the channel).
inline constexpr uint32_t kUnconfirmed = 1;
// Its registration life counts milliseconds.
inline constexpr uint32_t kMilliseconds = 2;
// Ours by a takeover, and it has not said so itself yet (RFC 5353 §3.5.2).
inline constexpr uint32_t kClaiming = 4;
// Claimed by us, and another server says that it has it.
inline constexpr uint32_t kContested = 8;

// Claimed by us, and its turn to be told so is set.
inline constexpr uint32_t kHasTurn = 16;

inline config::LifeUnit life_unit(const rserpool::PeRecord& record) {
  return (record.notes.flags & kMilliseconds) != 0 ? config::LifeUnit::milliseconds
                                                   : config::LifeUnit::seconds;
}

}  // namespace poolgate::registrar
