// SPDX-License-Identifier: BSD-3-Clause
// Runs a shell command with a time limit, without blocking the event loop.
#pragma once

#include <asio/io_context.hpp>
#include <chrono>
#include <functional>
#include <memory>
#include <string>

namespace poolgate::agent {

struct CommandResult {
  bool ran = false;    // else it could not be started, or was killed at the limit
  int status = -1;     // exit status
  std::string output;  // the first 4 KiB of its standard output
};

// Keeps itself alive until `done` was called; dropping it kills the command and calls nothing.
class Command;
std::shared_ptr<Command> run_command(asio::io_context& io, const std::string& command,
                                     std::chrono::milliseconds limit,
                                     std::function<void(const CommandResult&)> done);

}  // namespace poolgate::agent
