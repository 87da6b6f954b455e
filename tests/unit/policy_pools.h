// SPDX-License-Identifier: BSD-3-Clause
#pragma once

#include <cstdint>
#include <vector>

#include "controlplane/rserpool/policy/selector.h"

namespace poolgate::test {

// Elements with ids 1, 2, 3... of the given settings.
inline std::vector<rserpool::SelectorElement> elements(
    const std::vector<rserpool::PolicySettings>& settings) {
  std::vector<rserpool::SelectorElement> all;
  for (const auto& s : settings) all.push_back({static_cast<rserpool::PeId>(all.size() + 1), 1, s});
  return all;
}
inline std::vector<rserpool::SelectorElement> with_weights(const std::vector<uint32_t>& weights) {
  std::vector<rserpool::PolicySettings> settings;
  for (const uint32_t weight : weights) settings.push_back({.weight = weight});
  return elements(settings);
}
inline std::vector<rserpool::SelectorElement> with_loads(const std::vector<uint32_t>& loads,
                                                         uint32_t degradation = 0) {
  std::vector<rserpool::PolicySettings> settings;
  for (const uint32_t load : loads) settings.push_back({.load = load, .load_degradation = degradation});
  return elements(settings);
}

// The ids of a list of up to n.
inline std::vector<rserpool::PeId> list(rserpool::Selector& selector, size_t n) {
  std::vector<rserpool::Slot> slots(n);
  slots.resize(selector.select(slots));
  std::vector<rserpool::PeId> ids;
  for (const auto slot : slots) ids.push_back(selector.id(slot));
  return ids;
}
// The ids of n picks, one after the other.
inline std::vector<rserpool::PeId> picks(rserpool::Selector& selector, size_t n) {
  std::vector<rserpool::PeId> ids;
  for (size_t i = 0; i < n; ++i) {
    const auto slot = selector.pick();
    ids.push_back(slot == rserpool::kNoSlot ? 0 : selector.id(slot));
  }
  return ids;
}

}  // namespace poolgate::test
