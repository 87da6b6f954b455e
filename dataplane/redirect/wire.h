// SPDX-License-Identifier: BSD-3-Clause
// Reading and writing integers in packets: no alignment asked of the bytes, nothing but a load in the machine
// code.
#pragma once

#include <bit>
#include <cstdint>
#include <cstring>

namespace poolgate::redirect::wire {

static_assert(std::endian::native == std::endian::little, "network order below swaps bytes");

// As they stand: network order in, network order out.
inline uint16_t raw16(const uint8_t* p) {
  uint16_t v;
  std::memcpy(&v, p, 2);
  return v;
}
inline uint32_t raw32(const uint8_t* p) {
  uint32_t v;
  std::memcpy(&v, p, 4);
  return v;
}
inline uint64_t raw64(const uint8_t* p) {
  uint64_t v;
  std::memcpy(&v, p, 8);
  return v;
}
inline void put_raw16(uint8_t* p, uint16_t v) { std::memcpy(p, &v, 2); }
inline void put_raw32(uint8_t* p, uint32_t v) { std::memcpy(p, &v, 4); }

constexpr uint16_t swap16(uint16_t v) { return __builtin_bswap16(v); }
constexpr uint32_t swap32(uint32_t v) { return __builtin_bswap32(v); }

// Host order.
inline uint16_t get16(const uint8_t* p) { return swap16(raw16(p)); }
inline uint32_t get32(const uint8_t* p) { return swap32(raw32(p)); }
inline void put16(uint8_t* p, uint16_t v) { put_raw16(p, swap16(v)); }
inline void put32(uint8_t* p, uint32_t v) { put_raw32(p, swap32(v)); }

inline constexpr uint8_t kIcmp = 1, kTcp = 6, kUdp = 17, kIcmp6 = 58, kSctp = 132;
inline constexpr uint16_t kEtherIpv4 = 0x0800, kEtherIpv6 = 0x86dd, kEtherVlan = 0x8100, kEtherQinq = 0x88a8;
inline constexpr size_t kEtherHeader = 14, kVlanTag = 4, kIpv4Header = 20, kIpv6Header = 40, kUdpHeader = 8,
                        kTcpHeader = 20, kSctpHeader = 12;

}  // namespace poolgate::redirect::wire
