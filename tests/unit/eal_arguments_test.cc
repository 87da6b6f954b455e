// SPDX-License-Identifier: BSD-3-Clause
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "drivers/eal.h"

namespace poolgate::drivers {
namespace {

using ::testing::ElementsAre;

config::Port port(const char* name, const char* device) {
  config::Port made;
  made.name = name;
  made.device = device;
  return made;
}

TEST(EalArguments, lab_without_hugepages) {
  config::Config config;
  config.general.name = "lab";
  config.dataplane.eal = {"--no-huge", "-m", "512"};
  config.dataplane.worker_cores = {1};
  config.ports = {port("a", "net_af_packet0,iface=veth0"), port("b", "net_ring0")};
  EXPECT_THAT(eal_arguments(config),
              ElementsAre("poolgate-dataplane", "-l", "0,1", "--main-lcore", "0", "--vdev",
                          "net_af_packet0,iface=veth0", "--vdev", "net_ring0", "--file-prefix", "lab",
                          "--no-pci", "--no-huge", "-m", "512"));
}

TEST(EalArguments, a_core_that_the_machine_has_not_is_named_with_its_key) {
  config::Config config;
  config.dataplane.worker_cores = {0};
  EXPECT_TRUE(check_cores(config));
  config.dataplane.worker_cores = {0, 1023};
  auto checked = check_cores(config);
  ASSERT_FALSE(checked);
  EXPECT_EQ(checked.error().text.find("dataplane.worker_cores: this machine has no core 1023, but "), 0u)
      << checked.error().text;
  config.dataplane.main_core = 1022;
  checked = check_cores(config);
  ASSERT_FALSE(checked);
  EXPECT_EQ(checked.error().text.find("dataplane.main_core: this machine has no core 1022"), 0u);
  config.dataplane.eal = {"--lcores=1022@0,1023@0"};
  EXPECT_TRUE(check_cores(config));
}

TEST(EalArguments, pci_devices_are_allowed_by_address_and_pci_stays_on) {
  config::Config config;
  config.dataplane.main_core = 2;
  config.dataplane.worker_cores = {3, 4};
  config.ports = {port("a", "0000:3b:00.1")};
  EXPECT_THAT(eal_arguments(config), ElementsAre("poolgate-dataplane", "-l", "2,3,4", "--main-lcore", "2",
                                                 "--allow", "0000:3b:00.1", "--file-prefix", "poolgate"));
}

TEST(EalArguments, what_the_configuration_says_is_not_said_twice) {
  config::Config config;
  config.dataplane.eal = {"--no-pci", "--file-prefix=other"};
  config.ports = {port("a", "net_null0")};
  const auto arguments = eal_arguments(config);
  EXPECT_EQ(std::count(arguments.begin(), arguments.end(), "--no-pci"), 1);
  EXPECT_EQ(std::count(arguments.begin(), arguments.end(), "--file-prefix"), 0);
}

TEST(EalArguments, lcores_that_are_placed_by_hand_are_not_listed) {
  config::Config config;
  config.dataplane.worker_cores = {1, 2};
  config.dataplane.eal = {"--lcores=0@0,1@1,2@1"};
  config.ports = {port("a", "net_null0")};
  EXPECT_THAT(eal_arguments(config),
              ElementsAre("poolgate-dataplane", "--main-lcore", "0", "--vdev", "net_null0", "--file-prefix",
                          "poolgate", "--no-pci", "--lcores=0@0,1@1,2@1"));
}

TEST(EalArguments, tells_vdevs_from_pci_addresses) {
  EXPECT_TRUE(is_vdev("net_af_packet0,iface=eth0"));
  EXPECT_TRUE(is_vdev("net_memif"));
  EXPECT_FALSE(is_vdev("0000:3b:00.1"));
  EXPECT_FALSE(is_vdev("3b:00.1"));
  EXPECT_FALSE(is_vdev("0000:3b:00.1,mprq_en=1"));
  EXPECT_EQ(device_name("0000:3b:00.1,mprq_en=1"), "0000:3b:00.1");
  EXPECT_EQ(device_name("net_ring0"), "net_ring0");
}

TEST(EalArguments, finds_an_argument_of_a_device) {
  EXPECT_EQ(device_argument("net_af_packet0,iface=eth0,framecnt=1024", "iface"), "eth0");
  EXPECT_EQ(device_argument("net_af_packet0,framecnt=1024,iface=eth1", "iface"), "eth1");
  EXPECT_EQ(device_argument("net_null0", "iface"), "");
}

}  // namespace
}  // namespace poolgate::drivers
