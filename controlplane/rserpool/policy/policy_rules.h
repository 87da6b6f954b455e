// SPDX-License-Identifier: BSD-3-Clause
// What each pool policy means, as pure functions: RFC 5356 §4-5, RSPLIB's further policies and the
// delay-factor policies of draft-dreibholz-rserpool-delay. The structures that pick by these numbers are in
// selector.h.
#pragma once

#include <cstdint>
#include <optional>
#include <string_view>

#include "controlplane/rserpool/types.h"

namespace poolgate::rserpool {

// How a policy picks.
enum class SelectionMethod : uint8_t {
  ordered,  // the smallest key first, equal keys by turns: RR, PRIO, LU, LUD, PLU, PLUD, LU-DPF, LUD-DPF
  weighted_round_robin,  // WRR: the earliest turn first, turns as far apart as the weights say
  uniform_random,        // RAND
  weighted_random,       // WRAND, RLU, RPLU, RLUD, RPLUD, WRAND-DPF
};

// nullopt: a policy that nobody here knows how to select by (PAR-3.8-1).
std::optional<SelectionMethod> selection_method(PolicyType type);
inline bool is_known(PolicyType type) { return selection_method(type).has_value(); }

// True if each selection adds the element's load degradation (a counter that a registration sets back to 0).
bool counts_degradation(PolicyType type);

// The key of an ordered policy; smaller is selected first. `degradations`: selections since the registration.
// Exact in 64 bits, but for the delay-factor policies' load, which saturates at 100 % (0xffffffff).
uint64_t selection_key(const PolicySettings& settings, uint32_t degradations);

// The weight of WRR and of the random policies (RAND: 1). 0 is "not capable of providing any service" (RFC
// 5356 §3.2) and comes only of a weight that is 0: an element that is fully loaded has weight 1.
uint32_t selection_weight(const PolicySettings& settings, uint32_t degradations);

// The names that RSPLIB's programs, our configuration and our commands use, "RoundRobin",
// "LeastUsedDegradation"...
std::string_view policy_name(PolicyType type);  // "unknown" if not known
// Any case; also the short forms "RR", "WRR", "LU", "LUD", "WRAND-DPF"...
std::optional<PolicyType> policy_by_name(std::string_view name);

}  // namespace poolgate::rserpool
