// SPDX-License-Identifier: BSD-3-Clause
// What paths of associations tell of addresses.
#include "dataplane/worker/path_watch.h"

#include <gtest/gtest.h>

#include <utility>
#include <vector>

namespace poolgate::worker {
namespace {

using channel::PathState;
using rserpool::IpAddress;
using Told = std::vector<std::pair<IpAddress, bool>>;

const IpAddress kA = *IpAddress::parse("10.0.2.21"), kB = *IpAddress::parse("fd00::21");
const channel::AssociationName kFirst{1, 0, 7}, kSecond{1, 1, 7};  // ids are a stack's own

class Paths : public ::testing::Test {
 protected:
  void path(const channel::AssociationName& association, const IpAddress& address, PathState state) {
    watch.changed({association, address, state});
  }
  Told said() { return std::exchange(told, {}); }

  Told told;
  PathWatch watch{[this](const IpAddress& address, bool down) { told.emplace_back(address, down); }};
};

TEST_F(Paths, an_address_is_down_from_the_first_that_cannot_reach_it_to_the_first_that_can) {
  path(kFirst, kA, PathState::unreachable);
  path(kSecond, kA, PathState::unreachable);
  EXPECT_EQ(said(), (Told{{kA, true}}));
  path(kSecond, kA, PathState::available);
  EXPECT_EQ(said(), (Told{{kA, false}}));
  path(kFirst, kA, PathState::available);
  EXPECT_EQ(said(), Told{});
  EXPECT_EQ(watch.down(), 0u);
}

TEST_F(Paths, an_association_that_ends_takes_what_it_told_with_it) {
  path(kFirst, kA, PathState::unreachable);
  path(kFirst, kB, PathState::unreachable);
  path(kSecond, kB, PathState::unreachable);
  EXPECT_EQ(said(), (Told{{kA, true}, {kB, true}}));
  watch.ended(kFirst);
  EXPECT_EQ(said(), (Told{{kA, false}})) << "the other cannot reach B either";
  watch.ended(kSecond);
  EXPECT_EQ(said(), (Told{{kB, false}}));
  watch.ended(kSecond);
  EXPECT_EQ(said(), Told{});
}

TEST_F(Paths, a_path_that_is_removed_or_becomes_the_primary_or_was_never_down_says_nothing) {
  path(kFirst, kA, PathState::available);
  path(kFirst, kA, PathState::added);
  path(kFirst, kA, PathState::primary);
  EXPECT_EQ(said(), Told{});
  path(kFirst, kA, PathState::unreachable);
  path(kFirst, kA, PathState::primary);
  EXPECT_EQ(said(), (Told{{kA, true}}));
  path(kFirst, kA, PathState::removed);
  EXPECT_EQ(said(), (Told{{kA, false}}));
}

}  // namespace
}  // namespace poolgate::worker
