// SPDX-License-Identifier: BSD-3-Clause
// What an SCTP packet does to its session (RFC 9260 §4, §5.2, §8.5; DESIGN.md §5). Packets are forwarded
// whatever their tag: the PE judges them. Only the right tag changes our state or keeps the session young.
#include "dataplane/redirect/impl.h"
#include "dataplane/redirect/sctp_chunks.h"
#include "dataplane/redirect/wire.h"

namespace poolgate::redirect {
namespace {

// RFC 9260 §8.5.1 B, C: the receiver's own tag with T=0, or its peer's with T=1. `own`: the tag of packets in
// this direction; 0 stands for "not known" and fits nothing.
bool ends(uint32_t tag, uint8_t flags, uint32_t own, uint32_t peers) {
  const uint32_t wanted = (flags & sctp::kFlagT) != 0 ? peers : own;
  return wanted != 0 && tag == wanted;
}

// Says nothing of who lives.
bool is_end(uint8_t chunk) {
  return chunk == sctp::kAbort || chunk == sctp::kShutdown || chunk == sctp::kShutdownAck ||
         chunk == sctp::kShutdownComplete;
}

// Of a PE that has no association with the client, or not yet, these may come, too.
bool has_association(uint8_t chunk) {
  return chunk != sctp::kInit && chunk != sctp::kInitAck && chunk != sctp::kCookieEcho &&
         chunk != sctp::kAbort && chunk != sctp::kError && chunk != sctp::kShutdownComplete &&
         chunk != sctp::kAuth;
}

// What an INIT or INIT ACK names, and where it came from (RFC 9260 §5.1.2).
void add_source(const Packet& packet, sctp::InitView& init) {
  init.addresses[init.n < init.kMaxAddresses ? init.n++ : init.n - 1] = {packet.info.flow.family,
                                                                         packet.source()};
}

}  // namespace

Verdict Redirector::Impl::track_sctp(Packet& packet, SessionIndex i, bool from_pe) {
  Session& s = sessions.at(i);
  const uint8_t* p = packet.l4();
  const uint32_t tag = sctp::verification_tag(p);
  if (packet.l4_readable() >= wire::kSctpHeader + 4) {
    // The rest of the common cases in one look: DATA with another tag or from the PE, and a lone SACK or
    // HEARTBEAT.
    const uint8_t type = p[12];
    const bool data = type == sctp::kData || type == sctp::kIData;
    const bool lone = (type == sctp::kSack || type == sctp::kHeartbeat || type == sctp::kHeartbeatAck) &&
                      ((wire::get16(p + 14) + 3u) & ~3u) + wire::kSctpHeader >= packet.info.l4_length;
    if ((data || lone) && s.state != State::half_open) {
      const uint32_t own = from_pe ? s.tag_c : s.tag_p;
      if (own == 0 || tag == own)
        s.last_seen_ms = now_ms;
      else if (!from_pe)
        other_tag(i, tag);
      return Verdict::forward;
    }
  }
  return sctp_control(packet, i, from_pe);
}

Verdict Redirector::Impl::sctp_control(Packet& packet, SessionIndex i, bool from_pe) {
  if (packet.mbuf->nb_segs > 1 && rte_pktmbuf_linearize(packet.mbuf) != 0) {
    drop(packet.mbuf, DropReason::header_split);
    return Verdict::consumed;
  }
  Session& s = sessions.at(i);
  const bool nat = (s.flags & session::kNat) != 0;
  if (from_pe && s.state == State::half_open) passive.answered(lines[s.pe]);
  const uint32_t tag = sctp::verification_tag(packet.l4());
  if (!from_pe && tag != s.tag_p && tag != 0 && packet.l4_readable() > wire::kSctpHeader &&
      !is_end(packet.l4()[wire::kSctpHeader]))
    other_tag(i, tag);
  const uint32_t own = from_pe ? s.tag_c : s.tag_p, peers = from_pe ? s.tag_p : s.tag_c;
  const bool is_init =
      packet.l4_readable() > wire::kSctpHeader && packet.l4()[wire::kSctpHeader] == sctp::kInit;
  if (own != 0 && tag == own && !is_init) {  // no INIT has a tag (RFC 9260 §8.5.1 A)
    s.last_seen_ms = now_ms;
    // Picked up by its COOKIE ECHO: a second packet with the same tag.
    if (s.state == State::half_open && !nat) confirm(i);
  }
  sctp::Chunks chunks(packet.l4(), packet.l4_readable(), packet.partial);
  sctp::ChunkView chunk;
  unsigned n = 0, auth = 0;  // auth: AUTH chunks in front of all others
  for (; chunks.next(chunk); ++n) {
    if (from_pe) chunk_from_pe(i, tag, chunk.type, n == auth);
    switch (chunk.type) {
      case sctp::kInit: {
        sctp::InitView init;
        if (!sctp::parse_init(chunk, init)) {
          drop(packet.mbuf, DropReason::sctp_chunk);
          return Verdict::consumed;
        }
        if (n != 0 || !chunks.last() || tag != 0) {
          drop(packet.mbuf, DropReason::sctp_init_bundled);
          return Verdict::consumed;
        }
        if (from_pe) {  // its server associates with the client (§5.2.1, §5.2.2)
          nat_learn_pe(packet, i);
          return Verdict::forward;
        }
        if (s.state == State::closed) {
          session_ended(i);
          return Verdict::renew;
        }
        add_source(packet, init);
        if (leaves_camp(packet, i, init)) return Verdict::renew;
        if (s.state != State::half_open && (s.flags & session::kNat) == 0) pending_inits.note(i, init);
        if ((s.tag_c | s.tag_p) != 0) {  // not the INIT that it was just made for
          const pool::PeSlotIndex to = successor(i);
          if (to != pool::kNoPeSlot) return init_to_successor(packet, i, init.tag, to);
        }
        sctp_init_from_client(packet, i, init);
        return Verdict::forward;
      }
      case sctp::kInitAck:
        if (n != 0 || !chunks.last() || tag == 0) break;
        if (!from_pe)
          init_ack_from_client(packet, i, chunk);
        else if (tag == s.tag_c || tag == s.tag_c_pending)
          nat_learn_pe(packet, i);
        break;
      case sctp::kCookieEcho:
        // Alone in front, or behind its AUTH (RFC 4895 §6.3); nobody's tag is 0 (RFC 9260 §3.3.2).
        if (from_pe || n != auth || tag == 0) break;
        if (s.state == State::half_open) {
          cookie_echo_to_half_open(i, tag);
        } else if (tag != s.tag_p) {
          cookie_echo_from_client(packet, i, tag);
        }
        break;
      case sctp::kCookieAck:
        if (!from_pe && n == auth && tag != 0) cookie_ack_from_client(packet, i, tag);
        break;
      case sctp::kAuth:
        if (n == 0) auth = 1;
        break;
      case sctp::kAbort:
      case sctp::kShutdownComplete:
        if (ends(tag, chunk.flags, own, peers))
          sessions.set_state(i, replaced_tags.disputed(i, now_ms) ? State::closing : State::closed);
        break;
      case sctp::kShutdown:
      case sctp::kShutdownAck:
        if (own != 0 && tag == own && s.state == State::established) sessions.set_state(i, State::closing);
        break;
      default:
        break;
    }
  }
  if (chunks.bad() || n == 0) {
    drop(packet.mbuf, DropReason::sctp_chunk);
    return Verdict::consumed;
  }
  return Verdict::forward;
}

ReplacedTags::Tags Redirector::Impl::tags_of(SessionIndex i) const {
  const Session& s = sessions.at(i);
  return {s.tag_p, s.tag_c, s.pe, s.deaths};
}

// Without its INIT it is not established before something else confirms the tag. Of several with other tags
// each may be the client's: the last one counts, until a packet has another's. `nat`: the PE's answer decides
// whether there is an association at all.
void Redirector::Impl::cookie_echo_to_half_open(SessionIndex i, uint32_t tag) {
  Session& s = sessions.at(i);
  const bool confirms = s.tag_c != 0 && (s.flags & session::kNat) == 0;
  if (s.tag_p != tag) {
    ReplacedTags::Tags before = tags_of(i);
    if (confirms) before.c = 0;  // the INIT came behind that one
    if (before.p != 0) replaced_tags.propose(i, before, before, s.last_seen_ms, now_ms);
    set_tag_p(i, tag);
  }
  s.last_seen_ms = now_ms;
  if (confirms) confirm(i);
}

// With another tag than its session's (RFC 9260 §5.2.2). Of one without an INIT the next packet with its tag
// says whether it is the client's, and the one before it was not.
void Redirector::Impl::cookie_echo_from_client(const Packet& packet, SessionIndex i, uint32_t tag) {
  const Session& s = sessions.at(i);
  const ReplacedTags::Tags before = tags_of(i);
  if (s.tag_c_pending != 0) {
    if (succeed(i)) restarted(packet, i, tag, before);
    return;
  }
  ReplacedTags::Tags its = before;
  its.p = tag;
  replaced_tags.propose(i, its, before, s.last_seen_ms, now_ms);
  if (s.state == State::closed) sessions.set_state(i, State::closing);  // as after an ABORT in a dispute
}

// What the INIT announced holds from here on.
void Redirector::Impl::restarted(const Packet& packet, SessionIndex i, uint32_t tag,
                                 const ReplacedTags::Tags& before) {
  Session& s = sessions.at(i);
  replaced_tags.replace(i, before, s.last_seen_ms, now_ms);
  replaced_tags.hold(i, s.pe);
  set_tag_p(i, tag);
  s.tag_c = s.tag_c_pending;
  s.tag_c_pending = 0;
  s.last_seen_ms = now_ms;
  confirm(i);
  sctp::InitView init;
  if (!pending_inits.take(i, s.tag_c, init)) return;
  compare_keys(i, packet.entry, init);
  learn_addresses(i, init);
}

// The client's packet has another tag than its session: maybe that of an association that seemed replaced.
void Redirector::Impl::other_tag(SessionIndex i, uint32_t tag) {
  Session& s = sessions.at(i);
  ReplacedTags::Tags tags = tags_of(i);
  if (!replaced_tags.restore(i, tag, tags, s.last_seen_ms, now_ms)) return;
  const bool nat = (s.flags & session::kNat) != 0;
  if (tags.pe != s.pe && tags.deaths == lines[tags.pe].deaths) move(i, tags.pe);
  replaced_tags.hold(i, s.pe);
  set_tag_p(i, tags.p);
  restore_keys(i);
  // Of one without an INIT, `nat` has it from the PE.
  if (tags.c != 0 || !nat) s.tag_c = tags.c;
  if (nat && s.state == State::half_open) return;
  s.last_seen_ms = now_ms;
  confirm(i);
}

// The association is established, maybe anew: other workers may send its packets on by themselves.
void Redirector::Impl::confirm(SessionIndex i) {
  sessions.set_state(i, State::established);
  if ((sessions.at(i).flags & session::kNat) != 0) sessions.forget_copies(i);
  announce_away(i);
}

void Redirector::Impl::sctp_init_from_client(Packet& packet, SessionIndex i, const sctp::InitView& init) {
  Session& s = sessions.at(i);
  const bool nat = (s.flags & session::kNat) != 0;
  if (nat) nat_learn_client(packet, i);
  if (s.state != State::half_open) {
    s.tag_c_pending = init.tag;
    if (!nat) s.pending_ms = static_cast<uint16_t>(now_ms);  // there it is pending_hop
    return;
  }
  s.tag_c = init.tag;
  s.last_seen_ms = now_ms;
  learn_hop(packet, s);
  if (!nat) learn_addresses(i, init);
}

// `nat`: whether the PE took a COOKIE ECHO is seen, and decides (RFC 9260 §5.1): until then what somebody
// sent in a client's name is half-open. `first`: nothing but AUTH is in front of it. Half-open, tag_c_pending
// says of which tag_c the PE has a cookie.
void Redirector::Impl::chunk_from_pe(SessionIndex i, uint32_t tag, uint8_t chunk, bool first) {
  Session& s = sessions.at(i);
  if (tag == 0) return;
  if (s.state != State::half_open) {
    if (tag == s.tag_c && has_association(chunk)) replaced_tags.settle(i);
    return;
  }
  // The answer to the COOKIE ECHO says the client's tag: also without its INIT, or after one that was forged.
  if (s.tag_p != 0 && chunk == sctp::kCookieAck && first) s.tag_c = tag;
  if (tag != s.tag_c) return;
  if (chunk == sctp::kCookieEcho) s.tag_c_pending = tag;
  if (s.tag_p == 0 || !has_association(chunk)) return;
  s.tag_c_pending = 0;
  s.last_seen_ms = now_ms;
  confirm(i);
}

// To an INIT of the PE's, whose tag its packet has: the client's COOKIE ACK decides, as the PE's cookie does
// (RFC 9260 §5.2.1, §5.2.2). In direct return both are all that is seen of that.
void Redirector::Impl::init_ack_from_client(Packet& packet, SessionIndex i, const sctp::ChunkView& chunk) {
  Session& s = sessions.at(i);
  sctp::InitView ack;
  // Of the association that there is: both sides' INITs have met, and it began with the client's.
  if (s.state != State::half_open && sctp::verification_tag(packet.l4()) == s.tag_p) return;
  if (!sctp::parse_init(chunk, ack)) return;
  add_source(packet, ack);
  const bool first = s.state != State::half_open && s.tag_c_pending == 0;
  if (s.state != State::half_open && (s.flags & session::kNat) == 0) pending_inits.note(i, ack);
  sctp_init_from_client(packet, i, ack);
  if (first) announce_away(i);
}

// The PE's cookie is the association (RFC 9260 §5.2.4 A, B, D). It is the session's PE's, whoever takes new
// ones.
void Redirector::Impl::cookie_ack_from_client(const Packet& packet, SessionIndex i, uint32_t tag) {
  Session& s = sessions.at(i);
  if (s.state != State::half_open) {
    if (s.tag_c_pending != 0 && tag != s.tag_p) restarted(packet, i, tag, tags_of(i));
    return;
  }
  if (s.tag_p != tag) set_tag_p(i, tag);
  s.last_seen_ms = now_ms;
  if (s.tag_c == 0 || ((s.flags & session::kNat) != 0 && s.tag_c_pending != s.tag_c)) return;
  s.tag_c_pending = 0;
  confirm(i);
}

// The addresses in an INIT become further keys, for each VIP that the service has of the family: an
// association goes over any pair of them. Those of a restart come to the ones that there were, and what is
// none of its own keeps no other out. Within this worker; bounded.
void Redirector::Impl::learn_addresses(SessionIndex i, const sctp::InitView& init) {
  constexpr unsigned kMaxAliases = 15, kMaxWithOthers = 2 * kMaxAliases;
  const ServiceEntry* service = service_of(sessions.at(i));
  if (service == nullptr) return;
  const session::FlowKey& flow = sessions.at(i).key;
  const bool restarts = sessions.at(i).state != State::half_open && replaced_tags.disputed(i, now_ms);
  const uint32_t tag_p = sessions.at(i).tag_p;
  unsigned aliases = 0, all = 0;
  for (SessionIndex a = sessions.at(i).aliases; a != session::kNone; a = sessions.at(a).aliases) {
    ++all;
    if (!restarts || sessions.at(a).not_of != tag_p) ++aliases;
  }
  for (size_t a = 0; a < init.n; ++a) {
    for (const auto& vip : service->settings.vips) {
      const uint8_t family = init.addresses[a].family;
      if (static_cast<uint8_t>(vip.family()) != family || aliases >= kMaxAliases || all >= kMaxWithOthers)
        continue;
      session::FlowKey key = flow;
      uint8_t both[32];
      if (family == 4 && flow.family == 4) {
        const uint32_t from = wire::raw32(init.addresses[a].bytes), to = wire::raw32(vip.data());
        if (((from ^ flow.source) | (to ^ flow.destination)) == 0) continue;
        key = session::with_v4_addresses(flow, from, to);
      } else {
        const size_t n = family == 6 ? 16 : 4;
        std::memcpy(both, init.addresses[a].bytes, n);
        std::memcpy(both + n, vip.data(), n);
        key.family = family;
        session::set_addresses(key, both, sessions.secret());
      }
      // Also fails for a key that is known already.
      const uint32_t hash = session::hash_flow(key, sessions.secret());
      const SessionIndex made = sessions.insert_alias(i, key, hash, both, 0);
      if (made == session::kNone) continue;
      sessions.at(made).vip = static_cast<uint16_t>(vip_number(*service, family, vip.data()));
      if (restarts) sessions.at(made).named_by = tag_p;
      announce(sessions.at(i).aliases);  // the one just added
      ++aliases;
      ++all;
    }
  }
}

}  // namespace poolgate::redirect
