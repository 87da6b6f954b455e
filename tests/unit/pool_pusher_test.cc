// SPDX-License-Identifier: BSD-3-Clause
// The registrar's pool tables on their way to the data plane, over both real ends of the channel.
#include "controlplane/registrar/process/pool_pusher.h"

#include <algorithm>

#include "controlplane/transport/channel_client.h"
#include "tests/unit/channel_test_ends.h"

namespace poolgate::channel_test {
namespace {

using registrar::PoolPusher;
using registrar::TablePage;
using rserpool::PoolHandle;

class Pusher : public transport::ChannelEvents {
 public:
  Pusher() : client(loop, options(), *this), pusher(loop, client, table(), next_pool()) { client.start(); }

  void channel_up(const Welcome&, bool) override {}
  void channel_event(Up&& event) override {
    if (std::holds_alternative<ReplayDone>(event)) pusher.channel_ready();
    if (const auto* e = std::get_if<PoolCommitted>(&event)) pusher.committed(e->transaction);
    if (const auto* e = std::get_if<PoolRefused>(&event)) pusher.refused(e->transaction);
  }
  void channel_batch_done() override {}
  void channel_lost(const std::string&) override { pusher.channel_lost(); }
  void channel_room() override { pusher.room(); }
  void channel_note(const std::string&) override {}

  // One handler of the loop, and what it read of the tables.
  void turn() {
    read_this_turn = 0;
    loop.run_one_for(std::chrono::microseconds(200));
    most_in_a_turn = std::max(most_in_a_turn, read_this_turn);
    if (on_turn) on_turn();
    while (plane.server->run_once() > 0) continue;
  }
  bool until_in_step() {
    const auto stop = std::chrono::steady_clock::now() + std::chrono::seconds(120);
    while (!pusher.in_step() && std::chrono::steady_clock::now() < stop) turn();
    return pusher.in_step();
  }

  DataPlaneEnd plane;
  asio::io_context loop;
  std::map<PoolHandle, size_t> pools;  // and how many PEs each has, of the ids 1, 2, ...
  size_t read_this_turn = 0, most_in_a_turn = 0;
  std::function<void()> on_turn;
  transport::ChannelClient client;
  PoolPusher pusher;

 private:
  transport::ChannelClientOptions options() {
    transport::ChannelClientOptions o;
    o.path = plane.options.path;
    o.incarnation = 1;
    o.server_id = 0x5e;
    o.first_retry = o.last_retry = std::chrono::milliseconds(1);
    return o;
  }
  PoolPusher::Table table() {
    return [this](const PoolHandle& handle, TablePage& page, size_t most, PoolChunk& out) {
      const auto pool = pools.find(handle);
      page.more = false;
      if (pool == pools.end()) return false;
      for (; page.last < pool->second && out.elements.size() < most; ++page.last) {
        PoolPe& pe = out.elements.emplace_back();
        pe.id = page.last + 1;
        pe.transport.addresses.resize(1);
      }
      page.begun = true;
      page.more = page.last < pool->second;
      read_this_turn += out.elements.size();
      return true;
    };
  }
  PoolPusher::NextPool next_pool() {
    return [this](PoolHandle& handle) {
      const auto at = pools.upper_bound(handle);
      if (at == pools.end()) return false;
      handle = at->first;
      return true;
    };
  }
};

TEST(PoolPusher, a_large_pool_goes_in_slices_with_turns_of_the_loop_between_and_arrives_whole) {
  Pusher p;
  p.pools = {{"large", 7 * PoolPusher::kSlice + 1}, {"small", 3}};
  while (p.pusher.transactions() == 0) p.turn();
  ASSERT_TRUE(p.until_in_step());
  EXPECT_EQ(p.most_in_a_turn, PoolPusher::kSlice);
  EXPECT_EQ(p.plane.handler.told("large"), static_cast<int>(7 * PoolPusher::kSlice + 1));
  EXPECT_EQ(p.plane.handler.told("small"), 3);
  EXPECT_EQ(p.plane.handler.transactions.size(), 1u) << "never a half";
  p.most_in_a_turn = 0;
  p.pusher.changed("large");
  ASSERT_TRUE(p.until_in_step());
  EXPECT_EQ(p.most_in_a_turn, PoolPusher::kSlice);
  EXPECT_EQ(p.plane.handler.transactions.size(), 2u);
}

TEST(PoolPusher, many_small_pools_go_in_slices_too) {
  Pusher p;
  for (size_t n = 0; n < PoolPusher::kSlice; ++n) p.pools["pool-" + std::to_string(n)] = 1;
  while (p.pusher.transactions() == 0) p.turn();
  ASSERT_TRUE(p.until_in_step());
  EXPECT_LE(p.most_in_a_turn, PoolPusher::kSlice / 2) << "a pool costs, too";
  ASSERT_EQ(p.plane.handler.transactions.size(), 1u);
  EXPECT_EQ(p.plane.handler.transactions[0].pools.size(), PoolPusher::kSlice);
}

TEST(PoolPusher, what_changes_between_the_slices_is_right_with_the_next_transaction) {
  Pusher p;
  p.pools = {{"a", 3 * PoolPusher::kSlice}, {"b", 3 * PoolPusher::kSlice}};
  bool changed = false;
  p.on_turn = [&] {
    if (changed || p.read_this_turn == 0) return;
    changed = true;
    p.pools.erase("a");  // of which a slice has gone
    p.pools["0"] = 5;    // in the order of handles before what has gone
    p.pools["b"] = 2;
    for (const char* handle : {"a", "0", "b"}) p.pusher.changed(handle);
  };
  while (p.pusher.transactions() == 0) p.turn();
  ASSERT_TRUE(p.until_in_step());
  EXPECT_TRUE(changed);
  EXPECT_EQ(p.plane.handler.transactions.size(), 2u);
  EXPECT_EQ(p.plane.handler.told("a"), -1);
  EXPECT_EQ(p.plane.handler.told("0"), 5);
  EXPECT_EQ(p.plane.handler.told("b"), 2);
}

}  // namespace
}  // namespace poolgate::channel_test
