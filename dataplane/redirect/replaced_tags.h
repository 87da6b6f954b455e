// SPDX-License-Identifier: BSD-3-Clause
// Tags of associations that a COOKIE ECHO has replaced (RFC 9260 §5.2.4). Whether the PE took the cookie is
// not seen in direct return, and whoever knows a client's ports can send an INIT and a COOKIE ECHO in its
// name. But a client that began anew sends the old tag no more: a packet with it says that nobody did.
#pragma once

#include <algorithm>
#include <cstdint>
#include <utility>
#include <vector>

#include "dataplane/session/session.h"

namespace poolgate::redirect {

// Fixed in size: of one whose place another took, the last COOKIE ECHO is right.
class ReplacedTags {
 public:
  static constexpr uint32_t kPlaces = 256;
  static constexpr unsigned kTags = 4;            // of one session
  static constexpr uint32_t kDisputeMs = 90'000;  // three heartbeats of a silent client

  // Of packets to the PE, and to the client.
  struct Tags {
    uint32_t p, c;
  };

  ReplacedTags() : places_(kPlaces) {}

  void replace(session::SessionIndex i, Tags before, uint32_t now_ms) {
    Place& place = places_[i % kPlaces];
    if (!holds(place, i, now_ms)) place = {.session = i};
    std::copy_backward(place.tags, place.tags + kTags - 1, place.tags + kTags);
    place.tags[0] = before;
    place.n = std::min(place.n + 1, kTags);
    place.since_ms = now_ms;
  }

  // `tag`: of a packet to the PE. True: it was replaced, and is `present` again, which takes its place here.
  bool restore(session::SessionIndex i, uint32_t tag, Tags& present, uint32_t now_ms) {
    Place& place = places_[i % kPlaces];
    if (!holds(place, i, now_ms)) return false;
    for (unsigned n = 0; n < place.n; ++n) {
      if (place.tags[n].p != tag) continue;
      std::swap(place.tags[n], present);
      place.since_ms = now_ms;
      return true;
    }
    return false;
  }

  // It may be somebody else who sends in the client's name.
  bool disputed(session::SessionIndex i, uint32_t now_ms) const {
    return holds(places_[i % kPlaces], i, now_ms);
  }
  // The PE has taken the cookie.
  void settle(session::SessionIndex i) {
    Place& place = places_[i % kPlaces];
    if (place.session == i) place.session = session::kNone;
  }

 private:
  struct Place {
    session::SessionIndex session = session::kNone;
    uint32_t since_ms = 0;
    unsigned n = 0;
    Tags tags[kTags] = {};
  };
  static bool holds(const Place& place, session::SessionIndex i, uint32_t now_ms) {
    return place.session == i && now_ms - place.since_ms < kDisputeMs;
  }

  std::vector<Place> places_;
};

}  // namespace poolgate::redirect
