// SPDX-License-Identifier: BSD-3-Clause
// Addresses that INITs on live associations named, until a COOKIE ECHO makes one of them the association
// (RFC 9260 §5.2.2, §5.2.4). Fixed in size: one whose place another took is as if it had named none, and
// packets from its new addresses are found by their tag.
#pragma once

#include <cstdint>
#include <cstring>
#include <vector>

#include "dataplane/redirect/sctp_chunks.h"
#include "dataplane/session/session.h"

namespace poolgate::redirect {

class PendingInits {
 public:
  explicit PendingInits(uint32_t places) : places_(places) {}

  void note(session::SessionIndex i, const sctp::InitView& init) {
    Place& place = places_[i % places_.size()];
    place.session = i;
    place.tag = init.tag;
    place.n = static_cast<uint8_t>(init.n);
    for (size_t a = 0; a < init.n; ++a) {
      place.family[a] = init.addresses[a].family;
      std::memcpy(place.bytes[a], init.addresses[a].bytes, init.addresses[a].family == 6 ? 16 : 4);
    }
  }

  // The session's, by the initiate tag. `init` then points in here, until the next note(). False: not known.
  bool take(session::SessionIndex i, uint32_t tag, sctp::InitView& init) {
    Place& place = places_[i % places_.size()];
    if (place.session != i || place.tag != tag) return false;
    place.session = session::kNone;
    init.tag = tag;
    init.n = place.n;
    for (size_t a = 0; a < init.n; ++a) init.addresses[a] = {place.family[a], place.bytes[a]};
    return true;
  }

 private:
  struct Place {
    session::SessionIndex session = session::kNone;
    uint32_t tag = 0;
    uint8_t n = 0;
    uint8_t family[sctp::InitView::kMaxAddresses] = {};
    uint8_t bytes[sctp::InitView::kMaxAddresses][16] = {};
  };
  std::vector<Place> places_;
};

}  // namespace poolgate::redirect
