// SPDX-License-Identifier: BSD-3-Clause
// IP around our own SCTP packets: what the endpoint does not do.
#pragma once

#include <cstdint>
#include <optional>

#include "controlplane/rserpool/ip_address.h"
#include "dataplane/redirect/packet.h"
#include "dataplane/sctp/endpoint.h"

struct rte_mbuf;
struct rte_mempool;

namespace poolgate::worker {

// The SCTP packet in a received frame, bare or in UDP (RFC 6951 §5.3): views into the packet, which is made
// contiguous. nullopt: no room to join its segments.
std::optional<sctp::InputPacket> sctp_input(rte_mbuf* packet, const redirect::PacketInfo& info);

// A frame for `packet`: 14 bytes for Ethernet (only the type is set), the IPv4 (RFC 791 §3.1) or IPv6 (RFC
// 8200 §3) header, UDP if asked for (RFC 6951 §5.4), the SCTP packet. With checksum_done false the device is
// asked for CRC32c. nullptr: no buffer, or the families differ.
rte_mbuf* sctp_frame(rte_mempool* pool, const sctp::OutputPacket& packet, uint16_t encapsulation_port,
                     uint16_t ip_id);

// The destination address of a frame that sctp_frame() or the redirector made (untagged).
rserpool::IpAddress frame_destination(const rte_mbuf* packet);

}  // namespace poolgate::worker
