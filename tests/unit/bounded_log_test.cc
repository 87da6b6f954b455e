// SPDX-License-Identifier: BSD-3-Clause
#include "dataplane/worker/bounded_log.h"

#include <gtest/gtest.h>
#include <spdlog/logger.h>

#include <memory>
#include <vector>

namespace poolgate::worker {
namespace {

struct BoundedLogTest : testing::Test {
  std::vector<std::string> lines() const {
    std::vector<std::string> out;
    std::rewind(file.get());
    char line[256];
    while (std::fgets(line, sizeof line, file.get()) != nullptr) out.emplace_back(line);
    return out;
  }

  const std::unique_ptr<std::FILE, int (*)(std::FILE*)> file{std::tmpfile(), &std::fclose};
  BoundedLog::Clock::time_point now{std::chrono::hours(1)};
  spdlog::logger logger{"poolgate", std::make_shared<BoundedLog>(file.get(), [this] { return now; })};
};

TEST_F(BoundedLogTest, what_repeats_is_held_back_and_counted_in_the_next_line) {
  logger.set_pattern("%l: %v");
  for (int i = 0; i < 1000; ++i) logger.warn("element {} is found dead", i);
  EXPECT_EQ(lines().size(), BoundedLog::kLines);
  now += BoundedLog::kWindow;
  logger.info("quiet again");
  const auto all = lines();
  ASSERT_EQ(all.size(), BoundedLog::kLines + 2);
  EXPECT_EQ(all[BoundedLog::kLines - 1], "warning: element 199 is found dead\n");
  EXPECT_EQ(all[BoundedLog::kLines], "warning: 800 lines were held back: over 200 in 10 s\n");
  EXPECT_EQ(all.back(), "info: quiet again\n");
}

TEST_F(BoundedLogTest, a_critical_line_passes) {
  logger.set_pattern("%l: %v");
  for (int i = 0; i < 201; ++i) logger.error("again");
  logger.critical("the end");
  const auto all = lines();
  ASSERT_EQ(all.size(), BoundedLog::kLines + 2);
  EXPECT_EQ(all[BoundedLog::kLines], "warning: 1 lines were held back: over 200 in 10 s\n");
  EXPECT_EQ(all.back(), "critical: the end\n");
}

TEST_F(BoundedLogTest, slow_talk_is_never_held_back) {
  for (int i = 0; i < 1000; ++i, now += std::chrono::milliseconds(BoundedLog::kWindow) / BoundedLog::kLines)
    logger.info("{}", i);
  EXPECT_EQ(lines().size(), 1000u);
}

}  // namespace
}  // namespace poolgate::worker
