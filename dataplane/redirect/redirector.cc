// SPDX-License-Identifier: BSD-3-Clause
// The stage as the worker calls it, and the way of a packet that burst.cc does not deal with in one piece.
#include "dataplane/redirect/redirector.h"

#include <sys/random.h>

#include <algorithm>
#include <utility>

#include "dataplane/redirect/echo_of_probe.h"
#include "dataplane/redirect/impl.h"
#include "dataplane/redirect/sctp_chunks.h"
#include "dataplane/redirect/wire.h"

namespace poolgate::redirect {
namespace {

PortMtus known_mtus(PortMtus mtus) {
  for (uint16_t& mtu : mtus) mtu = mtu != 0 ? mtu : UINT16_MAX;
  return mtus;
}

// For what few sessions have at a time, when their clients begin anew.
uint32_t places_for(const session::SessionTable& sessions) {
  return std::clamp<uint32_t>(sessions.capacity() / 64, 256, 16'384);
}

}  // namespace

Redirector::Impl::Impl(const RedirectorOptions& options, std::unique_ptr<session::SessionTable> table,
                       std::unique_ptr<ClientHops> client_hops, ServiceCounters* service_counters)
    : worker(options.worker),
      mempool(options.mempool),
      pools(*options.pools),
      slots(options.pools->slots()),
      lines(slots.lines(options.worker)),
      next_hops(options.next_hops),
      max_next_hops(options.max_next_hops),
      tunnel_sources(options.tunnel_sources),
      port_mtus(known_mtus(options.port_mtus)),
      drops(*options.drops),
      counters(service_counters),
      owned_sessions(std::move(table)),
      sessions(*owned_sessions),
      half_open_quota(options.half_open_sessions),
      snat_first(options.snat_first_port),
      snat_last(options.snat_last_port),
      fragments(options.random_seed),
      chooser(options.worker, lines),
      owned_hops(std::move(client_hops)),
      hops(*owned_hops),
      refusals(kMaxServices),
      aborts(kMaxServices),
      random_state(static_cast<uint32_t>(options.random_seed | 1)),
      pending_inits(places_for(sessions)),
      replaced_tags(lines, places_for(sessions)) {}

Redirector::Redirector() : service_counters_(std::make_unique<ServiceCounters[]>(kMaxServices)) {}
Redirector::~Redirector() = default;

Result<std::unique_ptr<Redirector>> Redirector::create(const RedirectorOptions& given) {
  RedirectorOptions options = given;
  if (options.pools == nullptr || options.drops == nullptr || options.next_hops == nullptr)
    return Error{"redirector: pools, drops and next_hops must be given"};
  if (options.worker >= options.pools->slots().workers())
    return Error{"redirector: the pool table was made for fewer workers"};
  if (options.random_seed == 0 && getrandom(&options.random_seed, sizeof options.random_seed, 0) < 0)
    return Error{"redirector: no random seed"};
  pool::PeSlots& slots = options.pools->slots();
  pool::PeLine* lines = slots.lines(options.worker);
  const uint64_t seen = slots.head();
  for (pool::PeSlotIndex i = 0; i < slots.capacity(); ++i) slots.refresh(lines[i], i);
  auto sessions =
      session::SessionTable::open(options.session_file, options.sessions, lines, slots.capacity(),
                                  static_cast<uint32_t>(options.now_us / 1000), slots.generation());
  if (!sessions) return sessions.error();
  auto hops = ClientHops::open(options.client_hop_file);
  if (!hops) return hops.error();

  std::unique_ptr<Redirector> redirector(new Redirector);
  redirector->impl_ = std::make_unique<Impl>(options, std::move(*sessions), std::move(*hops),
                                             redirector->service_counters_.get());
  Impl& impl = *redirector->impl_;
  impl.log_seen = seen;
  if (options.handover != nullptr && options.handover->receivers().size() > 1 &&
      options.handover->receives(options.worker)) {
    auto tags = TagDirectory::create(impl.sessions.capacity());
    if (!tags) return tags.error();
    impl.others =
        std::make_unique<Peers>(*options.handover, std::move(*tags), redirector->handover_counters_);
    impl.others->first_round = impl.sessions.reattached() > 0;
  }
  impl.take_over(options);
  return redirector;
}

void Redirector::Impl::take_over(const RedirectorOptions& options) {
  drop_snat_of_others();
  forget_hops(options);
  for (SessionIndex i = session::kFirst; i < sessions.end(); ++i) {
    Session& s = sessions.at(i);
    if (!sessions.valid(i) || s.kind != session::Kind::session) continue;
    count(s.service, &ServiceCounters::sessions);
    // Its PE was found dead, and nobody was left to say so.
    if ((s.deaths != lines[s.pe].deaths || has_lost_address(s)) &&
        std::none_of(dying.begin(), dying.end(), [&](const Dying& d) { return d.pe == s.pe; }))
      dying.push_back({s.pe, sessions.first_of_pe(s.pe)});
  }
  // What a crash left half-made: a key of `nat` whose counterpart is none of its session's.
  for (SessionIndex i = session::kFirst; i < sessions.end(); ++i) {
    Session& e = sessions.at(i);
    if (!sessions.valid(i) || e.counterpart == session::kNone) continue;
    const SessionIndex own = sessions.session_of(i), other = e.counterpart;
    const bool whole = other >= session::kFirst && other < sessions.end() && sessions.valid(other) &&
                       sessions.session_of(other) == own && sessions.at(other).key.family == e.key.family;
    if (!whole) e.counterpart = session::kNone;
  }
}

void Redirector::process(rte_mbuf* const* mbufs, unsigned n, uint64_t now_us, Output& out) {
  impl_->begin(services_.load(std::memory_order_acquire), now_us, out);
  impl_->process(mbufs, n);
}

void Redirector::fetch_handed() {
  if (impl_->others == nullptr) return;
  for (const uint8_t from : impl_->others->rings.receivers()) {
    if (from != impl_->worker && impl_->others->waiting[from].n == 0) impl_->take_handed(from);
  }
}

unsigned Redirector::process_handed(unsigned from, uint64_t now_us, Output& out) {
  if (impl_->others == nullptr || from == impl_->worker) return 0;
  Peers& peers = *impl_->others;
  Peers::Waiting& waiting = peers.waiting[from];
  if (waiting.n == 0) impl_->take_handed(from);
  const unsigned n = std::exchange(waiting.n, 0);
  impl_->begin(services_.load(std::memory_order_acquire), now_us, out);
  // After the packets have been taken: what was said before one of them is known when it is looked at.
  Notice notice;
  unsigned heard = 0;
  for (; heard < Handover::kNotices && peers.rings.hear(from, impl_->worker, notice); ++heard)
    impl_->hear(notice, from);
  if (n == 0) return heard + impl_->generated;
  rte_mbuf* mbufs[kMaxBurst];
  for (unsigned i = 0; i < n; ++i) mbufs[i] = waiting.packets[i].packet;
  add(peers.counters.taken, n);
  peers.handed = true;
  peers.from = from;
  impl_->process(mbufs, n);
  peers.handed = false;
  return n + heard;
}

void Redirector::service_timers(uint64_t now_us, Output& out) {
  impl_->begin(services_.load(std::memory_order_acquire), now_us, out);
  if (impl_->services == nullptr) return;
  if (!impl_->dying.empty()) impl_->abort_some(kMaxGenerated, false);
  impl_->age();
  impl_->replaced_tags.sweep(impl_->now_ms);
  impl_->look_at_watched();
}

bool Redirector::next_suspicion(Suspicion& suspicion) { return impl_->suspicions.next(suspicion); }

void Redirector::Impl::begin(const ServiceTable* table, uint64_t now, Output& output) {
  services = table;
  out = &output;
  now_us = now;
  now_ms = static_cast<uint32_t>(now / 1000);
  generated = 0;
  if (services != nullptr && slots.head() != log_seen) [[unlikely]]
    catch_up();
}

void Redirector::Impl::one(Packet& packet, SessionIndex candidate) {
  const PacketInfo& info = packet.info;
  switch (info.kind) {
    [[likely]] case PacketKind::l4 : {
      const uint8_t* v6 = packet.addresses();
      if (candidate == session::kNone || !sessions.matches(candidate, info.flow, v6)) [[unlikely]] {
        candidate = sessions.find(info.flow, info.hash, v6);
        if (candidate == session::kNone) return miss(packet);
      }
      return hit(packet, candidate);
    }
    case PacketKind::bad:
      return drop(packet.mbuf, info.drop);
    case PacketKind::fragment:
      return fragment(packet);
    case PacketKind::icmp:
      if (is_echo_of_probe(info, packet.l4(), packet.l4_readable())) [[unlikely]]
        return endpoint(packet);
      if (services != nullptr && icmp_error(packet)) return;
      return exception(packet.mbuf);
    case PacketKind::other:
      return exception(packet.mbuf);
  }
}

void Redirector::Impl::hit(Packet& packet, SessionIndex entry) {
  packet.entry = entry;
  SessionIndex i = entry;
  bool from_pe = false;
  Session* s = &sessions.at(i);
  if (s->kind == session::Kind::alias) [[unlikely]] {
    if ((s->flags & session::kRemote) != 0)
      return by_copy(packet, *s) ? void() : give(packet, s->owner, Stage::to_owner);
    from_pe = (s->flags & session::kFromPe) != 0;
    i = s->session;
    s = &sessions.at(i);
  }
  if (services == nullptr) [[unlikely]]
    return exception(packet.mbuf);
  if (!from_pe && (s->flags & session::kSnat) != 0 && packet.info.flow.protocol == wire::kSctp &&
      (s->state == State::half_open || is_guest(entry)) && is_of_another(packet, i)) [[unlikely]]
    return;
  Verdict verdict = Verdict::forward;
  if (s->deaths != lines[s->pe].deaths) [[unlikely]]
    verdict = dead_pe(packet, i, from_pe);
  if (verdict == Verdict::forward) {
    const bool due = !from_pe && client_hop_is_due(sessions.at(entry));
    switch (packet.info.flow.protocol) {
      case wire::kSctp: {
        // DATA comes last in a packet: a packet that begins with it changes no state (RFC 9260 §6.10).
        const uint8_t* p = packet.l4();
        if (packet.l4_readable() >= wire::kSctpHeader + 4 && p[12] == sctp::kData &&
            sctp::verification_tag(p) == s->tag_p && s->state == State::established && !from_pe) [[likely]] {
          s->last_seen_ms = now_ms;
        } else {
          verdict = track_sctp(packet, i, from_pe);
        }
        break;
      }
      case wire::kTcp:
        verdict = track_tcp(packet, i, from_pe);
        break;
      default:
        s->last_seen_ms = now_ms;
    }
    if (due && verdict == Verdict::forward) [[unlikely]]
      packet.info.flow.protocol == wire::kSctp ? learn_hop_of_sctp(packet, *s) : learn_hop(packet, *s);
  }
  if (verdict != Verdict::forward) [[unlikely]] {
    if (verdict == Verdict::renew) miss(packet);
    return;
  }
  pool::PeLine& line = lines[from_pe ? s->pe : way_of(entry)];
  const uint16_t hop = from_pe ? hop_back(packet, *s) : uint16_t{0};
  if (unsigned mtu; from_pe ? !fits_back(packet, hop, mtu) : !fits(packet, line, s->flags, mtu)) [[unlikely]]
    return too_big(packet, mtu);
  count_packet(line, s->service, packet.mbuf->pkt_len);
  if (s->flags & session::kNat) [[unlikely]] {
    if (!nat_rewrite(packet, i, from_pe)) return;
    if (from_pe) return to_client(packet, hop);
  }
  to_pe(packet, line, s->flags);
}

// As burst.cc's redirect_alias() does it, for IPv6 and VLANs. False: it is for the owner.
bool Redirector::Impl::by_copy(Packet& packet, Session& alias) {
  if (alias.state != State::established || packet.partial || services == nullptr) return false;
  const uint8_t* p = packet.l4();
  if (packet.info.flow.protocol == wire::kSctp &&
      (packet.l4_readable() < wire::kSctpHeader + 4 || sctp::verification_tag(p) != alias.tag_p ||
       !sctp::changes_nothing(p, packet.info.l4_length)))
    return false;
  pool::PeLine& line = lines[alias.pe];
  if (unsigned mtu; alias.deaths != line.deaths || !fits(packet, line, alias.flags, mtu)) return false;
  alias.last_seen_ms = now_ms;
  count_packet(line, alias.service, packet.mbuf->pkt_len);
  to_pe(packet, line, alias.flags);
  return true;
}

void Redirector::Impl::miss(Packet& packet) {
  if (services == nullptr) return exception(packet.mbuf);
  const Classified to = services->classify(packet.frame(), packet.info);
  switch (to.destination) {
    case Destination::service: {
      const ServiceEntry* service = services->service(to.service);
      if (service == nullptr) return drop(packet.mbuf, DropReason::service_protocol);
      if (others != nullptr && elsewhere(packet, *service)) return;
      return new_flow(packet, *service);
    }
    case Destination::service_no_port:
      if (impossible_source(packet)) return drop(packet.mbuf, DropReason::ip_address);
      if (others != nullptr && stray_elsewhere(packet)) return;
      return refuse(packet, to.service, DropReason::service_protocol, true);
    case Destination::nat_return:
      if (others != nullptr && return_elsewhere(packet)) return;
      if (nat_find_init_ack(packet)) return;
      return to.kernels_too ? exception(packet.mbuf) : drop(packet.mbuf, DropReason::nat_no_session);
    case Destination::endpoint:
      return endpoint(packet);
    case Destination::exception:
      // To a client, in `nat` without SNAT.
      if (nat_find_init_ack(packet)) return;
      if (others != nullptr && stray_elsewhere(packet)) return;
      return exception(packet.mbuf);
  }
}

void Redirector::Impl::session_ended(SessionIndex i) {
  withdraw(i);
  for (auto& d : dying) {
    if (d.next == i) d.next = sessions.at(i).next_of_pe;
  }
  replaced_tags.forget(i);
  count(sessions.at(i).service, &ServiceCounters::sessions, static_cast<uint64_t>(-1));
  sessions.erase(i);
}

}  // namespace poolgate::redirect
