// SPDX-License-Identifier: BSD-3-Clause
#include "controlplane/registrar/process/bulk_cores.h"

#include <sched.h>

#include <algorithm>

namespace poolgate::registrar {

unsigned bulk_threads(const config::Config& config, const std::vector<unsigned>& cores) {
  if (config.registrar.bulk_threads != 0) return config.registrar.bulk_threads;
  const std::vector<unsigned>& workers = config.dataplane.worker_cores;
  const auto free = std::count_if(cores.begin(), cores.end(), [&](unsigned core) {
    return std::find(workers.begin(), workers.end(), core) == workers.end();
  });
  return static_cast<unsigned>(std::clamp<long>(free, 1, 8));
}

std::vector<unsigned> cores_of_this_process() {
  cpu_set_t set;
  CPU_ZERO(&set);
  std::vector<unsigned> cores;
  if (::sched_getaffinity(0, sizeof set, &set) != 0) return cores;
  for (unsigned core = 0; core < CPU_SETSIZE; ++core)
    if (CPU_ISSET(core, &set)) cores.push_back(core);
  return cores;
}

}  // namespace poolgate::registrar
