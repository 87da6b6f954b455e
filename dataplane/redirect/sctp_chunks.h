// SPDX-License-Identifier: BSD-3-Clause
// Chunks and parameters of an SCTP packet, bounds-checked (RFC 9260 §3.2, §3.3).
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <cstring>

#include "dataplane/redirect/wire.h"

namespace poolgate::redirect::sctp {

// RFC 9260 §3.2, RFC 8260, RFC 5061, RFC 4895.
enum Chunk : uint8_t {
  kData = 0,
  kInit = 1,
  kInitAck = 2,
  kSack = 3,
  kHeartbeat = 4,
  kHeartbeatAck = 5,
  kAbort = 6,
  kShutdown = 7,
  kShutdownAck = 8,
  kError = 9,
  kCookieEcho = 10,
  kCookieAck = 11,
  kShutdownComplete = 14,
  kAuth = 15,
  kIData = 64,
  kAsconfAck = 0x80,
  kAsconf = 0xc1,
};
inline constexpr uint8_t kFlagT = 1;

// RFC 9260 §3.3.2.1, RFC 5061 §4.2.4, §4.2.7.
enum Parameter : uint16_t {
  kIpv4Address = 5,
  kIpv6Address = 6,
  kZeroChecksumAcceptable = 0x8001,
  kSupportedExtensions = 0x8008,
  kSetPrimary = 0xc004
};

// RFC 9260 §3.3.10.3, §3.3.10.5, §3.3.10.11.
enum Cause : uint16_t { kStaleCookie = 3, kUnresolvableAddress = 5, kRestartWithNewAddresses = 11 };

inline uint32_t verification_tag(const uint8_t* packet) { return wire::raw32(packet + 4); }

// The packet is DATA, after which nothing else comes (RFC 9260 §6.10), or a SACK alone: what an established
// association sends nearly always, and what changes nothing of it. `length`: of the packet; 16 bytes can be
// read.
inline bool changes_nothing(const uint8_t* packet, size_t length) {
  const uint8_t type = packet[12];
  if (type == kData || type == kIData) return true;
  return type == kSack && wire::kSctpHeader + ((wire::get16(packet + 14) + 3u) & ~3u) >= length;
}

struct ChunkView {
  uint8_t type = 0;
  uint8_t flags = 0;
  uint16_t length = 0;  // header included, padding not
  const uint8_t* at = nullptr;
};

// An ERROR with the "Stale Cookie" cause (RFC 9260 §3.3.10).
inline bool has_stale_cookie(const ChunkView& error) {
  for (size_t at = 4; at + 4 <= error.length;) {
    const size_t n = wire::get16(error.at + at + 2);
    if (n < 4 || at + n > error.length) return false;
    if (wire::get16(error.at + at) == kStaleCookie) return true;
    at += (n + 3) & ~size_t{3};
  }
  return false;
}

// Walks the chunks of a packet; stops at the first that does not fit, and bad() says so. `cut`: it is a first
// fragment, whose last chunk goes on elsewhere: as much of that as is here.
class Chunks {
 public:
  Chunks(const uint8_t* packet, size_t length, bool cut = false)
      : at_(packet + wire::kSctpHeader), end_(packet + length), cut_(cut) {}

  bool next(ChunkView& chunk) {
    if (bad_ || end_ - at_ < 4) {
      bad_ = bad_ || end_ != at_;
      return false;
    }
    chunk = {at_[0], at_[1], wire::get16(at_ + 2), at_};
    if (cut_ && chunk.length > end_ - at_) chunk.length = static_cast<uint16_t>(end_ - at_);
    if (chunk.length < 4 || chunk.length > end_ - at_) {
      bad_ = true;
      return false;
    }
    const ptrdiff_t padded = (chunk.length + 3) & ~3;
    at_ += padded < end_ - at_ ? padded : end_ - at_;
    return true;
  }
  bool bad() const { return bad_; }
  bool last() const { return at_ == end_; }

 private:
  const uint8_t* at_;
  const uint8_t* end_;
  bool cut_;
  bool bad_ = false;
};

// What we need of INIT and INIT ACK (RFC 9260 §3.3.2, §3.3.3).
struct InitView {
  static constexpr size_t kMaxAddresses = 8;
  struct Address {
    uint8_t family = 0;  // 4 or 6
    const uint8_t* bytes = nullptr;
  };
  uint32_t tag = 0;                              // as on the wire
  std::array<Address, kMaxAddresses> addresses;  // the first of them
  size_t n = 0;

  bool lists(uint8_t family, const uint8_t* address) const {
    for (size_t a = 0; a < n; ++a) {
      if (addresses[a].family == family &&
          std::memcmp(addresses[a].bytes, address, family == 6 ? 16 : 4) == 0)
        return true;
    }
    return false;
  }
};

// False: malformed. `chunk` is an INIT or INIT ACK.
inline bool parse_init(const ChunkView& chunk, InitView& init) {
  constexpr size_t kFixed = 20;
  if (chunk.length < kFixed) return false;
  init.tag = wire::raw32(chunk.at + 4);
  if (init.tag == 0) return false;
  for (size_t at = kFixed; at + 4 <= chunk.length;) {
    const uint16_t type = wire::get16(chunk.at + at), length = wire::get16(chunk.at + at + 2);
    if (length < 4 || at + length > chunk.length) return false;
    const bool v4 = type == kIpv4Address && length == 8, v6 = type == kIpv6Address && length == 20;
    if ((v4 || v6) && init.n < InitView::kMaxAddresses)
      init.addresses[init.n++] = {static_cast<uint8_t>(v4 ? 4 : 6), chunk.at + at + 4};
    at += (length + 3u) & ~3u;
  }
  return true;
}

}  // namespace poolgate::redirect::sctp
