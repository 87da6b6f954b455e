// SPDX-License-Identifier: BSD-3-Clause
// A client whose addresses are behind different routers: what goes to an address leaves by the router that
// its packets come by, and only the association's own packets say which that is.
#include "dataplane/session/session_table.h"
#include "tests/fuzz/session_table_check.h"
#include "tests/unit/icmp_builder.h"
#include "tests/unit/nat_association.h"

namespace poolgate::test {
namespace {

using namespace nat_association;
using rserpool::TransportType;

const IpAddress kPeSecond = ip("10.0.0.22");
constexpr Router kOther{0xc2, 2};
constexpr uint32_t kWrong = 0x77777777;
const Bytes kHeartbeat = chunk(4, 0, parameter(1, Bytes(20, 0x33)));
const Bytes kSack = chunk(3, 0, Bytes(12));

// A client of C1 behind kRouter and C2 behind kOther, and a PE of two addresses, and one of IPv6.
class ClientRouters : public NatAssociation {
 protected:
  void TearDown() override {
    if (rig.redirector == nullptr) return;
    EXPECT_EQ(broken_rule(rig.redirector->session_table(), rig.pools->slots().capacity()), std::nullopt);
  }
  void associate(uint16_t pe_port = kPePort) {
    rig.service(config::Protocol::sctp, config::Mode::nat).vips = {kVip, kVip2, kVip6};
    rig.set_pool({{21, "10.0.0.21", pe_port, 1, channel::PeState::up, {"10.0.0.22", "fd00::15"}}});
    rig.start();
    pe = pe_port;
    rig.send(sctp({kC1, kVip, kClientPort, kVipPort}, 0, init_chunk(kTc, addresses({kC2, kC6}))));
    rig.send(to_client(kP1, kC1, init_chunk(kTp, addresses({kPeSecond, kP6}), 2)));
    rig.send(to_pe(kC1, kVip, cookie_echo()));
    rig.send(to_client(kP1, kC1, chunk(11, 0, {})));
  }
  static Bytes to_pe(const IpAddress& c, const IpAddress& v, const Bytes& chunks, uint32_t tag = kTp) {
    return sctp({c, v, kClientPort, kVipPort}, tag, chunks);
  }
  Bytes to_client(const IpAddress& p, const IpAddress& c, const Bytes& chunks, uint32_t tag = kTc) const {
    return sctp({p, c, pe, kClientPort}, tag, chunks);
  }
  // Twice, as the second may leave by a copy of what it needs of its session.
  void expect_by(const Router& router, const IpAddress& p, const IpAddress& c) {
    for (const Bytes& chunks : {data_chunk(), data_chunk(), kHeartbeat}) {
      const auto got = rig.send(to_client(p, c, chunks));
      ASSERT_EQ(got.size(), 1u);
      EXPECT_EQ(got[0].to(), c);
      EXPECT_TRUE(router.gets(got[0])) << got[0].port;
    }
  }
  unsigned copies() const {
    const session::SessionTable& table = rig.redirector->session_table();
    unsigned n = 0;
    for (session::SessionIndex i = session::kFirst; i < table.end(); ++i)
      n += table.valid(i) && (table.at(i).flags & session::kFromPe) != 0 &&
           table.at(i).state == session::State::established;
    return n;
  }
  uint16_t pe = kPePort;
};

TEST_F(ClientRouters, RFC_9260_6_4_what_goes_to_an_address_leaves_by_the_router_of_that_address) {
  associate();
  for (int i = 0; i < 3; ++i) {
    ASSERT_EQ(rig.send_by(kOther, to_pe(kC2, kVip2, i == 1 ? data_chunk() : kHeartbeat)).size(), 1u);
    expect_by(kOther, kPeSecond, kC2);
    expect_by(kRouter, kP1, kC1);
    ASSERT_EQ(rig.send(to_pe(kC1, kVip, i == 1 ? data_chunk() : kHeartbeat)).size(), 1u);
    expect_by(kOther, kPeSecond, kC2);
    expect_by(kRouter, kP1, kC1);
  }
}

TEST_F(ClientRouters, a_path_of_the_other_family_has_its_own_router_too) {
  associate();
  ASSERT_EQ(rig.send_by(kOther, to_pe(kC6, kVip6, kHeartbeat)).size(), 1u);
  expect_by(kOther, kP6, kC6);
  expect_by(kRouter, kP1, kC1);
}

TEST_F(ClientRouters, an_address_that_has_not_spoken_is_behind_the_router_of_the_first) {
  associate();
  expect_by(kRouter, kPeSecond, kC2);
  ASSERT_EQ(rig.send_by(kOther, to_pe(kC2, kVip2, kHeartbeat)).size(), 1u);
  expect_by(kOther, kPeSecond, kC2);  // and by no copy of what was before
}

TEST_F(ClientRouters, an_address_moves_to_another_router_with_its_next_packet_and_takes_no_other_along) {
  associate();
  ASSERT_EQ(rig.send_by(kOther, to_pe(kC2, kVip2, kHeartbeat)).size(), 1u);
  ASSERT_EQ(rig.send_by({0xc3, 0}, to_pe(kC2, kVip2, data_chunk())).size(), 1u);
  expect_by({0xc3, 0}, kPeSecond, kC2);
  expect_by(kRouter, kP1, kC1);
  ASSERT_EQ(rig.send_by({0xc4, 0}, to_pe(kC1, kVip, data_chunk())).size(), 1u);
  expect_by({0xc3, 0}, kPeSecond, kC2);
  expect_by({0xc4, 0}, kP1, kC1);
}

TEST_F(ClientRouters, a_heartbeat_by_one_path_leaves_the_other_paths_copies_alone) {
  associate();
  ASSERT_EQ(rig.send_by(kOther, to_pe(kC2, kVip2, kHeartbeat)).size(), 1u);
  expect_by(kRouter, kP1, kC1);
  expect_by(kOther, kPeSecond, kC2);
  ASSERT_EQ(copies(), 2u);
  rig.send_by(kOther, to_pe(kC2, kVip2, kHeartbeat));
  rig.send(to_pe(kC1, kVip, kHeartbeat));
  EXPECT_EQ(copies(), 2u);
  rig.send_by({0xc3, 0}, to_pe(kC2, kVip2, kHeartbeat));
  EXPECT_EQ(copies(), 1u) << "of the address that has moved, none";
}

TEST_F(ClientRouters, fragments_and_ICMP_errors_go_by_the_router_of_their_address) {
  associate(kVipPort);
  ASSERT_EQ(rig.send_by(kOther, to_pe(kC2, kVip2, kHeartbeat)).size(), 1u);
  ASSERT_EQ(rig.send(to_pe(kC1, kVip, kHeartbeat)).size(), 1u);
  Bytes whole = to_client(kPeSecond, kC2, data_chunk(std::string(1000, 'd')));
  for (const unsigned at : {0u, 512u}) {
    Bytes piece = slice(whole, 0, 34);
    const size_t n = std::min<size_t>(512, whole.size() - 34 - at);
    add(piece, slice(whole, 34 + at, n));
    set16(piece, 16, static_cast<unsigned>(20 + n));
    set16(piece, 20, at / 8 | (at == 0 ? 0x2000u : 0u));
    set16(piece, 24, 0);
    set16(piece, 24, internet_checksum(slice(piece, 14, 20)));
    const auto got = rig.send(piece);
    ASSERT_EQ(got.size(), 1u) << at;
    EXPECT_EQ(got[0].to(), kC2);
    EXPECT_TRUE(kOther.gets(got[0])) << at;
  }
  const Bytes about = sctp({kC2, kPeSecond, kClientPort, kVipPort}, kTp, data_chunk());
  const auto error = rig.send(icmp_error(ip("198.18.0.9"), kC2, 3, 4, 1400, about));
  ASSERT_EQ(error.size(), 1u);
  EXPECT_EQ(error[0].to(), kC2);
  EXPECT_TRUE(kOther.gets(error[0]));
}

// RFC 9260 §8.5: a packet with another tag is none of the association's, whoever says to have sent it.
TEST_F(ClientRouters, RFC_9260_8_5_only_packets_with_its_tag_move_an_address) {
  associate();
  const std::vector<std::pair<uint32_t, Bytes>> others = {
      {kWrong, data_chunk()},          {kWrong, kSack},         {kWrong, kHeartbeat},
      {kWrong, chunk(6, 0, {})},       {kWrong, cookie_echo()}, {0, init_chunk(kWrong)},
      {kWrong, chunk(7, 0, Bytes(4))}, {0, data_chunk()}};
  for (size_t i = 0; i < others.size(); ++i) {
    rig.send_by(kOther, to_pe(kC1, kVip, others[i].second, others[i].first));
    const auto got = rig.send(to_client(kP1, kC1, data_chunk()));
    ASSERT_EQ(got.size(), 1u) << i;
    EXPECT_TRUE(kRouter.gets(got[0])) << i;
  }
  rig.send_by(kOther, to_pe(kC1, kVip, data_chunk()));
  expect_by(kOther, kP1, kC1);
}

// RFC 9260 §5.2.2: the client began anew behind another router. Only its COOKIE ECHO ends the association
// that there was; but it can send none unless the INIT ACK reaches it.
TEST_F(ClientRouters, RFC_9260_5_2_2_an_INIT_ACK_goes_back_by_the_router_that_its_INIT_came_by) {
  associate();
  constexpr uint32_t kNewTp = 0x1bb, kNewTc = 0x1aa;
  rig.send_by(kOther, to_pe(kC1, kVip, init_chunk(kNewTc, addresses({kC2, kC6})), 0));
  const auto ack = rig.send(to_client(kP1, kC1, init_chunk(kNewTp, addresses({kPeSecond, kP6}), 2), kNewTc));
  ASSERT_EQ(ack.size(), 1u);
  EXPECT_TRUE(kOther.gets(ack[0]));
  expect_by(kRouter, kP1, kC1);
  rig.send_by(kOther, to_pe(kC1, kVip, cookie_echo(), kNewTp));
  const auto data = rig.send(to_client(kP1, kC1, data_chunk(), kNewTc));
  ASSERT_EQ(data.size(), 1u);
  EXPECT_TRUE(kOther.gets(data[0]));
}

// Likewise where the PE's server associates: to the client's INIT ACK it answers with COOKIE ECHO.
TEST_F(ClientRouters, RFC_9260_5_2_1_a_COOKIE_ECHO_goes_back_by_the_router_that_its_INIT_ACK_came_by) {
  associate();
  constexpr uint32_t kNewTp = 0x1bb, kNewTc = 0x1aa;
  ASSERT_EQ(rig.send(to_client(kP1, kC1, init_chunk(kNewTp, addresses({kPeSecond})), 0)).size(), 1u);
  rig.send_by(kOther, to_pe(kC1, kVip, init_chunk(kNewTc, addresses({kC2}), 2), kNewTp));
  const auto echo = rig.send(to_client(kP1, kC1, cookie_echo(), kNewTc));
  ASSERT_EQ(echo.size(), 1u);
  EXPECT_TRUE(kOther.gets(echo[0]));
  expect_by(kRouter, kP1, kC1);
}

// At any time of the 16 bits of milliseconds that a pending INIT's time has in direct return.
TEST_F(ClientRouters, RFC_9260_5_2_2_an_INIT_is_remembered_until_its_COOKIE_ECHO) {
  associate();
  for (uint32_t n = 0; n < 33; ++n) {
    rig.tick(2'000'000);
    const uint32_t tp = 0x200 + n, tc = 0x300 + n;
    rig.send_by(kOther, to_pe(kC1, kVip, init_chunk(tc, addresses({kC2, kC6})), 0));
    rig.pass_ms(50);
    rig.send_by(kOther, to_pe(kC1, kVip, cookie_echo(), tp));
    rig.send(to_client(kP1, kC1, chunk(11, 0, {}), tc));
    std::vector<redirect::SessionView> views;
    rig.redirector->dump_sessions(0, 10, views);
    ASSERT_EQ(views.size(), 1u);
    EXPECT_EQ(views[0].tag_p, tp) << n;
    EXPECT_EQ(views[0].tag_c, tc) << n;
  }
}

TEST_F(ClientRouters, an_INIT_that_comes_again_by_the_other_path_moves_only_its_own_address) {
  rig.service(config::Protocol::sctp, config::Mode::nat).vips = {kVip, kVip2};
  rig.set_pool({{21, "10.0.0.21", kPePort}});
  rig.start();
  rig.send(to_pe(kC1, kVip, init_chunk(kTc, addresses({kC2})), 0));
  rig.send_by(kOther, to_pe(kC2, kVip, init_chunk(kTc, addresses({kC1})), 0));
  const auto first = rig.send(to_client(kP1, kC1, init_chunk(kTp, {}, 2)));
  const auto second = rig.send(to_client(kP1, kC2, init_chunk(kTp, {}, 2)));
  ASSERT_EQ(first.size() + second.size(), 2u);
  EXPECT_TRUE(kRouter.gets(first[0]));
  EXPECT_TRUE(kOther.gets(second[0]));
}

TEST_F(ClientRouters, hops_of_all_addresses_outlive_a_restart_as_far_as_their_ports_do) {
  for (const bool has_port : {true, false}) {
    const RestartFiles files;
    uint64_t now_us = 0;
    const auto make = [&] {
      auto made = std::make_unique<Rig>();
      if (now_us != 0) made->now_us = now_us;
      made->service(config::Protocol::sctp, config::Mode::nat).vips = {kVip};
      files.give(*made);
      if (has_port)
        made->redirector_options.hop_is_ours = [](uint16_t port, const uint8_t*) { return port <= 3; };
      made->set_pool({{21, "10.0.0.21", kPePort}});
      made->start();
      return made;
    };
    {
      const auto before = make();
      before->send(to_pe(kC1, kVip, init_chunk(kTc, addresses({kC2})), 0));
      before->send(to_pe(kC1, kVip, cookie_echo()));
      before->send_by(kOther, to_pe(kC2, kVip, data_chunk()));
      now_us = before->now_us;
    }
    const auto after = make();
    const auto got = after->send(to_client(kP1, kC2, data_chunk()));
    ASSERT_EQ(got.size(), 1u);
    EXPECT_TRUE((has_port ? kOther : kRouter).gets(got[0]));
  }
}

// TCP has one path, and which of its segments are its own is for its ends to say.
TEST(ClientRoutersOfTcpAndUdp, each_packet_of_the_flow_moves_it) {
  for (const bool is_tcp : {true, false}) {
    Rig rig(is_tcp ? TransportType::tcp : TransportType::udp);
    rig.service(is_tcp ? config::Protocol::tcp : config::Protocol::udp, config::Mode::nat).vips = {kVip};
    rig.set_pool({{21, "10.0.0.21", kPePort}});
    rig.start();
    const Flow there{kC1, kVip, kClientPort, kVipPort}, back{kP1, kC1, kPePort, kClientPort};
    const auto packet = [&](const Flow& f, uint8_t flags) {
      return is_tcp ? tcp(f, flags, 1, 1, "x") : udp(f, "x");
    };
    rig.send(packet(there, kSyn));
    rig.send(packet(there, kAck));
    for (const Router& router : {kRouter, kOther, kRouter}) {
      rig.send_by(router, packet(there, kAck));
      for (int i = 0; i < 2; ++i) {
        const auto got = rig.send(packet(back, kAck));
        ASSERT_EQ(got.size(), 1u);
        EXPECT_TRUE(router.gets(got[0]));
      }
    }
  }
}

// Direct return: what ends an association whose PE died goes to an address by that one's router.
class DirectReturn : public ::testing::Test {
 protected:
  static std::unique_ptr<Rig> make(const RestartFiles* files = nullptr, uint64_t now_us = 0) {
    auto rig = std::make_unique<Rig>();
    if (now_us != 0) rig->now_us = now_us;
    rig->service().vips = {kVip, kVip2};
    if (files != nullptr) {
      files->give(*rig);
      rig->redirector_options.hop_is_ours = [](uint16_t port, const uint8_t*) { return port == kOther.port; };
    }
    rig->set_pool({{21, "10.0.0.21", kVipPort}, {22, "10.0.0.22", kVipPort}, {23, "10.0.0.23", kVipPort}});
    rig->start();
    return rig;
  }
  static unsigned associate(Rig& rig) {
    const auto init = rig.send(sctp(first, 0, init_chunk(kTc, addresses({kC2}))));
    rig.send(sctp(first, kTp, cookie_echo()));
    for (int i = 0; i < 2; ++i) rig.send_by(kOther, sctp(second, kTp, data_chunk()));
    rig.pass_ms(2000);
    for (int i = 0; i < 2; ++i) rig.send_by(kOther, sctp(second, kTp, data_chunk()));
    return pe_of(init.at(0));
  }
  static std::vector<Frame> at_death(Rig& rig, unsigned pe) {
    rig.pe_down(pe);
    return rig.burst({});
  }
  static inline const Flow first{kC1, kVip, kClientPort, kVipPort}, second{kC2, kVip2, kClientPort, kVipPort};
};

TEST_F(DirectReturn, the_ABORT_to_an_address_leaves_by_the_router_of_that_address) {
  const auto rig = make();
  const auto told = at_death(*rig, associate(*rig));
  ASSERT_EQ(told.size(), 1u);
  EXPECT_EQ(told[0].chunk_type(), 6);
  EXPECT_EQ(told[0].to(), kC1);
  EXPECT_TRUE(kRouter.gets(told[0]));
}

TEST_F(DirectReturn, a_packet_with_another_tag_does_not_say_where_its_sender_is) {
  const auto rig = make();
  const unsigned pe = associate(*rig);
  rig->pass_ms(2000);
  for (int i = 0; i < 2; ++i) rig->send_by({0xc3, 0}, sctp(first, kWrong, data_chunk()));
  const auto told = at_death(*rig, pe);
  ASSERT_EQ(told.size(), 1u);
  EXPECT_TRUE(kRouter.gets(told[0]));
}

TEST_F(DirectReturn, where_the_first_address_is_not_known_the_ABORT_goes_to_one_of_which_it_is) {
  const RestartFiles files;
  unsigned pe = 0;
  uint64_t now_us = 0;
  {
    const auto before = make(&files);
    pe = associate(*before);
    now_us = before->now_us;
  }
  const auto rig = make(&files, now_us);
  rig->burst({});
  const auto told = at_death(*rig, pe);
  ASSERT_EQ(told.size(), 1u);
  EXPECT_EQ(told[0].chunk_type(), 6);
  EXPECT_EQ(told[0].tag(), kTp);
  EXPECT_EQ(told[0].from(), kVip2);
  EXPECT_EQ(told[0].to(), kC2);
  EXPECT_TRUE(kOther.gets(told[0]));
  EXPECT_TRUE(told[0].checksums_right());
}

}  // namespace
}  // namespace poolgate::test
