// SPDX-License-Identifier: BSD-3-Clause
#include "controlplane/rserpool/wire/writer.h"

#include <algorithm>
#include <cstring>

namespace poolgate::rserpool::wire {

namespace {

constexpr size_t kFirstCapacity = 256;

void store16(char* at, size_t value) {
  at[0] = static_cast<char>(value >> 8);
  at[1] = static_cast<char>(value);
}

}  // namespace

Writer::Writer(std::string& out, size_t limit) : string_(&out), limit_(std::min(limit, kMaxMessageLength)) {
  // What the string held is room already; all its capacity would have to be cleared for nothing.
  if (out.size() < kFirstCapacity) out.resize(kFirstCapacity);
  data_ = out.data();
  capacity_ = out.size();
  end_ = std::min(capacity_, limit_);
}

Writer::Writer(std::span<uint8_t> out)
    : data_(reinterpret_cast<char*>(out.data())),
      capacity_(out.size()),
      limit_(std::min(out.size(), kMaxMessageLength)),
      end_(limit_) {}

char* Writer::claim_more(size_t n) {
  const bool fits = !overflow_ && n <= limit_ && position_ <= limit_ - n;
  if (!fits || string_ == nullptr) {
    overflow_ = true;
    end_ = 0;
    return nullptr;
  }
  if (position_ + n > capacity_) {
    string_->resize(std::min(std::max(capacity_ * 2, position_ + n), kMaxMessageSize));
    data_ = string_->data();
    capacity_ = string_->size();
  }
  end_ = std::min(capacity_, limit_);
  char* at = data_ + position_;
  position_ += n;
  return at;
}

void Writer::align() {
  const size_t padding = (4 - position_ % 4) % 4;
  if (padding == 0) return;
  if (char* at = claim(padding)) std::memset(at, 0, padding);
}

void Writer::u8(uint8_t value) {
  if (char* at = claim(1)) *at = static_cast<char>(value);
}

void Writer::u16(uint16_t value) {
  if (char* at = claim(2)) store16(at, value);
}

void Writer::u32(uint32_t value) {
  if (char* at = claim(4)) {
    store16(at, value >> 16);
    store16(at + 2, value & 0xffff);
  }
}

void Writer::bytes(std::string_view bytes) {
  if (bytes.empty()) return;
  if (char* at = claim(bytes.size())) std::memcpy(at, bytes.data(), bytes.size());
}

void Writer::parameter(std::string_view whole) {
  align();
  bytes(whole);
}

Writer::Mark Writer::begin_tlv(uint16_t type) {
  align();
  const Mark begin{position_};
  u16(type);
  u16(0);
  return begin;
}

void Writer::end_tlv(Mark begin) {
  if (!overflow_) store16(data_ + begin.position + 2, position_ - begin.position);
}

void Writer::begin_message(uint8_t type, uint8_t flags) {
  rewind({0});
  u8(type);
  u8(flags);
  u16(0);
}

void Writer::set_flags(uint8_t flags) {
  if (!overflow_) data_[1] = static_cast<char>(flags);
}

size_t Writer::end_message() {
  size_t total = 0;
  if (!overflow_) {
    store16(data_ + 2, position_);
    const size_t padded = (position_ + 3) / 4 * 4;
    limit_ =
        string_ != nullptr ? kMaxMessageSize : capacity_;  // the limit is one of length; padding comes on top
    align();
    if (!overflow_) total = padded;
  }
  if (string_ != nullptr) string_->resize(total);
  return total;
}

void Writer::rewind(Mark mark) {
  position_ = mark.position;
  end_ = std::min(capacity_, limit_);
  overflow_ = false;
}

}  // namespace poolgate::rserpool::wire
