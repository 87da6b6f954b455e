// SPDX-License-Identifier: BSD-3-Clause
// How both processes' log lines begin.
#pragma once

#include <cstdlib>

namespace poolgate::config {

// For spdlog. Under systemd the journal has time and program already.
inline const char* log_pattern() {
  return std::getenv("JOURNAL_STREAM") != nullptr ? "%l: %v" : "%Y-%m-%d %H:%M:%S.%e %l: %v";
}

}  // namespace poolgate::config
