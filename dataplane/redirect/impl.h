// SPDX-License-Identifier: BSD-3-Clause
// The parts of a worker's redirect stage, and what they share. Private to dataplane/redirect: each .cc has
// one idea.
#pragma once

#include <rte_mbuf.h>

#include <memory>
#include <vector>

#include "dataplane/redirect/chooser.h"
#include "dataplane/redirect/client_hops.h"
#include "dataplane/redirect/fragment_table.h"
#include "dataplane/redirect/nat_sctp.h"
#include "dataplane/redirect/passive.h"
#include "dataplane/redirect/peers.h"
#include "dataplane/redirect/pending_inits.h"
#include "dataplane/redirect/redirector.h"
#include "dataplane/redirect/replaced_tags.h"
#include "dataplane/redirect/replies.h"
#include "dataplane/redirect/retired_snat.h"
#include "dataplane/redirect/sctp_chunks.h"
#include "dataplane/redirect/token_bucket.h"
#include "dataplane/session/session_table.h"

namespace poolgate::redirect {

using session::Session;
using session::SessionIndex;
using session::State;

// One packet of the burst, as the slow path sees it.
struct Packet {
  rte_mbuf* mbuf;
  PacketInfo& info;
  SessionIndex entry = session::kNone;  // whose key it has, once that is known
  bool partial = false;                 // a first fragment: not all of it is here

  uint8_t* frame() const { return rte_pktmbuf_mtod(mbuf, uint8_t*); }
  uint8_t* l3() const { return frame() + info.l3_offset; }
  uint8_t* l4() const { return frame() + info.l4_offset; }
  // Source and destination, one after the other, as SessionTable::addresses() has them.
  uint8_t* addresses() const { return l3() + (info.flow.family == 6 ? 8 : 12); }
  const uint8_t* source() const { return addresses(); }
  const uint8_t* destination() const { return addresses() + address_size(); }
  uint32_t ip_length() const {
    return static_cast<uint32_t>(info.l4_offset - info.l3_offset) + info.l4_length;
  }
  size_t address_size() const { return info.flow.family == 6 ? 16 : 4; }
  // Bytes of the transport packet in the first segment.
  size_t l4_readable() const {
    const size_t readable = mbuf->data_len - info.l4_offset;
    return readable < info.l4_length ? readable : info.l4_length;
  }
};

// RFC 1122 §3.2.1.3, RFC 4291 §2.5-2.7: nobody sends from there.
bool impossible_source(const Packet& packet);

// Where a burst's packet goes on from the look at its session.
enum class Verdict : uint8_t {
  forward,   // to the session's PE (or client)
  consumed,  // answered or dropped: the mbuf is gone
  renew,     // the session has been erased: as if none had been found
};

struct Redirector::Impl {
  Impl(const RedirectorOptions& options, std::unique_ptr<session::SessionTable> sessions,
       std::unique_ptr<ClientHops> hops, ServiceCounters* service_counters);

  // ---- burst.cc
  struct ServiceTally {
    ServiceIndex service = kNoService;
    uint64_t packets = 0, bytes = 0;
  };
  struct Burst;
  void process(rte_mbuf* const* mbufs, unsigned n);
  void read(Burst& burst, unsigned n);
  void find(Burst& burst, unsigned n);
  void look_behind(const Burst& b, unsigned n) const;
  unsigned come_back(Burst& burst, unsigned n);
  void redirect(Burst& burst, unsigned n);
  void fetch_for_openings(const Burst& b, unsigned first, unsigned n) const;
  bool redirect_plain(Burst& burst, rte_mbuf* mbuf, const PacketInfo& info, Session& s);
  bool send_plain(Burst& burst, rte_mbuf* mbuf, const PacketInfo& info, Session& s, const Session& entry);
  bool redirect_alias(Burst& burst, rte_mbuf* mbuf, PacketInfo& info, Session& alias);
  bool comes_from_there(Burst& burst, const Session& s, const uint8_t* frame, uint16_t port);
  void settle(ServiceTally& tally, ServiceIndex next) const;
  bool rewrite(rte_mbuf* mbuf, const PacketInfo& info, const Session& s, const Session& entry,
               const pool::PeLine& line, uint16_t port_id);

