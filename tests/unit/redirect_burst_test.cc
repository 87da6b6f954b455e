// SPDX-License-Identifier: BSD-3-Clause
// The short way of a burst says what the long way says: a packet is the same among many as alone.
#include "tests/unit/redirect_rig.h"

namespace poolgate::test {
namespace {

using redirect::DropReason;
using rserpool::TransportType;

constexpr uint32_t kTc = 77;

Flow client(unsigned n) {
  return {ip(("203.0.113." + std::to_string(n)).c_str()), ip("192.0.2.1"), static_cast<uint16_t>(40000 + n),
          3868};
}

class Burst : public ::testing::Test {
 protected:
  void SetUp() override {
    rig = std::make_unique<Rig>(TransportType::sctp);
    rig->service();
    rig->set_pool({{11, "10.0.0.11", 3868}, {12, "10.0.0.12", 3868}});
    rig->start();
  }
  static uint32_t tag(unsigned n) { return 0x1000 + n; }
  // By which router the client's packets come.
  static Bytes by(unsigned router, Bytes frame) {
    frame[11] = static_cast<uint8_t>(router);
    return frame;
  }
  unsigned associate(unsigned n, unsigned router = 1) {
    rig->send(by(router, sctp(client(n), 0, init_chunk(kTc))));
    const auto echo = rig->send(by(router, sctp(client(n), tag(n), cookie_echo())));
    return echo.size() == 1 ? pe_of(echo[0]) : 0;
  }
  std::unique_ptr<Rig> rig;
};

// RFC 9260 §3.3.4: 16 bytes without gaps.
Bytes sack_chunk() { return {3, 0, 0, 16, 0, 0, 0, 1, 0, 0, 0x10, 0, 0, 0, 0, 0}; }

TEST_F(Burst, of_every_size_leaves_each_packet_where_it_would_go_alone) {
  std::map<unsigned, unsigned> pes;
  for (unsigned n = 1; n <= 64; ++n) pes[n] = associate(n);
  for (unsigned size = 1; size <= redirect::kMaxBurst; ++size) {
    std::vector<Bytes> frames;
    for (unsigned i = 0; i < size; ++i) {
      const unsigned n = 1 + (7 * i + size) % 64;
      frames.push_back(sctp(client(n), tag(n), i % 2 ? data_chunk() : sack_chunk()));
    }
    const auto got = rig->burst(frames);
    ASSERT_EQ(got.size(), size);
    for (const auto& f : got) EXPECT_EQ(pe_of(f), pes[f.from_port() - 40000]) << size;
  }
}

TEST_F(Burst, new_flows_and_ends_among_established_ones_disturb_nobody) {
  std::map<unsigned, unsigned> pes;
  for (unsigned n = 1; n <= 30; ++n) pes[n] = associate(n);
  std::vector<Bytes> frames;
  for (unsigned n = 1; n <= 30; ++n) {
    frames.push_back(sctp(client(n), tag(n), data_chunk()));
    if (n % 3 == 0) frames.push_back(sctp(client(100 + n), 0, init_chunk(kTc)));
    if (n % 5 == 0) frames.push_back(sctp(client(n), tag(n), Bytes{6, 0, 0, 4}));
  }
  const auto got = rig->burst(frames);
  EXPECT_EQ(got.size(), frames.size());
  for (const auto& f : got) {
    const unsigned n = f.from_port() - 40000;
    EXPECT_TRUE(n > 100 || pe_of(f) == pes[n]) << n;
  }
}

TEST_F(Burst, a_packet_that_the_device_calls_damaged_is_dropped_of_an_established_flow_too) {
  associate(1);
  rte_mbuf* m = Rig::mbuf(sctp(client(1), tag(1), data_chunk()));
  m->ol_flags |= RTE_MBUF_F_RX_IP_CKSUM_BAD;
  rig->redirector->process(&m, 1, rig->now_us, rig->out);
  EXPECT_TRUE(rig->collect().empty());
  EXPECT_EQ(rig->dropped(DropReason::checksum), 1u);
}

TEST_F(Burst, clients_behind_two_routers_are_each_told_by_their_own) {
  std::vector<Bytes> frames;
  for (unsigned n = 1; n <= 20; ++n) associate(n, 1 + n % 2);
  for (unsigned n = 1; n <= 20; ++n) frames.push_back(by(1 + n % 2, sctp(client(n), tag(n), data_chunk())));
  EXPECT_EQ(rig->burst(frames).size(), 20u);
  // Half of each router's clients come by the other one, a second later.
  rig->tick(1'100'000);
  frames.clear();
  const auto router_of = [](unsigned n) { return 1 + (n % 4 < 2 ? n % 2 : (n + 1) % 2); };
  for (unsigned n = 1; n <= 20; ++n)
    frames.push_back(by(router_of(n), sctp(client(n), tag(n), data_chunk())));
  EXPECT_EQ(rig->burst(frames).size(), 20u);
  rig->pe_down(11);
  unsigned told = 0;
  for (const auto& f : rig->burst({})) {
    EXPECT_EQ(f.destination_mac()[5], router_of(f.to_port() - 40000)) << f.to_port();
    ++told;
  }
  EXPECT_EQ(told, 10u);
}

TEST_F(Burst, without_services_everything_is_the_kernels) {
  associate(1);
  rig->redirector->set_services(nullptr);
  const std::vector<Bytes> frames = {sctp(client(1), tag(1), data_chunk()),
                                     sctp(client(2), 0, init_chunk(kTc))};
  EXPECT_TRUE(rig->burst(frames).empty());
  EXPECT_EQ(rig->exceptions.size(), 2u);
}

}  // namespace
}  // namespace poolgate::test
