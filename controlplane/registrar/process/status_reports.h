// SPDX-License-Identifier: BSD-3-Clause
// Reports for RSPLIB's cspmonitor: who we are, what we hold and which peers we have, as UDP datagrams of the
// Component Status Protocol. That is RSPLIB's own, without an RFC; Wireshark's dissector of it is the
// reference.
#pragma once

#include <asio/io_context.hpp>
#include <asio/ip/udp.hpp>
#include <asio/steady_timer.hpp>
#include <chrono>
#include <functional>
#include <string>
#include <utility>
#include <vector>

#include "controlplane/rserpool/ip_address.h"
#include "controlplane/rserpool/types.h"

namespace poolgate::registrar {

struct StatusReport {
  rserpool::ServerId server = 0;
  std::chrono::microseconds uptime{0};
  std::chrono::microseconds interval{0};
  std::string location;  // shown in full up to 127 bytes
  std::string status;    // likewise
  std::vector<rserpool::ServerId> peers;
  bool final = false;  // we end: the monitor forgets us
};

// One datagram; peers beyond what fits are left out.
std::string encode(const StatusReport& report);

class StatusReports {
 public:
  using Targets = std::vector<std::pair<rserpool::IpAddress, uint16_t>>;
  // What is to be reported now, but for interval and final.
  using Ask = std::function<StatusReport()>;

  StatusReports(asio::io_context& loop, Ask ask);

  // Reports to all targets at once and then each interval; none: no more. Replaces what was set.
  void start(Targets targets, std::chrono::milliseconds interval);
  // Sends the last report.
  void stop();

 private:
  void report(bool final);
  void arm();

  asio::io_context& loop_;
  Ask ask_;
  Targets targets_;
  std::chrono::milliseconds interval_{0};
  asio::steady_timer timer_;
};

}  // namespace poolgate::registrar
