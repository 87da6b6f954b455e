// SPDX-License-Identifier: BSD-3-Clause
// The burst: hash and prefetch, find candidates and prefetch them, then each packet. What nearly every packet
// is, one of an established IPv4 flow to a live PE (or, in `nat`, from it), is dealt with here in one piece;
// all else goes to one().
#include <algorithm>
#include <cstddef>

#include "dataplane/redirect/impl.h"
#include "dataplane/redirect/nat.h"
#include "dataplane/redirect/parse_mbuf.h"
#include "dataplane/redirect/sctp_chunks.h"
#include "dataplane/redirect/tcp_sequence.h"
#include "dataplane/redirect/wire.h"

namespace poolgate::redirect {
namespace {

// A session (not an alias) that is established, and this flow's: one answer, without a branch.
bool is_plain(const Session& s, const session::FlowKey& flow) {
  static_assert(offsetof(Session, flags) == offsetof(Session, state) + 1 &&
                offsetof(Session, kind) == offsetof(Session, state) + 2);
  uint32_t word;
  std::memcpy(&word, &s.state, 4);
  constexpr uint32_t kMask = 0xff | 0xff << 16;
  constexpr uint32_t kPlain =
      static_cast<uint32_t>(State::established) | static_cast<uint32_t>(session::Kind::session) << 16;
  return (((word ^ kPlain) & kMask) | session::differing_bytes(s.key, flow)) == 0;
}

// True if the packet changes nothing of its session's state; what it tells is noted. `p`: the transport
// header, of which the first 20 bytes can be read; `length`: of the whole.
bool plain_packet(Session& s, const PacketInfo& info, const uint8_t* p) {
  if (info.flow.protocol == wire::kSctp)
    return sctp::verification_tag(p) == s.tag_p && sctp::changes_nothing(p, info.l4_length);
  if (info.flow.protocol == wire::kUdp) return true;
  if ((p[13] & (tcp::kFin | tcp::kSyn | tcp::kRst | tcp::kAck)) != tcp::kAck) return false;
  tcp::note(s, p, info.l4_length);
  return true;
}

// `nat` of SCTP without SNAT, to a PE with the service's own port, by the session's own key: the destination
// address is all that changes.
bool only_destination(const Session& s, const PacketInfo& info, const Session& entry,
                      const pool::PeLine& line) {
  return ((&entry == &s) & ((s.flags & (session::kNat | session::kSnat)) == session::kNat) &
          (s.counterpart != session::kNone) & (line.port == info.flow.destination_port) &
          (info.flow.protocol == wire::kSctp)) != 0;
}

// By itself, as the loop over a burst has no registers left for it.
[[gnu::noinline]] bool in_tunnel(rte_mbuf* mbuf, const PacketInfo& info, Tunnel tunnel,
                                 const pool::PeLine& line, const TunnelSource& source, uint16_t& id) {
  return encapsulate(mbuf, info, tunnel, line, source, id) == Encapsulated::done;
}

}  // namespace

// What l2 does not need: a plain packet to the PE, in its tunnel or with its addresses. `entry`: has its key.
// False: nothing was done.
[[gnu::always_inline]] inline bool Redirector::Impl::rewrite(rte_mbuf* mbuf, const PacketInfo& info,
                                                             const Session& s, const Session& entry,
                                                             const pool::PeLine& line, uint16_t port_id) {
  if ((s.flags & session::kNat) == 0)
    return in_tunnel(mbuf, info, tunnel_of(s.flags), line, tunnel_sources[port_id], outer_id);
  uint32_t source = info.flow.source, destination = wire::raw32(line.address);
  uint16_t port = info.flow.source_port;
  if (entry.counterpart == session::kNone) [[unlikely]]
    return false;
  if ((s.flags & session::kSnat) != 0 || &entry != &s) {
    const session::FlowKey& key = sessions.at(entry.counterpart).key;
    destination = key.source;
    if ((s.flags & session::kSnat) != 0) {
      source = key.destination;
      port = key.destination_port;
    }
  }
  rewrite_plain(rte_pktmbuf_mtod(mbuf, uint8_t*), info, source, destination,
                port | uint32_t{line.port} << 16);
  return true;
}

// A burst under way. Its packets go through three steps, each of which leaves the next one's memory on its
// way.
struct Redirector::Impl::Burst {
  explicit Burst(rte_mbuf* const* given) : mbufs(given) {}
  rte_mbuf* const* mbufs;
  union {
    PacketInfo infos[kMaxBurst];  // not zeroed first: read() writes each
  };
  const session::BucketIndex::Bucket* buckets[kMaxBurst];
  Session* sessions[kMaxBurst];  // candidates; entry 0 where there is none
  ServiceTally tally;
  Output::Port* port = nullptr;  // the last that a packet left by
  uint32_t port_id = UINT32_MAX;
  // Where the last client's packet came from: both MAC addresses, in two words. Most of a burst comes from
  // one router.
  uint64_t macs = 0;
  uint32_t more_macs = 0;
  uint32_t came_by = UINT32_MAX;
  uint16_t hop = 0;
  bool any_v6 = false;

