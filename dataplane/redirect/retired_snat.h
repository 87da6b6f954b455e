// SPDX-License-Identifier: BSD-3-Clause
// Which retired SNAT addresses (ServiceTable::retired()) a worker's sessions have, as it last found when it
// walked over all of them. One writer, any reader.
#pragma once

#include <array>
#include <atomic>
#include <cstdint>
#include <vector>

#include "dataplane/redirect/classify.h"

namespace poolgate::redirect {

class RetiredInUse {
 public:
  // Worker: a walk begins; what the one before it saw is known from here on, if it was all about these.
  void begin(const ServiceTable& services);
  void see(unsigned index) { seen_[index / 64] |= uint64_t{1} << index % 64; }

  // Sets those that are in use, by position. False: not known yet of these services.
  bool add_to(const ServiceTable& services, std::vector<bool>& in_use) const;

 private:
  static constexpr size_t kWords = ServiceTable::kMaxRetired / 64;
  bool begun_ = false;
  uint32_t of_ = 0;  // the walk's services' retirement()
  std::array<uint64_t, kWords> seen_{};
  // Of walks about the same ones, words may be mixed: each is true.
  std::array<std::atomic<uint64_t>, kWords> published_{};
  std::atomic<uint32_t> retirement_{0};
};

}  // namespace poolgate::redirect
