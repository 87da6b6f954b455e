// SPDX-License-Identifier: BSD-3-Clause
// What a device says of how it spreads packets, read back (net_null keeps what it is told).
#include "drivers/rss.h"

#include <gtest/gtest.h>
#include <rte_eal.h>
#include <rte_ethdev.h>
#include <rte_mbuf.h>

#include <set>

namespace poolgate::drivers {
namespace {

class RssOf : public ::testing::Test {
 protected:
  static void SetUpTestSuite() {
    const char* arguments[] = {"test",  "--no-huge", "--no-pci", "--no-shconf", "--no-telemetry",
                               "-m",    "32",        "-l",       "0",           "--log-level",
                               "error", "--vdev",    "net_null0"};
    ASSERT_GE(rte_eal_init(std::size(arguments), const_cast<char**>(arguments)), 0);
    ASSERT_EQ(rte_eth_dev_count_avail(), 1);
  }
  void configure(uint64_t hash) {
    rte_eth_dev_stop(0);
    rte_eth_conf conf{};
    if (hash != 0) conf.rxmode.mq_mode = RTE_ETH_MQ_RX_RSS;
    conf.rx_adv_conf.rss_conf.rss_hf = hash;
    ASSERT_EQ(rte_eth_dev_configure(0, 2, 1, &conf), 0);
  }
};

TEST_F(RssOf, a_device_that_tells_is_read_back) {
  configure(RTE_ETH_RSS_IP | RTE_ETH_RSS_NONFRAG_IPV4_TCP);
  std::vector<rte_eth_rss_reta_entry64> table(RTE_ETH_RSS_RETA_SIZE_128 / RTE_ETH_RETA_GROUP_SIZE);
  for (auto& group : table) {
    group.mask = UINT64_MAX;
    for (unsigned i = 0; i < RTE_ETH_RETA_GROUP_SIZE; ++i) group.reta[i] = i % 3 == 0 ? 1 : 0;
  }
  ASSERT_EQ(rte_eth_dev_rss_reta_update(0, table.data(), RTE_ETH_RSS_RETA_SIZE_128), 0);
  std::array<uint8_t, 40> key;
  for (size_t i = 0; i < key.size(); ++i) key[i] = static_cast<uint8_t>(i * 7 + 1);
  rte_eth_rss_conf conf{};
  conf.rss_key = key.data();
  conf.rss_key_len = key.size();
  conf.rss_hf = RTE_ETH_RSS_IP | RTE_ETH_RSS_NONFRAG_IPV4_TCP;
  ASSERT_EQ(rte_eth_dev_rss_hash_update(0, &conf), 0);

  const auto rss = read_rss(0);
  ASSERT_TRUE(rss.has_value());
  EXPECT_EQ(rss->key, key);
  ASSERT_EQ(rss->queues.size(), 128u);
  for (unsigned i = 0; i < 128; ++i) EXPECT_EQ(rss->queues[i], i % 64 % 3 == 0 ? 1 : 0);
  rte_eth_dev_info info{};
  ASSERT_EQ(rte_eth_dev_info_get(0, &info), 0);
  EXPECT_FALSE(rss->sctp_ports);
  EXPECT_FALSE(rss->udp_ports);
}

TEST_F(RssOf, a_device_that_does_not_exist_tells_nothing) { EXPECT_FALSE(read_rss(31).has_value()); }

}  // namespace
}  // namespace poolgate::drivers
