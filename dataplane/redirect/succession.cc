// SPDX-License-Identifier: BSD-3-Clause
// A client comes from the ports of an association that we have, whose PE takes no new ones any more: it left
// its pool, or is drained. In direct return nobody tells us that its server's kernel aborted the association,
// so a client that always uses one port would be sent to where nobody listens until the session is idle for
// too long. Its INIT goes to another PE instead. As with every INIT on a live association (DESIGN.md §5),
// that replaces nothing before a COOKIE ECHO: which PE the two go to follows from the session's own key, and
// is not noted.
#include <algorithm>

#include "dataplane/redirect/impl.h"

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
  if (own != now.candidates.end() && own->slot == s.pe && !lines[s.pe].down) return pool::kNoPeSlot;
  return chooser.steer(*service, now, s.key.family, sessions.addresses(i), s.key.source_port);
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
  s.pending_ms = static_cast<uint16_t>(now_ms);
  if (unsigned mtu; !fits(packet, lines[to], s.flags, mtu)) {
    too_big(packet, mtu);
    return Verdict::consumed;
  }
  add(lines[to].packets, 1);
  add(lines[to].bytes, packet.mbuf->pkt_len);
  count(s.service, &ServiceCounters::packets);
  count(s.service, &ServiceCounters::bytes, packet.mbuf->pkt_len);
  to_pe(packet, lines[to], s.flags);
  return Verdict::consumed;
}

// The COOKIE ECHO to that INIT. False: a packet with the old tag came after the INIT, so the old association
// lives, and the client began no other.
bool Redirector::Impl::succeed(SessionIndex i) {
  Session& s = sessions.at(i);
  const pool::PeSlotIndex to = successor(i);
  if (to == pool::kNoPeSlot) return true;  // its own PE's
  const auto since_init = static_cast<uint16_t>(static_cast<uint16_t>(now_ms) - s.pending_ms);
  if (now_ms - s.last_seen_ms < since_init) return false;
  for (auto& d : dying) {
    if (d.next == i) d.next = s.next_of_pe;
  }
  sessions.move_to_pe(i, to);
  count(s.service, &ServiceCounters::new_sessions);
  return true;
}

}  // namespace poolgate::redirect
