// SPDX-License-Identifier: BSD-3-Clause
// How many threads bulk work may have.
#pragma once

#include <vector>

#include "controlplane/config/config.h"

namespace poolgate::registrar {

// registrar.bulk_threads, or one for each of these cores that polls no port, 1 to 8.
unsigned bulk_threads(const config::Config& config, const std::vector<unsigned>& cores);
// Those on which this process may run.
std::vector<unsigned> cores_of_this_process();

}  // namespace poolgate::registrar
