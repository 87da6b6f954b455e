// SPDX-License-Identifier: BSD-3-Clause
#include <rte_ethdev.h>

#include <algorithm>

#include "dataplane/worker/inspection.h"

namespace poolgate::worker {

using cli::Report;

Result<Report> Inspection::on_main(std::function<Result<Report>()> what) {
  // Shared: a request that was begun late must not write into a stack that is gone.
  const auto result = std::make_shared<std::optional<Result<Report>>>();
  if (!appliance_.requests().ask([result, what = std::move(what)] { result->emplace(what()); })) {
    return Error{"the main lcore did not answer within a second"};
  }
  return std::move(**result);
}

Result<std::vector<drivers::PortInfo>> Inspection::ports(std::string_view wanted) {
  std::vector<drivers::PortInfo> found;
  std::string known;
  const auto collect = [&]() -> Result<Report> {
    for (const auto& twin : appliance_.exceptions().twins()) {
      known += (known.empty() ? "" : ", ") + twin.port.name;
      if (wanted == "all" || wanted == twin.port.name || wanted == std::to_string(twin.port.port_id)) {
        found.push_back(twin.port);
      }
    }
    return Report();
  };
  if (const auto done = on_main(collect); !done) return done.error();
  if (found.empty()) return Error{"no port \"" + std::string(wanted) + "\"; there are: " + known};
  return found;
}

Result<Report> Inspection::port_stats(std::string_view wanted) {
  const auto found = ports(wanted);
  if (!found) return found.error();
  Report report;
  auto& section = report.section("ports", {"port", "id", "link", "rx_packets", "rx_bytes", "rx_missed",
                                           "rx_errors", "rx_no_mbuf", "tx_packets", "tx_bytes", "tx_errors"});
  for (const auto& port : *found) {
    rte_eth_stats s{};
    rte_eth_link link{};
    rte_eth_stats_get(port.port_id, &s);
    rte_eth_link_get_nowait(port.port_id, &link);
    section.row({port.name, port.port_id, link.link_status == RTE_ETH_LINK_UP ? "up" : "down", s.ipackets,
                 s.ibytes, s.imissed, s.ierrors, s.rx_nombuf, s.opackets, s.obytes, s.oerrors});
  }
  return report;
}

Result<Report> Inspection::port_xstats(std::string_view wanted) {
  const auto found = ports(wanted);
  if (!found) return found.error();
  Report report;
  auto& section = report.section("xstats", {"port", "counter", "value"});
  for (const auto& port : *found) {
    const int n = rte_eth_xstats_get_names(port.port_id, nullptr, 0);
    if (n <= 0) continue;
    std::vector<rte_eth_xstat_name> names(static_cast<size_t>(n));
    std::vector<rte_eth_xstat> values(static_cast<size_t>(n));
    const int got = std::min(rte_eth_xstats_get_names(port.port_id, names.data(), names.size()),
                             rte_eth_xstats_get(port.port_id, values.data(), static_cast<unsigned>(n)));
    for (int i = 0; i < std::min(n, got); ++i) {
      section.row(
          {port.name, std::string(names[static_cast<size_t>(i)].name), values[static_cast<size_t>(i)].value});
    }
  }
  return report;
}

Result<Report> Inspection::port_info(std::string_view wanted) {
  const auto found = ports(wanted);
  if (!found) return found.error();
  Report report;
  auto& section = report.section(
      "ports",
      {"port", "id", "driver", "mac", "mtu", "vlan", "numa_node", "rx_queues", "tx_queues", "rss",
       "rss_sctp_ports", "rx_ip_checksum", "rx_sctp_checksum", "tx_ip_checksum", "tx_sctp_checksum"},
      true);
  for (const auto& port : *found) {
    section.row({port.name, port.port_id, port.driver, drivers::to_string(port.mac), port.mtu, port.vlan,
                 port.socket, port.rx_queues, port.tx_queues, port.rss, port.rss_sctp_ports,
                 port.rx_ip_checksum, port.rx_sctp_checksum, port.tx_ip_checksum, port.tx_sctp_checksum});
    const drivers::QueuesWanted wanted_queues{port.rx_queues, port.tx_queues};
    for (const std::string& line : drivers::port_shortcomings(port, wanted_queues)) report.note(line);
  }
  return report;
}

Result<Report> Inspection::clear_port(std::string_view wanted, bool xstats) {
  const auto found = ports(wanted);
  if (!found) return found.error();
  for (const auto& port : *found) {
    const int failed = xstats ? rte_eth_xstats_reset(port.port_id) : rte_eth_stats_reset(port.port_id);
    if (failed != 0) return Error{"port " + port.name + ": its device cannot reset its counters"};
  }
  Report report;
  report.note(xstats ? "extended counters cleared" : "counters cleared");
  return report;
}

Result<Report> Inspection::config(bool all) {
  Report report;
  const config::Config& c = appliance_.config();
  auto& workers = report.section("forwarding", {"worker", "core", "endpoint", "burst", "idle_sleep_us"});
  for (const auto& worker : appliance_.workers()) {
    workers.row({worker->index(), worker->lcore(), worker->has_endpoint(), c.dataplane.burst,
                 c.dataplane.idle_sleep_us});
  }
  auto& ports = report.section("ports", {"port", "device", "tap", "addresses", "mtu", "vlan"});
  for (const auto& port : c.ports) {
    std::vector<std::string> addresses;
    for (const auto& prefix : port.addresses) addresses.push_back(prefix.to_string());
    ports.row({port.name, port.device, port.tap, addresses, port.mtu, port.vlan});
  }
  report.note(std::string("forwarding is ") + (appliance_.forwarding() ? "on" : "off"));
  if (!all) return report;
  auto& settings = report.section("settings",
                                  {"file",
                                   "name",
                                   "run_dir",
                                   "state_dir",
                                   "log_level",
                                   "eal",
                                   "main_core",
                                   "mbufs",
                                   "sessions",
                                   "half_open_sessions",
                                   "session_dir",
                                   "probe_rate",
                                   "own_addresses",
                                   "asap_port",
                                   "enrp_port",
                                   "udp_encapsulation_port",
                                   "rto_initial_ms",
                                   "rto_min_ms",
                                   "rto_max_ms",
                                   "heartbeat_ms",
                                   "path_max_retrans",
                                   "association_max_retrans",
                                   "init_rate",
                                   "max_associations",
                                   "stacks"},
                                  true);
  std::vector<std::string> own;
  for (const auto& address : appliance_.own_addresses()) own.push_back(address.to_string());
  settings.row({c.file,
                c.general.name,
                c.general.run_dir,
                c.general.state_dir,
                c.general.log_level,
                c.dataplane.eal,
                c.dataplane.main_core,
                c.dataplane.mbufs,
                c.dataplane.sessions,
                c.dataplane.half_open_sessions,
                c.dataplane.session_dir,
                c.dataplane.probe_rate,
                own,
                c.sctp.asap_port,
                c.sctp.enrp_port,
                c.sctp.udp_encapsulation_port,
                c.sctp.rto_initial_ms,
                c.sctp.rto_min_ms,
                c.sctp.rto_max_ms,
                c.sctp.heartbeat_ms,
                c.sctp.path_max_retrans,
                c.sctp.association_max_retrans,
                c.sctp.init_rate,
                c.sctp.max_associations,
                c.sctp.stacks});
  return report;
}

}  // namespace poolgate::worker
