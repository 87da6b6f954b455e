// SPDX-License-Identifier: BSD-3-Clause
// Mode `nat` on the shortest way: an untagged IPv4 packet without options (parse_plain()).
#pragma once

#include "dataplane/redirect/crc32c.h"
#include "dataplane/redirect/packet.h"
#include "dataplane/redirect/wire.h"

namespace poolgate::redirect {

// New addresses and ports as they stand on the wire; `ports`: source in the low half. Every checksum follows
// by increment (RFC 1624; RFC 768: a UDP checksum of 0 is none). SCTP's covers no addresses: with equal ports
// nothing of the packet changes (RFC 9260 §6.8).
inline void rewrite_plain(uint8_t* frame, const PacketInfo& info, uint32_t source, uint32_t destination,
                          uint32_t ports) {
  using namespace wire;
  // A 32-bit word is congruent to the sum of its halves, modulo 2^16 - 1.
  const auto fold = [](uint64_t sum) {
    sum = (sum & 0xffffffff) + (sum >> 32);
    sum = (sum & 0xffff) + (sum >> 16);
    sum = (sum & 0xffff) + (sum >> 16);
    return static_cast<uint16_t>((sum & 0xffff) + (sum >> 16));
  };
  uint8_t* ip = frame + kEtherHeader;
  uint8_t* l4 = frame + kPlainTransport;
  const uint64_t addresses = uint64_t{source} + destination + static_cast<uint32_t>(~raw32(ip + 12)) +
                             static_cast<uint32_t>(~raw32(ip + 16));
  const uint16_t header = raw16(ip + 10);
  put_raw16(ip + 10, static_cast<uint16_t>(~fold(addresses + static_cast<uint16_t>(~header))));
  put_raw32(ip + 12, source);
  put_raw32(ip + 16, destination);
  const uint32_t before = raw32(l4);
  put_raw32(l4, ports);
  if (info.flow.protocol == kSctp) {
    if (before != ports) put_raw32(l4 + 8, sctp_checksum_ports(raw32(l4 + 8), before, ports, info.l4_length));
    return;
  }
  const bool udp = info.flow.protocol == kUdp;
  uint8_t* checksum = l4 + (udp ? 6 : 16);
  const uint16_t old = raw16(checksum);
  if (udp && old == 0) return;
  const auto now = static_cast<uint16_t>(
      ~fold(addresses + static_cast<uint32_t>(~before) + ports + static_cast<uint16_t>(~old)));
  put_raw16(checksum, udp && now == 0 ? uint16_t{0xffff} : now);
}

// One other address at `at` in the IP header, and nothing else: of SCTP, whose checksum does not cover it.
inline void rewrite_one_address(uint8_t* frame, size_t at, uint32_t address) {
  using namespace wire;
  uint8_t* ip = frame + kEtherHeader;
  const uint32_t before = raw32(ip + at);
  // In ones' complement: address - before + ~checksum, carries added back, then both halves.
  uint32_t sum = address - before;
  sum -= address < before;
  const uint32_t old = static_cast<uint16_t>(~raw16(ip + 10));
  sum += old;
  sum += sum < old;
  sum += sum << 16 | sum >> 16;
  put_raw16(ip + 10, static_cast<uint16_t>(~(sum >> 16)));
  put_raw32(ip + at, address);
}
inline void rewrite_source(uint8_t* frame, uint32_t to) { rewrite_one_address(frame, 12, to); }
inline void rewrite_destination(uint8_t* frame, uint32_t to) { rewrite_one_address(frame, 16, to); }

}  // namespace poolgate::redirect
