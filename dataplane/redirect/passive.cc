// SPDX-License-Identifier: BSD-3-Clause
#include "dataplane/redirect/passive.h"

#include "dataplane/redirect/impl.h"
#include "dataplane/redirect/wire.h"

namespace poolgate::redirect {

void PassiveWatch::asked(const pool::PeLine* lines, pool::PeSlotIndex pe, uint64_t client, uint8_t protocol,
                         uint32_t now_ms) {
  Entry& e = entries_[pe % kWatched];
  const bool goes_on = e.goes_on(lines, now_ms);
  if (goes_on && e.pe != pe) return;  // that one is in doubt
  if (!goes_on) e = {pe, lines[pe].answers, now_ms, now_ms, 0, protocol, {}};
  for (unsigned i = 0; i < e.n; ++i)
    if (e.clients[i] == client) return;
  if (e.n == kClients) return;
  e.clients[e.n++] = client;
  e.last_ms = now_ms;
}

bool PassiveWatch::look(const pool::PeLine* lines, uint32_t now_ms, Suspicion& suspicion) {
  Entry& e = entries_[cursor_++ % kWatched];
  if (e.n < kClients || now_ms - e.last_ms < kPatienceMs) return false;
  suspicion.why = Suspicion::Why::unanswered;
  suspicion.protocol = e.protocol;
  suspicion.pe = e.pe;
  e.n = 0;
  return lines[e.pe].answers == e.answers;
}

void Redirector::Impl::suspect(const Suspicion& suspicion) {
  if (!suspicions.tell(suspicion, now_us)) drops.add(DropReason::suspicion_lost);
}

// A new session of `nat`: its PE's answer will come by here.
void Redirector::Impl::watch(const Packet& packet, SessionIndex i) {
  const Session& s = sessions.at(i);
  if (s.key.protocol == wire::kUdp) return;
  uint64_t client[2] = {};
  std::memcpy(client, packet.source(), packet.address_size());
  passive.asked(lines, s.pe, client[0] ^ client[1] * 0x9e3779b97f4a7c15, s.key.protocol, now_ms);
}

void Redirector::Impl::look_at_watched() {
  Suspicion found;
  if (passive.look(lines, now_ms, found)) suspect(found);
}

// An ICMP error about an outer header of ours (RFC 2003 §4, RFC 2473 §8): the quoted packet went from our
// address to a PE, by IP in IP or GUE. The bytes of its outer headers; 0: it is none.
size_t Redirector::Impl::outer_headers(const Packet& packet, const uint8_t* quoted, size_t length) const {
  constexpr uint8_t kIpv4InIp = 4, kIpv6InIp = 41;
  const uint8_t family = packet.info.flow.family;
  const bool v6 = family == 6;
  const size_t header = v6 ? wire::kIpv6Header : wire::kIpv4Header;  // ours has no options or extensions
  if (length < header + 8 || quoted[0] >> 4 != family || (!v6 && quoted[0] != 0x45)) return 0;
  const uint8_t protocol = quoted[v6 ? 6 : 9];
  const bool gue = protocol == wire::kUdp && wire::get16(quoted + header + 2) == kGuePort;
  if (protocol != kIpv4InIp && protocol != kIpv6InIp && !gue) return 0;
  const size_t n = packet.address_size();
  const uint8_t* addresses = quoted + (v6 ? 8 : 12);
  if (std::memcmp(packet.destination(), addresses, n) != 0) return 0;
  bool ours = false;
  for (const TunnelSource& source : tunnel_sources) {
    const auto& address = v6 ? source.v6 : source.v4;
    ours |= address.is_set() && std::memcmp(address.data(), addresses, n) == 0;
    ours |= !v6 && source.is_a_flows(wire::raw32(addresses));
  }
  return ours ? tunnel_overhead(gue ? Tunnel::gue : Tunnel::ipip, family) : 0;
}

void Redirector::Impl::tunnel_error(const Packet& packet, const uint8_t* quoted, size_t length) {
  const uint8_t family = packet.info.flow.family;
  if (!is_unreachable(family, packet.l4()[0], packet.l4()[1]) || outer_headers(packet, quoted, length) == 0)
    return;
  const size_t n = packet.address_size();
  const uint8_t* addresses = quoted + (family == 6 ? 8 : 12);
  Suspicion suspicion;
  suspicion.why = Suspicion::Why::tunnel_unreachable;
  suspicion.code = packet.l4()[1];
  suspicion.family = family;
  std::memcpy(suspicion.address, addresses + n, n);
  suspect(suspicion);
}

}  // namespace poolgate::redirect
