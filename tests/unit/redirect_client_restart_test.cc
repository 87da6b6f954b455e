// SPDX-License-Identifier: BSD-3-Clause
// A client that begins anew over an address of its association (RFC 9260 §5.2.2, §5.2.4): what its INIT names
// besides is learnt with the COOKIE ECHO, and not before. Every association here has another one's port and
// tag, so that no packet is found by its tag.
#include "dataplane/redirect/pending_inits.h"
#include "dataplane/redirect/replaced_tags.h"
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

class RestartedElsewhere : public ::testing::Test {
 protected:
  RestartedElsewhere() : rig(two_pes::make()) {
    rig->config.services[0].abort_rate = 1000;
    pe = pe_of(rig->send(init(kClient, kOldTc, {kClient, kOther})).at(0));
    rig->send(sctp(kClient, kOldTp, cookie_echo()));
  }
  // Where it goes; 0: it is refused.
  unsigned data(const Flow& f, uint32_t tp) {
    const auto got = rig->send(sctp(f, tp, data_chunk()));
    return got.size() == 1 && got[0].chunk_type() == 0 ? pe_of(got[0]) : 0;
  }
  void restart(const std::vector<Flow>& named, const Flow& from = kClient) {
    rig->send(init(from, kNewTc, named));
    rig->send(sctp(from, kNewTp, cookie_echo()));
  }
  void end_of_dispute() { rig->pass_ms(redirect::ReplacedTags::kDisputeMs + 3000); }
  // Lines in use: the session's and its further keys'.
  uint64_t keys() const { return rig->redirector->session_stats().used; }
  std::unique_ptr<Rig> rig;
  unsigned pe = 0;
};

TEST_F(RestartedElsewhere, RFC_9260_5_2_4_an_address_that_its_INIT_does_not_list_is_its_no_more) {
  restart({kNew});
  EXPECT_EQ(keys(), 3u) << "which of the two goes on is not known yet";
  data(kClient, kNewTp);
  end_of_dispute();
  EXPECT_EQ(keys(), 2u);
  EXPECT_EQ(data(kNew, kNewTp), pe);
  EXPECT_EQ(data(kClient, kNewTp), pe);
  // Another client has it now: it is a choice of its own.
  const uint64_t before = rig->redirector->session_stats().sessions;
  rig->send(init(kOther, 7));
  EXPECT_EQ(rig->redirector->session_stats().sessions, before + 1);
}

TEST_F(RestartedElsewhere, nor_are_those_of_a_forged_INIT_once_the_client_goes_on) {
  restart({kNew});
  data(kClient, kOldTp);
  end_of_dispute();
  EXPECT_EQ(keys(), 2u);
  EXPECT_EQ(data(kOther, kOldTp), pe);
  EXPECT_EQ(data(kNew, 0x4444), 0u);
}

// Nobody knows the client's other address without its INIT: its tag is not the session's at the moment.
TEST_F(RestartedElsewhere, a_forged_restart_does_not_cut_off_the_clients_other_addresses) {
  restart({});
  EXPECT_EQ(data(kOther, kOldTp), pe) << "not an ABORT that its client believes";
  EXPECT_EQ(two_pes::only(*rig).tag_p, kOldTp);
  end_of_dispute();
  EXPECT_EQ(keys(), 2u);
}

TEST_F(RestartedElsewhere, the_key_by_which_its_COOKIE_ECHO_came_stays) {
  rig->send(init(kClient, kNewTc, {kNew}));
  rig->send(sctp(kOther, kNewTp, cookie_echo()));
  end_of_dispute();
  EXPECT_EQ(keys(), 3u);
}

TEST_F(RestartedElsewhere, the_sessions_own_key_stays_though_it_is_not_listed) {
  restart({kOther}, kOther);
  end_of_dispute();
  EXPECT_EQ(keys(), 2u);
  EXPECT_EQ(data(kClient, kNewTp), pe);
}

TEST_F(RestartedElsewhere, what_a_second_restart_lists_again_stays) {
  restart({kNew});
  rig->send(init(kClient, 0x55, {kOther}));
  rig->send(sctp(kClient, 0x5555, cookie_echo()));
  end_of_dispute();
  EXPECT_EQ(keys(), 2u);
  EXPECT_EQ(two_pes::only(*rig).tag_p, 0x5555u);
  rig->send(init(kNew, 7));
  EXPECT_EQ(rig->redirector->session_stats().sessions, 2u);
}

