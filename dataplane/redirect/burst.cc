// SPDX-License-Identifier: BSD-3-Clause
// The burst: hash and prefetch, find candidates and prefetch them, then each packet. What nearly every packet
// is, one of an established IPv4 flow to a live PE (or, in `nat`, from it), is dealt with here in one piece;
// all else goes to one().
#include <cstddef>

#include "dataplane/redirect/impl.h"
#include "dataplane/redirect/nat.h"
#include "dataplane/redirect/sctp_chunks.h"
#include "dataplane/redirect/wire.h"

namespace poolgate::redirect {
namespace {

// A session (not an alias) that is established: state and kind in one look.
bool is_plain(const Session& s) {
  static_assert(offsetof(Session, flags) == offsetof(Session, state) + 1 &&
                offsetof(Session, kind) == offsetof(Session, state) + 2);
  uint32_t word;
  std::memcpy(&word, &s.state, 4);
  constexpr uint32_t kMask = 0xff | 0xff << 16;
  return (word & kMask) ==
         (static_cast<uint32_t>(State::established) | static_cast<uint32_t>(session::Kind::session) << 16);
}

// True if the packet changes nothing of its session's state; what it tells is noted. `p`: the transport
// header, of which the first 16 bytes can be read.
bool plain_packet(Session& s, uint8_t protocol, const uint8_t* p) {
  // RFC 9260 §6.10: a packet that begins with DATA holds nothing else.
  if (protocol == wire::kSctp) return (p[12] == sctp::kData) & (sctp::verification_tag(p) == s.tag_p);
  if (protocol == wire::kUdp) return true;
  constexpr uint8_t kFin = 1, kSyn = 2, kRst = 4, kAck = 16;
  if ((p[13] & (kFin | kSyn | kRst | kAck)) != kAck) return false;
  s.tag_p = wire::get32(p + 8);
  return true;
}

}  // namespace

// What l2 does not need: a plain packet to the PE, in its tunnel or with its addresses. False: nothing was
// done.
inline bool Redirector::Impl::rewrite(rte_mbuf* mbuf, const PacketInfo& info, const Session& s,
                                      const pool::PeLine& line, uint16_t port_id) {
  if ((s.flags & session::kNat) == 0)
    return encapsulate(mbuf, info, tunnel_of(s.flags), line, tunnel_sources[port_id], outer_id) ==
           Encapsulated::done;
  uint32_t source = info.flow.source;
  uint16_t port = info.flow.source_port;
  if (s.counterpart == session::kNone) [[unlikely]]
    return false;
  if ((s.flags & session::kSnat) != 0) {
    const session::FlowKey& key = sessions.at(s.counterpart).key;
    source = key.destination;
    port = key.destination_port;
  }
  rewrite_plain(rte_pktmbuf_mtod(mbuf, uint8_t*), info, source, wire::raw32(line.address),
                port | uint32_t{line.port} << 16);
  return true;
}

void Redirector::Impl::process(rte_mbuf* const* mbufs, PacketInfo* infos, unsigned n) {
  SessionIndex candidates[kMaxBurst];
  for (unsigned i = 0; i < n; ++i) {
    PacketInfo& info = infos[i];
    if (info.flow.family == 6) [[unlikely]] {
      const Packet packet{mbufs[i], info};
      session::set_v6_words(info.flow, packet.addresses(), sessions.secret());
    }
    info.hash = session::hash_flow(info.flow, sessions.secret());
    sessions.prefetch_bucket(info.hash);
  }
  for (unsigned i = 0; i < n; ++i) {
    candidates[i] = sessions.first_candidate(infos[i].hash);
    sessions.prefetch(candidates[i]);
  }
  if (services == nullptr) [[unlikely]] {
    for (unsigned i = 0; i < n; ++i) {
      Packet packet{mbufs[i], infos[i]};
      one(packet, candidates[i]);
    }
    return;
  }

  // Entry 0 is nobody's: its key is no packet's, so that "no candidate" needs no question of its own.
  uint64_t plain = 0;  // bit i: packet i is of a session that is plain
  for (unsigned i = 0; i < n; ++i) {
    const Session& s = sessions.at(candidates[i]);
    // Three questions, one branch-free answer.
    const unsigned parsed = infos[i].plain, same = sessions.key_matches(candidates[i], infos[i].flow);
    const unsigned established = is_plain(s);
    plain |= uint64_t{parsed & same & established} << i;
    const void* next = &lines[s.pe];
    if (s.kind == session::Kind::alias) [[unlikely]]
      next = &sessions.at(s.session);
    __builtin_prefetch(next);
    if ((s.flags & session::kSnat) != 0) [[unlikely]]
      sessions.prefetch(s.counterpart);
  }

  ServiceTally tally;
  for (unsigned i = 0; i < n; ++i) {
    PacketInfo& info = infos[i];
    rte_mbuf* const mbuf = mbufs[i];
    Session& s = sessions.at(candidates[i]);
    if ((plain >> i & 1) != 0) [[likely]] {
      pool::PeLine& line = lines[s.pe];
      const uint32_t bytes = mbuf->pkt_len;
      uint8_t* const frame = rte_pktmbuf_mtod(mbuf, uint8_t*);
      const bool fresh = !client_hop_is_due(s) || hops.is(s.client_hop, frame, mbuf->port);
      if (fresh & (s.deaths == line.deaths) & (line.next_hop < max_next_hops)) [[likely]] {
        const drivers::NextHop& hop = next_hops[line.next_hop];
        const unsigned rewritten = s.flags & session::kRewritten;
        const Tunnel tunnel = tunnel_of(s.flags);
        const unsigned outer = rewritten == 0 ? 0 : tunnel_overhead(tunnel, line.family);
        if ((hop.state.load(std::memory_order_acquire) == drivers::NextHop::resolved) &
                (info.l4_length + wire::kIpv4Header + outer <= hop.mtu) & (hop.port_id < kMaxPorts) &&
            plain_packet(s, info.flow.protocol, frame + kPlainTransport) &&
            (rewritten == 0 || rewrite(mbuf, info, s, line, hop.port_id))) [[likely]] {
          s.last_seen_ms = now_ms;
          add(line.packets, 1);
          add(line.bytes, bytes);
          if (s.service != tally.service) [[unlikely]]
            settle(tally, s.service);
          ++tally.packets;
          tally.bytes += bytes;
          std::memcpy(rte_pktmbuf_mtod(mbuf, uint8_t*), hop.ether_addresses, 12);
          transmit(mbuf, hop.port_id);
          continue;
        }
      }
    }
    if ((s.kind == session::Kind::alias) & ((s.flags & session::kFromPe) != 0) & (info.plain != 0) &&
        sessions.key_matches(candidates[i], info.flow) && nat_back(mbuf, info, s, tally))
      continue;
    const uint64_t erased = sessions.erased();
    Packet packet{mbuf, info};
    one(packet, candidates[i]);
    // What was found for the packets behind may be another's by now.
    if (sessions.erased() != erased) [[unlikely]]
      plain = 0;
  }
  settle(tally, kNoService);
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
