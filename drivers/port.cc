// SPDX-License-Identifier: BSD-3-Clause
#include "drivers/port.h"

#include <net/if.h>
#include <rte_errno.h>
#include <rte_ethdev.h>
#include <rte_mempool.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <cstdio>
#include <cstring>

#include "drivers/eal.h"

namespace poolgate::drivers {
namespace {

// Not RSS_HASH: nothing reads the hash, and ethdev refuses the offload on a port without RSS (vmxnet3 offers
// it).
constexpr uint64_t kRxWanted = RTE_ETH_RX_OFFLOAD_CHECKSUM | RTE_ETH_RX_OFFLOAD_SCTP_CKSUM;
constexpr uint64_t kTxWanted = RTE_ETH_TX_OFFLOAD_IPV4_CKSUM | RTE_ETH_TX_OFFLOAD_TCP_CKSUM |
                               RTE_ETH_TX_OFFLOAD_UDP_CKSUM | RTE_ETH_TX_OFFLOAD_SCTP_CKSUM;
constexpr uint64_t kL4 = RTE_ETH_RX_OFFLOAD_TCP_CKSUM | RTE_ETH_RX_OFFLOAD_UDP_CKSUM;
constexpr uint64_t kL4Tx = RTE_ETH_TX_OFFLOAD_TCP_CKSUM | RTE_ETH_TX_OFFLOAD_UDP_CKSUM;

Error failed(const config::Port& port, const char* what, int error) {
  return Error{"port " + port.name + " (" + port.device + "): " + what + ": " +
               rte_strerror(error < 0 ? -error : error)};
}

uint16_t queues(unsigned wanted, uint16_t maximum) {
  return static_cast<uint16_t>(std::clamp<unsigned>(wanted, 1, std::max<uint16_t>(maximum, 1)));
}

bool kernel_link_up(const std::string& device) {
  const int fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
  if (fd < 0) return false;
  ifreq request{};
  std::snprintf(request.ifr_name, sizeof request.ifr_name, "%s", device.c_str());
  const bool up = ioctl(fd, SIOCGIFFLAGS, &request) == 0 && (request.ifr_flags & IFF_RUNNING) != 0;
  close(fd);
  return up;
}

// Neighbour discovery comes by multicast; a device that cannot take all of it is made promiscuous.
bool hear_multicast(uint16_t id) {
  return rte_eth_allmulticast_enable(id) == 0 || rte_eth_promiscuous_enable(id) == 0;
}

}  // namespace

Result<PortInfo> start_port(const config::Port& port, QueuesWanted wanted, rte_mempool* pool) {
  PortInfo info;
  info.name = port.name;
  const std::string device = device_name(port.device);
  if (rte_eth_dev_get_port_by_name(device.c_str(), &info.port_id) != 0)
    return Error{"port " + port.name + ": there is no device " + device +
                 (is_vdev(port.device) ? "; the vdev's arguments were refused (see the EAL's lines above)"
                                       : "; is it bound to vfio-pci, and its driver installed?")};
  const uint16_t id = info.port_id;
  rte_eth_dev_info device_info{};
  if (const int error = rte_eth_dev_info_get(id, &device_info); error != 0)
    return failed(port, "device info", error);
  info.driver = device_info.driver_name;
  if (info.driver == "net_af_packet") info.kernel_device = device_argument(port.device, "iface");
  info.socket = rte_eth_dev_socket_id(id);
  info.rx_queues = queues(port.rx_queues != 0 ? port.rx_queues : wanted.rx, device_info.max_rx_queues);
  info.tx_queues = queues(wanted.tx, device_info.max_tx_queues);

  rte_eth_conf conf{};
  conf.rxmode.mtu = port.mtu;
  conf.rxmode.offloads = kRxWanted & device_info.rx_offload_capa;
  conf.txmode.offloads = kTxWanted & device_info.tx_offload_capa;
  if (port.vlan != 0) {
    conf.rxmode.offloads |= RTE_ETH_RX_OFFLOAD_VLAN_STRIP & device_info.rx_offload_capa;
    conf.txmode.offloads |= RTE_ETH_TX_OFFLOAD_VLAN_INSERT & device_info.tx_offload_capa;
  }
  info.vlan = port.vlan;
  info.takes_vlan_off = (conf.rxmode.offloads & RTE_ETH_RX_OFFLOAD_VLAN_STRIP) != 0;
  info.puts_vlan_on = (conf.txmode.offloads & RTE_ETH_TX_OFFLOAD_VLAN_INSERT) != 0;
  const uint64_t hash = device_info.flow_type_rss_offloads &
                        (RTE_ETH_RSS_IP | RTE_ETH_RSS_TCP | RTE_ETH_RSS_UDP | RTE_ETH_RSS_SCTP);
  if (info.rx_queues > 1 && hash != 0) {
    conf.rxmode.mq_mode = RTE_ETH_MQ_RX_RSS;
    conf.rx_adv_conf.rss_conf.rss_hf = hash;
    info.rss = true;
    info.rss_sctp_ports = (hash & RTE_ETH_RSS_SCTP) != 0;
  }
  info.rx_ip_checksum = (conf.rxmode.offloads & RTE_ETH_RX_OFFLOAD_IPV4_CKSUM) != 0;
  info.rx_l4_checksum = (conf.rxmode.offloads & kL4) == kL4;
  info.rx_sctp_checksum = (conf.rxmode.offloads & RTE_ETH_RX_OFFLOAD_SCTP_CKSUM) != 0;
  info.tx_ip_checksum = (conf.txmode.offloads & RTE_ETH_TX_OFFLOAD_IPV4_CKSUM) != 0;
  info.tx_l4_checksum = (conf.txmode.offloads & kL4Tx) == kL4Tx;
  info.tx_sctp_checksum = (conf.txmode.offloads & RTE_ETH_TX_OFFLOAD_SCTP_CKSUM) != 0;
  if (const int error = rte_eth_dev_configure(id, info.rx_queues, info.tx_queues, &conf); error != 0)
    return failed(port, "configure", error);
  uint16_t rx = port.rx_descriptors;
  uint16_t tx = port.tx_descriptors;
  if (const int error = rte_eth_dev_adjust_nb_rx_tx_desc(id, &rx, &tx); error != 0)
    return failed(port, "descriptors", error);
  const auto socket = static_cast<unsigned>(info.socket);
  for (uint16_t q = 0; q < info.rx_queues; ++q)
    if (const int error = rte_eth_rx_queue_setup(id, q, rx, socket, nullptr, pool); error != 0)
      return failed(port, "receive queue", error);
  for (uint16_t q = 0; q < info.tx_queues; ++q)
    if (const int error = rte_eth_tx_queue_setup(id, q, tx, socket, nullptr); error != 0)
      return failed(port, "transmit queue", error);
  // Devices without a notion of MTU (ring, null, pcap) take any frame.
  if (const int error = rte_eth_dev_set_mtu(id, port.mtu); error != 0 && error != -ENOTSUP)
    return failed(port, "MTU", error);
  rte_eth_dev_get_mtu(id, &info.mtu);
  if (info.mtu == 0 || info.mtu > port.mtu) info.mtu = port.mtu;
  if (const int error = rte_eth_dev_start(id); error != 0) return failed(port, "start", error);
  rte_ether_addr mac{};
  if (const int error = rte_eth_macaddr_get(id, &mac); error != 0) return failed(port, "MAC address", error);
  std::memcpy(info.mac.data(), mac.addr_bytes, info.mac.size());
  info.all_multicast = hear_multicast(id);
  return info;
}

bool port_link_up(const PortInfo& port) {
  if (!port.kernel_device.empty()) return kernel_link_up(port.kernel_device);
  rte_eth_link link{};
  return rte_eth_link_get_nowait(port.port_id, &link) == 0 && link.link_status == RTE_ETH_LINK_UP;
}

void stop_port(uint16_t port_id) {
  rte_eth_dev_stop(port_id);
  rte_eth_dev_close(port_id);
}

std::vector<std::string> port_shortcomings(const PortInfo& port, QueuesWanted wanted) {
  std::vector<std::string> said;
  const std::string who = port.name + " (" + port.driver + ") ";
  if (port.rx_queues < wanted.rx)
    said.push_back(who + "has " + std::to_string(port.rx_queues) + " receive queue(s) for " +
                   std::to_string(wanted.rx) + " workers: the others get its packets by hand-over only");
  if (port.tx_queues < wanted.tx)
    said.push_back(who + "has " + std::to_string(port.tx_queues) + " transmit queue(s) for " +
                   std::to_string(wanted.tx) + " workers: the others send through the one that has it");
  if (port.rx_queues > 1 && !port.rss)
    said.push_back(who + "does not say how it spreads packets over its queues (no RSS)");
  if (port.rss && !port.rss_sctp_ports)
    said.push_back(who + "cannot hash SCTP ports: SCTP is spread over the workers by addresses alone");
  if (!port.rx_ip_checksum || !port.rx_l4_checksum)
    said.push_back(
        who +
        "does not check IP, TCP and UDP checksums on receipt: the workers do where a packet is rewritten");
  if (!port.rx_sctp_checksum)
    said.push_back(who + "does not check SCTP's CRC32c on receipt: the workers do where it matters");
  if (!port.tx_sctp_checksum)
    said.push_back(who + "does not fill in SCTP's CRC32c on sending: the workers compute it");
  if (port.vlan != 0 && !port.takes_vlan_off)
    said.push_back(who + "does not take VLAN tags off: the workers do");
  if (port.vlan != 0 && !port.puts_vlan_on) said.push_back(who + "does not put VLAN tags on: the workers do");
  if (!port.all_multicast)
    said.push_back(who + "can hear neither all multicast nor promiscuously: IPv6 neighbours may not find us");
  return said;
}

}  // namespace poolgate::drivers
