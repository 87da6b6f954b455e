// SPDX-License-Identifier: BSD-3-Clause
// The bytes of probes and of what answers them. No mbuf, no table, never past the bytes given.
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>

#include "dataplane/probe/target.h"
#include "dataplane/redirect/packet.h"
#include "dataplane/redirect/wire.h"

namespace poolgate::probe {

// Our port of SCTP probes: reserved by IANA, below the ports that SNAT uses, and nobody's service.
inline constexpr uint16_t kProbePort = 1023;
inline constexpr size_t kMaxProbe = 128;

// A frame of a probe from `source` (of the target's family): 14 bytes for Ethernet, of which the type is set,
// IP (RFC 791 §3.1, RFC 8200 §3), then
//  - sctp: INIT (RFC 9260 §3.3.2) without parameters, its Initiate Tag the token's;
//  - heartbeat: HEARTBEAT (§3.3.5) of no association, its Verification Tag the token's;
//  - icmp: Echo (RFC 792) or Echo Request (RFC 4443 §4.1).
// The number of bytes; `frame` holds kMaxProbe.
size_t build_probe(uint8_t* frame, const Probe& probe, const rserpool::IpAddress& source, uint16_t ip_id);

// Whether it is SCTP to the probes' port.
inline bool is_to_probe_port(const redirect::PacketInfo& info) {
  return info.kind == redirect::PacketKind::l4 && info.flow.protocol == redirect::wire::kSctp &&
         info.flow.destination_port == redirect::wire::swap16(kProbePort);
}

// What a packet to us says as an answer to a probe:
//  - INIT ACK (RFC 9260 §5.1): its tag is that of our INIT. It is never followed by a COOKIE ECHO: the PE has
//    kept nothing of it (§5.1.3).
//  - ABORT with T = 0 and that tag (§8.4 rule 3, §8.5.1): the host's SCTP lives, but takes no association on
//    that address and port. It may want resources (§3.3.10.4) or listen on the VIP alone: no death.
//  - ABORT with T = 1 (§8.4 rule 8): repeats the tag of the HEARTBEAT out of the blue.
//  - Echo Reply (RFC 792; RFC 4443 §4.2).
// nullopt: none of these, or its checksum is wrong. The packet is in one piece.
std::optional<Answer> parse_answer(const redirect::PacketInfo& info, const uint8_t* frame, size_t readable);

}  // namespace poolgate::probe
