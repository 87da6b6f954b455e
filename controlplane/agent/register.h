// SPDX-License-Identifier: BSD-3-Clause
// poolgate-agent register: makes an existing server a pool element, for as long as it lives.
#pragma once

#include <chrono>
#include <string>
#include <vector>

#include "controlplane/agent/announce_listener.h"
#include "controlplane/agent/probe.h"
#include "controlplane/rserpool/endpoint/outputs.h"
#include "controlplane/rserpool/types.h"
#include "controlplane/transport/sctp_socket.h"

namespace poolgate::agent {

struct RegisterOptions {
  std::vector<rserpool::endpoint::ServerAddress> registrars;
  std::vector<AnnounceGroup> announce;  // where further registrars announce themselves
  rserpool::PoolHandle pool;
  rserpool::PoolElement element;  // id 0: drawn; addresses empty: those towards the registrars
  transport::SctpOptions sctp;    // the port of ASAP; addresses as the element's
  ProbeOptions probe;
  std::string load_command;
  std::string load_file;
  std::chrono::milliseconds load_interval{5000};
  std::chrono::milliseconds exit_limit{5000};  // how long a deregistration may take at the end
  rserpool::endpoint::Timing timing;
};

// Exit status: 0 after SIGTERM or SIGINT, 1 for what is wrong on this machine, 4 if the registrar refuses.
int run_register(const RegisterOptions& options);

}  // namespace poolgate::agent
