// SPDX-License-Identifier: BSD-3-Clause
#pragma once

#include <cstdint>
#include <nlohmann/json.hpp>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace poolgate::cli {

// What a `show` command found, once; printed as an aligned table for people or as JSON for programs. A report
// is a list of sections, each a list of rows with the same columns.
class Report {
 public:
  using Value = nlohmann::json;  // integers, texts, booleans, null (shown as "-"), lists of texts

  using Format = std::string (*)(const Value&);

  struct Section {
    std::string name;                  // a JSON key; the heading in text
    std::vector<std::string> columns;  // JSON keys; the column heads in text
    std::vector<std::vector<Value>> rows;
    bool transposed = false;  // in text: one line a column, for few rows of many columns
    std::vector<std::pair<std::string, Format>> formats = {};

    void row(std::vector<Value> values) { rows.push_back(std::move(values)); }
    // How people read this column's values; JSON keeps them as they are.
    void format(std::string column, Format as) { formats.emplace_back(std::move(column), as); }
  };

  Section& section(std::string name, std::vector<std::string> columns, bool transposed = false);
  // A section by the order of adding; the reference is good until the next section().
  Section& at(size_t i) { return sections_[i]; }
  // A line that follows the tables, in JSON the list "notes".
  void note(std::string text) { notes_.push_back(std::move(text)); }

  std::string text() const;
  std::string json() const;

 private:
  std::vector<Section> sections_;
  std::vector<std::string> notes_;
};

}  // namespace poolgate::cli