  // ---- redirector.cc: one packet
  void begin(const ServiceTable* table, uint64_t now, Output& output);
  void one(Packet& packet, SessionIndex candidate);
  void hit(Packet& packet, SessionIndex entry);
  bool by_copy(Packet& packet, Session& alias);
  void miss(Packet& packet);
  void exception(rte_mbuf* mbuf) const { out->exception[out->n_exception++] = mbuf; }
  void endpoint(const Packet& packet) const {
    out->endpoint_info[out->n_endpoint] = packet.info;
    out->endpoint[out->n_endpoint++] = packet.mbuf;
  }
  void drop(rte_mbuf* mbuf, DropReason reason) {
    drops.add(reason);
    rte_pktmbuf_free(mbuf);
  }

  // ---- ways.cc: by which of a PE's addresses
  static unsigned vip_number(const ServiceEntry& service, uint8_t family, const uint8_t* vip);
  pool::PeSlotIndex way(pool::PeSlotIndex pe, unsigned vip) const;
  pool::PeSlotIndex way_of_new(const Packet& packet, const ServiceEntry& service, pool::PeSlotIndex pe) const;
  bool leaves_dead(pool::PeSlotIndex way) const;
  bool has_lost_address(const Session& s) const;
  pool::PeSlotIndex way_to(pool::PeSlotIndex pe, uint8_t family, const uint8_t* address) const;
  pool::PeSlotIndex way_of(SessionIndex entry) const;
  pool::PeSlotIndex way_of_family(pool::PeSlotIndex pe, uint8_t family) const;
  static bool has_address(const pool::PeLine& line, uint8_t family, const uint8_t* address) {
    return line.family == family && std::memcmp(line.address, address, family == 6 ? 16 : 4) == 0;
  }
  // The line of the address that a packet to this one goes by, and its next hop.
  const pool::PeLine& outer_line(const pool::PeLine& pe, uint8_t flags) const {
    return tunnel_of(flags) == Tunnel::none ? pe : lines[pe.via];
  }
  static drivers::NextHopIndex next_hop_of(const pool::PeLine& pe, uint8_t flags) {
    return (flags & session::kNat) != 0 ? pe.own_next_hop : pe.next_hop;
  }

  // ---- forward.cc: out of the appliance
  // To the PE, as the session's flags say: as it stands, or in a tunnel.
  void to_pe(Packet& packet, const pool::PeLine& pe, uint8_t flags);
  void to_client(Packet& packet, uint16_t client_hop);
  void transmit(rte_mbuf* mbuf, uint16_t port) {
    Output::Port& p = out->ports[port];
    p.mbufs[p.n++] = mbuf;
    out->ports_used |= 1u << port;
  }

  // ---- too_big.cc
  // False: more than the way to the PE carries, and not to be cut; `mtu`: what the client may send.
  bool fits(const Packet& packet, const pool::PeLine& pe, uint8_t flags, unsigned& mtu) const;
  bool fits_back(const Packet& packet, uint16_t client_hop, unsigned& mtu) const;  // to the client
  void too_big(Packet& packet, unsigned mtu);
  // Cuts the packet, which is gone then, and gives each piece to `send`.
  template <typename Send>
  void in_pieces(Packet& packet, unsigned mtu, const Send& send);
  static constexpr unsigned kMaxPieces = 16;
  unsigned cut(Packet& packet, unsigned mtu, rte_mbuf** pieces, PacketInfo* infos);
  bool may_send_icmp_error();  // or pass one on; false: counted as icmp_rate

  // ---- fragments.cc
  void fragment(Packet& packet);
  void first_fragment(Packet& packet);
  void further_fragment(Packet& packet);
  void teach(const FragmentKey& id, const PacketInfo& info, SessionIndex entry, const uint8_t* addresses);

  // ---- icmp.cc
  bool icmp_error(Packet& packet);
  bool tunnel_too_big(Packet& packet, uint8_t* quoted, size_t length);
  bool icmp_rewrite(Packet& packet, uint8_t* quoted, uint8_t* l4, size_t l4_length);

  // ---- new_flow.cc: no session has this packet's key
  void new_flow(Packet& packet, const ServiceEntry& service);
  bool find_association(Packet& packet, const ServiceEntry& service);
  void hit_by_tag(Packet& packet, SessionIndex i);
  bool key_from(const Packet& packet, const sctp::InitView::Address& source, session::FlowKey& key,
                uint8_t* both) const;
  void start(Packet& packet, const ServiceEntry& service, pool::PeSlotIndex with = pool::kNoPeSlot);
  void start_beside(Packet& packet, const ServiceEntry& service, SessionIndex entry);
  void steer(Packet& packet, const ServiceEntry& service);
  pool::PeSlotIndex choose(Packet& packet, const ServiceEntry& service);
  SessionIndex insert(Packet& packet, const ServiceEntry& service, pool::PeSlotIndex pe);
  void empty_pool(Packet& packet, const ServiceEntry& service);

