// SPDX-License-Identifier: BSD-3-Clause
#include "dataplane/cli/report.h"

#include <algorithm>
#include <cstdio>

namespace poolgate::cli {

namespace {

std::string shown(const Report::Value& v) {
  if (v.is_null()) return "-";
  if (v.is_string()) return v.get<std::string>();
  if (v.is_boolean()) return v.get<bool>() ? "yes" : "no";
  if (v.is_number_float()) {
    char text[32];
    std::snprintf(text, sizeof text, "%.2f", v.get<double>());
    return text;
  }
  if (v.is_array()) {
    std::string text;
    for (const auto& element : v) text += (text.empty() ? "" : ",") + shown(element);
    return text.empty() ? "-" : text;
  }
  return v.dump();
}

std::string shown(const Report::Section& s, size_t column, const Report::Value& v) {
  for (const auto& [name, as] : s.formats)
    if (name == s.columns[column] && !v.is_null()) return as(v);
  return shown(v);
}

void pad(std::string& line, const std::string& cell, size_t width, bool right) {
  const std::string fill(width > cell.size() ? width - cell.size() : 0, ' ');
  line += right ? fill + cell : cell + fill;
}

void trim_end(std::string& line) { line.erase(line.find_last_not_of(' ') + 1); }

std::string table(const Report::Section& s) {
  std::vector<size_t> widths;
  std::vector<bool> numeric;
  for (size_t c = 0; c < s.columns.size(); ++c) {
    widths.push_back(s.columns[c].size());
    numeric.push_back(!s.rows.empty());
    for (const auto& row : s.rows) {
      widths[c] = std::max(widths[c], shown(s, c, row[c]).size());
      if (!row[c].is_number() && !row[c].is_null()) numeric[c] = false;
    }
  }
  std::string text;
  const auto add_line = [&](auto cell) {
    std::string line;
    for (size_t c = 0; c < s.columns.size(); ++c) {
      line += "  ";
      pad(line, cell(c), widths[c], numeric[c]);
    }
    trim_end(line);
    text += line + "\n";
  };
  add_line([&](size_t c) { return s.columns[c]; });
  for (const auto& row : s.rows) add_line([&](size_t c) { return shown(s, c, row[c]); });
  return text;
}

std::string transposed(const Report::Section& s) {
  size_t width = 0;
  for (const auto& column : s.columns) width = std::max(width, column.size());
  std::string text;
  for (size_t r = 0; r < s.rows.size(); ++r) {
    if (r > 0) text += "\n";
    for (size_t c = 0; c < s.columns.size(); ++c) {
      std::string line = "  ";
      pad(line, s.columns[c] + ":", width + 2, false);
      text += line + shown(s, c, s.rows[r][c]) + "\n";
    }
  }
  return text;
}

}  // namespace

Report::Section& Report::section(std::string name, std::vector<std::string> columns, bool transposed) {
  sections_.push_back(Section{std::move(name), std::move(columns), {}, transposed, {}});
  return sections_.back();
}

std::string Report::text() const {
  std::string text;
  for (const Section& s : sections_) {
    text += s.name + "\n";
    if (s.rows.empty()) {
      text += "  none\n";
    } else {
      text += s.transposed ? cli::transposed(s) : table(s);
    }
  }
  for (const std::string& note : notes_) text += note + "\n";
  return text;
}

std::string Report::json() const {
  nlohmann::ordered_json out = nlohmann::ordered_json::object();
  for (const Section& s : sections_) {
    auto& list = out[s.name] = nlohmann::ordered_json::array();
    for (const auto& row : s.rows) {
      nlohmann::ordered_json object = nlohmann::ordered_json::object();
      for (size_t c = 0; c < s.columns.size(); ++c) object[s.columns[c]] = row[c];
      list.push_back(std::move(object));
    }
  }
  if (!notes_.empty()) out["notes"] = notes_;
  return out.dump(2, ' ', false, nlohmann::ordered_json::error_handler_t::replace) + "\n";
}

}  // namespace poolgate::cli
