// SPDX-License-Identifier: BSD-3-Clause
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "controlplane/config/config.h"
#include "controlplane/rserpool/result.h"
#include "drivers/next_hop_table.h"

struct rte_mempool;

namespace poolgate::drivers {

// An ethdev that is up, and what it does for us.
struct PortInfo {
  uint16_t port_id = 0;
  std::string name;    // of the configuration
  std::string driver;  // the PMD
  MacAddress mac{};
  uint16_t mtu = 1500;
  uint16_t vlan = 0;            // of the configuration; 0: none
  bool takes_vlan_off = false;  // the device does, else the worker
  bool puts_vlan_on = false;    // likewise
  uint16_t rx_queues = 1;
  uint16_t tx_queues = 1;
  int socket = -1;
  bool rss = false;
  bool rss_sctp_ports = false;  // else SCTP is spread by addresses alone
  bool rx_ip_checksum = false;
  bool rx_l4_checksum = false;
  bool rx_sctp_checksum = false;
  bool tx_ip_checksum = false;
  bool tx_l4_checksum = false;
  bool tx_sctp_checksum = false;
  std::string
      kernel_device;  // the interface that net_af_packet reads from: it says nothing of its link itself
  bool all_multicast = false;  // or promiscuous: neighbour discovery needs one
};

// How many workers receive and send: a queue each where the device can.
struct QueuesWanted {
  unsigned rx = 1;
  unsigned tx = 1;
};

// Configures and starts the device of `port`, with the offloads that it has.
Result<PortInfo> start_port(const config::Port& port, QueuesWanted wanted, rte_mempool* pool);
void stop_port(uint16_t port_id);
bool port_link_up(const PortInfo& port);

// What the port cannot do and what that costs, one sentence each; said once at start.
std::vector<std::string> port_shortcomings(const PortInfo& port, QueuesWanted wanted);

}  // namespace poolgate::drivers
