// SPDX-License-Identifier: BSD-3-Clause
// Changing anything of a running appliance loses no packet of a flow that the change does not concern: each
// change is frozen at every step that other threads can see, and every flow sends at each of them.
#include "tests/unit/workers_rig.h"

namespace poolgate::test {
namespace {

using redirect::DropReason;
using rserpool::TransportType;

constexpr unsigned kFlows = 48, kWorkers = 2;

// Two services with a pool each, and established associations of both, at home with either worker.
class LiveChange : public ::testing::Test {
 protected:
  LiveChange() : w(kWorkers) {}

  void SetUp() override {
    w.rig.policy = rserpool::PolicyType::weighted_round_robin;
    w.rig.service().name = "a";
    auto& b = w.rig.service();
    b.name = "b";
    b.port = 5000;
    b.pool = "other";
    w.rig.set_pool({{11, "10.0.0.11", 3868}, {12, "10.0.0.12", 3868}, {13, "10.0.0.13", 3868}});
    w.rig.set_pool({{21, "10.0.0.21", 5000}, {22, "10.0.0.22", 5000}}, "other");
    w.start();
    for (unsigned n = 0; n < kFlows; ++n) {
      flows.push_back({ip(("203.0.113." + std::to_string(n + 1)).c_str()), ip("192.0.2.1"),
                       static_cast<uint16_t>(40000 + n), static_cast<uint16_t>(n % 2 == 0 ? 3868 : 5000)});
      const auto sent = w.send(n % kWorkers, sctp(flows[n], 0, init_chunk(100 + n)));
      ASSERT_EQ(sent.size(), 1u);
      pes.push_back(pe_of(sent[0].frame));
      ASSERT_EQ(w.send(0, sctp(flows[n], 1000 + n, cookie_echo())).size(), 1u);
    }
  }

  // Every flow sends, to either worker: one packet out each, to its PE. But those of `gone` (a PE).
  void all_go_on(const char* step, unsigned gone = 0) {
    SCOPED_TRACE(step);
    for (unsigned n = 0; n < kFlows; ++n) {
      if (pes[n] == gone) continue;
      for (unsigned at = 0; at < kWorkers; ++at) {
        const auto sent = w.send(at, sctp(flows[n], 1000 + n, data_chunk()));
        ASSERT_EQ(sent.size(), 1u) << "flow " << n;
        EXPECT_EQ(sent[0].frame.chunk_type(), 0) << "flow " << n;
        EXPECT_EQ(pe_of(sent[0].frame), pes[n]) << "flow " << n;
      }
    }
  }
  // Where new associations of service `a` go, by PE.
  std::map<unsigned, unsigned> newcomers(unsigned count) {
    std::map<unsigned, unsigned> by_pe;
    for (unsigned i = 0; i < count; ++i) {
      Flow f{ip("198.51.100.9"), ip("192.0.2.1"), static_cast<uint16_t>(1000 + next_port++), 3868};
      const auto sent = w.send(i % kWorkers, sctp(f, 0, init_chunk(7)));
      if (sent.size() == 1 && sent[0].frame.chunk_type() == 1) ++by_pe[pe_of(sent[0].frame)];
    }
    return by_pe;
  }

  struct Weighted {
    uint32_t id;
    const char* address;
    uint32_t weight;
  };
  channel::PoolChunk chunk_of(uint64_t transaction, const std::vector<Weighted>& elements) {
    channel::PoolChunk chunk;
    chunk.transaction = transaction;
    chunk.handle = "pool";
    chunk.policy = w.rig.policy;
    for (const auto& e : elements) {
      channel::PoolPe pe;
      pe.id = e.id;
      pe.registration = 1;
      pe.policy.type = w.rig.policy;
      pe.policy.weight = e.weight;
      pe.transport.type = TransportType::sctp;
      pe.transport.port = 3868;
      pe.transport.addresses = {ip(e.address)};
      chunk.elements.push_back(pe);
    }
    return chunk;
  }
  // A pool changed by a transaction, looked at at every step.
  void change_pool(const std::vector<Weighted>& elements, const std::set<unsigned>& before) {
    auto& pools = *w.rig.pools;
    const auto still = [&](const char* step) {
      all_go_on(step);
      for (const auto& [pe, n] : newcomers(12)) EXPECT_TRUE(before.contains(pe)) << step << " " << pe;
    };
    ASSERT_TRUE(pools.begin({77, false}).ok());
    still("begun");
    ASSERT_TRUE(pools.chunk(chunk_of(77, elements)).ok());
    still("half of it here");
    pools.abandon_transaction();
    still("abandoned");
    ASSERT_TRUE(pools.begin({78, false}).ok());
    ASSERT_TRUE(pools.chunk(chunk_of(78, elements)).ok());
    ASSERT_TRUE(pools.commit({78}, w.rig.now_us).ok());
    all_go_on("committed, perhaps not published");
    w.rig.tick(2000);
    // One worker sees it, the other sleeps.
    w.burst(0, {sctp(flows[0], 1000, data_chunk())});
    all_go_on("published");
    w.rig.tick(2000);
    all_go_on("the old one freed");
    EXPECT_EQ(w.dropped(), 0u);
  }

