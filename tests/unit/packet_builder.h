// SPDX-License-Identifier: BSD-3-Clause
// Frames by hand, and their checksums by the plainest code there is: so that a mistake of ours is not made
// twice.
#pragma once

#include <cstdint>
#include <cstring>
#include <string>
#include <vector>

#include "controlplane/rserpool/ip_address.h"

namespace poolgate::test {

using Bytes = std::vector<uint8_t>;
using rserpool::IpAddress;

inline IpAddress ip(const char* text) { return *IpAddress::parse(text); }

inline void add16(Bytes& b, unsigned v) {
  b.push_back(static_cast<uint8_t>(v >> 8));
  b.push_back(static_cast<uint8_t>(v));
}
inline void add32(Bytes& b, uint32_t v) {
  add16(b, v >> 16);
  add16(b, v & 0xffff);
}
inline void add(Bytes& b, const Bytes& more) { b.insert(b.end(), more.begin(), more.end()); }
inline void add(Bytes& b, const IpAddress& a) { b.insert(b.end(), a.data(), a.data() + a.size()); }
inline unsigned get16(const Bytes& b, size_t at) {
  return static_cast<unsigned>(b.at(at) << 8 | b.at(at + 1));
}
inline uint32_t get32(const Bytes& b, size_t at) { return get16(b, at) << 16 | get16(b, at + 2); }
inline void set16(Bytes& b, size_t at, unsigned v) {
  b.at(at) = static_cast<uint8_t>(v >> 8);
  b.at(at + 1) = static_cast<uint8_t>(v);
}
inline Bytes slice(const Bytes& b, size_t from, size_t n) {
  return {b.begin() + static_cast<ptrdiff_t>(from), b.begin() + static_cast<ptrdiff_t>(from + n)};
}

inline unsigned internet_checksum(const Bytes& b) {
  uint64_t sum = 0;
  for (size_t i = 0; i < b.size(); ++i) sum += static_cast<uint64_t>(b[i]) << (i % 2 == 0 ? 8 : 0);
  while (sum >> 16 != 0) sum = (sum & 0xffff) + (sum >> 16);
  return static_cast<unsigned>(~sum & 0xffff);
}

// RFC 9260 appendix A, bit by bit. The result as it stands on the wire, read as a big-endian integer.
inline uint32_t crc32c(const Bytes& b) {
  uint32_t crc = 0xffffffff;
  for (const uint8_t byte : b) {
    crc ^= byte;
    for (int i = 0; i < 8; ++i) crc = (crc >> 1) ^ ((crc & 1) != 0 ? 0x82f63b78u : 0u);
  }
  return __builtin_bswap32(~crc);
}

inline constexpr uint8_t kClientMac[6] = {2, 0, 0, 0, 0, 0xc1};
inline constexpr uint8_t kOurMac[6] = {2, 0, 0, 0, 0, 0x01};

struct Flow {
  IpAddress from, to;
  uint16_t from_port = 0, to_port = 0;
  int vlan = -1;
};

inline Bytes ethernet(unsigned type, int vlan = -1) {
  Bytes b(kOurMac, kOurMac + 6);
  b.insert(b.end(), kClientMac, kClientMac + 6);
  if (vlan >= 0) {
    add16(b, 0x8100);
    add16(b, static_cast<unsigned>(vlan));
  }
  add16(b, type);
  return b;
}

// Ethernet and IP around a transport packet.
inline Bytes ip_frame(const Flow& f, uint8_t protocol, const Bytes& payload, uint8_t ttl = 64) {
  if (f.from.is_v6()) {
    Bytes b = ethernet(0x86dd, f.vlan);
    add32(b, 6u << 28);
    add16(b, static_cast<unsigned>(payload.size()));
    b.push_back(protocol);
    b.push_back(ttl);
    add(b, f.from);
    add(b, f.to);
    add(b, payload);
    return b;
  }
  Bytes h;
  add16(h, 0x4500);
  add16(h, static_cast<unsigned>(20 + payload.size()));
  add32(h, 0x00004000);
  h.push_back(ttl);
  h.push_back(protocol);
  add16(h, 0);
  add(h, f.from);
  add(h, f.to);
  set16(h, 10, internet_checksum(h));
  Bytes b = ethernet(0x0800, f.vlan);
  add(b, h);
  add(b, payload);
  return b;
}

inline unsigned transport_checksum(const IpAddress& from, const IpAddress& to, uint8_t protocol,
                                   const Bytes& packet) {
  Bytes all;
  add(all, from);
  add(all, to);
  add32(all, static_cast<uint32_t>(packet.size()));
  add32(all, protocol);
  add(all, packet);
  return internet_checksum(all);
}

inline Bytes udp(const Flow& f, const std::string& payload, bool checksum = true) {
  Bytes p;
  add16(p, f.from_port);
  add16(p, f.to_port);
  add16(p, static_cast<unsigned>(8 + payload.size()));
  add16(p, 0);
  p.insert(p.end(), payload.begin(), payload.end());
  if (checksum) set16(p, 6, transport_checksum(f.from, f.to, 17, p));
  return ip_frame(f, 17, p);
}

inline constexpr uint8_t kFin = 1, kSyn = 2, kRst = 4, kAck = 16;

inline Bytes tcp(const Flow& f, uint8_t flags, uint32_t sequence, uint32_t acknowledgement,
                 const std::string& payload = "") {
  Bytes p;
  add16(p, f.from_port);
  add16(p, f.to_port);
  add32(p, sequence);
  add32(p, acknowledgement);
  add16(p, 0x5000u | flags);
  add16(p, 8192);
  add32(p, 0);
  p.insert(p.end(), payload.begin(), payload.end());
  set16(p, 16, transport_checksum(f.from, f.to, 6, p));
  return ip_frame(f, 6, p);
}

inline Bytes chunk(uint8_t type, uint8_t flags, const Bytes& value) {
  Bytes c{type, flags};
  add16(c, static_cast<unsigned>(4 + value.size()));
  add(c, value);
  while (c.size() % 4 != 0) c.push_back(0);
  return c;
}

// RFC 9260 §3.3.2: the fixed part, then parameters as given.
inline Bytes init_chunk(uint32_t tag, const Bytes& parameters = {}, uint8_t type = 1) {
  Bytes v;
  add32(v, tag);
  add32(v, 65536);
  add16(v, 10);
  add16(v, 10);
  add32(v, 1000);
  add(v, parameters);
  return chunk(type, 0, v);
}
inline Bytes parameter(unsigned type, const Bytes& value) {
  Bytes p;
  add16(p, type);
  add16(p, static_cast<unsigned>(4 + value.size()));
  add(p, value);
  while (p.size() % 4 != 0) p.push_back(0);
  return p;
}
inline Bytes address_parameter(const IpAddress& a) {
  return parameter(a.is_v6() ? 6 : 5, Bytes(a.data(), a.data() + a.size()));
}
inline Bytes data_chunk(const std::string& payload = "diameter") {
  Bytes v;
  add32(v, 1000);
  add32(v, 0);
  add32(v, 46);
  v.insert(v.end(), payload.begin(), payload.end());
  return chunk(0, 3, v);
}
inline Bytes cookie_echo() { return chunk(10, 0, Bytes(16, 0x5a)); }

inline Bytes sctp(const Flow& f, uint32_t tag, const Bytes& chunks) {
  Bytes p;
  add16(p, f.from_port);
  add16(p, f.to_port);
  add32(p, tag);
  add32(p, 0);
  add(p, chunks);
  const uint32_t crc = crc32c(p);
  for (int i = 0; i < 4; ++i) p[8 + static_cast<size_t>(i)] = static_cast<uint8_t>(crc >> (24 - 8 * i));
  return ip_frame(f, 132, p);
}

// A header of 8 * (1 + n) bytes in front of the transport's (RFC 8200 §4): options are padding, a fragment
// header has `what` for its offset and M bit, a routing header for its type and segments left.
struct Extension {
  uint8_t type;
  uint8_t n = 0;
  unsigned what = 0;
};
inline constexpr uint8_t kHopByHop = 0, kRouting = 43, kFragment = 44, kDestinationOptions = 60;

// An untagged IPv6 frame with these; no checksum covers them.
inline Bytes with_extensions(const Bytes& frame, const std::vector<Extension>& list) {
  Bytes headers;
  for (size_t i = 0; i < list.size(); ++i) {
    const Extension& e = list[i];
    const size_t at = headers.size();
    headers.resize(at + 8 * (size_t{1} + e.n));
    headers[at] = i + 1 < list.size() ? list[i + 1].type : frame.at(14 + 6);
    headers[at + 1] = e.n;
    if (e.type == kRouting || e.type == kFragment)
      set16(headers, at + 2, e.what);
    else
      set16(headers, at + 2, 0x0100u | (4 + e.n * 8u));  // PadN
  }
  Bytes b = frame;
  if (!list.empty()) b.at(14 + 6) = list[0].type;
  set16(b, 14 + 4, static_cast<unsigned>(get16(b, 14 + 4) + headers.size()));
  b.insert(b.begin() + 14 + 40, headers.begin(), headers.end());
  return b;
}

// A frame taken apart again.
struct Frame {
  unsigned port = 0;  // where it leaves
  Bytes bytes;

