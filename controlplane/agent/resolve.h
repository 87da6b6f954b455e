// SPDX-License-Identifier: BSD-3-Clause
// poolgate-agent resolve: prints the PEs of a pool.
#pragma once

#include <chrono>
#include <optional>
#include <string>
#include <vector>

#include "controlplane/agent/announce_listener.h"
#include "controlplane/rserpool/endpoint/outputs.h"
#include "controlplane/transport/sctp_socket.h"

namespace poolgate::agent {

struct ResolveCommandOptions {
  std::vector<rserpool::endpoint::ServerAddress> registrars;
  std::vector<AnnounceGroup> announce;  // where further registrars announce themselves
  rserpool::PoolHandle pool;
  std::optional<uint32_t> items;
  bool json = false;
  bool tcp = false;  // else SCTP; as the registrars' own
  bool watch = false;
  std::chrono::milliseconds limit{10'000};  // without watch
  transport::SctpOptions sctp;
  rserpool::endpoint::Timing timing;
};

// Exit status: 0 found, 1 for what is wrong on this machine, 2 no such pool, 3 no registrar answered.
int run_resolve(const ResolveCommandOptions& options);

}  // namespace poolgate::agent
