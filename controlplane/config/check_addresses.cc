// SPDX-License-Identifier: BSD-3-Clause
#include <algorithm>
#include <map>

#include "controlplane/config/check.h"
#include "controlplane/config/dataplane_needs.h"

namespace poolgate::config {

using rserpool::IpAddress;

namespace {

bool is_a_ports(const Config& c, const IpAddress& address) {
  return std::any_of(c.ports.begin(), c.ports.end(), [&](const Port& port) {
    return std::any_of(port.addresses.begin(), port.addresses.end(),
                       [&](const Prefix& own) { return own.address == address; });
  });
}

// Packets come from any address in it, and what routers say of them comes to those.
void check_ipip_source(const Config& c, size_t port, const toml::table& root, ErrorList& errors) {
  if (!c.ports[port].ipip_source) return;
  const Prefix& net = *c.ports[port].ipip_source;
  const auto refuse = [&](const std::string& why) {
    errors.add(place(root, "port", port), "port.ipip_source", net.to_string() + " " + why);
  };
  if (net.address.is_v6() || net.length < 8 || net.length > 30)
    return refuse("is not an IPv4 prefix of 8 to 30 bits");
  for (unsigned bit = net.length; bit < 32; ++bit)
    if ((net.address.data()[bit / 8] & 0x80 >> bit % 8) != 0) return refuse("has bits set behind its length");
  for (const Port& other : c.ports)
    for (const Prefix& own : other.addresses)
      if (net.contains(own.address))
        refuse("holds " + own.address.to_string() + " of port \"" + other.name + "\"");
  for (const Service& service : c.services)
    for (const IpAddress& vip : service.vips)
      if (net.contains(vip)) refuse("holds " + vip.to_string() + " of service \"" + service.name + "\"");
}

void check_ports(const Config& c, const toml::table& root, ErrorList& errors) {
  std::map<IpAddress, std::string> taken;
  for (size_t i = 0; i < c.ports.size(); ++i) {
    for (const Prefix& own : c.ports[i].addresses) {
      const auto [it, fresh] = taken.emplace(own.address, c.ports[i].name);
      if (!fresh)
        errors.add(place(root, "port", i), "port.addresses",
                   own.address.to_string() + " belongs to port \"" + it->second + "\" already");
    }
    check_ipip_source(c, i, root, errors);
  }
}

// What an address of ours is; "": nothing that is known here.
std::string use_of(const Config& c, const IpAddress& address) {
  for (const Port& port : c.ports)
    for (const Prefix& own : port.addresses)
      if (own.address == address) return "an address of port \"" + port.name + "\"";
  for (const Service& service : c.services)
    if (std::find(service.vips.begin(), service.vips.end(), address) != service.vips.end())
      return "a VIP of service \"" + service.name + "\"";
  for (const auto& [own, port] : c.registrar.tcp_listen)
    if (own == address) return "in registrar.tcp_listen";
  return "";
}

// An SNAT address is its services' for all ports of their protocols.
std::string wrong_snat(const Config& c, const Service& service) {
  for (const IpAddress& address : service.snat)
    if (const std::string use = use_of(c, address); !use.empty())
      return "service \"" + service.name + "\": " + address.to_string() + " is " + use +
             ", too: what comes to it would be taken for servers' answers";
  return "";
}

void check_snat(const Config& c, const toml::table& root, ErrorList& errors) {
  for (size_t i = 0; i < c.services.size(); ++i)
    if (const std::string wrong = wrong_snat(c, c.services[i]); !wrong.empty())
      errors.add(place(root, "service", i), "service.snat", wrong);
}

// The stack sends from the ports' addresses only.
void check_endpoint(const Config& c, const toml::table& root, ErrorList& errors) {
  const toml::node* key = root["sctp"]["addresses"].node();
  for (const IpAddress& address : c.sctp.addresses)
    if (!is_a_ports(c, address))
      errors.add(key ? key->source() : root.source(), "sctp.addresses",
                 address.to_string() + " is an address of no [[port]]");
}

void check_peers(const Config& c, const toml::table& root, ErrorList& errors) {
  const toml::table* registrar = root["registrar"].as_table();
  if (!registrar) return;
  std::map<std::pair<IpAddress, uint16_t>, size_t> taken;
  std::map<rserpool::ServerId, size_t> ids;
  for (size_t i = 0; i < c.registrar.peers.size(); ++i) {
    const RegistrarPeer& peer = c.registrar.peers[i];
    const auto where = place(*registrar, "peer", i);
    for (const IpAddress& address : peer.addresses) {
      const std::string shown = address.to_string() + " port " + std::to_string(peer.port);
      if (is_a_ports(c, address) && peer.port == c.sctp.enrp_port)
        errors.add(where, "peer.addresses", shown + " is our own: the others are named here");
      else if (!taken.emplace(std::pair{address, peer.port}, i).second)
        errors.add(where, "peer.addresses", shown + " is named twice");
    }
    if (peer.server_id == 0) continue;
    if (peer.server_id == c.registrar.server_id)
      errors.add(where, "peer.server_id", "is our own: the others are named here");
    else if (!ids.emplace(peer.server_id, i).second)
      errors.add(where, "peer.server_id", "is another peer's already");
  }
}

// What is too long for the registrar would never have an element.
void check_handles(const Config& c, const toml::table& root, ErrorList& errors) {
  const auto look = [&](size_t i, std::string_view section, std::string_view key, size_t length) {
    if (length > c.registrar.max_handle_length)
      errors.add(place(root, section, i), std::string(section) + "." + std::string(key),
                 "has " + std::to_string(length) + " bytes: over registrar.max_handle_length");
  };
  for (size_t i = 0; i < c.services.size(); ++i) look(i, "service", "pool", c.services[i].pool.size());
  for (size_t i = 0; i < c.pools.size(); ++i) look(i, "pool", "handle", c.pools[i].handle.size());
}

}  // namespace

void check_addresses(const Config& c, const toml::table& root, ErrorList& errors) {
  check_ports(c, root, errors);
  check_snat(c, root, errors);
  check_endpoint(c, root, errors);
  check_peers(c, root, errors);
  check_handles(c, root, errors);
}

Result<bool> suits_what_runs(const Config& read, const Config& runs) {
  Config mixed = read;
  mixed.ports = runs.ports;
  for (const Service& service : mixed.services)
    if (const std::string wrong = wrong_snat(mixed, service); !wrong.empty())
      return Error{read.file + ": service.snat: " + wrong};
  return true;
}

}  // namespace poolgate::config
