// SPDX-License-Identifier: BSD-3-Clause
// A restart with another number of workers: SNAT ports are shared out by it.
#include "tests/unit/workers_rig.h"

namespace poolgate::test {
namespace {

struct AtPe {
  unsigned pe, port;
  auto operator<=>(const AtPe&) const = default;
};

class WorkerCount : public ::testing::TestWithParam<std::pair<unsigned, unsigned>> {
 protected:
  ~WorkerCount() override {
    for (unsigned w = 0; w < 4; ++w)
      for (const char* what : {"-sessions-", "-sessions-clients-"})
        unlink((base + what + std::to_string(w)).c_str());
    unlink((base + "-elements").c_str());
  }
  std::unique_ptr<WorkersRig> run(unsigned workers) const {
    auto w = std::make_unique<WorkersRig>(workers, rserpool::TransportType::tcp);
    pool::PoolTableOptions options;
    options.resolve = [](const IpAddress& a) { return pool::Route{a.data()[a.size() - 1], true}; };
    options.max_elements = 64;
    options.workers = workers;
    options.slot_file = base + "-elements";
    w->rig.pools.reset();
    w->rig.pools = std::move(*pool::PoolTable::create(options));
    w->session_files = base + "-sessions-";
    w->rig.redirector_options.snat_first_port = 2000;
    w->rig.redirector_options.snat_last_port = 2059;
    w->rig.service(config::Protocol::tcp, config::Mode::nat).snat = {ip("198.51.100.77")};
    w->rig.set_pool({{11, "10.0.0.11", 3868}, {12, "10.0.0.12", 3868}});
    w->start();
    return w;
  }
  static Flow client(unsigned n) {
    return {ip(("203.0.113." + std::to_string(n)).c_str()), ip("192.0.2.1"), static_cast<uint16_t>(40000 + n),
            3868};
  }
  static std::optional<AtPe> begin(WorkersRig& w, unsigned n) {
    const auto sent = w.send(0, tcp(client(n), kSyn, 1, 0));
    if (sent.size() != 1 || sent[0].frame.from() != ip("198.51.100.77")) return std::nullopt;
    return AtPe{pe_of(sent[0].frame), sent[0].frame.from_port()};
  }
  // The clients that hear what the PE says to the port, whichever worker it comes to.
  static std::set<IpAddress> heard_by(WorkersRig& w, unsigned workers, const AtPe& at) {
    std::set<IpAddress> who;
    const Flow back{ip(at.pe == 11 ? "10.0.0.11" : "10.0.0.12"), ip("198.51.100.77"), 3868,
                    static_cast<uint16_t>(at.port)};
    for (unsigned worker = 0; worker < workers; ++worker) {
      const auto sent = w.send(worker, tcp(back, kSyn | kAck, 9, 2));
      who.insert(sent.size() == 1 ? sent[0].frame.to() : IpAddress());
    }
    return who;
  }

  std::string base = "/dev/shm/poolgate-unit-count-" + std::to_string(getpid());
};

TEST_P(WorkerCount, keeps_the_snat_sessions_whose_port_is_still_their_workers_and_gives_none_out_twice) {
  const auto [before, after] = GetParam();
  std::map<unsigned, AtPe> at;
  {
    const auto w = run(before);
    for (unsigned n = 1; n <= 30; ++n) {
      const auto made = begin(*w, n);
      ASSERT_TRUE(made.has_value());
      at[n] = *made;
    }
  }
  const auto w = run(after);
  uint64_t lost = 0;
  for (const auto& worker : w->workers) lost += worker->session_stats().snat_lost;
  std::map<AtPe, unsigned> live;
  unsigned gone = 0;
  for (const auto& [n, where] : at) {
    const unsigned owner = where.port % before;
    if (owner >= after) continue;  // of a worker that is no more
    const bool kept = where.port % after == owner;
    gone += !kept;
    if (kept) live[where] = n;
    EXPECT_EQ(heard_by(*w, after, where), std::set<IpAddress>{kept ? client(n).from : IpAddress()}) << n;
  }
  EXPECT_EQ(lost, gone);
  EXPECT_EQ(w->sessions(), live.size());
  EXPECT_EQ(gone == 0, before == after);
  EXPECT_GT(live.size(), 0u);
  // As many newcomers as there is room for: nobody's port is another's.
  for (unsigned n = 101; n <= 240; ++n) {
    const auto made = begin(*w, n);
    if (!made) continue;
    EXPECT_TRUE(live.emplace(*made, n).second) << n << " has " << live[*made] << "'s";
  }
  EXPECT_GT(live.size(), 90u);
  for (const auto& [where, n] : live)
    EXPECT_EQ(heard_by(*w, after, where), std::set<IpAddress>{client(n).from}) << n;
}

INSTANTIATE_TEST_SUITE_P(FromTo, WorkerCount,
                         ::testing::Values(std::pair{2u, 2u}, std::pair{2u, 3u}, std::pair{3u, 2u},
                                           std::pair{1u, 3u}),
                         [](const auto& i) {
                           return std::to_string(i.param.first) + "_to_" + std::to_string(i.param.second);
                         });

}  // namespace
}  // namespace poolgate::test
