// SPDX-License-Identifier: BSD-3-Clause
#include "dataplane/probe/bfd_packet.h"

#include <cstring>

#include "dataplane/redirect/bfd_port.h"
#include "dataplane/redirect/checksum.h"
#include "dataplane/redirect/ip_header.h"
#include "dataplane/redirect/wire.h"

namespace poolgate::probe {
namespace {

using namespace redirect::wire;

constexpr uint8_t kVersion = 1;
constexpr size_t kBfdAuthenticated = 26;  // the least with an authentication section
constexpr uint8_t kGtsm = 255;            // RFC 5881 §5, RFC 5082
constexpr uint8_t kPoll = 0x20, kFinal = 0x10, kIndependent = 0x08, kAuthentication = 0x04, kDemand = 0x02,
                  kMultipoint = 0x01;

// RFC 768; RFC 8200 §8.1: over IPv6 there is always one.
bool checksum_is_right(const redirect::PacketInfo& info, const uint8_t* addresses, const uint8_t* udp,
                       size_t length) {
  const bool v6 = info.flow.family == 6;
  if (raw16(udp + 6) == 0) return !v6;
  const size_t n = v6 ? 16 : 4;
  const uint32_t sum = redirect::pseudo_header(addresses, addresses + n, n, kUdp, length);
  return redirect::checksum_finish(redirect::checksum_add(udp, length, sum)) == 0;
}

}  // namespace

const char* to_string(BfdDiscard discard) {
  switch (discard) {
    case BfdDiscard::none:
      return "none";
    case BfdDiscard::hop_limit:
      return "hop limit";
    case BfdDiscard::checksum:
      return "checksum";
    case BfdDiscard::version:
      return "version";
    case BfdDiscard::length:
      return "length";
    case BfdDiscard::detect_mult:
      return "detect mult";
    case BfdDiscard::multipoint:
      return "multipoint";
    case BfdDiscard::my_discriminator:
      return "my discriminator";
    case BfdDiscard::your_discriminator:
      return "your discriminator";
    case BfdDiscard::authentication:
      return "authentication";
  }
  return "";
}

std::string bfd_text(uint8_t detail) {
  constexpr const char* kStates[] = {"AdminDown", "Down", "Init", "Up"};
  std::string text = kStates[detail >> 5 & 3];
  switch (static_cast<BfdDiagnostic>(detail & 0x1f)) {
    case BfdDiagnostic::none:
      break;
    case BfdDiagnostic::detection_time_expired:
      return text + ",expired";
    case BfdDiagnostic::neighbor_signaled_down:
      return text + ",signaled";
    case BfdDiagnostic::administratively_down:
      return text + ",administratively";
  }
  return text;
}

BfdKey bfd_key(const redirect::PacketInfo& info, const uint8_t* frame) {
  const bool v6 = info.flow.family == 6;
  const uint8_t* from = frame + info.l3_offset + (v6 ? 8 : 12);
  BfdKey key;
  key.from = v6 ? rserpool::IpAddress::v6(from) : rserpool::IpAddress::v4(from);
  if (info.l4_length >= kUdpHeader + kBfdControl)
    key.your_discriminator = get32(frame + info.l4_offset + kUdpHeader + 8);
  return key;
}

BfdDiscard parse_bfd(const redirect::PacketInfo& info, const uint8_t* frame, BfdControl& control) {
  const bool v6 = info.flow.family == 6;
  const uint8_t* ip = frame + info.l3_offset;
  const uint8_t* udp = frame + info.l4_offset;
  if (ip[v6 ? 7 : 8] != kGtsm) return BfdDiscard::hop_limit;
  const size_t length = get16(udp + 4);  // within the packet: redirect::parse has looked
  if (!checksum_is_right(info, ip + (v6 ? 8 : 12), udp, length)) return BfdDiscard::checksum;
  const uint8_t* p = udp + kUdpHeader;
  const size_t payload = length - kUdpHeader;
  if (payload == 0) return BfdDiscard::length;
  if (p[0] >> 5 != kVersion) return BfdDiscard::version;
  if (payload < kBfdControl) return BfdDiscard::length;
  const uint8_t flags = p[1];
  const size_t least = (flags & kAuthentication) != 0 ? kBfdAuthenticated : kBfdControl;
  if (p[3] < least || p[3] > payload) return BfdDiscard::length;
  if (p[2] == 0) return BfdDiscard::detect_mult;
  if ((flags & kMultipoint) != 0) return BfdDiscard::multipoint;
  control.my_discriminator = get32(p + 4);
  if (control.my_discriminator == 0) return BfdDiscard::my_discriminator;
  control.diagnostic = p[0] & 0x1f;
  control.state = static_cast<BfdState>(flags >> 6);
  control.poll = (flags & kPoll) != 0;
  control.final = (flags & kFinal) != 0;
  control.control_plane_independent = (flags & kIndependent) != 0;
  control.authentication = (flags & kAuthentication) != 0;
  control.demand = (flags & kDemand) != 0;
  control.detect_mult = p[2];
  control.your_discriminator = get32(p + 8);
  control.desired_min_tx_us = get32(p + 12);
  control.required_min_rx_us = get32(p + 16);
  control.required_min_echo_rx_us = get32(p + 20);
  return BfdDiscard::none;
}

size_t build_bfd(uint8_t* frame, const BfdControl& control, const rserpool::IpAddress& source,
                 const rserpool::IpAddress& destination, uint16_t source_port, uint16_t ip_id) {
  const bool v6 = destination.is_v6();
  constexpr size_t kLength = kUdpHeader + kBfdControl;
  std::memset(frame, 0, 12);
  put16(frame + 12, v6 ? kEtherIpv6 : kEtherIpv4);
  const size_t header =
      redirect::put_ip_header(frame + kEtherHeader, {.family = static_cast<uint8_t>(v6 ? 6 : 4),
                                                     .protocol = kUdp,
                                                     .from = source.data(),
                                                     .to = destination.data(),
                                                     .payload = kLength,
                                                     .id = ip_id,
                                                     .dont_fragment = false,
                                                     .hop_limit = kGtsm});
  uint8_t* udp = frame + kEtherHeader + header;
  put16(udp, source_port);
  put16(udp + 2, redirect::kBfdPort);
  put16(udp + 4, kLength);
  put16(udp + 6, 0);
  uint8_t* p = udp + kUdpHeader;
  p[0] = static_cast<uint8_t>(kVersion << 5 | (control.diagnostic & 0x1f));
  p[1] = static_cast<uint8_t>(
      static_cast<uint8_t>(control.state) << 6 | (control.poll ? kPoll : 0) | (control.final ? kFinal : 0) |
      (control.control_plane_independent ? kIndependent : 0) | (control.demand ? kDemand : 0));
  p[2] = control.detect_mult;
  p[3] = kBfdControl;
  put32(p + 4, control.my_discriminator);
  put32(p + 8, control.your_discriminator);
  put32(p + 12, control.desired_min_tx_us);
  put32(p + 16, control.required_min_rx_us);
  put32(p + 20, control.required_min_echo_rx_us);
  const size_t n = v6 ? 16 : 4;
  const uint32_t pseudo = redirect::pseudo_header(source.data(), destination.data(), n, kUdp, kLength);
  const uint16_t sum = redirect::checksum_finish(redirect::checksum_add(udp, kLength, pseudo));
  put_raw16(udp + 6, sum == 0 ? uint16_t{0xffff} : sum);
  return kEtherHeader + header + kLength;
}

}  // namespace poolgate::probe
