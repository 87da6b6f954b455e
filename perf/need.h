// SPDX-License-Identifier: BSD-3-Clause
#pragma once

#include <cstdio>
#include <cstdlib>
#include <string>

namespace poolgate::perf {

// Without it there is no figure.
inline void need(bool good, const std::string& what) {
  if (good) return;
  std::fprintf(stderr, "bench: %s\n", what.c_str());
  std::abort();
}

}  // namespace poolgate::perf
