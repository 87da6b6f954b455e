// SPDX-License-Identifier: BSD-3-Clause
// Keep-alives and unreachable reports: RFC 5352 §3.5 (conformance ASAP-3.5, 9.2-7, SEC-2.13, SEC-2.14,
// §12.10-12.12).
#include <gmock/gmock.h>

#include <set>

#include "tests/unit/registrar_world.h"

namespace poolgate::test {
namespace {

using registrar::PoolChanged;
using testing::ElementsAre;
using testing::IsEmpty;

asap::Message unreachable(PeId id) { return asap::EndpointUnreachable{"EchoPool", id}; }

TEST(Registrar, ASAP_3_5_1_an_unreachable_report_makes_a_keep_alive_at_once) {
  World w;
  const auto a = w.up("10.0.0.1");
  const auto pu = w.up("10.0.0.9");
  w.enroll(a, pe(1));
  w.now += 200 * kMs;
  w.send(pu, unreachable(1));
  const auto keep_alives = w.sent<asap::EndpointKeepAlive>();
  ASSERT_EQ(keep_alives.size(), 1u);
  EXPECT_FALSE(keep_alives[0].new_home) << "H=0";
  EXPECT_EQ(keep_alives[0].server, kOurId);
  EXPECT_EQ(keep_alives[0].handle, "EchoPool");
  EXPECT_EQ(keep_alives[0].pe_id, 1u) << "conformance 12.10: several PEs of one association are told apart";
  EXPECT_EQ(w.sent()[0].association, a);
  EXPECT_EQ(w.sent()[0].answers, 0u);
}

TEST(Registrar, ASAP_3_5_1_a_report_of_an_unknown_PE_does_nothing) {
  World w;
  w.send(w.up("10.0.0.9"), unreachable(1));
  EXPECT_THAT(w.sent(), IsEmpty());
}

TEST(Registrar, ASAP_3_5_2_a_keep_alive_that_is_not_answered_finds_the_PE_dead) {
  World w;
  const auto a = w.up("10.0.0.1");
  w.enroll(a, pe(1));
  channel::PoolChunk table;
  ASSERT_TRUE(w.registrar.pool_table("EchoPool", table));
  w.send(w.up("10.0.0.9"), unreachable(1));
  w.run(5 * kS - 1);
  EXPECT_THAT(w.there(), ElementsAre(1));
  w.run(1);
  EXPECT_THAT(w.there(), IsEmpty());
  const auto dead = w.all<channel::PeDown>();
  ASSERT_EQ(dead.size(), 1u);
  EXPECT_EQ(dead[0].handle, "EchoPool");
  EXPECT_EQ(dead[0].pe_id, 1u);
  EXPECT_EQ(dead[0].registration, table.elements.at(0).registration);
  EXPECT_EQ(w.all<PoolChanged>().size(), 1u);
  ASSERT_EQ(w.all<channel::Close>().size(), 1u) << "a PE that is only slow learns that it is out";
  EXPECT_EQ(w.all<channel::Close>()[0].association, a);
  EXPECT_TRUE(w.all<channel::Close>()[0].abort);
  EXPECT_EQ(w.registrar.counters().pes_found_dead, 1u);
}

TEST(Registrar, ASAP_3_5_2_a_keep_alive_that_cannot_be_delivered_finds_the_PE_dead) {
  World w;
  const auto a = w.up("10.0.0.1");
  w.enroll(a, pe(1));
  w.send(w.up("10.0.0.9"), unreachable(1));
  w.registrar.send_failed(w.now, {a, 11, w.sent().at(0).payload});
  w.collect();
  EXPECT_THAT(w.there(), IsEmpty());
  EXPECT_EQ(w.all<channel::PeDown>().size(), 1u);
}

TEST(Registrar, ASAP_3_5_2_one_silent_PE_does_not_cost_others_of_its_association) {
  World w;
  const auto a = w.up("10.0.0.1");
  w.enroll(a, pe(1));
  w.enroll(a, pe(2));
  w.send(w.up("10.0.0.9"), unreachable(1));
  std::vector<PeId> silent;
  for (int i = 0; i < 100 && w.there().size() == 2; ++i) {
    w.run(100 * kMs);
    for (const auto& keep_alive : w.sent<asap::EndpointKeepAlive>()) {
      if (keep_alive.pe_id == 2) w.send(a, asap::Message(asap::EndpointKeepAliveAck{"EchoPool", 2}));
    }
  }
  EXPECT_THAT(w.there(), ElementsAre(2));
  EXPECT_THAT(w.all<channel::Close>(), IsEmpty());
}

TEST(Registrar, ASAP_3_5_3_a_PE_that_answers_stays_and_its_reports_are_counted) {
  World w;
  w.answer_keep_alives = true;
  const auto a = w.up("10.0.0.1");
  w.enroll(a, pe(1));
  w.send(w.up("10.0.0.9"), unreachable(1));
  w.send(a, asap::Message(asap::EndpointKeepAliveAck{"EchoPool", 1}));
  w.run(60 * kS);
  EXPECT_THAT(w.there(), ElementsAre(1));
  EXPECT_EQ(w.registrar.elements("EchoPool", w.now).at(0).bad_reports, 1u);
}

TEST(Registrar, ASAP_3_5_4_the_report_that_exceeds_the_threshold_removes_the_PE) {
  World w;  // MAX-BAD-PE-REPORT 3
  w.answer_keep_alives = true;
  const auto a = w.up("10.0.0.1");
  const auto pu = w.up("10.0.0.9");
  w.enroll(a, pe(1));
  for (int report = 1; report <= 3; ++report) {
    w.send(pu, unreachable(1));
    w.run(kS);
    EXPECT_THAT(w.there(), ElementsAre(1)) << report;
  }
  w.send(pu, unreachable(1));
  EXPECT_THAT(w.there(), IsEmpty());
  EXPECT_THAT(w.all<channel::PeDown>(), IsEmpty()) << "reports alone are no proof of death: it is drained";
  EXPECT_EQ(w.all<PoolChanged>().size(), 1u);
}

TEST(Registrar, ASAP_3_5_4_a_registration_sets_the_reports_back) {
  World w;
  const auto a = w.up("10.0.0.1");
  const auto pu = w.up("10.0.0.9");
  w.enroll(a, pe(1));
  for (int report = 1; report <= 3; ++report) w.send(pu, unreachable(1));
  w.enroll(a, pe(1));
  for (int report = 1; report <= 3; ++report) w.send(pu, unreachable(1));
  EXPECT_THAT(w.there(), ElementsAre(1));
}

TEST(Registrar, ASAP_3_5_5_a_PE_that_falls_silent_is_out_within_interval_and_timeout) {
  World w;  // 5 s +-50 %, 5 s
  const auto a = w.up("10.0.0.1");
  w.enroll(a, pe(1));
  w.run(7'500 * kMs);
  EXPECT_EQ(w.sent<asap::EndpointKeepAlive>().size(), 1u);
  w.run(5 * kS);
  EXPECT_THAT(w.there(), IsEmpty());
}

TEST(Registrar, ASAP_3_5_5_a_PE_that_answers_stays) {
  World w;
  w.answer_keep_alives = true;
  PoolElement element = pe(1);
  element.registration_life = rserpool::kInfiniteLife;
  w.enroll(w.up("10.0.0.1"), element);
  w.run(600 * kS);
  EXPECT_THAT(w.there(), ElementsAre(1));
  const auto sent = w.registrar.counters().keepalives_sent;
  EXPECT_GE(sent, 600u / 7.5);
  EXPECT_LE(sent, 600u / 2.5);
  EXPECT_EQ(w.registrar.counters().keepalives_acked, sent);
}

TEST(Registrar, ASAP_3_5_5_interval_0_is_off_and_a_pool_may_have_its_own) {
  registrar::Settings settings;
  settings.registrar.keepalive_interval_ms = 0;
  settings.pools = {{.handle = "Fast", .keepalive_interval_ms = 1000}};
  World w(settings);
  const auto a = w.up("10.0.0.1");
  w.enroll(a, pe(1), "Slow");
  w.enroll(a, pe(1), "Fast");
  w.run(60 * kS);
  EXPECT_THAT(w.there("Slow"), ElementsAre(1));
  EXPECT_THAT(w.there("Fast"), IsEmpty());
  EXPECT_EQ(w.registrar.counters().keepalives_sent, 1u);
}

TEST(Registrar, ASAP_3_5_6_keep_alives_of_many_PEs_are_spread_over_half_to_one_and_a_half_intervals) {
  World w;
  const auto a = w.up("10.0.0.1");
  for (PeId id = 1; id <= 1000; ++id) w.enroll(a, pe(id));
  const Micros start = w.now;
  std::vector<int> per_half_second(20, 0);
  while (w.now < start + 7'500 * kMs) {
    w.run(500 * kMs);
    per_half_second.at(static_cast<size_t>((w.now - start) / (500 * kMs)) - 1) +=
        static_cast<int>(w.sent<asap::EndpointKeepAlive>().size());
  }
  // 1000 over 5 s from 2.5 s on: 100 each half second; 6 standard deviations are 57.
  for (size_t i = 0; i < 5; ++i) EXPECT_EQ(per_half_second[i], 0) << i;
  for (size_t i = 5; i < 15; ++i) {
    EXPECT_GT(per_half_second[i], 43) << i;
    EXPECT_LT(per_half_second[i], 157) << i;
  }
}

TEST(Registrar, ASAP_9_2_7_and_SEC_2_14_reports_make_no_more_keep_alives_than_one_in_the_gap) {
  registrar::Settings settings;
  settings.registrar.unreachable_rate = 0;
  settings.registrar.max_bad_pe_reports = 10'000;
  World w(settings);
  const auto a = w.up("10.0.0.1");
  const auto pu = w.up("10.0.0.9");
  w.enroll(a, pe(1));
  size_t keep_alives = 0;
  for (int i = 0; i < 100; ++i) {
    w.send(pu, unreachable(1));
    keep_alives += w.sent<asap::EndpointKeepAlive>().size();
    w.now += 10 * kMs;
  }
  EXPECT_EQ(keep_alives, 10u) << "1 s, a gap of 100 ms";
  EXPECT_EQ(w.registrar.counters().keepalives_suppressed, 90u);
}

TEST(Registrar, ASAP_9_2_7_and_SEC_2_13_reports_of_one_endpoint_are_limited) {
  World w;  // 10 a second
  const auto a = w.up("10.0.0.1");
  const auto flooder = w.up("10.0.0.9");
  for (PeId id = 1; id <= 100; ++id) w.enroll(a, pe(id));
  for (PeId id = 1; id <= 100; ++id) w.send(flooder, unreachable(id));
  EXPECT_EQ(w.registrar.counters().unreachable_reports, 10u);
  EXPECT_EQ(w.registrar.counters().unreachable_limited, 90u);
  w.send(w.up("10.0.0.8"), unreachable(50));
  EXPECT_EQ(w.sent<asap::EndpointKeepAlive>().size(), 1u) << "another endpoint's report counts";
}

TEST(Registrar, further_reports_do_not_prolong_the_wait_for_an_answer) {
  registrar::Settings settings;
  settings.registrar.max_bad_pe_reports = 1000;
  World w(settings);
  const auto a = w.up("10.0.0.1");
  const auto pu = w.up("10.0.0.9");
  w.enroll(a, pe(1));
  for (int i = 0; i < 50; ++i) {
    w.send(pu, unreachable(1));
    w.run(100 * kMs);
  }
  EXPECT_THAT(w.there(), IsEmpty());
}

TEST(Registrar, an_acknowledgement_counts_only_from_the_PEs_own_association) {
  World w;
  const auto a = w.up("10.0.0.1");
  const auto other = w.up("10.0.0.2");
  w.enroll(a, pe(1));
  w.send(other, unreachable(1));
  w.send(other, asap::Message(asap::EndpointKeepAliveAck{"EchoPool", 1}));
  w.run(5 * kS);
  EXPECT_THAT(w.there(), IsEmpty());
}

TEST(Registrar, a_suspicion_of_the_data_plane_starts_a_keep_alive_of_that_registration) {
  World w;
  const auto a = w.up("10.0.0.1");
  w.enroll(a, pe(1));
  channel::PoolChunk table;
  ASSERT_TRUE(w.registrar.pool_table("EchoPool", table));
  const uint32_t registration = table.elements.at(0).registration;
  w.enroll(a, pe(1));
  w.registrar.pe_report(w.now, {"EchoPool", 1, registration, "no answer to INIT"});
  w.collect();
  EXPECT_THAT(w.sent(), IsEmpty()) << "the PE has registered since";
  w.registrar.pe_report(w.now, {"EchoPool", 1, registration + 1, "no answer to INIT"});
  w.collect();
  EXPECT_EQ(w.sent<asap::EndpointKeepAlive>().size(), 1u);
  EXPECT_EQ(w.registrar.elements("EchoPool", w.now).at(0).bad_reports, 0u);
}

// ---- what the data plane noticed

channel::PeReport noticed(World& w, PeId id) {
  channel::PoolChunk table;
  EXPECT_TRUE(w.registrar.pool_table("EchoPool", table));
  channel::PeReport report{"EchoPool", id, 0, "prober: 3 SCTP INITs were not answered"};
  for (const auto& element : table.elements)
    if (element.id == id) report.registration = element.registration;
  return report;
}

TEST(Registrar, a_report_of_the_data_plane_makes_a_keep_alive_and_its_answer_is_told) {
  World w;
  const auto a = w.up("10.0.0.1");
  w.enroll(a, pe(1));
  w.now += 200 * kMs;
  const channel::PeReport report = noticed(w, 1);
  w.registrar.pe_report(w.now, report);
  w.collect();
  ASSERT_EQ(w.sent<asap::EndpointKeepAlive>().size(), 1u);
  EXPECT_THAT(w.all<channel::PeAlive>(), IsEmpty()) << "not before it answered";
  w.send(a, asap::Message(asap::EndpointKeepAliveAck{"EchoPool", 1}));
  const auto alive = w.all<channel::PeAlive>();
  ASSERT_EQ(alive.size(), 1u);
  EXPECT_EQ(alive[0].handle, "EchoPool");
  EXPECT_EQ(alive[0].pe_id, 1u);
  EXPECT_EQ(alive[0].registration, report.registration);
  EXPECT_EQ(w.registrar.counters().data_plane_reports, 1u);
  EXPECT_EQ(w.registrar.elements("EchoPool", w.now).at(0).bad_reports, 0u) << "it is no PU's report";
}

TEST(Registrar, an_acknowledgement_that_nobody_waits_for_is_not_told_to_the_data_plane) {
  World w;
  const auto a = w.up("10.0.0.1");
  w.enroll(a, pe(1));
  w.send(w.up("10.0.0.9"), unreachable(1));
  w.send(a, asap::Message(asap::EndpointKeepAliveAck{"EchoPool", 1}));
  EXPECT_THAT(w.all<channel::PeAlive>(), IsEmpty());
}

TEST(Registrar, a_PE_that_the_data_plane_reported_and_that_is_silent_is_dead) {
  World w;
  w.enroll(w.up("10.0.0.1"), pe(1));
  w.registrar.pe_report(w.now, noticed(w, 1));
  w.collect();
  w.run(5 * kS);
  EXPECT_THAT(w.there(), IsEmpty());
  EXPECT_EQ(w.all<channel::PeDown>().size(), 1u);
  EXPECT_THAT(w.all<channel::PeAlive>(), IsEmpty());
}

TEST(Registrar, a_report_of_a_former_registration_does_nothing) {
  World w;
  w.enroll(w.up("10.0.0.1"), pe(1));
  channel::PeReport report = noticed(w, 1);
  --report.registration;
  w.registrar.pe_report(w.now, report);
  w.collect();
  EXPECT_THAT(w.sent(), IsEmpty());
}

}  // namespace
}  // namespace poolgate::test
