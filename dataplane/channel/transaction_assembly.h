// SPDX-License-Identifier: BSD-3-Clause
// Gathers the chunks of one registrar's pool transaction until its commit: what is not committed never leaves
// here.
#pragma once

#include <optional>
#include <string>
#include <unordered_map>

#include "dataplane/channel/channel_server.h"

namespace poolgate::dataplane {

class TransactionAssembly {
 public:
  // True if an uncommitted transaction is abandoned by this.
  bool begin(const channel::PoolBegin& begin);
  // False: not of the transaction that is open.
  bool add(channel::PoolChunk&& chunk);
  // The whole transaction, or nothing if it was not begun here.
  std::optional<PoolTransaction> commit(const channel::PoolCommit& commit);
  // True if one was open.
  bool abandon();

 private:
  std::optional<PoolTransaction> open_;
  std::unordered_map<std::string, size_t> index_;  // handle to its place in open_->pools
};

}  // namespace poolgate::dataplane
