// SPDX-License-Identifier: BSD-3-Clause
// Floods of INITs and SYNs from random sources, and a table that is full: what is established goes on.
#include <time.h>

#include <deque>

#include "tests/unit/cookie_ack.h"
#include "tests/unit/redirect_rig.h"

namespace poolgate::test {
namespace {

using redirect::DropReason;
using rserpool::TransportType;

constexpr uint32_t kTp = 0x0a0b0c0d, kTc = 7;
constexpr unsigned kEstablished = 100, kQuota = 500;

uint64_t cpu_ns() {
  timespec now{};
  clock_gettime(CLOCK_THREAD_CPUTIME_ID, &now);
  return static_cast<uint64_t>(now.tv_sec) * 1'000'000'000 + static_cast<uint64_t>(now.tv_nsec);
}

struct Case {
  const char* name;
  config::Protocol protocol;
  config::Mode mode;
  unsigned addresses;  // in each INIT
};

class Flood : public ::testing::TestWithParam<Case> {
 protected:
  static TransportType transport() {
    return GetParam().protocol == config::Protocol::tcp ? TransportType::tcp : TransportType::sctp;
  }
  Flood() : rig(transport()) {}
  void SetUp() override {
    auto& s = rig.service(GetParam().protocol, GetParam().mode);
    if (GetParam().mode == config::Mode::nat) s.snat = {ip("198.51.100.77")};
    rig.redirector_options.sessions = 8192;
    rig.redirector_options.half_open_sessions = kQuota;
    rig.set_pool({{11, "10.0.0.11", 3868}, {12, "10.0.0.12", 3868}});
    rig.start();
    for (unsigned n = 0; n < kEstablished; ++n) {
      for (const auto& f : {opening(client(n)), confirming(client(n))}) {
        const auto sent = rig.send(f);
        ASSERT_EQ(sent.size(), 1u);
        pes[n] = pe_of(sent[0]);
        if (GetParam().mode == config::Mode::nat && sent[0].protocol() == 132 && sent[0].chunk_type() == 10) {
          ASSERT_EQ(rig.send(cookie_ack(sent[0], kTc)).size(), 1u);
        }
      }
    }
    ASSERT_EQ(rig.redirector->session_stats().half_open, 0u);
  }

  static Flow client(unsigned n) {
    return {ip(("203.0.113." + std::to_string(n + 1)).c_str()), ip("192.0.2.1"),
            static_cast<uint16_t>(40000 + n), 3868};
  }
  Bytes opening(const Flow& f) {
    if (GetParam().protocol == config::Protocol::tcp) return tcp(f, kSyn, 1, 0);
    Bytes list;
    for (unsigned i = 0; i < GetParam().addresses; ++i) add(list, address_parameter(random_address()));
    return sctp(f, 0, init_chunk(kTc, list));
  }
  static Bytes confirming(const Flow& f) {
    return GetParam().protocol == config::Protocol::tcp ? tcp(f, kAck, 2, 9) : sctp(f, kTp, cookie_echo());
  }
  static Bytes established(const Flow& f) {
    return GetParam().protocol == config::Protocol::tcp ? tcp(f, kAck, 2, 9, "x")
                                                        : sctp(f, kTp, data_chunk());
  }
  uint32_t random() {
    seed = seed * 6364136223846793005 + 1442695040888963407;
    return static_cast<uint32_t>(seed >> 33);
  }
  IpAddress random_address() {
    const uint8_t a[4] = {static_cast<uint8_t>(11 + random() % 100), static_cast<uint8_t>(random()),
                          static_cast<uint8_t>(random()), static_cast<uint8_t>(1 + random() % 250)};
    return IpAddress::v4(a);
  }
  Bytes of_the_flood() {
    return opening({random_address(), ip("192.0.2.1"), static_cast<uint16_t>(1024 + random() % 60000), 3868});
  }
  void all_established_go_on() {
    for (unsigned n = 0; n < kEstablished; ++n) {
      const auto sent = rig.send(established(client(n)));
      ASSERT_EQ(sent.size(), 1u) << n;
      EXPECT_EQ(pe_of(sent[0]), pes[n]);
    }
  }

  // Of what an established client says: nothing of the flood looks like it.
  static bool is_of_established(const Frame& f) {
    const bool data = f.protocol() == 6 ? f.transport().size() > 20 : f.chunk_type() == 0;
    return data && slice(f.bytes, 0, 5) == Bytes{2, 0, 0, 0, 1} && (pe_of(f) == 11 || pe_of(f) == 12);
  }

