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

size_t padded(size_t n) { return (n + 3) & ~size_t{3}; }

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

// 4 or 6 if the parameter is an address (RFC 9260 §3.3.2.1), else 0.
uint8_t address_family(uint16_t type, size_t length) {
  if (type == sctp::kIpv4Address && length == 8) return 4;
  return type == sctp::kIpv6Address && length == 20 ? 6 : 0;
}

// The parameters of INIT and INIT ACK, moved together. The chunk's new length; 0: malformed.
size_t rewrite_init(uint8_t* chunk, size_t length, const AddressMap& map) {
  constexpr size_t kFixed = 20;
  if (length < kFixed) return 0;
  size_t from = kFixed, to = kFixed;
  while (from + 4 <= length) {
    const uint16_t type = wire::get16(chunk + from);
    const size_t n = wire::get16(chunk + from + 2);
    if (n < 4 || from + n > length) return 0;
    const size_t next = std::min(from + padded(n), length);
    if (type == sctp::kZeroChecksumAcceptable) {  // who is not told so sends none (RFC 9653 §4)
      from = next;
      continue;
    }
    const AddressMap::Pair* known = nullptr;
    // RFC 5061 §4.2.4: an address parameter behind an ID.
    const bool primary = type == sctp::kSetPrimary;
    const size_t at = primary ? 8 : 0;
    if (primary || type == sctp::kIpv4Address || type == sctp::kIpv6Address) {
      const uint8_t* address = chunk + from + at;
      if (n >= at + 8) {
        const size_t size = wire::get16(address + 2);
        const uint8_t family = size == n - at ? address_family(wire::get16(address), size) : uint8_t{0};
        if (family != 0) known = map.find(family, address + 4);
      }
      if (known == nullptr || known->to == nullptr) {
        from = next;
        continue;
      }
    }
    std::memmove(chunk + to, chunk + from, next - from);
    if (known != nullptr) std::memcpy(chunk + to + at + 4, known->to, n - at - 4);
    if (type == sctp::kSupportedExtensions) {
      // The last one's padding is none of the chunk's length, and may not be there (RFC 9260 §3.2).
      const size_t kept = without_asconf(chunk + to, n);
      const size_t end = next < length ? padded(kept) : kept;
      std::memset(chunk + to + kept, 0, end - kept);
      to += end;
    } else {
      to += next - from;
    }
    from = next;
  }
  return from < length ? 0 : to;
}

// The causes of ABORT and ERROR that quote addresses: an unresolvable one (RFC 9260 §3.3.10.5), the new ones
// of a restart (§3.3.10.11). True: something changed.
bool rewrite_causes(uint8_t* chunk, size_t length, const AddressMap& map) {
  bool changed = false;
  for (size_t at = 4; at + 4 <= length;) {
    const uint16_t code = wire::get16(chunk + at);
    const size_t end = at + wire::get16(chunk + at + 2);
    if (end < at + 4 || end > length) return changed;
    const bool quotes = code == sctp::kUnresolvableAddress || code == sctp::kRestartWithNewAddresses;
    for (size_t p = at + 4; quotes && p + 4 <= end;) {
      const size_t n = wire::get16(chunk + p + 2);
      if (n < 4 || p + n > end) break;
      const uint8_t family = address_family(wire::get16(chunk + p), n);
      const AddressMap::Pair* known = family == 0 ? nullptr : map.find(family, chunk + p + 4);
      if (known != nullptr && known->to != nullptr && std::memcmp(chunk + p + 4, known->to, n - 4) != 0) {
        std::memcpy(chunk + p + 4, known->to, n - 4);
        changed = true;
      }
      p += padded(n);
    }
    at = padded(end);
  }
  return changed;
}

}  // namespace

size_t nat_sctp_bytes(uint8_t* packet, size_t length, const AddressMap& map, DropReason& why, bool cut) {
  why = DropReason::none;
  const auto refuse = [&why](DropReason reason) {
    why = reason;
    return size_t{0};
  };
  // A checksum is computed anew only where the old one was right: a packet that was damaged must not become
  // whole by that. Looked at once, before anything changes.
  int whole = -1;
  const auto is_whole = [&] {
    if (whole < 0) whole = !cut && sctp_checksum(packet, length) == wire::raw32(packet + 8);
    return whole == 1;
  };
  const DropReason not_whole = cut ? DropReason::fragment : DropReason::checksum;
  sctp::Chunks chunks(packet, length, cut);
  sctp::ChunkView chunk;
  bool changed = false;
  for (bool first = true; chunks.next(chunk); first = false) {
    uint8_t* at = packet + (chunk.at - packet);
    switch (chunk.type) {
      case sctp::kAsconf:
      case sctp::kAsconfAck:
        return refuse(DropReason::nat_asconf);
      case sctp::kAbort:
      case sctp::kError:
        if (!is_whole()) return refuse(not_whole);
        changed |= rewrite_causes(at, chunk.length, map);
        break;
      case sctp::kInit:
      case sctp::kInitAck: {
        // RFC 9260 §4.3: neither is ever bundled.
        if (!first || !chunks.last()) return refuse(DropReason::sctp_init_bundled);
        if (!is_whole()) return refuse(not_whole);
        const size_t now = rewrite_init(at, chunk.length, map);
        if (now == 0) return refuse(DropReason::sctp_chunk);
        wire::put16(at + 2, static_cast<uint16_t>(now));
        const size_t end = wire::kSctpHeader + now, total = std::min(length, wire::kSctpHeader + padded(now));
        if (end < total) std::memset(packet + end, 0, total - end);
        wire::put_raw32(packet + 8, sctp_checksum(packet, total));
        return total;
      }
      default:
        break;
    }
  }
  if (chunks.bad()) return refuse(DropReason::sctp_chunk);
  if (changed) wire::put_raw32(packet + 8, sctp_checksum(packet, length));
  return length;
}

bool nat_sctp_has_content(rte_mbuf* mbuf, const PacketInfo& info) {
  const uint8_t* l4 = rte_pktmbuf_mtod(mbuf, const uint8_t*) + info.l4_offset;
  // A packet that begins with DATA has nothing else (RFC 9260 §6.10), nor has one of a single SACK.
  if (info.l4_length < wire::kSctpHeader + 4u || mbuf->data_len < info.l4_offset + wire::kSctpHeader + 4u)
    return true;
  const uint8_t* chunk = l4 + wire::kSctpHeader;
  if (chunk[0] == sctp::kData || chunk[0] == sctp::kIData) return false;
  return chunk[0] != sctp::kSack || padded(wire::get16(chunk + 2)) + wire::kSctpHeader < info.l4_length;
}

DropReason nat_sctp_content(rte_mbuf* mbuf, PacketInfo& info, const AddressMap& map, bool cut) {
  if (mbuf->nb_segs > 1 && rte_pktmbuf_linearize(mbuf) != 0) return DropReason::header_split;
  uint8_t* l4 = rte_pktmbuf_mtod(mbuf, uint8_t*) + info.l4_offset;
  DropReason why;
  const size_t total = nat_sctp_bytes(l4, info.l4_length, map, why, cut);
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
