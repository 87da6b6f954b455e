// SPDX-License-Identifier: BSD-3-Clause
// The pool table: transactions, generations and when they are freed, PE slots and their lives.
#include <rte_malloc.h>
#include <rte_rcu_qsbr.h>
#include <unistd.h>

#include "tests/unit/redirect_rig.h"

namespace poolgate::test {
namespace {

using pool::Eligibility;
using pool::PoolTable;

const Eligibility kUdp{.transport = rserpool::TransportType::udp};

channel::PoolPe pe(uint32_t id, const char* address, uint32_t registration = 1) {
  channel::PoolPe p;
  p.id = id;
  p.registration = registration;
  p.transport.type = rserpool::TransportType::udp;
  p.transport.port = 53;
  p.transport.addresses = {ip(address)};
  return p;
}

class PoolGeneration : public ::testing::Test {
 protected:
  PoolGeneration() { open(); }
  void open(rte_rcu_qsbr* qsbr = nullptr, const std::string& file = "", uint32_t slots = 64) {
    table.reset();
    pool::PoolTableOptions options;
    options.qsbr = qsbr;
    options.resolve = [this](const IpAddress& a) -> pool::Route {
      ++resolved;
      return {a.data()[3], true};
    };
    options.max_elements = slots;
    options.slot_file = file;
    options.workers = 2;
    auto made = PoolTable::create(options);
    ASSERT_TRUE(made.ok()) << made.error().text;
    table = std::move(*made);
  }
  void set(std::vector<channel::PoolPe> elements, uint64_t now) {
    const uint64_t t = ++transaction;
    ASSERT_TRUE(table->begin({t, false}).ok());
    ASSERT_TRUE(table->chunk({.transaction = t, .handle = "pool", .elements = std::move(elements)}).ok());
    ASSERT_TRUE(table->commit({t}, now).ok());
  }
  std::vector<uint32_t> ids() const {
    std::vector<uint32_t> v;
    for (const auto& c : cell->generation.load()->candidates) v.push_back(c.id);
    return v;
  }
  using Ids = std::vector<uint32_t>;

