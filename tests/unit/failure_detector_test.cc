// SPDX-License-Identifier: BSD-3-Clause
// What the main lcore makes of the prober's findings: the down bit, the registrar, and the way back
// (DESIGN.md §4). The prober is the real one; PEs answer, or do not, as a test says.
#include "dataplane/worker/failure_detector.h"

#include <gmock/gmock.h>

#include <set>

#include "dataplane/probe/prober.h"
#include "tests/unit/redirect_rig.h"

namespace poolgate::test {
namespace {

using probe::Health;
using testing::ElementsAre;
using testing::HasSubstr;
using testing::IsEmpty;
using testing::SizeIs;

class FailureDetector : public ::testing::Test {
 protected:
  void begin(const std::vector<PeSpec>& pes, config::ProbeKind how = config::ProbeKind::sctp,
             rserpool::TransportType transport = rserpool::TransportType::sctp) {
    rig = std::make_unique<Rig>(transport);
    config::Service& service = rig->service();
    service.probe = {how, 100, 3};
    rig->set_pool(pes);
    rig->start();
    detector = std::make_unique<worker::FailureDetector>(
        *rig->pools, board, [this](channel::PeReport report) { reports.push_back(std::move(report)); });
    detector->configure(rig->config);
    for (const PeSpec& pe : pes) answering.insert(ip(pe.address));
    pass_ms(500);
  }
  // The first of them.
  void die_and_register_anew(std::vector<PeSpec> pes) {
    answering.erase(ip("10.0.0.11"));
    pass_ms(450);
    pes[0].registration = 2;
    rig->set_pool(pes);
  }
  void pass_ms(unsigned ms) {
    for (unsigned i = 0; i < ms; ++i) {
      rig->tick(1000);
      if (i % 50 == 0) detector->tick(rig->now_us);
      detector->run(rig->now_us);
      prober.take_changes();
      prober.advance(rig->now_us);
      probe::Probe probe;
      while (prober.next(probe)) {
        asked.insert(probe.target->address);
        if (answering.contains(probe.target->address))
          prober.answered(
              {probe.target->how, probe.target->address, probe.target->port, probe.token, refuse});
      }
      bfd.advance(rig->now_us);
      probe::BfdProber::Packet packet;
      while (bfd.next(packet)) asked.insert(packet.target->address);
      detector->run(rig->now_us);
    }
  }
  pool::PeView pe(uint32_t id) const {
    for (const auto& view : rig->pools->elements("pool"))
      if (view.id == id) return view;
    ADD_FAILURE() << "no element " << id;
    return {};
  }
  bool down(uint32_t id) const { return rig->pools->slots()[pe(id).v4.slot].down.load(); }
  uint16_t deaths(uint32_t id) const { return rig->pools->slots()[pe(id).v4.slot].deaths.load(); }
  std::vector<std::string> said(uint32_t id) const {
    std::vector<std::string> texts;
    for (const auto& r : reports)
      if (r.pe_id == id) texts.push_back(r.how);
    return texts;
  }

