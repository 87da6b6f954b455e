// SPDX-License-Identifier: BSD-3-Clause
#include "dataplane/redirect/packet.h"

#include <algorithm>

#include "dataplane/redirect/ip6_extensions.h"
#include "dataplane/redirect/ip_options.h"
#include "dataplane/redirect/wire.h"

namespace poolgate::redirect {
namespace {

using namespace wire;

struct Bytes {
  const uint8_t* at;
  size_t readable;  // in the first segment
  size_t total;     // of the frame, by Ethernet, then by IP
};

bool bad(PacketInfo& info, DropReason why) {
  info.kind = PacketKind::bad;
  info.drop = why;
  return true;
}

// True if [offset, offset + n) can be read. Otherwise `done` is what parse() returns: false if another
// segment has it.
bool have(const Bytes& b, size_t offset, size_t n, DropReason why, PacketInfo& info, bool& done) {
  if (__builtin_expect(offset + n <= b.readable && offset + n <= b.total, 1)) return true;
  done = offset + n <= b.total ? false : bad(info, why);
  return false;
}

// RFC 791 §3.1: options in a header longer than 20 bytes. Source routes are refused (RFC 7126 §4.3).
DropReason check_options(const uint8_t* option, size_t n) {
  for (size_t i = 0; i < n && option[i] != ip_options::kEnd;) {
    const size_t length = ip_options::length(option, n, i);
    if (length == 0) return DropReason::ip_header_length;
    if (option[i] == ip_options::kLooseRoute || option[i] == ip_options::kStrictRoute)
      return DropReason::ip_source_route;
    i += length;
  }
  return DropReason::none;
}

// RFC 9260 §3.1, RFC 9293 §3.1, RFC 768.
bool parse_transport(const Bytes& b, PacketInfo& info) {
  const size_t at = info.l4_offset;
  bool done = true;
  switch (info.flow.protocol) {
    case kSctp:
      if (!have(b, at, kSctpHeader, DropReason::l4_too_short, info, done)) return done;
      break;
    case kTcp: {
      if (!have(b, at, kTcpHeader, DropReason::l4_too_short, info, done)) return done;
      const size_t header = (b.at[at + 12] >> 4) * 4u;
      if (header < kTcpHeader || header > info.l4_length) return bad(info, DropReason::tcp_offset);
      break;
    }
    case kUdp: {
      if (!have(b, at, kUdpHeader, DropReason::l4_too_short, info, done)) return done;
      const size_t length = get16(b.at + at + 4);
      if (length < kUdpHeader || length > info.l4_length) return bad(info, DropReason::udp_length);
      break;
    }
    case kIcmp:
    case kIcmp6:
      if (!have(b, at, 8, DropReason::l4_too_short, info, done)) return done;
      info.kind = PacketKind::icmp;
      return true;
    default:
      info.kind = PacketKind::other;
      return true;
  }
  info.flow.source_port = raw16(b.at + at);
  info.flow.destination_port = raw16(b.at + at + 2);
  info.kind = PacketKind::l4;
  return true;
}

// RFC 791 §3.1.
bool parse_ipv4(Bytes b, PacketInfo& info) {
  const size_t at = info.l3_offset;
  bool done = true;
  if (!have(b, at, kIpv4Header, DropReason::frame_too_short, info, done)) return done;
  const uint8_t* ip = b.at + at;
  if (ip[0] >> 4 != 4) return bad(info, DropReason::ip_version);
  const size_t header = (ip[0] & 0xf) * 4u;
  const size_t total = get16(ip + 2);
  if (header < kIpv4Header) return bad(info, DropReason::ip_header_length);
  if (total < header || total > b.total - at) return bad(info, DropReason::ip_total_length);
  if (ip[8] == 0) return bad(info, DropReason::ip_ttl_zero);
  b.total = at + total;
  if (__builtin_expect(header > kIpv4Header, 0)) {
    if (!have(b, at, header, DropReason::ip_header_length, info, done)) return done;
    const DropReason why = check_options(ip + kIpv4Header, header - kIpv4Header);
    if (why != DropReason::none) return bad(info, why);
  }
  info.flow.family = 4;
  info.flow.protocol = ip[9];
  info.flow.source = raw32(ip + 12);
  info.flow.destination = raw32(ip + 16);
  info.l4_offset = static_cast<uint16_t>(at + header);
  info.l4_length = static_cast<uint16_t>(total - header);
  if (__builtin_expect(raw16(ip + 6) & swap16(0x3fff), 0)) {
    // What it is a piece of cannot be longer than a packet; cut again, its offset would not fit its field.
    if ((get16(ip + 6) & 0x1fffu) * 8 + total > 65535) return bad(info, DropReason::ip_total_length);
    info.kind = PacketKind::fragment;
    return true;
  }
  return parse_transport(b, info);
}

// RFC 8200 §3 and §4: the fixed header, then extension headers up to the transport's.
bool parse_ipv6(Bytes b, PacketInfo& info) {
  using namespace ip6_extensions;
  size_t at = info.l3_offset;
  bool done = true;
  if (!have(b, at, kIpv6Header, DropReason::frame_too_short, info, done)) return done;
  const uint8_t* ip = b.at + at;
  if (ip[0] >> 4 != 6) return bad(info, DropReason::ip_version);
  const size_t payload = get16(ip + 4);
  if (payload > b.total - at - kIpv6Header) return bad(info, DropReason::ip_total_length);
  if (ip[7] == 0) return bad(info, DropReason::ip_ttl_zero);
  b.total = at + kIpv6Header + payload;
  info.flow.family = 6;
  uint8_t next = ip[6];
  at += kIpv6Header;
  for (unsigned i = 0;; ++i) {
    info.flow.protocol = next;
    info.l4_offset = static_cast<uint16_t>(at);
    info.l4_length = static_cast<uint16_t>(b.total - at);
    if (!is_one(next)) return parse_transport(b, info);
    if (i == kMax) return bad(info, DropReason::ip6_extension);
    if (!have(b, at, kLeast, DropReason::ip6_extension, info, done)) return done;
    const uint8_t* extension = b.at + at;
    const bool fragment = next == kFragment;
    const size_t length = ip6_extensions::length(next, extension);
    if (length > b.total - at) return bad(info, DropReason::ip6_extension);
    if (next == kRouting && extension[2] == 0) return bad(info, DropReason::ip_source_route);  // RFC 5095
    next = extension[0];
    // An atomic fragment (RFC 6946) is a whole packet.
    if (fragment && (get16(extension + 2) & 0xfff9) != 0) {
      const size_t end = (get16(extension + 2) & 0xfff8u) + (b.total - at - length);  // RFC 8200 §4.5
      if (end > 65535) return bad(info, DropReason::ip_total_length);
      info.flow.protocol = next;
      info.kind = PacketKind::fragment;
      return true;
    }
    at += length;
  }
}

}  // namespace

bool parse(const uint8_t* frame, size_t length, size_t frame_length, PacketInfo& info) {
  info = PacketInfo{};
  // Offsets and lengths are kept in 16 bits; no IP packet with its Ethernet header needs more than this.
  const Bytes b{frame, length, std::min<size_t>(frame_length, 65535)};
  bool done = true;
  if (!have(b, 0, kEtherHeader, DropReason::frame_too_short, info, done)) return done;
  size_t at = kEtherHeader;
  uint16_t type = get16(frame + 12);
  for (unsigned tags = 0; __builtin_expect(type == kEtherVlan || type == kEtherQinq, 0) && tags < 2; ++tags) {
    if (!have(b, at, kVlanTag, DropReason::frame_too_short, info, done)) return done;
    if (tags == 0) info.vlan_tci = get16(frame + at);
    type = get16(frame + at + 2);
    at += kVlanTag;
  }
  info.l3_offset = static_cast<uint16_t>(at);
  if (type == kEtherIpv4) return parse_ipv4(b, info);
  if (type == kEtherIpv6) return parse_ipv6(b, info);
  return true;
}

}  // namespace poolgate::redirect
