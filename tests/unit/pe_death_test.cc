// SPDX-License-Identifier: BSD-3-Clause
// A PE is found dead: who is told, with which tag, when, and who is not (DESIGN.md §5).
#include "tests/unit/redirect_rig.h"

namespace poolgate::test {
namespace {

using redirect::DropReason;
using rserpool::TransportType;

Flow client(unsigned n) {
  return {ip(("203.0.113." + std::to_string(n)).c_str()), ip("192.0.2.1"), static_cast<uint16_t>(40000 + n),
          3868};
}

constexpr uint8_t kAbort = 6;

class PeDeath : public ::testing::Test {
 protected:
  config::Service& describe(config::Protocol protocol = config::Protocol::sctp) {
    rig = std::make_unique<Rig>(protocol == config::Protocol::sctp  ? TransportType::sctp
                                : protocol == config::Protocol::tcp ? TransportType::tcp
                                                                    : TransportType::udp);
    return rig->service(protocol);
  }
  void begin(const std::vector<PeSpec>& pes = {{11, "10.0.0.11", 3868}, {12, "10.0.0.12", 3868}}) {
    rig->set_pool(pes);
    rig->start();
  }
  uint32_t tag(unsigned n) const { return 0xa000 + n; }
  unsigned associate(unsigned n) {
    const unsigned pe = pe_of(rig->send(sctp(client(n), 0, init_chunk(0xc000 + n))).at(0));
    rig->send(sctp(client(n), tag(n), cookie_echo()));
    return pe;
  }
  std::unique_ptr<Rig> rig;
};

TEST_F(PeDeath, RFC_9260_8_5_1_the_abort_has_the_tag_that_the_client_sends_with_and_the_T_bit) {
  describe();
  begin();
  std::set<unsigned> lost;
  for (unsigned n = 1; n <= 6; ++n) {
    if (associate(n) == 11) lost.insert(n);
  }
  rig->pe_down(11);
  // The next burst, with or without packets, tells them all.
  const auto aborts = rig->burst({});
  std::set<unsigned> told;
  for (const auto& f : aborts) {
    EXPECT_EQ(f.chunk_type(), kAbort);
    EXPECT_EQ(f.chunk_flags(), 1);
    EXPECT_EQ(f.from(), ip("192.0.2.1"));
    EXPECT_EQ(f.from_port(), 3868u);
    EXPECT_EQ(f.port, 3u);
    EXPECT_EQ(f.destination_mac(), Bytes(kClientMac, kClientMac + 6));
    EXPECT_TRUE(f.checksums_right());
    const unsigned n = f.to_port() - 40000;
    EXPECT_EQ(f.tag(), tag(n));
    told.insert(n);
  }
  EXPECT_EQ(told, lost);
  EXPECT_EQ(aborts.size(), lost.size()) << "one each";
  EXPECT_EQ(rig->redirector->counters(0).aborted.load(), lost.size());
  EXPECT_TRUE(rig->pass_ms(100).empty()) << "and no second";
  // The next association goes to a live PE.
  for (const unsigned n : lost) EXPECT_EQ(associate(n), 12u);
}

TEST_F(PeDeath, an_association_that_is_not_established_is_aborted_with_the_clients_own_tag) {
  describe();
  begin({{11, "10.0.0.11", 3868}, {12, "10.0.0.12", 3868}});
  std::vector<unsigned> pes;
  for (unsigned n = 1; n <= 2; ++n)
    pes.push_back(pe_of(rig->send(sctp(client(n), 0, init_chunk(0xc000 + n))).at(0)));
  rig->pe_down(11);
  const auto aborts = rig->burst({});
  ASSERT_EQ(aborts.size(), 1u);
  const unsigned n = pes[0] == 11 ? 1 : 2;
  EXPECT_EQ(aborts[0].tag(), 0xc000 + n);
  EXPECT_EQ(aborts[0].chunk_flags(), 0);
}

TEST_F(PeDeath, the_rest_is_paced_but_who_sends_is_told_at_once) {
  describe().abort_rate = 1000;
  begin();
  std::vector<unsigned> lost;
  for (unsigned n = 1; n <= 240; ++n) {
    if (associate(n) == 11) lost.push_back(n);
  }
  ASSERT_EQ(lost.size(), 120u);
  rig->pe_down(11);
  const auto first = rig->burst({});
  EXPECT_EQ(first.size(), redirect::kMaxGenerated);
  std::set<unsigned> told;
  for (const auto& f : first) told.insert(f.to_port() - 40000);
  unsigned impatient = 0;
  for (const unsigned n : lost) {
    if (!told.contains(n)) impatient = n;
  }
  const auto at_once = rig->send(sctp(client(impatient), tag(impatient), data_chunk()));
  ASSERT_EQ(at_once.size(), 1u);
  EXPECT_EQ(at_once[0].chunk_type(), kAbort);
  EXPECT_EQ(at_once[0].tag(), tag(impatient));
  EXPECT_EQ(rig->dropped(DropReason::pe_dead), 1u);
  // 55 are left. At 1,000 a second: not in 10 ms (a tenth of a second's at most is saved up: none yet).
  rig->pass_ms(1);
  const auto soon = rig->pass_ms(20);
  EXPECT_LE(soon.size(), 22u);
  rig->pass_ms(200);
  EXPECT_EQ(rig->redirector->counters(0).aborted.load(), 120u);
  EXPECT_TRUE(rig->pass_ms(50).empty());
}

// Whoever knows a client's ports can send in its name. And what gets no answer tells nobody.
TEST_F(PeDeath, RFC_9260_8_5_1_a_packet_without_its_tag_or_without_an_answer_does_not_end_what_was_not_told) {
  Bytes bad = chunk(4, 0, Bytes(8));
  bad[3] = 200;  // longer than the packet
  const auto cut = [this](unsigned n) {
    Bytes frame = sctp(client(n), tag(n), data_chunk(std::string(64, 'x')));
    frame.resize(frame.size() - 32);
    set16(frame, 14 + 2, static_cast<unsigned>(frame.size()) - 14);
    set16(frame, 14 + 6, 0x2000);  // more fragments
    set16(frame, 14 + 10, 0);
    set16(frame, 14 + 10, internet_checksum(slice(frame, 14, 20)));
    return frame;
  };
  const std::vector<std::function<Bytes(unsigned)>> packets{
      [](unsigned n) { return sctp(client(n), 0x7777, data_chunk()); },
      [](unsigned n) { return sctp(client(n), 0x7777, chunk(kAbort, 0, {})); },
      [&](unsigned n) { return sctp(client(n), tag(n), bad); },
      cut,
  };
  for (const auto& packet : packets) {
    describe().abort_rate = 1000;
    begin();
    std::vector<unsigned> lost;
    for (unsigned n = 1; n <= 2 * (redirect::kMaxGenerated + 1); ++n) {
      if (associate(n) == 11) lost.push_back(n);
    }
    rig->pe_down(11);
    std::set<unsigned> told;
    for (const auto& f : rig->burst({})) told.insert(f.to_port() - 40000);
    std::erase_if(lost, [&](unsigned n) { return told.contains(n); });
    ASSERT_EQ(lost.size(), 1u);
    const uint64_t before = rig->redirector->session_stats().sessions;
    EXPECT_TRUE(rig->send(packet(lost[0])).empty());
    EXPECT_EQ(rig->dropped(DropReason::pe_dead), 1u);
    EXPECT_EQ(rig->redirector->session_stats().sessions, before);
    const auto late = rig->pass_ms(200);
    ASSERT_EQ(late.size(), 1u);
    EXPECT_EQ(late[0].chunk_type(), kAbort);
    EXPECT_EQ(late[0].tag(), tag(lost[0]));
    EXPECT_EQ(late[0].to_port(), client(lost[0]).from_port);
  }
}

TEST_F(PeDeath, an_INIT_over_an_association_that_was_not_told_yet_goes_to_a_live_PE) {
  describe().abort_rate = 1;
  begin();
  std::vector<unsigned> lost;
  for (unsigned n = 1; n <= 2 * (redirect::kMaxGenerated + 1); ++n) {
    if (associate(n) == 11) lost.push_back(n);
  }
  rig->pe_down(11);
  for (const auto& f : rig->burst({})) std::erase(lost, f.to_port() - 40000u);
  ASSERT_EQ(lost.size(), 1u);
  EXPECT_EQ(pe_of(rig->send(sctp(client(lost[0]), 0, init_chunk(5))).at(0)), 12u);
}

TEST_F(PeDeath, a_tcp_client_gets_a_reset_with_the_sequence_that_it_expects) {
  describe(config::Protocol::tcp);
  begin();
  unsigned lost = 0;
  for (unsigned n = 1; n <= 2; ++n) {
    if (pe_of(rig->send(tcp(client(n), kSyn, 100, 0)).at(0)) == 11) lost = n;
    rig->send(tcp(client(n), kAck, 101, 5000));
    rig->send(tcp(client(n), kAck, 101, 7777, "request"));
  }
  rig->pe_down(11);
  const auto resets = rig->burst({});
  ASSERT_EQ(resets.size(), 1u);
  EXPECT_EQ(resets[0].to_port(), client(lost).from_port);
  EXPECT_EQ(resets[0].bytes[resets[0].l4() + 13], kRst);
  EXPECT_EQ(get32(resets[0].bytes, resets[0].l4() + 4), 7777u);
  EXPECT_TRUE(resets[0].checksums_right());
  // One that we have forgotten and that sends on gets its own acknowledgement back.
  const auto again = rig->send(tcp(client(lost), kAck, 108, 8888, "more"));
  ASSERT_EQ(again.size(), 1u);
  EXPECT_EQ(get32(again[0].bytes, again[0].l4() + 4), 8888u);
}

TEST_F(PeDeath, a_tcp_client_without_an_answer_to_its_syn_is_reset_by_its_acknowledgement) {
  describe(config::Protocol::tcp);
  begin();
  for (unsigned n = 1; n <= 2; ++n) rig->send(tcp(client(n), kSyn, 100, 0));
  rig->pe_down(11);
  const auto resets = rig->burst({});
  ASSERT_EQ(resets.size(), 1u);
  EXPECT_EQ(resets[0].bytes[resets[0].l4() + 13], kRst | kAck);
  EXPECT_EQ(get32(resets[0].bytes, resets[0].l4() + 8), 101u);
}

TEST_F(PeDeath, the_next_udp_datagram_chooses_again) {
  describe(config::Protocol::udp);
  begin();
  std::map<unsigned, unsigned> pes;
  for (unsigned n = 1; n <= 4; ++n) pes[n] = pe_of(rig->send(udp(client(n), "a")).at(0));
  rig->pe_down(11);
  EXPECT_TRUE(rig->burst({}).empty()) << "nobody to tell";
  for (unsigned n = 1; n <= 4; ++n) EXPECT_EQ(pe_of(rig->send(udp(client(n), "b")).at(0)), 12u);
  EXPECT_EQ(rig->redirector->session_stats().sessions, 4u);
}

TEST_F(PeDeath, the_down_bit_is_honoured_from_the_next_burst_on_before_any_new_generation) {
  describe(config::Protocol::udp);
  begin();
  rig->now_us += 1;
  ASSERT_TRUE(rig->pools->pe_down({"pool", 11, 1}, rig->now_us));
  for (unsigned n = 1; n <= 10; ++n) EXPECT_EQ(pe_of(rig->send(udp(client(n), "a")).at(0)), 12u);
}

TEST_F(PeDeath, only_a_newer_registration_clears_the_down_bit) {
  describe(config::Protocol::udp);
  begin();
  rig->pe_down(11);
  rig->set_pool({{11, "10.0.0.11", 3868, 1}, {12, "10.0.0.12", 3868, 1}});
  for (unsigned n = 1; n <= 4; ++n) EXPECT_EQ(pe_of(rig->send(udp(client(n), "a")).at(0)), 12u);
  rig->set_pool({{11, "10.0.0.11", 3868, 2}, {12, "10.0.0.12", 3868, 1}});
  std::set<unsigned> now;
  for (unsigned n = 11; n <= 14; ++n) now.insert(pe_of(rig->send(udp(client(n), "a")).at(0)));
  EXPECT_EQ(now, (std::set<unsigned>{11, 12}));
  EXPECT_FALSE(rig->pools->pe_down({"pool", 11, 1}, rig->now_us))
      << "the old registration's death is no news";
}

TEST_F(PeDeath, sessions_of_a_pe_that_died_and_registered_again_end_all_the_same) {
  describe();
  begin();
  unsigned lost = 0;
  for (unsigned n = 1; n <= 2; ++n) {
    if (associate(n) == 11) lost = n;
  }
  rig->pe_down(11);
  rig->set_pool({{11, "10.0.0.11", 3868, 2}, {12, "10.0.0.12", 3868, 1}});
  const auto aborts = rig->burst({});
  ASSERT_EQ(aborts.size(), 1u);
  EXPECT_EQ(aborts[0].tag(), tag(lost));
}

TEST_F(PeDeath, drain_and_hold_tell_nobody_and_keep_the_associations) {
  for (const auto rule : {config::OnPeDeath::drain, config::OnPeDeath::hold}) {
    describe().on_pe_death = rule;
    begin();
    std::map<unsigned, unsigned> pes;
    for (unsigned n = 1; n <= 4; ++n) pes[n] = associate(n);
    rig->pe_down(11);
    EXPECT_TRUE(rig->burst({}).empty());
    EXPECT_TRUE(rig->pass_ms(100).empty());
    for (unsigned n = 1; n <= 4; ++n)
      EXPECT_EQ(pe_of(rig->send(sctp(client(n), tag(n), data_chunk())).at(0)), pes[n]);
    EXPECT_EQ(pe_of(rig->send(sctp(client(9), 0, init_chunk(9))).at(0)), 12u);
  }
}

TEST_F(PeDeath, the_guard_holds_when_more_than_its_share_of_the_pool_dies_in_its_window) {
  describe().panic_share = 0.5;
  begin({{11, "10.0.0.11", 3868}, {12, "10.0.0.12", 3868}, {13, "10.0.0.13", 3868}, {14, "10.0.0.14", 3868}});
  for (unsigned n = 1; n <= 8; ++n) associate(n);
  rig->pe_down(11);
  rig->pe_down(12);
  EXPECT_EQ(rig->burst({}).size(), 4u);
  EXPECT_FALSE(rig->pools->guard_active("pool"));
  rig->pe_down(13);
  EXPECT_TRUE(rig->pools->guard_active("pool"));
  EXPECT_TRUE(rig->burst({}).empty());
  EXPECT_TRUE(rig->pass_ms(50).empty());
  EXPECT_EQ(rig->redirector->session_stats().sessions, 4u);
  for (unsigned n = 9; n <= 11; ++n) EXPECT_EQ(associate(n), 14u) << "new ones go to who is left";
}

TEST_F(PeDeath,
       the_alarm_lasts_as_long_as_the_guard_holds_sessions_whether_their_pes_come_back_or_leave_the_pool) {
  describe().panic_share = 0.5;
  begin();
  for (unsigned n = 1; n <= 4; ++n) associate(n);
  rig->pe_down(11);
  rig->burst({});
  rig->pe_down(12);
  EXPECT_TRUE(rig->burst({}).empty());
  EXPECT_EQ(rig->pools->panicking(), (std::vector<std::string>{"pool"}));
  // Its registration is newer: it is alive, and so are its associations.
  rig->set_pool({{12, "10.0.0.12", 3868, 2}});
  EXPECT_FALSE(rig->pools->guard_active("pool"));
  EXPECT_TRUE(rig->pools->panicking().empty());
  rig->pe_down(12, 2);
  rig->set_pool({});
  EXPECT_EQ(rig->redirector->session_stats().sessions, 2u);
  EXPECT_TRUE(rig->pools->guard_active("pool")) << "the pool is empty; what was held is held";
}

TEST_F(PeDeath, what_the_guard_holds_ends_when_the_operator_says_so) {
  describe().panic_share = 0.5;
  begin({{11, "10.0.0.11", 3868}, {12, "10.0.0.12", 3868}, {13, "10.0.0.13", 3868}});
  for (unsigned n = 1; n <= 6; ++n) associate(n);
  EXPECT_EQ(rig->pools->end_held("pool", rig->now_us), 0u) << "nothing is held";
  rig->pe_down(11);
  EXPECT_EQ(rig->burst({}).size(), 2u);
  rig->pe_down(12);
  rig->pe_down(13);
  EXPECT_TRUE(rig->burst({}).empty());
  rig->set_pool({{11, "10.0.0.11", 3868, 2}, {12, "10.0.0.12", 3868}});  // 13 has left
  EXPECT_EQ(rig->pools->end_held("pool", rig->now_us), 4u);
  EXPECT_EQ(rig->burst({}).size(), 4u) << "told as on_pe_death says";
  EXPECT_FALSE(rig->pools->guard_active("pool"));
  for (unsigned n = 3; n <= 6; ++n) EXPECT_EQ(associate(n), 11u);
  EXPECT_EQ(rig->pools->end_held("nobody", rig->now_us), 0u);
}

TEST_F(PeDeath, deaths_further_apart_than_the_window_are_no_panic) {
  describe().panic_window_ms = 1000;
  begin({{11, "10.0.0.11", 3868}, {12, "10.0.0.12", 3868}, {13, "10.0.0.13", 3868}});
  for (unsigned n = 1; n <= 3; ++n) associate(n);
  rig->pe_down(11);
  EXPECT_EQ(rig->burst({}).size(), 1u);
  rig->pass_ms(1100);
  rig->pe_down(12);
  EXPECT_EQ(rig->burst({}).size(), 1u);
  EXPECT_FALSE(rig->pools->guard_active("pool"));
}

TEST_F(PeDeath, the_guard_is_as_the_last_reload_says_also_where_that_is_less_strict) {
  describe().panic_share = 0.1;
  begin({{11, "10.0.0.11", 3868}, {12, "10.0.0.12", 3868}, {13, "10.0.0.13", 3868}, {14, "10.0.0.14", 3868}});
  for (unsigned n = 1; n <= 8; ++n) associate(n);
  const auto reload = [&] {
    auto built =
        redirect::ServiceTable::build(rig->config, rig->own, *rig->pools, rig->services.get(), rig->now_us);
    if (!built) return false;
    rig->redirector->set_services(built->get());
    rig->services = std::move(*built);
    return true;
  };
  rig->config.services[0].panic_share = 0.5;
  ASSERT_TRUE(reload());
  rig->pe_down(11);
  EXPECT_FALSE(rig->pools->guard_active("pool"));
  EXPECT_EQ(rig->burst({}).size(), 2u);
  // One that is refused changes nothing of it.
  const auto services = rig->config.services;
  rig->config.services[0].panic_share = 0.1;
  for (unsigned n = 0; n < redirect::kMaxServices; ++n) {
    auto& more = rig->config.services.emplace_back(services[0]);
    more.name = "more-" + std::to_string(n);
    more.port = static_cast<uint16_t>(10'000 + n);
  }
  ASSERT_FALSE(reload());
  rig->pe_down(12);
  EXPECT_FALSE(rig->pools->guard_active("pool"));
  EXPECT_EQ(rig->burst({}).size(), 2u);
  // And of several services the strictest one's.
  rig->config.services = services;
  rig->config.services.emplace_back(services[0]).name = "more-0";
  rig->config.services[1].port = 10'000;
  rig->config.services[1].panic_share = 0.6;
  rig->config.services[0].panic_share = 0.9;
  ASSERT_TRUE(reload());
  rig->pe_down(13);
  EXPECT_TRUE(rig->pools->guard_active("pool"));
}

TEST_F(PeDeath, the_registrars_loss_of_everything_aborts_nothing) {
  describe();
  begin({{11, "10.0.0.11", 3868}, {12, "10.0.0.12", 3868}, {13, "10.0.0.13", 3868}});
  for (unsigned n = 1; n <= 3; ++n) associate(n);
  rig->pools->set_registrar_guard(true);
  rig->pe_down(11);
  EXPECT_TRUE(rig->burst({}).empty());
  EXPECT_TRUE(rig->pools->guard_active("pool"));
}

TEST_F(PeDeath, a_pe_that_the_operator_blocks_is_as_if_dead) {
  describe();
  begin();
  for (unsigned n = 1; n <= 4; ++n) associate(n);
  ASSERT_TRUE(rig->pools->set_pe("pool", 11, pool::OperatorState::block, rig->now_us));
  EXPECT_EQ(rig->burst({}).size(), 2u);
  for (unsigned n = 11; n <= 14; ++n) EXPECT_EQ(associate(n), 12u);
  ASSERT_TRUE(rig->pools->set_pe("pool", 11, pool::OperatorState::up, rig->now_us));
  rig->tick(2000);
  std::set<unsigned> now;
  for (unsigned n = 21; n <= 24; ++n) now.insert(associate(n));
  EXPECT_EQ(now, (std::set<unsigned>{11, 12}));
}

}  // namespace
}  // namespace poolgate::test
