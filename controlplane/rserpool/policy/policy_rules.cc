// SPDX-License-Identifier: BSD-3-Clause
#include "controlplane/rserpool/policy/policy_rules.h"

#include <algorithm>
#include <array>
#include <cctype>
#include <limits>

namespace poolgate::rserpool {

namespace {

__extension__ using Wide = unsigned __int128;

constexpr uint32_t kFull = std::numeric_limits<uint32_t>::max();  // 100 %

struct Rule {
  PolicyType type;
  SelectionMethod method;
  bool degrades;
  std::string_view name;
  std::string_view short_name;
};

using Policy = PolicyType;
using Method = SelectionMethod;

constexpr std::array kRules = {
    Rule{Policy::round_robin, Method::ordered, false, "RoundRobin", "RR"},
    Rule{Policy::weighted_round_robin, Method::weighted_round_robin, false, "WeightedRoundRobin", "WRR"},
    Rule{Policy::random, Method::uniform_random, false, "Random", "RAND"},
    Rule{Policy::weighted_random, Method::weighted_random, false, "WeightedRandom", "WRAND"},
    Rule{Policy::priority, Method::ordered, false, "Priority", "PRIO"},
    Rule{Policy::least_used, Method::ordered, false, "LeastUsed", "LU"},
    Rule{Policy::least_used_degradation, Method::ordered, true, "LeastUsedDegradation", "LUD"},
    Rule{Policy::priority_least_used, Method::ordered, false, "PriorityLeastUsed", "PLU"},
    Rule{Policy::randomized_least_used, Method::weighted_random, false, "RandomizedLeastUsed", "RLU"},
    Rule{Policy::randomized_priority_least_used, Method::weighted_random, false,
         "RandomizedPriorityLeastUsed", "RPLU"},
    Rule{Policy::randomized_least_used_degradation, Method::weighted_random, true,
         "RandomizedLeastUsedDegradation", "RLUD"},
    Rule{Policy::priority_least_used_degradation, Method::ordered, true, "PriorityLeastUsedDegradation",
         "PLUD"},
    Rule{Policy::randomized_priority_least_used_degradation, Method::weighted_random, true,
         "RandomizedPriorityLeastUsedDegradation", "RPLUD"},
    Rule{Policy::weighted_random_dpf, Method::weighted_random, false, "WeightedRandomDPF", "WRAND-DPF"},
    Rule{Policy::least_used_dpf, Method::ordered, false, "LeastUsedDPF", "LU-DPF"},
    Rule{Policy::least_used_degradation_dpf, Method::ordered, true, "LeastUsedDegradationDPF", "LUD-DPF"},
};

const Rule* rule_of(PolicyType type) {
  const auto at =
      std::find_if(kRules.begin(), kRules.end(), [type](const Rule& rule) { return rule.type == type; });
  return at == kRules.end() ? nullptr : &*at;
}

bool equal_but_for_case(std::string_view a, std::string_view b) {
  return std::equal(a.begin(), a.end(), b.begin(), b.end(),
                    [](unsigned char x, unsigned char y) { return std::tolower(x) == std::tolower(y); });
}

// load + n * degradation. At most (2^32 - 1) * 2^32: it cannot overflow.
uint64_t degraded(uint64_t load, uint32_t degradation, uint32_t n) {
  return load + uint64_t{degradation} * n;
}

// The load that distance adds to, at most 100 %: a delay factor of 0xffffffff adds 100 % per millisecond.
uint64_t delayed_load(const PolicySettings& s) {
  const uint64_t added = uint64_t{s.distance} * s.delay_factor;
  return added >= kFull - s.load ? kFull : s.load + added;
}

// What is left of 100 %; never 0, so that an element that is fully loaded can still be had when there is no
// other.
uint32_t unload(uint64_t load) { return load >= kFull ? 1 : static_cast<uint32_t>(kFull - load); }

uint32_t delayed_weight(const PolicySettings& s) {
  if (s.weight == 0) return 0;
  const auto lost = static_cast<Wide>(uint64_t{s.distance} * s.delay_factor) * s.weight / kFull;
  return lost >= s.weight ? 1 : s.weight - static_cast<uint32_t>(lost);
}

}  // namespace

std::optional<SelectionMethod> selection_method(PolicyType type) {
  const Rule* rule = rule_of(type);
  return rule == nullptr ? std::nullopt : std::optional(rule->method);
}

bool counts_degradation(PolicyType type) {
  const Rule* rule = rule_of(type);
  return rule != nullptr && rule->degrades;
}

uint64_t selection_key(const PolicySettings& s, uint32_t degradations) {
  switch (s.type) {
    case Policy::priority:
      return kFull - s.weight;  // greater is better
    case Policy::least_used:
      return s.load;
    case Policy::least_used_degradation:
      return degraded(s.load, s.load_degradation, degradations);
    case Policy::priority_least_used:
      return degraded(s.load, s.load_degradation, 1);
    case Policy::priority_least_used_degradation:
      return degraded(uint64_t{s.load} + s.load_degradation, s.load_degradation, degradations);
    case Policy::least_used_dpf:
      return delayed_load(s);
    case Policy::least_used_degradation_dpf:
      return degraded(delayed_load(s), s.load_degradation, degradations);
    default:
      return 0;  // RR: all are equal
  }
}

uint32_t selection_weight(const PolicySettings& s, uint32_t degradations) {
  switch (s.type) {
    case Policy::weighted_round_robin:
    case Policy::weighted_random:
      return s.weight;
    case Policy::weighted_random_dpf:
      return delayed_weight(s);
    case Policy::randomized_least_used:
      return unload(s.load);
    case Policy::randomized_priority_least_used:
      return unload(degraded(s.load, s.load_degradation, 1));
    case Policy::randomized_least_used_degradation:
      return unload(degraded(s.load, s.load_degradation, degradations));
    case Policy::randomized_priority_least_used_degradation:
      return unload(degraded(uint64_t{s.load} + s.load_degradation, s.load_degradation, degradations));
    default:
      return 1;
  }
}

std::string_view policy_name(PolicyType type) {
  const Rule* rule = rule_of(type);
  return rule == nullptr ? "unknown" : rule->name;
}

std::optional<PolicyType> policy_by_name(std::string_view name) {
  for (const Rule& rule : kRules) {
    if (equal_but_for_case(name, rule.name) || equal_but_for_case(name, rule.short_name)) return rule.type;
  }
  return std::nullopt;
}

}  // namespace poolgate::rserpool
