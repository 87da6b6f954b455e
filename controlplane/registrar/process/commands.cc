// SPDX-License-Identifier: BSD-3-Clause
#include "controlplane/registrar/process/commands.h"

#include <algorithm>
#include <vector>

#include "controlplane/rserpool/policy/policy_rules.h"
#include "controlplane/rserpool/text.h"

namespace poolgate::registrar {
namespace {

using Json = nlohmann::ordered_json;
using rserpool::hex32;
using rserpool::printable;

std::string transport_text(const rserpool::Transport& t) {
  std::string text = rserpool::transport_name(t.type);
  for (size_t i = 0; i < t.addresses.size(); ++i) text += (i ? "," : " ") + t.addresses[i].to_string();
  return text + " port " + std::to_string(t.port);
}

Json pe_json(const PeInfo& pe) {
  Json out;
  out["id"] = hex32(pe.element.id);
  out["home"] = hex32(pe.element.home);
  out["transport"] = transport_text(pe.element.user_transport);
  out["policy"] = policy_name(pe.element.policy.type);
  out["weight"] = pe.element.policy.weight;
  out["load"] = pe.element.policy.load;
  out["degradation"] = pe.element.policy.load_degradation;
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
    if (which != "all" && pool.handle != which) continue;
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
  if (!found) return Error{"no pool \"" + printable(which) + "\" (show registrar pool lists them)"};
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
  std::vector<bool> numeric(rows[0].size(), true);  // to the right
  for (const auto& object : list) {
    size_t c = 0;
    for (const auto& [key, value] : object.items()) {
      const bool percentage = value.is_string() && value.get_ref<const std::string&>().ends_with(" %");
      numeric[c] = numeric[c] && (value.is_number() || value.is_null() || percentage);
      ++c;
    }
  }
  std::string text;
  for (const auto& row : rows) {
    std::string line;
    for (size_t c = 0; c < row.size(); ++c) {
      const std::string fill(widths[c] - row[c].size(), ' ');
      line += "  " + (numeric[c] ? fill + row[c] : row[c] + fill);
    }
    line.erase(line.find_last_not_of(' ') + 1);
    text += line + "\n";
  }
  return text;
}

// JSON has loads as the wire has them; people read percentages.
Json with_percentages(Json elements) {
  for (Json& pe : elements)
    for (const char* field : {"load", "degradation"})
      pe[field] = rserpool::percent(pe[field].get<uint32_t>());
  return elements;
}

std::string pools_text(const Json& pools) {
  std::string text;
  for (const Json& pool : pools["pools"]) {
    text += "pool " + value_text(pool["handle"]) + ": " + value_text(pool["policy"]) + ", " +
            value_text(pool["size"]) + " PEs\n" + table_text(with_percentages(pool["elements"]));
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

std::string hex16(uint16_t value) {
  char text[8];
  std::snprintf(text, sizeof text, "0x%04x", value);
  return text;
}

Json scope_json(const Registrar& core) {
  const ScopeInfo scope = core.scope();
  Json out;
  out["server_id"] = hex32(core.server_id());
  out["state"] = scope.state;
  out["checksum"] = hex16(scope.checksum);
  out["own_elements"] = scope.own_elements;
  out["claiming"] = scope.claiming;
  return out;
}

std::string takeover_text(const PeerInfo& peer) {
  if (!peer.being_taken_over) return peer.active ? "-" : "by another server";
  std::string text = "by us, waiting for";
  for (const rserpool::ServerId id : peer.awaited) text += " " + hex32(id);
  return text;
}

// Both checksums: of its PEs as the peer says, and of what we have of them.
Json peers_json(const Registrar& core, Micros now) {
  Json list = Json::array();
  for (const PeerInfo& peer : core.peers(now)) {
    Json entry;
    entry["id"] = peer.id == 0 ? Json(nullptr) : Json(hex32(peer.id));
    std::string place;
    for (const auto& address : peer.addresses) place += (place.empty() ? "" : ",") + address.to_string();
    entry["address"] = place.empty() ? Json(nullptr) : Json(place + " port " + std::to_string(peer.port));
    entry["known_by"] = peer.configured ? "configuration" : "others";
    entry["connected"] = peer.connected;
    entry["heard_ms_ago"] = peer.heard ? Json(peer.last_heard / 1000) : Json(nullptr);
    entry["elements"] = peer.elements;
    entry["its_checksum"] = peer.checksum ? Json(hex16(*peer.checksum)) : Json(nullptr);
    entry["ours_of_it"] = peer.id == 0 ? Json(nullptr) : Json(hex16(peer.our_checksum));
    entry["resyncs"] = peer.resyncs;
    entry["downloading"] = peer.resyncing;
    entry["mentor"] = peer.mentor;
    entry["takeover"] = takeover_text(peer);
    entry["rsplib"] = peer.rsplib;
    list.push_back(std::move(entry));
  }
  return list;
}

std::string dump(const Json& json) { return json.dump(2, ' ', false, Json::error_handler_t::replace) + "\n"; }

}  // namespace

Result<std::string> run_command(std::string_view line, const Registrar& core, Micros now,
                                const Facts& facts) {
  auto split = rserpool::split_words(line);
  if (!split) return split.error();
  std::vector<std::string> words = std::move(*split);
  const bool json = !words.empty() && words.back() == "json";
  if (json) words.pop_back();
  if (words.size() >= 2 && words[0] == "show" && words[1] == "registrar" && words.size() > 2)
    words.erase(words.begin() + 1);  // "show registrar pool all" is "show pool all" of the registrar
  if (words == std::vector<std::string>{"show", "registrar"}) {
    Json out;
    out["registrar"] = facts;
    out["scope"] = scope_json(core);
    out["peers"] = peers_json(core, now);
    out["counters"] = counters_json(core);
    return json ? dump(out)
                : "registrar\n" + facts_text(facts) + "scope\n" + facts_text(out["scope"]) + "peers\n" +
                      table_text(out["peers"]) + "counters\n" + facts_text(out["counters"]);
  }
  if (words == std::vector<std::string>{"show", "peers"}) {
    Json out;
    out["scope"] = scope_json(core);
    out["peers"] = peers_json(core, now);
    return json ? dump(out) : "scope\n" + facts_text(out["scope"]) + "peers\n" + table_text(out["peers"]);
  }
  if (words == std::vector<std::string>{"show", "counters"}) {
    const Json out = counters_json(core);
    return json ? dump(out) : facts_text(out);
  }
  if (words == std::vector<std::string>{"show", "pool"}) words.emplace_back("all");
  if (words.size() == 3 && words[0] == "show" && words[1] == "pool") {
    const auto pools = pools_json(core, now, words[2]);
    if (!pools.ok()) return pools.error();
    return json ? dump(*pools) : pools_text(*pools);
  }
  if (words == std::vector<std::string>{"help"})
    return std::string(
        "show registrar [json]\nshow registrar peers [json]\nshow registrar pool [all|HANDLE] [json]\nshow "
        "counters [json]\n");
  return Error{"unknown command of the registrar: " + std::string(line) + " (try help)"};
}

}  // namespace poolgate::registrar
