// SPDX-License-Identifier: BSD-3-Clause
// What a TCP segment does to its session (RFC 9293 §3.10). In direct return we see the client's half only.
#include "dataplane/redirect/impl.h"
#include "dataplane/redirect/tcp_sequence.h"
#include "dataplane/redirect/wire.h"

namespace poolgate::redirect {

namespace {

using namespace tcp;

// Whether who has sent a FIN with `fin` behind it may send a segment that ends here: it repeats what is in
// front of the FIN, and acknowledges with `fin` (RFC 9293 §3.6, §3.10.4).
bool fits_fin(uint32_t end, uint32_t fin) { return fin - end < kUnderWay; }

}  // namespace

// A FIN or RST in whoever's name must not end a connection that goes on, which soon is idle for too long. It
// is believed if the client may have sent it, by where it is in its stream. `nat` sees the PE's FIN, too,
// which sends one of its own when it believes the client's: that one counts alone. In direct return a FIN
// that was forged with the right number is believed until the client contradicts it: by sending what nobody
// sends behind its FIN.
Verdict Redirector::Impl::track_tcp(Packet& packet, SessionIndex i, bool from_pe) {
  Session& s = sessions.at(i);
  if (has_lost_address(s)) {
    const Verdict ended = dead_pe(packet, i, from_pe);
    if (ended != Verdict::forward) return ended;
  }
  const uint8_t* p = packet.l4();
  const uint8_t flags = p[13];
  if (!from_pe && (flags & kSyn) != 0 && (flags & kAck) == 0) {
    // A new connection on the ports of one that is over.
    if (s.state == State::closing || s.state == State::closed) {
      session_ended(i);
      return Verdict::renew;
    }
    if (s.state == State::established || s.tag_c != 0) {  // not the SYN that it was just made for
      const pool::PeSlotIndex to = successor(i);
      if (to != pool::kNoPeSlot) return syn_to_successor(packet, i, to);
    }
    if (s.state == State::half_open) s.tag_c = wire::get32(p + 4) + 1;
    s.last_seen_ms = now_ms;
    return Verdict::forward;
  }
  s.last_seen_ms = now_ms;
  if (from_pe && s.state == State::half_open) passive.answered(lines[s.pe]);
  const uint32_t sequence = wire::get32(p + 4), end = end_of(p, packet.info.l4_length);
  const bool ends = (flags & (kFin | kRst)) != 0;
  if (ends && !from_pe && s.state != State::half_open && !may_end(s, sequence)) return Verdict::forward;
  if (!from_pe && (flags & kAck) != 0) {
    if (s.state == State::half_open) acked_after_syn(i, sequence);
    if ((flags & kRst) == 0) note(s, p, packet.info.l4_length);
    // Or it goes on after a RST in its client's name, which then was none of the client's: that takes no
    // sequence number that the PE would believe (RFC 5961 §3.2).
    const bool forged = s.state == State::closed && s.tag_c_pending == 0;
    if (s.state == State::half_open || forged) sessions.set_state(i, State::established);
  }
  if (flags & kRst) {
    s.tag_c_pending = from_pe || (s.state == State::closed && s.tag_c_pending != 0);
    sessions.set_state(i, State::closed);
  } else if ((s.flags & session::kNat) != 0) {
    if (from_pe && (flags & kFin) != 0 && s.state == State::established)
      sessions.set_state(i, State::closing);
  } else if ((flags & kFin) != 0 && (s.state == State::established || s.state == State::closing)) {
    s.tag_c_pending = end;  // the later of two is the client's, or the next segment says so
    sessions.set_state(i, State::closing);
  } else if (s.state == State::closing && !fits_fin(end, s.tag_c_pending)) {
    s.tag_c_pending = 0;
    sessions.set_state(i, State::established);
  }
  return Verdict::forward;
}

}  // namespace poolgate::redirect
