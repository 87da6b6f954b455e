// SPDX-License-Identifier: BSD-3-Clause
// TCP's FIN and RST (RFC 9293 §3.6, §3.5.2): whose end a connection, which is kept for a minute or for
// seconds then, and what shows that they were forged (RFC 5961 §1).
#include "tests/unit/two_pes.h"

namespace poolgate::test {
namespace {

using namespace two_pes;

constexpr uint32_t kForged = 0x77777777;
constexpr unsigned kIdleMs = 62'000;  // longer than a closing connection is kept

class Fin : public ::testing::Test {
 protected:
  void begin(config::Mode mode = config::Mode::l2, uint32_t sequence = 1) {
    rig = make(config::Protocol::tcp, [mode](Rig& r) { r.config.services[0].mode = mode; });
    const auto syn = rig->send(tcp(client(), kSyn, sequence - 1, 0));
    server = {syn.at(0).to(), client().from, 3868, client().from_port};
    rig->send(tcp(client(), kAck, sequence, 9));
    ASSERT_STREQ(state(), "established");
  }
  const char* state() const { return only(*rig).state; }
  uint32_t sessions() const { return rig->redirector->session_stats().sessions; }
  void from_client(uint8_t flags, uint32_t sequence, const std::string& payload = "") {
    EXPECT_EQ(rig->send(tcp(client(), flags, sequence, 9, payload)).size(), 1u) << "the PE judges it";
  }
  std::unique_ptr<Rig> rig;
  Flow server;
};

TEST_F(Fin, in_direct_return_a_clients_makes_it_a_closing_one) {
  begin();
  from_client(kFin | kAck, 1, "the last");
  EXPECT_STREQ(state(), "closing");
  from_client(kAck, 10);
  EXPECT_STREQ(state(), "closing") << "of the server's FIN";
  rig->pass_ms(kIdleMs);
  EXPECT_EQ(sessions(), 0u);
}

TEST_F(Fin, RFC_9293_3_6_what_comes_late_or_again_from_in_front_of_it_contradicts_nothing) {
  for (const uint32_t first : {1u, 0xfffffff0u}) {  // numbers wrap
    begin(config::Mode::l2, first);
    from_client(kFin | kAck, first + 40, "the last");
    for (const uint32_t sequence : {first, first + 20, first + 40}) {
      from_client(kAck, sequence, "8 bytes.");
      from_client(kAck, sequence);
    }
    from_client(kFin | kAck, first + 40, "the last");
    from_client(kAck, first + 49);
    from_client(kAck, first + 48);  // RFC 9293 §3.8.4: a keep-alive
    EXPECT_STREQ(state(), "closing");
  }
}

// Who does not see the connection has to guess where the client is in its stream.
TEST_F(Fin, RFC_5961_3_2_a_FIN_or_RST_from_elsewhere_in_the_stream_ends_nothing_however_silent_it_is) {
  for (const auto mode : {config::Mode::l2, config::Mode::nat}) {
    for (const int flags : {kFin | kAck, kRst | kAck, kRst | 0}) {
      for (const uint32_t forged : {kForged, 1u + 70'000, 1u - 70'000}) {
        begin(mode);
        from_client(static_cast<uint8_t>(flags), forged);
        EXPECT_STREQ(state(), "established") << flags << " " << forged;
        rig->pass_ms(kIdleMs);
        ASSERT_EQ(sessions(), 1u) << flags << " " << forged;
      }
    }
  }
}

TEST_F(Fin, acknowledgements_in_its_name_do_not_move_the_client) {
  begin();
  for (unsigned n = 0; n < 4; ++n) from_client(kAck, kForged + n, "guess");
  from_client(kFin | kAck, kForged + 8);
  EXPECT_STREQ(state(), "established");
  from_client(kFin | kAck, 1);
  EXPECT_STREQ(state(), "closing") << "its own";
}

TEST_F(Fin, where_the_client_is_follows_what_it_sends_with_gaps_and_over_the_end_of_the_numbers) {
  begin(config::Mode::l2, 0xfff00000);
  from_client(kAck, 0xfff00000 + 10'000'000, "8 bytes.");
  from_client(kAck, 0xfff00000 + 9'000'000, "again");
  from_client(kFin | kAck, 0xfff00000 + 10'000'008);
  EXPECT_STREQ(state(), "closing");
}

TEST_F(Fin, the_clients_RST_ends_it) {
  begin();
  from_client(kAck, 1, "8 bytes.");
  from_client(kRst, 9);
  EXPECT_STREQ(state(), "closed");
}

TEST_F(Fin, a_data_plane_that_comes_back_does_not_know_where_the_client_is) {
  const RestartFiles files;
  const auto with_files = [&](Rig& r) { files.give(r); };
  {
    const auto before = make(config::Protocol::tcp, with_files);
    before->send(tcp(client(), kSyn, 0, 0));
    before->send(tcp(client(), kAck, 1, 9));
  }
  rig = make(config::Protocol::tcp, with_files);
  ASSERT_STREQ(state(), "established");
  from_client(kAck, 1'000'000'000, "it went on by another appliance");
  from_client(kFin | kAck, 1'000'000'031);
  EXPECT_STREQ(state(), "closing");
}

// Near enough by chance, or by who sees it.
TEST_F(Fin, RFC_5961_a_forged_one_is_forgotten_when_the_client_goes_on) {
  for (const uint32_t forged : {60'000u, 0u, 0xffff8000u}) {
    begin();
    from_client(kFin | kAck, forged);
    EXPECT_STREQ(state(), "closing");
    from_client(kAck, 100'000, "request");
    EXPECT_STREQ(state(), "established");
    rig->pass_ms(kIdleMs);
    EXPECT_EQ(sessions(), 1u);
    from_client(kFin | kAck, 100'007);
    EXPECT_STREQ(state(), "closing") << "its own";
  }
}

TEST_F(Fin, an_acknowledgement_alone_contradicts_a_forged_one) {
  begin();
  from_client(kFin | kAck, 1u - 1000);
  EXPECT_STREQ(state(), "closing");
  from_client(kAck, 1);
  EXPECT_STREQ(state(), "established");
}

TEST_F(Fin, a_clients_own_behind_a_forged_one_is_the_one_that_counts) {
  begin();
  from_client(kFin | kAck, 1u - 1000);
  from_client(kFin | kAck, 1);
  from_client(kAck, 2);
  EXPECT_STREQ(state(), "closing");
}

TEST_F(Fin, in_nat_a_clients_alone_changes_nothing_however_silent_the_connection_is) {
  begin(config::Mode::nat);
  from_client(kFin | kAck, kForged);
  EXPECT_STREQ(state(), "established");
  rig->pass_ms(kIdleMs);
  EXPECT_EQ(sessions(), 1u);
  from_client(kAck, 1, "request");
  EXPECT_STREQ(state(), "established");
}

TEST_F(Fin, in_nat_the_servers_says_that_it_closes) {
  begin(config::Mode::nat);
  from_client(kFin | kAck, 1);
  EXPECT_EQ(rig->send(tcp(server, kFin | kAck, 9, 2)).size(), 1u);
  EXPECT_STREQ(state(), "closing");
  from_client(kAck, 2);
  EXPECT_STREQ(state(), "closing");
  rig->pass_ms(kIdleMs);
  EXPECT_EQ(sessions(), 0u);
}

}  // namespace
}  // namespace poolgate::test
