// SPDX-License-Identifier: BSD-3-Clause
// Reads the TLVs of a message or of a parameter in order (RFC 5354 §3): bounds-checked views, no copies.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string_view>

namespace poolgate::rserpool::wire {

inline uint16_t load16(const char* at) {
  return static_cast<uint16_t>(static_cast<uint8_t>(at[0]) << 8 | static_cast<uint8_t>(at[1]));
}
inline uint32_t load32(const char* at) { return static_cast<uint32_t>(load16(at)) << 16 | load16(at + 2); }

struct Tlv {
  uint16_t type = 0;
  size_t offset = 0;       // from the start of the message
  std::string_view bytes;  // header and value, without padding
  std::string_view value() const { return bytes.substr(4); }
};

class TlvReader {
 public:
  enum class Step : uint8_t { tlv, end, malformed };

  // `container` starts `offset` bytes, a multiple of 4, into the message.
  TlvReader(std::string_view container, size_t offset) : rest_(container), offset_(offset) {}

  // On `malformed` only type (if there) and offset of `tlv` are set. The padding of the last TLV may be
  // missing: the RFC does not count it in the container's length, RSPLIB does (conformance §12.6). Its
  // content is ignored.
  Step next(Tlv& tlv) {
    if (rest_.empty()) return Step::end;
    tlv = Tlv{0, offset_, {}};
    if (rest_.size() < 4) return Step::malformed;
    tlv.type = load16(rest_.data());
    const size_t length = load16(rest_.data() + 2);
    if (length < 4 || length > rest_.size()) return Step::malformed;
    tlv.bytes = rest_.substr(0, length);
    const size_t padded = (length + 3) / 4 * 4;
    const size_t advance = padded < rest_.size() ? padded : rest_.size();
    rest_.remove_prefix(advance);
    offset_ += advance;
    return Step::tlv;
  }

 private:
  std::string_view rest_;
  size_t offset_;
};

}  // namespace poolgate::rserpool::wire
