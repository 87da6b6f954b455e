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
const Bytes kCookieAck = chunk(11, 0, {});

void begin(Rig& rig) {
  rig.send(sctp(kThere, 0, init_chunk(kTc)));
  rig.send(sctp(kThere, kTp, cookie_echo()));
}
// Of the PE's packets, the second leaves by the copy that the first has made.
void establish(Rig& rig) {
  begin(rig);
  ASSERT_EQ(rig.send(sctp(kBack, kTc, kCookieAck)).size(), 1u);
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

// ---- what establishes it

TEST(NatBack, RFC_9260_5_1_a_COOKIE_ECHO_that_the_PE_does_not_take_is_half_open_for_15_s_and_in_the_quota) {
  const auto rig = make();
  begin(*rig);
  rig->send(sctp(kThere, kTp, data_chunk()));
  EXPECT_STREQ(only(*rig).state, "half-open");
  EXPECT_EQ(only(*rig).tag_p, kTp);
  EXPECT_EQ(rig->redirector->session_stats().half_open, 1u);
  rig->pass_ms(18'000);
  EXPECT_EQ(sessions(*rig), 0u);
}

TEST(NatBack, RFC_9260_5_1_what_the_PE_says_of_its_association_establishes_it_and_nothing_else) {
  struct Said {
    Bytes chunks;
    uint32_t tag;
    const char* state;
  };
  Bytes bundled = kCookieAck, authenticated = chunk(15, 0, Bytes(12, 1));
  add(bundled, data_chunk());
  add(authenticated, kCookieAck);
  for (const Said& said : {Said{kCookieAck, kTc, "established"},
                           {bundled, kTc, "established"},
                           {authenticated, kTc, "established"},
                           {data_chunk(), kTc, "established"},
                           {chunk(3, 0, Bytes(12)), kTc, "established"},
                           {chunk(4, 0, parameter(1, Bytes(8))), kTc, "established"},
                           {chunk(7, 0, Bytes(4)), kTc, "closing"},
                           {kCookieAck, 0, "half-open"},
                           {data_chunk(), kTc + 1, "half-open"},
                           {data_chunk(), kTp, "half-open"},
                           {init_chunk(kTp, {}, 2), kTc, "half-open"},
                           {init_chunk(kTp), 0, "half-open"},
                           {cookie_echo(), kTc, "half-open"},
                           {chunk(9, 0, parameter(3, Bytes(4))), kTc, "half-open"},
                           {chunk(14, 1, {}), kTc, "half-open"},
                           {chunk(6, 0, {}), kTc, "closed"}}) {
    SCOPED_TRACE(std::to_string(said.chunks.at(0)) + " tag " + std::to_string(said.tag));
    const auto rig = make();
    begin(*rig);
    EXPECT_EQ(rig->send(sctp(kBack, said.tag, said.chunks)).size(), 1u) << "all is the client's to judge";
    EXPECT_STREQ(only(*rig).state, said.state);
    EXPECT_EQ(only(*rig).tag_p, kTp);
    EXPECT_EQ(only(*rig).tag_c, kTc);
  }
}

TEST(NatBack, RFC_9260_5_2_1_an_INIT_in_the_clients_name_does_not_keep_its_association_half_open) {
  const auto rig = make();
  begin(*rig);
  rig->send(sctp(kThere, 0, init_chunk(kTc + 1)));
  rig->send(sctp(kBack, kTc, kCookieAck));
  EXPECT_STREQ(only(*rig).state, "established");
  EXPECT_EQ(only(*rig).tag_c, kTc) << "as the PE says";
  EXPECT_EQ(only(*rig).tag_p, kTp);
}

TEST(NatBack, before_the_COOKIE_ECHO_the_PE_establishes_nothing) {
  const auto rig = make();
  rig->send(sctp(kThere, 0, init_chunk(kTc)));
  for (const Bytes& said : {kCookieAck, data_chunk()}) rig->send(sctp(kBack, kTc, said));
  EXPECT_STREQ(only(*rig).state, "half-open");
  rig->send(sctp(kThere, kTp, cookie_echo()));
  EXPECT_STREQ(only(*rig).state, "half-open");
  rig->send(sctp(kBack, kTc, kCookieAck));
  EXPECT_STREQ(only(*rig).state, "established");
}

TEST(NatBack, of_several_COOKIE_ECHOs_the_last_one_before_the_answer_counts) {
  const auto rig = make();
  begin(*rig);
  for (const uint32_t tag : {kTp + 1, kTp + 2})
    EXPECT_EQ(rig->send(sctp(kThere, tag, cookie_echo())).size(), 1u);
  rig->send(sctp(kBack, kTc, kCookieAck));
  EXPECT_STREQ(only(*rig).state, "established");
  EXPECT_EQ(only(*rig).tag_p, kTp + 2);
  rig->send(sctp(kThere, kTp + 3, cookie_echo()));
  EXPECT_EQ(only(*rig).tag_p, kTp + 2);
  rig->send(sctp(kThere, kTp, data_chunk()));  // it was the client's after all
  EXPECT_EQ(only(*rig).tag_p, kTp);
  EXPECT_EQ(only(*rig).tag_c, kTc);
}

TEST(NatBack, RFC_9260_5_1_a_COOKIE_ACK_that_is_lost_on_either_side_of_us_comes_again) {
  for (const bool behind : {false, true}) {
    const auto rig = make();
    begin(*rig);
    if (behind) rig->send(sctp(kBack, kTc, kCookieAck));
    EXPECT_EQ(rig->send(sctp(kThere, kTp, cookie_echo())).size(), 1u);
    const auto again = rig->send(sctp(kBack, kTc, kCookieAck));
    ASSERT_EQ(again.size(), 1u);
    EXPECT_EQ(again[0].to(), kThere.from);
    EXPECT_STREQ(only(*rig).state, "established");
    EXPECT_EQ(only(*rig).tag_p, kTp);
    rig->pass_ms(8'000);
    EXPECT_EQ(sessions(*rig), 1u);
  }
}

// Its INIT went by another appliance: two packets with one tag are no proof, the PE's answer is.
TEST(NatBack, what_a_COOKIE_ECHO_began_is_established_by_the_PEs_COOKIE_ACK_which_says_the_clients_tag) {
  const auto rig = make();
  rig->send(sctp(kThere, kTp, cookie_echo()));
  rig->send(sctp(kThere, kTp, data_chunk()));
  for (const Bytes& said : {data_chunk(), chunk(6, 1, {}), chunk(8, 0, {})}) {
    rig->send(sctp(kBack, kTc + 9, said));
    EXPECT_STREQ(only(*rig).state, "half-open");
  }
  rig->send(sctp(kBack, kTc, kCookieAck));
  EXPECT_STREQ(only(*rig).state, "established");
  EXPECT_EQ(only(*rig).tag_c, kTc);
  pe_speaks(*rig, 20'000, kTc);
  EXPECT_EQ(sessions(*rig), 1u);
}

// ---- and keeps it

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
    rig->send(sctp(kBack, kTc + 7, kCookieAck));
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

// ---- bursts

// 'b': back from the PE. 'c': its packet with another tag. 'i': an INIT ACK of its. 't': there, from the
// client. '6': nobody's, of IPv6. 'u': nobody's, to the PE's port.
Bytes packet_of(char kind) {
  switch (kind) {
    case 'b':
      return sctp(kBack, kTc, data_chunk());
    case 'c':
      return sctp(kBack, kTc + 1, data_chunk());
    case 'i':
      return sctp(kBack, kTc, init_chunk(kTp, {}, 2));
    case 't':
      return sctp(kThere, kTp, data_chunk());
    case '6':
      return sctp({ip("2001:db8:c::1"), ip("2001:db8:d::1"), 1, 2}, 3, data_chunk());
    default:
      return sctp({ip("10.0.0.21"), ip("203.0.113.9"), 5001, 40001}, 3, data_chunk());
  }
}

class NatBackBurst : public ::testing::TestWithParam<std::string> {};

TEST_P(NatBackBurst, does_with_each_packet_what_is_done_with_it_alone) {
  const auto rig = make(), alone = make();
  for (Rig* r : {rig.get(), alone.get()}) establish(*r);
  std::vector<Bytes> burst;
  std::map<Bytes, int> left, left_alone;
  size_t exceptions = 0;
  for (const char kind : GetParam()) {
    burst.push_back(packet_of(kind));
    for (const Frame& f : alone->send(burst.back())) ++left_alone[f.bytes];
    exceptions += alone->exceptions.size();
  }
  for (const Frame& f : rig->burst(burst)) ++left[f.bytes];
  EXPECT_EQ(left, left_alone);
  EXPECT_EQ(rig->exceptions.size(), exceptions);
  for (size_t r = 0; r < redirect::kDropReasons; ++r) {
    const auto reason = static_cast<redirect::DropReason>(r);
    EXPECT_EQ(rig->dropped(reason), alone->dropped(reason)) << r;
  }
  const auto service = rig->services->services()[0].index;
  const auto &counted = rig->redirector->counters(service), &wanted = alone->redirector->counters(service);
  EXPECT_EQ(counted.packets.load(), wanted.packets.load());
  EXPECT_EQ(counted.bytes.load(), wanted.bytes.load());
  EXPECT_EQ(only(*rig).state, std::string("established"));
}

INSTANTIATE_TEST_SUITE_P(Mixed, NatBackBurst,
                         ::testing::Values("b", "bb", "bbbbbbbb", "bbt", "bbbbt", "bbbbtbbb", "bbbbbtbtbt",
                                           "tbbbb", "tttt", "bbbbcbbbb", "cbbbb", "bbbbibbtt", "bbbb6tb",
                                           "6bbbb", "bbbbuub6", "uuuub",
                                           "bbbbbbbbbbbbbbbbbbbbbbbbbbbbbbb6ttttttttttttttttttttttttttttttb"),
                         [](const auto& burst) { return burst.param; });

}  // namespace
}  // namespace poolgate::test
