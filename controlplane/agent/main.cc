// SPDX-License-Identifier: BSD-3-Clause
// poolgate-agent: the command line.
#include <CLI/CLI.hpp>
#include <cstdio>

#include "controlplane/agent/register.h"
#include "controlplane/agent/resolve.h"
#include "controlplane/agent/text.h"

using namespace poolgate;

namespace {

struct Common {
  std::vector<std::string> registrars, announce;
  std::string sctp = "auto";
  uint16_t udp_port = 9899;
  // RFC 5352 §7 has 10 s and 60 s; but a registrar that is back keeps our place for 30 s only.
  std::string hunt = "2s";
  std::string hunt_limit = "10s";
  std::string answer = "";
  std::string heartbeat = "5s";

  void add_to(CLI::App& app) {
    app.add_option("--registrar", registrars, "ADDRESS:PORT[,ADDRESS2...] of a registrar; may be repeated");
    app.add_option("--announce", announce,
                   "GROUP:PORT where registrars announce themselves; may be repeated. Without this and "
                   "--registrar: 224.0.1.185:3863 and 239.0.0.50:3863");
    app.add_option("--sctp", sctp,
                   "kernel, raw (user space, needs CAP_NET_RAW), udp (RFC 6951) or auto: kernel, else raw")
        ->capture_default_str();
    app.add_option("--udp-port", udp_port, "UDP port of SCTP over UDP, at both ends")->capture_default_str();
    app.add_option("--hunt-time", hunt, "how long a registrar may take to be reached (T5)")
        ->capture_default_str();
    app.add_option("--hunt-limit", hunt_limit, "what that doubles to at most (RETRAN.max)")
        ->capture_default_str();
    app.add_option("--answer-time", answer,
                   "how long a registrar may take to answer (T1, T2, T3); 15s and 30s");
    app.add_option("--heartbeat", heartbeat, "how often SCTP asks whether an idle registrar is there")
        ->capture_default_str();
  }
};

// Says what is wrong with an option and ends, as CLI11 does for its own checks.
template <class T>
T checked(const char* option, Result<T> result) {
  if (result) return std::move(*result);
  std::fprintf(stderr, "poolgate-agent: %s %s\n", option, result.error().text.c_str());
  std::exit(1);
}

// How often something is done: not at once again.
std::chrono::milliseconds interval(const char* option, const std::string& text) {
  const auto time = checked(option, agent::parse_duration(text));
  if (time < std::chrono::milliseconds(10)) checked(option, Result<int>(Error{text + ": at least 10ms"}));
  return time;
}

template <class Options>
void apply(const Common& common, Options& options) {
  for (const auto& text : common.registrars)
    options.registrars.push_back(checked("--registrar", agent::parse_registrar(text)));
  for (const auto& text : common.announce)
    options.announce.push_back(checked("--announce", agent::parse_group(text)));
  if (options.registrars.empty() && options.announce.empty()) options.announce = agent::default_groups();
  auto& sctp = options.sctp;
  auto& timing = options.timing;
  const auto backend = transport::parse_sctp_backend(common.sctp);
  if (!backend) checked("--sctp", Result<int>(Error{common.sctp + ": not kernel, raw, udp or auto"}));
  sctp.backend = *backend;
  sctp.udp_port = common.udp_port;
  const auto every = checked("--heartbeat", agent::parse_duration(common.heartbeat));
  sctp.heartbeat_ms = static_cast<uint32_t>(std::min<int64_t>(every.count(), UINT32_MAX));
  timing.t5_server_hunt = checked("--hunt-time", agent::parse_duration(common.hunt));
  timing.retran_max = checked("--hunt-limit", agent::parse_duration(common.hunt_limit));
  if (common.answer.empty()) return;
  timing.t1_request = checked("--answer-time", agent::parse_duration(common.answer));
  timing.t2_registration = timing.t3_deregistration = timing.t1_request;
}

struct RegisterCommand {
  Common common;
  std::string pool, transport = "sctp", policy = "rr", lifetime = "60s", id, probe = "none", probe_to;
  std::string probe_interval = "1s", probe_timeout = "1s", load_interval = "5s";
  std::vector<std::string> addresses;
  bool control = false;
  agent::RegisterOptions options;

  void add_to(CLI::App& app) {
    common.add_to(app);
    app.add_option("--pool", pool, "pool handle")->required();
    app.add_option("--transport", transport, "what the server speaks: sctp, tcp, udp, udp-lite or dccp")
        ->check(CLI::IsMember({"sctp", "tcp", "udp", "udp-lite", "dccp"}))
        ->capture_default_str();
    app.add_option("--port", options.element.user_transport.port, "the server's port")
        ->required()
        ->check(CLI::Range(1, 65535));
    app.add_option("--address", addresses,
                   "the server's addresses, all of this machine; none: those that face the registrars");
    app.add_option("--policy", policy,
                   "rr, wrr:WEIGHT, rand, wrand:WEIGHT, prio:PRIORITY, lu[:LOAD], lud:LOAD:DEGRADATION, plu, "
                   "rlu, ...")
        ->capture_default_str();
    app.add_option("--lifetime", lifetime, "registration life, whole seconds; or \"infinite\"")
        ->capture_default_str();
    app.add_option("--id", id, "PE identifier, 0x...; none: drawn at random");
    app.add_flag("--control", control, "the server speaks ASAP's control channel too (SCTP)");
    app.add_option("--asap-port", options.sctp.port, "our own SCTP port; 0: any");
    app.add_option("--probe", probe,
                   "none, tcp, udp:PAYLOAD, sctp or cmd:COMMAND: not registered while it fails")
        ->capture_default_str();
    app.add_option("--probe-to", probe_to, "ADDRESS:PORT to probe; none: the registered one");
    app.add_option("--probe-interval", probe_interval, "from one probe to the next")->capture_default_str();
    app.add_option("--probe-timeout", probe_timeout, "how long an answer may take")->capture_default_str();
    app.add_option("--probe-fall", options.probe.fall, "failures in a row until it counts as down")
        ->check(CLI::Range(1, 1000))
        ->capture_default_str();
    app.add_option("--probe-rise", options.probe.rise, "answers in a row until it counts as up")
        ->check(CLI::Range(1, 1000))
        ->capture_default_str();
    app.add_option("--load-command", options.load_command, "prints the load: 37% or 0.37");
    app.add_option("--load-file", options.load_file, "holds the load: 37% or 0.37");
    app.add_option("--load-interval", load_interval, "how often the load is read")->capture_default_str();
  }

