// SPDX-License-Identifier: BSD-3-Clause
// Rendezvous and affinity as clients see them: the same PE by every appliance that knows the pool, and by one
// appliance with or without a session.
#include <sys/wait.h>
#include <unistd.h>

#include <functional>

#include "tests/unit/redirect_rig.h"

namespace poolgate::test {
namespace {

using rserpool::TransportType;

constexpr unsigned kClients = 2000, kPes = 10;

Flow client(unsigned n) {
  return {
      ip(("203." + std::to_string(n % 7) + "." + std::to_string(n / 200) + "." + std::to_string(n % 200 + 1))
             .c_str()),
      ip("192.0.2.1"), static_cast<uint16_t>(20000 + n), 3868};
}

std::vector<PeSpec> pes(unsigned without = 0) {
  static std::vector<std::string> addresses;
  if (addresses.empty())
    for (unsigned i = 1; i <= kPes; ++i) addresses.push_back("10.0.0." + std::to_string(20 + i));
  std::vector<PeSpec> all;
  for (unsigned i = 1; i <= kPes; ++i) {
    if (i != without) all.push_back({i, addresses[i - 1].c_str(), 3868, i});
  }
  return all;
}

std::unique_ptr<Rig> appliance(const std::vector<PeSpec>& pool,
                               const std::function<void(Rig&)>& change = {}) {
  auto rig = std::make_unique<Rig>(TransportType::udp);
  rig->service(config::Protocol::udp).selection = config::Selection::rendezvous;
  if (change) change(*rig);
  rig->set_pool(pool);
  rig->start();
  return rig;
}

std::vector<uint8_t> choices(Rig& rig) {
  std::vector<uint8_t> chosen;
  for (unsigned n = 0; n < kClients; ++n)
    chosen.push_back(static_cast<uint8_t>(pe_of(rig.send(udp(client(n), "x")).at(0))));
  return chosen;
}

// What `work` finds in a process of its own, which starts from nothing.
std::vector<uint8_t> in_another_process(const std::function<std::vector<uint8_t>()>& work) {
  int pipe_fds[2];
  EXPECT_EQ(pipe(pipe_fds), 0);
  const pid_t child = fork();
  if (child == 0) {
    const auto found = work();
    const bool written = write(pipe_fds[1], found.data(), found.size()) == static_cast<ssize_t>(found.size());
    _exit(written ? 0 : 1);
  }
  close(pipe_fds[1]);
  std::vector<uint8_t> found(kClients + 1);
  size_t n = 0;
  for (ssize_t got; (got = read(pipe_fds[0], found.data() + n, found.size() - n)) > 0;)
    n += static_cast<size_t>(got);
  close(pipe_fds[0]);
  int status = 1;
  EXPECT_EQ(waitpid(child, &status, 0), child);
  EXPECT_EQ(status, 0);
  found.resize(n);
  return found;
}

// First of this file: the processes must be forked before this one has started DPDK.
TEST(AcrossProcesses, two_appliances_with_the_same_pool_choose_the_same_pe_for_the_same_client) {
  const auto one = in_another_process([] { return choices(*appliance(pes())); });
  const auto two = in_another_process([] {
    auto reversed = pes();
    std::reverse(reversed.begin(), reversed.end());
    // It has been up for longer, learnt the pool piece by piece, and its workers draw other numbers.
    const auto rig = appliance({reversed.begin(), reversed.begin() + 3}, [](Rig& r) {
      r.redirector_options.random_seed = 4711;
      r.now_us += 77'000'000;
    });
    rig->set_pool(reversed);
    return choices(*rig);
  });
  ASSERT_EQ(one.size(), kClients);
  EXPECT_EQ(one, two);
  EXPECT_EQ(std::set<uint8_t>(one.begin(), one.end()).size(), kPes);
}

TEST(Rendezvous, removal_of_one_of_n_pes_moves_its_flows_and_no_others) {
  const auto before = choices(*appliance(pes()));
  const unsigned gone = 4;
  const auto after = choices(*appliance(pes(gone)));
  unsigned moved = 0;
  for (unsigned n = 0; n < kClients; ++n) {
    if (before[n] == 20 + gone) {
      EXPECT_NE(after[n], 20 + gone);
      ++moved;
    } else {
      EXPECT_EQ(after[n], before[n]);
    }
  }
  // 200 expected; 5 standard deviations are 67.
  EXPECT_GT(moved, kClients / kPes - 70);
  EXPECT_LT(moved, kClients / kPes + 70);
}

TEST(Rendezvous, a_pe_found_dead_moves_the_same_flows_as_its_removal) {
  const auto rig = appliance(pes());
  rig->pe_down(4, 4);
  EXPECT_EQ(choices(*rig), choices(*appliance(pes(4))));
}

class Affinity : public ::testing::TestWithParam<config::Selection> {};

TEST_P(Affinity, every_flow_of_a_client_goes_to_one_pe_and_clients_are_spread) {
  const auto rig = appliance(pes(), [](Rig& r) {
    r.config.services[0].selection = GetParam();
    r.config.services[0].client_affinity = true;
  });
  std::set<unsigned> used;
  for (unsigned n = 0; n < 60; ++n) {
    Flow f = client(n);
    const unsigned pe = pe_of(rig->send(udp(f, "x")).at(0));
    used.insert(pe);
    for (unsigned port = 1; port <= 5; ++port) {
      f.from_port = static_cast<uint16_t>(port * 1000);
      EXPECT_EQ(pe_of(rig->send(udp(f, "x")).at(0)), pe);
    }
  }
  EXPECT_GE(used.size(), kPes - 1);
}

// With a full table there is no session to remember the PE; affinity holds all the same, and a COOKIE ECHO
// that comes when there is room again goes where its INIT went.
TEST_P(Affinity, holds_without_a_session) {
  Rig rig(TransportType::sctp);
  auto& service = rig.service(config::Protocol::sctp);
  service.selection = GetParam();
  service.client_affinity = true;
  rig.redirector_options.half_open_sessions = 0;
  rig.set_pool(pes());
  rig.start();
  for (unsigned n = 0; n < 40; ++n) {
    Flow f = client(n);
    const unsigned pe = pe_of(rig.send(sctp(f, 0, init_chunk(7))).at(0));
    EXPECT_EQ(pe_of(rig.send(sctp(f, 9, cookie_echo())).at(0)), pe);
    f.from_port = 7;
    EXPECT_EQ(pe_of(rig.send(sctp(f, 0, init_chunk(7))).at(0)), pe);
  }
  EXPECT_EQ(rig.redirector->session_stats().sessions, 0u);
  EXPECT_EQ(rig.redirector->counters(0).steered.load(), 120u);
}
INSTANTIATE_TEST_SUITE_P(With, Affinity,
                         ::testing::Values(config::Selection::policy, config::Selection::rendezvous),
                         [](const auto& i) {
                           return i.param == config::Selection::policy ? "policy" : "rendezvous";
                         });

}  // namespace
}  // namespace poolgate::test
