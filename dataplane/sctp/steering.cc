// SPDX-License-Identifier: BSD-3-Clause
#include "dataplane/sctp/steering.h"

#include <algorithm>
#include <array>

#include "dataplane/redirect/wire.h"
#include "dataplane/sctp/address_parameters.h"

namespace poolgate::sctp {

using redirect::wire::get16, redirect::wire::get32;
using rserpool::IpAddress;

// RFC 9260 §3.1 (the common header), §8.5.1 (whose tag a packet carries).
Steering::Route Steering::route(std::span<const uint8_t> packet) const {
  constexpr size_t kChunkHeaderSize = 4;
  constexpr uint8_t kReflected = 1;
  constexpr unsigned kTagIndexShift = 28;  // as stack.h's tag_index
  if (stacks_ == 1 || packet.size() < kCommonHeaderSize + kChunkHeaderSize) return {};
  const uint16_t port = get16(packet.data() + 2);
  if (port != ports_.asap && port != ports_.enrp) return {};
  const auto type = static_cast<ChunkType>(packet[kCommonHeaderSize]);
  if (type == ChunkType::init) return {Way::by_peer, 0};
  const bool reflects = type == ChunkType::abort || type == ChunkType::shutdown_complete;
  if (reflects && (packet[kCommonHeaderSize + 1] & kReflected) != 0) return {Way::all_stacks, 0};
  const unsigned index = get32(packet.data() + 4) >> kTagIndexShift;
  return {Way::stack, index < stacks_ ? index : 0};
}

unsigned Steering::by_peer(std::span<const IpAddress> addresses, uint16_t port,
                           const std::function<bool(const IpAddress&)>& is_ours) const {
  const IpAddress* least = nullptr;
  for (const IpAddress& address : addresses)
    if (is_unicast(address) && !is_ours(address) && (least == nullptr || address < *least)) least = &address;
  std::array<uint8_t, 18> bytes{};
  if (least != nullptr) std::copy_n(least->data(), least->size(), bytes.begin());
  bytes[16] = static_cast<uint8_t>(port >> 8);
  bytes[17] = static_cast<uint8_t>(port);
  return static_cast<unsigned>(keyed_hash(key_, bytes.data(), bytes.size()) % stacks_);
}

}  // namespace poolgate::sctp
