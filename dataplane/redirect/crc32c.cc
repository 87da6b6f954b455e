// SPDX-License-Identifier: BSD-3-Clause
#include "dataplane/redirect/crc32c.h"

#include <immintrin.h>

#include <array>
#include <cstring>

namespace poolgate::redirect {
namespace {

// Bits are reflected: bit 31 - k of a word stands for x^k.
constexpr uint32_t kPolynomial = 0x82f63b78;

// times x^8, modulo the polynomial: one byte of zeros more.
constexpr uint32_t shift_byte(uint32_t v) {
  for (int i = 0; i < 8; ++i) v = (v >> 1) ^ ((v & 1) != 0 ? kPolynomial : 0);
  return v;
}

// A carry-less product of two reflected words, fed to the CRC instruction as eight bytes, comes out as a * b
// * x^33: so the table holds x^(8n - 33) for n bytes of zeros. n < 5 does not occur: a packet has 8 bytes
// behind its ports.
constexpr size_t kFirst = 5;
constexpr size_t kTable = 9216;

std::array<uint32_t, kTable> make_table() {
  std::array<uint32_t, kTable> table{};
  uint32_t power = 1u << 24;  // x^7
  for (size_t n = kFirst; n < kTable; ++n) {
    table[n] = power;
    power = shift_byte(power);
  }
  return table;
}
const std::array<uint32_t, kTable> kPowers = make_table();

uint32_t multiply(uint32_t a, uint32_t power) {
#ifdef __PCLMUL__
  const __m128i product = _mm_clmulepi64_si128(_mm_cvtsi32_si128(static_cast<int>(a)),
                                               _mm_cvtsi32_si128(static_cast<int>(power)), 0);
  return static_cast<uint32_t>(_mm_crc32_u64(0, static_cast<uint64_t>(_mm_cvtsi128_si64(product))));
#else
  uint64_t product = 0;
  for (int i = 0; i < 32; ++i) product ^= (a >> i & 1) != 0 ? uint64_t{power} << i : 0;
  return static_cast<uint32_t>(_mm_crc32_u64(0, product));
#endif
}

uint32_t run(uint32_t crc, const uint8_t* p, size_t n) {
  uint64_t c = crc;
  for (; n >= 8; p += 8, n -= 8) {
    uint64_t word;
    std::memcpy(&word, p, 8);
    c = _mm_crc32_u64(c, word);
  }
  auto c32 = static_cast<uint32_t>(c);
  for (; n > 0; ++p, --n) c32 = _mm_crc32_u8(c32, *p);
  return c32;
}

}  // namespace

uint32_t sctp_checksum(const uint8_t* packet, size_t length) {
  uint32_t crc = run(0xffffffff, packet, 8);
  crc = _mm_crc32_u32(crc, 0);
  return ~run(crc, packet + 12, length - 12);
}

uint32_t sctp_checksum_ports(uint32_t checksum, uint32_t from, uint32_t to, size_t length) {
  const size_t zeros = length - 4;
  uint32_t difference = _mm_crc32_u32(0, from ^ to);
  if (zeros < kTable) return checksum ^ multiply(difference, kPowers[zeros]);
  difference = multiply(difference, kPowers[kTable - 1]);
  for (size_t n = kTable - 1; n < zeros; ++n) difference = _mm_crc32_u8(difference, 0);
  return checksum ^ difference;
}

}  // namespace poolgate::redirect
