// SPDX-License-Identifier: BSD-3-Clause
#include "dataplane/sctp/crc32c.h"

#include <array>
#include <bit>
#include <cstring>

#if defined(__x86_64__)
#include <nmmintrin.h>
#endif

namespace poolgate::sctp {
namespace {

constexpr uint32_t kPolynomial = 0x82f63b78;  // 0x1edc6f41, reflected
constexpr size_t kHeaderSize = 12;
constexpr size_t kChecksumOffset = 8;

constexpr std::array<uint32_t, 256> make_table() {
  std::array<uint32_t, 256> table{};
  for (uint32_t i = 0; i < table.size(); ++i) {
    uint32_t crc = i;
    for (int bit = 0; bit < 8; ++bit) crc = (crc >> 1) ^ ((crc & 1) != 0 ? kPolynomial : 0);
    table[i] = crc;
  }
  return table;
}
constexpr auto kTable = make_table();

uint32_t update_by_table(uint32_t crc, const uint8_t* data, size_t length) {
  for (size_t i = 0; i < length; ++i) crc = (crc >> 8) ^ kTable[(crc ^ data[i]) & 0xff];
  return crc;
}

#if defined(__x86_64__)
__attribute__((target("sse4.2"))) uint32_t update_by_instruction(uint32_t crc, const uint8_t* data,
                                                                 size_t length) {
  uint64_t wide = crc;
  for (; length >= sizeof(uint64_t); length -= sizeof(uint64_t), data += sizeof(uint64_t)) {
    uint64_t word;
    std::memcpy(&word, data, sizeof(word));
    wide = _mm_crc32_u64(wide, word);
  }
  auto narrow = static_cast<uint32_t>(wide);
  for (; length > 0; --length, ++data) narrow = _mm_crc32_u8(narrow, *data);
  return narrow;
}
const bool kHasInstruction = __builtin_cpu_supports("sse4.2") != 0;
#endif

uint32_t update(uint32_t crc, const uint8_t* data, size_t length) {
#if defined(__x86_64__)
  if (kHasInstruction) return update_by_instruction(crc, data, length);
#endif
  return update_by_table(crc, data, length);
}

}  // namespace

uint32_t crc32c(const uint8_t* data, size_t length) { return ~update(~0U, data, length); }
uint32_t crc32c_by_table(const uint8_t* data, size_t length) { return ~update_by_table(~0U, data, length); }

uint32_t packet_checksum(const uint8_t* packet, size_t length) {
  static_assert(std::endian::native == std::endian::little, "the checksum is written as the CPU holds it");
  std::array<uint8_t, kHeaderSize> header{};
  std::memcpy(header.data(), packet, kChecksumOffset);
  uint32_t crc = update(~0U, header.data(), header.size());
  return ~update(crc, packet + kHeaderSize, length - kHeaderSize);
}

}  // namespace poolgate::sctp
