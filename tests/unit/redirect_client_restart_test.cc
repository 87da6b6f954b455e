// SPDX-License-Identifier: BSD-3-Clause
// A client that begins anew over an address of its association (RFC 9260 §5.2.2, §5.2.4): what its INIT names
// besides is learnt with the COOKIE ECHO, and not before. Every association here has another one's port and
// tag, so that no packet is found by its tag.
#include "dataplane/redirect/pending_inits.h"
#include "tests/unit/multihomed_client.h"
#include "tests/unit/two_pes.h"

namespace poolgate::test {
namespace {

using redirect::DropReason;

constexpr uint32_t kOldTp = 0x0a0b0c0d, kNewTp = 0xbeef, kOldTc = 0x01020304, kNewTc = 0x99;
constexpr uint16_t kPort = 41000;

Flow from(const char* address) { return {ip(address), ip("192.0.2.1"), kPort, 3868}; }
const Flow kClient = from("203.0.113.1"), kNew = from("203.0.113.9"), kOther = from("203.0.113.10");

Bytes init(const Flow& f, uint32_t tag, const std::vector<Flow>& named = {}) {
  Bytes addresses;
  for (const Flow& n : named) add(addresses, address_parameter(n.from));
  return sctp(f, 0, init_chunk(tag, addresses));
}

class ClientRestart : public ::testing::Test {
 protected:
  ClientRestart() : rig(two_pes::make()) {
    pe = associate(kClient, kOldTc, kOldTp);
    associate(from("203.0.113.2"), 1, kOldTp);
    associate(from("203.0.113.3"), 2, kNewTp);
  }
  unsigned associate(const Flow& f, uint32_t tc, uint32_t tp) {
    const unsigned to = pe_of(rig->send(init(f, tc)).at(0));
    rig->send(sctp(f, tp, cookie_echo()));
    return to;
  }
  // Where it goes; 0: its session is not known.
  unsigned data(const Flow& f, uint32_t tp) {
    const auto got = rig->send(sctp(f, tp, data_chunk()));
    return got.size() == 1 && got[0].chunk_type() == 0 ? pe_of(got[0]) : 0;
  }
  std::unique_ptr<Rig> rig;
  unsigned pe = 0;
};

TEST_F(ClientRestart, RFC_9260_5_2_4_addresses_of_its_INIT_are_learnt_with_its_COOKIE_ECHO) {
  EXPECT_EQ(pe_of(rig->send(init(kClient, kNewTc, {kClient, kNew})).at(0)), pe);
  EXPECT_EQ(data(kNew, kOldTp), 0u) << "an INIT alone teaches nothing";
  EXPECT_EQ(rig->dropped(DropReason::session_ambiguous), 1u);
  rig->send(sctp(kClient, kNewTp, cookie_echo()));
  EXPECT_EQ(data(kNew, kNewTp), pe);
  EXPECT_EQ(data(kClient, kNewTp), pe);
  EXPECT_EQ(data(kOther, kNewTp), 0u);
}

TEST_F(ClientRestart, of_two_INITs_the_one_that_its_tag_is_of_teaches) {
  rig->send(init(kClient, 0x98, {kOther}));
  rig->send(init(kClient, kNewTc, {kNew}));
  rig->send(sctp(kClient, kNewTp, cookie_echo()));
  EXPECT_EQ(data(kNew, kNewTp), pe);
  EXPECT_EQ(data(kOther, kNewTp), 0u);
}

TEST_F(ClientRestart, an_address_of_another_association_stays_its) {
  const Flow second = from("203.0.113.2");
  const unsigned its = pe == 11 ? 12 : 11;
  ASSERT_EQ(data(second, kOldTp), its);
  rig->send(init(kClient, kNewTc, {second, kNew}));
  rig->send(sctp(kClient, kNewTp, cookie_echo()));
  EXPECT_EQ(data(second, kOldTp), its);
  EXPECT_EQ(data(kNew, kNewTp), pe);
}

TEST_F(ClientRestart, of_the_old_association_nothing_is_taught_by_a_COOKIE_ECHO_that_comes_again) {
  rig->send(init(kClient, kNewTc, {kNew}));
  rig->send(sctp(kClient, kOldTp, cookie_echo()));
  EXPECT_EQ(data(kNew, kOldTp), 0u);
}

TEST_F(ClientRestart, at_another_PE_as_its_own_has_left_they_are_learnt_there) {
  const uint32_t other = pe == 11 ? 12 : 11;
  rig->set_pool({{other, ("10.0.0." + std::to_string(other)).c_str(), 3868}});
  rig->tick(100'000);
  EXPECT_EQ(pe_of(rig->send(init(kClient, kNewTc, {kNew})).at(0)), other);
  rig->send(sctp(kClient, kNewTp, cookie_echo()));
  EXPECT_EQ(data(kNew, kNewTp), other);
}

// More INITs than there is room for: such a restart is found by its tag, as before.
TEST_F(ClientRestart, RFC_9260_5_2_in_a_flood_of_INITs_associations_restart_all_the_same) {
  for (unsigned n = 20; n < 20 + 2 * redirect::PendingInits::kPlaces; ++n) {
    const auto address = "198.18." + std::to_string(n / 200) + "." + std::to_string(n % 200);
    associate(from(address.c_str()), n, 0x5000 + n);
  }
  rig->send(init(kClient, kNewTc, {kNew}));
  for (unsigned n = 20; n < 20 + 2 * redirect::PendingInits::kPlaces; ++n) {
    const auto address = "198.18." + std::to_string(n / 200) + "." + std::to_string(n % 200);
    rig->send(init(from(address.c_str()), 0x9000 + n, {kOther}));
  }
  rig->send(sctp(kClient, 0xabcd, cookie_echo()));
  EXPECT_EQ(data(kClient, 0xabcd), pe);
  EXPECT_EQ(data(kNew, 0xabcd), pe) << "by its tag, which nobody else has";
}

TEST(ClientRestartOfWorkers, its_new_address_is_known_where_it_is_at_home) {
  const auto w = workers::make(3);
  workers::Multihomed m = workers::multihomed(*w, 0, 1);
  Flow twin = m.first;
  twin.from = w->address_at(2, twin, "198.18.0.");
  const unsigned pe = only_pe(w->send(0, init(m.first, kOldTc)));
  w->send(0, sctp(m.first, kOldTp, cookie_echo()));
  w->send(2, init(twin, 5));
  w->send(2, sctp(twin, kNewTp, cookie_echo()));
  w->send(0, init(m.first, kNewTc, {m.first, m.second}));
  w->send(0, sctp(m.first, kNewTp, cookie_echo()));
  EXPECT_EQ(only_pe(w->send(1, sctp(m.second, kNewTp, data_chunk()))), pe);
  EXPECT_EQ(w->dropped(DropReason::session_ambiguous), 0u);
}

}  // namespace
}  // namespace poolgate::test
