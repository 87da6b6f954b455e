// SPDX-License-Identifier: BSD-3-Clause
// Patch 0006.
#include <gtest/gtest.h>
#include <usrsctp.h>

TEST(UsrsctpSilence, a_stack_that_was_told_nothing_yet_aborts_no_association_of_others) {
  usrsctp_init_nothreads(0, nullptr, nullptr);
  EXPECT_EQ(usrsctp_sysctl_get_sctp_blackhole(), 2u);
  EXPECT_EQ(usrsctp_finish(), 0);
}
