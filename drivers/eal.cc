// SPDX-License-Identifier: BSD-3-Clause
#include "drivers/eal.h"

#include <rte_eal.h>
#include <rte_errno.h>
#include <unistd.h>

#include <algorithm>

namespace poolgate::drivers {

bool is_vdev(const std::string& device) {
  // A PCI address is hex, colons and a dot: "0000:3b:00.1". A vdev's name has a letter beyond them at its
  // start.
  return device.find_first_not_of("0123456789abcdefABCDEF:.") < device.find(',');
}

std::string device_name(const std::string& device) { return device.substr(0, device.find(',')); }

std::string device_argument(const std::string& device, const std::string& key) {
  size_t at = device.find("," + key + "=");
  if (at == std::string::npos) return {};
  at += key.size() + 2;
  return device.substr(at, device.find(',', at) - at);
}

std::vector<std::string> eal_arguments(const config::Config& config) {
  const auto& further = config.dataplane.eal;
  const auto has = [&](const std::string& option) {
    return std::any_of(further.begin(), further.end(),
                       [&](const std::string& a) { return a == option || a.rfind(option + "=", 0) == 0; });
  };
  std::vector<std::string> arguments = {"poolgate-dataplane"};
  // With --lcores the configuration's cores are EAL's lcore numbers, which that option places.
  if (!has("--lcores")) {
    std::string cores = std::to_string(config.dataplane.main_core);
    for (const unsigned core : config.dataplane.worker_cores) cores += "," + std::to_string(core);
    arguments.insert(arguments.end(), {"-l", cores});
  }
  arguments.insert(arguments.end(), {"--main-lcore", std::to_string(config.dataplane.main_core)});
  bool pci = false;
  for (const config::Port& port : config.ports) {
    const bool vdev = is_vdev(port.device);
    pci = pci || !vdev;
    arguments.emplace_back(vdev ? "--vdev" : "--allow");
    arguments.push_back(port.device);
  }
  if (!has("--file-prefix")) arguments.insert(arguments.end(), {"--file-prefix", config.general.name});
  // Without a PCI port there is no reason to touch the host's devices.
  if (!pci && !has("--no-pci")) arguments.emplace_back("--no-pci");
  arguments.insert(arguments.end(), further.begin(), further.end());
  return arguments;
}

Result<bool> check_cores(const config::Config& config) {
  for (const std::string& argument : config.dataplane.eal)
    if (argument.starts_with("--lcores")) return true;
  const auto is_here = [](unsigned core) {
    return access(("/sys/devices/system/cpu/cpu" + std::to_string(core)).c_str(), F_OK) == 0;
  };
  const auto missing = [](const char* key, unsigned core) {
    return Error{std::string(key) + ": this machine has no core " + std::to_string(core) + ", but " +
                 std::to_string(sysconf(_SC_NPROCESSORS_CONF)) + " of them"};
  };
  if (!is_here(config.dataplane.main_core)) return missing("dataplane.main_core", config.dataplane.main_core);
  for (const unsigned core : config.dataplane.worker_cores)
    if (!is_here(core)) return missing("dataplane.worker_cores", core);
  return true;
}

Result<int> start_eal(const std::vector<std::string>& arguments) {
  // The EAL keeps and permutes the array: it has to outlive this call.
  static std::vector<std::string> kept;
  static std::vector<char*> argv;
  kept = arguments;
  argv.clear();
  for (std::string& argument : kept) argv.push_back(argument.data());
  argv.push_back(nullptr);
  const int used = rte_eal_init(static_cast<int>(kept.size()), argv.data());
  if (used >= 0) return used;
  std::string line;
  for (const std::string& argument : arguments) line += (line.empty() ? "" : " ") + argument;
  return Error{
      "EAL: " + std::string(rte_errno != 0 ? rte_strerror(rte_errno) : "it does not start") + " (" + line +
      "); look at the EAL's lines above: hugepages (or --no-huge in [dataplane] eal), the cores, the "
      "devices and their binding, and whether another instance runs under this name"};
}

}  // namespace poolgate::drivers
