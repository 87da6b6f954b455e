// SPDX-License-Identifier: BSD-3-Clause
#include "dataplane/channel/transaction_assembly.h"

#include <iterator>
#include <utility>

namespace poolgate::dataplane {

bool TransactionAssembly::begin(const channel::PoolBegin& begin) {
  const bool abandoned = abandon();
  open_.emplace();
  open_->transaction = begin.transaction;
  open_->full = begin.full;
  return abandoned;
}

bool TransactionAssembly::add(channel::PoolChunk&& chunk) {
  if (!open_ || open_->transaction != chunk.transaction) return false;
  const auto [at, is_new] = index_.try_emplace(chunk.handle, open_->pools.size());
  if (is_new) {
    open_->pools.push_back(std::move(chunk));
    return true;
  }
  channel::PoolChunk& pool = open_->pools[at->second];
  pool.policy = chunk.policy;
  pool.remove = chunk.remove;
  pool.elements.insert(pool.elements.end(), std::make_move_iterator(chunk.elements.begin()),
                       std::make_move_iterator(chunk.elements.end()));
  return true;
}

std::optional<PoolTransaction> TransactionAssembly::commit(const channel::PoolCommit& commit) {
  if (!open_ || open_->transaction != commit.transaction) return std::nullopt;
  index_.clear();
  return std::exchange(open_, std::nullopt);
}

bool TransactionAssembly::abandon() {
  index_.clear();
  const bool was_open = open_.has_value();
  open_.reset();
  return was_open;
}

}  // namespace poolgate::dataplane
