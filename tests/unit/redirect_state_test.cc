// SPDX-License-Identifier: BSD-3-Clause
// What packets do to their session: SCTP's tags and states (RFC 9260 §5.2, §8.5.1), TCP's, quotas, ageing.
#include "tests/unit/cookie_ack.h"
#include "tests/unit/two_pes.h"

namespace poolgate::test {
namespace {

using namespace two_pes;

struct Cell {
  const char* name;
  uint8_t chunk;
  uint8_t flags;
  uint32_t tag;
  const char* state;  // afterwards, of an association that was established
};

class SctpEstablished : public ::testing::TestWithParam<Cell> {};

// Everything is forwarded: the PE judges it. Only the right tag changes our state.
TEST_P(SctpEstablished, a_chunk_and_its_tag_lead_to_the_state) {
  const auto rig = make();
  establish(*rig);
  const auto got =
      rig->send(sctp(client(), GetParam().tag, chunk(GetParam().chunk, GetParam().flags, Bytes(4))));
  ASSERT_EQ(got.size(), 1u);
  EXPECT_EQ(got[0].chunk_type(), GetParam().chunk);
  EXPECT_STREQ(only(*rig).state, GetParam().state);
  EXPECT_EQ(only(*rig).tag_p, kTp);
  EXPECT_EQ(only(*rig).tag_c, kTc);
}

INSTANTIATE_TEST_SUITE_P(
    Rfc9260, SctpEstablished,
    ::testing::Values(
        Cell{"abort_right", 6, 0, kTp, "closed"}, Cell{"abort_right_but_T", 6, 1, kTp, "established"},
        Cell{"abort_reflected", 6, 1, kTc, "closed"},
        Cell{"abort_reflected_without_T", 6, 0, kTc, "established"},
        Cell{"abort_wrong", 6, 0, kWrong, "established"}, Cell{"abort_wrong_T", 6, 1, kWrong, "established"},
        Cell{"shutdown_right", 7, 0, kTp, "closing"}, Cell{"shutdown_wrong", 7, 0, kWrong, "established"},
        Cell{"shutdown_ack_right", 8, 0, kTp, "closing"},
        Cell{"shutdown_ack_wrong", 8, 0, kTc, "established"},
        Cell{"shutdown_complete_right", 14, 0, kTp, "closed"},
        Cell{"shutdown_complete_reflected", 14, 1, kTc, "closed"},
        Cell{"shutdown_complete_wrong", 14, 0, kWrong, "established"},
        Cell{"error_right", 9, 0, kTp, "established"}, Cell{"error_wrong", 9, 0, kWrong, "established"},
        Cell{"sack_right", 3, 0, kTp, "established"}, Cell{"heartbeat_wrong", 4, 0, kWrong, "established"},
        Cell{"forward_tsn_right", 192, 0, kTp, "established"},
        Cell{"i_data_right", 64, 0, kTp, "established"}, Cell{"cookie_echo_again", 10, 0, kTp, "established"},
        Cell{"cookie_echo_of_nobody", 10, 0, kWrong, "established"}),
    [](const auto& i) { return std::string(i.param.name); });

TEST(SctpState, a_control_chunk_behind_a_sack_counts) {
  const auto rig = make();
  establish(*rig);
  Bytes bundle = chunk(3, 0, Bytes(12));
  add(bundle, chunk(7, 0, Bytes(4)));
  rig->send(sctp(client(), kTp, bundle));
  EXPECT_STREQ(only(*rig).state, "closing");
}

TEST(SctpState, RFC_9260_5_2_2_a_new_inits_tag_replaces_nothing_before_a_cookie_echo) {
  const auto rig = make();
  establish(*rig);
  ASSERT_EQ(rig->send(sctp(client(), 0, init_chunk(0x99))).size(), 1u);
  EXPECT_EQ(only(*rig).tag_c, kTc);
  // The old association is still the one: its ABORT counts, the pending tag's does not.
  rig->send(sctp(client(), 0x99, chunk(6, 1, {})));
  EXPECT_STREQ(only(*rig).state, "established");
  rig->send(sctp(client(), 0xbeef, cookie_echo()));
  EXPECT_EQ(only(*rig).tag_p, 0xbeefu);
  EXPECT_EQ(only(*rig).tag_c, 0x99u);
  EXPECT_STREQ(only(*rig).state, "established");
  rig->send(sctp(client(), kTp, chunk(6, 0, {})));
  EXPECT_STREQ(only(*rig).state, "established") << "the old tag is nobody's now";
}

TEST(SctpState, a_retransmitted_init_stays_with_its_pe) {
  const auto rig = make();
  const unsigned pe = pe_of(rig->send(sctp(client(), 0, init_chunk(kTc))).at(0));
  for (unsigned i = 0; i < 3; ++i) EXPECT_EQ(pe_of(rig->send(sctp(client(), 0, init_chunk(kTc))).at(0)), pe);
  EXPECT_EQ(rig->redirector->session_stats().sessions, 1u);
}

// What a client that always uses one port meets after its server was killed, in direct return: the ABORT to
// it did not pass here.
TEST(SctpState, an_init_on_the_ports_of_an_association_goes_elsewhere_once_its_pe_has_left_the_pool) {
  const auto rig = make();
  establish(*rig);
  const uint32_t before = only(*rig).pe_id, other = before == 11 ? 12 : 11;
  const std::string other_address = "10.0.0." + std::to_string(other);
  EXPECT_EQ(pe_of(rig->send(sctp(client(), 0, init_chunk(0x54))).at(0)), before) << "its PE is still there";
  rig->set_pool({{other, other_address.c_str(), 3868}});
  EXPECT_EQ(pe_of(rig->send(sctp(client(), kTp, data_chunk())).at(0)), before) << "an association is drained";
  rig->tick(100'000);
  EXPECT_EQ(pe_of(rig->send(sctp(client(), 0, init_chunk(0x55))).at(0)), other);
  EXPECT_EQ(only(*rig).pe_id, before) << "an INIT alone replaces nothing";
  EXPECT_EQ(pe_of(rig->send(sctp(client(), 0xbeef, cookie_echo())).at(0)), other);
  const auto view = only(*rig);
  EXPECT_EQ(view.pe_id, other);
  EXPECT_EQ(view.tag_p, 0xbeefu);
  EXPECT_EQ(view.tag_c, 0x55u);
  EXPECT_STREQ(view.state, "established");
  EXPECT_EQ(pe_of(rig->send(sctp(client(), 0xbeef, data_chunk())).at(0)), other);
  // And is that one's: when it dies, its client is told.
  rig->set_pool(
      {{before, ("10.0.0." + std::to_string(before)).c_str(), 3868}, {other, other_address.c_str(), 3868}});
  rig->pe_down(other);
  EXPECT_EQ(rig->pass_ms(2).size(), 1u);
}

// The client of an association sends an INIT, or somebody does so in its name, and DATA as before. Its PE,
// which is returned, has left the pool; another is there.
uint32_t init_while_it_goes_on(Rig& rig) {
  establish(rig);
  const uint32_t before = only(rig).pe_id, other = before == 11 ? 12 : 11;
  rig.set_pool({{other, ("10.0.0." + std::to_string(other)).c_str(), 3868}});
  rig.send(sctp(client(), 0, init_chunk(0x66)));
  rig.tick(50'000);
  rig.send(sctp(client(), kTp, data_chunk()));
  return before;
}

TEST(SctpState, forged_init_and_cookie_echo_do_not_move_a_live_association_off_a_draining_pe) {
  const auto rig = make();
  const uint32_t before = init_while_it_goes_on(*rig);
  rig->tick(50'000);
  rig->send(sctp(client(), 0xbeef, cookie_echo()));
  EXPECT_EQ(only(*rig).pe_id, before);
  EXPECT_EQ(only(*rig).tag_p, kTp);
  EXPECT_EQ(pe_of(rig->send(sctp(client(), kTp, data_chunk())).at(0)), before);
}

// RFC 9260 §16: Valid.Cookie.Life is 60 s. Its time is kept in 16 bits of milliseconds.
TEST(SctpState, RFC_9260_5_1_5_nor_does_a_cookie_echo_after_its_cookies_life) {
  const auto rig = make();
  const uint32_t before = init_while_it_goes_on(*rig);
  rig->pass_ms(65'536);
  rig->send(sctp(client(), 0xbeef, cookie_echo()));
  EXPECT_EQ(only(*rig).pe_id, before);
  EXPECT_EQ(only(*rig).tag_p, kTp);
}

TEST(SctpState, RFC_9260_5_1_5_a_cookie_echo_within_it_counts) {
  const auto rig = make();
  establish(*rig);
  rig->send(sctp(client(), 0, init_chunk(0x66)));
  rig->pass_ms(59'000);
  rig->send(sctp(client(), 0xbeef, cookie_echo()));
  EXPECT_EQ(only(*rig).tag_p, 0xbeefu);
  EXPECT_EQ(only(*rig).tag_c, 0x66u);
}

TEST(SctpState, an_init_that_its_pe_never_confirmed_is_chosen_for_again_once_that_left) {
  for (const config::Mode mode : {config::Mode::l2, config::Mode::nat}) {
    const auto rig = make(config::Protocol::sctp, [mode](Rig& r) { r.config.services[0].mode = mode; });
    rig->send(sctp(client(), 0, init_chunk(kTc)));
    const uint32_t before = only(*rig).pe_id, other = before == 11 ? 12 : 11;
    rig->set_pool({{other, ("10.0.0." + std::to_string(other)).c_str(), 3868}});
    ASSERT_EQ(rig->send(sctp(client(), 0, init_chunk(0x55))).size(), 1u);
    EXPECT_EQ(only(*rig).pe_id, other);
  }
}

TEST(SctpState, an_init_stays_with_its_pe_while_there_is_no_other) {
  const auto rig = make();
  establish(*rig);
  const uint32_t before = only(*rig).pe_id;
  rig->set_pool({});
  EXPECT_EQ(pe_of(rig->send(sctp(client(), 0, init_chunk(0x55))).at(0)), before);
}

TEST(SctpState, an_init_after_the_end_is_a_new_association_with_a_new_choice) {
  const auto rig = make();
  establish(*rig);
  const auto before = only(*rig).pe;
  rig->send(sctp(client(), kTp, chunk(6, 0, {})));
  rig->send(sctp(client(), 0, init_chunk(0x55)));
  const auto view = only(*rig);
  EXPECT_STREQ(view.state, "half-open");
  EXPECT_EQ(view.tag_c, 0x55u);
  EXPECT_NE(view.pe, before);
}

TEST(SctpState,
     a_cookie_echo_first_seen_here_goes_where_rendezvous_says_and_is_confirmed_by_the_next_packet) {
  std::set<unsigned> pes;
  for (unsigned round = 0; round < 3; ++round) {
    const auto rig = make();
    const auto echo = rig->send(sctp(client(), kTp, cookie_echo()));
    ASSERT_EQ(echo.size(), 1u);
    pes.insert(pe_of(echo[0]));
    EXPECT_STREQ(only(*rig).state, "half-open");
    rig->send(sctp(client(), kWrong, data_chunk()));
    EXPECT_STREQ(only(*rig).state, "half-open");
    EXPECT_EQ(pe_of(rig->send(sctp(client(), kTp, data_chunk())).at(0)), pe_of(echo[0]));
    EXPECT_STREQ(only(*rig).state, "established");
  }
  EXPECT_EQ(pes.size(), 1u);
}

// Hosts list addresses that others have, too: those of bridges and of networks of management.
class SharedAddress : public ::testing::TestWithParam<config::Mode> {
 protected:
  static Bytes init(const Flow& f, uint32_t tag) {
    Bytes addresses = address_parameter(f.from);
    add(addresses, address_parameter(ip("172.17.0.1")));
    return sctp(f, 0, init_chunk(tag, addresses));
  }
  SharedAddress() {
    rig = make(config::Protocol::sctp, [](Rig& r) { r.config.services[0].mode = GetParam(); });
    b.from_port = a.from_port;
  }
  void confirm(const Flow& f, uint32_t tp, uint32_t tc) {
    const auto echo = rig->send(sctp(f, tp, cookie_echo()));
    ASSERT_EQ(echo.size(), 1u);
    if (GetParam() == config::Mode::nat) rig->send(cookie_ack(echo[0], tc));
  }
  std::unique_ptr<Rig> rig;
  Flow a = client(1), b = client(2);
};

TEST_P(SharedAddress, of_a_live_association_an_init_is_judged_by_its_pe_and_so_is_its_cookie_echo) {
  // Whatever rendezvous would say of b: the PE of a is once the one, once the other.
  std::set<unsigned> pes;
  for (unsigned round = 0; round < 2; ++round) {
    a.from_port = b.from_port = static_cast<uint16_t>(41000 + round);
    const unsigned pe = pe_of(rig->send(init(a, kTc)).at(0));
    confirm(a, kTp, kTc);
    EXPECT_EQ(pe_of(rig->send(init(b, 0x99)).at(0)), pe);
    const auto echo = rig->send(sctp(b, 0xbeef, cookie_echo()));
    ASSERT_EQ(echo.size(), 1u);
    EXPECT_EQ(pe_of(echo[0]), pe) << "no other PE knows its cookie";
    pes.insert(pe);
  }
  EXPECT_EQ(pes.size(), 2u);
}

TEST_P(SharedAddress, two_clients_that_begin_at_once_end_each_for_itself) {
  rig->send(init(a, kTc));
  const unsigned pe = pe_of(rig->send(init(b, 0x99)).at(0));
  confirm(a, kTp, kTc);
  confirm(b, 0xbeef, 0x99);
  EXPECT_EQ(rig->redirector->session_stats().sessions, 2u);
  rig->send(sctp(a, kTp, chunk(6, 0, {})));
  rig->pass_ms(6000);
  EXPECT_EQ(rig->redirector->session_stats().sessions, 1u);
  const auto data = rig->send(sctp(b, 0xbeef, data_chunk()));
  ASSERT_EQ(data.size(), 1u);
  EXPECT_EQ(data[0].chunk_type(), 0) << "nobody aborted b";
  EXPECT_EQ(pe_of(data[0]), pe);
}

INSTANTIATE_TEST_SUITE_P(Modes, SharedAddress, ::testing::Values(config::Mode::l2, config::Mode::nat),
                         [](const auto& i) { return std::string(to_string(i.param)); });

// RFC 4895 §6.3: an endpoint may ask for COOKIE ECHO chunks to be authenticated.
TEST(SctpState, RFC_4895_6_3_a_cookie_echo_behind_its_auth_chunk_counts) {
  Bytes echo = chunk(15, 0, Bytes(24));
  add(echo, cookie_echo());
  const auto rig = make();
  rig->send(sctp(client(), 0, init_chunk(kTc)));
  ASSERT_EQ(rig->send(sctp(client(), kTp, echo)).size(), 1u);
  EXPECT_STREQ(only(*rig).state, "established");
  EXPECT_EQ(only(*rig).tag_p, kTp);
  // A restart.
  rig->send(sctp(client(), 0, init_chunk(0x99)));
  rig->send(sctp(client(), 0xbeef, echo));
  EXPECT_EQ(only(*rig).tag_p, 0xbeefu);
  // And first seen here: it goes where one without it goes.
  const auto fresh = make(), plain = make();
  const auto got = fresh->send(sctp(client(), kTp, echo));
  ASSERT_EQ(got.size(), 1u);
  EXPECT_EQ(got[0].chunk_type(), 15);
  EXPECT_EQ(pe_of(got[0]), pe_of(plain->send(sctp(client(), kTp, cookie_echo())).at(0)));
  EXPECT_STREQ(only(*fresh).state, "half-open");
}

TEST(SctpState, only_the_right_tag_keeps_an_association_alive) {
  const auto rig = make(config::Protocol::sctp, [](Rig& r) { r.config.services[0].idle_timeout_s = 10; });
  establish(*rig);
  for (unsigned i = 0; i < 6; ++i) {
    rig->pass_ms(2000);
    rig->send(sctp(client(), kTp, data_chunk()));
  }
  EXPECT_EQ(rig->redirector->session_stats().sessions, 1u);
  for (unsigned i = 0; i < 7; ++i) {
    rig->pass_ms(2000);
    rig->send(sctp(client(), kWrong, data_chunk()));
  }
  EXPECT_EQ(rig->redirector->session_stats().sessions, 0u);
}

TEST(Ageing, each_state_has_its_time) {
  const auto rig = make(config::Protocol::tcp);
  rig->send(tcp(client(1), kSyn, 1, 0));
  rig->send(tcp(client(2), kSyn, 1, 0));
  rig->send(tcp(client(2), kAck, 2, 9));
  rig->send(tcp(client(3), kSyn, 1, 0));
  rig->send(tcp(client(3), kAck, 2, 9));
  rig->send(tcp(client(3), kFin | kAck, 2, 9));
  rig->send(tcp(client(4), kSyn, 1, 0));
  rig->send(tcp(client(4), kRst, 2, 0));
  const auto left = [&] { return rig->redirector->session_stats().sessions; };
  EXPECT_EQ(left(), 4u);
  rig->pass_ms(6'000);
  EXPECT_EQ(left(), 3u) << "closed: 3 s";
  rig->pass_ms(12'000);
  EXPECT_EQ(left(), 2u) << "half-open: 15 s";
  rig->pass_ms(50'000);
  EXPECT_EQ(left(), 1u) << "closing: 60 s";
  EXPECT_EQ(rig->redirector->counters(0).sessions.load(), 1u);
}

// Addresses of IPv6 lie in lines of their own between the sessions: with this VIP such a line has the bytes
// of a session of long ago.
TEST(Ageing, addresses_are_not_taken_for_sessions) {
  const auto rig =
      make(config::Protocol::sctp, [](Rig& r) { r.config.services[0].vips = {ip("2001:db8::100")}; });
  const auto from = [](unsigned n) {
    return Flow{ip(("2001:db8:c::" + std::to_string(n)).c_str()), ip("2001:db8::100"), 40001, 3868};
  };
  rig->set_pool({{21, "fd00::15", 3868}, {22, "fd00::16", 3868}});
  for (const unsigned n : {1u, 2u, 3u}) {
    rig->send(sctp(from(n), 0, init_chunk(kTc + n)));
    rig->send(sctp(from(n), kTp + n, cookie_echo()));
  }
  rig->pass_ms(5'000);
  EXPECT_EQ(rig->redirector->session_stats().sessions, 3u);
  for (const unsigned n : {1u, 2u, 3u})
    EXPECT_EQ(rig->send(sctp(from(n), kTp + n, data_chunk())).size(), 1u) << n;
}

TEST(Tcp, a_syn_on_the_ports_of_a_finished_connection_chooses_anew) {
  const auto rig = make(config::Protocol::tcp);
  const unsigned first = pe_of(rig->send(tcp(client(), kSyn, 1, 0)).at(0));
  rig->send(tcp(client(), kAck, 2, 9));
  EXPECT_EQ(pe_of(rig->send(tcp(client(), kSyn, 7, 0)).at(0)), first)
      << "of a live one it is the PE's to answer";
  rig->send(tcp(client(), kFin | kAck, 2, 9));
  EXPECT_NE(pe_of(rig->send(tcp(client(), kSyn, 1000, 0)).at(0)), first);
  EXPECT_STREQ(only(*rig).state, "half-open");
}

// RFC 5961 §3.2: nobody who cannot see the connection's sequence numbers ends it. What goes on after a RST
// was none of the peer's.
TEST(Tcp, a_forged_reset_does_not_end_a_connection_that_goes_on) {
  const auto rig = make(config::Protocol::tcp);
  const unsigned pe = pe_of(rig->send(tcp(client(), kSyn, 1, 0)).at(0));
  rig->send(tcp(client(), kAck, 2, 9));
  rig->send(tcp(client(), kRst, 0x77777777, 0));
  rig->pass_ms(1000);
  rig->send(tcp(client(), kAck, 2, 9, "request"));
  EXPECT_STREQ(only(*rig).state, "established");
  rig->pass_ms(20'000);
  const auto got = rig->send(tcp(client(), kAck, 9, 9, "request"));
  ASSERT_EQ(got.size(), 1u);
  EXPECT_EQ(got[0].to_port(), 3868u) << "not reset by us";
  EXPECT_EQ(pe_of(got[0]), pe);
}

TEST(Tcp, what_a_client_had_sent_before_its_pe_reset_the_connection_does_not_revive_it) {
  const auto rig = make(config::Protocol::tcp, [](Rig& r) { r.config.services[0].mode = config::Mode::nat; });
  const auto syn = rig->send(tcp(client(), kSyn, 1, 0));
  rig->send(tcp(client(), kAck, 2, 9));
  rig->send(tcp({syn.at(0).to(), client().from, 3868, client().from_port}, kRst, 9, 0));
  rig->send(tcp(client(), kAck, 2, 9, "under way"));
  EXPECT_STREQ(only(*rig).state, "closed");
}

TEST(Tcp, a_syn_on_the_ports_of_a_connection_goes_elsewhere_once_its_pe_has_left_the_pool) {
  const auto rig = make(config::Protocol::tcp);
  rig->send(tcp(client(), kSyn, 1, 0));
  rig->send(tcp(client(), kAck, 2, 9));
  const uint32_t before = only(*rig).pe_id, other = before == 11 ? 12 : 11;
  rig->set_pool({{other, ("10.0.0." + std::to_string(other)).c_str(), 3868}});
  const auto to = [&](const Bytes& frame) { return pe_of(rig->send(frame).at(0)); };
  EXPECT_EQ(to(tcp(client(), kAck, 2, 9, "x")), before) << "a connection is drained";
  // Forged: the connection goes on, however long it was silent.
  EXPECT_EQ(to(tcp(client(), kSyn, 1000, 0)), other);
  rig->pass_ms(20'000);
  EXPECT_EQ(to(tcp(client(), kAck, 3, 9, "y")), before);
  // Its client's, which asks again, and is answered.
  EXPECT_EQ(to(tcp(client(), kSyn, 5000, 0)), other);
  EXPECT_EQ(to(tcp(client(), kSyn, 5000, 0)), other);
  EXPECT_EQ(to(tcp(client(), kAck, 5001, 70)), other);
  EXPECT_EQ(to(tcp(client(), kAck, 5001, 70, "request")), other);
  EXPECT_EQ(only(*rig).pe_id, other);
  EXPECT_STREQ(only(*rig).state, "established");
}

TEST(Quota, half_open_sessions_are_bounded_and_the_rest_is_steered_without_one) {
  const auto rig = make(config::Protocol::sctp, [](Rig& r) { r.redirector_options.half_open_sessions = 5; });
  std::map<unsigned, unsigned> pes;
  for (unsigned n = 1; n <= 20; ++n) {
    const auto got = rig->send(sctp(client(n), 0, init_chunk(kTc)));
    ASSERT_EQ(got.size(), 1u);
    pes[n] = pe_of(got[0]);
  }
  EXPECT_EQ(rig->redirector->session_stats().half_open, 5u);
  EXPECT_EQ(rig->redirector->counters(0).steered.load(), 15u);
  // An honest client among them gets through: its COOKIE ECHO goes where its INIT went.
  rig->send(sctp(client(1), kTp, cookie_echo()));
  const auto echo = rig->send(sctp(client(20), kTp, cookie_echo()));
  ASSERT_EQ(echo.size(), 1u);
  EXPECT_EQ(pe_of(echo[0]), pes[20]);
  EXPECT_EQ(pe_of(rig->send(sctp(client(20), kTp, data_chunk())).at(0)), pes[20]);
}

// What comes from its other addresses is found by its tag, not steered by where it came from.
TEST(Quota, past_a_flood_of_INITs_a_multihomed_client_has_a_session_from_its_COOKIE_ECHO_on) {
  const auto rig = make(config::Protocol::sctp, [](Rig& r) { r.redirector_options.half_open_sessions = 5; });
  for (unsigned n = 1; n <= 20; ++n) rig->send(sctp(client(n), 0, init_chunk(kTc)));
  const unsigned pe = pe_of(rig->send(sctp(client(30), 0, init_chunk(kTc))).at(0));
  EXPECT_EQ(pe_of(rig->send(sctp(client(30), kTp, cookie_echo())).at(0)), pe);
  for (uint8_t n = 1; n <= 20; ++n) {
    Flow other = client(30);
    const uint8_t address[4] = {198, 18, 0, n};
    other.from = IpAddress::v4(address);
    const auto beat = rig->send(sctp(other, kTp, chunk(4, 0, Bytes(8))));
    ASSERT_EQ(beat.size(), 1u);
    EXPECT_EQ(pe_of(beat[0]), pe);
  }
}

TEST(Quota, a_flood_of_COOKIE_ECHOs_has_as_much_as_one_of_INITs) {
  const auto rig = make(config::Protocol::sctp, [](Rig& r) { r.redirector_options.half_open_sessions = 5; });
  for (unsigned n = 1; n <= 60; ++n) {
    rig->send(sctp(client(n), 0, init_chunk(kTc)));
    EXPECT_EQ(rig->send(sctp(client(100 + n), n, cookie_echo())).size(), 1u);
  }
  EXPECT_EQ(rig->redirector->session_stats().half_open, 10u);
}

TEST(Strangers, RFC_9260_8_5_1_a_tag_of_0_is_an_INITs_alone) {
  const auto rig = make();
  for (const Bytes& chunks : {data_chunk(), cookie_echo(), chunk(8, 0, {}), chunk(4, 0, Bytes(8))})
    EXPECT_TRUE(rig->send(sctp(client(), 0, chunks)).empty());
  EXPECT_EQ(rig->dropped(redirect::DropReason::sctp_tag_zero), 4u);
  EXPECT_EQ(rig->redirector->session_stats().sessions, 0u);
}

TEST(Strangers, RFC_9260_6_8_what_is_damaged_gets_no_answer) {
  const auto rig = make();
  Bytes packet = sctp(client(), kTp, data_chunk());
  EXPECT_EQ(rig->send(packet).size(), 1u) << "our ABORT";
  packet[14 + 20 + 5] ^= 1;  // of the tag, which the ABORT would have
  EXPECT_TRUE(rig->send(packet).empty());
  EXPECT_EQ(rig->dropped(redirect::DropReason::checksum), 1u);
}

// RFC 9260 §8.3: an idle association is silent for HB.interval (30 s), an RTO, and half of that at most.
TEST(Quota, an_association_that_was_steered_outlives_the_flood_by_its_heartbeats) {
  const auto rig = make(config::Protocol::sctp, [](Rig& r) { r.redirector_options.half_open_sessions = 1; });
  rig->send(sctp(client(1), 0, init_chunk(kTc)));
  rig->send(sctp(client(2), kTp, cookie_echo()));
  const unsigned pe = pe_of(rig->send(sctp(client(20), 0, init_chunk(kTc))).at(0));
  rig->send(sctp(client(20), kTp, cookie_echo()));
  ASSERT_EQ(rig->redirector->session_stats().sessions, 2u) << "steered";
  for (unsigned beats = 0; beats < 3; ++beats) {
    rig->pass_ms(48'000);
    const auto beat = rig->send(sctp(client(20), kTp, chunk(4, 0, Bytes(8))));
    ASSERT_EQ(beat.size(), 1u);
    ASSERT_EQ(beat[0].chunk_type(), 4) << "aborted by us";
    EXPECT_EQ(pe_of(beat[0]), pe);
  }
}

TEST(Quota, a_full_table_keeps_the_established_and_steers_the_new) {
  const auto rig = make(config::Protocol::udp, [](Rig& r) { r.redirector_options.sessions = 18; });
  std::map<unsigned, unsigned> pes;
  for (unsigned n = 1; n <= 40; ++n) pes[n] = pe_of(rig->send(udp(client(n), "a")).at(0));
  EXPECT_EQ(rig->redirector->session_stats().sessions, 18u);
  for (unsigned n = 1; n <= 40; ++n) EXPECT_EQ(pe_of(rig->send(udp(client(n), "a")).at(0)), pes[n]) << n;
}

}  // namespace
}  // namespace poolgate::test
