// SPDX-License-Identifier: BSD-3-Clause
// How poolgate-cli asks either process: a unix stream socket, one command a connection. The client sends a
// line and shuts its side; the answer is "ok\n" or "error\n", then the text, then the end.
#pragma once

#include <atomic>
#include <functional>
#include <string>
#include <string_view>
#include <thread>

#include "controlplane/rserpool/result.h"

namespace poolgate::transport {

inline constexpr size_t kMaxCommandLine = 64 * 1024;

// Serves commands on a thread of its own, one at a time; a client that is slow for 5 s is dropped.
class CommandServer {
 public:
  using Handler = std::function<Result<std::string>(std::string_view line)>;

  CommandServer() = default;
  ~CommandServer() { stop(); }
  CommandServer(const CommandServer&) = delete;
  CommandServer& operator=(const CommandServer&) = delete;

  // Binds `path` (mode 0600), replacing the socket of a dead process; refuses if a live one answers there.
  Result<bool> start(const std::string& path, Handler handler);
  void stop();

 private:
  void serve();
  void answer(int client);

  std::string path_;
  Handler handler_;
  int listener_ = -1;
  std::atomic<bool> stopping_{false};
  std::thread thread_;
};

// Sends one command and returns the text; an error of the peer, or why it cannot be reached, is the Error.
Result<std::string> ask(const std::string& path, std::string_view line);

}  // namespace poolgate::transport
