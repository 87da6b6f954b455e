// SPDX-License-Identifier: BSD-3-Clause
#include "controlplane/agent/table.h"

#include <algorithm>
#include <array>
#include <chrono>
#include <cstdio>
#include <ctime>

#include "controlplane/agent/text.h"
#include "controlplane/rserpool/policy/policy_rules.h"
#include "controlplane/rserpool/text.h"

namespace poolgate::agent {

namespace {

std::string life(int32_t seconds) {
  return seconds == rserpool::kInfiniteLife ? "infinite" : std::to_string(seconds) + "s";
}

const char* use(const rserpool::Transport& transport) {
  return transport.use == rserpool::TransportUse::data_plus_control ? "data+control" : "data";
}

}  // namespace

std::string pool_table(const rserpool::endpoint::Resolved& pool) {
  using Row = std::array<std::string, 7>;
  std::vector<Row> rows = {{"ID", "TRANSPORT", "ADDRESS", "USE", "POLICY", "LIFE", "HOME"}};
  for (const auto& element : pool.elements)
    rows.push_back({rserpool::hex32(element.id), rserpool::transport_name(element.user_transport.type),
                    addresses(element.user_transport), use(element.user_transport), to_text(element.policy),
                    life(element.registration_life), rserpool::hex32(element.home)});
  std::array<size_t, 7> widths{};
  for (const auto& row : rows)
    for (size_t i = 0; i < row.size(); ++i) widths[i] = std::max(widths[i], row[i].size());
  std::string out = "pool \"" + rserpool::printable(pool.handle) + "\", " +
                    std::string(rserpool::policy_name(pool.policy)) + ", " +
                    std::to_string(pool.elements.size()) + (pool.elements.size() == 1 ? " PE\n" : " PEs\n");
  for (const auto& row : rows) {
    std::string line;
    for (size_t i = 0; i < row.size(); ++i) line += row[i] + std::string(widths[i] - row[i].size() + 2, ' ');
    line.erase(line.find_last_not_of(' ') + 1);
    out += line + "\n";
  }
  return out;
}

std::string element_json(const rserpool::PoolElement& element) {
  std::string list;
  for (const auto& address : element.user_transport.addresses)
    list += (list.empty() ? "" : ", ") + json_string(address.to_string());
  return "{\"id\": \"" + rserpool::hex32(element.id) + "\", \"home\": \"" + rserpool::hex32(element.home) +
         "\", \"life\": " + std::to_string(element.registration_life) + ", \"transport\": \"" +
         rserpool::transport_name(element.user_transport.type) +
         "\", \"port\": " + std::to_string(element.user_transport.port) + ", \"addresses\": [" + list +
         "], \"use\": \"" + use(element.user_transport) +
         "\", \"policy\": " + json_string(rserpool::policy_name(element.policy.type)) +
         ", \"weight\": " + std::to_string(element.policy.weight) +
         ", \"load\": " + std::to_string(element.policy.load) +
         ", \"load_degradation\": " + std::to_string(element.policy.load_degradation) + "}";
}

std::string pool_json(const rserpool::endpoint::Resolved& pool) {
  std::string list;
  for (const auto& element : pool.elements) list += (list.empty() ? "" : ", ") + element_json(element);
  return "{\"pool\": " + json_string(pool.handle) +
         ", \"policy\": " + json_string(rserpool::policy_name(pool.policy)) + ", \"elements\": [" + list +
         "]}\n";
}

std::string clock_time() {
  const auto now = std::chrono::system_clock::now();
  const std::time_t seconds = std::chrono::system_clock::to_time_t(now);
  const auto rest =
      std::chrono::duration_cast<std::chrono::milliseconds>(now.time_since_epoch()).count() % 1000;
  std::tm local{};
  localtime_r(&seconds, &local);
  char text[32];
  std::snprintf(text, sizeof text, "%02d:%02d:%02d.%03d", local.tm_hour, local.tm_min, local.tm_sec,
                static_cast<int>(rest));
  return text;
}

}  // namespace poolgate::agent
