// SPDX-License-Identifier: BSD-3-Clause
// Mode nat, from PEs to clients: these packets leave by a copy that their key has of what they need of the
// session (session.h). What changes the session ends the copy; what the copy is used for, the session knows.
#include "tests/unit/redirect_rig.h"

namespace poolgate::test {
namespace {

using redirect::SessionView;
using rserpool::TransportType;

constexpr uint32_t kTp = 0x0a0b0c0d, kTc = 0x01020304;
const Flow kThere{ip("203.0.113.1"), ip("192.0.2.1"), 40001, 3868};
const Flow kBack{ip("10.0.0.21"), ip("203.0.113.1"), 5001, 40001};

std::unique_ptr<Rig> make(const RestartFiles* files = nullptr) {
  auto rig = std::make_unique<Rig>(TransportType::sctp);
  rig->service(config::Protocol::sctp, config::Mode::nat).idle_timeout_s = 10;
  if (files != nullptr) files->give(*rig);
  rig->set_pool({{21, "10.0.0.21", 5001}});
  rig->start();
  return rig;
}
// Of the PE's packets, the second leaves by the copy that the first has made.
void establish(Rig& rig) {
  rig.send(sctp(kThere, 0, init_chunk(kTc)));
  rig.send(sctp(kThere, kTp, cookie_echo()));
  for (int i = 0; i < 2; ++i) ASSERT_EQ(rig.send(sctp(kBack, kTc, data_chunk())).size(), 1u);
}
SessionView only(const Rig& rig) {
  std::vector<SessionView> views;
  EXPECT_EQ(rig.redirector->dump_sessions(0, 10, views), 0u);
  EXPECT_EQ(views.size(), 1u);
  return views.empty() ? SessionView{} : views[0];
}
uint64_t sessions(const Rig& rig) { return rig.redirector->session_stats().sessions; }
// For `ms`, every two seconds.
void pe_speaks(Rig& rig, unsigned ms, uint32_t tag) {
  for (unsigned at = 0; at < ms; at += 2000) {
    rig.send(sctp(kBack, tag, data_chunk()));
    rig.pass_ms(2000);
  }
}

TEST(NatBack, a_session_lives_while_its_pe_alone_speaks_and_no_longer) {
  const auto rig = make();
  establish(*rig);
  pe_speaks(*rig, 40'000, kTc);
  ASSERT_EQ(sessions(*rig), 1u);
  EXPECT_LE(only(*rig).idle_ms, 2'000u);
  rig->pass_ms(14'000);
  EXPECT_EQ(sessions(*rig), 0u);
}

TEST(NatBack, packets_with_another_tag_leave_but_keep_nothing_alive) {
  const auto rig = make();
  establish(*rig);
  pe_speaks(*rig, 14'000, kTc + 1);
  EXPECT_EQ(sessions(*rig), 0u);
}

TEST(NatBack, RFC_9260_5_2_2_after_a_restart_of_the_client_its_new_tag_counts_and_not_the_old_one) {
  for (const bool old : {false, true}) {
    const auto rig = make();
    establish(*rig);
    rig->send(sctp(kThere, 0, init_chunk(kTc + 7)));
    rig->send(sctp(kThere, kTp + 7, cookie_echo()));
    pe_speaks(*rig, 16'000, old ? kTc : kTc + 7);
    EXPECT_EQ(sessions(*rig), old ? 0u : 1u);
  }
}

TEST(NatBack, a_closing_association_is_not_kept_by_its_pe) {
  const auto rig = make();
  establish(*rig);
  rig->send(sctp(kThere, kTp, chunk(6, 0, {})));  // ABORT
  EXPECT_STREQ(only(*rig).state, "closed");
  rig->pass_ms(6'000);
  EXPECT_EQ(sessions(*rig), 0u);
}

TEST(NatBack, what_a_dead_pe_still_sends_is_dropped) {
  const auto rig = make();
  establish(*rig);
  rig->set_pool({{21, "10.0.0.21", 5001}, {22, "10.0.0.22", 5001}, {23, "10.0.0.23", 5001}});
  rig->pe_down(21);
  for (int i = 0; i < 2; ++i) {
    for (const Frame& f : rig->send(sctp(kBack, kTc, data_chunk()))) EXPECT_EQ(f.chunk_type(), 6) << "ABORT";
  }
  EXPECT_EQ(sessions(*rig), 0u);
}

TEST(NatBack, an_init_that_teaches_addresses_changes_nothing_of_the_first) {
  const auto rig = make();
  establish(*rig);
  rig->send(sctp(kThere, 0, init_chunk(kTc, address_parameter(ip("198.18.0.1")))));
  const auto sent = rig->send(sctp(kBack, kTc, data_chunk()));
  ASSERT_EQ(sent.size(), 1u);
  EXPECT_EQ(sent[0].from(), kThere.to);
  EXPECT_EQ(sent[0].to(), kThere.from);
  Flow second = kBack;
  second.to = ip("198.18.0.1");
  for (int i = 0; i < 2; ++i) {
    const auto other = rig->send(sctp(second, kTc, data_chunk()));
    ASSERT_EQ(other.size(), 1u);
    EXPECT_EQ(other[0].from(), kThere.to);
    EXPECT_EQ(other[0].to(), second.to);
    EXPECT_TRUE(other[0].checksums_right());
  }
}

TEST(NatBack, what_the_pe_said_before_a_restart_of_ours_counts_after_it) {
  const RestartFiles files;
  uint64_t now_us = 0;
  {
    const auto rig = make(&files);
    establish(*rig);
    pe_speaks(*rig, 8'000, kTc);
    now_us = rig->now_us;
  }
  const auto rig = std::make_unique<Rig>(TransportType::sctp);
  rig->now_us = now_us;
  rig->service(config::Protocol::sctp, config::Mode::nat).idle_timeout_s = 10;
  files.give(*rig);
  rig->set_pool({{21, "10.0.0.21", 5001}});
  rig->start();
  rig->pass_ms(1);
  EXPECT_LE(only(*rig).idle_ms, 2'100u);
  for (int i = 0; i < 2; ++i) {
    const auto sent = rig->send(sctp(kBack, kTc, data_chunk()));
    ASSERT_EQ(sent.size(), 1u);
    EXPECT_EQ(sent[0].to(), kThere.from);
  }
}

}  // namespace
}  // namespace poolgate::test