  // ---- client_hops.cc: where the client is
  uint16_t hop_of(const Packet& packet, uint16_t likely);
  void learn_hop(const Packet& packet, Session& s);
  void learn_hop_of_sctp(const Packet& packet, Session& s);
  uint16_t hop_to(SessionIndex near) const;
  uint16_t hop_back(const Packet& packet, const Session& s) const;
  SessionIndex reachable_by(SessionIndex i) const;
  void see_hops(const Session& e);
  void forget_hops(const RedirectorOptions& options);

  // ---- sctp_flow.cc, tcp_flow.cc: what a packet does to its session
  void confirm(SessionIndex i);
  void cookie_echo_to_half_open(SessionIndex i, uint32_t tag);
  void cookie_echo_from_client(const Packet& packet, SessionIndex i, uint32_t tag);
  void restarted(const Packet& packet, SessionIndex i, uint32_t tag, const ReplacedTags::Tags& before);
  ReplacedTags::Tags tags_of(SessionIndex i) const;
  [[gnu::cold]] void other_tag(SessionIndex i, uint32_t tag);
  Verdict track_sctp(Packet& packet, SessionIndex i, bool from_pe);
  Verdict sctp_control(Packet& packet, SessionIndex i, bool from_pe);
  void chunk_from_pe(SessionIndex i, uint32_t tag, uint8_t chunk, bool first);
  void init_ack_from_client(Packet& packet, SessionIndex i, const sctp::ChunkView& chunk);
  void cookie_ack_from_client(const Packet& packet, SessionIndex i, uint32_t tag);
  void sctp_init_from_client(Packet& packet, SessionIndex i, const sctp::InitView& init);
  void learn_addresses(SessionIndex i, const sctp::InitView& init);
  Verdict track_tcp(Packet& packet, SessionIndex i, bool from_pe);

  // ---- client_keys.cc: its further addresses, when an association begins anew
  void compare_keys(SessionIndex i, SessionIndex entry, const sctp::InitView& init);
  void restore_keys(SessionIndex i);
  void age_key(SessionIndex alias);
  void forget_key(SessionIndex alias);

  // ---- camping.cc: addresses that an INIT lists and another host has
  bool leaves_camp(const Packet& packet, SessionIndex i, const sctp::InitView& init);
  bool is_guest(SessionIndex entry) const;
  bool is_of_another(Packet& packet, SessionIndex i);

  // ---- succession.cc: the next association or connection on the ports of one whose PE takes no new ones
  pool::PeSlotIndex successor(SessionIndex i) const;
  Verdict init_to_successor(Packet& packet, SessionIndex i, uint32_t tag, pool::PeSlotIndex to);
  bool succeed(SessionIndex i);
  void move(SessionIndex i, pool::PeSlotIndex to);
  Verdict syn_to_successor(Packet& packet, SessionIndex i, pool::PeSlotIndex to);
  Verdict opens_at(Packet& packet, const Session& s, pool::PeSlotIndex to);
  void acked_after_syn(SessionIndex i, uint32_t sequence);

  // ---- nat.cc
  bool nat_begin(Packet& packet, const ServiceEntry& service, SessionIndex i);
  bool nat_rewrite(Packet& packet, SessionIndex i, bool from_pe);
  static bool is_from_pe(const Session& e) {
    return (e.kind == session::Kind::alias) &
           ((e.flags & (session::kFromPe | session::kRemote)) == session::kFromPe);
  }
  bool nat_back(rte_mbuf* mbuf, const PacketInfo& info, Session& alias, ServiceTally& tally);
  unsigned nat_back_run(rte_mbuf* const* mbufs, const PacketInfo* infos, Session* const* candidates,
                        unsigned n, ServiceTally& tally);
  template <typename Send>
  bool send_back(rte_mbuf* mbuf, const PacketInfo& info, Session& alias, ServiceTally& tally,
                 const Send& send);
  bool copy_to_far(Session& alias);

