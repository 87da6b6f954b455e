// SPDX-License-Identifier: BSD-3-Clause
#pragma once

#include <toml++/toml.h>

#include <limits>
#include <set>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "controlplane/config/config.h"

namespace poolgate::config {

// Errors of one file, in the order of their lines when printed.
class ErrorList {
 public:
  explicit ErrorList(std::string file) : file_(std::move(file)) {}
  void add(const toml::source_region& where, std::string_view key, std::string_view reason);
  bool empty() const { return errors_.empty(); }
  std::string to_string() const;

 private:
  std::string file_;
  std::vector<std::pair<uint32_t, std::string>> errors_;  // line, text
};

// One TOML table being read: each getter leaves `out` alone when the key is absent, reports a value of the
// wrong type or range with its line, and marks the key as known. finish() reports the keys that nobody asked
// for.
class Table {
 public:
  Table(const toml::table& table, std::string name, ErrorList& errors);

  template <class Int>
  void integer(std::string_view key, Int& out, uint64_t min = 0,
               uint64_t max = std::numeric_limits<Int>::max()) {
    uint64_t value = 0;
    if (read_integer(key, value, min, max)) out = static_cast<Int>(value);
  }
  void text(std::string_view key, std::string& out);
  void folder(std::string_view key,
              std::string& out);  // from the root: the processes have no folder of their own
  void boolean(std::string_view key, bool& out);
  void share(std::string_view key, double& out);                 // 0 < x <= 1
  void address(std::string_view key, rserpool::IpAddress& out);  // of a host
  void prefix(std::string_view key, Prefix& out);
  void texts(std::string_view key, std::vector<std::string>& out);
  void unsigneds(std::string_view key, std::vector<unsigned>& out);
  void addresses(std::string_view key, std::vector<rserpool::IpAddress>& out);  // of hosts
  void prefixes(std::string_view key, std::vector<Prefix>& out);  // of hosts, each with its length
  // "10.0.0.1:3863", "[fd00::1]:3863"
  void sockets(std::string_view key, std::vector<std::pair<rserpool::IpAddress, uint16_t>>& out);
  // "239.0.0.50:3863"
  void groups(std::string_view key, std::vector<std::pair<rserpool::IpAddress, uint16_t>>& out);
  // One of a fixed set of words; the error lists them.
  template <class Enum, size_t N>
  void word(std::string_view key, Enum& out, const std::pair<std::string_view, Enum> (&words)[N]) {
    std::string value;
    const toml::node* node = read_text(key, value);
    if (!node) return;
    std::string choices;
    for (const auto& [name, e] : words) {
      if (name == value) {
        out = e;
        return;
      }
      choices += choices.empty() ? "" : ", ";
      choices += name;
    }
    error(key, "\"" + value + "\" is not one of " + choices);
  }
  bool has(std::string_view key) const { return table_.contains(key); }
  bool is_empty_list(std::string_view key) const;
  // `key` is read by other means.
  void known(std::string_view key) { known_.emplace(key); }
  // Reports that `key` must be given when it is not, or is "".
  void require(std::string_view key);
  void error(std::string_view key, std::string_view reason);
  void finish();

 private:
  const toml::node* find(std::string_view key);
  const toml::node* read_text(std::string_view key, std::string& out);
  bool read_integer(std::string_view key, uint64_t& out, uint64_t min, uint64_t max);
  template <class F>
  void each(std::string_view key, std::string_view what, F f);
  // Reports an address that no single host has; false then.
  bool is_host(const toml::node& node, std::string_view key, const rserpool::IpAddress& address);

  const toml::table& table_;
  std::string name_;
  ErrorList& errors_;
  std::set<std::string, std::less<>> known_;
};

// "unknown key", and what it might be meant to be: the one that is like it, or all there are.
std::string unknown(std::string_view what, std::string_view given,
                    const std::vector<std::string_view>& there_are);

// "10.0.0.0/8"; the host part is kept. nullopt if it is none.
std::optional<Prefix> parse_prefix(std::string_view text);
std::optional<std::pair<rserpool::IpAddress, uint16_t>> parse_socket(std::string_view text);

}  // namespace poolgate::config
