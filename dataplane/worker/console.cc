// SPDX-License-Identifier: BSD-3-Clause
#include "dataplane/worker/console.h"

#include <spdlog/spdlog.h>

#include <iostream>
#include <mutex>
#include <thread>

#include "controlplane/transport/command_socket.h"
#include "dataplane/cli/execute.h"
#include "dataplane/worker/inspection.h"

namespace poolgate::worker {

struct Console::Parts {
  explicit Parts(Appliance& appliance) : inspection(appliance) {}

  Result<std::string> execute(std::string_view line) {
    const std::lock_guard lock(one_at_a_time);
    return cli::execute(line, inspection);
  }

  std::mutex one_at_a_time;  // the socket's thread and the file's
  Inspection inspection;
  transport::CommandServer server;
  std::thread file;
};

Console::Console(std::unique_ptr<Parts> parts) : parts_(std::move(parts)) {}

Console::~Console() {
  parts_->server.stop();
  if (parts_->file.joinable()) parts_->file.join();
}

Result<std::unique_ptr<Console>> Console::open(Appliance& appliance, const std::string& command_file) {
  std::unique_ptr<Console> console(new Console(std::make_unique<Parts>(appliance)));
  Parts& parts = *console->parts_;
  const auto started = parts.server.start(appliance.config().dataplane_cli_path(),
                                          [&parts](std::string_view line) { return parts.execute(line); });
  if (!started) return started.error();
  if (!command_file.empty()) {
    parts.file = std::thread([&parts, command_file] {
      const std::lock_guard lock(parts.one_at_a_time);
      const auto done = cli::execute_file(command_file, parts.inspection, std::cout);
      if (!done) spdlog::error("{}", done.error().text);
    });
  }
  return console;
}

}  // namespace poolgate::worker
