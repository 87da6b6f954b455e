// SPDX-License-Identifier: BSD-3-Clause
// Tags of associations that a COOKIE ECHO has replaced (RFC 9260 §5.2.4), or has not yet. Whether the PE took
// the cookie is not seen in direct return, and whoever knows a client's ports can send an INIT and a COOKIE
// ECHO in its name. But a client that began anew sends the old tag no more: a packet with it says that nobody
// did. Likewise of a COOKIE ECHO that no INIT went before: a packet with its tag says that it is the
// client's.
#pragma once

#include <algorithm>
#include <cstdint>
#include <utility>
#include <vector>

#include "dataplane/pool/pe_slot.h"
#include "dataplane/pool/single_writer.h"
#include "dataplane/session/session.h"

namespace poolgate::redirect {

// Fixed in size: of one whose place another took, the last COOKIE ECHO is right. Within a place, what was
// there before the dispute began stays as long as it can be the client's; of the others those go first that
// no packet but their COOKIE ECHO had, then the eldest: no number of forged ones pushes out the client's.
class ReplacedTags {
 public:
  static constexpr unsigned kTags = 4;            // of one session
  static constexpr uint32_t kDisputeMs = 90'000;  // three heartbeats of a silent client

  // An association, as its session has it.
  struct Tags {
    uint32_t p, c;  // of packets to the PE, and to the client
    pool::PeSlotIndex pe;
    uint16_t deaths;
  };

  // `lines`: of the PE slots, where a slot that is remembered counts as in use.
  ReplacedTags(pool::PeLine* lines, uint32_t places) : lines_(lines), places_(places) {}

  // `before` is over, by a COOKIE ECHO with another tag; `last_seen_ms`: the session's until now.
  void replace(session::SessionIndex i, const Tags& before, uint32_t last_seen_ms, uint32_t now_ms) {
    Place& place = begin(i, before.p, last_seen_ms, now_ms);
    keep(place, before, place.used(last_seen_ms) ? Seen::used : Seen::echoed, now_ms);
    place.by_echo = true;
    place.since_ms = now_ms;
  }

  // A COOKIE ECHO without its INIT: the session is `present`'s as before.
  void propose(session::SessionIndex i, const Tags& tags, const Tags& present, uint32_t last_seen_ms,
               uint32_t now_ms) {
    Place& place = begin(i, present.p, last_seen_ms, now_ms);
    if (find(place, tags.p) == nullptr) keep(place, tags, Seen::proposed, now_ms);
  }

  // `tag`: of a packet to the PE. True: it is here, and `present` from now on, whose place it leaves to that
  // which was.
  bool restore(session::SessionIndex i, uint32_t tag, Tags& present, uint32_t last_seen_ms, uint32_t now_ms) {
    Place& place = place_of(i);
    if (place.session != i || tag == 0) return false;
    Entry* const e = find(place, tag);
    if (e == nullptr || old(*e, now_ms)) return false;
    release(*e);
    std::swap(e->tags, present);
    e->seen = place.used(last_seen_ms) ? Seen::used : Seen::echoed;
    e->left_ms = now_ms;
    place.by_echo = false;
    return true;
  }

  // The session is at `pe`: the other PEs' slots must not become another PE's meanwhile.
  void hold(session::SessionIndex i, pool::PeSlotIndex pe) {
    Place& place = place_of(i);
    if (place.session != i) return;
    for (unsigned n = 0; n < place.n; ++n) {
      Entry& e = place.entries[n];
      if (e.tags.pe == pe) {
        release(e);
      } else if (!e.held) {
        pool::add(lines_[e.tags.pe].sessions, 1);
        e.held = true;
      }
    }
  }

  // The tag of one at another PE than `pe`, which lives; 0: there is none.
  uint32_t lives_elsewhere(session::SessionIndex i, pool::PeSlotIndex pe, uint32_t now_ms) const {
    const Place& place = place_of(i);
    uint32_t tag = 0;
    for (unsigned n = 0; n < place.n && place.session == i; ++n) {
      const Entry& e = place.entries[n];
      if (old(e, now_ms) || e.tags.pe == pe || e.tags.deaths != lines_[e.tags.pe].deaths) continue;
      if (tag == 0 || e.tags.p == place.eldest) tag = e.tags.p;
    }
    return tag;
  }

