// SPDX-License-Identifier: BSD-3-Clause
// Keeps the data plane's pool tables equal to the registrar's: all of them after each (re)connect, then what
// changed, gathered for at most a millisecond, one transaction at a time. Tables are read when they are sent,
// a slice a turn of the loop, so that a change is never sent older than another of the same pool, and a pool
// of 100,000 PEs holds nothing up.
#pragma once

#include <asio/io_context.hpp>
#include <asio/steady_timer.hpp>
#include <chrono>
#include <functional>
#include <string>
#include <unordered_set>

#include "controlplane/registrar/core/registrar.h"
#include "controlplane/transport/channel_client.h"

namespace poolgate::registrar {

class PoolPusher {
 public:
  static constexpr std::chrono::microseconds kGather{500};
  static constexpr std::chrono::milliseconds kRetry{1000};  // after the data plane refused a transaction
  static constexpr size_t kSlice = 2000;  // PEs a turn, at some 0.3 us each; a pool counts as one

  // Where tables come from: Registrar::pool_table() and next_pool().
  using Table =
      std::function<bool(const rserpool::PoolHandle&, TablePage&, size_t most, channel::PoolChunk&)>;
  using NextPool = std::function<bool(rserpool::PoolHandle&)>;

  PoolPusher(asio::io_context& loop, transport::ChannelClient& client, Table table, NextPool next_pool);

  // ReplayDone came: all tables are due.
  void channel_ready();
  void channel_lost();
  // There is room in the channel again.
  void room();
  void changed(const rserpool::PoolHandle& handle);
  void committed(uint64_t transaction);
  void refused(uint64_t transaction);

  uint64_t transactions() const { return transaction_; }
  // Nothing is under way or waiting: the data plane has what the registrar has.
  bool in_step() const { return ready_ && !open_ && !full_due_ && dirty_.empty(); }

 private:
  void begin();
  void proceed();
  bool pick();
  size_t send_page(size_t most);
  void arm(std::chrono::microseconds after);
  void close(uint64_t transaction);

  transport::ChannelClient& client_;
  Table table_;
  NextPool next_pool_;
  asio::steady_timer timer_;
  asio::steady_timer slice_;  // the next turn
  bool ready_ = false;
  bool armed_ = false;
  bool full_due_ = false;
  std::unordered_set<rserpool::PoolHandle> dirty_;

  bool open_ = false;  // a transaction was begun and not yet committed or refused
  bool full_ = false;
  bool commit_sent_ = false;
  uint64_t transaction_ = 0;
  std::unordered_set<rserpool::PoolHandle> to_send_;  // of a transaction that is not full
  rserpool::PoolHandle current_;                      // the pool being sent; of a full one the last, too
  bool picked_ = false;
  TablePage page_;
};

}  // namespace poolgate::registrar
