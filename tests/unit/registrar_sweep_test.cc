// SPDX-License-Identifier: BSD-3-Clause
// A data plane's death under many PEs: no step of the loop looks at all of them.
#include <gmock/gmock.h>

#include "tests/unit/registrar_world.h"

namespace poolgate::test {
namespace {

constexpr size_t kPes = 2600;
constexpr size_t kMostInAStep = 500;

// PEs in pools of ten, by twenties on an association.
void fill(World& w) {
  AssociationName name;
  std::string ip;
  for (PeId id = 1; id <= kPes; ++id) {
    if (id % 20 == 1) {
      ip = "10.3." + std::to_string(id / 200) + "." + std::to_string(id / 20 % 10 + 1);
      name = w.up(ip.c_str());
    }
    ASSERT_TRUE(w.enroll(name, pe(id, ip.c_str()), "Pool" + std::to_string(id / 10)).empty());
  }
}

size_t removals(const std::vector<registrar::Action>& actions) {
  return static_cast<size_t>(
      std::count_if(actions.begin(), actions.end(), [](const registrar::Action& action) {
        const auto* put = std::get_if<registrar::JournalPut>(&action);
        return put != nullptr && put->record.change == registrar::JournalRecord::Change::remove;
      }));
}

registrar::Settings settings() {
  registrar::Settings s;
  s.registrar.grace_ms = 30'000;
  s.registrar.keepalive_interval_ms = 1000;
  s.registrar.max_elements = 100'000;
  return s;
}

void restart_data_plane(World& w) {
  w.welcome.epoch = 2;
  w.registrar.channel_up(w.now, w.welcome);
  w.registrar.replay_done(w.now);
}

TEST(RegistrarSweep, PEs_that_are_not_back_after_the_grace_time_go_some_hundred_a_step) {
  World w(settings());
  fill(w);
  restart_data_plane(w);
  EXPECT_EQ(removals(w.collect()), 0u);
  EXPECT_EQ(removals(w.run(30 * kS - kMs)), 0u) << "neither keep-alive nor life counts in the grace time";
  std::vector<size_t> steps;
  w.now += kMs;
  for (int step = 0; step < 100; ++step) {
    w.registrar.tick(w.now);
    steps.push_back(removals(w.collect()));
    if (w.registrar.element_count() == 0) break;
    EXPECT_LE(w.registrar.next_deadline(), w.now) << "goes on at once";
  }
  EXPECT_EQ(w.registrar.element_count(), 0u);
  EXPECT_THAT(steps, testing::Each(testing::AllOf(testing::Gt(0u), testing::Le(kMostInAStep))));
  EXPECT_EQ(w.registrar.counters().pes_out_by_grace, kPes);
}

TEST(RegistrarSweep, a_PE_that_is_back_before_the_sweep_comes_to_it_stays) {
  World w(settings());
  fill(w);
  w.registrar.channel_lost(w.now);
  w.registrar.channel_up(w.now, w.welcome);
  w.registrar.replay_done(w.now);  // the same data plane, and no association lives
  const size_t first = removals(w.collect());
  EXPECT_GE(first, kMostInAStep);
  ASSERT_LT(first, kPes);
  std::vector<PeId> left;
  std::string handle;
  for (const auto& pool : w.registrar.pools()) handle = pool.handle;  // the last that the sweep comes to
  left = w.there(handle);
  ASSERT_FALSE(left.empty());
  EXPECT_TRUE(w.enroll(w.up("10.9.9.9"), pe(left[0], "10.9.9.9"), handle).empty());
  w.run(kS);
  EXPECT_EQ(w.registrar.element_count(), 1u);
  EXPECT_EQ(w.there(handle), std::vector<PeId>{left[0]});
}

TEST(RegistrarSweep, a_channel_that_is_lost_again_ends_it) {
  World w(settings());
  fill(w);
  restart_data_plane(w);
  w.run(30 * kS - kMs);
  w.now += kMs;
  w.registrar.tick(w.now);
  const size_t left = w.registrar.element_count();
  w.registrar.channel_lost(w.now);
  w.collect();
  w.run(60 * kS);
  EXPECT_EQ(w.registrar.element_count(), left) << "grace begins anew with the next data plane";
}

TEST(RegistrarSweep, after_a_download_the_data_plane_is_told_of_some_thousand_pools_a_step) {
  constexpr PeId kPools = 5000;
  World w(settings());
  const auto peer = w.up({"10.0.0.9"}, 9901, SctpService::enrp);
  enrp::Presence presence;
  presence.sender = 0x77;
  presence.checksum = 0x1234;
  w.send(peer, enrp::Message(presence));
  ASSERT_EQ(w.sent<enrp::HandleTableRequest>().size(), 1u);
  std::vector<rserpool::PoolHandle> handles;
  for (PeId id = 1; id <= kPools; ++id) handles.push_back("Pool" + std::to_string(id));
  size_t told = 0, most = 0;
  const auto count = [&](size_t now) {
    told += now;
    most = std::max(most, now);
  };
  for (PeId id = 1; id <= kPools;) {
    enrp::HandleTableResponse table{0x77, kOurId, false, true, {}};
    for (int n = 0; n < 500; ++n, ++id) {
      table.entries.push_back({handles[id - 1], {pe_of(0x77, id)}});
    }
    table.more = id <= kPools;
    w.send(peer, enrp::Message(table));
    count(w.all<registrar::PoolChanged>().size());
  }
  for (int step = 0; step < 10 && told < kPools; ++step) {
    EXPECT_LE(w.registrar.next_deadline(), w.now) << "goes on at once";
    w.registrar.tick(w.now);
    w.collect();
    count(w.all<registrar::PoolChanged>().size());
  }
  EXPECT_EQ(told, kPools);
  EXPECT_LE(most, 2000u);
  EXPECT_EQ(w.registrar.element_count(), kPools);
}

}  // namespace
}  // namespace poolgate::test
