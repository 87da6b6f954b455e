// SPDX-License-Identifier: BSD-3-Clause
// What an endpoint is told to keep to, and what it says: the driver does the actions, the user hears the
// events.
#pragma once

#include <chrono>
#include <cstdint>
#include <limits>
#include <string>
#include <variant>
#include <vector>

#include "controlplane/rserpool/types.h"

namespace poolgate::rserpool::endpoint {

// Since any fixed moment; only the driver knows which. A test makes it up.
using Time = std::chrono::milliseconds;
inline constexpr Time kNever = Time::max();

// An association or connection, as the driver names it; 0: none.
using Link = uint32_t;
// A registrar of the server list; never used twice.
using ServerRef = uint32_t;

// RFC 5352 §7.1-7.3.
struct Timing {
  Time t1_request{15'000};
  Time t2_registration{30'000};
  Time t3_deregistration{30'000};
  Time t5_server_hunt{10'000};
  Time t7_outdate{5'000};
  Time stale_cache{30'000};
  Time retran_max{60'000};
  unsigned max_reg_attempt = 2;
  unsigned max_request_retransmit = 2;
};

struct ServerAddress {
  bool tcp = false;                  // else SCTP
  std::vector<IpAddress> addresses;  // TCP: one
  uint16_t port = 0;

  bool operator==(const ServerAddress&) const = default;
};

// The transports of announced registrars that an endpoint can speak.
enum class AnnouncedUse : uint8_t { any, sctp, tcp };

// ---- actions
struct Connect {  // connected() or connect_failed() follows
  ServerRef server = 0;
  ServerAddress address;
};
struct CancelConnect {  // neither follows any more
  ServerRef server = 0;
};
struct Close {  // no link_down() need follow
  Link link = 0;
};
struct Send {  // an ASAP message, PPID 11
  Link link = 0;
  std::string message;
};

// ---- events
struct HomeFound {
  Link link = 0;
  bool adopted = false;  // it claimed us (RFC 5352 §3.4), we did not choose it
  ServerId server = 0;   // 0: not known yet
};
struct HomeLost {
  std::string why;
};
struct HuntFailed {  // T5 expired, or nobody left to ask before it does; the hunt goes on at `next`
  Time next{0};
};
struct Registered {
  PoolHandle handle;
  PeId pe_id = 0;
  bool again = false;  // a re-registration
  std::vector<ErrorCause> warnings;
};
struct RegistrationRejected {  // nothing more is sent before the user has corrected what the causes name
  PoolHandle handle;
  PeId pe_id = 0;
  std::vector<ErrorCause> causes;
};
struct RegistrationGivenUp {  // MAX-REG-ATTEMPT exceeded
  PoolHandle handle;
  PeId pe_id = 0;
  bool deregistering = false;
};
struct RegistrationExpired {  // the registrar let it expire; it is being made anew
  PoolHandle handle;
  PeId pe_id = 0;
};
struct Deregistered {
  PoolHandle handle;
  PeId pe_id = 0;
  std::vector<ErrorCause> causes;  // any: the registrar refused
};
struct Resolved {
  PoolHandle handle;
  PolicyType policy = PolicyType::round_robin;
  std::vector<PoolElement> elements;
  bool from_cache = false;
  bool update = false;  // not asked for: a subscription (S and A bits)
  bool subscribed = false;
};
struct ResolutionFailed {
  PoolHandle handle;
  std::vector<ErrorCause> causes;  // none: no registrar answered
};
struct ErrorReported {  // an ASAP ERROR came
  Link link = 0;
  std::vector<ErrorCause> causes;
};
struct CookieEchoed {  // a user has come from a PE that failed; the cookie is to be verified
  Link link = 0;
  std::string cookie;
};
struct CardReceived {
  Link link = 0;
  PoolHandle handle;
  std::vector<PoolElement> elements;  // in the order of preferred failover
};

using Output = std::variant<Connect, CancelConnect, Close, Send, HomeFound, HomeLost, HuntFailed, Registered,
                            RegistrationRejected, RegistrationGivenUp, RegistrationExpired, Deregistered,
                            Resolved, ResolutionFailed, ErrorReported, CookieEchoed, CardReceived>;
using Outputs = std::vector<Output>;

}  // namespace poolgate::rserpool::endpoint