  WorkersRig w;
  std::vector<Flow> flows;
  std::vector<unsigned> pes;
  unsigned next_port = 0;
};

TEST_F(LiveChange, of_pes) {
  change_pool({{11, "10.0.0.11", 1}, {14, "10.0.0.14", 1}, {15, "10.0.0.15", 1}}, {11, 12, 13});
  std::set<unsigned> now;
  for (const auto& [pe, n] : newcomers(30)) now.insert(pe);
  EXPECT_EQ(now, (std::set<unsigned>{11, 14, 15}))
      << "a deregistered PE keeps its flows and gets no new ones";
}

TEST_F(LiveChange, of_weights) {
  change_pool({{11, "10.0.0.11", 8}, {12, "10.0.0.12", 1}, {13, "10.0.0.13", 1}}, {11, 12, 13});
  const auto shares = newcomers(100);
  EXPECT_EQ(shares.at(11), 80u);
  EXPECT_EQ(shares.at(12), 10u);
}

TEST_F(LiveChange, of_services) {
  // `b` goes, `c` comes, `a` gets other settings.
  auto config = w.rig.config;
  config.services[0].empty_pool = config::EmptyPool::drop;
  config.services[0].abort_rate = 1;
  config.services[1].name = "c";
  config.services[1].port = 6000;
  auto built =
      redirect::ServiceTable::build(config, w.rig.own, *w.rig.pools, w.rig.services.get(), w.rig.now_us);
  ASSERT_TRUE(built.ok());
  all_go_on("built, unseen");
  w.workers[0]->set_services(built->get());
  all_go_on("one worker has it");
  w.workers[1]->set_services(built->get());
  w.rig.services = std::move(*built);
  all_go_on("both have it, the old one is freed");
  EXPECT_EQ(w.dropped(), 0u) << "also of the service that is gone: its associations end in peace";
}

TEST_F(LiveChange, drain_of_a_service) {
  auto drained = w.rig.services->with_drain("a", true);
  w.workers[1]->set_services(drained.get());
  all_go_on("one worker has it");
  w.workers[0]->set_services(drained.get());
  w.rig.services = std::move(drained);
  all_go_on("both have it");
  EXPECT_TRUE(newcomers(10).empty());
  EXPECT_EQ(w.dropped(DropReason::service_blocked), 10u);
  EXPECT_EQ(w.dropped(), 10u);
}

TEST_F(LiveChange, drain_of_a_pe) {
  ASSERT_TRUE(w.rig.pools->set_pe("pool", 12, pool::OperatorState::drain, w.rig.now_us));
  all_go_on("set, not published");
  w.rig.tick(2000);
  w.burst(0, {sctp(flows[0], 1000, data_chunk())});
  all_go_on("one worker has seen it");
  EXPECT_FALSE(newcomers(20).contains(12));
  ASSERT_TRUE(w.rig.pools->set_pe("pool", 12, pool::OperatorState::up, w.rig.now_us));
  w.rig.tick(2000);
  all_go_on("up again");
  EXPECT_TRUE(newcomers(20).contains(12));
  EXPECT_EQ(w.dropped(), 0u);
}

TEST_F(LiveChange, block_of_a_pe_ends_its_flows_and_touches_no_other) {
  unsigned its = 0;
  for (const unsigned pe : pes) its += pe == 12;
  ASSERT_GT(its, 0u);
  ASSERT_TRUE(w.rig.pools->set_pe("pool", 12, pool::OperatorState::block, w.rig.now_us));
  // Worker 0 turns first; 1 has not looked.
  std::multiset<unsigned> told;
  const auto note = [&](const std::vector<Sent>& sent) {
    for (const auto& s : sent) {
      EXPECT_EQ(s.frame.chunk_type(), 6);
      told.insert(s.frame.to_port());
    }
  };
  note(w.burst(0, {}));
  for (unsigned n = 0; n < kFlows; ++n) {
    if (pes[n] == 12) continue;
    const auto sent = w.burst(w.home(flows[n]), {sctp(flows[n], 1000 + n, data_chunk())});
    unsigned data = 0;
    for (const auto& s : sent) {
      if (s.frame.chunk_type() == 0) {
        ++data;
        EXPECT_EQ(pe_of(s.frame), pes[n]);
      } else {
        note({s});
      }
    }
    ASSERT_EQ(data, 1u) << "flow " << n;
  }
  note(w.burst(1, {}));
  all_go_on("both have seen it", 12);
  EXPECT_EQ(told.size(), its);
  EXPECT_EQ(std::set<unsigned>(told.begin(), told.end()).size(), its) << "each is told once";
  EXPECT_EQ(w.dropped(), 0u);
}

}  // namespace
}  // namespace poolgate::test
