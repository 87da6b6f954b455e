// SPDX-License-Identifier: BSD-3-Clause
// What a worker knows of a packet after one look at its headers. The parser reads bytes and nothing else: no
// mbuf, no table, never past the bytes it is given. parse_burst() is the same over mbufs.
#pragma once

#include <cstddef>
#include <cstdint>

#include "dataplane/redirect/drop_reasons.h"
#include "dataplane/session/flow_key.h"

struct rte_mbuf;

namespace poolgate::redirect {

enum class PacketKind : uint8_t {
  l4,        // a whole SCTP, TCP or UDP packet: flow, l4_offset and l4_length are set
  fragment,  // IPv4 or IPv6 fragment (also the first): l3_offset, protocol, addresses in the frame
  icmp,      // ICMP or ICMPv6: l4_offset and l4_length are set
  other,     // ARP, other Ethernet types, other IP protocols: the kernel's
  bad,       // drop says why
};

using session::FlowKey;

struct alignas(32) PacketInfo {
  FlowKey flow;            // ports 0 in fragments and icmp
  uint32_t hash = 0;       // of flow; set by the session stage
  uint16_t l3_offset = 0;  // from the frame's first byte: 14, 18 or 22
  uint16_t l4_offset = 0;
  uint16_t l4_length = 0;  // bytes by the IP length: without Ethernet padding
  PacketKind kind = PacketKind::other;
  DropReason drop = DropReason::none;
  uint16_t vlan_tci = 0;  // of the outer tag, in the frame or stripped by the device; host order; 0 none
  uint8_t plain = 0;      // 1: as parse_plain() says
  uint8_t reserved = 0;
};
static_assert(sizeof(PacketInfo) == 32);

// `length`: bytes readable at `frame`; `frame_length`: bytes of the whole frame (more, if there are further
// segments). Returns false if headers may lie past `length` but within `frame_length`: join the segments and
// call again. Ethernet and 802.1Q; RFC 791 §3.1, RFC 8200 §3-4, RFC 9260 §3.1, RFC 9293 §3.1, RFC 768.
bool parse(const uint8_t* frame, size_t length, size_t frame_length, PacketInfo& info);

// A packet of the commonest shape: kind l4, IPv4 without VLAN tag, options or fragment, 20 bytes of its
// transport packet in the first segment. Its transport header begins here.
inline constexpr size_t kPlainTransport = 34;

// infos[i] of mbufs[i]. Segments are joined where headers are split.
void parse_burst(rte_mbuf* const* mbufs, PacketInfo* infos, unsigned n);

}  // namespace poolgate::redirect
