// SPDX-License-Identifier: BSD-3-Clause
// What a worker notices of PEs without asking: clients that nobody answers, and ICMP errors on the way to a
// PE.
#include "tests/unit/redirect_rig.h"

namespace poolgate::test {
namespace {

using redirect::Suspicion;
using rserpool::TransportType;

Flow client(unsigned n) {
  return {ip(("203.0.113." + std::to_string(n)).c_str()), ip("192.0.2.1"), static_cast<uint16_t>(40000 + n),
          3868};
}

Bytes error_about(const Bytes& about, const IpAddress& to, uint8_t type, uint8_t code, size_t quoted = 64) {
  const IpAddress router = ip(to.is_v6() ? "2001:db8:f::1" : "198.18.0.9");
  Bytes p{type, code};
  add16(p, 0);
  add32(p, 0);
  add(p, slice(about, 14, std::min(quoted, about.size() - 14)));
  set16(p, 2, to.is_v6() ? transport_checksum(router, to, 58, p) : internet_checksum(p));
  return ip_frame({router, to, 0, 0}, to.is_v6() ? 58 : 1, p);
}

class Passive : public ::testing::TestWithParam<config::Protocol> {
 protected:
  void begin(config::Mode mode = config::Mode::nat) {
    const bool tcp = GetParam() == config::Protocol::tcp;
    rig = std::make_unique<Rig>(tcp ? TransportType::tcp : TransportType::sctp);
    rig->service(GetParam(), mode);
    rig->redirector_options.tunnel_sources.fill({ip("10.0.0.254"), ip("fd00::fe")});
    rig->set_pool({{21, "10.0.0.21", 3868}});
    rig->start();
  }
  std::vector<Frame> open(unsigned n) {
    return rig->send(GetParam() == config::Protocol::tcp ? tcp(client(n), kSyn, 100, 0)
                                                         : sctp(client(n), 0, init_chunk(0xc000 + n)));
  }
  // The PE's answer to what was forwarded to it.
  void answer(const Frame& at_pe) {
    const Flow back{at_pe.to(), at_pe.from(), static_cast<uint16_t>(at_pe.to_port()),
                    static_cast<uint16_t>(at_pe.from_port())};
    rig->send(GetParam() == config::Protocol::tcp ? tcp(back, kSyn | kAck, 7, 101)
                                                  : sctp(back, 0xc001, init_chunk(0xd001, {}, 2)));
  }
  std::vector<Suspicion> noticed() {
    std::vector<Suspicion> all;
    for (Suspicion s; rig->redirector->next_suspicion(s);) all.push_back(s);
    return all;
  }
  std::unique_ptr<Rig> rig;
};

TEST_P(Passive, several_clients_that_a_PE_does_not_answer_are_a_suspicion_and_no_death) {
  begin();
  for (unsigned n = 1; n <= 4; ++n) {
    open(n);
    rig->pass_ms(300);
  }
  EXPECT_TRUE(noticed().empty()) << "the last may still be answered";
  rig->pass_ms(1500);
  const auto seen = noticed();
  ASSERT_EQ(seen.size(), 1u);
  EXPECT_EQ(seen[0].why, Suspicion::Why::unanswered);
  EXPECT_EQ(seen[0].protocol, static_cast<uint8_t>(GetParam()));
  EXPECT_EQ(rig->pools->slots()[seen[0].pe].identity.pe_id, 21u);
  EXPECT_FALSE(rig->pools->slots()[seen[0].pe].down.load());
}

TEST_P(Passive, one_client_that_tries_again_and_again_is_none) {
  begin();
  for (unsigned i = 0; i < 20; ++i) {
    Flow f = client(1);
    f.from_port = static_cast<uint16_t>(41000 + i);
    rig->send(GetParam() == config::Protocol::tcp ? tcp(f, kSyn, 100, 0)
                                                  : sctp(f, 0, init_chunk(0xc000 + i)));
    rig->pass_ms(200);
  }
  EXPECT_TRUE(noticed().empty());
}

TEST_P(Passive, one_packet_of_the_PE_begins_the_count_again) {
  begin();
  for (unsigned n = 1; n <= 12; ++n) {
    const auto sent = open(n);
    ASSERT_EQ(sent.size(), 1u);
    if (n % 3 == 0) answer(sent[0]);
    rig->pass_ms(300);
  }
  rig->pass_ms(3000);
  EXPECT_TRUE(noticed().empty());
}

TEST_P(Passive, what_it_says_to_clients_that_it_serves_already_is_no_answer_to_new_ones) {
  begin();
  const bool is_tcp = GetParam() == config::Protocol::tcp;
  const auto at_pe = open(50);
  ASSERT_EQ(at_pe.size(), 1u);
  const Flow back{at_pe[0].to(), at_pe[0].from(), static_cast<uint16_t>(at_pe[0].to_port()),
                  static_cast<uint16_t>(at_pe[0].from_port())};
  rig->send(is_tcp ? tcp(back, kSyn | kAck, 7, 101) : sctp(back, 0xc000 + 50, init_chunk(0xd001, {}, 2)));
  rig->send(is_tcp ? tcp(client(50), kAck, 101, 8) : sctp(client(50), 0xd001, cookie_echo()));
  if (!is_tcp) rig->send(sctp(back, 0xc000 + 50, chunk(11, 0, {})));
  for (unsigned n = 1; n <= 4; ++n) {
    open(n);
    const auto served = rig->send(is_tcp ? tcp(back, kAck, 8, 101) : sctp(back, 0xc000 + 50, data_chunk()));
    ASSERT_EQ(served.size(), 1u);
    EXPECT_EQ(served[0].to(), client(50).from);
    rig->pass_ms(300);
  }
  rig->pass_ms(1500);
  EXPECT_EQ(noticed().size(), 1u);
}

TEST_P(Passive, an_answer_after_the_last_of_them_is_in_time) {
  begin();
  std::vector<Frame> last;
  for (unsigned n = 1; n <= 4; ++n) last = open(n);
  rig->pass_ms(900);
  answer(last.at(0));
  rig->pass_ms(3000);
  EXPECT_TRUE(noticed().empty());
}

TEST_P(Passive, clients_of_more_than_the_window_do_not_add_up) {
  begin();
  for (unsigned n = 1; n <= 8; ++n) {
    open(n);
    rig->pass_ms(4000);
  }
  EXPECT_TRUE(noticed().empty());
}

TEST_P(Passive, in_direct_return_silence_is_all_that_is_ever_heard) {
  begin(config::Mode::l2);
  for (unsigned n = 1; n <= 8; ++n) open(n);
  rig->pass_ms(3000);
  EXPECT_TRUE(noticed().empty());
}

TEST_P(Passive, RFC_792_destination_unreachable_about_a_packet_to_the_PE_is_a_suspicion) {
  begin();
  const auto sent = open(1);
  ASSERT_EQ(sent.size(), 1u);
  rig->send(error_about(sent[0].bytes, sent[0].from(), 3, 1));
  const auto seen = noticed();
  ASSERT_EQ(seen.size(), 1u);
  EXPECT_EQ(seen[0].why, Suspicion::Why::unreachable);
  EXPECT_EQ(seen[0].code, 1);
  EXPECT_EQ(rig->pools->slots()[seen[0].pe].identity.pe_id, 21u);
  EXPECT_FALSE(rig->pools->slots()[seen[0].pe].down.load());
}

TEST_P(Passive, what_is_about_a_size_or_of_no_session_is_none) {
  begin();
  const auto sent = open(1);
  rig->send(error_about(sent[0].bytes, sent[0].from(), 3, 4));   // fragmentation needed
  rig->send(error_about(sent[0].bytes, sent[0].from(), 11, 0));  // time exceeded
  Bytes other = sent[0].bytes;
  set16(other, 34, 9);  // a source port that nothing left from
  rig->send(error_about(other, sent[0].from(), 3, 1));
  EXPECT_TRUE(noticed().empty());
}

TEST_P(Passive, RFC_2003_4_destination_unreachable_about_a_tunnels_outer_header_is_a_suspicion) {
  for (const config::Mode mode : {config::Mode::ipip, config::Mode::gue}) {
    begin(mode);
    const auto sent = open(1);
    ASSERT_EQ(sent.size(), 1u);
    rig->send(error_about(sent[0].bytes, ip("10.0.0.254"), 3, 1, 28));  // as little as RFC 792 has quoted
    const auto seen = noticed();
    ASSERT_EQ(seen.size(), 1u);
    EXPECT_EQ(seen[0].why, Suspicion::Why::tunnel_unreachable);
    EXPECT_EQ(IpAddress::v4(seen[0].address), ip("10.0.0.21"));
    EXPECT_EQ(rig->exceptions.size(), 1u) << "the kernel hears of it, too";
    // Of what did not come from our tunnel address, or is no tunnel's.
    Bytes forged = sent[0].bytes;
    forged[14 + 15] ^= 1;
    rig->send(error_about(forged, ip("10.0.0.255"), 3, 1, 28));
    forged = sent[0].bytes;
    forged[14 + 9] = 47;
    rig->send(error_about(forged, ip("10.0.0.254"), 3, 1, 28));
    EXPECT_TRUE(noticed().empty());
  }
}

TEST_P(Passive, a_flood_of_errors_is_bounded_and_counted) {
  begin();
  const auto sent = open(1);
  for (int i = 0; i < 500; ++i) rig->send(error_about(sent[0].bytes, sent[0].from(), 3, 1));
  const size_t told = noticed().size();
  EXPECT_GE(told, 1u);
  EXPECT_LE(told, 50u);
  EXPECT_EQ(rig->dropped(redirect::DropReason::suspicion_lost), 500 - told);
}

TEST(PassiveWatch, one_in_doubt_is_not_driven_out_by_others_and_one_that_answered_is) {
  using redirect::PassiveWatch;
  constexpr pool::PeSlotIndex kPe = 3, kOther = kPe + PassiveWatch::kWatched;
  std::vector<pool::PeLine> lines(kOther + 1);
  const auto look = [&](PassiveWatch& watch, uint32_t now_ms) {
    std::vector<pool::PeSlotIndex> found;
    Suspicion suspicion;
    for (unsigned i = 0; i < PassiveWatch::kWatched; ++i)
      if (watch.look(lines.data(), now_ms, suspicion)) found.push_back(suspicion.pe);
    return found;
  };
  PassiveWatch doubt;
  for (uint64_t client = 1; client <= PassiveWatch::kClients; ++client) {
    doubt.asked(lines.data(), kPe, client, 6, 1000);
    doubt.asked(lines.data(), kOther, client, 6, 1000);
  }
  EXPECT_EQ(look(doubt, 3000), std::vector<pool::PeSlotIndex>{kPe});
  PassiveWatch room;
  room.asked(lines.data(), kPe, 1, 6, 1000);
  PassiveWatch::answered(lines[kPe]);
  for (uint64_t client = 1; client <= PassiveWatch::kClients; ++client)
    room.asked(lines.data(), kOther, client, 6, 1000);
  EXPECT_EQ(look(room, 3000), std::vector<pool::PeSlotIndex>{kOther});
}

INSTANTIATE_TEST_SUITE_P(Protocols, Passive, ::testing::Values(config::Protocol::sctp, config::Protocol::tcp),
                         [](const auto& c) { return std::string(config::to_string(c.param)); });

}  // namespace
}  // namespace poolgate::test
