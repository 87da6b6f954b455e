// SPDX-License-Identifier: BSD-3-Clause
#include "controlplane/agent/load_source.h"

#include <fstream>

#include "controlplane/agent/text.h"

namespace poolgate::agent {

namespace {

Result<uint32_t> first_word(const std::string& text) {
  const auto begin = text.find_first_not_of(" \t\r\n");
  if (begin == std::string::npos) return Error{"it says nothing"};
  return parse_load(text.substr(begin, text.find_first_of(" \t\r\n", begin) - begin));
}

Result<uint32_t> named(const std::string& source, Result<uint32_t> load) {
  if (!load) return Error{source + ": " + load.error().text};
  return load;
}

}  // namespace

LoadSource::LoadSource(asio::io_context& io, std::string command, std::string file,
                       std::chrono::milliseconds interval, std::function<void(const Result<uint32_t>&)> heard)
    : io_(io),
      command_(std::move(command)),
      file_(std::move(file)),
      interval_(interval),
      heard_(std::move(heard)),
      timer_(io) {}

void LoadSource::start() { read(); }

void LoadSource::read() {
  if (!command_.empty()) {
    run_command(io_, command_, interval_, [this](const CommandResult& result) {
      if (!result.ran || result.status != 0)
        heard_(Error{command_ + ": " +
                     (result.ran ? "exit status " + std::to_string(result.status) : "took too long")});
      else
        heard_(named(command_, first_word(result.output)));
      again();
    });
    return;
  }
  std::ifstream file(file_);
  std::string text;
  if (!std::getline(file, text))
    heard_(Error{file_ + ": cannot be read, or is empty"});
  else
    heard_(named(file_, first_word(text)));
  again();
}

void LoadSource::again() {
  timer_.expires_after(interval_);
  timer_.async_wait([this](asio::error_code ec) {
    if (!ec) read();
  });
}

}  // namespace poolgate::agent
