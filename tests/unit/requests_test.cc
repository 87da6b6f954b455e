// SPDX-License-Identifier: BSD-3-Clause
#include "dataplane/worker/requests.h"

#include <gtest/gtest.h>
#include <poll.h>

#include <thread>

namespace poolgate::worker {
namespace {

using std::chrono::milliseconds;

bool rung(const Doorbell& bell) {
  pollfd waiting{bell.fd(), POLLIN, 0};
  return poll(&waiting, 1, 0) == 1;
}

TEST(DoorbellTest, rings_once_for_each_time_it_was_armed) {
  Doorbell bell;
  bell.ring();
  EXPECT_FALSE(rung(bell));  // awake: no system call is due
  bell.arm();
  bell.ring();
  bell.ring();
  EXPECT_TRUE(rung(bell));
  bell.drain();
  bell.ring();
  EXPECT_FALSE(rung(bell));
  bell.arm();
  bell.disarm();
  bell.ring();
  EXPECT_FALSE(rung(bell));
}

TEST(RequestsTest, run_on_the_owner_in_the_order_they_were_asked) {
  Doorbell bell;
  Requests requests(bell);
  std::vector<int> order;
  std::atomic<int> asked{0};
  std::thread asker([&] {
    for (int i = 0; i < 3; ++i) {
      EXPECT_TRUE(requests.ask([&order, i] { order.push_back(i); }, milliseconds(60'000)));
      ++asked;
    }
  });
  while (asked < 3) requests.run();
  asker.join();
  EXPECT_EQ(order, (std::vector<int>{0, 1, 2}));
}

TEST(RequestsTest, what_its_asker_gave_up_is_never_run) {
  Doorbell bell;
  Requests requests(bell);
  bool ran = false;
  EXPECT_FALSE(requests.ask([&ran] { ran = true; }, milliseconds(1)));
  requests.run();
  EXPECT_FALSE(ran);
}

// An asker that went away while its request runs would leave it with dead references.
TEST(RequestsTest, what_was_begun_is_waited_for_beyond_the_askers_patience) {
  Doorbell bell;
  Requests requests(bell);
  std::atomic<bool> over{false};
  std::thread owner([&] {
    while (!over) requests.run();
  });
  std::atomic<bool> ended{false};
  const bool ran = requests.ask(
      [&] {
        std::this_thread::sleep_for(milliseconds(400));
        ended = true;
      },
      milliseconds(200));
  EXPECT_EQ(ran, ended.load());
  over = true;
  owner.join();
}

}  // namespace
}  // namespace poolgate::worker
