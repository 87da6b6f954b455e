// SPDX-License-Identifier: BSD-3-Clause
// Mode `nat`: the client's packets get the PE's address and port, and, where the service has SNAT addresses,
// a source of ours; the PE's get the VIP's and the client's back. The way back is an alias of the session, of
// the PE's side, so it outlives the process with it. The TTL is left as it is, as in `l2`.
#include "dataplane/redirect/checksum.h"
#include "dataplane/redirect/crc32c.h"
#include "dataplane/redirect/impl.h"
#include "dataplane/redirect/nat_sctp.h"
#include "dataplane/redirect/sctp_chunks.h"
#include "dataplane/redirect/wire.h"

namespace poolgate::redirect {
namespace {

// One direction's new addresses (4 or 16 bytes) and ports (network order).
struct NewFlow {
  uint8_t addresses[32];  // source, then destination, each of the family's size
  uint16_t source_port;
  uint16_t destination_port;
};

void rewrite_addresses(Packet& packet, const NewFlow& to, ChecksumDelta& transport) {
  const size_t n = packet.address_size() * 2;
  uint8_t* at = packet.addresses();
  transport.replace(at, to.addresses, n);
  if (packet.info.flow.family == 4) {
    ChecksumDelta ip;
    ip.replace(at, to.addresses, n);
    uint8_t* header = packet.l3();
    wire::put_raw16(header + 10, ip.apply(wire::raw16(header + 10)));
  }
  std::memcpy(at, to.addresses, n);
}

void put_ports(uint8_t* l4, const NewFlow& to) {
  wire::put_raw16(l4, to.source_port);
  wire::put_raw16(l4 + 2, to.destination_port);
}

// RFC 768, RFC 9293 §3.1, RFC 8200 §8.1: the checksum covers addresses and ports; a UDP checksum of 0 is
// none.
void rewrite_transport(Packet& packet, const NewFlow& to) {
  uint8_t* l4 = packet.l4();
  ChecksumDelta delta;
  rewrite_addresses(packet, to, delta);
  delta.replace16(wire::raw16(l4), to.source_port);
  delta.replace16(wire::raw16(l4 + 2), to.destination_port);
  put_ports(l4, to);
  const bool udp = packet.info.flow.protocol == wire::kUdp;
  uint8_t* checksum = l4 + (udp ? 6 : 16);
  const uint16_t old = wire::raw16(checksum);
  if (udp && old == 0) return;
  const uint16_t now = delta.apply(old);
  wire::put_raw16(checksum, udp && now == 0 ? uint16_t{0xffff} : now);
}

}  // namespace

// The PE-side key: what the PE's packets of this session will look like. Adds it as an alias.
bool Redirector::Impl::nat_begin(Packet& packet, const ServiceEntry& service, SessionIndex i) {
  Session& s = sessions.at(i);
  const pool::PeLine& pe = lines[s.pe];
  const uint8_t family = s.key.family;
  if (pe.family != family) return false;
  session::FlowKey key;
  key.protocol = s.key.protocol;
  key.family = family;
  key.source_port = pe.port;
  const size_t n = packet.address_size();
  uint8_t both[32] = {};
  std::memcpy(both, pe.address, n);
  const auto add = [&](const uint8_t* to, uint16_t port) {
    std::memcpy(both + n, to, n);
    key.destination_port = port;
    if (family == 6) {
      session::set_v6_words(key, both, sessions.secret());
    } else {
      std::memcpy(&key.source, both, 4);
      std::memcpy(&key.destination, both + 4, 4);
    }
    return sessions.insert_alias(i, key, session::hash_flow(key, sessions.secret()), both,
                                 session::kFromPe) != session::kNone;
  };
  if (service.settings.snat.empty()) return add(packet.source(), s.key.source_port);

  // Ports of this worker: equal to its number, modulo how many there are. The table itself knows which are in
  // use with this PE. A long run of ports in use is what exhaustion looks like, and is not searched to its
  // end.
  constexpr uint32_t kMaxTries = 512;
  s.flags |= session::kSnat;
  const uint32_t stride = slots.workers();
  const uint32_t first = snat_first + (worker + stride - snat_first % stride) % stride;
  if (first > snat_last) return false;
  const uint32_t ports = (snat_last - first) / stride + 1;
  for (const auto& address : service.settings.snat) {
    if (static_cast<uint8_t>(address.family()) != family) continue;
    random_state = random_state * 1664525 + 1013904223;
    const auto start = static_cast<uint32_t>(uint64_t{random_state} * ports >> 32);
    for (uint32_t tried = 0; tried < ports && tried < kMaxTries; ++tried) {
      const auto port = static_cast<uint16_t>(first + (start + tried) % ports * stride);
      if (add(address.data(), wire::swap16(port))) return true;
      if (sessions.used() >= sessions.capacity()) return false;
    }
  }
  return false;
}

bool Redirector::Impl::nat_rewrite(Packet& packet, SessionIndex i, bool from_pe) {
  const Session& s = sessions.at(i);
  const size_t n = packet.address_size();
  NewFlow to;
  if (from_pe) {
    // From the VIP to the client: the session's own key, turned round.
    const uint8_t* client =
        s.key.family == 6 ? sessions.second(i).addresses : reinterpret_cast<const uint8_t*>(&s.key.source);
    std::memcpy(to.addresses, client + n, n);
    std::memcpy(to.addresses + n, client, n);
    to.source_port = s.key.destination_port;
    to.destination_port = s.key.source_port;
  } else {
    const pool::PeLine& pe = lines[s.pe];
    std::memcpy(to.addresses + n, pe.address, n);
    to.destination_port = pe.port;
    if (s.flags & session::kSnat) {
      const SessionIndex a = s.aliases;
      const Session& alias = sessions.at(a);
      const uint8_t* key = s.key.family == 6 ? sessions.second(a).addresses
                                             : reinterpret_cast<const uint8_t*>(&alias.key.source);
      std::memcpy(to.addresses, key + n, n);
      to.source_port = alias.key.destination_port;
    } else {
      std::memcpy(to.addresses, packet.source(), n);
      to.source_port = packet.info.flow.source_port;
    }
  }
  if (packet.info.flow.protocol != wire::kSctp) {
    rewrite_transport(packet, to);
    return true;
  }

  // SCTP's checksum does not cover the IP header: with equal ports nothing of the packet changes (RFC 9260
  // §6.8).
  const DropReason refused = nat_sctp_content(packet.mbuf, packet.info);
  if (refused != DropReason::none) {
    drop(packet.mbuf, refused);
    return false;
  }
  ChecksumDelta unused;
  rewrite_addresses(packet, to, unused);
  uint8_t* l4 = packet.l4();
  const uint32_t before = wire::raw32(l4);
  put_ports(l4, to);
  const uint32_t after = wire::raw32(l4);
  if (before != after)
    wire::put_raw32(l4 + 8, sctp_checksum_ports(wire::raw32(l4 + 8), before, after, packet.info.l4_length));
  return true;
}

}  // namespace poolgate::redirect
