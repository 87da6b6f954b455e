// SPDX-License-Identifier: BSD-3-Clause
#include "controlplane/agent/text.h"

#include <algorithm>
#include <charconv>
#include <cmath>
#include <cstdio>

#include "controlplane/rserpool/cause_name.h"
#include "controlplane/rserpool/policy/policy_rules.h"
#include "controlplane/rserpool/text.h"
#include "controlplane/rserpool/wire/code_points.h"

namespace poolgate::agent {

using rserpool::hex32;
using rserpool::IpAddress;

namespace {

template <class T>
bool number(std::string_view text, T& out, int base = 10) {
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), out, base);
  return error == std::errc() && end == text.data() + text.size() && !text.empty();
}

bool fraction(std::string_view text, double& out) {
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), out);
  return error == std::errc() && end == text.data() + text.size() && !text.empty();
}

std::vector<std::string_view> split(std::string_view text, char by) {
  std::vector<std::string_view> out;
  for (;;) {
    const auto at = text.find(by);
    out.push_back(text.substr(0, at));
    if (at == std::string_view::npos) return out;
    text.remove_prefix(at + 1);
  }
}

}  // namespace

Result<std::chrono::milliseconds> parse_duration(std::string_view text) {
  const auto digits = std::min(text.find_first_not_of("0123456789."), text.size());
  const std::string_view unit = text.substr(digits);
  double value = 0;
  const double scale = unit == "ms"                  ? 1
                       : unit == "s" || unit.empty() ? 1e3
                       : unit == "m"                 ? 60e3
                       : unit == "h"                 ? 3600e3
                                                     : 0;
  if (!fraction(text.substr(0, digits), value) || scale == 0 || value * scale > 1e12)
    return Error{std::string(text) + ": not a time such as 30s, 500ms or 5m"};
  return std::chrono::milliseconds(std::llround(value * scale));
}

Result<rserpool::endpoint::ServerAddress> parse_registrar(std::string_view text) {
  rserpool::endpoint::ServerAddress out;
  out.port = rserpool::wire::kAsapPort;
  for (std::string_view part : split(text, ',')) {
    std::string_view host = part;
    std::string_view port;
    if (part.starts_with('[')) {
      const auto end = part.find(']');
      if (end == std::string_view::npos) return Error{std::string(text) + ": a ] is missing"};
      host = part.substr(1, end - 1);
      if (part.substr(end + 1).starts_with(':')) port = part.substr(end + 2);
    } else if (std::count(part.begin(), part.end(), ':') == 1) {
      host = part.substr(0, part.find(':'));
      port = part.substr(part.find(':') + 1);
    }
    const auto address = IpAddress::parse(host);
    if (!address || (!port.empty() && (!number(port, out.port) || out.port == 0)))
      return Error{std::string(text) +
                   ": not ADDRESS:PORT, or ADDRESS:PORT,ADDRESS2 for a registrar of two addresses"};
    out.addresses.push_back(*address);
  }
  return out;
}

Result<uint32_t> parse_load(std::string_view text) {
  double value = 0;
  const bool is_percent = text.ends_with('%');
  if (is_percent) text.remove_suffix(1);
  if (!fraction(text, value)) return Error{std::string(text) + ": not a load such as 37% or 0.37"};
  if (is_percent) value /= 100;
  if (!(value >= 0 && value <= 1)) return Error{std::string(text) + ": a load is from 0 to 1, or 0% to 100%"};
  return static_cast<uint32_t>(std::llround(value * 0xffffffff));
}

Result<rserpool::PolicySettings> parse_policy(std::string_view text) {
  const auto parts = split(text, ':');
  const auto type = rserpool::policy_by_name(parts[0]);
  if (!type)
    return Error{
        std::string(parts[0]) +
        ": no such policy (rr, wrr:WEIGHT, rand, wrand:WEIGHT, prio:PRIORITY, lu, lud, plu, rlu, ...)"};
  rserpool::PolicySettings out;
  out.type = *type;
  using enum rserpool::PolicyType;
  const bool weighted =
      out.type == weighted_round_robin || out.type == weighted_random || out.type == priority;
  const bool plain = out.type == round_robin || out.type == random;
  if (weighted) {
    if (parts.size() != 2 || !number(parts[1], out.weight))
      return Error{std::string(text) + ": say " + std::string(parts[0]) + ":NUMBER"};
    return out;
  }
  if (parts.size() > (plain ? 1u : 3u)) return Error{std::string(text) + ": too many values"};
  if (parts.size() > 1) {
    const auto load = parse_load(parts[1]);
    if (!load) return load.error();
    out.load = *load;
  }
  if (parts.size() > 2) {
    const auto degradation = parse_load(parts[2]);
    if (!degradation) return degradation.error();
    out.load_degradation = *degradation;
  }
  return out;
}

Result<rserpool::PeId> parse_pe_id(std::string_view text) {
  rserpool::PeId id = 0;
  const bool hexadecimal = text.starts_with("0x");
  if (!number(hexadecimal ? text.substr(2) : text, id, hexadecimal ? 16 : 10) || id == 0)
    return Error{std::string(text) + ": not a PE identifier such as 0x1234abcd"};
  return id;
}

std::string to_text(const rserpool::endpoint::ServerAddress& address) {
  std::string out;
  for (const auto& a : address.addresses) {
    const std::string host = a.is_v6() ? "[" + a.to_string() + "]" : a.to_string();
    out += out.empty() ? host + ":" + std::to_string(address.port) : "," + a.to_string();
  }
  return out + (address.tcp ? " (TCP)" : "");
}

std::string to_text(const rserpool::PolicySettings& policy) {
  using enum rserpool::PolicyType;
  std::string out(rserpool::policy_name(policy.type));
  if (!rserpool::is_known(policy.type)) return out + " " + hex32(static_cast<uint32_t>(policy.type));
  const std::string delay = policy.delay_factor == 0 && policy.distance == 0
                                ? std::string()
                                : " delay factor " + rserpool::percent(policy.delay_factor) + " distance " +
                                      std::to_string(policy.distance) + " ms";
  switch (policy.type) {
    case round_robin:
    case random:
      return out;
    case weighted_round_robin:
    case weighted_random:
    case weighted_random_dpf:
      return out + " weight " + std::to_string(policy.weight) + delay;
    case priority:
      return out + " " + std::to_string(policy.weight);
    default:
      break;
  }
  out += " load " + rserpool::percent(policy.load);
  if (policy.load_degradation != 0) out += " degradation " + rserpool::percent(policy.load_degradation);
  return out + delay;
}

std::string addresses(const rserpool::Transport& transport) {
  std::string out;
  for (const auto& a : transport.addresses) {
    if (!out.empty()) out += ", ";
    out += (a.is_v6() ? "[" + a.to_string() + "]" : a.to_string()) + ":" + std::to_string(transport.port);
  }
  return out.empty() ? "-" : out;
}

std::string to_text(const std::vector<rserpool::ErrorCause>& causes) {
  std::string out;
  for (const auto& cause : causes) {
    if (!out.empty()) out += ", ";
    out += rserpool::cause_name(cause.code);
  }
  return out.empty() ? "no cause given" : out;
}

std::string json_string(std::string_view text) {
  std::string out = "\"";
  for (const char c : rserpool::printable(text)) {
    if (c == '"' || c == '\\') out += '\\';
    out += c;
  }
  return out + "\"";
}

}  // namespace poolgate::agent
