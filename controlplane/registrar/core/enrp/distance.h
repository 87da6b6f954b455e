// SPDX-License-Identifier: BSD-3-Clause
// Distances of the delay-factor policies (draft-dreibholz-rserpool-delay), if configured: the home server of
// a PE gives its own distance to it, each server that learns of it from there adds its own to the home
// server. Measured by what is asked and answered all the same: keep-alives and presences.
#pragma once

#include "controlplane/rserpool/types.h"

namespace poolgate::registrar {

constexpr bool has_distance(rserpool::PolicyType policy) {
  return policy == rserpool::PolicyType::weighted_random_dpf ||
         policy == rserpool::PolicyType::least_used_dpf ||
         policy == rserpool::PolicyType::least_used_degradation_dpf;
}

// One way, in ms, rounded to a multiple of `step`, so that not every flutter is news.
constexpr uint32_t distance_of(uint32_t round_trip_ms, uint32_t step) {
  return (round_trip_ms / 2 + step / 2) / step * step;
}

}  // namespace poolgate::registrar
