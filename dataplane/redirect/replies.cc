// SPDX-License-Identifier: BSD-3-Clause
#include "dataplane/redirect/replies.h"

#include <algorithm>

#include "dataplane/redirect/checksum.h"
#include "dataplane/redirect/crc32c.h"
#include "dataplane/redirect/ip_header.h"
#include "dataplane/redirect/sctp_chunks.h"
#include "dataplane/redirect/wire.h"

namespace poolgate::redirect {
namespace {

using namespace wire;

// Ethernet, 802.1Q where the client has it, and the IP header (RFC 791 §3.1, RFC 8200 §3) for `payload`
// bytes. Returns where the payload goes.
size_t build_headers(uint8_t* frame, const ReplyPath& path, uint8_t protocol, size_t payload) {
  std::memcpy(frame, path.hop.ether_addresses, 12);
  size_t at = 12;
  if (path.hop.vlan_tci != 0) {
    put16(frame + at, kEtherVlan);
    put16(frame + at + 2, path.hop.vlan_tci);
    at += kVlanTag;
  }
  put16(frame + at, path.family == 6 ? kEtherIpv6 : kEtherIpv4);
  at += 2;
  return at + put_ip_header(frame + at, {.family = path.family,
                                         .protocol = protocol,
                                         .from = path.from,
                                         .to = path.to,
                                         .payload = payload});
}

uint32_t pseudo_header(const ReplyPath& path, uint8_t protocol, size_t length) {
  return redirect::pseudo_header(path.from, path.to, path.family == 6 ? 16 : 4, protocol, length);
}

size_t build_sctp(uint8_t* frame, const ReplyPath& path, uint32_t tag, uint8_t type, uint8_t flags) {
  constexpr size_t kLength = kSctpHeader + 4;
  const size_t at = build_headers(frame, path, kSctp, kLength);
  uint8_t* p = frame + at;
  put_raw16(p, path.from_port);
  put_raw16(p + 2, path.to_port);
  put_raw32(p + 4, tag);
  p[12] = type;
  p[13] = flags;
  put16(p + 14, 4);
  put_raw32(p + 8, sctp_checksum(p, kLength));
  return at + kLength;
}

}  // namespace

size_t build_sctp_abort(uint8_t* frame, const ReplyPath& path, uint32_t tag, bool t_bit) {
  return build_sctp(frame, path, tag, sctp::kAbort, t_bit ? sctp::kFlagT : uint8_t{0});
}

size_t build_sctp_shutdown_complete(uint8_t* frame, const ReplyPath& path, uint32_t tag) {
  return build_sctp(frame, path, tag, sctp::kShutdownComplete, sctp::kFlagT);
}

size_t build_tcp_reset(uint8_t* frame, const ReplyPath& path, uint32_t sequence, uint32_t acknowledgement,
                       bool with_ack) {
  const size_t at = build_headers(frame, path, kTcp, kTcpHeader);
  uint8_t* p = frame + at;
  std::memset(p, 0, kTcpHeader);
  put_raw16(p, path.from_port);
  put_raw16(p + 2, path.to_port);
  put32(p + 4, sequence);
  put32(p + 8, acknowledgement);
  p[12] = 5 << 4;
  p[13] = with_ack ? 0x14 : 0x04;
  put_raw16(p + 16, checksum_finish(checksum_add(p, kTcpHeader, pseudo_header(path, kTcp, kTcpHeader))));
  return at + kTcpHeader;
}

namespace {

// RFC 792, RFC 4443 §2.1: type, code, four bytes by type, then the packet that it is about.
size_t build_icmp_error(uint8_t* frame, const ReplyPath& path, uint8_t type, uint8_t code, uint32_t what,
                        const uint8_t* packet, size_t length) {
  const bool v6 = path.family == 6;
  // RFC 1812 §4.3.2.3: at most 576 bytes; RFC 4443 §2.4: at most 1280.
  const size_t room = v6 ? 1280 - kIpv6Header - 8 : 576 - kIpv4Header - 8;
  const size_t quoted = std::min(length, room), payload = 8 + quoted;
  const size_t at = build_headers(frame, path, v6 ? kIcmp6 : kIcmp, payload);
  uint8_t* p = frame + at;
  p[0] = type;
  p[1] = code;
  put16(p + 2, 0);
  put32(p + 4, what);
  std::memcpy(p + 8, packet, quoted);
  const uint32_t sum = v6 ? pseudo_header(path, kIcmp6, payload) : 0;
  put_raw16(p + 2, checksum_finish(checksum_add(p, payload, sum)));
  return at + payload;
}

}  // namespace

size_t build_port_unreachable(uint8_t* frame, const ReplyPath& path, const uint8_t* packet, size_t length) {
  const bool v6 = path.family == 6;
  return build_icmp_error(frame, path, v6 ? 1 : 3, v6 ? 4 : 3, 0, packet, length);
}

size_t build_too_big(uint8_t* frame, const ReplyPath& path, unsigned mtu, const uint8_t* packet,
                     size_t length) {
  const bool v6 = path.family == 6;
  return build_icmp_error(frame, path, v6 ? 2 : 3, v6 ? 0 : 4, v6 ? mtu : mtu & 0xffff, packet, length);
}

}  // namespace poolgate::redirect
