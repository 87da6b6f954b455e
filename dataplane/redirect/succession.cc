// SPDX-License-Identifier: BSD-3-Clause
// A client comes from the ports of an association that we have, whose PE takes no new ones any more: it left
// its pool, or is drained. In direct return nobody tells us that its server's kernel aborted the association,
// so a client that always uses one port would be sent to where nobody listens until the session is idle for
// too long. Its INIT goes to another PE instead. As with every INIT on a live association (DESIGN.md §5),
// that replaces nothing before a COOKIE ECHO: which PE the two go to follows from the session's own key, and
// is not noted.
#include <algorithm>

#include "dataplane/redirect/impl.h"
#include "dataplane/redirect/wire.h"

namespace poolgate::redirect {

// Who serves the next association on these ports; kNoPeSlot: its own PE does, or nobody else can. `nat` sees
// how an association ends, and cannot move its keys.
pool::PeSlotIndex Redirector::Impl::successor(SessionIndex i) const {
  const Session& s = sessions.at(i);
  const ServiceEntry* service = service_of(s);
  if (service == nullptr || ((s.flags & session::kNat) != 0 && s.state != State::half_open))
    return pool::kNoPeSlot;
  const pool::ViewGeneration& now = Chooser::current(*service, s.key.family);
  // What the lines say may be older than the generation: its next packet finds it out.
  if (slots.head() != log_seen) return pool::kNoPeSlot;
  const rserpool::PeId id = slots[s.pe].identity.pe_id;
  const auto own =
      std::lower_bound(now.candidates.begin(), now.candidates.end(), id,
                       [](const pool::Candidate& c, rserpool::PeId wanted) { return c.id < wanted; });
  // One that `nat` began with an address that has died since is begun again with another. More than
  // leaves_dead(): also where its PE has no live one left, as another PE may have.
  const bool dead_way = (s.flags & session::kNat) != 0 && lines[s.pe].dead &&
                        lines[lines[s.pe].via].family == lines[s.pe].family;
  if (own != now.candidates.end() && slots.same_pe(own->slot, s.pe) && !lines[s.pe].down && !dead_way)
    return pool::kNoPeSlot;
  const pool::PeSlotIndex to =
      chooser.steer(*service, now, s.key.family, sessions.addresses(i), s.key.source_port);
  const uint8_t* vip = sessions.addresses(i) + (s.key.family == 6 ? 16 : 4);
  return to == pool::kNoPeSlot ? to : way(to, vip_number(*service, s.key.family, vip));
}

// What may begin the next one goes to the successor; the session stays its PE's until that one is answered.
Verdict Redirector::Impl::opens_at(Packet& packet, const Session& s, pool::PeSlotIndex to) {
  if (unsigned mtu; !fits(packet, lines[to], s.flags, mtu)) {
    too_big(packet, mtu);
    return Verdict::consumed;
  }
  count_packet(lines[to], s.service, packet.mbuf->pkt_len);
  to_pe(packet, lines[to], s.flags);
  return Verdict::consumed;
}

// An INIT (RFC 9260 §3.3.2) with this tag.
Verdict Redirector::Impl::init_to_successor(Packet& packet, SessionIndex i, uint32_t tag,
                                            pool::PeSlotIndex to) {
  Session& s = sessions.at(i);
  if (s.state == State::half_open) {  // no association yet: it is chosen for again
    session_ended(i);
    return Verdict::renew;
  }
  s.tag_c_pending = tag;
  announce_away(i);  // no copies any more: succeed() asks when the last packet came
  s.pending_ms = static_cast<uint16_t>(now_ms);
  return opens_at(packet, s, to);
}

// The COOKIE ECHO to that INIT. False: a packet with the old tag came after the INIT, so the old association
// lives, and the client began no other.
bool Redirector::Impl::succeed(SessionIndex i) {
  Session& s = sessions.at(i);
  const pool::PeSlotIndex to = successor(i);
  if (to == pool::kNoPeSlot) return true;  // its own PE's
  const auto since_init = static_cast<uint16_t>(static_cast<uint16_t>(now_ms) - s.pending_ms);
  if (now_ms - s.last_seen_ms < since_init) return false;
  move(i, to);
  count(s.service, &ServiceCounters::new_sessions);
  return true;
}

void Redirector::Impl::move(SessionIndex i, pool::PeSlotIndex to) {
  for (auto& d : dying) {
    if (d.next == i) d.next = sessions.at(i).next_of_pe;
  }
  sessions.move_to_pe(i, to);
}

// A SYN (RFC 9293 §3.10.7.4), likewise: the acknowledgement of the new PE's answer decides. Until then no
// packet is a plain one; the connection that there was keeps its time and, if it goes on, its PE.
Verdict Redirector::Impl::syn_to_successor(Packet& packet, SessionIndex i, pool::PeSlotIndex to) {
  Session& s = sessions.at(i);
  if (s.state == State::half_open && s.tag_c_pending == 0) {  // no connection yet
    session_ended(i);
    return Verdict::renew;
  }
  sessions.set_state(i, State::half_open);
  s.tag_c_pending = wire::get32(packet.l4() + 4) + 1;
  return opens_at(packet, s, to);
}

// A client's acknowledgement to a half-open session.
void Redirector::Impl::acked_after_syn(SessionIndex i, uint32_t sequence) {
  Session& s = sessions.at(i);
  if (s.tag_c_pending == 0) return;
  const bool anew = sequence == s.tag_c_pending;
  s.tag_c_pending = 0;
  if (!anew) return;
  s.tag_c = sequence;
  const pool::PeSlotIndex to = successor(i);
  if (to == pool::kNoPeSlot) return;
  move(i, to);
  count(s.service, &ServiceCounters::new_sessions);
}

}  // namespace poolgate::redirect
