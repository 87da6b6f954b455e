// SPDX-License-Identifier: BSD-3-Clause
#pragma once

#include <rte_eal.h>

#include <cstdio>
#include <iterator>

namespace poolgate::perf {

inline bool has_huge_pages() {
  FILE* f = std::fopen("/proc/sys/vm/nr_hugepages", "r");
  unsigned pages = 0;
  const bool known = f != nullptr && std::fscanf(f, "%u", &pages) == 1;
  if (f != nullptr) std::fclose(f);
  return known && pages >= 64;
}

// DPDK without devices. Huge pages where there are any (the session tables take them by themselves); else it
// says that the figures are of ordinary pages. False: it could not start.
inline bool start_eal(char* program) {
  const char* huge[] = {program, "--no-pci", "--in-memory", "--no-telemetry", "-l", "1", "--log-level=error"};
  const char* plain[] = {program, "--no-pci", "--no-huge", "--no-shconf", "--no-telemetry",
                         "-m",    "1024",     "-l",        "1",           "--log-level=error"};
  const bool use_huge = has_huge_pages();
  if (!use_huge) std::fprintf(stderr, "%s: no huge pages: figures are of ordinary pages\n", program);
  const int n = use_huge ? rte_eal_init(static_cast<int>(std::size(huge)), const_cast<char**>(huge))
                         : rte_eal_init(static_cast<int>(std::size(plain)), const_cast<char**>(plain));
  return n >= 0;
}

}  // namespace poolgate::perf
