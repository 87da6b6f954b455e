// SPDX-License-Identifier: BSD-3-Clause
#include "dataplane/capture/pcapng.h"

#include <cstring>

namespace poolgate::capture {
namespace {

constexpr uint32_t kSectionHeader = 0x0a0d0d0a, kInterface = 1, kStatistics = 5, kEnhancedPacket = 6;
constexpr uint32_t kByteOrderMagic = 0x1a2b3c4d;
constexpr uint16_t kEthernet = 1;                // LINKTYPE_ETHERNET
constexpr uint16_t kUserApplication = 4;         // shb_userappl
constexpr uint16_t kName = 2, kResolution = 9;   // if_name, if_tsresol
constexpr uint16_t kFlags = 2;                   // epb_flags
constexpr uint16_t kReceived = 4, kDropped = 5;  // isb_ifrecv, isb_ifdrop
constexpr uint8_t kNanoseconds = 9;              // of if_tsresol: 10^-9 s
constexpr uint32_t kInbound = 1, kOutbound = 2;  // the low bits of epb_flags

// A block in this machine's byte order, which its magic tells; its length stands at both ends.
class Block {
 public:
  Block(Bytes& to, uint32_t type) : to_(to), begin_(to.size()) {
    add(type);
    add(uint32_t{0});
  }
  ~Block() {
    const auto length = static_cast<uint32_t>(to_.size() - begin_ + sizeof(uint32_t));
    std::memcpy(to_.data() + begin_ + sizeof(uint32_t), &length, sizeof length);
    add(length);
  }
  Block(const Block&) = delete;
  Block& operator=(const Block&) = delete;

  template <class T>
  void add(T value) {
    add(&value, sizeof value);
  }
  // Padded to four bytes.
  void add_padded(const void* bytes, size_t n) {
    add(bytes, n);
    to_.resize((to_.size() - begin_ + 3) / 4 * 4 + begin_);
  }
  void option(uint16_t code, const void* value, size_t n) {
    add(code);
    add(static_cast<uint16_t>(n));
    add_padded(value, n);
  }
  void end_of_options() { add(uint32_t{0}); }
  void time(uint64_t ns) {
    add(static_cast<uint32_t>(ns >> 32));
    add(static_cast<uint32_t>(ns));
  }

 private:
  void add(const void* bytes, size_t n) {
    const auto* from = static_cast<const uint8_t*>(bytes);
    to_.insert(to_.end(), from, from + n);
  }

  Bytes& to_;
  const size_t begin_;
};

}  // namespace

void append_header(Bytes& to, std::string_view interface, uint32_t snap) {
  constexpr std::string_view kUs = "poolgate";
  {
    Block section(to, kSectionHeader);
    section.add(kByteOrderMagic);
    section.add(uint16_t{1});   // major version
    section.add(uint16_t{0});   // minor version
    section.add(~uint64_t{0});  // the section's length is not said
    section.option(kUserApplication, kUs.data(), kUs.size());
    section.end_of_options();
  }
  Block description(to, kInterface);
  description.add(kEthernet);
  description.add(uint16_t{0});
  description.add(snap);
  description.option(kName, interface.data(), interface.size());
  description.option(kResolution, &kNanoseconds, sizeof kNanoseconds);
  description.end_of_options();
}

void append_frame(Bytes& to, const PortTap::Frame& frame, uint64_t ns) {
  Block block(to, kEnhancedPacket);
  block.add(uint32_t{0});  // the interface
  block.time(ns);
  block.add(frame.header.captured);
  block.add(frame.header.length);
  block.add_padded(frame.bytes, frame.header.captured);
  const uint32_t flags = frame.direction == Direction::received ? kInbound : kOutbound;
  block.option(kFlags, &flags, sizeof flags);
  block.end_of_options();
}

void append_statistics(Bytes& to, uint64_t ns, uint64_t kept, uint64_t dropped) {
  const uint64_t seen = kept + dropped;
  Block block(to, kStatistics);
  block.add(uint32_t{0});
  block.time(ns);
  block.option(kReceived, &seen, sizeof seen);
  block.option(kDropped, &dropped, sizeof dropped);
  block.end_of_options();
}

}  // namespace poolgate::capture
