// SPDX-License-Identifier: BSD-3-Clause
#include <gtest/gtest.h>
#include <malloc.h>
#include <x86intrin.h>

#include "tests/unit/sctp_crowd.h"

namespace poolgate::sctp {
namespace {

constexpr uint32_t kPeers = 10'000;

// Patch 0003: without it the set-ups of peers on equal ports take a time that grows with their square.
// Patch 0002: without it the timers of so many associations take a third of a core.
TEST(SctpScale,
     ten_thousand_peers_of_two_paths_on_equal_ports_set_up_in_seconds_and_cost_little_time_in_timers) {
  Crowd crowd(5000);
  const size_t before = mallinfo2().uordblks;
  const uint64_t begin = Crowd::now_us();
  ASSERT_TRUE(crowd.set_up(kPeers, 10'000)) << crowd.us.ids.size();
  const uint64_t took = Crowd::now_us() - begin;
  RecordProperty("set_up_ms", static_cast<int>(took / 1000));
  EXPECT_EQ(crowd.us.endpoint->associations(), kPeers);
  RecordProperty("bytes_an_association_of_both_ends",
                 static_cast<int>((mallinfo2().uordblks - before) / kPeers));

  // The second paths are confirmed by their heartbeats.
  ASSERT_TRUE(crowd.until(
      [&] { return crowd.us.path_changes >= kPeers && crowd.peers.path_changes >= kPeers; }, 10'000))
      << crowd.us.path_changes;

  crowd.us.endpoint->clear_counters();
  const uint64_t cycles = __rdtsc();
  crowd.until([] { return false; }, 5500);  // a heartbeat interval and its jitter
  const double share = static_cast<double>(crowd.us.endpoint->counters().timer_cycles) / (__rdtsc() - cycles);
  RecordProperty("timer_share_percent_x100", static_cast<int>(share * 10'000));
  EXPECT_LT(share, 0.05);
  EXPECT_GE(crowd.us.endpoint->counters().packets_in, 2 * kPeers);  // the heartbeats did flow
  EXPECT_EQ(crowd.us.downs, 0u);
  EXPECT_EQ(crowd.peers.downs, 0u);

  // Sending by association finds it at once, whichever it is.
  uint64_t sent = 0;
  for (const uint32_t id : crowd.us.ids)
    sent += crowd.us.endpoint->send({id, 0, 11, false, "x"}) == SendStatus::sent;
  EXPECT_EQ(sent, kPeers);
  EXPECT_TRUE(crowd.until([&] { return crowd.peers.messages == kPeers; }, 5000));
}

}  // namespace
}  // namespace poolgate::sctp
