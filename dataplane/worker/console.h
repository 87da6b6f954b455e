// SPDX-License-Identifier: BSD-3-Clause
#pragma once

#include <memory>
#include <string>

#include "controlplane/rserpool/result.h"

namespace poolgate::worker {

class Appliance;

// Where the commands of people come in: the socket that poolgate-cli attaches to, and a file of commands to
// run at start. Both have threads of their own; the main lcore must be in its loop to answer them.
class Console {
 public:
  // `command_file` may be empty. An error in it stops it, is logged with its line, and leaves the appliance
  // running.
  static Result<std::unique_ptr<Console>> open(Appliance& appliance, const std::string& command_file);
  ~Console();
  Console(const Console&) = delete;
  Console& operator=(const Console&) = delete;

 private:
  struct Parts;
  explicit Console(std::unique_ptr<Parts> parts);
  std::unique_ptr<Parts> parts_;
};

}  // namespace poolgate::worker
