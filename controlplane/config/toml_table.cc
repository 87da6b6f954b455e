// SPDX-License-Identifier: BSD-3-Clause
#include "controlplane/config/toml_table.h"

#include <algorithm>
#include <charconv>

namespace poolgate::config {

using rserpool::IpAddress;

void ErrorList::add(const toml::source_region& where, std::string_view key, std::string_view reason) {
  const uint32_t line = where.begin.line;
  errors_.emplace_back(
      line, file_ + ":" + std::to_string(line) + ": " + std::string(key) + ": " + std::string(reason));
}

std::string ErrorList::to_string() const {
  auto sorted = errors_;
  std::stable_sort(sorted.begin(), sorted.end(),
                   [](const auto& a, const auto& b) { return a.first < b.first; });
  std::string text;
  for (const auto& [line, error] : sorted) text += (text.empty() ? "" : "\n") + error;
  return text;
}

Table::Table(const toml::table& table, std::string name, ErrorList& errors)
    : table_(table), name_(std::move(name)), errors_(errors) {}

void Table::error(std::string_view key, std::string_view reason) {
  const toml::node* node = table_.get(key);
  errors_.add(node ? node->source() : table_.source(), name_ + "." + std::string(key), reason);
}

void Table::require(std::string_view key) {
  if (!has(key)) return error(key, "is missing");
  const auto* text = table_.get(key)->as_string();
  if (text && text->get().empty()) error(key, "is empty");
}

void Table::finish() {
  for (const auto& [key, node] : table_) {
    if (!known_.contains(key.str()))
      errors_.add(key.source(), name_ + "." + std::string(key.str()),
                  unknown("key", key.str(), {known_.begin(), known_.end()}));
  }
}

bool Table::is_empty_list(std::string_view key) const {
  const toml::node* node = table_.get(key);
  return node && node->as_array() && node->as_array()->empty();
}

const toml::node* Table::find(std::string_view key) {
  known_.emplace(key);
  return table_.get(key);
}

const toml::node* Table::read_text(std::string_view key, std::string& out) {
  const toml::node* node = find(key);
  if (!node) return nullptr;
  if (const auto* value = node->as_string()) {
    out = value->get();
    return node;
  }
  error(key, "must be a text in quotes");
  return nullptr;
}

bool Table::read_integer(std::string_view key, uint64_t& out, uint64_t min, uint64_t max) {
  const toml::node* node = find(key);
  if (!node) return false;
  const auto* value = node->as_integer();
  const std::string range = std::to_string(min) + " to " + std::to_string(max);
  if (!value) {
    error(key, "must be a whole number from " + range);
    return false;
  }
  const int64_t v = value->get();
  if (v < 0 || static_cast<uint64_t>(v) < min || static_cast<uint64_t>(v) > max) {
    error(key, std::to_string(v) + " is not in " + range);
    return false;
  }
  out = static_cast<uint64_t>(v);
  return true;
}

void Table::text(std::string_view key, std::string& out) { read_text(key, out); }

void Table::folder(std::string_view key, std::string& out) {
  text(key, out);
  if (!out.starts_with('/'))
    error(key, "\"" + out + "\" is not a path from the root, such as /var/lib/poolgate");
}

void Table::boolean(std::string_view key, bool& out) {
  const toml::node* node = find(key);
  if (!node) return;
  if (const auto* value = node->as_boolean()) {
    out = value->get();
  } else {
    error(key, "must be true or false");
  }
}

void Table::share(std::string_view key, double& out) {
  const toml::node* node = find(key);
  if (!node) return;
  const auto value = node->value<double>();
  if (value && *value > 0 && *value <= 1) {
    out = *value;
  } else {
    error(key, "must be a number over 0 and at most 1");
  }
}

void Table::address(std::string_view key, IpAddress& out) {
  std::string value;
  if (!read_text(key, value)) return;
  if (const auto parsed = IpAddress::parse(value)) {
    if (is_host(*find(key), key, *parsed)) out = *parsed;
  } else {
    error(key, "\"" + value + "\" is not an IPv4 or IPv6 address");
  }
}

void Table::prefix(std::string_view key, Prefix& out) {
  std::string value;
  if (!read_text(key, value)) return;
  if (const auto parsed = parse_prefix(value)) {
    out = *parsed;
  } else {
    error(key, "\"" + value + "\" is not a prefix such as 10.0.0.0/8");
  }
}

// `f` takes one element's text or node and says whether it is good; `what` names what a good one is.
template <class F>
void Table::each(std::string_view key, std::string_view what, F f) {
  const toml::node* node = find(key);
  if (!node) return;
  const toml::array* array = node->as_array();
  if (!array) {
    error(key, "must be a list, each " + std::string(what));
    return;
  }
  for (const toml::node& element : *array) {
    if (f(element)) continue;
    const std::string shown = element.is_string() ? "\"" + element.as_string()->get() + "\"" : "an element";
    errors_.add(element.source(), name_ + "." + std::string(key), shown + " is not " + std::string(what));
  }
}

namespace {

// Adapts a text parser returning an optional to Table::each. What `fits` reports is not reported again.
template <class Out, class Parse, class Fits>
auto parsed_into(std::vector<Out>& out, Parse parse, Fits fits) {
  return [&out, parse, fits](const toml::node& node) {
    const auto* text = node.as_string();
    if (!text) return false;
    const auto value = parse(text->get());
    if (value && fits(node, *value)) out.push_back(*value);
    return value.has_value();
  };
}

template <class Out, class Parse>
auto parsed_into(std::vector<Out>& out, Parse parse) {
  return parsed_into(out, parse, [](const toml::node&, const Out&) { return true; });
}

bool is_group(const IpAddress& a) { return a.is_v4() ? (a.data()[0] & 0xf0) == 0xe0 : a.data()[0] == 0xff; }

// Why no single host has it; empty: one may.
std::string_view no_host(const IpAddress& a) {
  static constexpr uint8_t kLoopback[16] = {0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1};
  const auto all = [&](uint8_t byte) {
    return std::all_of(a.data(), a.data() + a.size(), [byte](uint8_t b) { return b == byte; });
  };
  if (is_group(a)) return "a multicast group";
  if (all(0)) return "the unspecified address";
  if (a.is_v4() ? a.data()[0] == 127 : std::equal(kLoopback, kLoopback + 16, a.data()))
    return "a loopback address";
  if (a.is_v4() && all(255)) return "the broadcast address";
  return {};
}

}  // namespace

bool Table::is_host(const toml::node& node, std::string_view key, const IpAddress& address) {
  const std::string_view why = no_host(address);
  if (!why.empty())
    errors_.add(node.source(), name_ + "." + std::string(key),
                address.to_string() + " is " + std::string(why) + ", not an address of one host");
  return why.empty();
}

void Table::texts(std::string_view key, std::vector<std::string>& out) {
  if (has(key)) out.clear();
  each(key, "a text in quotes",
       parsed_into(out, [](const std::string& s) { return std::optional<std::string>(s); }));
}

void Table::unsigneds(std::string_view key, std::vector<unsigned>& out) {
  if (has(key)) out.clear();
  each(key, "a whole number from 0 to 1023", [&](const toml::node& node) {
    const auto value = node.value_exact<int64_t>();
    const bool good = value && *value >= 0 && *value < 1024;
    if (good) out.push_back(static_cast<unsigned>(*value));
    return good;
  });
}

void Table::addresses(std::string_view key, std::vector<IpAddress>& out) {
  if (has(key)) out.clear();
  each(key, "an IPv4 or IPv6 address",
       parsed_into(
           out, [](const std::string& s) { return IpAddress::parse(s); },
           [&](const toml::node& node, const IpAddress& a) { return is_host(node, key, a); }));
}

void Table::prefixes(std::string_view key, std::vector<Prefix>& out) {
  if (has(key)) out.clear();
  // Without its length a host's address would be alone in its subnet, which nobody means by leaving it out.
  const auto parse = [](const std::string& s) {
    return s.find('/') == std::string::npos ? std::nullopt : parse_prefix(s);
  };
  each(key, "an address with its prefix length, such as 10.0.0.1/24",
       parsed_into(out, parse,
                   [&](const toml::node& node, const Prefix& p) { return is_host(node, key, p.address); }));
}

void Table::sockets(std::string_view key, std::vector<std::pair<IpAddress, uint16_t>>& out) {
  if (has(key)) out.clear();
  each(key, "an address and port such as 10.0.0.1:3863 or [fd00::1]:3863",
       parsed_into(out, [](const std::string& s) { return parse_socket(s); }));
}

void Table::groups(std::string_view key, std::vector<std::pair<IpAddress, uint16_t>>& out) {
  if (has(key)) out.clear();
  const auto parse = [](const std::string& s) {
    const auto socket = parse_socket(s);
    return socket && is_group(socket->first) ? socket : std::nullopt;
  };
  each(key, "a multicast group and port such as 239.0.0.50:3863", parsed_into(out, parse));
}

namespace {

// Levenshtein's: letters to change, add or take away.
size_t distance(std::string_view a, std::string_view b) {
  std::vector<size_t> row(b.size() + 1);
  for (size_t j = 0; j <= b.size(); ++j) row[j] = j;
  for (size_t i = 1; i <= a.size(); ++i) {
    size_t diagonal = std::exchange(row[0], i);
    for (size_t j = 1; j <= b.size(); ++j) {
      const size_t changed = diagonal + (a[i - 1] != b[j - 1] ? 1 : 0);
      diagonal = std::exchange(row[j], std::min({changed, row[j] + 1, row[j - 1] + 1}));
    }
  }
  return row[b.size()];
}

template <class Int>
std::optional<Int> parse_number(std::string_view text) {
  Int value = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
  if (error != std::errc() || end != text.data() + text.size() || text.empty()) return std::nullopt;
  return value;
}

}  // namespace

std::string unknown(std::string_view what, std::string_view given,
                    const std::vector<std::string_view>& there_are) {
  std::string_view nearest;
  size_t least = given.size() / 3 + 1;  // more letters amiss: another word
  std::string all;
  for (const std::string_view one : there_are) {
    // A unit left out ("_ms") is not many letters.
    const size_t d = one.starts_with(std::string(given) + "_") ? 0 : distance(given, one);
    if (d <= least && (nearest.empty() || d < least)) {
      nearest = one;
      least = d;
    }
    all += (all.empty() ? "" : ", ") + std::string(one);
  }
  return "unknown " + std::string(what) +
         (nearest.empty() ? "; there are: " + all : " (is it " + std::string(nearest) + "?)");
}

std::optional<Prefix> parse_prefix(std::string_view text) {
  const size_t slash = text.find('/');
  const auto address = IpAddress::parse(text.substr(0, slash));
  if (!address) return std::nullopt;
  const uint8_t whole = static_cast<uint8_t>(address->size() * 8);
  if (slash == std::string_view::npos) return Prefix{*address, whole};
  const auto length = parse_number<uint8_t>(text.substr(slash + 1));
  if (!length || *length > whole) return std::nullopt;
  return Prefix{*address, *length};
}

std::optional<std::pair<IpAddress, uint16_t>> parse_socket(std::string_view text) {
  const size_t colon = text.rfind(':');
  if (colon == std::string_view::npos || colon == 0) return std::nullopt;
  std::string_view host = text.substr(0, colon);
  const bool bracketed = host.size() > 2 && host.front() == '[' && host.back() == ']';
  if (bracketed) host = host.substr(1, host.size() - 2);
  const auto address = IpAddress::parse(host);
  const auto port = parse_number<uint16_t>(text.substr(colon + 1));
  if (!address || !port || *port == 0 || address->is_v6() != bracketed) return std::nullopt;
  return std::pair{*address, *port};
}

bool Prefix::contains(const IpAddress& a) const {
  if (a.family() != address.family()) return false;
  const size_t whole = length / 8;
  if (!std::equal(a.data(), a.data() + whole, address.data())) return false;
  const unsigned rest = length % 8;
  return rest == 0 || ((a.data()[whole] ^ address.data()[whole]) >> (8 - rest)) == 0;
}

std::string Prefix::to_string() const { return address.to_string() + "/" + std::to_string(length); }

}  // namespace poolgate::config
