// SPDX-License-Identifier: BSD-3-Clause
// What is probed, and what was found: the words that the prober, its worker's stage and the main lcore share.
#pragma once

#include <cstdint>

#include "controlplane/config/config.h"
#include "controlplane/rserpool/ip_address.h"

namespace poolgate::probe {

using TargetIndex = uint32_t;
inline constexpr TargetIndex kNoTarget = UINT32_MAX;

// One address that is asked whether it is there. PEs of several pools may share it.
struct Target {
  config::ProbeKind how = config::ProbeKind::sctp;  // never off
  rserpool::IpAddress address;
  uint16_t port = 0;  // of the PE's SCTP, host order; 0 for the others
  uint8_t count = 3;  // unanswered ones in a row that are a death
  uint32_t interval_us = 100'000;
};

enum class Health : uint8_t {
  unknown,  // not asked often enough yet
  silent,   // has never answered, `count` times: a filter as likely as a death, so no verdict
  alive,
  dead,  // has answered, and now does not
};
const char* to_string(Health health);

// What answers must repeat: a hash of the probe's number under a key that nobody else has.
struct Token {
  uint32_t tag = 0;  // SCTP: the verification tag, never 0
  uint16_t id = 0;   // ICMP: the identifier
  bool operator==(const Token&) const = default;
};

// To be sent now.
struct Probe {
  TargetIndex index = kNoTarget;
  const Target* target = nullptr;  // until the next call
  Token token;
  uint16_t sequence = 0;
};

// What came back, as far as its bytes say.
struct Answer {
  config::ProbeKind how = config::ProbeKind::sctp;
  rserpool::IpAddress address;
  uint16_t port = 0;  // host order
  Token token;
  bool refused = false;  // an INIT's ABORT: the host's SCTP lives, and takes no association there
};

// From the main lcore to the prober.
struct Change {
  enum class What : uint8_t {
    set,     // probe this, from now on; of a known index: with other settings
    remove,  // no longer
    ask,     // judge it anew, by probes from now on: unknown, until `judged` in its status grows with the
             // verdict
  };
  What what = What::set;
  TargetIndex index = kNoTarget;
  uint32_t incarnation = 0;  // of what uses the index
  Target target;
};

// What the prober says of a target; packed into one word, so that any thread reads it whole.
struct Status {
  uint32_t incarnation = 0;
  Health health = Health::unknown;
  bool refuses = false;  // the last `count` INITs were refused
  uint8_t judged = 0;    // questions (Change::ask) answered so far; wraps
  uint8_t detail = 0;    // of BFD: bfd_detail()
  bool operator==(const Status&) const = default;

  uint64_t packed() const {
    return uint64_t{incarnation} << 32 | uint64_t{detail} << 24 | uint64_t{judged} << 16 |
           uint64_t{refuses} << 8 | static_cast<uint64_t>(health);
  }
  static Status of(uint64_t word) {
    return {static_cast<uint32_t>(word >> 32), static_cast<Health>(word & 0xff), (word >> 8 & 1) != 0,
            static_cast<uint8_t>(word >> 16), static_cast<uint8_t>(word >> 24)};
  }
};

}  // namespace poolgate::probe