TEST_F(RestartedElsewhere, of_IPv6_too) {
  const auto v6 = [](const char* address) { return Flow{ip(address), ip("2001:db8::1"), kPort, 3868}; };
  rig->set_pool({{21, "fd00::15", 3868}});
  const Flow first = v6("2001:db8:c::1"), second = v6("2001:db8:c::2"), third = v6("2001:db8:c::3");
  rig->send(init(first, 1, {second}));
  rig->send(sctp(first, 2, cookie_echo()));
  rig->send(init(first, 3, {third}));
  rig->send(sctp(first, 4, cookie_echo()));
  end_of_dispute();
  EXPECT_EQ(data(third, 4), 21u);
  EXPECT_EQ(data(first, 4), 21u);
  rig->send(init(second, 7));
  EXPECT_EQ(rig->redirector->session_stats().sessions, 3u);
}

// As many addresses as it may have, and as many others: none is kept out.
TEST_F(RestartedElsewhere, those_that_it_had_keep_no_new_one_out) {
  const auto many = [](unsigned first) {
    std::vector<Flow> flows;
    for (unsigned n = first; n < first + 7; ++n)
      flows.push_back(from(("203.0.113." + std::to_string(n)).c_str()));
    return flows;
  };
  uint32_t tag = 0x100;
  for (unsigned first = 20; first < 200; first += 7, ++tag) {
    rig->send(init(kClient, tag, many(first)));
    rig->send(sctp(kClient, 0x7000 + tag, cookie_echo()));
    end_of_dispute();
    EXPECT_EQ(keys(), 8u);
  }
  for (const Flow& f : many(20)) EXPECT_EQ(data(f, 0x4444), 0u);
  // In one dispute: bounded.
  for (unsigned first = 20; first < 200; first += 7, ++tag) {
    rig->send(init(kClient, tag, many(first)));
    rig->send(sctp(kClient, 0x7000 + tag, cookie_echo()));
    EXPECT_LE(keys(), 31u);
  }
  end_of_dispute();
  EXPECT_LE(keys(), 8u);
}

// More INITs than there is room for: such a restart is found by its tag, as before.
TEST_F(ClientRestart, RFC_9260_5_2_in_a_flood_of_INITs_associations_restart_all_the_same) {
  constexpr unsigned kFlood = 512;  // twice as many as a small table has places for
  for (unsigned n = 20; n < 20 + kFlood; ++n) {
    const auto address = "198.18." + std::to_string(n / 200) + "." + std::to_string(n % 200);
    associate(from(address.c_str()), n, 0x5000 + n);
  }
  rig->send(init(kClient, kNewTc, {kNew}));
  for (unsigned n = 20; n < 20 + kFlood; ++n) {
    const auto address = "198.18." + std::to_string(n / 200) + "." + std::to_string(n % 200);
    rig->send(init(from(address.c_str()), 0x9000 + n, {kOther}));
  }
  rig->send(sctp(kClient, 0xabcd, cookie_echo()));
  EXPECT_EQ(data(kClient, 0xabcd), pe);
  EXPECT_EQ(data(kNew, 0xabcd), pe) << "by its tag, which nobody else has";
}

TEST(ClientRestartOfWorkers, an_address_that_it_has_no_more_is_forgotten_where_it_is_at_home) {
  const auto w = workers::make(3);
  const workers::Multihomed m = workers::multihomed(*w, 0, 1);
  w->send(0, init(m.first, kOldTc, {m.first, m.second}));
  w->send(0, sctp(m.first, kOldTp, cookie_echo()));
  EXPECT_EQ(w->workers[1]->session_stats().used, 1u);
  w->send(0, init(m.first, kNewTc, {m.first}));
  w->send(0, sctp(m.first, kNewTp, cookie_echo()));
  w->send(0, sctp(m.first, kNewTp, data_chunk()));
  w->pass_ms(redirect::ReplacedTags::kDisputeMs + 3000);
  EXPECT_EQ(w->workers[0]->session_stats().used, 1u);
  EXPECT_EQ(w->workers[1]->session_stats().used, 0u);
  EXPECT_EQ(w->sessions(), 1u);
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
