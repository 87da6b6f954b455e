// SPDX-License-Identifier: BSD-3-Clause
// Bytes of the control channel: one message a packet, as channel_messages.h lays it out. No I/O.
#pragma once

#include <string>
#include <string_view>

#include "controlplane/rserpool/result.h"
#include "controlplane/transport/channel_messages.h"

namespace poolgate::channel {

// The whole packet, header included. Fails only if it would exceed kMaxChannelPacket.
Result<std::string> encode(const Up& message);
Result<std::string> encode(const Down& message);

// `packet` is one packet of the socket, whole. Every length, count, enumeration and flag is checked; the
// error says which field of which message is wrong, and where. A packet of another version is refused by its
// version alone, whatever follows.
Result<Up> decode_up(std::string_view packet);
Result<Down> decode_down(std::string_view packet);

// Splits a pool's elements over as many chunks of the same handle as kMaxChannelPacket needs (at least one).
std::vector<PoolChunk> split(PoolChunk chunk);

// For logs and counters: "MessageUp", "PoolCommit", ...
const char* name(const Up& message);
const char* name(const Down& message);

}  // namespace poolgate::channel
