// SPDX-License-Identifier: BSD-3-Clause
// Packets of our own to clients: ABORT, RST, ICMP errors. Each builder fills `frame` (room for
// kMaxReply bytes) and returns the frame's length.
#pragma once

#include <cstddef>
#include <cstdint>

#include "dataplane/redirect/client_hops.h"
#include "dataplane/session/flow_key.h"

namespace poolgate::redirect {

inline constexpr size_t kMaxReply = 1600;

// From the VIP of the path to the client.
struct ReplyPath {
  ClientHop hop;
  uint8_t family = 4;
  uint8_t from[16] = {};
  uint8_t to[16] = {};
  uint16_t from_port = 0;  // network order
  uint16_t to_port = 0;
};

// RFC 9260 §3.3.7. With the T bit the tag is the one that the client itself sends with (§8.5.1, §8.4 rule 8).
size_t build_sctp_abort(uint8_t* frame, const ReplyPath& path, uint32_t tag, bool t_bit);
// RFC 9260 §8.4 rule 5: the answer to a SHUTDOWN ACK out of the blue.
size_t build_sctp_shutdown_complete(uint8_t* frame, const ReplyPath& path, uint32_t tag);

// RFC 9293 §3.10.7. sequence and acknowledgement in host order; with_ack: as an answer to a segment without
// ACK.
size_t build_tcp_reset(uint8_t* frame, const ReplyPath& path, uint32_t sequence, uint32_t acknowledgement,
                       bool with_ack);

// RFC 792, RFC 4443 §3.1: the port is unreachable; quotes `packet` (from its IP header on) as far as is
// allowed.
size_t build_port_unreachable(uint8_t* frame, const ReplyPath& path, const uint8_t* packet, size_t length);
// RFC 1191 §4 (Fragmentation Needed and DF set), RFC 4443 §3.2 (Packet Too Big): at most `mtu` bytes of IP
// fit.
size_t build_too_big(uint8_t* frame, const ReplyPath& path, unsigned mtu, const uint8_t* packet,
                     size_t length);

}  // namespace poolgate::redirect