  // It may be somebody else who sends in the client's name.
  bool disputed(session::SessionIndex i, uint32_t now_ms) const {
    const Place& place = place_of(i);
    return place.session == i && std::any_of(place.entries, place.entries + place.n,
                                             [&](const Entry& e) { return !old(e, now_ms); });
  }
  // The PE has taken a cookie: the session's, or one whose INIT is not known.
  void settle(session::SessionIndex i) {
    Place& place = place_of(i);
    if (place.session == i) drop(place, [](const Entry& e) { return e.seen != Seen::proposed; });
  }
  // The session is no more.
  void forget(session::SessionIndex i) {
    Place& place = place_of(i);
    if (place.session == i) clear(place);
  }
  // Lets go of what is out of dispute: one place a call.
  void sweep(uint32_t now_ms) {
    Place& place = place_of(cursor_++);
    drop(place, [&](const Entry& e) { return old(e, now_ms); });
  }

 private:
  enum class Seen : uint8_t { proposed, echoed, used };
  struct Entry {
    Tags tags = {};
    uint32_t left_ms = 0;  // when the session had it last
    Seen seen = Seen::proposed;
    bool held = false;
  };
  struct Place {
    session::SessionIndex session = session::kNone;
    uint32_t eldest = 0;    // its tag p; here, or the session's
    uint32_t since_ms = 0;  // of the session's own tag, if a COOKIE ECHO made it that
    bool by_echo = false;
    unsigned n = 0;
    Entry entries[kTags];

    // Whether a later packet had the session's own tag.
    bool used(uint32_t last_seen_ms) const { return !by_echo || last_seen_ms != since_ms; }
  };
  Place& place_of(session::SessionIndex i) { return places_[i % places_.size()]; }
  const Place& place_of(session::SessionIndex i) const { return places_[i % places_.size()]; }
  static bool old(const Entry& e, uint32_t now_ms) { return now_ms - e.left_ms >= kDisputeMs; }
  static Entry* find(Place& place, uint32_t p) {
    Entry* const end = place.entries + place.n;
    Entry* const e = std::find_if(place.entries, end, [p](const Entry& known) { return known.tags.p == p; });
    return e == end ? nullptr : e;
  }

  // `p`: the session's own.
  Place& begin(session::SessionIndex i, uint32_t p, uint32_t last_seen_ms, uint32_t now_ms) {
    Place& place = place_of(i);
    if (place.session != i) clear(place);
    drop(place, [&](const Entry& e) { return old(e, now_ms); });
    if (place.n == 0) place.by_echo = false;
    place.session = i;
    const bool gone = p != place.eldest && find(place, place.eldest) == nullptr;
    if (place.n == 0 || (gone && place.used(last_seen_ms))) place.eldest = p;
    return place;
  }

  void keep(Place& place, const Tags& tags, Seen seen, uint32_t now_ms) {
    Entry* to = nullptr;
    if (place.n < kTags) {
      to = &place.entries[place.n++];
    } else {
      const auto rank = [&](const Entry& e) {  // the least goes
        return std::make_pair(e.tags.p == place.eldest ? 2
                              : e.seen == Seen::used   ? 1
                                                       : 0,
                              static_cast<int32_t>(e.left_ms - now_ms));
      };
      to = std::min_element(place.entries, place.entries + kTags,
                            [&](const Entry& a, const Entry& b) { return rank(a) < rank(b); });
      release(*to);
    }
    *to = {.tags = tags, .left_ms = now_ms, .seen = seen};
  }

  void release(Entry& e) {
    if (e.held) pool::add(lines_[e.tags.pe].sessions, UINT32_MAX);
    e.held = false;
  }
  template <class Which>
  void drop(Place& place, Which&& which) {
    for (unsigned n = 0; n < place.n;) {
      Entry& e = place.entries[n];
      if (!which(e)) {
        ++n;
        continue;
      }
      release(e);
      e = place.entries[--place.n];
      place.entries[place.n] = {};
    }
  }
  void clear(Place& place) {
    drop(place, [](const Entry&) { return true; });
    place = {};
  }

  pool::PeLine* lines_;
  std::vector<Place> places_;
  uint32_t cursor_ = 0;
};

}  // namespace poolgate::redirect