  std::unique_ptr<PoolTable> table;
  const pool::ViewCell* cell = nullptr;
  uint64_t transaction = 0;
  unsigned resolved = 0;
};

TEST_F(PoolGeneration, nothing_is_published_before_the_commit) {
  cell = table->view("pool", kUdp, 1);
  ASSERT_TRUE(table->begin({5, true}).ok());
  ASSERT_TRUE(table->chunk({.transaction = 5, .handle = "pool", .elements = {pe(1, "10.0.0.1")}}).ok());
  table->tick(1'000'000);
  EXPECT_EQ(ids(), Ids{});
  ASSERT_TRUE(table->chunk({.transaction = 5, .handle = "pool", .elements = {pe(2, "10.0.0.2")}}).ok());
  ASSERT_TRUE(table->commit({5}, 2'000'000).ok());
  EXPECT_EQ(ids(), (Ids{1, 2})) << "chunks of one handle are one pool";
}

TEST_F(PoolGeneration, half_a_transaction_is_forgotten_whole) {
  cell = table->view("pool", kUdp, 1);
  set({pe(1, "10.0.0.1")}, 10'000);
  ASSERT_TRUE(table->begin({8, true}).ok());
  ASSERT_TRUE(table->chunk({.transaction = 8, .handle = "pool", .remove = true, .elements = {}}).ok());
  table->abandon_transaction();
  EXPECT_FALSE(table->commit({8}, 20'000).ok());
  EXPECT_EQ(ids(), Ids{1});
  EXPECT_FALSE(table->chunk({.transaction = 9, .handle = "pool", .elements = {}}).ok());
  ASSERT_TRUE(table->begin({10, false}).ok());
  EXPECT_FALSE(table->commit({11}, 20'000).ok()) << "another's commit";
  EXPECT_FALSE(table->commit({10}, 20'000).ok()) << "and the open one is gone with it";
}

TEST_F(PoolGeneration, a_full_transaction_removes_the_pools_that_it_does_not_name) {
  cell = table->view("pool", kUdp, 1);
  set({pe(1, "10.0.0.1")}, 10'000);
  ASSERT_TRUE(table->begin({50, true}).ok());
  ASSERT_TRUE(table->chunk({.transaction = 50, .handle = "other", .elements = {pe(9, "10.0.0.9")}}).ok());
  ASSERT_TRUE(table->commit({50}, 20'000).ok());
  EXPECT_EQ(ids(), Ids{});
  EXPECT_EQ(table->handles(), std::vector<std::string>{"other"});
}

TEST_F(PoolGeneration, the_first_change_goes_out_at_once_and_those_within_a_millisecond_together) {
  cell = table->view("pool", kUdp, 1'000);
  set({pe(1, "10.0.0.1")}, 100'000);
  EXPECT_EQ(ids(), Ids{1});
  const uint64_t published = table->generations_published();
  for (uint32_t n = 2; n <= 20; ++n) {
    std::vector<channel::PoolPe> elements;
    for (uint32_t i = 1; i <= n; ++i) elements.push_back(pe(i, "10.0.0.1"));
    set(elements, 100'000 + n);
    table->tick(100'000 + n);
  }
  EXPECT_EQ(table->generations_published(), published);
  table->tick(101'000);
  EXPECT_EQ(table->generations_published(), published + 1);
  EXPECT_EQ(ids().size(), 20u);
}

TEST_F(PoolGeneration, each_view_lists_whom_its_service_may_use) {
  const auto* on_53 = table->view("pool", {.transport = rserpool::TransportType::udp, .port = 53}, 1);
  const auto* on_54 = table->view("pool", {.transport = rserpool::TransportType::udp, .port = 54}, 1);
  const auto* v6 = table->view("pool", {.transport = rserpool::TransportType::udp, .family = 6}, 1);
  EXPECT_EQ(table->view("pool", {.transport = rserpool::TransportType::udp, .port = 53}, 1), on_53);
  auto both = pe(2, "10.0.0.2");
  both.transport.addresses.push_back(ip("fd00::2"));
  set({pe(1, "10.0.0.1"), both}, 10'000);
  EXPECT_EQ(on_53->generation.load()->candidates.size(), 2u);
  EXPECT_EQ(on_54->generation.load()->candidates.size(), 0u);
  ASSERT_EQ(v6->generation.load()->candidates.size(), 1u);
  EXPECT_NE(v6->generation.load()->candidates[0].slot, on_53->generation.load()->candidates[1].slot);
}

TEST_F(PoolGeneration, a_generation_lives_until_every_worker_has_been_quiescent) {
  mbuf_pool();
  auto* qsbr = static_cast<rte_rcu_qsbr*>(rte_zmalloc("qsbr", rte_rcu_qsbr_get_memsize(2), 64));
  ASSERT_EQ(rte_rcu_qsbr_init(qsbr, 2), 0);
  for (unsigned w = 0; w < 2; ++w) {
    rte_rcu_qsbr_thread_register(qsbr, w);
    rte_rcu_qsbr_thread_online(qsbr, w);
  }
  open(qsbr);
  cell = table->view("pool", kUdp, 1);
  set({pe(1, "10.0.0.1")}, 10'000);
  table->tick(10'001);
  EXPECT_EQ(table->generations_waiting(), 1u);
  rte_rcu_qsbr_quiescent(qsbr, 0);
  table->tick(10'002);
  EXPECT_EQ(table->generations_waiting(), 1u) << "the other worker may still read it";
  rte_rcu_qsbr_quiescent(qsbr, 1);
  table->tick(10'003);
  EXPECT_EQ(table->generations_waiting(), 0u);
  // A worker that sleeps holds nothing up.
  set({pe(2, "10.0.0.1")}, 20'000);
  rte_rcu_qsbr_thread_offline(qsbr, 0);
  rte_rcu_qsbr_quiescent(qsbr, 1);
  table->tick(20'001);
  EXPECT_EQ(table->generations_waiting(), 0u);
  table.reset();
  rte_free(qsbr);
}

TEST_F(PoolGeneration, the_slot_of_a_pe_stays_with_its_address_and_is_freed_after_its_last_session) {
  cell = table->view("pool", kUdp, 1);
  set({pe(1, "10.0.0.1")}, 10'000);
  const auto slot = cell->generation.load()->candidates[0].slot;
  set({pe(1, "10.0.0.1", 2)}, 20'000);
  EXPECT_EQ(cell->generation.load()->candidates[0].slot, slot) << "a re-registration";
  auto& line = table->slots().lines(1)[slot];
  line.sessions = 1;
  set({pe(1, "10.0.0.5", 3)}, 30'000);
  const auto moved = cell->generation.load()->candidates[0].slot;
  EXPECT_NE(moved, slot) << "another address";
  table->tick(40'000);
  EXPECT_EQ(table->slots()[slot].identity.address[3], 1) << "still in use";
  set({pe(1, "10.0.0.1", 4)}, 50'000);
  EXPECT_EQ(cell->generation.load()->candidates[0].slot, slot) << "back, and its old sessions with it";
  line.sessions = 0;
  set({}, 60'000);
  table->tick(70'000);
  EXPECT_EQ(table->slots()[slot].identity.family, 0);
  EXPECT_EQ(table->slots()[moved].identity.family, 0);
}

TEST_F(PoolGeneration, when_the_slots_run_out_a_pe_is_not_eligible_and_says_why) {
  open(nullptr, "", 2);
  cell = table->view("pool", kUdp, 1);
  set({pe(1, "10.0.0.1"), pe(2, "10.0.0.2"), pe(3, "10.0.0.3")}, 10'000);
  EXPECT_EQ(ids(), (Ids{1, 2}));
  EXPECT_EQ(ineligible_because(table->elements("pool")[2], kUdp), "no room in the table of elements");
  set({pe(3, "10.0.0.3")}, 20'000);
  table->tick(30'000);
  set({pe(3, "10.0.0.3")}, 40'000);
  EXPECT_EQ(ids(), Ids{3}) << "it got one when there was one";
}

TEST_F(PoolGeneration, a_change_of_routes_reaches_the_slots_without_a_new_one) {
  cell = table->view("pool", kUdp, 1);
  set({pe(1, "10.0.0.1")}, 10'000);
  const auto slot = cell->generation.load()->candidates[0].slot;
  EXPECT_EQ(table->slots()[slot].next_hop.load(), 1u);
  const uint64_t log = table->slots().head();
  table->routes_changed(20'000);
  EXPECT_EQ(cell->generation.load()->candidates[0].slot, slot);
  EXPECT_GT(table->slots().head(), log) << "workers are told";
}

TEST_F(PoolGeneration, slots_and_service_numbers_outlive_the_process) {
  const std::string file = "/dev/shm/poolgate-unit-elements-" + std::to_string(getpid());
  open(nullptr, file);
  cell = table->view("pool", kUdp, 1);
  set({pe(1, "10.0.0.1"), pe(2, "10.0.0.2")}, 10'000);
  const auto slot = cell->generation.load()->candidates[1].slot;
  EXPECT_EQ(table->slots().service_number("dns"), 0);
  EXPECT_EQ(table->slots().service_number("diameter"), 1);
  ASSERT_TRUE(table->pe_down({"pool", 2, 1}, 20'000));
  const auto deaths = table->slots()[slot].deaths.load();

  open(nullptr, file);
  EXPECT_EQ(table->slots()[slot].identity.pe_id, 2u);
  EXPECT_EQ(table->slots()[slot].deaths.load(), deaths);
  EXPECT_EQ(table->slots()[slot].next_hop.load(), 2u) << "resolved anew";
  cell = table->view("pool", kUdp, 1);
  EXPECT_EQ(ids(), Ids{}) << "the registrar has not spoken yet";
  set({pe(2, "10.0.0.2", 2), pe(1, "10.0.0.1")}, 30'000);
  EXPECT_EQ(cell->generation.load()->candidates[1].slot, slot);
  EXPECT_EQ(table->slots().service_number("diameter"), 1);
  // One process at a time.
  pool::PoolTableOptions options;
  options.slot_file = file;
  options.max_elements = 64;
  EXPECT_FALSE(PoolTable::create(options).ok());
  table.reset();
  unlink(file.c_str());
}

TEST_F(PoolGeneration, rotation_goes_on_from_generation_to_generation) {
  Rig rig(rserpool::TransportType::udp);
  rig.service(config::Protocol::udp);
  const PeSpec a{11, "10.0.0.11", 3868}, b{12, "10.0.0.12", 3868}, c{13, "10.0.0.13", 3868};
  rig.set_pool({a, b, c});
  rig.start();
  uint16_t port = 1000;
  const auto next = [&] {
    return pe_of(rig.send(udp({ip("203.0.113.9"), ip("192.0.2.1"), ++port, 3868}, "a")).at(0));
  };
  const unsigned first = next(), second = next();
  PeSpec again = c;
  again.registration = 2;
  rig.set_pool({a, b, again});
  EXPECT_NE(next(), first);
  EXPECT_EQ(next(), first);
  EXPECT_EQ(next(), second);
}

// Whoever may register may name as many pools as there are numbers, one after the other.
TEST_F(PoolGeneration, pools_that_come_and_go_leave_nothing_but_those_that_a_service_asks_for) {
  cell = table->view("pool", kUdp, 1);
  uint64_t now = 10'000;
  const auto change = [&](const std::string& handle, std::vector<channel::PoolPe> elements) {
    const uint64_t t = ++transaction;
    const bool remove = elements.empty();
    ASSERT_TRUE(table->begin({t, false}).ok());
    ASSERT_TRUE(
        table->chunk({.transaction = t, .handle = handle, .remove = remove, .elements = std::move(elements)})
            .ok());
    ASSERT_TRUE(table->commit({t}, now).ok());
    table->tick(now += 1000);
  };
  for (unsigned n = 0; n < 1000; ++n) {
    const std::string handle = "pool-" + std::to_string(n);
    change(handle, {pe(n, "10.0.0.1")});
    change(handle, {});
    change("never-there-" + std::to_string(n), {});
  }
  change("pool", {});
  change("stays", {pe(1, "10.0.0.2")});
  table->tick(now += 1000);
  EXPECT_EQ(table->pools(), 2u);
  EXPECT_EQ(table->handles(), std::vector<std::string>{"stays"});
  // It may come back at once, and is as new.
  change("pool-7", {pe(7, "10.0.0.7")});
  EXPECT_EQ(table->elements("pool-7").size(), 1u);
  EXPECT_EQ(table->pools(), 3u);
}

// What died in it counts for the guard's window, and what the guard holds is held.
TEST_F(PoolGeneration, an_empty_pool_is_known_as_long_as_its_guard_has_something_to_know) {
  uint64_t now = 10'000;
  set({pe(1, "10.0.0.1"), pe(2, "10.0.0.2"), pe(3, "10.0.0.3")}, now);
  ASSERT_TRUE(table->pe_down({"pool", 1, 1}, now));
  set({}, now);
  table->tick(now += 4'900'000);
  EXPECT_EQ(table->pools(), 1u);
  table->tick(now += 200'000);
  EXPECT_EQ(table->pools(), 0u);
  set({pe(1, "10.0.0.1")}, now);
  ASSERT_TRUE(table->pe_down({"pool", 1, 1}, now));  // all of it: held
  const auto slot = table->elements("pool")[0].v4.slot;
  pool::add(table->slots().lines(0)[slot].sessions, 1);
  set({}, now);
  for (int i = 0; i < 10; ++i) {
    table->tick(now += 1'000'000);
    EXPECT_EQ(table->panicking(), std::vector<std::string>{"pool"});
  }
  EXPECT_EQ(table->end_held("pool", now), 1u);
  pool::add(table->slots().lines(0)[slot].sessions, UINT32_MAX);
  EXPECT_TRUE(table->panicking().empty());
  table->tick(now += 1'000'000);
  EXPECT_EQ(table->pools(), 0u);
}

}  // namespace
}  // namespace poolgate::test
