// SPDX-License-Identifier: BSD-3-Clause
#include <rte_eal.h>
#include <rte_errno.h>
#include <rte_pdump.h>
#include <signal.h>
#include <spdlog/spdlog.h>
#include <sys/signalfd.h>

#include <CLI/CLI.hpp>
#include <iostream>
#include <string>

#include "controlplane/config/config.h"
#include "controlplane/config/dataplane_needs.h"
#include "controlplane/config/log_pattern.h"
#include "dataplane/sctp/stacks.h"
#include "dataplane/worker/appliance.h"
#include "dataplane/worker/bounded_log.h"
#include "dataplane/worker/console.h"
#include "drivers/eal.h"

namespace {

// Blocked before any thread starts, so that all of them leave these to the main lcore.
int block_signals() {
  sigset_t set;
  sigemptyset(&set);
  for (const int signal : {SIGTERM, SIGINT, SIGHUP}) sigaddset(&set, signal);
  pthread_sigmask(SIG_BLOCK, &set, nullptr);
  signal(SIGPIPE, SIG_IGN);
  return signalfd(-1, &set, SFD_NONBLOCK | SFD_CLOEXEC);
}

void start_logging(const std::string& level) {
  spdlog::set_default_logger(
      std::make_shared<spdlog::logger>("poolgate", std::make_shared<poolgate::worker::BoundedLog>(stderr)));
  spdlog::set_pattern(poolgate::config::log_pattern());
  spdlog::set_level(spdlog::level::from_str(level));
}

}  // namespace

int main(int argc, char** argv) {
  std::string file = "/etc/poolgate/poolgate.toml";
  std::string commands;
  bool check = false;
  CLI::App app(
      "The data plane of Poolgate: redirects service traffic to live pool elements, and carries ASAP and "
      "ENRP");
  app.add_option("-c,--config", file, "the configuration of both processes")->capture_default_str();
  app.add_option("--cmdline-file", commands, "commands to run once it is up, as poolgate-cli takes them");
  app.add_flag("--check", check, "check the configuration and exit");
  app.set_version_flag("--version", "poolgate-dataplane " POOLGATE_VERSION);
  try {
    app.parse(argc, argv);
  } catch (const CLI::ParseError& e) {
    return app.exit(e) == 0 ? 0 : 1;
  }

  auto config = poolgate::config::load(file);
  if (!config) {
    std::cerr << config.error().text << '\n';
    return 1;
  }
  if (const auto serves = poolgate::config::serves_as_dataplane(*config); !serves) {
    std::cerr << serves.error().text << '\n';
    return 1;
  }
  if (check) {
    std::cout << file << ": no errors\n";
    return 0;
  }
  start_logging(config->general.log_level);
  const int signals = block_signals();
  // The EAL would answer with its list of options.
  if (auto cores = poolgate::drivers::check_cores(*config); !cores) {
    spdlog::critical("{}", cores.error().text);
    return 1;
  }
  if (auto eal = poolgate::drivers::start_eal(poolgate::drivers::eal_arguments(*config)); !eal) {
    spdlog::critical("{}", eal.error().text);
    return 1;
  }
  // For dpdk-dumpcap, a second process: it asks for callbacks like those of our own `capture`; until then,
  // nothing.
  if (rte_pdump_init() != 0) spdlog::info("dpdk-dumpcap cannot attach: {}", rte_strerror(rte_errno));
  int status = 1;
  if (auto appliance = poolgate::worker::Appliance::start(*config, signals, poolgate::sctp::stacks());
      appliance) {
    if (auto console = poolgate::worker::Console::open(**appliance, commands); console) {
      status = (*appliance)->run();
    } else {
      spdlog::critical("{}", console.error().text);
    }
  } else if (poolgate::worker::Appliance::is_asked_to_end()) {
    status = 0;
  } else {
    spdlog::critical("{}", appliance.error().text);
  }
  rte_eal_cleanup();
  if (status == 0) spdlog::info("stopped");
  return status;
}
