// SPDX-License-Identifier: BSD-3-Clause
#include "dataplane/cli/doctor.h"

#include <algorithm>
#include <filesystem>
#include <fstream>
#include <set>

namespace poolgate::cli {

namespace fs = std::filesystem;

namespace {

constexpr uint64_t kSessionBytes = 78;  // of a session table's file, at least

class Examination {
 public:
  Examination(const config::Config& config, std::string root) : config_(config), root_(std::move(root)) {}

  std::vector<Finding> run() {
    memory();
    session_room();
    cores();
    for (const config::Port& port : config_.ports) {
      if (is_pci(port.device)) {
        pci_port(port);
      } else {
        virtual_port(port);
      }
    }
    if (config_.ports.empty())
      error("no port is configured", "add a [[port]] for each NIC: name, device, addresses");
    if (!fs::exists(root_ + "/dev/net/tun")) {
      error("/dev/net/tun is missing: no TAP twins, so no ARP, no routing", "modprobe tun");
    }
    return std::move(findings_);
  }

 private:
  void ok(std::string what) { findings_.push_back({Finding::Level::ok, std::move(what), ""}); }
  void warn(std::string what, std::string remedy) {
    findings_.push_back({Finding::Level::warning, std::move(what), std::move(remedy)});
  }
  void error(std::string what, std::string remedy) {
    findings_.push_back({Finding::Level::error, std::move(what), std::move(remedy)});
  }

  // The first line of a file, "" if it cannot be read.
  std::string line(const std::string& path) const {
    std::ifstream in(root_ + path);
    std::string text;
    std::getline(in, text);
    return text;
  }
  uint64_t number(const std::string& path) const {
    const std::string text = line(path);
    return text.empty() || text[0] < '0' || text[0] > '9' ? 0 : std::stoull(text);
  }
  bool eal_has(std::string_view option) const {
    const auto& eal = config_.dataplane.eal;
    return std::find(eal.begin(), eal.end(), option) != eal.end();
  }

  // "0-3,8" holds 2
  static std::set<unsigned> cpu_list(const std::string& text) {
    std::set<unsigned> cpus;
    const char* p = text.c_str();
    while (*p >= '0' && *p <= '9') {
      char* end = nullptr;
      const unsigned first = static_cast<unsigned>(std::strtoul(p, &end, 10));
      const unsigned last = *end == '-' ? static_cast<unsigned>(std::strtoul(end + 1, &end, 10)) : first;
      for (unsigned c = first; c <= last && c < 4096; ++c) cpus.insert(c);
      p = *end == ',' ? end + 1 : end;
    }
    return cpus;
  }

  static bool is_pci(const std::string& device) {  // 0000:01:00.0
    return device.size() == 12 && device[4] == ':' && device[7] == ':' && device[10] == '.';
  }

  // A mbuf holds a frame of the largest MTU, and takes some 340 bytes beside its data; and 64 MiB for all
  // else.
  uint64_t memory_needed() const {
    uint64_t room = 2048;
    for (const config::Port& port : config_.ports) room = std::max<uint64_t>(room, port.mtu + 22u);
    return uint64_t{config_.dataplane.mbufs} * (room + 512) + (64u << 20);
  }

  // What -m gives the EAL, in bytes; without hugepages and without -m it takes 64 MiB.
  uint64_t memory_given() const {
    const auto& eal = config_.dataplane.eal;
    const auto at = std::find(eal.begin(), eal.end(), "-m");
    const uint64_t mib =
        at == eal.end() || at + 1 == eal.end() ? 64 : std::strtoull((at + 1)->c_str(), nullptr, 10);
    return mib << 20;
  }

