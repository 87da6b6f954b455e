// SPDX-License-Identifier: BSD-3-Clause
// Where clients' packets come from: a table that whoever is on the link can fill with MAC addresses, and that
// must have room again afterwards.
#include "dataplane/redirect/client_hops.h"

#include <random>
#include <set>

#include "tests/unit/nat_association.h"

namespace poolgate::test {
namespace {

using redirect::ClientHop;
using redirect::ClientHops;
using namespace nat_association;

constexpr unsigned kAll = 65'535;

ClientHop hop(unsigned n) {
  ClientHop h;
  h.ether_addresses[0] = 2;
  std::memcpy(h.ether_addresses + 2, &n, sizeof n);
  return h;
}
std::unique_ptr<ClientHops> table(const std::string& path = "") { return std::move(*ClientHops::open(path)); }
// Walks in which nobody has any, and the looks that they take.
void walk(ClientHops& hops, unsigned walks = 1) {
  for (; walks > 0; --walks) hops.begin_walk();
}
void look_at_all(ClientHops& hops) {
  for (unsigned n = 0; n < 65'536 / 64; ++n) hops.free_unseen();
}

TEST(ClientHops, there_is_room_for_65535_of_which_each_has_its_number) {
  const auto hops = table();
  std::set<uint16_t> numbers;
  for (unsigned n = 1; n <= kAll; ++n) numbers.insert(hops->learn(hop(n)));
  EXPECT_EQ(numbers.size(), kAll);
  EXPECT_FALSE(numbers.contains(0));
  EXPECT_EQ(hops->learn(hop(kAll + 1)), 0u);
  EXPECT_EQ(hops->learn(hop(7)), hops->learn(hop(7)));
  EXPECT_EQ((*hops)[hops->learn(hop(7))], hop(7));
}

TEST(ClientHops, one_that_was_not_seen_in_a_whole_walk_is_free_again) {
  const auto hops = table();
  for (unsigned n = 1; n <= kAll; ++n) hops->learn(hop(n));
  const uint16_t kept = hops->learn(hop(77));
  walk(*hops);
  look_at_all(*hops);
  EXPECT_EQ(hops->used(), kAll) << "they may have been learnt behind where the walk was";
  hops->see(kept);
  walk(*hops);
  look_at_all(*hops);
  EXPECT_EQ(hops->used(), 1u);
  EXPECT_EQ((*hops)[kept], hop(77));
  EXPECT_EQ(hops->learn(hop(77)), kept);
  for (unsigned n = 100'001; n < 100'000 + kAll; ++n) ASSERT_NE(hops->learn(hop(n)), 0u) << n;
  EXPECT_EQ(hops->learn(hop(5)), 0u);
}

TEST(ClientHops, each_is_found_where_it_was_whatever_goes_and_comes) {
  const std::string file = "/dev/shm/poolgate-unit-hops-" + std::to_string(getpid());
  auto hops = table(file);
  std::mt19937 random(7);
  std::map<unsigned, uint16_t> known;
  for (unsigned round = 0; round < 20; ++round) {
    while (known.size() < 40'000) {
      const unsigned n = random() % 1'000'000 + 1;
      const uint16_t number = hops->learn(hop(n));
      ASSERT_NE(number, 0u);
      const auto [at, fresh] = known.emplace(n, number);
      ASSERT_EQ(at->second, number) << n;
    }
    walk(*hops);
    for (auto it = known.begin(); it != known.end();) {
      if (random() % 2 == 0) {
        it = known.erase(it);
      } else {
        hops->see(it->second);
        ++it;
      }
    }
    walk(*hops);
    look_at_all(*hops);
    ASSERT_EQ(hops->used(), known.size());
    if (round % 5 == 4) {  // another process's
      hops.reset();
      hops = table(file);
    }
    for (const auto& [n, number] : known)
      ASSERT_EQ(hops->learn(hop(n)), number) << n << " in round " << round;
    ASSERT_EQ(hops->used(), known.size());
  }
  unlink(file.c_str());
}

// ---- in a redirect stage

class HopsOfClients : public NatAssociation {
 protected:
  // Packets of as many hosts as there is room for, each with a MAC address of its own.
  void fill() {
    for (unsigned n = 0; n < kAll; ++n) {
      Bytes frame = udp({ip("203.0.113.66"), ip("192.0.2.9"), static_cast<uint16_t>(1 + n), 53}, "x");
      frame[6] ^= 4;  // not of the one under test
      frame[9] = static_cast<uint8_t>(n >> 16);
      frame[10] = static_cast<uint8_t>(n >> 8);
      frame[11] = static_cast<uint8_t>(n);
      rig.send(frame);
    }
  }
  // Whether the PE's packets reach the client.
  bool is_reached() {
    const auto got = rig.send(sctp({kP1, kC1, kPePort, kClientPort}, kTc, data_chunk()));
    return got.size() == 1 && kRouter.gets(got[0]);
  }
  void begin_all() {
    rig.redirector_options.sessions = 200'000;
    auto& flood = rig.service(config::Protocol::udp);
    flood.vips = {ip("192.0.2.9")};
    flood.port = 53;
    flood.pool = "names";
    flood.idle_timeout_s = 1;
    channel::PoolPe pe;
    pe.id = 31;
    pe.registration = 1;
    pe.transport = {.type = rserpool::TransportType::udp, .port = 53, .addresses = {ip("10.0.0.31")}};
    ASSERT_TRUE(rig.pools->begin({99, false}).ok());
    ASSERT_TRUE(rig.pools->chunk({.transaction = 99, .handle = "names", .elements = {pe}}).ok());
    ASSERT_TRUE(rig.pools->commit({99}, rig.now_us).ok());
    begin({kVip});
  }
};

TEST_F(HopsOfClients, that_filled_the_table_and_are_gone_leave_room_for_others) {
  begin_all();
  fill();
  from_client(kC1, kVip, 0, init_chunk(kTc));
  EXPECT_TRUE(rig.send(sctp({kP1, kC1, kPePort, kClientPort}, kTc, init_chunk(kTp, {}, 2))).empty())
      << "the test is one only if the table is full";
  rig.pass_ms(9000);
  establish({}, {}, kC1);
  EXPECT_TRUE(is_reached());
}

TEST_F(HopsOfClients, stay_as_long_as_their_session_though_it_is_silent) {
  begin_all();
  establish({}, {}, kC1);
  for (unsigned round = 0; round < 3; ++round) {
    fill();
    EXPECT_TRUE(is_reached());
    rig.pass_ms(9000);
    EXPECT_TRUE(is_reached());
  }
}

}  // namespace
}  // namespace poolgate::test