  // Its first packets are dealt with. (No buckets: they were looked at.)
  void leave_out(unsigned first, unsigned n) {
    mbufs += first;
    std::copy(infos + first, infos + n, infos);
    std::copy(sessions + first, sessions + n, sessions);
  }
};

// Parse and hash; the bucket is on its way.
inline void Redirector::Impl::read(Burst& b, unsigned n) {
  for (unsigned i = 0; i < n; ++i) {
    PacketInfo& info = b.infos[i];
    if (!parse_mbuf(b.mbufs[i], info) && info.flow.family == 6) [[unlikely]] {
      const Packet packet{b.mbufs[i], info};
      session::set_v6_words(info.flow, packet.addresses(), sessions.secret());
      b.any_v6 = true;
    }
    info.hash = session::hash_flow(info.flow, sessions.secret());
    b.buckets[i] = sessions.bucket(info.hash);
    __builtin_prefetch(b.buckets[i]);
  }
}

// The bucket's first candidate; its session is on its way.
inline void Redirector::Impl::find(Burst& b, unsigned n) {
  for (unsigned i = 0; i < n; ++i) {
    b.sessions[i] = &sessions.at(session::BucketIndex::first_candidate(*b.buckets[i], b.infos[i].hash));
    __builtin_prefetch(b.sessions[i], 1);
  }
  if (!b.any_v6) [[likely]]
    return;
  for (unsigned i = 0; i < n; ++i) {
    if (b.infos[i].flow.family == 6) sessions.prefetch_addresses(sessions.index_of(*b.sessions[i]));
  }
}

// An alias has its session, of `nat` its counterpart too, and what leaves by SNAT its own, in another line.
// Most bursts are of one side's packets: the first ones tell whether the rest is worth the look.
inline void Redirector::Impl::look_behind(const Burst& b, unsigned n) const {
  const auto leads_on = [&](unsigned i) {
    const Session& s = *b.sessions[i];
    const bool copy = ((s.flags & session::kFromPe) != 0) & (s.state == State::established);
    return ((s.kind == session::Kind::alias) & !copy) | ((s.flags & session::kSnat) != 0);
  };
  bool any = false;
  for (unsigned i = 0; i < n && i < 4; ++i) any |= leads_on(i);
  for (unsigned i = 0; any && i < n; ++i) {
    const Session& s = *b.sessions[i];
    if (!leads_on(i) || (s.flags & session::kRemote) != 0) continue;
    if (s.kind == session::Kind::alias) sessions.prefetch(s.session);
    sessions.prefetch(s.counterpart);
  }
}

// Most bursts are of one side's packets. If the first ones are PEs', those in front of a client's go back
// here. Returns how many packets are left in the burst.
inline unsigned Redirector::Impl::come_back(Burst& b, unsigned n) {
  for (unsigned i = 0; i < n && i < 4; ++i) {
    if (!is_from_pe(*b.sessions[i])) return n;
  }
  const unsigned back = nat_back_run(b.mbufs, b.infos, b.sessions, n, b.tally);
  if (back != 0 && back != n) b.leave_out(back, n);
  return n - back;
}

// Where the client is gets looked at with each packet that comes from elsewhere than the last one's: false if
// its session must learn it.
inline bool Redirector::Impl::comes_from_there(Burst& b, const Session& s, const uint8_t* frame,
                                               uint16_t port) {
  const uint64_t macs = wire::raw64(frame);
  const uint32_t more_macs = wire::raw32(frame + 8);
  if (macs == b.macs && more_macs == b.more_macs && port == b.came_by && s.client_hop == b.hop) [[likely]]
    return true;
  if (!hops.is(s.client_hop, frame, port)) return !client_hop_is_due(s);
  b.macs = macs;
  b.more_macs = more_macs;
  b.came_by = port;
  b.hop = s.client_hop;
  return true;
}

// What nearly every packet is. False: nothing was done.
inline bool Redirector::Impl::redirect_plain(Burst& b, rte_mbuf* mbuf, const PacketInfo& info, Session& s) {
  if (!comes_from_there(b, s, rte_pktmbuf_mtod(mbuf, uint8_t*), mbuf->port)) [[unlikely]]
    return false;
  return send_plain(b, mbuf, info, s, s);
}

// Of session `s`, or of a copy of it. `entry`: has the packet's key. False: nothing was done.
[[gnu::always_inline]] inline bool Redirector::Impl::send_plain(Burst& b, rte_mbuf* mbuf,
                                                                const PacketInfo& info, Session& s,
                                                                const Session& entry) {
  if (s.deaths != lines[s.pe].deaths) [[unlikely]]
    return false;
  pool::PeLine& line = lines[&entry == &s ? s.pe : way_of(sessions.index_of(entry))];
  uint8_t* frame = rte_pktmbuf_mtod(mbuf, uint8_t*);
  if (line.next_hop >= max_next_hops) [[unlikely]]
    return false;
  const drivers::NextHop& hop = next_hops[line.next_hop];
  if (hop.state.load(std::memory_order_acquire) != drivers::NextHop::resolved || hop.port_id >= kMaxPorts)
      [[unlikely]]
    return false;
  const unsigned rewritten = s.flags & session::kRewritten;
  const unsigned outer =
      (rewritten & ~unsigned{session::kNat}) == 0 ? 0 : tunnel_overhead(tunnel_of(s.flags), line.family);
  if (info.l4_length + wire::kIpv4Header + outer > hop.mtu) [[unlikely]]
    return false;
  if (!plain_packet(s, info, frame + kPlainTransport)) return false;
  const uint32_t bytes = mbuf->pkt_len;
  if (rewritten != 0) {
    if (line.diverted) [[unlikely]]
      return false;
    if (only_destination(s, info, entry, line)) {
      rewrite_destination(frame, wire::raw32(line.address));
    } else {
      if (!rewrite(mbuf, info, s, entry, line, hop.port_id)) return false;
      frame = rte_pktmbuf_mtod(mbuf, uint8_t*);
    }
  }
  s.last_seen_ms = now_ms;
  add(line.packets, 1);
  add(line.bytes, bytes);
  if (s.service != b.tally.service) [[unlikely]]
    settle(b.tally, s.service);
  ++b.tally.packets;
  b.tally.bytes += bytes;
  std::memcpy(frame, hop.ether_addresses, 12);
  if (hop.port_id != b.port_id) [[unlikely]] {
    b.port_id = hop.port_id;
    b.port = &out->ports[hop.port_id];
    out->ports_used |= 1u << hop.port_id;
  }
  b.port->mbufs[b.port->n++] = mbuf;
  return true;
}

// The packet's key is another one of its session, of the client's further address, or it is of another
// worker's session. That of the latter which changes nothing leaves from here, by the copy that its
// owner told of; all else is the owner's. False: nothing was done.
[[gnu::noinline]] bool Redirector::Impl::redirect_alias(Burst& b, rte_mbuf* mbuf, PacketInfo& info,
                                                        Session& alias) {
  const bool remote = (alias.flags & session::kRemote) != 0;
  Session& s = remote ? alias : sessions.at(alias.session);
  // Where the client is, is for the owner to know.
  if (s.state == State::established &&
      (remote || comes_from_there(b, alias, rte_pktmbuf_mtod(mbuf, uint8_t*), mbuf->port)) &&
      send_plain(b, mbuf, info, s, alias))
    return true;
  if (!remote) return false;
  Packet packet{mbuf, info};
  give(packet, alias.owner, Stage::to_owner);
  return true;
}

namespace {
bool opens(const PacketInfo& info, const rte_mbuf* mbuf) {
  if ((info.plain == 0) | (info.flow.protocol != wire::kSctp)) return false;
  const uint8_t type = rte_pktmbuf_mtod(mbuf, const uint8_t*)[kPlainTransport + wire::kSctpHeader];
  return (type == sctp::kInit) | (type == sctp::kCookieEcho);
}
}  // namespace

// Where many associations begin, a burst has several of their packets: the index lines that each needs are on
// their way while the first is dealt with.
[[gnu::noinline]] void Redirector::Impl::fetch_for_openings(const Burst& b, unsigned first,
                                                            unsigned n) const {
  for (unsigned i = first; i < n; ++i) {
    if (!opens(b.infos[i], b.mbufs[i])) continue;
    PacketInfo info = b.infos[i];
    const Packet packet{b.mbufs[i], info};
    sctp::Chunks chunks(packet.l4(), packet.l4_readable());
    sctp::ChunkView chunk;
    if (!chunks.next(chunk)) continue;
    if (chunk.type == sctp::kCookieEcho) {
      const Session& s = *b.sessions[i];
      sessions.prefetch_tag(s.service, info.flow.source_port, sctp::verification_tag(packet.l4()));
      continue;
    }
    sctp::InitView init;
    if (!sctp::parse_init(chunk, init)) continue;
    for (size_t a = 0; a < init.n; ++a) {
      session::FlowKey key;
      uint8_t both[32];
      if (key_from(packet, init.addresses[a], key, both))
        __builtin_prefetch(sessions.bucket(session::hash_flow(key, sessions.secret())), 1);
    }
  }
}

[[gnu::flatten]] inline void Redirector::Impl::redirect(Burst& b, unsigned n) {
  bool fetched = false;
  for (unsigned i = 0; i < n; ++i) {
    PacketInfo& info = b.infos[i];
    rte_mbuf* const mbuf = b.mbufs[i];
    Session& s = *b.sessions[i];
    // Entry 0 is nobody's: its key is no packet's, so that "no candidate" needs no question of its own.
    if (info.plain != 0 && is_plain(s, info.flow) && redirect_plain(b, mbuf, info, s)) [[likely]]
      continue;
    if ((s.kind == session::Kind::alias) & (info.plain != 0) && session::same_key(s.key, info.flow)) {
      const bool from_pe = (s.flags & (session::kFromPe | session::kRemote)) == session::kFromPe;
      if (from_pe ? nat_back(mbuf, info, s, b.tally) : redirect_alias(b, mbuf, info, s)) continue;
    }
    if (!fetched && opens(info, mbuf)) {
      fetch_for_openings(b, i, n);
      fetched = true;
    }
    Packet packet{mbuf, info};
    one(packet, sessions.index_of(s));
  }
}

// Aligned: otherwise what stands in front of it in the file moves its loops, and the cycles by one or two.
[[gnu::aligned(64)]] void Redirector::Impl::process(rte_mbuf* const* mbufs, unsigned n) {
  for (unsigned i = 0; i < n; ++i) __builtin_prefetch(rte_pktmbuf_mtod(mbufs[i], const void*));
  if (services == nullptr) [[unlikely]] {
    for (unsigned i = 0; i < n; ++i) {
      PacketInfo info;
      parse_mbuf(mbufs[i], info);
      Packet packet{mbufs[i], info};
      one(packet, session::kNone);
    }
    return;
  }
  Burst burst(mbufs);
  read(burst, n);
  find(burst, n);
  // What another worker hands over has an alias here.
  if (services->any_nat() || (others != nullptr && others->handed)) look_behind(burst, n);
  if (services->any_nat()) n = come_back(burst, n);
  redirect(burst, n);
  settle(burst.tally, kNoService);
  if (others != nullptr && others->outgoing_used != 0) flush_handover();
}

// The burst's counts of one service, written when another's begins.
void Redirector::Impl::settle(ServiceTally& tally, ServiceIndex next) const {
  if (tally.packets != 0) {
    count(tally.service, &ServiceCounters::packets, tally.packets);
    count(tally.service, &ServiceCounters::bytes, tally.bytes);
  }
  tally = {next, 0, 0};
}

}  // namespace poolgate::redirect
