// SPDX-License-Identifier: BSD-3-Clause
#include "controlplane/registrar/process/commands.h"

#include <algorithm>
#include <cstdio>
#include <vector>

#include "controlplane/rserpool/policy/policy_rules.h"

namespace poolgate::registrar {
namespace {

using Json = nlohmann::ordered_json;

std::string hex(uint32_t value) {
  char text[16];
  std::snprintf(text, sizeof text, "0x%08x", value);
  return text;
}

// Bytes that may be anything, for a terminal and for JSON.
std::string printable(std::string_view bytes) {
  std::string text;
  for (const char c : bytes) {
    if (c >= 0x20 && c < 0x7f && c != '\\') {
      text += c;
    } else {
      char escaped[8];
      std::snprintf(escaped, sizeof escaped, "\\x%02x", static_cast<unsigned char>(c));
      text += escaped;
    }
  }
  return text;
}

// Back from printable(), so that what was shown can be asked for.
std::string unprintable(std::string_view text) {
  std::string bytes;
  for (size_t i = 0; i < text.size(); ++i) {
    unsigned value = 0;
    if (text.substr(i, 2) == "\\x" &&
        std::sscanf(std::string(text.substr(i + 2, 2)).c_str(), "%2x", &value) == 1) {
      bytes += static_cast<char>(value);
      i += 3;
    } else {
      bytes += text[i];
    }
  }
  return bytes;
}

// Words; one in quotes may hold spaces.
std::vector<std::string> split(std::string_view line) {
  std::vector<std::string> words;
  for (size_t at = 0; at < line.size();) {
    if (std::string_view(" \t\r\n").find(line[at]) != std::string_view::npos) {
      ++at;
      continue;
    }
    const bool quoted = line[at] == '"';
    if (quoted) ++at;
    const size_t end = std::min(line.find_first_of(quoted ? "\"" : " \t\r\n", at), line.size());
    words.emplace_back(line.substr(at, end - at));
    at = end + (quoted ? 1 : 0);
  }
  return words;
}

std::string transport_text(const rserpool::Transport& t) {
  static const auto kName = [](rserpool::TransportType type) {
    switch (type) {
      case rserpool::TransportType::dccp:
        return "dccp";
      case rserpool::TransportType::sctp:
        return "sctp";
      case rserpool::TransportType::tcp:
        return "tcp";
      case rserpool::TransportType::udp:
        return "udp";
      case rserpool::TransportType::udp_lite:
        return "udp-lite";
      case rserpool::TransportType::opaque:
        return "opaque";
    }
    return "?";
  };
  std::string text = kName(t.type);
  for (size_t i = 0; i < t.addresses.size(); ++i) text += (i ? "," : " ") + t.addresses[i].to_string();
  return text + " port " + std::to_string(t.port);
}

Json pe_json(const PeInfo& pe) {
  Json out;
  out["id"] = hex(pe.element.id);
  out["home"] = hex(pe.element.home);
  out["transport"] = transport_text(pe.element.user_transport);
  out["policy"] = policy_name(pe.element.policy.type);
  out["weight"] = pe.element.policy.weight;
  out["load"] = pe.element.policy.load;
  out["registration"] = pe.registration;
  out["expires_in_ms"] = pe.expires_in ? Json(*pe.expires_in / 1000) : Json(nullptr);
  out["confirmed"] = pe.confirmed;
  out["bad_reports"] = pe.bad_reports;
  return out;
}

Result<Json> pools_json(const Registrar& core, Micros now, const std::string& which) {
  Json list = Json::array();
  size_t shown = 0;
  bool found = which == "all";
  for (const PoolSummary& pool : core.pools()) {
    if (which != "all" && pool.handle != unprintable(which)) continue;
    found = true;
    Json entry;
    entry["handle"] = printable(pool.handle);
    entry["policy"] = policy_name(pool.policy);
    entry["size"] = pool.elements;
    Json elements = Json::array();
    if (shown < kMaxShown)
      for (const PeInfo& pe : core.elements(pool.handle, now))
        if (shown++ < kMaxShown) elements.push_back(pe_json(pe));
    entry["elements"] = std::move(elements);
    list.push_back(std::move(entry));
  }
  if (!found) return Error{"no pool " + which};
  Json out;
  out["pools"] = std::move(list);
  if (shown > kMaxShown)
    out["notes"] =
        Json::array({"only the first " + std::to_string(kMaxShown) + " PEs are shown: name a pool"});
  return out;
}

std::string value_text(const Json& value) {
  if (value.is_null()) return "-";
  if (value.is_string()) return value.get<std::string>();
  if (value.is_boolean()) return value.get<bool>() ? "yes" : "no";
  return value.dump();
}

// One line a field.
std::string facts_text(const Json& object) {
  size_t width = 0;
  for (const auto& [key, value] : object.items()) width = std::max(width, key.size());
  std::string text;
  for (const auto& [key, value] : object.items())
    text += "  " + key + ":" + std::string(width - key.size() + 2, ' ') + value_text(value) + "\n";
  return text;
}

// A list of objects of equal keys as columns.
std::string table_text(const Json& list) {
  if (list.empty()) return "  none\n";
  std::vector<std::vector<std::string>> rows(1);
  for (const auto& [key, value] : list[0].items()) rows[0].push_back(key);
  for (const auto& object : list) {
    auto& row = rows.emplace_back();
    for (const auto& [key, value] : object.items()) row.push_back(value_text(value));
  }
  std::vector<size_t> widths(rows[0].size(), 0);
  for (const auto& row : rows)
    for (size_t c = 0; c < row.size(); ++c) widths[c] = std::max(widths[c], row[c].size());
  std::string text;
  for (const auto& row : rows) {
    std::string line;
    for (size_t c = 0; c < row.size(); ++c)
      line += "  " + row[c] + std::string(widths[c] - row[c].size(), ' ');
    line.erase(line.find_last_not_of(' ') + 1);
    text += line + "\n";
  }
  return text;
}

std::string pools_text(const Json& pools) {
  std::string text;
  for (const Json& pool : pools["pools"]) {
    text += "pool " + value_text(pool["handle"]) + ": " + value_text(pool["policy"]) + ", " +
            value_text(pool["size"]) + " PEs\n" + table_text(pool["elements"]);
  }
  if (pools["pools"].empty()) text = "no pools\n";
  if (pools.contains("notes")) text += value_text(pools["notes"][0]) + "\n";
  return text;
}

Json counters_json(const Registrar& core) {
  Json out;
  for (const auto& [name, value] : core.counters().list()) out[std::string(name)] = value;
  return out;
}

std::string dump(const Json& json) { return json.dump(2, ' ', false, Json::error_handler_t::replace) + "\n"; }

}  // namespace

Result<std::string> run_command(std::string_view line, const Registrar& core, Micros now,
                                const Facts& facts) {
  std::vector<std::string> words = split(line);
  const bool json = !words.empty() && words.back() == "json";
  if (json) words.pop_back();
  if (words.size() >= 2 && words[0] == "show" && words[1] == "registrar" && words.size() > 2)
    words.erase(words.begin() + 1);  // "show registrar pool all" is "show pool all" of the registrar
  if (words == std::vector<std::string>{"show", "registrar"}) {
    Json out;
    out["registrar"] = facts;
    out["counters"] = counters_json(core);
    return json ? dump(out) : "registrar\n" + facts_text(facts) + "counters\n" + facts_text(out["counters"]);
  }
  if (words == std::vector<std::string>{"show", "counters"}) {
    const Json out = counters_json(core);
    return json ? dump(out) : facts_text(out);
  }
  if (words.size() == 3 && words[0] == "show" && words[1] == "pool") {
    const auto pools = pools_json(core, now, words[2]);
    if (!pools.ok()) return pools.error();
    return json ? dump(*pools) : pools_text(*pools);
  }
  if (words == std::vector<std::string>{"help"})
    return std::string(
        "show registrar [json]\nshow registrar pool all|HANDLE [json]\nshow counters [json]\n");
  return Error{"unknown command of the registrar: " + std::string(line) + " (try help)"};
}

}  // namespace poolgate::registrar
