// SPDX-License-Identifier: BSD-3-Clause
// Keeps the data plane's pool tables equal to the registrar's: all of them after each (re)connect, then what
// changed, gathered for at most a millisecond, one transaction at a time. Tables are read when they are sent,
// so that a change is never sent older than another of the same pool.
#pragma once

#include <asio/io_context.hpp>
#include <asio/steady_timer.hpp>
#include <chrono>
#include <deque>
#include <functional>
#include <string>
#include <unordered_set>
#include <vector>

#include "controlplane/transport/channel_client.h"

namespace poolgate::registrar {

class PoolPusher {
 public:
  static constexpr std::chrono::microseconds kGather{500};
  static constexpr std::chrono::milliseconds kRetry{1000};  // after the data plane refused a transaction

  // Where tables come from; false: there is no such pool.
  using Table = std::function<bool(const rserpool::PoolHandle&, channel::PoolChunk&)>;
  using Handles = std::function<std::vector<rserpool::PoolHandle>()>;

  PoolPusher(asio::io_context& loop, transport::ChannelClient& client, Table table, Handles handles);

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
  void arm(std::chrono::microseconds after);
  void close(uint64_t transaction);

  transport::ChannelClient& client_;
  Table table_;
  Handles handles_;
  asio::steady_timer timer_;
  bool ready_ = false;
  bool armed_ = false;
  bool full_due_ = false;
  std::unordered_set<rserpool::PoolHandle> dirty_;

  bool open_ = false;  // a transaction was begun and not yet committed or refused
  bool full_ = false;
  bool commit_sent_ = false;
  uint64_t transaction_ = 0;
  std::deque<rserpool::PoolHandle> to_send_;
};

}  // namespace poolgate::registrar
