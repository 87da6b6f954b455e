// SPDX-License-Identifier: BSD-3-Clause
#include "controlplane/registrar/process/pool_pusher.h"

#include <utility>

#include "controlplane/transport/channel_codec.h"

namespace poolgate::registrar {

PoolPusher::PoolPusher(asio::io_context& loop, transport::ChannelClient& client, Table table, Handles handles)
    : client_(client), table_(std::move(table)), handles_(std::move(handles)), timer_(loop) {}

void PoolPusher::channel_ready() {
  ready_ = full_due_ = true;
  if (!armed_) begin();
}

void PoolPusher::channel_lost() {
  ready_ = open_ = commit_sent_ = armed_ = false;
  timer_.cancel();
  to_send_.clear();
  dirty_.clear();  // all are due at the next connect
}

void PoolPusher::changed(const rserpool::PoolHandle& handle) {
  if (!ready_) return;
  dirty_.insert(handle);
  if (!open_ && !armed_) arm(kGather);
}

void PoolPusher::arm(std::chrono::microseconds after) {
  armed_ = true;
  timer_.expires_after(after);
  timer_.async_wait([this](const asio::error_code& error) {
    if (error || !armed_) return;
    armed_ = false;
    begin();
  });
}

void PoolPusher::begin() {
  if (!ready_ || open_ || (!full_due_ && dirty_.empty())) return;
  open_ = true;
  commit_sent_ = false;
  full_ = std::exchange(full_due_, false);
  to_send_.clear();
  if (full_) {
    for (auto& handle : handles_()) to_send_.push_back(std::move(handle));
  } else {
    to_send_.assign(dirty_.begin(), dirty_.end());
  }
  dirty_.clear();
  client_.send(channel::PoolBegin{++transaction_, full_});
  proceed();
}

void PoolPusher::proceed() {
  while (!to_send_.empty() && client_.has_room()) {
    channel::PoolChunk chunk;
    const bool there = table_(to_send_.front(), chunk);
    // In a full transaction a pool that went meanwhile goes by not being named.
    if (there || !full_) {
      chunk.handle = to_send_.front();
      chunk.transaction = transaction_;
      chunk.remove = !there;
      for (channel::PoolChunk& part : channel::split(std::move(chunk))) client_.send(std::move(part));
    }
    to_send_.pop_front();
  }
  if (!to_send_.empty() || commit_sent_) return;
  commit_sent_ = true;
  client_.send(channel::PoolCommit{transaction_});
}

void PoolPusher::room() {
  if (open_ && !commit_sent_) proceed();
}

void PoolPusher::close(uint64_t transaction) {
  if (transaction == transaction_) open_ = false;
}

void PoolPusher::committed(uint64_t transaction) {
  close(transaction);
  if (!open_ && !armed_) begin();
}

void PoolPusher::refused(uint64_t transaction) {
  close(transaction);
  full_due_ = true;
  arm(kRetry);
}

}  // namespace poolgate::registrar
