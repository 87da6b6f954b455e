// SPDX-License-Identifier: BSD-3-Clause
#include "dataplane/cli/doctor.h"

#include <gtest/gtest.h>
#include <unistd.h>

#include <filesystem>
#include <fstream>

namespace poolgate::cli {
namespace {

namespace fs = std::filesystem;

// A made /sys, /proc and /dev.
class Doctor : public testing::Test {
 protected:
  Doctor() : root_(testing::TempDir() + "/doctor_" + std::to_string(getpid())) {
    put("/dev/net/tun", "");
    fs::create_directories(root_ + "/dev/shm");
    put("/sys/devices/system/cpu/online", "0-3");
    put("/sys/devices/system/cpu/isolated", "1-3");
    put("/sys/kernel/mm/hugepages/hugepages-2048kB/nr_hugepages", "1024");
    put("/sys/kernel/mm/hugepages/hugepages-2048kB/free_hugepages", "1024");
    put("/sys/bus/pci/devices/0000:01:00.0/numa_node", "0");
    put("/sys/devices/system/node/node0/cpulist", "0-3");
    fs::create_directories(root_ + "/sys/bus/pci/devices/0000:01:00.0/iommu_group");
    bind("vfio-pci");
    config::Port port;
    port.name = "p0";
    port.device = "0000:01:00.0";
    config_.ports.push_back(port);
  }
  ~Doctor() override { fs::remove_all(root_); }

  void put(const std::string& path, const std::string& text) {
    fs::create_directories(fs::path(root_ + path).parent_path());
    std::ofstream(root_ + path) << text << "\n";
  }
  void bind(const std::string& driver) {
    const std::string link = root_ + "/sys/bus/pci/devices/0000:01:00.0/driver";
    fs::remove(link);
    fs::create_symlink("../../drivers/" + driver, link);
  }
  std::string found() { return to_text(examine(config_, root_)); }
  bool errors() { return has_error(examine(config_, root_)); }

  const std::string root_;
  config::Config config_;
};

TEST_F(Doctor, a_good_machine_has_no_finding_but_ok) {
  EXPECT_EQ(found().find("warning"), std::string::npos) << found();
  EXPECT_FALSE(errors()) << found();
}

TEST_F(Doctor, missing_hugepages_are_an_error_with_the_amount) {
  put("/sys/kernel/mm/hugepages/hugepages-2048kB/nr_hugepages", "0");
  put("/sys/kernel/mm/hugepages/hugepages-2048kB/free_hugepages", "0");
  EXPECT_NE(found().find("no hugepages are reserved; about 223 MiB are needed"), std::string::npos)
      << found();
  EXPECT_TRUE(errors());
  config_.dataplane.eal = {"--no-huge", "-m", "512"};
  EXPECT_FALSE(errors());
}

TEST_F(Doctor, large_frames_want_more_memory) {
  config_.ports[0].mtu = 9000;
  EXPECT_NE(found().find("hugepages: 2048 MiB free, about 659 MiB needed"), std::string::npos) << found();
  config_.dataplane.mbufs = 1'000'000;
  EXPECT_TRUE(errors());
}

TEST_F(Doctor, without_hugepages_the_EAL_is_given_enough) {
  config_.dataplane.eal = {"--no-huge", "-m", "200"};
  EXPECT_NE(found().find("the EAL has 200 MiB; about 223 MiB are needed"), std::string::npos) << found();
  EXPECT_TRUE(errors());
  config_.dataplane.eal = {"--no-huge", "-m", "224"};
  EXPECT_FALSE(errors()) << found();
  config_.dataplane.eal = {"--no-huge"};
  EXPECT_TRUE(errors());
}

TEST_F(Doctor, a_session_dir_that_is_not_there_or_too_small_is_an_error) {
  config_.dataplane.session_dir = "/mnt/huge";
  EXPECT_NE(found().find("dataplane.session_dir /mnt/huge: there is no such folder"), std::string::npos)
      << found();
  EXPECT_TRUE(errors());
  fs::create_directories(root_ + "/mnt/huge");
  EXPECT_FALSE(errors()) << found();
  config_.dataplane.sessions = 4'000'000'000;  // 290 GiB a worker
  config_.dataplane.worker_cores = std::vector<unsigned>(1000, 1);
  EXPECT_NE(found().find("MiB needed for 4000000000 sessions a worker"), std::string::npos) << found();
  EXPECT_TRUE(errors());
}

TEST_F(Doctor, a_nic_of_the_kernel_is_an_error_that_says_how_to_bind_it) {
  bind("ixgbe");
  EXPECT_NE(found().find("is bound to the kernel's ixgbe"), std::string::npos) << found();
  EXPECT_NE(found().find("scripts/nic bind 0000:01:00.0"), std::string::npos);
  EXPECT_NE(found().find("cannot spread SCTP by ports"), std::string::npos);
  EXPECT_TRUE(errors());
}

TEST_F(Doctor, vfio_without_an_iommu_group_is_an_error) {
  fs::remove(root_ + "/sys/bus/pci/devices/0000:01:00.0/iommu_group");
  EXPECT_NE(found().find("has no IOMMU group"), std::string::npos) << found();
  EXPECT_TRUE(errors());
}

TEST_F(Doctor, an_absent_device_or_core_is_an_error) {
  config_.ports[0].device = "0000:09:00.0";
  EXPECT_NE(found().find("there is no such PCI device"), std::string::npos);
  config_.ports[0].device = "0000:01:00.0";
  config_.dataplane.worker_cores = {7};
  EXPECT_NE(found().find("worker core 7 is not online"), std::string::npos);
  config_.dataplane.worker_cores = {1};
  EXPECT_FALSE(errors()) << found();
  config_.dataplane.main_core = 7;
  EXPECT_NE(found().find("main core 7 is not online (online: 0-3)"), std::string::npos) << found();
  EXPECT_TRUE(errors());
}

TEST_F(Doctor, a_worker_on_another_numa_node_is_a_warning) {
  put("/sys/devices/system/node/node0/cpulist", "0");
  EXPECT_NE(found().find("worker core 1 is not"), std::string::npos) << found();
  EXPECT_FALSE(errors());
}

TEST_F(Doctor, an_af_packet_interface_that_the_kernel_answers_on_is_a_warning) {
  config_.ports[0].device = "net_af_packet0,iface=app0,qpairs=1";
  EXPECT_NE(found().find("there is no interface app0 here"), std::string::npos);
  put("/sys/class/net/app0/mtu", "1500");
  put("/proc/sys/net/ipv6/conf/app0/disable_ipv6", "0");
  EXPECT_NE(found().find("the kernel sees every frame too"), std::string::npos) << found();
  put("/proc/sys/net/ipv6/conf/app0/disable_ipv6", "1");
  EXPECT_NE(found().find("app0 is quiet towards the kernel"), std::string::npos) << found();
}

}  // namespace
}  // namespace poolgate::cli