  void memory() {
    const uint64_t needed = memory_needed();
    const std::string in_mib = std::to_string(needed >> 20) + " MiB";
    if (eal_has("--no-huge")) {
      warn("--no-huge: ordinary pages cost about 22 cycles a packet",
           "for the lab only; in production reserve hugepages");
      if (memory_given() < needed)
        error("--no-huge: the EAL has " + std::to_string(memory_given() >> 20) + " MiB; about " + in_mib +
                  " are needed",
              "\"-m\", \"" + std::to_string((needed >> 20) + 1) +
                  "\" in dataplane.eal, or lower dataplane.mbufs");
      return;
    }
    uint64_t bytes_free = 0, bytes = 0;
    std::error_code ignored;
    for (const auto& size : fs::directory_iterator(root_ + "/sys/kernel/mm/hugepages", ignored)) {
      const std::string name = size.path().filename();  // hugepages-2048kB
      const uint64_t kb = name.size() > 10 ? std::strtoull(name.c_str() + 10, nullptr, 10) : 0;
      const std::string dir = "/sys/kernel/mm/hugepages/" + name;
      bytes += number(dir + "/nr_hugepages") * kb * 1024;
      bytes_free += number(dir + "/free_hugepages") * kb * 1024;
    }
    if (bytes == 0) {
      error("no hugepages are reserved; about " + in_mib + " are needed",
            "scripts/hugepages " + std::to_string((needed >> 20) + 1) +
                "   (or hugepagesz=1G on the kernel's command line)");
    } else if (bytes_free < needed) {
      error("hugepages: " + std::to_string(bytes_free >> 20) + " MiB free of " + std::to_string(bytes >> 20) +
                "; about " + in_mib + " are needed",
            "reserve more with scripts/hugepages, lower dataplane.mbufs, or stop what holds them");
    } else {
      ok("hugepages: " + std::to_string(bytes_free >> 20) + " MiB free, about " + in_mib + " needed");
    }
  }

  // The session tables, all of whose pages are taken at the start: what a former run left counts as room.
  void session_room() {
    const std::string& dir = config_.dataplane.session_dir;
    std::error_code none;
    if (!fs::is_directory(root_ + dir, none)) {
      error("dataplane.session_dir " + dir + ": there is no such folder",
            "make it, or choose another; /dev/shm");
      return;
    }
    const std::string prefix = "poolgate-" + config_.general.name + "-";
    uint64_t room = fs::space(root_ + dir, none).available;
    for (const auto& file : fs::directory_iterator(root_ + dir, none))
      if (file.path().filename().string().starts_with(prefix)) room += file.file_size(none);
    const uint64_t needed =
        uint64_t{config_.dataplane.sessions} * config_.dataplane.worker_cores.size() * kSessionBytes;
    const std::string said = "dataplane.session_dir " + dir + ": " + std::to_string(room >> 20) +
                             " MiB free, about " + std::to_string(needed >> 20) + " MiB needed";
    if (room < needed)
      error(said + " for " + std::to_string(config_.dataplane.sessions) + " sessions a worker",
            "mount -o remount,size=" + std::to_string((needed >> 20) * 2) + "M " + dir +
                ", lower dataplane.sessions, or choose another folder");
    else
      ok(said);
  }

  void cores() {
    const auto online = cpu_list(line("/sys/devices/system/cpu/online"));
    const auto isolated = cpu_list(line("/sys/devices/system/cpu/isolated"));
    // With --lcores the numbers are the EAL's own, which that option places.
    const bool placed = std::any_of(config_.dataplane.eal.begin(), config_.dataplane.eal.end(),
                                    [](const std::string& a) { return a.starts_with("--lcores"); });
    if (placed) return;
    if (!online.contains(config_.dataplane.main_core))
      error("main core " + std::to_string(config_.dataplane.main_core) +
                " is not online (online: " + line("/sys/devices/system/cpu/online") + ")",
            "choose another in dataplane.main_core");
    for (const unsigned core : config_.dataplane.worker_cores) {
      const std::string name = "worker core " + std::to_string(core);
      if (!online.contains(core)) {
        error(name + " is not online (online: " + line("/sys/devices/system/cpu/online") + ")",
              "choose others in dataplane.worker_cores");
        continue;
      }
      if (!isolated.contains(core) && config_.dataplane.idle_sleep_us == 0) {
        warn(name + " is not isolated: the kernel will run other tasks on it",
             "isolcpus=" + std::to_string(core) + " nohz_full=" + std::to_string(core) +
                 " on the kernel's command line");
      } else {
        ok(name);
      }
      const std::string sibling_path =
          "/sys/devices/system/cpu/cpu" + std::to_string(core) + "/topology/thread_siblings_list";
      for (const unsigned sibling : cpu_list(line(sibling_path))) {
        const auto& workers = config_.dataplane.worker_cores;
        if (sibling > core && std::find(workers.begin(), workers.end(), sibling) != workers.end()) {
          warn("worker cores " + std::to_string(core) + " and " + std::to_string(sibling) +
                   " are threads of one core",
               "give each worker a core of its own");
        }
      }
    }
  }

