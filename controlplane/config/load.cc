// SPDX-License-Identifier: BSD-3-Clause
#include <cerrno>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <sstream>

#include "controlplane/config/check.h"
#include "controlplane/config/dataplane_needs.h"
#include "controlplane/config/toml_table.h"

namespace poolgate::config {

namespace {

constexpr std::pair<std::string_view, Protocol> kProtocols[] = {
    {"sctp", Protocol::sctp}, {"tcp", Protocol::tcp}, {"udp", Protocol::udp}};
constexpr std::pair<std::string_view, Mode> kModes[] = {
    {"l2", Mode::l2}, {"nat", Mode::nat}, {"ipip", Mode::ipip}, {"gue", Mode::gue}};
constexpr std::pair<std::string_view, OnPeDeath> kOnPeDeath[] = {
    {"abort", OnPeDeath::abort}, {"drain", OnPeDeath::drain}, {"hold", OnPeDeath::hold}};
constexpr std::pair<std::string_view, EmptyPool> kEmptyPool[] = {{"refuse", EmptyPool::refuse},
                                                                 {"drop", EmptyPool::drop}};
constexpr std::pair<std::string_view, Selection> kSelections[] = {{"policy", Selection::policy},
                                                                  {"rendezvous", Selection::rendezvous}};
constexpr std::pair<std::string_view, ProbeKind> kProbers[] = {{"off", ProbeKind::off},
                                                               {"sctp", ProbeKind::sctp},
                                                               {"heartbeat", ProbeKind::heartbeat},
                                                               {"icmp", ProbeKind::icmp},
                                                               {"bfd", ProbeKind::bfd}};
constexpr std::pair<std::string_view, LifeUnit> kLifeUnits[] = {{"s", LifeUnit::seconds},
                                                                {"ms", LifeUnit::milliseconds}};
constexpr std::pair<std::string_view, int> kLogLevels[] = {
    {"trace", 0}, {"debug", 1}, {"info", 2}, {"warn", 3}, {"error", 4}};

template <class Enum, size_t N>
const char* name_of(Enum value, const std::pair<std::string_view, Enum> (&words)[N]) {
  for (const auto& [name, e] : words) {
    if (e == value) return name.data();
  }
  return "?";
}

// With "/registrar-cli.sock" and "/dataplane-cli.sock", at most sockaddr_un's 107.
constexpr size_t kLongestRunDir = 88;

void read_general(Table t, General& out) {
  t.text("name", out.name);
  t.folder("run_dir", out.run_dir);
  t.folder("state_dir", out.state_dir);
  int level = -1;
  t.word("log_level", level, kLogLevels);
  if (level >= 0) out.log_level = kLogLevels[level].first;
  // Of files and of the EAL's folder.
  constexpr std::string_view kNameLetters =
      "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789._-";
  if (out.name.empty() || out.name.size() > 64 || out.name.front() == '.' ||
      out.name.find_first_not_of(kNameLetters) != std::string::npos)
    t.error("name", "\"" + out.name + "\" is not 1 to 64 letters, digits, hyphens, underscores and dots");
  if (out.run_dir.size() > kLongestRunDir)
    t.error("run_dir", "is over " + std::to_string(kLongestRunDir) +
                           " bytes: the paths of the unix sockets in it have at most 107");
  t.finish();
}

void read_dataplane(Table t, DataPlane& out) {
  t.texts("eal", out.eal);
  t.integer("main_core", out.main_core, 0, 1023);
  t.unsigneds("worker_cores", out.worker_cores);
  t.text("endpoint_core", out.endpoint_core);
  t.integer("idle_sleep_us", out.idle_sleep_us, 0, 100'000);
  t.integer("burst", out.burst, 1, 64);
  t.integer("mbufs", out.mbufs, 1023, 16'777'215);
  t.integer("sessions", out.sessions, 1024, 16'777'216);
  t.folder("session_dir", out.session_dir);
  t.integer("half_open_sessions", out.half_open_sessions, 64, 4'194'304);
  t.integer("probe_rate", out.probe_rate, 10, 1'000'000);
  t.finish();
}

// Not set by what is wrong, so that nothing more is said of that.
void optional_prefix(Table& t, const char* key, std::optional<Prefix>& out) {
  Prefix read;
  t.prefix(key, read);
  if (read.address.is_set()) out = read;
}

void read_port(Table t, Port& out) {
  t.require("name");
  t.require("device");
  t.text("name", out.name);
  t.text("device", out.device);
  out.tap = "pg-" + out.name;
  t.text("tap", out.tap);
  const char* const named_by = t.has("tap") ? "tap" : "name";
  if (out.tap.empty() || out.tap.size() > 15)
    t.error(named_by, "the TAP's name \"" + out.tap + "\" has not 1 to 15 characters");
  if (out.tap.find_first_of("/: \t\r\n\v\f") != std::string::npos || out.tap == "." || out.tap == "..")
    t.error(named_by, "the kernel takes no interface of the name \"" + out.tap + "\"");
  t.prefixes("addresses", out.addresses);
  optional_prefix(t, "ipip_source", out.ipip_source);
  t.integer("mtu", out.mtu, 1280, 9216);
  t.integer("vlan", out.vlan, 0, 4094);
  t.integer("rx_queues", out.rx_queues, 0, 64);
  t.integer("rx_descriptors", out.rx_descriptors, 32, 16'384);
  t.integer("tx_descriptors", out.tx_descriptors, 32, 16'384);
  t.finish();
}

void read_route(Table t, Route& out) {
  t.require("destination");
  t.require("gateway");
  t.prefix("destination", out.destination);
  t.address("gateway", out.gateway);
  if (out.gateway.is_set() && out.destination.address.is_set() &&
      out.gateway.family() != out.destination.address.family()) {
    t.error("gateway", "is of another family than the destination");
  }
  t.finish();
}

void read_sctp(Table t, Sctp& out) {
  t.addresses("addresses", out.addresses);
  t.integer("asap_port", out.asap_port, 1);
  t.integer("enrp_port", out.enrp_port, 1);
  t.integer("udp_encapsulation_port", out.udp_encapsulation_port);
  t.integer("rto_initial_ms", out.rto_initial_ms, 10, 60'000);
  t.integer("rto_min_ms", out.rto_min_ms, 10, 60'000);
  t.integer("rto_max_ms", out.rto_max_ms, 10, 120'000);
  t.integer("heartbeat_ms", out.heartbeat_ms, 100, 600'000);
  t.integer("path_max_retrans", out.path_max_retrans, 0, 20);
  t.integer("association_max_retrans", out.association_max_retrans, 1, 40);
  t.integer("init_rate", out.init_rate, 1, 1'000'000);
  t.integer("max_associations", out.max_associations, 1, 1'000'000);
  t.integer("stacks", out.stacks, 1, 4);
  if (out.rto_min_ms > out.rto_max_ms) t.error("rto_min_ms", "is over rto_max_ms");
  if (out.asap_port == out.enrp_port) t.error("enrp_port", "is the ASAP port too");
  t.finish();
}

// True: there is something of it.
bool read_probe(Table& t, ProbeSettings& out) {
  t.word("prober", out.how, kProbers);
  t.integer("probe_interval_ms", out.interval_ms, 10, 60'000);
  t.integer("probe_count", out.count, 1, 10);
  for (const char* key : {"probe_interval_ms", "probe_count"})
    if (t.has(key) && !t.has("prober")) t.error(key, "needs prober: by itself nothing is probed");
  return t.has("prober");
}

void read_service(Table t, Service& out) {
  for (const char* key : {"name", "vips", "protocol", "port", "pool"}) t.require(key);
  t.text("name", out.name);
  t.addresses("vips", out.vips);
  t.word("protocol", out.protocol, kProtocols);
  t.integer("port", out.port, 1);
  t.text("pool", out.pool);
  t.word("mode", out.mode, kModes);
  t.word("on_pe_death", out.on_pe_death, kOnPeDeath);
  t.word("empty_pool", out.empty_pool, kEmptyPool);
  t.word("selection", out.selection, kSelections);
  t.boolean("client_affinity", out.client_affinity);
  t.addresses("snat", out.snat);
  t.integer("idle_timeout_s", out.idle_timeout_s, 0, 7 * 86'400);
  t.integer("abort_rate", out.abort_rate, 1, 10'000'000);
  t.share("panic_share", out.panic_share);
  t.integer("panic_window_ms", out.panic_window_ms, 10, 600'000);
  read_probe(t, out.probe);
  if (t.is_empty_list("vips")) t.error("vips", "names no address");
  if (!out.snat.empty() && out.mode != Mode::nat) t.error("snat", "is only for mode = \"nat\"");
  t.finish();
}

void read_life_unit(Table t, LifeUnitRule& out) {
  t.require("unit");
  optional_prefix(t, "source", out.source);
  if (t.has("pool")) t.text("pool", out.pool.emplace());
  t.word("unit", out.unit, kLifeUnits);
  if (!t.has("source") && !out.pool) t.error("unit", "applies to nothing: give source, pool, or both");
  t.finish();
}

void read_peer(Table t, RegistrarPeer& out) {
  t.require("addresses");
  std::vector<std::pair<rserpool::IpAddress, uint16_t>> sockets;
  t.sockets("addresses", sockets);
  for (const auto& [address, port] : sockets) {
    out.addresses.push_back(address);
    if (out.port != 0 && out.port != port)
      t.error("addresses", "has two ports: they are the paths of one association");
    out.port = port;
  }
  if (t.is_empty_list("addresses")) t.error("addresses", "names none");
  t.integer("server_id", out.server_id, 1);
  t.finish();
}

void read_rsplib(Table t, RsplibRule& out) {
  optional_prefix(t, "source", out.source);
  if (t.has("server_id")) t.integer("server_id", out.server_id.emplace(), 1);
  t.boolean("life_in_milliseconds", out.life_in_milliseconds);
  t.boolean("smaller_id_wins", out.smaller_id_wins);
  t.boolean("nothing_unsolicited", out.nothing_unsolicited);
  t.boolean("short_handles", out.short_handles);
  t.boolean("known_transports", out.known_transports);
  t.boolean("checksum_wraps", out.checksum_wraps);
  if (!t.has("source") && !out.server_id) t.error("source", "names nobody: give source, server_id, or both");
  t.finish();
}

// Calls `read` for each table of the array of tables `key`, e.g. [[port]].
template <class Out, class Read>
void each_table(const toml::table& parent, std::string_view key, ErrorList& errors, std::vector<Out>& out,
                Read read) {
  const toml::node* node = parent.get(key);
  if (!node) return;
  const toml::array* array = node->as_array();
  if (!array || !array->is_homogeneous(toml::node_type::table)) {
    errors.add(node->source(), key, "must be written as [[" + std::string(key) + "]]");
    return;
  }
  for (const toml::node& element : *array)
    read(Table(*element.as_table(), std::string(key), errors), out.emplace_back());
}

// RFC 5353.
void read_enrp(Table& t, const toml::table& table, ErrorList& errors, Registrar& out) {
  each_table(table, "peer", errors, out.peers, read_peer);
  t.known("peer");
  each_table(table, "rsplib", errors, out.rsplib, read_rsplib);
  t.known("rsplib");
  t.groups("enrp_announce", out.enrp_announce);
  t.integer("peer_heartbeat_ms", out.peer_heartbeat_ms, 100, 3'600'000);
  t.integer("max_time_last_heard_ms", out.max_time_last_heard_ms, 200, 3'600'000);
  t.integer("max_time_no_response_ms", out.max_time_no_response_ms, 100, 600'000);
  t.integer("peer_retry_ms", out.peer_retry_ms, 10, 600'000);
  t.integer("peer_retry_max_ms", out.peer_retry_max_ms, 10, 3'600'000);
  t.integer("max_peers", out.max_peers, 1, 1'024);
  t.integer("enrp_message_rate", out.enrp_message_rate, 1, 100'000'000);
  t.integer("takeover_timeout_ms", out.takeover_timeout_ms, 100, 600'000);
  t.integer("takeover_rate", out.takeover_rate, 1, 1'000'000);
  t.integer("claim_attempts", out.claim_attempts, 1, 100);
  t.boolean("takeover_suggestion", out.takeover_suggestion);
  t.integer("distance_step_ms", out.distance_step_ms, 0, 60'000);
  if (out.max_time_last_heard_ms <= out.peer_heartbeat_ms)
    t.error("max_time_last_heard_ms",
            "is not over peer_heartbeat_ms: every peer would be probed all the time");
  if (out.peer_retry_ms > out.peer_retry_max_ms) t.error("peer_retry_ms", "is over peer_retry_max_ms");
}

void read_registrar(const toml::table& table, ErrorList& errors, Registrar& out) {
  Table t(table, "registrar", errors);
  t.integer("server_id", out.server_id, 1);
  t.sockets("tcp_listen", out.tcp_listen);
  t.integer("bulk_threads", out.bulk_threads, 0, 64);
  t.integer("keepalive_interval_ms", out.keepalive_interval_ms, 0, 3'600'000);
  t.integer("keepalive_timeout_ms", out.keepalive_timeout_ms, 10, 600'000);
  t.integer("max_bad_pe_reports", out.max_bad_pe_reports, 0, 1'000'000);
  t.integer("min_keepalive_gap_ms", out.min_keepalive_gap_ms, 1, 60'000);
  t.integer("grace_ms", out.grace_ms, 0, 3'600'000);
  t.integer("max_items", out.max_items, 0, 65'535);
  t.integer("max_pools", out.max_pools, 1, 10'000'000);
  t.integer("max_elements", out.max_elements, 1, 100'000'000);
  t.integer("max_elements_per_pool", out.max_elements_per_pool, 1, 10'000'000);
  t.integer("max_handle_length", out.max_handle_length, 1, 65'000);
  t.integer("peer_message_rate", out.peer_message_rate, 1, 100'000'000);
  t.integer("unreachable_rate", out.unreachable_rate, 1, 1'000'000);
  t.boolean("notify_expiry", out.notify_expiry);
  t.groups("announce", out.announce);
  t.integer("announce_interval_ms", out.announce_interval_ms, 100, 600'000);
  t.sockets("status_report_to", out.status_report_to);
  t.integer("status_report_interval_ms", out.status_report_interval_ms, 250, 600'000);
  each_table(table, "life_unit", errors, out.life_units, read_life_unit);
  t.known("life_unit");
  read_enrp(t, table, errors, out);
  t.finish();
}

void read_pool(Table t, PoolSettings& out) {
  t.require("handle");
  t.text("handle", out.handle);
  if (t.has("max_elements")) t.integer("max_elements", out.max_elements.emplace(), 1, 10'000'000);
  if (t.has("answer_on_worker")) t.boolean("answer_on_worker", out.answer_on_worker.emplace());
  if (t.has("keepalive_interval_ms"))
    t.integer("keepalive_interval_ms", out.keepalive_interval_ms.emplace(), 0, 3'600'000);
  if (ProbeSettings probe; read_probe(t, probe)) out.probe = probe;
  t.finish();
}

// Reads the table [key] when it is there.
template <class Read>
void one_table(const toml::table& root, std::string_view key, ErrorList& errors, Read read) {
  const toml::node* node = root.get(key);
  if (!node) return;
  if (const toml::table* table = node->as_table()) {
    read(*table);
  } else {
    errors.add(node->source(), key, "must be a table, [" + std::string(key) + "]");
  }
}

}  // namespace

Result<Config> parse(const std::string& text, const std::string& file_name) {
  toml::table root;
  try {  // Debian's library is built with exceptions
    root = toml::parse(text, file_name);
  } catch (const toml::parse_error& e) {
    return Error{file_name + ":" + std::to_string(e.source().begin.line) + ": " +
                 std::string(e.description())};
  }
  ErrorList errors(file_name);
  Config c;
  c.file = file_name;
  const auto section = [&](std::string_view key, auto read, auto& out) {
    one_table(root, key, errors,
              [&](const toml::table& t) { read(Table(t, std::string(key), errors), out); });
  };
  section("general", read_general, c.general);
  section("dataplane", read_dataplane, c.dataplane);
  section("sctp", read_sctp, c.sctp);
  one_table(root, "registrar", errors, [&](const toml::table& t) { read_registrar(t, errors, c.registrar); });
  each_table(root, "port", errors, c.ports, read_port);
  each_table(root, "route", errors, c.routes, read_route);
  each_table(root, "service", errors, c.services, read_service);
  each_table(root, "pool", errors, c.pools, read_pool);
  for (const auto& [key, node] : root) {
    constexpr std::string_view kSections[] = {"general", "dataplane", "sctp",    "registrar",
                                              "port",    "route",     "service", "pool"};
    if (std::find(std::begin(kSections), std::end(kSections), key.str()) == std::end(kSections)) {
      errors.add(key.source(), key.str(),
                 unknown("section", key.str(), {std::begin(kSections), std::end(kSections)}));
    }
  }
  check(c, root, errors);
  if (!errors.empty()) return Error{errors.to_string()};
  return c;
}

Result<Config> load(const std::string& path) {
  // Which opens like a file, and reads like an empty one.
  std::error_code ignored;
  if (std::filesystem::is_directory(path, ignored)) return Error{path + ": cannot be read: is a folder"};
  std::ifstream in(path, std::ios::binary);
  if (!in) return Error{path + ": cannot be read: " + std::strerror(errno)};
  std::ostringstream text;
  text << in.rdbuf();
  if (in.bad()) return Error{path + ": cannot be read: " + std::strerror(errno)};
  return parse(text.str(), path);
}

Result<bool> serves_as_dataplane(const Config& config) {
  for (const Port& port : config.ports)
    if (!port.addresses.empty()) return true;
  return Error{config.file +
               ": port.addresses: no [[port]] has an address: poolgate-dataplane needs one, for ASAP and " +
               "ENRP"};
}

const char* to_string(Protocol p) { return name_of(p, kProtocols); }
const char* to_string(Mode m) { return name_of(m, kModes); }
const char* to_string(OnPeDeath d) { return name_of(d, kOnPeDeath); }
const char* to_string(ProbeKind p) { return name_of(p, kProbers); }

ProbeSettings probe_settings(const Config& config, rserpool::PoolHandleView pool) {
  for (const PoolSettings& settings : config.pools)
    if (settings.handle == pool && settings.probe) return *settings.probe;
  for (const Service& service : config.services)
    if (service.pool == pool && service.probe.how != ProbeKind::off) return service.probe;
  return {};
}

}  // namespace poolgate::config
