// SPDX-License-Identifier: BSD-3-Clause
// Numbers of RFC 5352 §8, 5353 §5, 5354 §3-4 and of RSPLIB's extensions.
#pragma once

#include <cstddef>
#include <cstdint>

namespace poolgate::rserpool::wire {

inline constexpr uint32_t kAsapPpid = 11;
inline constexpr uint32_t kEnrpPpid = 12;
inline constexpr uint16_t kAsapPort = 3863;
inline constexpr uint16_t kEnrpPort = 9901;

// The length field has 16 bits and leaves the final padding out, which may add one byte.
inline constexpr size_t kMaxMessageLength = 65535;
inline constexpr size_t kMaxMessageSize = 65536;
// Of one SCTP transport; RSPLIB has the same limit.
inline constexpr size_t kMaxTransportAddresses = 64;
// Unknown parameters that one message gets reported.
inline constexpr size_t kMaxUnrecognized = 64;

// Parameter types, RFC 5354 §3.
namespace param {
inline constexpr uint16_t kIpv4Address = 0x0001;
inline constexpr uint16_t kIpv6Address = 0x0002;
inline constexpr uint16_t kDccpTransport = 0x0003;
inline constexpr uint16_t kSctpTransport = 0x0004;
inline constexpr uint16_t kTcpTransport = 0x0005;
inline constexpr uint16_t kUdpTransport = 0x0006;
inline constexpr uint16_t kUdpLiteTransport = 0x0007;
inline constexpr uint16_t kMemberSelectionPolicy = 0x0008;
inline constexpr uint16_t kPoolHandle = 0x0009;
inline constexpr uint16_t kPoolElement = 0x000a;
inline constexpr uint16_t kServerInformation = 0x000b;
inline constexpr uint16_t kOperationError = 0x000c;
inline constexpr uint16_t kCookie = 0x000d;
inline constexpr uint16_t kPeIdentifier = 0x000e;
inline constexpr uint16_t kPeChecksum = 0x000f;
inline constexpr uint16_t kOpaqueTransport = 0x0010;
// draft-dreibholz-rserpool-asap-hropt.
inline constexpr uint16_t kHandleResolutionOption = 0x803f;
// The PE Identifier of a keep-alive as a receiver that does not know it may skip it.
inline constexpr uint16_t kPeIdentifierSkippable = 0x800e;

// Whether RFC 5354 defines the type; all else follows the type's two top bits.
constexpr bool is_known(uint16_t type) { return type >= kIpv4Address && type <= kOpaqueTransport; }
constexpr bool is_transport(uint16_t type) {
  return (type >= kDccpTransport && type <= kUdpLiteTransport) || type == kOpaqueTransport;
}
const char* name(uint16_t type);
}  // namespace param

}  // namespace poolgate::rserpool::wire