  size_t l3() const { return get16(bytes, 12) == 0x8100 ? 18 : 14; }
  bool v6() const { return bytes.at(l3()) >> 4 == 6; }
  size_t l4() const { return l3() + (v6() ? 40 : 20); }
  size_t ip_payload() const { return v6() ? get16(bytes, l3() + 4) : get16(bytes, l3() + 2) - 20; }
  Bytes destination_mac() const { return slice(bytes, 0, 6); }
  Bytes source_mac() const { return slice(bytes, 6, 6); }
  IpAddress from() const { return v6() ? IpAddress::v6(&bytes[l3() + 8]) : IpAddress::v4(&bytes[l3() + 12]); }
  IpAddress to() const { return v6() ? IpAddress::v6(&bytes[l3() + 24]) : IpAddress::v4(&bytes[l3() + 16]); }
  uint8_t protocol() const { return bytes.at(l3() + (v6() ? 6 : 9)); }
  unsigned from_port() const { return get16(bytes, l4()); }
  unsigned to_port() const { return get16(bytes, l4() + 2); }
  Bytes transport() const { return slice(bytes, l4(), ip_payload()); }
  uint32_t tag() const { return get32(bytes, l4() + 4); }
  uint8_t chunk_type() const { return bytes.at(l4() + 12); }
  uint8_t chunk_flags() const { return bytes.at(l4() + 13); }
  // Every checksum of it, computed anew.
  bool checksums_right() const {
    if (!v6() && internet_checksum(slice(bytes, l3(), 20)) != 0) return false;
    Bytes p = transport();
    if (protocol() == 132) {
      const uint32_t stated = get32(p, 8);
      for (size_t i = 8; i < 12; ++i) p[i] = 0;
      return crc32c(p) == stated;
    }
    if (protocol() == 1) return internet_checksum(p) == 0;
    return transport_checksum(from(), to(), protocol(), p) == 0;
  }
};

}  // namespace poolgate::test
