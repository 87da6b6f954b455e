// SPDX-License-Identifier: BSD-3-Clause
// Messages and parameters as test cases write them down: in hexadecimal, or put together with any mistake.
#pragma once

#include <cctype>
#include <cstdint>
#include <stdexcept>
#include <string>
#include <string_view>

namespace poolgate::test {

// "05 00 | 0018": everything but hexadecimal digits is for the reader.
inline std::string hex(std::string_view text) {
  std::string bytes;
  int high = -1;
  for (const char c : text) {
    if (std::isxdigit(static_cast<unsigned char>(c)) == 0) continue;
    const int digit = c <= '9' ? c - '0' : (c | 0x20) - 'a' + 10;
    if (high < 0) {
      high = digit;
    } else {
      bytes += static_cast<char>(high << 4 | digit);
      high = -1;
    }
  }
  if (high >= 0) throw std::invalid_argument("odd number of digits");
  return bytes;
}

inline std::string to_hex(std::string_view bytes) {
  static constexpr char kDigits[] = "0123456789abcdef";
  std::string text;
  for (size_t i = 0; i < bytes.size(); ++i) {
    if (i != 0 && i % 4 == 0) text += ' ';
    text += kDigits[static_cast<uint8_t>(bytes[i]) >> 4];
    text += kDigits[static_cast<uint8_t>(bytes[i]) & 15];
  }
  return text;
}

inline std::string be16(size_t value) { return {static_cast<char>(value >> 8), static_cast<char>(value)}; }
inline std::string be32(uint32_t value) { return be16(value >> 16) + be16(value & 0xffff); }

// A TLV without padding.
inline std::string bare_tlv(uint16_t type, std::string_view value) {
  return be16(type) + be16(4 + value.size()) + std::string(value);
}
inline std::string padded(std::string bytes, char padding = 0) {
  bytes.resize((bytes.size() + 3) / 4 * 4, padding);
  return bytes;
}
inline std::string tlv(uint16_t type, std::string_view value) { return padded(bare_tlv(type, value)); }

// A message whose length counts all of `body`.
inline std::string message(uint8_t type, uint8_t flags, std::string_view body) {
  return std::string{static_cast<char>(type), static_cast<char>(flags)} + be16(4 + body.size()) +
         std::string(body);
}

// 10.0.0.1 in an IPv4 Address parameter.
inline std::string address_tlv() { return hex("0001 0008 0a000001"); }
inline std::string sctp_tlv(uint16_t use = 0) { return tlv(0x0004, be16(7) + be16(use) + address_tlv()); }
inline std::string tcp_tlv() { return tlv(0x0005, be16(7) + be16(0) + address_tlv()); }
inline std::string rr_tlv() { return hex("0008 0008 00000001"); }
inline std::string handle_tlv(std::string_view handle = "EchoPool") { return tlv(0x0009, handle); }
inline std::string pe_fields(uint32_t id = 0x11223344) { return be32(id) + be32(0) + be32(300); }
inline std::string pe_tlv(std::string_view parameters) {
  return tlv(0x000a, pe_fields() + std::string(parameters));
}
inline std::string pe_tlv() { return pe_tlv(sctp_tlv() + rr_tlv()); }

}  // namespace poolgate::test
