// SPDX-License-Identifier: BSD-3-Clause
#include "dataplane/sctp/address_parameters.h"

#include <algorithm>

#include "dataplane/redirect/wire.h"

namespace poolgate::sctp {
namespace {

using redirect::wire::get16;

constexpr size_t kChunkHeaderSize = 4;
constexpr size_t kInitFixedSize = 20;  // chunk header, tag, window, streams out and in, TSN: RFC 9260 §3.3.2
constexpr size_t kParameterHeaderSize = 4;
constexpr uint16_t kIpv4Address = 5;
constexpr uint16_t kIpv6Address = 6;

void put16(uint8_t* p, size_t value) { redirect::wire::put16(p, static_cast<uint16_t>(value)); }
constexpr size_t padded(size_t n) { return (n + 3) & ~size_t{3}; }

}  // namespace

void append_address(std::vector<uint8_t>& bytes, const IpAddress& address) {
  const size_t at = bytes.size();
  bytes.resize(at + kParameterHeaderSize);
  put16(&bytes[at], address.is_v4() ? kIpv4Address : kIpv6Address);
  put16(&bytes[at + 2], kParameterHeaderSize + address.size());
  bytes.insert(bytes.end(), address.data(), address.data() + address.size());
}

void append_addresses(std::vector<uint8_t>& packet, std::span<const IpAddress> addresses) {
  if (packet.size() < kCommonHeaderSize + kInitFixedSize) return;
  // The padding before the first parameter of ours becomes part of the chunk's length.
  packet.resize(padded(packet.size()));
  for (const IpAddress& address : addresses) append_address(packet, address);
  put16(&packet[kCommonHeaderSize + 2], packet.size() - kCommonHeaderSize);
}

std::vector<IpAddress> read_addresses(std::span<const uint8_t> chunk) {
  std::vector<IpAddress> found;
  if (chunk.size() < kChunkHeaderSize) return found;
  const size_t end = std::min<size_t>(get16(&chunk[2]), chunk.size());
  for (size_t at = kInitFixedSize; at + kParameterHeaderSize <= end && found.size() < kMaxPeerAddresses;) {
    const uint16_t type = get16(&chunk[at]);
    const size_t length = get16(&chunk[at + 2]);
    if (length < kParameterHeaderSize || at + length > end) break;
    IpAddress address;
    const uint8_t* value = &chunk[at] + kParameterHeaderSize;
    if (type == kIpv4Address && length == kParameterHeaderSize + 4) address = IpAddress::v4(value);
    if (type == kIpv6Address && length == kParameterHeaderSize + 16) address = IpAddress::v6(value);
    if (address.is_set() && std::find(found.begin(), found.end(), address) == found.end())
      found.push_back(address);
    at += padded(length);
  }
  return found;
}

bool is_unicast(const IpAddress& address) {
  const uint8_t* b = address.data();
  if (address.is_v4()) {
    constexpr uint8_t kThisNet = 0, kLoopback = 127, kFirstMulticast = 224;  // and 240/4 beyond
    return b[0] != kThisNet && b[0] != kLoopback && b[0] < kFirstMulticast && !(b[0] == 169 && b[1] == 254);
  }
  if (!address.is_v6()) return false;
  const bool low =
      std::all_of(b, b + 12, [](uint8_t byte) { return byte == 0; });  // ::, ::1, compatible with IPv4
  const bool mapped = std::all_of(b, b + 10, [](uint8_t byte) { return byte == 0; }) && b[10] == 0xff;
  const bool link_local = b[0] == 0xfe && (b[1] & 0xc0) == 0x80;
  return !low && !mapped && !link_local && b[0] != 0xff;
}

}  // namespace poolgate::sctp
