// SPDX-License-Identifier: BSD-3-Clause
#include <gtest/gtest.h>
#include <malloc.h>
#include <time.h>

#include "tests/unit/sctp_clock.h"
#include "tests/unit/sctp_crowd.h"

namespace poolgate::sctp {
namespace {

constexpr uint32_t kPeers = POOLGATE_TEST_PEERS;  // fewer under sanitizers
constexpr uint32_t kTenth = kPeers / 10;
constexpr unsigned kHang = 600'000;  // ms of the crowd's time

// Patch 0003: without it each set-up of a peer on equal ports walks all others.
// Patch 0002: without it each tick walks the timers of all, and costs many times what the packets of their
// heartbeats cost to read.
TEST(SctpScale, ten_thousand_peers_of_two_paths_on_equal_ports_set_up_evenly_and_cost_little_time_in_timers) {
  Crowd crowd(5000);
  crowd.clock = [] { return virtual_now_us += 500; };
  const size_t before = mallinfo2().uordblks;
  const double begin = Crowd::cpu_seconds();
  double first = 0, last = 0;
  for (uint32_t n = kTenth; n <= kPeers; n += kTenth) {
    const double at = Crowd::cpu_seconds();
    ASSERT_TRUE(crowd.set_up(n, kHang)) << crowd.us.ids.size();
    last = Crowd::cpu_seconds() - at;
    if (n == 2 * kTenth) first = last;  // the first tenth warms up
  }
  EXPECT_LT(last, 4 * first);
  RecordProperty("set_ups_a_cpu_second_of_both_ends",
                 static_cast<int>(kPeers / (Crowd::cpu_seconds() - begin)));
  EXPECT_EQ(crowd.us.endpoint->associations(), kPeers);
  RecordProperty("bytes_an_association_of_both_ends",
                 static_cast<int>((mallinfo2().uordblks - before) / kPeers));

  // The second paths are confirmed by their heartbeats.
  ASSERT_TRUE(crowd.until(
      [&] { return crowd.us.path_changes >= kPeers && crowd.peers.path_changes >= kPeers; }, kHang))
      << crowd.us.path_changes;

  crowd.us.endpoint->clear_counters();
  Crowd::Costs costs;
  crowd.costs = &costs;
  crowd.until([] { return false; }, 10'000);  // a heartbeat interval, its jitter, an RTO
  EXPECT_GE(crowd.us.endpoint->counters().packets_in, 2 * kPeers);  // the heartbeats did flow
  const double ratio = costs.ticks / costs.input;
  RecordProperty("timers_to_input_x100", static_cast<int>(100 * ratio));
  RecordProperty("timer_microseconds_a_second", static_cast<int>(costs.ticks / 10 * 1e6));
  EXPECT_LT(ratio, 3);  // 0.4 to 0.7 with the wheel
  EXPECT_EQ(crowd.us.downs, 0u);
  EXPECT_EQ(crowd.peers.downs, 0u);

  // Sending by association finds it at once, whichever it is.
  uint64_t sent = 0;
  for (const uint32_t id : crowd.us.ids)
    sent += crowd.us.endpoint->send({id, 0, 11, false, "x"}) == SendStatus::sent;
  EXPECT_EQ(sent, kPeers);
  EXPECT_TRUE(crowd.until([&] { return crowd.peers.messages == kPeers; }, kHang));
}

}  // namespace
}  // namespace poolgate::sctp
