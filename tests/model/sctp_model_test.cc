// SPDX-License-Identifier: BSD-3-Clause
// Random schedules of two endpoints (sctp_ends.h): they die, connect at once, close, stop reading, and lose
// packets and links. A failing one prints its seed; POOLGATE_MODEL_SEED=N runs that one alone and tells its
// story (the stack draws its tags itself: another run of a seed is not the same to the bit),
// POOLGATE_MODEL_SCHEDULES=N runs N of them, from the seed POOLGATE_MODEL_FIRST on.
#include <gtest/gtest.h>

#include "tests/model/schedules.h"
#include "tests/model/sctp_ends.h"
#include "tests/unit/sanitizer.h"

namespace poolgate::sctp::model {
namespace {

using poolgate::model::number;

constexpr uint64_t kSchedules = test::unless_sanitized(300, 30);
// A dead peer is noticed by the last of its paths (a heartbeat each 200 ms, at most 5 of up to a second
// each), and a SHUTDOWN that is not answered ends by the guard timer.
constexpr uint64_t kSettle = 60'000'000;

TEST(SctpModel, RFC_9260_both_ends_agree_and_each_life_hears_what_was_said_to_it_once_and_in_order) {
  const uint64_t only = number("POOLGATE_MODEL_SEED", 0);
  const uint64_t first = only != 0 ? only : number("POOLGATE_MODEL_FIRST", 1);
  const uint64_t schedules = only != 0 ? 1 : number("POOLGATE_MODEL_SCHEDULES", kSchedules);
  unsigned failed = 0;
  for (uint64_t seed = first; seed < first + schedules && failed < 3; ++seed) {
    std::mt19937_64 random(seed);
    Ends ends(seed);
    for (uint64_t n = 20 + random() % 100; n > 0 && ends.fault().empty(); --n) {
      ends.disturb();
      ends.run(random() % (random() % 10 == 0 ? 3'000'000 : 100'000));
    }
    ends.mend();
    ends.run(kSettle);
    ends.check_settled();
    ends.check_usable();
    if (ends.fault().empty()) continue;
    ++failed;
    ADD_FAILURE() << "POOLGATE_MODEL_SEED=" << seed << "\n" << ends.fault() << "\n" << ends.story();
  }
}

TEST(SctpModel, RFC_9260_5_2_4_a_restart_is_one_whatever_was_under_way) {
  for (uint64_t seed = 1; seed <= kSchedules; ++seed) {
    Ends ends(seed);
    ends.check_restart();
    ends.mend();
    ends.run(kSettle);
    ends.check_settled();
    ends.check_usable();
    ASSERT_EQ(ends.fault(), "") << "seed " << seed << "\n" << ends.story();
  }
}

}  // namespace
}  // namespace poolgate::sctp::model
