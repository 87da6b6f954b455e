// SPDX-License-Identifier: BSD-3-Clause
// Sessions that are over, or silent for too long, go: found by a slow walk over the table, a slice at a time.
// Nothing is re-armed per packet, and no live session makes room for a new one.
#include <algorithm>

#include "dataplane/redirect/impl.h"
#include "dataplane/redirect/wire.h"

namespace poolgate::redirect {
namespace {

constexpr uint32_t kHalfOpenMs = 15'000;  // three INITs or SYNs of a patient client
constexpr uint32_t kClosingMs = 60'000;
constexpr uint32_t kClosedMs = 3'000;
constexpr uint16_t kCookieMs = 60'000;  // Valid.Cookie.Life (RFC 9260 §16)
constexpr uint32_t kDefaultIdleMs = 3'600'000, kDefaultUdpIdleMs = 60'000;

// The whole table once in this time, and at most so many entries in one call.
constexpr uint64_t kRoundUs = 2'000'000;
constexpr uint32_t kMaxSlice = 4096;

}  // namespace

uint32_t Redirector::Impl::timeout_ms(const Session& s) const {
  switch (s.state) {
    case State::half_open:
      if (s.key.protocol == wire::kTcp && s.tag_c_pending != 0)
        break;  // beside one that may live (succession.cc)
      return kHalfOpenMs;
    case State::closing:
      return kClosingMs;
    case State::closed:
      return kClosedMs;
    case State::established:
      break;
  }
  const ServiceEntry* service = service_of(s);
  if (service == nullptr) return kHalfOpenMs;  // the service is gone: what still moves may end in peace
  const uint32_t configured = service->settings.idle_timeout_s;
  if (configured != 0) return configured > 2'000'000 ? 2'000'000'000 : configured * 1000;
  return s.key.protocol == wire::kUdp ? kDefaultUdpIdleMs : kDefaultIdleMs;
}

// A UDP flow has no end, and none of the two would notice: of a PE that left its pool long ago, or, in `nat`,
// of an address that is dead while another one of its PE lives. Its next datagram is chosen for anew.
bool Redirector::Impl::is_stranded(const Session& s) const {
  if (s.key.protocol != wire::kUdp) return false;
  if ((s.flags & session::kNat) != 0 && leaves_dead(s.pe)) return true;
  if (!slots[s.pe].drained.load(std::memory_order_relaxed)) return false;
  const ServiceEntry* service = service_of(s);
  return service != nullptr && !Chooser::current(*service, s.key.family).candidates.empty();
}

// No COOKIE ECHO can follow it any more. Its time wraps after 65 s: within the rest the walk comes by twice.
// `nat` has no copies that it would keep from use, and no time of it.
void Redirector::Impl::forget_init(SessionIndex i) {
  Session& s = sessions.at(i);
  if (s.key.protocol != wire::kSctp || s.tag_c_pending == 0 || s.state == State::half_open ||
      (s.flags & session::kNat) != 0)
    return;
  if (static_cast<uint16_t>(static_cast<uint16_t>(now_ms) - s.pending_ms) < kCookieMs) return;
  s.tag_c_pending = 0;
  announce_away(i);  // copies may be used again
}

void Redirector::Impl::age() {
  sessions.alive(now_ms);
  hops.free_unseen();
  const uint32_t end = sessions.end();
  const uint64_t elapsed = std::min(now_us - aged_us, kRoundUs);
  const auto due = static_cast<uint32_t>(uint64_t{end} * elapsed / kRoundUs);
  if (due == 0) return;
  // What is left of an entry's time counts for the next; being late does not.
  aged_us = due > kMaxSlice ? now_us : now_us - elapsed + due * kRoundUs / end;
  uint32_t slice = std::min(due, kMaxSlice);
  for (; slice > 0; --slice) {
    if (age_cursor >= end) {
      age_cursor = session::kFirst;
      retired_in_use.begin(*services);
      hops.begin_walk();
      if (others != nullptr) {
        ++others->round;
        others->first_round = false;
      }
    }
    const SessionIndex i = age_cursor++;
    if (i >= end) return;
    if (!sessions.valid(i)) continue;  // also a line of IPv6 addresses, whose bytes a client chooses
    Session& s = sessions.at(i);
    see_hops(s);
    if (others != nullptr) age_notices(i);
    if (s.kind != session::Kind::session) {
      if (!services->retired().empty()) note_retired(i);
      if (sessions.valid(i)) age_key(i);  // not one of another worker's that was just forgotten
      continue;
    }
    forget_init(i);
    const auto is_over = [&] {
      const auto idle = static_cast<int32_t>(now_ms - s.last_seen_ms);
      return idle > 0 && static_cast<uint32_t>(idle) >= timeout_ms(s);
    };
    if (!is_stranded(s)) {
      if (!is_over()) continue;
      sessions.hear_copies(i);
      if (!is_over()) continue;
    }
    session_ended(i);
  }
}

}  // namespace poolgate::redirect
