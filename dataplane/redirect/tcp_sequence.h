// SPDX-License-Identifier: BSD-3-Clause
// Where a client is in its stream (RFC 9293 §3.4), so that a FIN or RST in its name by somebody who only
// knows its ports does not end its session. Session::tag_c: the sequence number behind the furthest that came
// (0: not known), tag_p: its last acknowledgement.
#pragma once

#include <cstdint>

#include "dataplane/redirect/wire.h"
#include "dataplane/session/session.h"

namespace poolgate::redirect::tcp {

inline constexpr uint8_t kFin = 1, kSyn = 2, kRst = 4, kAck = 16;

// As much may be lost in front of us: a segment from further ahead is nobody's.
inline constexpr uint32_t kUnderWay = 1 << 24;
// A FIN or RST may be so far from where the client is, as others may have overtaken it, or been lost in front
// of us. By chance one in 32,768 is.
inline constexpr uint32_t kAtEnd = 1 << 16;

// `p`: the header; `length`: of the segment with it. The sequence number behind it.
inline uint32_t end_of(const uint8_t* p, uint32_t length) {
  return wire::get32(p + 4) + length - (p[12] >> 4) * 4u + ((p[13] & kFin) != 0) + ((p[13] & kSyn) != 0);
}

// A segment of the client's with ACK. Who begins anew on the ports of a connection that we believe to go on
// stays out of sight, and its session is kept until it is idle for too long.
inline void note(session::Session& s, const uint8_t* p, uint32_t length) {
  s.tag_p = wire::get32(p + 8);
  const uint32_t end = end_of(p, length);
  if (s.tag_c == 0 || end - s.tag_c <= kUnderWay) s.tag_c = end;
}

// Whether the client itself may have sent a FIN or RST with this sequence number (RFC 5961 §3.2).
inline bool may_end(const session::Session& s, uint32_t sequence) {
  return s.tag_c == 0 || sequence - s.tag_c + kAtEnd <= 2 * kAtEnd;
}

}  // namespace poolgate::redirect::tcp
