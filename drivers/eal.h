// SPDX-License-Identifier: BSD-3-Clause
#pragma once

#include <string>
#include <vector>

#include "controlplane/config/config.h"
#include "controlplane/rserpool/result.h"

namespace poolgate::drivers {

// The EAL's command line for a configuration: cores, file prefix (so that several instances share a host),
// one --vdev or
// --allow a port, then [dataplane] eal.
std::vector<std::string> eal_arguments(const config::Config& config);

// A device string is a vdev's ("net_af_packet0,iface=x") or a PCI address.
bool is_vdev(const std::string& device);
// The name that DPDK gives the device: up to the comma.
std::string device_name(const std::string& device);

// The value of `key` among the device's arguments ("iface"); empty if it has none.
std::string device_argument(const std::string& device, const std::string& key);

// Whether this machine has the cores; with --lcores, which places them, the EAL judges.
Result<bool> check_cores(const config::Config& config);

// rte_eal_init with these; the error says what to look at (hugepages, permissions).
Result<int> start_eal(const std::vector<std::string>& arguments);

}  // namespace poolgate::drivers
