// SPDX-License-Identifier: BSD-3-Clause
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "controlplane/config/config.h"

namespace poolgate::cli {

// What would keep the appliance from starting or from being fast, found before it is started: hugepages,
// cores, NIC binding, IOMMU, NUMA, and what a NIC cannot do for SCTP. Reads sysfs and procfs only; starts
// nothing.
struct Finding {
  enum class Level { ok, warning, error };
  Level level = Level::ok;
  std::string what;    // what was found
  std::string remedy;  // what to do about it; empty for ok
};

// `root` is put before /sys, /proc and /dev paths: "" on a machine, a made tree in tests.
std::vector<Finding> examine(const config::Config& config, const std::string& root);

// One line a finding, the remedy under it.
std::string to_text(const std::vector<Finding>& findings);
bool has_error(const std::vector<Finding>& findings);

// What a NIC of this kernel driver cannot do for SCTP, in words; empty if nothing is known against it.
std::string_view sctp_limits(std::string_view kernel_driver);

}  // namespace poolgate::cli
