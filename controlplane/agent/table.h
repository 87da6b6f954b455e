// SPDX-License-Identifier: BSD-3-Clause
// A pool as people and programs read it.
#pragma once

#include <string>

#include "controlplane/rserpool/endpoint/outputs.h"

namespace poolgate::agent {

std::string pool_table(const rserpool::endpoint::Resolved& pool);
std::string pool_json(const rserpool::endpoint::Resolved& pool);
std::string element_json(const rserpool::PoolElement& element);
std::string clock_time();  // "12:34:56.789"

}  // namespace poolgate::agent
