// SPDX-License-Identifier: BSD-3-Clause
// Random schedules over scopes of three to five registrars. A failing one prints its seed;
// POOLGATE_MODEL_SEED=N runs that one alone and tells its story, POOLGATE_MODEL_SCHEDULES=N runs N of them,
// from the seed POOLGATE_MODEL_FIRST on.
#include <gtest/gtest.h>

#include <atomic>
#include <mutex>
#include <thread>

#include "tests/model/schedules.h"
#include "tests/model/scope.h"
#include "tests/unit/sanitizer.h"

namespace poolgate::model {
namespace {

constexpr uint64_t kSchedules = test::unless_sanitized(10'000, 200);
// From the last disturbance on: a takeover that began late (last heard, no response, and the claims of PEs
// whose keep-alives fail), an audit, and a registration's renewal.
constexpr Micros kSettle = 40 * kS;

std::unique_ptr<Scope> run(uint64_t seed) {
  const Shape shape{static_cast<unsigned>(3 + seed % 3), static_cast<unsigned>(3 + seed % 4),
                    static_cast<unsigned>(2 + seed % 5)};
  auto scope = std::make_unique<Scope>(seed, shape);
  scope->run(kSettle);
  return scope;
}

TEST(TakeoverModel, RFC_5353_3_5_one_owner_each_and_no_element_lost_after_the_network_heals) {
  if (const uint64_t seed = number("POOLGATE_MODEL_SEED", 0)) {
    const auto scope = run(seed);
    EXPECT_EQ(scope->fault(), "") << scope->story();
    return;
  }
  const uint64_t schedules = number("POOLGATE_MODEL_SCHEDULES", kSchedules);
  const uint64_t first = number("POOLGATE_MODEL_FIRST", 1);
  std::atomic<uint64_t> next{first};
  std::mutex mutex;
  unsigned failed = 0;
  const auto work = [&] {
    for (uint64_t seed = next++; seed < first + schedules; seed = next++) {
      const auto scope = run(seed);
      const std::string fault = scope->fault();
      if (fault.empty()) continue;
      const std::lock_guard lock(mutex);
      // A few are enough to look at.
      if (++failed <= 3) ADD_FAILURE() << "POOLGATE_MODEL_SEED=" << seed << "\n" << fault << scope->story();
    }
  };
  std::vector<std::thread> threads;
  for (unsigned i = 0; i < std::max(1u, std::thread::hardware_concurrency()); ++i) threads.emplace_back(work);
  for (std::thread& t : threads) t.join();
  EXPECT_EQ(failed, 0u) << "of " << schedules << " schedules";
}

}  // namespace
}  // namespace poolgate::model
