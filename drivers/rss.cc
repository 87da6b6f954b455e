// SPDX-License-Identifier: BSD-3-Clause
#include "drivers/rss.h"

#include <rte_ethdev.h>

#include <algorithm>

namespace poolgate::drivers {

std::optional<Rss> read_rss(uint16_t port_id) {
  rte_eth_dev_info info{};
  if (rte_eth_dev_info_get(port_id, &info) != 0 || info.reta_size == 0 || info.hash_key_size > 64)
    return std::nullopt;
  Rss rss;
  // Devices write as much as their own key is long; beyond 40 bytes nothing is read of an IPv6 flow.
  std::array<uint8_t, 64> key{};
  rte_eth_rss_conf conf{};
  conf.rss_key = key.data();
  conf.rss_key_len = key.size();
  if (rte_eth_dev_rss_hash_conf_get(port_id, &conf) != 0 || conf.rss_hf == 0) return std::nullopt;
  std::copy_n(key.begin(), rss.key.size(), rss.key.begin());
  if (rss.key == std::array<uint8_t, 40>{}) return std::nullopt;  // it did not tell

  std::vector<rte_eth_rss_reta_entry64> table((info.reta_size + RTE_ETH_RETA_GROUP_SIZE - 1) /
                                              RTE_ETH_RETA_GROUP_SIZE);
  for (auto& group : table) group.mask = UINT64_MAX;
  if (rte_eth_dev_rss_reta_query(port_id, table.data(), info.reta_size) != 0) return std::nullopt;
  for (unsigned i = 0; i < info.reta_size; ++i)
    rss.queues.push_back(table[i / RTE_ETH_RETA_GROUP_SIZE].reta[i % RTE_ETH_RETA_GROUP_SIZE]);
  rss.sctp_ports = (conf.rss_hf & RTE_ETH_RSS_NONFRAG_IPV4_SCTP) != 0;
  rss.tcp_ports = (conf.rss_hf & RTE_ETH_RSS_NONFRAG_IPV4_TCP) != 0;
  rss.udp_ports = (conf.rss_hf & RTE_ETH_RSS_NONFRAG_IPV4_UDP) != 0;
  return rss;
}

}  // namespace poolgate::drivers