  // ---- nat_addresses.cc
  struct NatKey {
    const uint8_t *from, *to;     // 4 or 16 bytes
    uint16_t from_port, to_port;  // network order
  };
  SessionIndex nat_add_key(SessionIndex i, uint8_t family, const NatKey& key, uint8_t flags,
                           SessionIndex counterpart);
  SessionIndex nat_client_key(SessionIndex i, uint8_t family, const uint8_t* client,
                              const uint8_t* vip) const;
  unsigned keys_of(SessionIndex i) const;
  void nat_map(SessionIndex i, bool from_pe, AddressMap& map) const;
  void nat_learn_client(Packet& packet, SessionIndex i);
  const uint8_t* nat_vip_of(const ServiceEntry& service, pool::PeSlotIndex pe, uint8_t family,
                            const uint8_t* address) const;
  void nat_learn_pe(Packet& packet, SessionIndex i);
  bool nat_find_init_ack(Packet& packet);

  // ---- snat.cc: SCTP's sources and ports
  bool snat_is_free(SessionIndex i, const rserpool::IpAddress& own, uint16_t port) const;
  bool snat_fits(SessionIndex i, const ServiceEntry& service, const rserpool::IpAddress& own, uint8_t second,
                 uint16_t port) const;
  uint8_t snat_second_family(const Packet& packet, const ServiceEntry& service, SessionIndex i) const;
  unsigned snat_learn_other(SessionIndex i, const ServiceEntry& service, const session::FlowKey& far,
                            uint8_t family, const uint8_t* client);

  // ---- retired_snat.cc
  void note_retired(SessionIndex i);
  RetiredInUse retired_in_use;

  // ---- refuse.cc: telling clients
  // Answers the packet (ABORT, RST, ICMP) and frees it, counting `reason`. `paced`: only within the service's
  // rate.
  void refuse(Packet& packet, ServiceIndex service, DropReason reason, bool paced);
  bool end_session(SessionIndex i);  // tells the client without a packet of it; false: not known where it is
  void send_reply(const uint8_t* frame, size_t length, uint16_t port);
  ReplyPath path_of(const Packet& packet) const;

  // ---- elsewhere.cc: the session may be another worker's. True: the packet is on its way there, or dealt
  // with
  bool elsewhere(Packet& packet, const ServiceEntry& service);
  bool return_elsewhere(Packet& packet);
  bool icmp_elsewhere(Packet& packet, const session::FlowKey& key, const uint8_t* addresses, Destination to);
  bool stray_elsewhere(Packet& packet);
  bool ask(Packet& packet, const ServiceEntry& service);
  bool ask_tag(Packet& packet, const ServiceEntry& service);
  unsigned next_to_ask(Packet& packet, unsigned home) const;
  void give(Packet& packet, unsigned to, Stage stage);
  void flush_handover();
  void take_handed(unsigned from);
  Stage stage_of(const Packet& packet) const;
  unsigned home_of(const Packet& packet) const;

  // ---- notices.cc: what workers tell each other of their keys. Without others, announce(), withdraw() and
  // set_tag_p() do only what one worker needs.
  void announce(SessionIndex entry);
  void announce_all(SessionIndex i);
  void announce_away(SessionIndex i);
  void announce_tag(SessionIndex i, Notice::About about);
  void withdraw(SessionIndex i);
  void set_tag_p(SessionIndex i, uint32_t tag);
  void disown(const Packet& packet);
  bool tell(unsigned to, const Notice& notice);  // false: lost, and counted so
  Notice notice_of(SessionIndex entry, Notice::About about) const;
  unsigned home_of(SessionIndex entry) const;
  void hear(const Notice& notice, unsigned from);
  void hear_alias(const Notice& notice, unsigned from, SessionIndex known, const session::FlowKey& key,
                  uint32_t hash);
  void age_notices(SessionIndex i);
  bool may_be_copied(const Session& s) const;
  void tell_seen(SessionIndex entry);
  void hear_seen(const Notice& notice, unsigned from, SessionIndex entry);
  void note_copy(Session& alias, const Notice& notice, unsigned from) const;

  // ---- pe_death.cc
  void catch_up();
  struct Dying;
  void abort_some(unsigned budget, bool first);
  void abort_of(Dying& of, unsigned budget, bool first, unsigned& steps);
  Verdict dead_pe(Packet& packet, SessionIndex i, bool from_pe);
  bool goes_back(SessionIndex i);