  void pci_port(const config::Port& port) {
    const std::string dir = "/sys/bus/pci/devices/" + port.device;
    const std::string name = "port " + port.name + " (" + port.device + ")";
    if (!fs::exists(root_ + dir)) {
      error(name + ": there is no such PCI device", "dpdk-devbind.py --status lists them");
      return;
    }
    std::error_code none;
    const fs::path link = fs::read_symlink(root_ + dir + "/driver", none);
    const std::string driver = none ? "" : link.filename().string();
    const bool bifurcated = driver == "mlx5_core" || driver == "mlx4_core";
    if (driver == "vfio-pci") {
      const bool group = fs::exists(root_ + dir + "/iommu_group");
      const bool unsafe = line("/sys/module/vfio/parameters/enable_unsafe_noiommu_mode") == "Y";
      if (!group && !unsafe) {
        error(name + " is bound to vfio-pci but has no IOMMU group",
              "intel_iommu=on (or amd_iommu=on) on the kernel's command line, and VT-d in the firmware");
      } else {
        ok(name + " is bound to vfio-pci");
      }
    } else if (bifurcated || driver == "igb_uio" || driver == "uio_pci_generic") {
      ok(name + " uses " + driver);
    } else {
      error(name + " is bound to " + (driver.empty() ? "no driver" : "the kernel's " + driver),
            "scripts/nic bind " + port.device +
                "   (the interface leaves the kernel: not the one you are logged in by)");
    }
    if (const auto limits = sctp_limits(driver); !limits.empty())
      warn(name + ": " + std::string(limits), "nothing to do: said so that it is known");
    numa(port, dir, name);
  }

  void numa(const config::Port& port, const std::string& dir, const std::string& name) {
    const std::string node = line(dir + "/numa_node");
    if (node.empty() || node == "-1") return;
    const std::string cpus = line("/sys/devices/system/node/node" + node + "/cpulist");
    const auto local = cpu_list(cpus);
    if (local.empty()) return;
    const std::string remedy =
        "choose worker cores of node " + node + " (" + cpus + "), or another slot for " + port.name;
    const std::string where = name + " is on NUMA node " + node + ", worker core ";
    for (const unsigned core : config_.dataplane.worker_cores) {
      if (!local.contains(core)) warn(where + std::to_string(core) + " is not", remedy);
    }
  }

  void virtual_port(const config::Port& port) {
    const std::string name = "port " + port.name + " (" + port.device + ")";
    const size_t at = port.device.find("iface=");
    if (!port.device.starts_with("net_af_packet") || at == std::string::npos) {
      ok(name + " is a virtual device");
      return;
    }
    const std::string iface = port.device.substr(at + 6, port.device.find(',', at) - at - 6);
    if (!fs::exists(root_ + "/sys/class/net/" + iface)) {
      error(name + ": there is no interface " + iface + " here", "ip link; check the network namespace");
      return;
    }
    const std::string conf = "/proc/sys/net/ipv6/conf/" + iface + "/disable_ipv6";
    const std::string arp = "/proc/sys/net/ipv4/conf/" + iface + "/arp_ignore";
    if (line(conf) == "0" || line(arp) == "0") {
      warn(name + ": the kernel sees every frame too and may answer on " + iface,
           "sysctl -w net.ipv6.conf." + iface + ".disable_ipv6=1 net.ipv4.conf." + iface +
               ".arp_ignore=1 net.ipv4.conf." + iface + ".rp_filter=1; no addresses on it; ethtool -K " +
               iface + " tx off tso off gso off gro off");
    } else {
      ok(name + ": " + iface + " is quiet towards the kernel");
    }
  }

  const config::Config& config_;
  const std::string root_;
  std::vector<Finding> findings_;
};

}  // namespace

std::string_view sctp_limits(std::string_view driver) {
  if (driver == "mlx5_core" || driver == "bnxt_en" || driver == "ixgbe") {
    return "this NIC cannot spread SCTP by ports: associations of one client address meet one worker, "
           "hand-overs do the rest";
  }
  if (driver == "e1000e" || driver == "vmxnet3" || driver == "virtio-pci") {
    return "this NIC neither spreads SCTP nor fills in its CRC32c: the worker computes it";
  }
  return {};
}

std::vector<Finding> examine(const config::Config& config, const std::string& root) {
  return Examination(config, root).run();
}

std::string to_text(const std::vector<Finding>& findings) {
  std::string text;
  for (const Finding& f : findings) {
    text += f.level == Finding::Level::ok        ? "ok       "
            : f.level == Finding::Level::warning ? "warning  "
                                                 : "error    ";
    text += f.what + "\n";
    if (!f.remedy.empty()) text += "           -> " + f.remedy + "\n";
  }
  return text;
}

bool has_error(const std::vector<Finding>& findings) {
  return std::any_of(findings.begin(), findings.end(),
                     [](const Finding& f) { return f.level == Finding::Level::error; });
}

}  // namespace poolgate::cli
