// SPDX-License-Identifier: BSD-3-Clause
// All that we do for RSPLIB and would not do by the RFCs alone (conformance §12), each a named option of
// [[registrar.rsplib]], with its reason. A partner is a peer registrar or an ASAP endpoint.
#pragma once

#include <string_view>
#include <vector>

#include "controlplane/config/config.h"
#include "controlplane/rserpool/types.h"

namespace poolgate::registrar {

struct Partner {
  // §12.3: its Registration Life is unsigned milliseconds, in what it says and in what it understands: 300
  // for 300 s would end a PE in 0.3 s.
  bool life_in_milliseconds = false;
  // §12.2a: of two takeovers of one target the smaller server id's goes on; by RFC 5353 §3.5.1 the larger.
  bool smaller_id_wins = false;
  // §12.9: an ASAP endpoint takes an answer that it did not wait for as a fault, and aborts.
  bool nothing_unsolicited = false;
  // §12.27: a pool handle of over 32 bytes makes it abort().
  bool short_handles = false;
  // §12.24: a DCCP, UDP-Lite or opaque transport makes it drop the whole message.
  bool known_transports = false;
  // §10: its checksum loses the carries beyond 32 bits, from some 3,600 PEs of long handles on.
  bool checksum_wraps = false;

  bool operator==(const Partner&) const = default;
  // Whether it can hold a PE of such a pool. What it cannot hold it is never told of, and the checksum that
  // it is sent leaves that out.
  bool holds(rserpool::PoolHandleView handle, rserpool::TransportType transport) const;
};

// §12.5: its PU wants the policy in every positive resolution; RFC 5352 §2.2.6 lets it be left out for Round
// Robin. It costs all others 8 bytes, so all get it: ResolutionResponseBuilder.
inline constexpr bool kPolicyInEveryResolution = true;
// §12.4, §12.7: it drops a PRESENCE without Server Information, which RFC 5353 §2.1 asks for in replies only.
// Who runs RSPLIB may not be known yet when the first one leaves, so all get it.
inline constexpr bool kInformationInEveryPresence = true;

inline constexpr size_t kRsplibHandleLength = 32;

// By server id (0: not known) or by any of its addresses; the first rule that fits.
Partner partner_of(const config::Registrar& settings, rserpool::ServerId id,
                   const std::vector<rserpool::IpAddress>& addresses);

// A Registration Life as the partner is to read it; `unit`: how it is kept here.
int32_t life_for(const Partner& partner, int32_t life, config::LifeUnit unit);

}  // namespace poolgate::registrar
