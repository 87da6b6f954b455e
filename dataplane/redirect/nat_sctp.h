// SPDX-License-Identifier: BSD-3-Clause
#pragma once

#include <array>
#include <cstring>

#include "dataplane/redirect/packet.h"

struct rte_mbuf;

namespace poolgate::redirect {

// What an SCTP packet's addresses become in one direction.
struct AddressMap {
  static constexpr size_t kMax = 48;
  struct Pair {
    uint8_t family;
    const uint8_t* from;  // 4 or 16 bytes
    const uint8_t* to;    // null: of no use to the other side
  };
  std::array<Pair, kMax> pairs;
  size_t n = 0;

  const Pair* find(uint8_t family, const uint8_t* address) const {
    for (size_t i = 0; i < n; ++i) {
      if (pairs[i].family == family && std::memcmp(pairs[i].from, address, family == 6 ? 16 : 4) == 0)
        return &pairs[i];
    }
    return nullptr;
  }
  // The first word about an address counts.
  void add(uint8_t family, const uint8_t* from, const uint8_t* to) {
    if (n < kMax && find(family, from) == nullptr) pairs[n++] = {family, from, to};
  }
};

// What `nat` must change inside an SCTP packet: the address parameters of INIT and INIT ACK become those that
// the other side sees (of Set Primary, too), and those that it cannot reach are taken out; ASCONF and
// ASCONF-ACK leave the Supported Extensions, because they are authenticated and could not be rewritten; that
// the sender takes checksums of 0 is not passed on, as those could not follow a change; the addresses that
// error causes quote (of ABORT and ERROR) are rewritten where they are known. ASCONF chunks that come all the
// same are refused. Cookies, heartbeat information and all else are opaque and stay. The packet's checksum is
// right afterwards if it was before. Returns why the packet must be dropped, or none. RFC 9260 §3.3.2,
// §3.3.3, §3.3.10.5, §3.3.10.11, §5.1.2; RFC 5061 §4.1, §4.2.4, §4.2.7; RFC 9653 §4. `cut`: it is a first
// fragment, of which nothing can be changed, as the checksum is of the whole.
DropReason nat_sctp_content(rte_mbuf* mbuf, PacketInfo& info, const AddressMap& map, bool cut);

// True if the packet may hold what nat_sctp_content() changes or refuses.
bool nat_sctp_has_content(rte_mbuf* mbuf, const PacketInfo& info);

// The same on bytes: the new length of the SCTP packet (at most `length`), or 0 with `why` set.
size_t nat_sctp_bytes(uint8_t* packet, size_t length, const AddressMap& map, DropReason& why,
                      bool cut = false);

}  // namespace poolgate::redirect
