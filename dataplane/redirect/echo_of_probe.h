// SPDX-License-Identifier: BSD-3-Clause
// Which Echo Replies are the prober's (dataplane/probe): by their look, as all others are the kernel's.
// Whether they answer anything is the prober's to know.
#pragma once

#include <cstring>

#include "dataplane/redirect/packet.h"

namespace poolgate::redirect {

// RFC 792, RFC 4443 §4.1: the header, then what an echo of the prober carries: this, and 4 bytes of its own.
inline constexpr size_t kEchoHeader = 8;
inline constexpr uint8_t kEchoMark[8] = {'P', 'G', 'p', 'r', 'o', 'b', 'e', '1'};
inline constexpr size_t kEchoOfProbe = kEchoHeader + sizeof kEchoMark + 4;

inline bool is_echo_of_probe(const PacketInfo& info, const uint8_t* l4, size_t readable) {
  constexpr uint8_t kEchoReply = 0, kEchoReply6 = 129;
  return info.l4_length == kEchoOfProbe && readable >= kEchoOfProbe &&
         l4[0] == (info.flow.family == 6 ? kEchoReply6 : kEchoReply) && l4[1] == 0 &&
         std::memcmp(l4 + kEchoHeader, kEchoMark, sizeof kEchoMark) == 0;
}

}  // namespace poolgate::redirect
