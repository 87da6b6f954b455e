// SPDX-License-Identifier: BSD-3-Clause
// What the CLI shows and may change, as the data plane's owner threads give it. Called from the CLI's own
// control thread; an implementation answers from counters that may be read at any time, or asks the owner
// thread and waits (bounded: an owner that does not answer in a second is an error that names it).
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "controlplane/rserpool/ip_address.h"
#include "controlplane/rserpool/result.h"
#include "dataplane/cli/report.h"

namespace poolgate::cli {

// Which sessions are asked for: those that fit all that is not empty.
struct SessionFilter {
  uint32_t limit = 100'000;
  std::string service;
  std::optional<rserpool::IpAddress> client;
  std::string pool;  // with pe
  std::optional<uint32_t> pe;
};

class Source {
 public:
  virtual ~Source() = default;

  // `port` is "all" or a port's name or DPDK number; an unknown one is an error that lists the known.
  virtual Result<Report> port_stats(std::string_view port) = 0;
  virtual Result<Report> port_xstats(std::string_view port) = 0;
  virtual Result<Report> port_info(std::string_view port) = 0;
  virtual Result<Report> clear_port(std::string_view port, bool xstats) = 0;
  virtual Result<Report> config(bool all) = 0;
  // `pool` is "all" or a pool handle (bytes).
  virtual Result<Report> pools(std::string_view pool) = 0;
  virtual Result<Report> services(std::string_view service) = 0;
  virtual Result<Report> sessions(const SessionFilter& wanted) = 0;
  virtual Result<Report> associations() = 0;
  virtual Result<Report> drops() = 0;
  virtual Result<Report> clear_drops() = 0;
  virtual Result<Report> clear_held(std::string_view pool) = 0;
  virtual Result<Report> workers() = 0;
  virtual Result<Report> start() = 0;
  virtual Result<Report> stop() = 0;
  // `file` must not exist; `stop` ends one before it has its frames.
  virtual Result<Report> capture(std::string_view port, std::string_view file, uint32_t frames) = 0;
  virtual Result<Report> capture_stop(std::string_view port) = 0;
  virtual Result<Report> captures() = 0;
  // `state` is "up", "drain" or "block".
  virtual Result<Report> set_pe(std::string_view pool, uint32_t pe_id, std::string_view state) = 0;
  virtual Result<Report> set_service(std::string_view service, std::string_view state) = 0;
};

}  // namespace poolgate::cli
