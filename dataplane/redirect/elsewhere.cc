// SPDX-License-Identifier: BSD-3-Clause
// Several workers (DESIGN.md §5): a packet whose key this worker does not know may be of a session that
// another one owns. Its receiver asks the flow's home; home asks whoever may have the tag or, of an INIT, one
// of the addresses in it; only when nobody has is the flow new, and home's.
#include "dataplane/redirect/impl.h"
#include "dataplane/redirect/sctp_chunks.h"
#include "dataplane/redirect/wire.h"

namespace poolgate::redirect {
namespace {

bool is_init(const Packet& packet) {
  return packet.info.flow.protocol == wire::kSctp && packet.l4_readable() > wire::kSctpHeader &&
         packet.l4()[wire::kSctpHeader] == sctp::kInit &&
         (packet.mbuf->nb_segs == 1 || rte_pktmbuf_linearize(packet.mbuf) == 0);
}

}  // namespace

void Redirector::Impl::give(Packet& packet, unsigned to, Stage stage) {
  const unsigned hop = others->handed ? (packet.mbuf->hash.usr >> 8 & 0xff) + 1 : 1;
  if (hop > Handover::kMaxHops) return drop(packet.mbuf, DropReason::handover_loop);
  packet.mbuf->hash.usr = static_cast<uint32_t>(stage) | hop << 8;
  Peers::Outgoing& out_to = others->outgoing[to];
  out_to.packets[out_to.n++] = {packet.mbuf, packet.frame()};
  others->outgoing_used |= uint64_t{1} << to;
  others->last_given_to = static_cast<uint8_t>(to);
}

void Redirector::Impl::flush_handover() {
  for (uint64_t used = others->outgoing_used; used != 0; used &= used - 1) {
    const auto to = static_cast<unsigned>(__builtin_ctzll(used));
    Peers::Outgoing& o = others->outgoing[to];
    const unsigned taken = others->rings.give(worker, to, o.packets, o.n);
    add(others->counters.given, taken);
    if (taken < o.n) {
      drops.add(DropReason::handover_full, o.n - taken);
      for (unsigned i = taken; i < o.n; ++i) rte_pktmbuf_free(o.packets[i].packet);
    }
    o.n = 0;
  }
  others->outgoing_used = 0;
}

// Both lines of each will be written, and are another core's: asked for in one go, they are ours at once.
void Redirector::Impl::take_handed(unsigned from) {
  Peers::Waiting& waiting = others->waiting[from];
  waiting.n = others->rings.take(from, worker, waiting.packets, kMaxBurst);
  for (unsigned i = 0; i < waiting.n; ++i) {
    __builtin_prefetch(waiting.packets[i].packet, 1);
    __builtin_prefetch(waiting.packets[i].frame, 1);
  }
}

Stage Redirector::Impl::stage_of(const Packet& packet) const {
  return others->handed ? static_cast<Stage>(packet.mbuf->hash.usr & 0xff) : Stage::fresh;
}

unsigned Redirector::Impl::home_of(const Packet& packet) const {
  return others->homes.of(packet.info.flow, packet.addresses());
}

// False: it is for this worker to decide.
bool Redirector::Impl::elsewhere(Packet& packet, const ServiceEntry& service) {
  const unsigned home = home_of(packet);
  switch (stage_of(packet)) {
    case Stage::fresh:
      if (home == worker) return ask(packet, service);
      give(packet, home, Stage::to_home);
      return true;
    case Stage::to_home:
      return ask(packet, service);
    case Stage::to_owner:
      if (is_init(packet)) {  // maybe for an address in it; whoever gave it would do so again
        if (find_association(packet, service)) return true;
        disown(packet);
        break;
      }
      disown(packet);
      if (home == worker) return ask(packet, service);
      give(packet, home, Stage::to_home);
      return true;
    case Stage::by_tag:
      if (find_association(packet, service)) return true;
      break;
    case Stage::ask_tag:
      if (ask_tag(packet, service)) return true;
      break;
    case Stage::ask_init: {
      if (find_association(packet, service)) return true;
      const unsigned next = next_to_ask(packet, home);
      if (next == home) break;
      give(packet, next, Stage::ask_init);
      return true;
    }
    case Stage::nobody:
      return false;
  }
  if (home == worker) return false;
  give(packet, home, Stage::nobody);
  return true;
}

// At home, where the key is not known. True: found, or on its way to who may know.
bool Redirector::Impl::ask(Packet& packet, const ServiceEntry& service) {
  if (packet.info.flow.protocol != wire::kSctp) return false;
  if (packet.mbuf->nb_segs > 1 && rte_pktmbuf_linearize(packet.mbuf) != 0) return false;
  sctp::Chunks chunks(packet.l4(), packet.l4_readable(), packet.partial);
  sctp::ChunkView chunk;
  if (!chunks.next(chunk)) return false;
  const uint32_t tag = sctp::verification_tag(packet.l4());
  if (chunk.type == sctp::kInit) {
    if (tag != 0 || !chunks.last()) return false;
    if (find_association(packet, service)) return true;
    const unsigned next = next_to_ask(packet, worker);
    if (next == worker) return false;
    give(packet, next, Stage::ask_init);
    return true;
  }
  if (tag == 0) return false;
  const unsigned directory = others->homes.of_tag(service.index, packet.info.flow.source_port, tag);
  if (directory == worker) return ask_tag(packet, service);
  give(packet, directory, Stage::ask_tag);
  return true;
}

// At the tag's directory: our own associations and those that we were told of.
bool Redirector::Impl::ask_tag(Packet& packet, const ServiceEntry& service) {
  using Match = session::SessionTable::TagMatch;
  const uint16_t port = packet.info.flow.source_port;
  const uint32_t tag = sctp::verification_tag(packet.l4());
  const auto ours = sessions.find_by_tag(service.index, port, tag);
  const auto theirs = others->tags.find({tag, port, service.index}, now_ms);
  if (ours.match == Match::several || theirs.owners + (ours.match == Match::one ? 1 : 0) > 1) {
    drop(packet.mbuf, DropReason::session_ambiguous);
    return true;
  }
  if (ours.match == Match::one) {
    hit_by_tag(packet, ours.session);
    return true;
  }
  if (theirs.owners == 0) return false;
  give(packet, theirs.owner, Stage::by_tag);
  return true;
}

// Of an INIT: the homes of the addresses in it are asked in the order of their numbers from the packet's home
// on. The next after this worker; home: that was all.
unsigned Redirector::Impl::next_to_ask(Packet& packet, unsigned home) const {
  sctp::Chunks chunks(packet.l4(), packet.l4_readable());
  sctp::ChunkView chunk;
  sctp::InitView init;
  if (!chunks.next(chunk) || !sctp::parse_init(chunk, init)) return home;
  const auto distance = [home](unsigned w) { return (w - home) % Handover::kMaxWorkers; };
  unsigned best = Handover::kMaxWorkers;
  for (size_t a = 0; a < init.n; ++a) {
    session::FlowKey key;
    uint8_t both[32];
    if (!key_from(packet, init.addresses[a], key, both)) continue;
    const unsigned d = distance(others->homes.of(key, both));
    if (d > distance(worker) && d < best) best = d;
  }
  return best == Handover::kMaxWorkers ? home : (home + best) % Handover::kMaxWorkers;
}

// `nat`: to an SNAT address of ours. The port says whose it is.
bool Redirector::Impl::return_elsewhere(Packet& packet) {
  if (stage_of(packet) != Stage::fresh) return false;
  const unsigned owner = wire::swap16(packet.info.flow.destination_port) % slots.workers();
  if (owner == worker || !others->rings.receives(owner)) return false;
  give(packet, owner, Stage::to_owner);
  return true;
}

// An ICMP error about a packet of a session that this worker does not know. `key`: what the session's other
// side sends, with its addresses; `to`: whom the error is for.
bool Redirector::Impl::icmp_elsewhere(Packet& packet, const session::FlowKey& key, const uint8_t* addresses,
                                      Destination to) {
  if (stage_of(packet) != Stage::fresh) return false;
  const unsigned owner = to == Destination::nat_return ? wire::swap16(key.destination_port) % slots.workers()
                                                       : others->homes.of(key, addresses);
  if (owner == worker || !others->rings.receives(owner)) return false;
  give(packet, owner, Stage::to_home);
  return true;
}

// To what is no service: of a PE in `nat` without SNAT to its client, of a service that is gone but for its
// sessions, or the kernel's.
bool Redirector::Impl::stray_elsewhere(Packet& packet) {
  const Stage stage = stage_of(packet);
  if (stage == Stage::to_owner) {
    disown(packet);
    return false;
  }
  const unsigned home = home_of(packet);
  if (stage == Stage::fresh && home != worker) {
    give(packet, home, Stage::to_home);
    return true;
  }
  // An INIT ACK from an address of the PE's that we do not know: whoever knows another one in it.
  if (packet.info.flow.protocol != wire::kSctp || packet.l4_readable() <= wire::kSctpHeader ||
      packet.l4()[wire::kSctpHeader] != sctp::kInitAck)
    return false;
  const unsigned next = next_to_ask(packet, home);
  if (next == home) return false;
  give(packet, next, Stage::ask_init);
  return true;
}

}  // namespace poolgate::redirect