  // ---- passive.cc: what is noticed of PEs
  void watch(const Packet& packet, SessionIndex i);
  void look_at_watched();
  size_t outer_headers(const Packet& packet, const uint8_t* quoted, size_t length) const;
  void tunnel_error(const Packet& packet, const uint8_t* quoted, size_t length);
  void suspect(const Suspicion& suspicion);

  // ---- ageing.cc
  void age();
  void forget_init(SessionIndex i);
  bool is_stranded(const Session& s) const;
  uint32_t timeout_ms(const Session& s) const;

  // Where the client is gets looked at about once a second; in `nat` always, as the PE's packets move the
  // time on, too. `s`: the packet's key; an alias has the time of the last look, in `nat` none.
  bool client_hop_is_due(const Session& s) const {
    return (((now_ms ^ s.last_seen_ms) >> 10) != 0) | (s.client_hop == 0) | ((s.flags & session::kNat) != 0);
  }
  const ServiceEntry* service_of(const Session& s) const { return services->service(s.service); }
  void count(ServiceIndex service, std::atomic<uint64_t> ServiceCounters::*counter, uint64_t n = 1) const {
    if (service >= kMaxServices) return;
    add(counters[service].*counter, n);
  }
  // One that goes between a client and the PE.
  void count_packet(pool::PeLine& line, ServiceIndex service, uint32_t bytes) const {
    add(line.packets, 1);
    add(line.bytes, bytes);
    count(service, &ServiceCounters::packets);
    count(service, &ServiceCounters::bytes, bytes);
  }
  void take_over(const RedirectorOptions& options);  // the sessions of a former process
  void drop_snat_of_others();          // of them, those whose returns come to another worker now
  uint64_t snat_lost = 0;              // by it
  void session_ended(SessionIndex i);  // erases it, with its count

  const unsigned worker;
  rte_mempool* const mempool;
  pool::PoolTable& pools;
  pool::PeSlots& slots;
  pool::PeLine* const lines;
  const drivers::NextHop* const next_hops;
  const uint32_t max_next_hops;
  const TunnelSources tunnel_sources;
  const PortMtus port_mtus;
  DropCounters& drops;
  ServiceCounters* const counters;
  std::unique_ptr<session::SessionTable> owned_sessions;
  session::SessionTable& sessions;
  const uint32_t half_open_quota;
  const uint16_t snat_first, snat_last;
  FragmentTable fragments;
  Chooser chooser;
  std::unique_ptr<ClientHops> owned_hops;
  ClientHops& hops;
  uint16_t last_hop = 0;                      // the last one learnt
  std::vector<TokenBucket> refusals, aborts;  // by service
  TokenBucket icmp_errors;                    // sent, or passed on to PEs
  uint32_t random_state;
  std::unique_ptr<Peers> others;  // null: this worker is the only one that receives
  uint16_t outer_id = 0;          // IPv4 ID of the last tunnel packet that may be fragmented
  // Where the last packet that left for a PE went: fragments without a key follow their first (fragments.cc).
  pool::PeSlotIndex sent_to = pool::kNoPeSlot;
  uint8_t sent_as = 0;  // the flags that to_pe() had

  PendingInits pending_inits;
  ReplacedTags replaced_tags;
  PassiveWatch passive;
  Suspicions suspicions;

  // Of the call in progress.
  const ServiceTable* services = nullptr;
  Output* out = nullptr;
  uint64_t now_us = 0;
  uint32_t now_ms = 0;
  unsigned generated = 0;

  uint64_t log_seen = 0;
  // A PE whose sessions are being ended: the next of its list to look at. New sessions come before it.
  struct Dying {
    pool::PeSlotIndex pe;
    SessionIndex next;
    bool fresh = false;  // dead since this burst
  };
  std::vector<Dying> dying;
  SessionIndex age_cursor = session::kFirst;
  uint64_t aged_us = 0;
  // Until then a packet without a session may be of one that we had no room for.
  uint32_t pressure_until_ms = 0;
  bool pressure = false;
};

template <typename Send>
void Redirector::Impl::in_pieces(Packet& packet, unsigned mtu, const Send& send) {
  rte_mbuf* pieces[kMaxPieces];
  PacketInfo infos[kMaxPieces];
  const unsigned n = cut(packet, mtu, pieces, infos);
  for (unsigned i = 0; i < n; ++i) {
    Packet piece{pieces[i], infos[i]};
    send(piece);
  }
}

}  // namespace poolgate::redirect
