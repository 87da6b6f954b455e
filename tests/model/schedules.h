// SPDX-License-Identifier: BSD-3-Clause
// What POOLGATE_MODEL_SEED, POOLGATE_MODEL_SCHEDULES and POOLGATE_MODEL_FIRST ask of a model.
#pragma once

#include <cstdint>
#include <cstdlib>

namespace poolgate::model {

// The environment variable's value, else `otherwise`.
inline uint64_t number(const char* variable, uint64_t otherwise) {
  const char* text = std::getenv(variable);
  return text == nullptr ? otherwise : std::strtoull(text, nullptr, 0);
}

}  // namespace poolgate::model
