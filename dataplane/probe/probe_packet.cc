// SPDX-License-Identifier: BSD-3-Clause
#include "dataplane/probe/probe_packet.h"

#include <cstring>

#include "dataplane/redirect/checksum.h"
#include "dataplane/redirect/crc32c.h"
#include "dataplane/redirect/echo_of_probe.h"
#include "dataplane/redirect/ip_header.h"
#include "dataplane/redirect/sctp_chunks.h"
#include "dataplane/redirect/wire.h"

namespace poolgate::probe {
namespace {

using namespace redirect::wire;
namespace chunks = redirect::sctp;

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

size_t put_echo(uint8_t* l4, const rserpool::IpAddress& source, const Probe& probe) {
  const rserpool::IpAddress& destination = probe.target->address;
  const bool v6 = destination.is_v6();
  l4[0] = v6 ? kEcho6 : kEcho;
  l4[1] = 0;
  put16(l4 + 2, 0);
  put16(l4 + 4, probe.token.id);
  put16(l4 + 6, probe.sequence);
  std::memcpy(l4 + redirect::kEchoHeader, redirect::kEchoMark, sizeof redirect::kEchoMark);
  put32(l4 + kTagOfEcho, probe.token.tag);
  const uint32_t sum =
      v6 ? redirect::pseudo_header(source.data(), destination.data(), 16, kIcmp6, redirect::kEchoOfProbe) : 0;
  put_raw16(l4 + 2, redirect::checksum_finish(redirect::checksum_add(l4, redirect::kEchoOfProbe, sum)));
  return redirect::kEchoOfProbe;
}

}  // namespace

size_t build_probe(uint8_t* frame, const Probe& probe, const rserpool::IpAddress& source, uint16_t ip_id) {
  const rserpool::IpAddress& destination = probe.target->address;
  const bool v6 = destination.is_v6(), icmp = probe.target->how == config::ProbeKind::icmp;
  uint8_t* l3 = frame + kEtherHeader;
  uint8_t* l4 = l3 + (v6 ? kIpv6Header : kIpv4Header);
  std::memset(frame, 0, 12);
  put16(frame + 12, v6 ? kEtherIpv6 : kEtherIpv4);
  const size_t length = icmp ? put_echo(l4, source, probe) : put_sctp(l4, probe);
  const uint8_t protocol = !icmp ? kSctp : v6 ? kIcmp6 : kIcmp;
  return kEtherHeader + length +
         redirect::put_ip_header(l3, {.family = static_cast<uint8_t>(v6 ? 6 : 4),
                                      .protocol = protocol,
                                      .from = source.data(),
                                      .to = destination.data(),
                                      .payload = length,
                                      .id = ip_id,
                                      .dont_fragment = false});
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
    if (!redirect::is_echo_of_probe(info, l4, length) ||
        redirect::icmp_checksum(info.flow.family, addresses, l4, length) != 0)
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
