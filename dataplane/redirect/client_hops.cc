// SPDX-License-Identifier: BSD-3-Clause
// Where a client's packets come from, and so where packets to it go. A client with several addresses may have
// each behind a router of its own (RFC 9260 §6.4): each of an association's keys that are the client's has
// its own hop, or, before a packet came with it, that of the session's first.
#include "dataplane/redirect/client_hops.h"

#include "dataplane/redirect/impl.h"
#include "dataplane/redirect/wire.h"

namespace poolgate::redirect {

// The number of where the packet came from; `likely`: a guess, or 0.
uint16_t Redirector::Impl::hop_of(const Packet& packet, uint16_t likely) {
  if (likely != 0 && packet.info.vlan_tci == 0 && hops.is(likely, packet.frame(), packet.mbuf->port))
      [[likely]] {
    hops.see(likely);
    return likely;
  }
  last_hop = hops.learn(ClientHops::of_frame(packet.frame(), packet.mbuf->port, packet.info.vlan_tci));
  return last_hop;
}

// What was found by its tag, or by an address in its INIT, came from where none of the session's keys is:
// that is better than nothing.
void Redirector::Impl::learn_hop(const Packet& packet, Session& s) {
  const SessionIndex i = sessions.index_of(s);
  SessionIndex from = i;
  const auto has_its_key = [&](SessionIndex e) {
    return sessions.matches(e, packet.info.flow, packet.addresses());
  };
  if (!has_its_key(i)) {
    const SessionIndex e = packet.entry;
    const bool known = e != session::kNone && sessions.valid(e) && sessions.session_of(e) == i &&
                       (sessions.at(e).flags & session::kFromPe) == 0 && has_its_key(e);
    if (!known && s.client_hop != 0) return;
    if (known) from = e;
  }
  Session& key = sessions.at(from);
  // Mostly where the one before came from.
  const uint16_t before = key.client_hop;
  key.client_hop = hop_of(packet, before != 0 ? before : last_hop);
  const bool nat = (s.flags & session::kNat) != 0;
  if (from != i && !nat) key.last_seen_ms = now_ms;  // of this look: see client_hop_is_due()
  if (key.client_hop == before || !nat) return;
  sessions.hear_copies(i);
  for (SessionIndex a = s.aliases; a != session::kNone; a = sessions.at(a).aliases) {
    Session& far = sessions.at(a);
    if ((far.flags & session::kFromPe) != 0 && far.client_hop != hop_to(far.counterpart))
      far.state = State::half_open;  // its copy is none any more
  }
}

// By a packet of SCTP's only the association's own say where the client is. An INIT on one that is
// established is nobody's yet, nor is an INIT ACK, but where it came from its answer goes (RFC 9260 §5.2.1,
// §5.2.2).
void Redirector::Impl::learn_hop_of_sctp(const Packet& packet, Session& s) {
  const uint8_t* p = packet.l4();
  const uint32_t tag = sctp::verification_tag(p);
  if (tag != 0 && tag == s.tag_p) return learn_hop(packet, s);
  const bool opens = packet.l4_readable() > wire::kSctpHeader &&
                     (p[wire::kSctpHeader] == sctp::kInit || p[wire::kSctpHeader] == sctp::kInitAck);
  if (opens && s.state != State::half_open && (s.flags & session::kNat) != 0)
    s.pending_hop = hop_of(packet, s.pending_hop);
}

// Of packets to the client with the key that is the opposite of this one of its; 0: not known.
uint16_t Redirector::Impl::hop_to(SessionIndex near) const {
  if (near == session::kNone) return 0;
  const uint16_t own = sessions.at(near).client_hop;
  return own != 0 ? own : sessions.at(sessions.session_of(near)).client_hop;
}

// Of a PE's packet.
uint16_t Redirector::Impl::hop_back(const Packet& packet, const Session& s) const {
  if (packet.info.flow.protocol == wire::kSctp && s.tag_c_pending != 0 && s.pending_hop != 0 &&
      s.tag_c_pending != s.tag_c && sctp::verification_tag(packet.l4()) == s.tag_c_pending)
    return s.pending_hop;
  return hop_to(sessions.at(packet.entry).counterpart);
}

// The key by which the client can be told something without a packet of it; kNone: by none.
SessionIndex Redirector::Impl::reachable_by(SessionIndex i) const {
  for (SessionIndex e = i; e != session::kNone; e = sessions.at(e).aliases) {
    if ((sessions.at(e).flags & session::kFromPe) == 0 && sessions.at(e).client_hop != 0) return e;
  }
  return session::kNone;
}

// The walk over the table comes by.
void Redirector::Impl::see_hops(const Session& e) {
  hops.see(e.client_hop);
  if (e.kind == session::Kind::session && (e.flags & session::kNat) != 0) hops.see(e.pending_hop);
}

// After a restart: hops whose port is gone, or another one.
void Redirector::Impl::forget_hops(const RedirectorOptions& options) {
  std::vector<bool> ours(size_t{UINT16_MAX} + 1);
  for (uint32_t hop = 1; hop < ours.size(); ++hop) {
    if (!hops.is_used(hop)) continue;
    const ClientHop& of = hops[static_cast<uint16_t>(hop)];
    ours[hop] = options.hop_is_ours != nullptr && options.hop_is_ours(of.port_id, of.ether_addresses + 6);
  }
  const auto keep_ours = [&](uint16_t& hop) {
    if (!ours[hop]) hop = 0;
  };
  for (SessionIndex i = session::kFirst; i < sessions.end(); ++i) {
    if (!sessions.valid(i)) continue;
    Session& e = sessions.at(i);
    keep_ours(e.client_hop);
    if (e.kind == session::Kind::session && (e.flags & session::kNat) != 0) keep_ours(e.pending_hop);
  }
}

}  // namespace poolgate::redirect
