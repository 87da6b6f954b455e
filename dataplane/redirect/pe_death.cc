// SPDX-License-Identifier: BSD-3-Clause
// A PE was found dead (DESIGN.md §5): its sessions end as their services say. The first are told in the burst
// after the down bit is seen, the others at the service's rate, and at once whoever sends. So do TCP
// connections of `nat` with an address that died, while the PE lives at another.
#include <algorithm>

#include "dataplane/redirect/impl.h"
#include "dataplane/redirect/sctp_chunks.h"
#include "dataplane/redirect/wire.h"

namespace poolgate::redirect {

namespace {
// Sessions looked at in one call, told or not.
constexpr unsigned kMaxSteps = 512;

// All its chunks are here and sound.
bool is_whole(const Packet& packet) {
  if (packet.partial || (packet.mbuf->nb_segs > 1 && rte_pktmbuf_linearize(packet.mbuf) != 0)) return false;
  sctp::Chunks chunks(packet.l4(), packet.l4_readable());
  sctp::ChunkView chunk;
  while (chunks.next(chunk)) {
  }
  return !chunks.bad();
}
}  // namespace

// Copies what changed of the PE slots since the last time. Never waits.
void Redirector::Impl::catch_up() {
  uint64_t head = slots.head();
  const bool overrun = head - log_seen > pool::PeSlots::kLog / 2;
  bool some_died = false;
  const auto see = [&](pool::PeSlotIndex pe) {
    pool::PeLine& line = lines[pe];
    const uint16_t deaths = line.deaths;
    const bool lost = line.lost;
    slots.refresh(line, pe);
    const bool died = line.deaths != deaths || (line.lost && !lost);
    if (!died || line.first_session == session::kNone) return;
    some_died = true;
    const auto known = std::find_if(dying.begin(), dying.end(), [pe](const Dying& d) { return d.pe == pe; });
    if (known != dying.end())
      *known = {pe, line.first_session, true};
    else
      dying.push_back({pe, line.first_session, true});
  };
  if (overrun) {
    for (pool::PeSlotIndex pe = 0; pe < slots.capacity(); ++pe) see(pe);
  } else {
    // To its end: what one entry says may name a slot of a later one (PeLine::via).
    for (; log_seen != head; head = slots.head())
      for (; log_seen != head; ++log_seen) see(slots.entry(log_seen));
  }
  log_seen = head;
  if (!some_died) return;
  abort_some(kMaxGenerated, true);
  for (Dying& d : dying) d.fresh = false;
}

// `first`: the burst after a death, in which that PE's sessions are told whatever the rate.
void Redirector::Impl::abort_some(unsigned budget, bool first) {
  unsigned steps = 0;
  for (size_t d = 0; d < dying.size() && steps < kMaxSteps && generated < budget;) {
    if (first && !dying[d].fresh) {
      ++d;
      continue;
    }
    abort_of(dying[d], budget, first, steps);
    if (dying[d].next != session::kNone) {  // its service's rate: others' go on
      ++d;
      continue;
    }
    dying[d] = dying.back();
    dying.pop_back();
  }
}

void Redirector::Impl::abort_of(Dying& of, unsigned budget, bool first, unsigned& steps) {
  while (of.next != session::kNone && steps < kMaxSteps) {
    ++steps;
    const SessionIndex i = of.next;
    Session& s = sessions.at(i);
    const ServiceEntry* service = service_of(s);
    const config::OnPeDeath rule =
        service != nullptr ? service->settings.on_pe_death : config::OnPeDeath::abort;
    // Of an address only what is established: a SYN that comes again goes to a live one.
    const bool over = s.deaths != lines[of.pe].deaths || (has_lost_address(s) && s.state != State::half_open);
    // A UDP flow has nobody to tell: its next datagram chooses again (dead_pe).
    if (over && rule == config::OnPeDeath::abort && s.key.protocol != wire::kUdp &&
        s.state != State::closed && reachable_by(i) != session::kNone) {
      const uint32_t rate = service != nullptr ? service->settings.abort_rate / slots.workers() + 1 : 1000;
      if (generated >= budget) return;
      if (!first && !aborts[s.service % kMaxServices].take(now_us, rate)) return;
      end_session(i);
      count(s.service, &ServiceCounters::aborted);
      if (!goes_back(i)) session_ended(i);
      continue;  // either has moved `next` on
    }
    of.next = s.next_of_pe;
  }
}

// Who began it anew at the PE that died may not have been its client, whose own PE lives (replaced_tags.h).
bool Redirector::Impl::goes_back(SessionIndex i) {
  const pool::PeSlotIndex dead = sessions.at(i).pe;
  const uint32_t tag = replaced_tags.lives_elsewhere(i, dead, now_ms);
  if (tag != 0) other_tag(i, tag);
  return sessions.at(i).pe != dead;
}

// A packet of a session whose PE was found dead since it began, or has lost the session's address.
Verdict Redirector::Impl::dead_pe(Packet& packet, SessionIndex i, bool from_pe) {
  Session& s = sessions.at(i);
  const ServiceEntry* service = service_of(s);
  const config::OnPeDeath rule =
      service != nullptr ? service->settings.on_pe_death : config::OnPeDeath::abort;
  const bool udp = packet.info.flow.protocol == wire::kUdp;
  // hold: nothing changes. drain: the connection goes on to where it was, but UDP has none.
  if (rule == config::OnPeDeath::hold || (rule == config::OnPeDeath::drain && !udp)) {
    if (s.deaths != lines[s.pe].deaths) {
      s.deaths = lines[s.pe].deaths;
      announce_away(i);
    }
    return Verdict::forward;
  }
  if (from_pe) {
    drop(packet.mbuf, DropReason::pe_dead);
    return Verdict::consumed;
  }
  const uint8_t* p = packet.l4();
  const bool is_sctp = packet.info.flow.protocol == wire::kSctp;
  const bool init = is_sctp && packet.l4_readable() > wire::kSctpHeader && p[12] == sctp::kInit;
  const bool syn = packet.info.flow.protocol == wire::kTcp && (p[13] & 0x12) == 0x02;
  if (is_sctp && !init) {
    // Nobody else's packet ends it, nor one that gets no answer: its client is told with its own tag.
    const uint32_t tag = sctp::verification_tag(p);
    if (s.tag_p != 0 && tag != s.tag_p) other_tag(i, tag);
    if (s.deaths == lines[s.pe].deaths) return Verdict::forward;
    if ((s.tag_p != 0 && tag != s.tag_p) || !is_whole(packet)) {
      drop(packet.mbuf, DropReason::pe_dead);
      return Verdict::consumed;
    }
  }
  const ServiceIndex index = s.service;
  const bool back = is_sctp && goes_back(i);
  if (init && back) return Verdict::forward;
  if (!back) session_ended(i);
  if (udp || init || syn) return Verdict::renew;
  count(index, &ServiceCounters::aborted);
  refuse(packet, index, DropReason::pe_dead, false);
  return Verdict::consumed;
}

}  // namespace poolgate::redirect
