// SPDX-License-Identifier: BSD-3-Clause
#include "controlplane/registrar/process/pool_pusher.h"

#include <algorithm>
#include <utility>

#include "controlplane/transport/channel_codec.h"

namespace poolgate::registrar {

PoolPusher::PoolPusher(asio::io_context& loop, transport::ChannelClient& client, Table table,
                       NextPool next_pool)
    : client_(client),
      table_(std::move(table)),
      next_pool_(std::move(next_pool)),
      timer_(loop),
      slice_(loop) {}

void PoolPusher::channel_ready() {
  ready_ = full_due_ = true;
  if (!armed_) begin();
}

void PoolPusher::channel_lost() {
  ready_ = open_ = commit_sent_ = armed_ = false;
  timer_.cancel();
  slice_.cancel();
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
  picked_ = false;
  current_.clear();
  to_send_ = std::exchange(dirty_, {});
  if (full_) to_send_.clear();
  client_.send(channel::PoolBegin{++transaction_, full_});
  proceed();
}

// The pool to send, or to go on with; false: all are sent.
bool PoolPusher::pick() {
  if (picked_) return true;
  if (full_) {
    if (!next_pool_(current_)) return false;
  } else {
    if (to_send_.empty()) return false;
    current_ = std::move(to_send_.extract(to_send_.begin()).value());
  }
  page_ = {};
  return picked_ = true;
}

// How much of the turn's slice it took.
size_t PoolPusher::send_page(size_t most) {
  const bool begins = !page_.begun;
  channel::PoolChunk chunk;
  const bool there = table_(current_, page_, most, chunk);
  const size_t elements = chunk.elements.size();
  // In a full transaction a pool that went meanwhile goes by not being named; one that was sent in part is to
  // be sent again.
  if (there || (begins && !full_)) {
    chunk.handle = current_;
    chunk.transaction = transaction_;
    chunk.remove = !there;
    for (channel::PoolChunk& part : channel::split(std::move(chunk))) client_.send(std::move(part));
  }
  picked_ = there && page_.more;
  return elements + 1;
}

void PoolPusher::proceed() {
  if (commit_sent_) return;
  size_t left = kSlice;
  while (left != 0 && client_.has_room() && pick()) left -= std::min(left, send_page(left));
  if (!client_.has_room() && (picked_ || full_ || !to_send_.empty())) return;  // room() comes
  if (left == 0) {
    slice_.expires_after(std::chrono::microseconds(0));
    slice_.async_wait([this](const asio::error_code& error) {
      if (!error && open_) proceed();
    });
    return;
  }
  commit_sent_ = true;
  client_.send(channel::PoolCommit{transaction_});
}

void PoolPusher::room() {
  if (open_) proceed();
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
