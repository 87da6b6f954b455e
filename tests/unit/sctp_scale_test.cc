// SPDX-License-Identifier: BSD-3-Clause
#include <gtest/gtest.h>
#include <malloc.h>
#include <time.h>
#include <x86intrin.h>

#include "tests/unit/sctp_crowd.h"

namespace poolgate::sctp {
namespace {

#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
constexpr uint32_t kPeers = 2'000;  // a sanitizer's own cost is not to be judged
#else
constexpr uint32_t kPeers = 10'000;
#endif
constexpr uint32_t kTenth = kPeers / 10;
constexpr unsigned kHang = 120'000;  // ms

// Of this thread: what others do on the machine does not count.
double cpu_seconds() {
  timespec t{};
  clock_gettime(CLOCK_THREAD_CPUTIME_ID, &t);
  return static_cast<double>(t.tv_sec) + 1e-9 * static_cast<double>(t.tv_nsec);
}

// Patch 0003: without it each set-up of a peer on equal ports walks all others.
// Patch 0002: without it the timers of so many associations take a third of a core.
TEST(SctpScale, ten_thousand_peers_of_two_paths_on_equal_ports_set_up_evenly_and_cost_little_time_in_timers) {
  Crowd crowd(5000);
  const size_t before = mallinfo2().uordblks;
  const double begin = cpu_seconds();
  double first = 0, last = 0;
  for (uint32_t n = kTenth; n <= kPeers; n += kTenth) {
    const double at = cpu_seconds();
    ASSERT_TRUE(crowd.set_up(n, kHang)) << crowd.us.ids.size();
    last = cpu_seconds() - at;
    if (n == 2 * kTenth) first = last;  // the first tenth warms up
  }
  EXPECT_LT(last, 4 * first);
  RecordProperty("set_ups_a_cpu_second_of_both_ends", static_cast<int>(kPeers / (cpu_seconds() - begin)));
  EXPECT_EQ(crowd.us.endpoint->associations(), kPeers);
  RecordProperty("bytes_an_association_of_both_ends",
                 static_cast<int>((mallinfo2().uordblks - before) / kPeers));

  // The second paths are confirmed by their heartbeats.
  ASSERT_TRUE(crowd.until(
      [&] { return crowd.us.path_changes >= kPeers && crowd.peers.path_changes >= kPeers; }, kHang))
      << crowd.us.path_changes;

  double share = 1;
  for (int attempt = 0; attempt < 3 && share >= 0.05;
       ++attempt) {  // a busy machine disturbs one now and then
    crowd.us.endpoint->clear_counters();
    const uint64_t cycles = __rdtsc();
    crowd.until([] { return false; }, 5500);  // a heartbeat interval and its jitter
    share = static_cast<double>(crowd.us.endpoint->counters().timer_cycles) /
            static_cast<double>(__rdtsc() - cycles);
    EXPECT_GE(crowd.us.endpoint->counters().packets_in, 2 * kPeers);  // the heartbeats did flow
  }
  RecordProperty("timer_share_percent_x100", static_cast<int>(share * 10'000));
  EXPECT_LT(share, 0.05);
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
