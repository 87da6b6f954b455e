// SPDX-License-Identifier: BSD-3-Clause
#include "dataplane/probe/probe_packet.h"

#include <cstring>

#include "dataplane/redirect/checksum.h"
#include "dataplane/redirect/crc32c.h"
#include "dataplane/redirect/echo_of_probe.h"
#include "dataplane/redirect/sctp_chunks.h"
#include "dataplane/redirect/wire.h"

namespace poolgate::probe {
namespace {

using namespace redirect::wire;
namespace chunks = redirect::sctp;

constexpr uint8_t kHopLimit = 64;
constexpr uint8_t kEcho = 8, kEcho6 = 128;
constexpr size_t kTagOfEcho = redirect::kEchoHeader + sizeof redirect::kEchoMark;

// RFC 9260 §3.3.2. An association is never made: the smallest window allowed, one stream each way.
size_t put_init(uint8_t* l4, const Probe& probe) {
  constexpr uint16_t kInitLength = 20;
  constexpr uint32_t kLeastWindow = 1500;
  std::memset(l4, 0, kSctpHeader + kInitLength);
  uint8_t* chunk = l4 + kSctpHeader;
  chunk[0] = chunks::kInit;
  put16(chunk + 2, kInitLength);
  put32(chunk + 4, probe.token.tag);
  put32(chunk + 8, kLeastWindow);
  put16(chunk + 12, 1);
  put16(chunk + 14, 1);
  put32(chunk + 16, probe.token.tag);  // Initial TSN: anything
  return kSctpHeader + kInitLength;
}

// RFC 9260 §3.3.5: the Heartbeat Info parameter is the sender's own.
size_t put_heartbeat(uint8_t* l4, const Probe& probe) {
  constexpr uint16_t kHeartbeatLength = 12, kInfo = 1, kInfoLength = 8;
  std::memset(l4, 0, kSctpHeader + kHeartbeatLength);
  put32(l4 + 4, probe.token.tag);
  uint8_t* chunk = l4 + kSctpHeader;
  chunk[0] = chunks::kHeartbeat;
  put16(chunk + 2, kHeartbeatLength);
  put16(chunk + 4, kInfo);
  put16(chunk + 6, kInfoLength);
  put32(chunk + 8, probe.token.tag);
  return kSctpHeader + kHeartbeatLength;
}

size_t put_sctp(uint8_t* l4, const Probe& probe) {
  const size_t n =
      probe.target->how == config::ProbeKind::sctp ? put_init(l4, probe) : put_heartbeat(l4, probe);
  put16(l4, kProbePort);
  put16(l4 + 2, probe.target->port);
  put_raw32(l4 + 8, redirect::sctp_checksum(l4, n));
  return n;
}

// RFC 4443 §2.3 counts a pseudo-header; RFC 792 does not.
uint16_t icmp_checksum(const uint8_t* addresses, bool v6, const uint8_t* l4, size_t n) {
  uint32_t sum = 0;
  if (v6) sum = redirect::checksum_add(addresses, 32) + swap16(kIcmp6) + swap16(static_cast<uint16_t>(n));
  return redirect::checksum_finish(redirect::checksum_add(l4, n, sum));
}

size_t put_echo(uint8_t* l4, const uint8_t* addresses, bool v6, const Probe& probe) {
  l4[0] = v6 ? kEcho6 : kEcho;
  l4[1] = 0;
  put16(l4 + 2, 0);
  put16(l4 + 4, probe.token.id);
  put16(l4 + 6, probe.sequence);
  std::memcpy(l4 + redirect::kEchoHeader, redirect::kEchoMark, sizeof redirect::kEchoMark);
  put32(l4 + kTagOfEcho, probe.token.tag);
  put_raw16(l4 + 2, icmp_checksum(addresses, v6, l4, redirect::kEchoOfProbe));
  return redirect::kEchoOfProbe;
}

}  // namespace

size_t build_probe(uint8_t* frame, const Probe& probe, const rserpool::IpAddress& source, uint16_t ip_id) {
  const bool v6 = probe.target->address.is_v6();
  const size_t n = v6 ? 16 : 4;
  const size_t l3_length = v6 ? kIpv6Header : kIpv4Header;
  uint8_t* l3 = frame + kEtherHeader;
  uint8_t* l4 = l3 + l3_length;
  std::memset(frame, 0, kEtherHeader + l3_length);
  put16(frame + 12, v6 ? kEtherIpv6 : kEtherIpv4);
  uint8_t* addresses = l3 + (v6 ? 8 : 12);
  std::memcpy(addresses, source.data(), n);
  std::memcpy(addresses + n, probe.target->address.data(), n);
  const bool icmp = probe.target->how == config::ProbeKind::icmp;
  const size_t length = icmp ? put_echo(l4, addresses, v6, probe) : put_sctp(l4, probe);
  const uint8_t protocol = !icmp ? kSctp : v6 ? kIcmp6 : kIcmp;
  if (v6) {
    put32(l3, 6u << 28);
    put16(l3 + 4, static_cast<uint16_t>(length));
    l3[6] = protocol;
    l3[7] = kHopLimit;
  } else {
    l3[0] = 0x45;
    put16(l3 + 2, static_cast<uint16_t>(l3_length + length));
    put16(l3 + 4, ip_id);
    l3[8] = kHopLimit;
    l3[9] = protocol;
    put_raw16(l3 + 10, redirect::checksum_finish(redirect::checksum_add(l3, kIpv4Header)));
  }
  return kEtherHeader + l3_length + length;
}

std::optional<Answer> parse_answer(const redirect::PacketInfo& info, const uint8_t* frame, size_t readable) {
  if (readable < size_t{info.l4_offset} + info.l4_length) return std::nullopt;
  const bool v6 = info.flow.family == 6;
  const uint8_t* addresses = frame + info.l3_offset + (v6 ? 8 : 12);
  const uint8_t* l4 = frame + info.l4_offset;
  const size_t length = info.l4_length;
  Answer answer;
  answer.address = v6 ? rserpool::IpAddress::v6(addresses) : rserpool::IpAddress::v4(addresses);
  if (info.kind == redirect::PacketKind::icmp) {
    if (!redirect::is_echo_of_probe(info, l4, length) || icmp_checksum(addresses, v6, l4, length) != 0)
      return std::nullopt;
    answer.how = config::ProbeKind::icmp;
    answer.token = {get32(l4 + kTagOfEcho), get16(l4 + 4)};
    return answer;
  }
  if (!is_to_probe_port(info) || length < kSctpHeader + 4) return std::nullopt;
  if (raw32(l4 + 8) != redirect::sctp_checksum(l4, length)) return std::nullopt;
  chunks::Chunks walk(l4, length);
  chunks::ChunkView chunk;
  if (!walk.next(chunk)) return std::nullopt;
  answer.port = get16(l4);
  answer.token.tag = get32(l4 + 4);
  const bool t_bit = (chunk.flags & chunks::kFlagT) != 0;
  if (chunk.type == chunks::kAbort) {
    answer.how = t_bit ? config::ProbeKind::heartbeat : config::ProbeKind::sctp;
    answer.refused = !t_bit;
    return answer;
  }
  chunks::InitView init;
  if (chunk.type != chunks::kInitAck || !chunks::parse_init(chunk, init)) return std::nullopt;
  answer.how = config::ProbeKind::sctp;
  return answer;
}

}  // namespace poolgate::probe
