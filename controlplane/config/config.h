// SPDX-License-Identifier: BSD-3-Clause
// The one TOML file of both processes: what it may say, with units and defaults. Loading checks everything
// that can be checked offline; an error names the file, the line and the reason. Pure: no sockets, no DPDK.
#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <vector>

#include "controlplane/rserpool/result.h"
#include "controlplane/rserpool/types.h"

namespace poolgate::config {

struct Prefix {
  rserpool::IpAddress address;
  uint8_t length = 0;
  bool contains(const rserpool::IpAddress& a) const;
  std::string to_string() const;
  bool operator==(const Prefix&) const = default;
};

// ---- [general]
struct General {
  std::string name = "poolgate";                // instance name: several a host differ in it
  std::string run_dir = "/run/poolgate";        // channel.sock, cli.sock, registrar-cli.sock, pid files
  std::string state_dir = "/var/lib/poolgate";  // the registrar's journal
  std::string log_level = "info";               // trace debug info warn error
  bool operator==(const General&) const = default;
};

// ---- [dataplane]
struct DataPlane {
  std::vector<std::string> eal;  // further EAL arguments, e.g. ["--no-huge", "-m", "512", "--no-pci"]
  unsigned main_core = 0;
  std::vector<unsigned> worker_cores = {1};
  std::string endpoint_core;   // "" : the last worker core when there are two or more, else shared
  unsigned idle_sleep_us = 0;  // 0 in production, 200 in the lab
  unsigned burst = 32;
  uint32_t mbufs = 65535;                // a socket
  uint32_t sessions = 1'000'000;         // a worker
  std::string session_dir = "/dev/shm";  // or a hugetlbfs mount: the re-attachable session tables
  uint32_t half_open_sessions = 65'536;  // a worker
  uint32_t probe_rate = 20'000;          // probes a second, of all pool elements together
  bool operator==(const DataPlane&) const = default;
};

// ---- [[port]]
struct Port {
  std::string name;    // also of the TAP twin: "pg-" + name unless tap is set
  std::string device;  // PCI address, or a vdev string such as "net_af_packet0,iface=veth0"
  std::string tap;
  std::vector<Prefix> addresses;      // of the TAP, host part kept
  std::optional<Prefix> ipip_source;  // outer sources of IP in IPv4, one a flow; none: the port's address
  uint16_t mtu = 1500;
  uint16_t vlan = 0;       // 802.1Q VID of all that the port carries; 0: untagged
  uint16_t rx_queues = 0;  // 0: one a worker where the device can
  uint16_t rx_descriptors = 1024;
  uint16_t tx_descriptors = 1024;
  bool operator==(const Port&) const = default;
};

// ---- [[route]]: set on the TAPs at start, for those who run no routing daemon
struct Route {
  Prefix destination;
  rserpool::IpAddress gateway;
};

// ---- [sctp]: our own endpoint
struct Sctp {
  std::vector<rserpool::IpAddress> addresses;  // announced in INIT; empty: every port address
  uint16_t asap_port = 3863;
  uint16_t enrp_port = 9901;
  uint16_t udp_encapsulation_port = 0;  // RFC 6951; 9899 when on, 0 off
  uint32_t rto_initial_ms = 500;
  uint32_t rto_min_ms = 200;
  uint32_t rto_max_ms = 1000;
  uint32_t heartbeat_ms = 5000;
  uint32_t path_max_retrans = 3;
  uint32_t association_max_retrans = 5;
  uint32_t init_rate = 2000;           // INITs answered a second
  uint32_t max_associations = 20'000;  // a stack
  uint32_t stacks = 1;                 // 1 to 4, each with a worker core of its own
  bool operator==(const Sctp&) const = default;
};

// How the data plane finds out that a pool element is gone (dataplane/probe): [[service]], or [[pool]] for
// all its services.
enum class ProbeKind : uint8_t { off, sctp, heartbeat, icmp, bfd };
struct ProbeSettings {
  ProbeKind how = ProbeKind::off;
  uint32_t interval_ms = 100;
  uint8_t count = 3;  // unanswered ones in a row: dead
  bool operator==(const ProbeSettings&) const = default;
};

// ---- [[service]]
enum class Protocol : uint8_t { sctp = 132, tcp = 6, udp = 17 };
enum class Mode : uint8_t { l2, nat, ipip, gue };
enum class OnPeDeath : uint8_t { abort, drain, hold };
enum class EmptyPool : uint8_t { refuse, drop };
enum class Selection : uint8_t { policy, rendezvous };
struct Service {
  std::string name;
  std::vector<rserpool::IpAddress> vips;
  Protocol protocol = Protocol::sctp;
  uint16_t port = 0;
  rserpool::PoolHandle pool;
  Mode mode = Mode::l2;
  OnPeDeath on_pe_death = OnPeDeath::abort;
  EmptyPool empty_pool = EmptyPool::refuse;
  Selection selection = Selection::policy;
  bool client_affinity = false;
  std::vector<rserpool::IpAddress> snat;  // nat only; empty: the PE's route returns through us
  uint32_t idle_timeout_s = 0;            // 0: the protocol's default (sctp 3600, tcp 3600, udp 60)
  uint32_t abort_rate = 10'000;           // aborts a second after a PE's death, beyond the first burst
  double panic_share = 0.5;
  uint32_t panic_window_ms = 5000;
  ProbeSettings probe;
  bool operator==(const Service&) const = default;
};

// ---- [registrar]
enum class LifeUnit : uint8_t { seconds, milliseconds };
struct LifeUnitRule {  // [[registrar.life_unit]] source = "10.0.0.0/8" | pool = "EchoPool", unit = "ms"
  std::optional<Prefix> source;
  std::optional<rserpool::PoolHandle> pool;
  LifeUnit unit = LifeUnit::seconds;
  bool operator==(const LifeUnitRule&) const = default;
};
struct PoolSettings {  // [[pool]] handle = "...", overrides
  rserpool::PoolHandle handle;
  std::optional<uint32_t> max_elements;
  std::optional<bool> answer_on_worker;
  std::optional<uint32_t> keepalive_interval_ms;
  std::optional<ProbeSettings> probe;
};
struct RegistrarPeer {  // [[registrar.peer]] addresses = ["10.0.0.2:9901", "[fd00::2]:9901"], server_id = 2
  std::vector<rserpool::IpAddress> addresses;
  uint16_t port = 0;
  rserpool::ServerId server_id = 0;  // 0: it will say
  bool operator==(const RegistrarPeer&) const = default;
};
// [[registrar.rsplib]] source = "10.0.0.0/8" | server_id = 2: who runs RSPLIB. Each word of it that we give
// in to can be switched off; what each is, and why: controlplane/registrar/core/enrp/rsplib_partner.h.
struct RsplibRule {
  std::optional<Prefix> source;
  std::optional<rserpool::ServerId> server_id;
  bool life_in_milliseconds = true;
  bool smaller_id_wins = true;
  bool nothing_unsolicited = true;
  bool short_handles = true;
  bool known_transports = true;
  bool checksum_wraps = true;
  bool operator==(const RsplibRule&) const = default;
};
struct Registrar {
  rserpool::ServerId server_id = 0;  // 0: drawn at the first start, kept in the journal
  std::vector<std::pair<rserpool::IpAddress, uint16_t>> tcp_listen;  // ASAP over TCP, handle resolution only
  uint32_t keepalive_interval_ms = 5000;                             // 0 off; spread by +-50 %
  uint32_t keepalive_timeout_ms = 5000;
  uint32_t max_bad_pe_reports = 3;
  uint32_t min_keepalive_gap_ms = 100;  // to one PE, however many reports arrive (SEC-2.14)
  uint32_t grace_ms = 30'000;           // PEs stay unconfirmed after loss of the channel or a new epoch
  uint32_t max_items = 0;               // PEs in a resolution without the 0x803f option; 0: all that fit
  uint32_t max_pools = 100'000;
  uint32_t max_elements = 1'000'000;
  uint32_t max_elements_per_pool = 100'000;
  uint32_t max_handle_length = 4096;    // bytes
  uint32_t peer_message_rate = 10'000;  // messages a second from one association
  uint32_t unreachable_rate = 10;       // ENDPOINT_UNREACHABLE a second from one endpoint (SEC-2.13)
  unsigned bulk_threads = 0;   // oneTBB's, for the journal as a whole; 0: a core each that no worker has
  bool notify_expiry = false;  // unsolicited DEREGISTRATION_RESPONSE at expiry (conformance 12.9)
  std::vector<std::pair<rserpool::IpAddress, uint16_t>> announce;  // multicast groups for SERVER_ANNOUNCE
  uint32_t announce_interval_ms = 1000;                            // T6
  std::vector<std::pair<rserpool::IpAddress, uint16_t>> status_report_to;  // RSPLIB's cspmonitor, port 2960
  uint32_t status_report_interval_ms = 1000;
  std::vector<LifeUnitRule> life_units;
  // ---- RFC 5353: other registrars of the scope
  std::vector<RegistrarPeer> peers;  // mentors in this order; none: this one begins alone
  std::vector<RsplibRule> rsplib;
  std::vector<std::pair<rserpool::IpAddress, uint16_t>> enrp_announce;  // multicast groups for PRESENCE
  uint32_t peer_heartbeat_ms = 30'000;                                  // PEER-HEARTBEAT-CYCLE
  uint32_t max_time_last_heard_ms = 61'000;                             // MAX-TIME-LAST-HEARD
  uint32_t max_time_no_response_ms = 5'000;                             // MAX-TIME-NO-RESPONSE
  uint32_t peer_retry_ms = 500;         // between attempts to connect to a peer: doubled each time
  uint32_t peer_retry_max_ms = 30'000;  // up to this
  uint32_t max_peers = 64;
  uint32_t enrp_message_rate = 100'000;  // messages a second from one peer
  uint32_t takeover_timeout_ms = 5'000;  // the wait for acknowledgements of an ENRP_INIT_TAKEOVER
  uint32_t takeover_rate = 1'000;        // PEs of a dead server claimed a second
  uint32_t claim_attempts = 3;           // before a PE of a dead server counts as dead, too
  bool takeover_suggestion = false;      // draft-dreibholz-rserpool-enrp-takeover
  uint32_t distance_step_ms = 0;  // draft-dreibholz-rserpool-delay: 0 off, else what distances are rounded to
  bool operator==(const Registrar&) const = default;
};

struct Config {
  std::string file;
  General general;
  DataPlane dataplane;
  std::vector<Port> ports;
  std::vector<Route> routes;
  Sctp sctp;
  std::vector<Service> services;
  Registrar registrar;
  std::vector<PoolSettings> pools;

  std::string channel_path() const { return general.run_dir + "/channel.sock"; }
  std::string dataplane_cli_path() const { return general.run_dir + "/dataplane-cli.sock"; }
  std::string registrar_cli_path() const { return general.run_dir + "/registrar-cli.sock"; }
};

// Loads and checks `path`. Every error found is listed, one a line: "FILE:LINE: KEY: reason".
Result<Config> load(const std::string& path);
Result<Config> parse(const std::string& text, const std::string& file_name);

const char* to_string(Protocol);
const char* to_string(Mode);
const char* to_string(OnPeDeath);
const char* to_string(ProbeKind);
// What holds for a pool: its own, else that of its services.
ProbeSettings probe_settings(const Config& config, rserpool::PoolHandleView pool);

}  // namespace poolgate::config
