// SPDX-License-Identifier: BSD-3-Clause
#pragma once

#include <string>
#include <utility>
#include <vector>

#include "controlplane/registrar/core/actions.h"

namespace poolgate::registrar {

// The actions that the process is to carry out, in order.
class Outbox {
 public:
  template <class T>
  void put(T action) {
    actions_.emplace_back(std::move(action));
  }
  void log(Log::Level level, std::string key, std::string text) {
    put(Log{level, std::move(key), std::move(text)});
  }
  std::vector<Action> take() { return std::exchange(actions_, {}); }

 private:
  std::vector<Action> actions_;
};

// "PE 0x0000002a of EchoPool".
std::string pe_text(rserpool::PoolHandleView handle, rserpool::PeId id);
// "server 0x0000002a".
std::string server_text(rserpool::ServerId id);

}  // namespace poolgate::registrar
