// SPDX-License-Identifier: BSD-3-Clause
// PeNotes::flags as the registrar uses them.
#pragma once

#include "controlplane/config/config.h"
#include "controlplane/rserpool/handlespace/pe_record.h"

namespace poolgate::registrar {

// Its registration life counts milliseconds.
inline constexpr uint32_t kMilliseconds = 2;
// Ours by a takeover, and it has not said so itself yet (RFC 5353 §3.5.2).
inline constexpr uint32_t kClaiming = 4;
// Claimed by us, and another server says that it has it.
inline constexpr uint32_t kContested = 8;

// Claimed by us, and its turn to be told so is set.
inline constexpr uint32_t kHasTurn = 16;

// Claimed by us, and reached: the moment in which it is told so is set, and is its own.
inline constexpr uint32_t kHasMoment = 64;

// The data plane suspects it, and is told when it answers.
inline constexpr uint32_t kSuspected = 32;

// In the upper half: the life of the channel (Context::channel_life) in which its association was known to
// live. So that the end of the channel, which puts all of them in doubt, need not touch each.
inline constexpr uint32_t kFlagBits = 0xffff;
inline uint32_t confirmed_in(uint32_t channel_life) { return channel_life << 16; }

inline config::LifeUnit life_unit(const rserpool::PeRecord& record) {
  return (record.notes.flags & kMilliseconds) != 0 ? config::LifeUnit::milliseconds
                                                   : config::LifeUnit::seconds;
}

}  // namespace poolgate::registrar
