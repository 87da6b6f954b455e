// SPDX-License-Identifier: BSD-3-Clause
// A packet to a service for which no session has a key: found by another way, started, steered, refused.
#include "dataplane/redirect/impl.h"
#include "dataplane/redirect/sctp_chunks.h"
#include "dataplane/redirect/tcp_sequence.h"
#include "dataplane/redirect/wire.h"

namespace poolgate::redirect {
namespace {

// As long as an idle association is silent: HB.interval (30 s), and one and a half of at most RTO.Max (60 s;
// RFC 9260 §8.3, §16).
constexpr uint32_t kPressureMs = 120'000;
// On the average, with its aliases: an honest client has two to four addresses.
constexpr uint32_t kLinesAHalfOpen = 4;

uint8_t flags_of(config::Mode mode) {
  switch (mode) {
    case config::Mode::nat:
      return session::kNat;
    case config::Mode::ipip:
      return session::kIpip;
    case config::Mode::gue:
      return session::kGue;
    case config::Mode::l2:
      break;
  }
  return 0;
}

// Of what begins a session: SCTP's COOKIE ECHO, maybe behind its AUTH, not INIT.
bool opens_by_cookie(const Packet& packet) {
  return packet.info.flow.protocol == wire::kSctp && packet.l4()[wire::kSctpHeader] != sctp::kInit;
}

}  // namespace

bool impossible_source(const Packet& packet) {
  const uint8_t *from = packet.source(), *to = packet.destination();
  if (std::memcmp(from, to, packet.address_size()) == 0) return true;
  if (packet.info.flow.family == 4) return from[0] == 0 || from[0] == 127 || from[0] >= 224;
  if (from[0] == 0xff) return true;
  for (int i = 0; i < 15; ++i) {
    if (from[i] != 0) return false;
  }
  return from[15] <= 1;
}

void Redirector::Impl::new_flow(Packet& packet, const ServiceEntry& service) {
  const auto& flow = packet.info.flow;
  if (flow.source_port == 0 || flow.destination_port == 0) return drop(packet.mbuf, DropReason::l4_port_zero);
  if (impossible_source(packet)) return drop(packet.mbuf, DropReason::ip_address);
  // Without a session only a packet's own content says what it is: have all of it in one piece.
  if (packet.mbuf->nb_segs > 1 && rte_pktmbuf_linearize(packet.mbuf) != 0)
    return drop(packet.mbuf, DropReason::header_split);

  // What is in the middle may have been steered past a full table or quota, and goes on so while it lasts.
  if (pressure && static_cast<int32_t>(pressure_until_ms - now_ms) < 0) pressure = false;
  if (pressure) pressure_until_ms = now_ms + kPressureMs;
  const bool stateless = pressure || service.settings.selection == config::Selection::rendezvous;
  if (flow.protocol == wire::kUdp) return start(packet, service);
  if (flow.protocol == wire::kTcp) {
    const uint8_t flags = packet.l4()[13];
    if (flags & tcp::kRst) return drop(packet.mbuf, DropReason::session_unknown);
    if ((flags & (tcp::kSyn | tcp::kAck)) == tcp::kSyn) return start(packet, service);
    if (stateless) return steer(packet, service);
    return refuse(packet, service.index, DropReason::session_unknown, true);
  }

  sctp::Chunks chunks(packet.l4(), packet.l4_readable(), packet.partial);
  sctp::ChunkView chunk;
  if (!chunks.next(chunk)) return drop(packet.mbuf, DropReason::sctp_chunk);
  if (chunk.type == sctp::kInit) {
    // RFC 9260 §4.3, §8.5.1 A: INIT is alone and its packet's tag is 0.
    sctp::InitView init;
    if (!sctp::parse_init(chunk, init)) return drop(packet.mbuf, DropReason::sctp_chunk);
    if (!chunks.last() || sctp::verification_tag(packet.l4()) != 0)
      return drop(packet.mbuf, DropReason::sctp_init_bundled);
    return find_association(packet, service) ? void() : start(packet, service);
  }
  // §8.5.1 A: so is any other packet none with a tag of 0.
  if (sctp::verification_tag(packet.l4()) == 0) return drop(packet.mbuf, DropReason::sctp_tag_zero);
  if (find_association(packet, service)) return;
  if (chunk.type == sctp::kAuth) chunks.next(chunk);  // RFC 4895 §6.3: a COOKIE ECHO may stand behind it
  switch (chunk.type) {
    case sctp::kCookieEcho:
      // Its INIT went to the PE that rendezvous gives: past a full table, or by another appliance.
      return start(packet, service);
    case sctp::kAbort:  // RFC 9260 §8.4: these get no answer
    case sctp::kShutdownComplete:
    case sctp::kCookieAck:
      return drop(packet.mbuf, DropReason::session_unknown);
    case sctp::kError:
      if (sctp::has_stale_cookie(chunk)) return drop(packet.mbuf, DropReason::session_unknown);
      [[fallthrough]];
    default:
      if (stateless) return steer(packet, service);
      return refuse(packet, service.index, DropReason::session_unknown, true);
  }
}

// The packet's key, had it come from another of the sender's addresses; `both`: with its addresses. False:
// that is of the other family, or it is where the packet came from.
bool Redirector::Impl::key_from(const Packet& packet, const sctp::InitView::Address& source,
                                session::FlowKey& key, uint8_t* both) const {
  const session::FlowKey& flow = packet.info.flow;
  if (source.family != flow.family) return false;
  if (flow.family == 4) {
    const uint32_t address = wire::raw32(source.bytes);
    key = session::with_v4_addresses(flow, address, flow.destination);
    std::memcpy(both, &address, 4);
    std::memcpy(both + 4, &flow.destination, 4);
    return address != flow.source;
  }
  key = flow;
  std::memcpy(both, source.bytes, 16);
  std::memcpy(both + 16, packet.destination(), 16);
  session::set_v6_words(key, both, sessions.secret());
  return std::memcmp(both, packet.source(), 16) != 0;
}

// SCTP: the association of an INIT by the addresses in it; of other packets by (service, client port, Tp).
// True: found, and the packet is dealt with. A match by tag forwards; it does not add an address.
bool Redirector::Impl::find_association(Packet& packet, const ServiceEntry& service) {
  sctp::Chunks chunks(packet.l4(), packet.l4_readable(), packet.partial);
  sctp::ChunkView chunk;
  if (!chunks.next(chunk)) return false;
  if (chunk.type != sctp::kInit) {
    const auto found = sessions.find_by_tag(service.index, packet.info.flow.source_port,
                                            sctp::verification_tag(packet.l4()));
    if (found.match == session::SessionTable::TagMatch::none) return false;
    if (found.match == session::SessionTable::TagMatch::several)
      drop(packet.mbuf, DropReason::session_ambiguous);
    else
      hit_by_tag(packet, found.session);
    return true;
  }
  sctp::InitView init;
  if (!sctp::parse_init(chunk, init)) return false;
  // All their buckets are on their way before the first is looked at.
  struct Known {
    session::FlowKey key;
    uint32_t hash;
    uint8_t both[32];
  } known[sctp::InitView::kMaxAddresses];
  size_t n = 0;
  for (size_t a = 0; a < init.n; ++a) {
    Known& k = known[n];
    if (!key_from(packet, init.addresses[a], k.key, k.both)) continue;
    k.hash = session::hash_flow(k.key, sessions.secret());
    __builtin_prefetch(sessions.bucket(k.hash));
    ++n;
  }
  for (const Known* k = known; k != known + n; ++k) {
    const SessionIndex entry = sessions.find(k->key, k->hash, k->both);
    if (entry == session::kNone || (sessions.at(entry).flags & session::kFromPe) != 0) continue;
    const Session& s = sessions.at(sessions.session_of(entry));
    if (s.state == State::closed) continue;
    if ((s.flags & session::kRemote) != 0 || init.tag == s.tag_c || init.tag == s.tag_c_pending)
      hit(packet, entry);
    else
      start_beside(packet, service, entry);
    return true;
  }
  return false;
}

// `nat` has addresses of the packet's family for it only if the association has a path of that family.
void Redirector::Impl::hit_by_tag(Packet& packet, SessionIndex i) {
  const uint8_t family = packet.info.flow.family;
  SessionIndex entry = i;
  if ((sessions.at(i).flags & session::kNat) != 0 && sessions.at(i).key.family != family) {
    entry = session::kNone;
    for (SessionIndex a = i; a != session::kNone; a = sessions.at(a).aliases) {
      const Session& e = sessions.at(a);  // the last of the list was the first
      if (e.key.family == family && (e.flags & session::kFromPe) == 0 && e.counterpart != session::kNone)
        entry = a;
    }
  }
  entry == session::kNone ? drop(packet.mbuf, DropReason::nat_no_session) : hit(packet, entry);
}

// An INIT from an address that we do not know, with another tag than the association of which it lists an
// address: that one's client has restarted, or it is another client, as hosts also list addresses that others
// have. Its PE is the one to judge that (RFC 9260 §5.2.2), of the COOKIE ECHO, too; and if it accepts, it has
// two associations.
void Redirector::Impl::start_beside(Packet& packet, const ServiceEntry& service, SessionIndex entry) {
  const SessionIndex i = sessions.session_of(entry);
  const Session& s = sessions.at(i);
  const bool serves = s.deaths == lines[s.pe].deaths && !lines[s.pe].down && successor(i) == pool::kNoPeSlot;
  const pool::PeSlotIndex pe = serves ? way_of(entry) : choose(packet, service);
  pe == pool::kNoPeSlot ? empty_pool(packet, service) : start(packet, service, pe);
}

pool::PeSlotIndex Redirector::Impl::choose(Packet& packet, const ServiceEntry& service) {
  const auto& flow = packet.info.flow;
  pool::ViewGeneration& now = Chooser::current(service, flow.family);
  if (slots.head() != log_seen) catch_up();
  // The one packet that must go where its INIT went without a session, a COOKIE ECHO, is chosen for as that
  // INIT was (see steer()).
  const bool cookie = opens_by_cookie(packet);
  const pool::PeSlotIndex pe =
      cookie ? chooser.steer(service, now, flow.family, packet.source(), flow.source_port)
             : chooser.choose(service, now, flow.family, packet.source(), flow.source_port);
  return way_of_new(packet, service, pe);
}

// `with`: the PE, if it is not to be chosen.
void Redirector::Impl::start(Packet& packet, const ServiceEntry& service, pool::PeSlotIndex with) {
  if (service.drained) return refuse(packet, service.index, DropReason::service_blocked, true);
  const bool confirms = packet.info.flow.protocol != wire::kUdp;  // it begins half-open
  // An INIT may name many addresses: it is lines of the table that the quota keeps. Past a flood of INITs
  // there is as much for who answers what the PE said (COOKIE ECHO): a multihomed client's other paths need a
  // session.
  const uint64_t quota = uint64_t{half_open_quota} << unsigned{opens_by_cookie(packet)};
  if (confirms && (sessions.half_open() >= quota || sessions.half_open_lines() / kLinesAHalfOpen >= quota)) {
    pressure = true;
    pressure_until_ms = now_ms + kPressureMs;
    if (service.settings.mode == config::Mode::nat) return drop(packet.mbuf, DropReason::half_open_quota);
    return steer(packet, service);
  }
  const pool::PeSlotIndex pe = with != pool::kNoPeSlot ? with : choose(packet, service);
  if (pe == pool::kNoPeSlot) return empty_pool(packet, service);
  sessions.prefetch(sessions.first_of_pe(pe));
  const SessionIndex i = insert(packet, service, pe);
  if (i == session::kNone) {
    pressure = true;
    pressure_until_ms = now_ms + kPressureMs;
    if (service.settings.mode == config::Mode::nat)
      return refuse(packet, service.index, DropReason::session_table_full, true);
    return steer(packet, service);
  }
  if (service.settings.mode == config::Mode::nat && !nat_begin(packet, service, i)) {
    const bool full = sessions.used() >= sessions.capacity();
    session_ended(i);
    return refuse(packet, service.index, full ? DropReason::session_table_full : DropReason::nat_no_port,
                  true);
  }
  if (service.settings.mode == config::Mode::nat) watch(packet, i);
  count(service.index, &ServiceCounters::new_sessions);
  hit(packet, i);
  if (with != pool::kNoPeSlot) announce(i);  // it began where the other one is, and may be at home elsewhere
}

SessionIndex Redirector::Impl::insert(Packet& packet, const ServiceEntry& service, pool::PeSlotIndex pe) {
  const auto& info = packet.info;
  const SessionIndex i = sessions.insert(info.flow, info.hash, packet.addresses(), pe);
  if (i == session::kNone) return i;
  Session& s = sessions.at(i);
  s.service = service.index;
  s.flags = flags_of(service.settings.mode);
  s.last_seen_ms = now_ms;
  learn_hop(packet, s);
  if (info.flow.protocol == wire::kUdp) sessions.set_state(i, State::established);
  count(service.index, &ServiceCounters::sessions);
  return i;
}

// No room for a session, or the service knows none for what is in the middle: the PE that rendezvous gives,
// packet by packet. Direct return only: `nat` cannot undo what it has not noted.
void Redirector::Impl::steer(Packet& packet, const ServiceEntry& service) {
  const auto& flow = packet.info.flow;
  if (service.settings.mode == config::Mode::nat) return drop(packet.mbuf, DropReason::session_unknown);
  pool::ViewGeneration& now = Chooser::current(service, flow.family);
  if (slots.head() != log_seen) catch_up();
  const pool::PeSlotIndex pe = way_of_new(
      packet, service, chooser.steer(service, now, flow.family, packet.source(), flow.source_port));
  if (pe == pool::kNoPeSlot) return empty_pool(packet, service);
  count(service.index, &ServiceCounters::steered);
  const uint8_t flags = flags_of(service.settings.mode);
  if (unsigned mtu; !fits(packet, lines[pe], flags, mtu)) return too_big(packet, mtu);
  to_pe(packet, lines[pe], flags);
}

void Redirector::Impl::empty_pool(Packet& packet, const ServiceEntry& service) {
  if (pools.unknown(now_us)) return drop(packet.mbuf, DropReason::pool_unknown);
  if (service.settings.empty_pool == config::EmptyPool::drop)
    return drop(packet.mbuf, DropReason::pool_empty);
  refuse(packet, service.index, DropReason::pool_empty, true);
}

}  // namespace poolgate::redirect