  struct Took {
    uint64_t ns;              // of CPU, for parsing and redirecting
    uint64_t of_established;  // left for a PE
  };
  // One burst through the stage.
  Took run(const std::vector<Bytes>& frames) {
    std::vector<rte_mbuf*> mbufs;
    for (const auto& f : frames) mbufs.push_back(Rig::mbuf(f));
    const auto n = static_cast<unsigned>(mbufs.size());
    const uint64_t began = cpu_ns();
    rig.redirector->process(mbufs.data(), n, rig.now_us, rig.out);
    const uint64_t took = cpu_ns() - began;
    const auto sent = rig.collect();
    return {took, static_cast<uint64_t>(std::count_if(sent.begin(), sent.end(), is_of_established))};
  }

  Rig rig;
  std::map<unsigned, unsigned> pes;
  uint64_t seed = 1;
};

TEST_P(Flood, has_its_quota_and_takes_no_more_whatever_it_names) {
  constexpr unsigned kFlood = 20'000;
  for (unsigned i = 0; i < kFlood; ++i) {
    rig.send(of_the_flood());
    if (i % 4000 == 0) all_established_go_on();
  }
  all_established_go_on();
  const auto stats = rig.redirector->session_stats();
  EXPECT_LE(stats.half_open, kQuota);
  EXPECT_GT(stats.half_open, 0u);
  // 4 lines a session of the quota, and the last one's.
  EXPECT_LE(stats.used, 4 * kQuota + 32 + 2 * kEstablished * (1 + GetParam().addresses));
  const auto& counters = rig.redirector->counters(0);
  EXPECT_EQ(counters.new_sessions.load() + counters.steered.load() +
                rig.dropped(DropReason::half_open_quota) + rig.dropped(DropReason::nat_no_port),
            kFlood + kEstablished)
      << "each is counted";
  if (GetParam().mode == config::Mode::nat) {
    EXPECT_EQ(counters.steered.load(), 0u);
  }
  // It is over: the quota is free again, and the established are still there.
  for (unsigned second = 0; second < 20; ++second) {
    rig.pass_ms(1000);
    all_established_go_on();
  }
  EXPECT_EQ(rig.redirector->session_stats().half_open, 0u);
  EXPECT_EQ(rig.redirector->session_stats().sessions, kEstablished);
}

// A device with 1,024 descriptors, in memory. Time is this thread's CPU time, so that what else the machine
// does is not counted: packets arrive by it, whether or not they are polled.
TEST_P(Flood, that_takes_half_of_the_worker_costs_the_established_nothing) {
  constexpr unsigned kBurst = 32, kRing = 1024, kOffered = 3000;
  const auto burst_cost = [&](const std::vector<Bytes>& frames, unsigned bursts) {
    std::vector<uint64_t> costs;
    for (unsigned b = 0; b < bursts; ++b) {
      std::vector<Bytes> some;
      for (unsigned i = 0; i < kBurst; ++i) some.push_back(frames[(b * kBurst + i) % frames.size()]);
      costs.push_back(run(some).ns);
    }
    std::sort(costs.begin(), costs.end());
    return static_cast<double>(costs[costs.size() / 2]) / kBurst;
  };
  std::vector<Bytes> ours, theirs;
  for (unsigned n = 0; n < kEstablished; ++n) ours.push_back(established(client(n)));
  for (unsigned i = 0; i < 8192; ++i) theirs.push_back(of_the_flood());
  const double our_ns = burst_cost(ours, 200);
  burst_cost(theirs, 100);                          // until the quota is used up
  const double their_ns = burst_cost(theirs, 100);  // what one of the flood costs then
  const double our_interval = our_ns / 0.05, their_interval = their_ns / 0.5;

  struct Waiting {
    bool of_ours;
    unsigned which;
  };
  struct Counts {
    uint64_t offered = 0, lost = 0, forwarded = 0;
  };
  // A burst from the ring; how long it took.
  const auto poll = [&](std::deque<Waiting>& ring, uint64_t& forwarded) {
    std::vector<Bytes> burst;
    for (; !ring.empty() && burst.size() < kBurst; ring.pop_front())
      burst.push_back(ring.front().of_ours ? ours[ring.front().which] : theirs[ring.front().which]);
    const Took took = run(burst);
    forwarded += took.of_established;
    return static_cast<double>(took.ns);
  };
  const auto a_while = [&] {
    std::deque<Waiting> ring;
    Counts c;
    double our_next = 0, their_next = 0, now = 0;
    while (c.offered < kOffered) {
      while (our_next <= now || their_next <= now) {
        const bool mine = our_next <= their_next;
        (mine ? our_next : their_next) += mine ? our_interval : their_interval;
        c.offered += mine;
        if (ring.size() < kRing)
          ring.push_back({mine, mine ? static_cast<unsigned>(c.offered % kEstablished) : random() % 8192});
        else
          c.lost += mine;
      }
      now += ring.empty() ? 100 : poll(ring, c.forwarded);  // an empty poll takes time, too
    }
    while (!ring.empty()) poll(ring, c.forwarded);
    return c;
  };
  // The kernel's interrupts are counted to whom they interrupt: of three whiles one is without long ones.
  uint64_t least = UINT64_MAX;
  for (unsigned attempt = 0; attempt < 3 && least > 0; ++attempt) {
    const Counts c = a_while();
    EXPECT_EQ(c.forwarded + c.lost, c.offered);
    least = std::min(least, c.lost);
  }
  EXPECT_EQ(least, 0u);
  all_established_go_on();
}

INSTANTIATE_TEST_SUITE_P(Of, Flood,
                         ::testing::Values(Case{"init", config::Protocol::sctp, config::Mode::l2, 0},
                                           Case{"init_8_addresses", config::Protocol::sctp, config::Mode::l2,
                                                8},
                                           Case{"init_nat", config::Protocol::sctp, config::Mode::nat, 8},
                                           Case{"syn", config::Protocol::tcp, config::Mode::l2, 0},
                                           Case{"syn_nat", config::Protocol::tcp, config::Mode::nat, 0}),
                         [](const auto& i) { return std::string(i.param.name); });

// The table is full of established sessions: they go on, new ones are steered by rendezvous, each to one PE.
class FullTable : public ::testing::TestWithParam<config::Protocol> {};

TEST_P(FullTable, established_go_on_and_the_new_are_steered_and_counted) {
  const bool is_tcp = GetParam() == config::Protocol::tcp;
  Rig rig(is_tcp ? TransportType::tcp : TransportType::sctp);
  rig.service(GetParam());
  rig.redirector_options.sessions = 66;
  rig.set_pool({{11, "10.0.0.11", 3868}, {12, "10.0.0.12", 3868}, {13, "10.0.0.13", 3868}});
  rig.start();
  const auto flow = [](unsigned n) {
    return Flow{ip(("203.0.113." + std::to_string(n)).c_str()), ip("192.0.2.1"),
                static_cast<uint16_t>(40000 + n), 3868};
  };
  const auto packets = [&](unsigned n) {
    return is_tcp ? std::vector<Bytes>{tcp(flow(n), kSyn, 1, 0), tcp(flow(n), kAck, 2, 9),
                                       tcp(flow(n), kAck, 2, 9, "data")}
                  : std::vector<Bytes>{sctp(flow(n), 0, init_chunk(7)), sctp(flow(n), n, cookie_echo()),
                                       sctp(flow(n), n, data_chunk())};
  };
  std::map<unsigned, unsigned> pes;
  for (unsigned n = 1; n <= 100; ++n) {
    for (const auto& p : packets(n)) {
      const auto sent = rig.send(p);
      ASSERT_EQ(sent.size(), 1u) << n;
      if (pes.contains(n)) {
        EXPECT_EQ(pe_of(sent[0]), pes[n]) << n;
      }
      pes[n] = pe_of(sent[0]);
    }
  }
  EXPECT_EQ(rig.redirector->session_stats().sessions, 66u);
  const auto stats = rig.redirector->session_stats();
  EXPECT_EQ(stats.used, stats.capacity);
  for (unsigned n = 1; n <= 100; ++n) {
    const auto sent = rig.send(packets(n)[2]);
    ASSERT_EQ(sent.size(), 1u) << n;
    EXPECT_EQ(pe_of(sent[0]), pes[n]) << n;
  }
  EXPECT_GE(rig.redirector->counters(0).steered.load(), 34u * 2);
}
INSTANTIATE_TEST_SUITE_P(Of, FullTable, ::testing::Values(config::Protocol::sctp, config::Protocol::tcp),
                         [](const auto& i) { return std::string(config::to_string(i.param)); });

}  // namespace
}  // namespace poolgate::test
