// SPDX-License-Identifier: BSD-3-Clause
#pragma once

#include <chrono>
#include <cstdint>
#include <string>
#include <unordered_map>

#include "controlplane/registrar/core/actions.h"

namespace poolgate::registrar {

// The process's log, on standard error (systemd's journal adds the time): lines of one key are limited
// together, so that no peer can fill a disk; what was held back is counted in the next line of its key.
class RateLimitedLog {
 public:
  using Clock = std::chrono::steady_clock;
  static constexpr unsigned kLines = 5;  // of one key in each
  static constexpr std::chrono::seconds kWindow{10};
  static constexpr size_t kMaxKeys = 4096;

  // trace, debug, info, warn, error; as config::General::log_level was checked to be.
  static void set_level(const std::string& level);

  void write(const Log& log) { write(log, Clock::now()); }
  void write(const Log& log, Clock::time_point now);
  // False: to be held back. `suffix` says how many were.
  bool admit(const std::string& key, Clock::time_point now, std::string& suffix);

 private:
  struct Window {
    Clock::time_point since;
    unsigned lines = 0;
    uint64_t held_back = 0;
  };
  std::unordered_map<std::string, Window> windows_;
};

}  // namespace poolgate::registrar
