// SPDX-License-Identifier: BSD-3-Clause
// Writes one message of TLVs (RFC 5354 §3, §4). A TLV's padding is written when something follows it: so no
// length counts the padding of its last TLV, and the message's own comes last.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <string>
#include <string_view>

#include "controlplane/rserpool/wire/code_points.h"

namespace poolgate::rserpool::wire {

class Writer {
 public:
  struct Mark {
    size_t position;
  };

  // Replaces `out`, which must outlive the writer, and grows it up to `limit` bytes of unpadded message.
  explicit Writer(std::string& out, size_t limit = kMaxMessageLength);
  explicit Writer(std::span<uint8_t> out);

  void begin_message(uint8_t type, uint8_t flags);
  void set_flags(uint8_t flags);
  // Writes length and padding; the bytes written, or 0 (and the string empty) if something did not fit.
  [[nodiscard]] size_t end_message();

  Mark begin_tlv(uint16_t type);
  void end_tlv(Mark begin);

  void u8(uint8_t value);
  void u16(uint16_t value);
  void u32(uint32_t value);
  void bytes(std::string_view bytes);
  // One whole parameter, encoded before, without its padding.
  void parameter(std::string_view whole);

  bool overflowed() const { return overflow_; }
  Mark mark() const { return {position_}; }
  // Forgets what was written since `mark`, and an overflow since then.
  void rewind(Mark mark);

 private:
  char* claim(size_t n) {
    if (position_ + n > end_) return claim_more(n);
    char* at = data_ + position_;
    position_ += n;
    return at;
  }
  char* claim_more(size_t n);
  void align();

  std::string* string_ = nullptr;
  char* data_ = nullptr;
  size_t capacity_ = 0;
  size_t limit_ = 0;
  size_t position_ = 0;
  size_t end_ = 0;  // up to here claim() needs no further check: 0 after an overflow
  bool overflow_ = false;
};

}  // namespace poolgate::rserpool::wire
