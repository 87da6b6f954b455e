// SPDX-License-Identifier: BSD-3-Clause
#pragma once

#include <functional>
#include <string>
#include <string_view>
#include <vector>

namespace poolgate::cli {

// The interactive prompt on librte_cmdline: history, editing, tab completion from the grammar. Parameters
// complete with what `names` gives for them, e.g. names("<pool>").
class Prompt {
 public:
  // Runs one typed line; false ends the prompt.
  using Run = std::function<bool(const std::string& line)>;
  using Names = std::function<std::vector<std::string>(std::string_view parameter)>;

  Prompt(Run run, Names names);
  ~Prompt();
  Prompt(const Prompt&) = delete;
  Prompt& operator=(const Prompt&) = delete;

  // Until quit or end of file; false if the terminal cannot be used.
  bool interact();

 private:
  struct Instances;
  Instances* instances_;
};

}  // namespace poolgate::cli
