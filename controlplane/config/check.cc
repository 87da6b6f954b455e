// SPDX-License-Identifier: BSD-3-Clause
#include "controlplane/config/check.h"

#include <algorithm>
#include <tuple>

namespace poolgate::config {

namespace {

// Reports the second and further elements of [[section]] whose key(element) was seen before.
template <class Element, class Key>
void unique(const std::vector<Element>& elements, std::string_view section, std::string_view what, Key key,
            const toml::table& root, ErrorList& errors) {
  std::set<std::string> seen;
  for (size_t i = 0; i < elements.size(); ++i) {
    const std::string k = key(elements[i]);
    if (!k.empty() && !seen.insert(k).second) {
      errors.add(place(root, section, i), std::string(section) + "." + std::string(what),
                 "\"" + k + "\" is used twice");
    }
  }
}

void check_services(const Config& c, const toml::table& root, ErrorList& errors) {
  std::map<std::tuple<rserpool::IpAddress, Protocol, uint16_t>, std::string> taken;
  for (size_t i = 0; i < c.services.size(); ++i) {
    const Service& s = c.services[i];
    const auto where = place(root, "service", i);
    for (const auto& vip : s.vips) {
      const auto [it, fresh] = taken.emplace(std::tuple{vip, s.protocol, s.port}, s.name);
      if (!fresh) {
        errors.add(where, "service.vips",
                   it->second == s.name
                       ? vip.to_string() + " is named twice"
                       : vip.to_string() + " " + to_string(s.protocol) + " " + std::to_string(s.port) +
                             " belongs to service \"" + it->second + "\" already");
      }
      const bool endpoint_port = s.port == c.sctp.asap_port || s.port == c.sctp.enrp_port;
      bool own = std::find(c.sctp.addresses.begin(), c.sctp.addresses.end(), vip) != c.sctp.addresses.end();
      for (const Port& port : c.ports) {
        for (const Prefix& p : port.addresses) own = own || (c.sctp.addresses.empty() && p.address == vip);
      }
      if (own && s.protocol == Protocol::sctp && endpoint_port) {
        errors.add(where, "service.port", "is the registrar's own on " + vip.to_string());
      }
    }
    const bool tunnel = s.mode == Mode::ipip || s.mode == Mode::gue;
    if (tunnel &&
        std::all_of(c.ports.begin(), c.ports.end(), [](const Port& p) { return p.addresses.empty(); })) {
      errors.add(where, "service.mode",
                 std::string("\"") + to_string(s.mode) +
                     "\" needs an address on a [[port]]: the source of its outer header");
    }
    bool v4 = false, v6 = false;
    for (const auto& a : s.snat) (a.is_v4() ? v4 : v6) = true;
    for (const auto& vip : s.vips) {
      if (!s.snat.empty() && !(vip.is_v4() ? v4 : v6)) {
        errors.add(where, "service.snat", "has no address of the family of " + vip.to_string());
      }
    }
  }
}

// A pool has one prober, whoever names it, and it asks what the pool's elements speak.
void check_probers(const Config& c, const toml::table& root, ErrorList& errors) {
  const auto is_sctp = [](ProbeKind how) { return how == ProbeKind::sctp || how == ProbeKind::heartbeat; };
  for (size_t i = 0; i < c.services.size(); ++i) {
    const Service& s = c.services[i];
    const auto where = place(root, "service", i);
    const ProbeSettings holds = probe_settings(c, s.pool);
    if (is_sctp(holds.how) && s.protocol != Protocol::sctp) {
      errors.add(where, "service.prober",
                 std::string("\"") + to_string(holds.how) + "\" asks SCTP, and the service is " +
                     to_string(s.protocol) + ": take \"icmp\"");
    }
    const bool own = std::any_of(c.pools.begin(), c.pools.end(),
                                 [&](const PoolSettings& p) { return p.handle == s.pool && p.probe; });
    if (!own && s.probe.how != ProbeKind::off && s.probe != holds) {
      errors.add(
          where, "service.prober",
          "differs from that of another service of pool \"" + s.pool + "\": say it once, in its [[pool]]");
    }
  }
}

}  // namespace

toml::source_region place(const toml::table& table, std::string_view key, size_t i) {
  const toml::array* array = table[key].as_array();
  const toml::node* node = array ? array->get(i) : nullptr;
  return node ? node->source() : table.source();
}

void check(const Config& c, const toml::table& root, ErrorList& errors) {
  unique(
      c.ports, "port", "name", [](const Port& p) { return p.name; }, root, errors);
  unique(
      c.ports, "port", "device", [](const Port& p) { return p.device; }, root, errors);
  unique(
      c.ports, "port", "tap", [](const Port& p) { return p.tap; }, root, errors);
  unique(
      c.services, "service", "name", [](const Service& s) { return s.name; }, root, errors);
  unique(
      c.pools, "pool", "handle", [](const PoolSettings& p) { return p.handle; }, root, errors);
  check_addresses(c, root, errors);
  check_services(c, root, errors);
  check_probers(c, root, errors);

  // The line of a key of [dataplane], or of what holds it.
  const auto where = [&](const char* key) {
    const toml::node* section = root.get("dataplane");
    const toml::node* node = root.at_path("dataplane." + std::string(key)).node();
    return node ? node->source() : section ? section->source() : root.source();
  };
  std::set<unsigned> cores{c.dataplane.main_core};
  for (const unsigned core : c.dataplane.worker_cores) {
    if (!cores.insert(core).second) {
      errors.add(where("worker_cores"), "dataplane.worker_cores",
                 "core " + std::to_string(core) +
                     std::string(core == c.dataplane.main_core ? " is main_core, too" : " is used twice") +
                     ": one thread a core");
    }
  }
  if (const toml::array* given = root.at_path("dataplane.worker_cores").as_array(); given && given->empty())
    errors.add(where("worker_cores"), "dataplane.worker_cores", "names no core");
  if (!c.dataplane.endpoint_core.empty()) {
    bool found = false;
    for (const unsigned core : c.dataplane.worker_cores)
      found = found || std::to_string(core) == c.dataplane.endpoint_core;
    if (!found)
      errors.add(where("endpoint_core"), "dataplane.endpoint_core",
                 "\"" + c.dataplane.endpoint_core + "\" is not one of worker_cores");
  }
  if (c.sctp.stacks > 1 && c.sctp.stacks >= c.dataplane.worker_cores.size()) {
    const toml::node* sctp = root.get("sctp");
    errors.add(sctp ? sctp->source() : root.source(), "sctp.stacks",
               "each stack has a worker core of its own, and one at least must be left for traffic: " +
                   std::to_string(c.sctp.stacks) + " stacks want " + std::to_string(c.sctp.stacks + 1) +
                   " worker_cores");
  }
}

}  // namespace poolgate::config
