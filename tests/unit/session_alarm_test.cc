// SPDX-License-Identifier: BSD-3-Clause
#include "dataplane/worker/session_alarm.h"

#include <gtest/gtest.h>

namespace poolgate::worker {
namespace {

using Change = SessionAlarm::Change;

TEST(SessionAlarm, is_raised_once_at_80_percent_and_cleared_once_below_70) {
  SessionAlarm alarm;
  EXPECT_EQ(alarm.look(799, 1000), Change::none);
  EXPECT_EQ(alarm.look(800, 1000), Change::raised);
  EXPECT_EQ(alarm.look(1000, 1000), Change::none);
  EXPECT_EQ(alarm.look(700, 1000), Change::none);
  EXPECT_TRUE(alarm.raised());
  EXPECT_EQ(alarm.look(699, 1000), Change::cleared);
  EXPECT_EQ(alarm.look(799, 1000), Change::none);
  EXPECT_FALSE(alarm.raised());
  EXPECT_EQ(alarm.look(900, 1000), Change::raised);
}

TEST(SessionAlarm, an_empty_table_of_no_size_is_not_full) {
  SessionAlarm alarm;
  EXPECT_EQ(alarm.look(0, 0), Change::none);
}

}  // namespace
}  // namespace poolgate::worker
