// SPDX-License-Identifier: BSD-3-Clause
#include "dataplane/redirect/nat_sctp.h"

#include <rte_mbuf.h>

#include <algorithm>

#include "dataplane/redirect/checksum.h"
#include "dataplane/redirect/crc32c.h"
#include "dataplane/redirect/sctp_chunks.h"
#include "dataplane/redirect/wire.h"

namespace poolgate::redirect {
namespace {

// RFC 5061 §4.2.7: a list of chunk types. Takes ASCONF and ASCONF-ACK out in place; the new length of the
// parameter.
size_t without_asconf(uint8_t* parameter, size_t length) {
  size_t kept = 4;
  for (size_t i = 4; i < length; ++i) {
    if (parameter[i] != sctp::kAsconf && parameter[i] != sctp::kAsconfAck) parameter[kept++] = parameter[i];
  }
  wire::put16(parameter + 2, static_cast<uint16_t>(kept));
  return kept;
}

size_t padded(size_t n) { return (n + 3) & ~size_t{3}; }

// The chunk's new length, its parameters moved together; 0: malformed.
size_t strip(uint8_t* chunk, size_t length) {
  constexpr size_t kFixed = 20;
  if (length < kFixed) return 0;
  size_t from = kFixed, to = kFixed;
  while (from + 4 <= length) {
    const uint16_t type = wire::get16(chunk + from);
    const size_t n = wire::get16(chunk + from + 2);
    if (n < 4 || from + n > length) return 0;
    const size_t next = std::min(from + padded(n), length);
    if (type == sctp::kIpv4Address || type == sctp::kIpv6Address) {
      from = next;
      continue;
    }
    std::memmove(chunk + to, chunk + from, next - from);
    if (type == sctp::kSupportedExtensions) {
      const size_t kept = without_asconf(chunk + to, n);
      const size_t end = padded(kept);
      if (end > kept) std::memset(chunk + to + kept, 0, end - kept);
      to += end;
    } else {
      to += next - from;
    }
    from = next;
  }
  return from < length ? 0 : to;
}

}  // namespace

size_t nat_sctp_bytes(uint8_t* packet, size_t length, DropReason& why) {
  why = DropReason::none;
  sctp::Chunks chunks(packet, length);
  sctp::ChunkView chunk;
  for (bool first = true; chunks.next(chunk); first = false) {
    if (chunk.type == sctp::kAsconf || chunk.type == sctp::kAsconfAck) {
      why = DropReason::nat_asconf;
      return 0;
    }
    if (chunk.type != sctp::kInit && chunk.type != sctp::kInitAck) continue;
    if (!first || !chunks.last()) {
      why = DropReason::sctp_init_bundled;  // RFC 9260 §4.3: neither is ever bundled
      return 0;
    }
    // The checksum is computed anew: a packet that was damaged must not become whole by that.
    if (sctp_checksum(packet, length) != wire::raw32(packet + 8)) {
      why = DropReason::checksum;
      return 0;
    }
    uint8_t* at = packet + wire::kSctpHeader;
    const size_t now = strip(at, chunk.length);
    if (now == 0) {
      why = DropReason::sctp_chunk;
      return 0;
    }
    wire::put16(at + 2, static_cast<uint16_t>(now));
    const size_t end = wire::kSctpHeader + now;
    for (size_t i = end; i < wire::kSctpHeader + padded(now) && i < length; ++i) packet[i] = 0;
    const size_t total = std::min(length, wire::kSctpHeader + padded(now));
    wire::put_raw32(packet + 8, sctp_checksum(packet, total));
    return total;
  }
  if (chunks.bad()) {
    why = DropReason::sctp_chunk;
    return 0;
  }
  return length;
}

DropReason nat_sctp_content(rte_mbuf* mbuf, PacketInfo& info) {
  uint8_t* l4 = rte_pktmbuf_mtod(mbuf, uint8_t*) + info.l4_offset;
  // A packet that begins with DATA has nothing else (RFC 9260 §6.10): the common case ends here.
  if (info.l4_length >= wire::kSctpHeader + 4 && mbuf->data_len >= info.l4_offset + wire::kSctpHeader + 4u &&
      (l4[wire::kSctpHeader] == sctp::kData || l4[wire::kSctpHeader] == sctp::kIData))
    return DropReason::none;
  if (mbuf->nb_segs > 1) {
    if (rte_pktmbuf_linearize(mbuf) != 0) return DropReason::header_split;
    l4 = rte_pktmbuf_mtod(mbuf, uint8_t*) + info.l4_offset;
  }
  DropReason why;
  const size_t total = nat_sctp_bytes(l4, info.l4_length, why);
  if (why != DropReason::none || total == info.l4_length) return why;

  const auto shorter = static_cast<uint16_t>(info.l4_length - total);
  uint8_t* ip = rte_pktmbuf_mtod(mbuf, uint8_t*) + info.l3_offset;
  if (info.flow.family == 4) {
    const auto length = static_cast<uint16_t>(wire::get16(ip + 2) - shorter);
    ChecksumDelta delta;
    delta.replace16(wire::raw16(ip + 2), wire::swap16(length));
    wire::put16(ip + 2, length);
    wire::put_raw16(ip + 10, delta.apply(wire::raw16(ip + 10)));
  } else {
    wire::put16(ip + 4, static_cast<uint16_t>(wire::get16(ip + 4) - shorter));
  }
  info.l4_length = static_cast<uint16_t>(total);
  const size_t frame = size_t{info.l4_offset} + total;
  if (mbuf->pkt_len > frame) rte_pktmbuf_trim(mbuf, static_cast<uint16_t>(mbuf->pkt_len - frame));
  return DropReason::none;
}

}  // namespace poolgate::redirect
