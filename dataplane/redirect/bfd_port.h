// SPDX-License-Identifier: BSD-3-Clause
// Which packets to us may be of the prober's BFD sessions (dataplane/probe): by their port. Whose they are is
// the prober's to know; what is none of its sessions' is a routing daemon's.
#pragma once

#include "dataplane/redirect/packet.h"
#include "dataplane/redirect/wire.h"

namespace poolgate::redirect {

inline constexpr uint16_t kBfdPort = 3784;  // RFC 5881 §4

inline bool is_to_bfd_port(const PacketInfo& info) {
  return info.kind == PacketKind::l4 && info.flow.protocol == wire::kUdp &&
         info.flow.destination_port == wire::swap16(kBfdPort);
}

}  // namespace poolgate::redirect