  int run() {
    apply(common, options);
    if (pool.empty()) checked("--pool", Result<int>(Error{"is empty"}));
    options.pool = pool;
    auto& element = options.element;
    element.user_transport.type = transport == "sctp"       ? rserpool::TransportType::sctp
                                  : transport == "tcp"      ? rserpool::TransportType::tcp
                                  : transport == "udp"      ? rserpool::TransportType::udp
                                  : transport == "udp-lite" ? rserpool::TransportType::udp_lite
                                                            : rserpool::TransportType::dccp;
    if (control && transport != "sctp") checked("--control", Result<int>(Error{"is for --transport sctp"}));
    if (control) element.user_transport.use = rserpool::TransportUse::data_plus_control;
    for (const auto& text : addresses) {
      const auto address = rserpool::IpAddress::parse(text);
      if (!address) checked("--address", Result<int>(Error{text + ": not an IP address"}));
      element.user_transport.addresses.push_back(*address);
    }
    if (addresses.size() > 1 && transport != "sctp")
      checked("--address", Result<int>(Error{"only an SCTP server may have several (RFC 5354 §3.5)"}));
    element.policy = checked("--policy", agent::parse_policy(policy));
    if (!id.empty()) element.id = checked("--id", agent::parse_pe_id(id));
    element.registration_life = life();
    const bool adaptive = (static_cast<uint32_t>(element.policy.type) & 0x40000000) != 0 ||
                          static_cast<uint32_t>(element.policy.type) >= 0xb0001001;
    if (!adaptive && !(options.load_command.empty() && options.load_file.empty()))
      checked("--policy", Result<int>(Error{policy + ": takes no load"}));
    options.load_interval = interval("--load-interval", load_interval);
    configure_probe();
    return agent::run_register(options);
  }

  int32_t life() const {
    if (lifetime == "infinite") return rserpool::kInfiniteLife;
    const auto time = checked("--lifetime", agent::parse_duration(lifetime));
    const auto seconds = std::chrono::duration_cast<std::chrono::seconds>(time);
    if (seconds != time || seconds.count() < 1 || seconds.count() > 0x7fffffff)
      checked("--lifetime", Result<int>(Error{lifetime + ": whole seconds, at least 1"}));
    return static_cast<int32_t>(seconds.count());
  }

  void configure_probe() {
    auto parsed = checked("--probe", agent::parse_probe(probe));
    parsed.fall = options.probe.fall;
    parsed.rise = options.probe.rise;
    parsed.interval = interval("--probe-interval", probe_interval);
    parsed.timeout = interval("--probe-timeout", probe_timeout);
    if (!probe_to.empty()) {
      const auto to = checked("--probe-to", agent::parse_registrar(probe_to));
      parsed.address = to.addresses.front();
      parsed.port = to.port;
    }
    options.probe = parsed;
  }
};

struct ResolveCommand {
  Common common;
  agent::ResolveCommandOptions options;
  std::string limit = "10s";
  uint32_t items = 0;
  bool tcp = false;

  void add_to(CLI::App& app) {
    app.add_option("pool", options.pool, "pool handle")->required();
    common.add_to(app);
    app.add_option("--items", items, "PEs wanted; none: as many as the registrar gives");
    app.add_flag("--json", options.json, "as JSON");
    app.add_flag("--watch", options.watch, "go on, and print changes as they happen");
    app.add_flag("--tcp", tcp, "ask over TCP");
    app.add_option("--timeout", limit, "how long to try, without --watch")->capture_default_str();
  }

  int run() {
    apply(common, options);
    options.tcp = tcp;
    for (auto& registrar : options.registrars) registrar.tcp = tcp;
    if (items != 0) options.items = items;
    options.limit = checked("--timeout", agent::parse_duration(limit));
    return agent::run_resolve(options);
  }
};

}  // namespace

int main(int argc, char** argv) {
  CLI::App app{"Makes an existing server a pool element of RSerPool, or resolves a pool handle (RFC 5352)."};
  app.require_subcommand(1);
  RegisterCommand registers;
  ResolveCommand resolves;
  CLI::App* const registering = app.add_subcommand(
      "register",
      "Registers a server with a pool until SIGTERM.\n"
      "Exit status: 0 deregistered and ended, 1 something is wrong here, 4 the registrar refuses.");
  CLI::App* const resolving = app.add_subcommand(
      "resolve",
      "Prints the pool elements of a pool.\n"
      "Exit status: 0 found, 1 something is wrong here, 2 no such pool, 3 no registrar answered.");
  registers.add_to(*registering);
  resolves.add_to(*resolving);
  app.set_version_flag("--version", "poolgate-agent " POOLGATE_VERSION);
  try {
    app.parse(argc, argv);
  } catch (const CLI::ParseError& e) {
    return app.exit(e) == 0 ? 0 : 1;  // the library has numbers of its own
  }
  return *registering ? registers.run() : resolves.run();
}
