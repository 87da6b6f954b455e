// SPDX-License-Identifier: BSD-3-Clause
// Where an adaptive policy's load comes from: a file, or a command's output, read at intervals.
#pragma once

#include <asio/io_context.hpp>
#include <asio/steady_timer.hpp>
#include <chrono>
#include <functional>
#include <string>

#include "controlplane/agent/command.h"
#include "controlplane/rserpool/result.h"

namespace poolgate::agent {

class LoadSource {
 public:
  // `heard` gets the load as the wire has it, or why there is none.
  LoadSource(asio::io_context& io, std::string command, std::string file, std::chrono::milliseconds interval,
             std::function<void(const Result<uint32_t>&)> heard);
  void start();

 private:
  void read();
  void again();

  asio::io_context& io_;
  std::string command_;
  std::string file_;
  std::chrono::milliseconds interval_;
  std::function<void(const Result<uint32_t>&)> heard_;
  asio::steady_timer timer_;
};

}  // namespace poolgate::agent
