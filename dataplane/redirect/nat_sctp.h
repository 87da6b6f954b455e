// SPDX-License-Identifier: BSD-3-Clause
#pragma once

#include "dataplane/redirect/packet.h"

struct rte_mbuf;

namespace poolgate::redirect {

// What `nat` must change inside an SCTP packet: the address parameters of INIT and INIT ACK are taken out
// (both sides then use the addresses of the packets' headers, which we rewrite), and ASCONF and ASCONF-ACK
// out of their Supported Extensions, because they are authenticated and could not be rewritten. ASCONF chunks
// that come all the same are refused. Cookies, heartbeat information and all else are opaque and stay. The
// packet's checksum is right afterwards if it was before. Returns why the packet must be dropped, or none.
// RFC 9260 §3.3.2, §3.3.3, §5.1.2; RFC 5061 §4.1, §4.2.7.
DropReason nat_sctp_content(rte_mbuf* mbuf, PacketInfo& info);

// The same on bytes: the new length of the SCTP packet (at most `length`), or 0 with `why` set.
size_t nat_sctp_bytes(uint8_t* packet, size_t length, DropReason& why);

}  // namespace poolgate::redirect