  std::unique_ptr<Rig> rig;
  probe::Board board{64};
  probe::BfdProber bfd{board, {5, 6}, 100'000};
  probe::Prober prober{board, {3, 4}, 100'000, &bfd};
  std::unique_ptr<worker::FailureDetector> detector;
  std::set<IpAddress> answering, asked;
  bool refuse = false;
  std::vector<channel::PeReport> reports;
};

const std::vector<PeSpec> kThree = {
    {11, "10.0.0.11", 3868}, {12, "10.0.0.12", 3868}, {13, "10.0.0.13", 3868}};

TEST_F(FailureDetector, DESIGN_4_a_silent_PE_has_its_down_bit_set_and_the_registrar_is_told_once) {
  begin(kThree);
  EXPECT_THAT(reports, IsEmpty());
  answering.erase(ip("10.0.0.11"));
  pass_ms(450);
  EXPECT_TRUE(down(11));
  EXPECT_TRUE(pe(11).found_dead);
  EXPECT_TRUE(pe(11).by_prober);
  EXPECT_FALSE(pe(11).held);
  EXPECT_EQ(deaths(11), 1u) << "its sessions end as those of every PE found dead";
  EXPECT_FALSE(down(12));
  ASSERT_THAT(reports, SizeIs(1));
  EXPECT_EQ(reports[0].handle, "pool");
  EXPECT_EQ(reports[0].pe_id, 11u);
  EXPECT_EQ(reports[0].registration, 1u);
  EXPECT_EQ(reports[0].how, "prober: 3 SCTP INITs to 10.0.0.11 were not answered");
  pass_ms(5000);
  EXPECT_THAT(reports, SizeIs(1));
  EXPECT_EQ(deaths(11), 1u);
}

TEST_F(FailureDetector, DESIGN_5_the_guard_holds_what_dies_all_at_once) {
  begin(kThree);
  answering.clear();
  pass_ms(450);
  for (const uint32_t id : {11u, 12u, 13u}) EXPECT_TRUE(down(id));
  EXPECT_TRUE(rig->pools->guard_active("pool"));
  EXPECT_EQ(deaths(11) + deaths(12) + deaths(13), 1u) << "the first is one of three; then it is ours";
}

TEST_F(FailureDetector, one_that_answers_again_is_up_when_the_registrar_says_so_too) {
  begin(kThree);
  answering.erase(ip("10.0.0.11"));
  pass_ms(450);
  answering.insert(ip("10.0.0.11"));
  pass_ms(450);
  EXPECT_TRUE(down(11)) << "the prober alone does not raise the dead";
  ASSERT_THAT(said(11), SizeIs(2));
  EXPECT_EQ(said(11)[1], "prober: it answers again");
  detector->alive({"pool", 11, 1}, rig->now_us);
  EXPECT_FALSE(down(11));
  EXPECT_FALSE(pe(11).found_dead);
  EXPECT_EQ(deaths(11), 1u);
  EXPECT_EQ(detector->counters().alive_again.get(), 1u);
  pass_ms(5000);
  EXPECT_THAT(said(11), SizeIs(2));
  // And dies again.
  answering.erase(ip("10.0.0.11"));
  pass_ms(450);
  EXPECT_TRUE(down(11));
  EXPECT_EQ(deaths(11), 2u);
}

TEST_F(FailureDetector, the_registrar_alone_does_not_raise_the_dead) {
  begin(kThree);
  answering.erase(ip("10.0.0.11"));
  pass_ms(450);
  detector->alive({"pool", 11, 1}, rig->now_us);
  EXPECT_TRUE(down(11));
  detector->alive({"pool", 99, 1}, rig->now_us);
  detector->alive({"nowhere", 11, 1}, rig->now_us);
}

TEST_F(FailureDetector, DESIGN_4_what_the_registrar_found_dead_only_a_newer_registration_raises) {
  begin(kThree);
  answering.erase(ip("10.0.0.11"));
  pass_ms(450);
  rig->pe_down(11);  // the registrar's own word
  answering.insert(ip("10.0.0.11"));
  pass_ms(450);
  detector->alive({"pool", 11, 1}, rig->now_us);
  EXPECT_TRUE(down(11));
  EXPECT_FALSE(pe(11).by_prober);
}

TEST_F(FailureDetector, the_question_is_repeated_each_second_until_the_registrar_answers) {
  begin(kThree);
  answering.erase(ip("10.0.0.11"));
  pass_ms(450);
  answering.insert(ip("10.0.0.11"));
  pass_ms(5450);
  EXPECT_GE(said(11).size(), 6u);
  EXPECT_LE(said(11).size(), 7u);
}

TEST_F(FailureDetector, DESIGN_4_a_newer_registration_is_up_at_once_and_asked_anew) {
  begin(kThree);
  die_and_register_anew(kThree);
  EXPECT_FALSE(down(11));
  answering.insert(ip("10.0.0.11"));
  pass_ms(1000);
  EXPECT_FALSE(down(11)) << "what the prober knew of it is of before";
  EXPECT_THAT(said(11), SizeIs(1));
  EXPECT_EQ(detector->view("pool", 11).health, Health::alive);
}

TEST_F(FailureDetector, one_that_registered_anew_and_is_silent_is_dead_again) {
  begin(kThree);
  die_and_register_anew(kThree);
  pass_ms(250);
  EXPECT_FALSE(down(11));
  pass_ms(450);
  EXPECT_TRUE(down(11));
  EXPECT_EQ(reports.back().registration, 2u);
}

TEST_F(FailureDetector, one_that_has_never_answered_is_reported_once_and_stays_up) {
  begin(kThree);
  auto four = kThree;
  four.push_back({14, "10.0.0.14", 3868});
  rig->set_pool(four);
  pass_ms(5000);
  EXPECT_FALSE(down(14));
  ASSERT_THAT(said(14), SizeIs(1));
  EXPECT_EQ(said(14)[0], "prober: 3 SCTP INITs to 10.0.0.14 were not answered, nor any before");
  EXPECT_EQ(detector->view("pool", 14).health, Health::silent);
}

TEST_F(FailureDetector, RFC_9260_8_4_one_that_refuses_every_INIT_is_reported_once_and_stays_up) {
  begin(kThree);
  refuse = true;
  pass_ms(3000);
  for (const uint32_t id : {11u, 12u, 13u}) {
    EXPECT_FALSE(down(id));
    ASSERT_THAT(said(id), SizeIs(1));
    EXPECT_THAT(said(id)[0], HasSubstr("answered by ABORT"));
    EXPECT_TRUE(detector->view("pool", id).refuses);
  }
}

TEST_F(FailureDetector, one_address_of_two_pools_is_asked_once_and_dies_in_both) {
  begin(kThree);
  config::Service& other = rig->service();
  other.pool = "other";
  other.port = 4000;
  other.probe = {config::ProbeKind::sctp, 100, 3};
  detector->configure(rig->config);
  rig->set_pool({{21, "10.0.0.11", 3868}, {22, "10.0.0.12", 3868}, {23, "10.0.0.23", 3868}}, "other");
  answering.insert(ip("10.0.0.23"));
  pass_ms(500);
  EXPECT_EQ(detector->targets(), 4u);
  answering.erase(ip("10.0.0.11"));
  pass_ms(450);
  EXPECT_TRUE(down(11));
  EXPECT_TRUE(rig->pools->elements("other").at(0).found_dead);
  EXPECT_THAT(reports, SizeIs(2));
}

TEST_F(FailureDetector, a_PE_that_left_or_whose_prober_is_off_is_asked_no_more) {
  begin(kThree);
  rig->set_pool({kThree[1], kThree[2]});
  pass_ms(300);
  asked.clear();
  pass_ms(1000);
  EXPECT_THAT(asked, ElementsAre(ip("10.0.0.12"), ip("10.0.0.13")));
  rig->config.services[0].probe.how = config::ProbeKind::off;
  detector->configure(rig->config);
  pass_ms(300);
  asked.clear();
  pass_ms(1000);
  EXPECT_THAT(asked, IsEmpty());
  EXPECT_EQ(detector->targets(), 0u);
}

TEST_F(FailureDetector, who_switches_the_prober_off_takes_its_verdicts_back) {
  begin(kThree);
  answering.erase(ip("10.0.0.11"));
  pass_ms(450);
  ASSERT_TRUE(down(11));
  rig->config.services[0].probe.how = config::ProbeKind::off;
  detector->configure(rig->config);
  pass_ms(300);
  EXPECT_FALSE(down(11));
}

TEST_F(FailureDetector, reports_leave_at_a_bounded_rate) {
  std::vector<PeSpec> many;  // of one address: they die together
  for (uint32_t id = 1; id <= 60; ++id) many.push_back({id, "10.0.0.11", 3868});
  begin(many);
  answering.clear();
  for (int i = 0; i < 500 && reports.empty(); ++i) pass_ms(1);
  EXPECT_EQ(detector->counters().dead.get(), 60u);
  EXPECT_EQ(reports.size(), 20u) << "a tenth of a second's at once";
  pass_ms(100);
  EXPECT_GE(reports.size(), 39u);
  EXPECT_LE(reports.size(), 41u);
  pass_ms(1000);
  EXPECT_EQ(reports.size(), 60u);
}

// ---- BFD

TEST_F(FailureDetector, BFD_asks_hosts_and_one_that_does_not_speak_it_stays_up) {
  begin({{11, "10.0.0.11", 3868}, {12, "10.0.0.11", 3869}, {13, "10.0.0.13", 3868}}, config::ProbeKind::bfd);
  pass_ms(5000);
  EXPECT_EQ(detector->targets(), 2u) << "RFC 5881 3: one session with a neighbour, whatever runs on it";
  EXPECT_EQ(bfd.sessions(), 2u);
  EXPECT_EQ(asked, (std::set<IpAddress>{ip("10.0.0.11"), ip("10.0.0.13")}));
  EXPECT_THAT(said(11), ElementsAre("prober: the BFD session with 10.0.0.11 has never come up"));
  EXPECT_EQ(said(12), said(11));
  EXPECT_FALSE(down(11));
  EXPECT_EQ(detector->view("pool", 11).how, config::ProbeKind::bfd);
}

TEST_F(FailureDetector, BFD_that_goes_down_is_a_death) {
  begin(kThree, config::ProbeKind::bfd);
  const probe::TargetIndex index = bfd.find({0, ip("10.0.0.12")});
  ASSERT_NE(index, probe::kNoTarget);
  probe::BfdControl word;
  word.detect_mult = 3;
  word.my_discriminator = 9;
  word.desired_min_tx_us = word.required_min_rx_us = 100'000;
  word.state = probe::BfdState::init;
  word.your_discriminator = bfd.session(index).discriminator();
  EXPECT_EQ(bfd.received(index, word), probe::BfdDiscard::none);
  pass_ms(200);
  EXPECT_FALSE(down(12));
  EXPECT_EQ(detector->view("pool", 12).health, probe::Health::alive);
  pass_ms(150);
  EXPECT_TRUE(down(12));
  EXPECT_THAT(said(12), ElementsAre("prober: the BFD session with 10.0.0.12 went down"));
}

// ---- what workers noticed

TEST_F(FailureDetector, what_a_worker_noticed_is_told_and_takes_no_PE_down) {
  begin(kThree, config::ProbeKind::off);
  redirect::Suspicion seen;
  seen.protocol = 132;
  seen.pe = pe(12).v4.slot;
  detector->suspect(seen, rig->now_us);
  detector->run(rig->now_us);
  ASSERT_THAT(reports, SizeIs(1));
  EXPECT_EQ(reports[0].pe_id, 12u);
  EXPECT_EQ(reports[0].how, "4 INITs of different clients, and it sent nothing");
  EXPECT_FALSE(down(12));
  seen.why = redirect::Suspicion::Why::unreachable;
  seen.code = 1;
  detector->suspect(seen, rig->now_us);
  detector->run(rig->now_us);
  EXPECT_THAT(reports, SizeIs(1)) << "of one PE once in a while";
  EXPECT_EQ(detector->counters().noticed_again.get(), 1u);
  pass_ms(5001);
  detector->suspect(seen, rig->now_us);
  detector->run(rig->now_us);
  ASSERT_THAT(reports, SizeIs(2));
  EXPECT_EQ(reports[1].how, "ICMP: destination unreachable, code 1");
}

TEST_F(FailureDetector, an_error_about_a_tunnel_names_its_PE_by_address) {
  begin(kThree, config::ProbeKind::off);
  redirect::Suspicion seen;
  seen.why = redirect::Suspicion::Why::tunnel_unreachable;
  seen.family = 4;
  std::memcpy(seen.address, ip("10.0.0.13").data(), 4);
  detector->suspect(seen, rig->now_us);
  detector->run(rig->now_us);
  ASSERT_THAT(reports, SizeIs(1));
  EXPECT_EQ(reports[0].pe_id, 13u);
  EXPECT_EQ(reports[0].how, "ICMP about its tunnel: destination unreachable, code 0");
  std::memcpy(seen.address, ip("10.0.0.99").data(), 4);
  detector->suspect(seen, rig->now_us);
  detector->run(rig->now_us);
  EXPECT_THAT(reports, SizeIs(1)) << "nobody's address";
}

// ICMP errors can be anybody's.
TEST_F(FailureDetector, a_flood_of_hearsay_keeps_no_silent_PE_from_being_told_of) {
  begin(kThree, config::ProbeKind::off);
  redirect::Suspicions ring;
  redirect::Suspicion junk;
  junk.why = redirect::Suspicion::Why::tunnel_unreachable;
  junk.family = 4;
  std::memcpy(junk.address, ip("10.0.0.99").data(), 4);
  for (int i = 0; i < 1000; ++i) ring.tell(junk, rig->now_us);
  redirect::Suspicion silent;
  silent.protocol = 132;
  silent.pe = pe(12).v4.slot;
  EXPECT_TRUE(ring.tell(silent, rig->now_us));
  for (redirect::Suspicion next; ring.next(next);) detector->suspect(next, rig->now_us);
  detector->run(rig->now_us);
  ASSERT_THAT(reports, SizeIs(1));
  EXPECT_EQ(reports[0].pe_id, 12u);
}

TEST_F(FailureDetector, a_flood_of_suspicions_is_bounded) {
  begin(kThree, config::ProbeKind::off);
  redirect::Suspicion seen;
  for (int i = 0; i < 1000; ++i) {
    seen.pe = pe(11 + static_cast<uint32_t>(i % 3)).v4.slot;
    detector->suspect(seen, rig->now_us);
  }
  detector->run(rig->now_us);
  EXPECT_LE(reports.size(), 3u);
  EXPECT_EQ(detector->counters().noticed.get(), 1000u);
  EXPECT_EQ(detector->counters().noticed_again.get(), 1000u - reports.size());
}

// ---- a PE that its home server deleted

class Deleted : public FailureDetector {
 protected:
  // An association with each PE, so that the slot of one that leaves is kept.
  void associate() {
    for (unsigned n = 1; n <= 9; ++n) {
      const Flow f{ip(("203.0.113." + std::to_string(n)).c_str()), ip("192.0.2.1"),
                   static_cast<uint16_t>(40000 + n), 3868};
      rig->send(sctp(f, 0, init_chunk(0xc000 + n)));
      rig->send(sctp(f, 0xa000 + n, cookie_echo()));
    }
    slot = pe(11).v4.slot;
    ASSERT_GT(rig->pools->slots().sessions(slot), 0u);
  }
  void leave() {
    detector->left({"pool", 11, 1}, rig->now_us);
    rig->set_pool({kThree[1], kThree[2]});
  }
  uint16_t deaths_of_slot() const { return rig->pools->slots()[slot].deaths.load(); }
  pool::PeSlotIndex slot = pool::kNoPeSlot;
};

TEST_F(Deleted, DESIGN_4_silent_is_dead_and_its_sessions_end) {
  begin(kThree);
  associate();
  answering.erase(ip("10.0.0.11"));
  leave();
  pass_ms(300);
  EXPECT_EQ(deaths_of_slot(), 0u) << "not before it is certain";
  pass_ms(300);
  EXPECT_EQ(deaths_of_slot(), 1u);
  EXPECT_EQ(detector->counters().left_dead.get(), 1u);
  EXPECT_THAT(reports, IsEmpty()) << "it is not in the registrar's pool any more";
  pass_ms(300);
  EXPECT_EQ(detector->targets(), 2u);
}

TEST_F(Deleted, DESIGN_4_answering_is_drained_and_its_sessions_go_on) {
  begin(kThree);
  associate();
  leave();
  pass_ms(1000);
  EXPECT_EQ(deaths_of_slot(), 0u);
  EXPECT_EQ(detector->counters().left_drained.get(), 1u);
  EXPECT_EQ(detector->targets(), 2u);
  // Drained, it may go whenever it likes: that is no death that concerns us.
  answering.erase(ip("10.0.0.11"));
  asked.clear();
  pass_ms(1000);
  EXPECT_FALSE(asked.contains(ip("10.0.0.11")));
  EXPECT_EQ(deaths_of_slot(), 0u);
}

TEST_F(Deleted, one_that_is_back_before_it_was_judged_is_left_alone) {
  begin(kThree);
  associate();
  answering.erase(ip("10.0.0.11"));
  leave();
  pass_ms(50);
  auto again = kThree;
  again[0].registration = 2;
  rig->set_pool(again);
  answering.insert(ip("10.0.0.11"));
  pass_ms(1000);
  EXPECT_EQ(deaths_of_slot(), 0u);
  EXPECT_FALSE(down(11));
}

TEST_F(Deleted, without_a_prober_it_is_drained) {
  begin(kThree, config::ProbeKind::off);
  associate();
  leave();
  pass_ms(1000);
  EXPECT_EQ(deaths_of_slot(), 0u);
  EXPECT_THAT(asked, IsEmpty());
}

}  // namespace
}  // namespace poolgate::test
