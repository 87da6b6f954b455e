// SPDX-License-Identifier: BSD-3-Clause
// TCP in `nat`: a connection is with one address of its PE (RFC 9293 §3.3.1), and ends with it, though the PE
// lives on at another.
#include "tests/unit/redirect_rig.h"

namespace poolgate::test {
namespace {

using config::Mode;
using Prober = pool::AddressVerdict::Prober;

const IpAddress kVip = ip("192.0.2.1");
const IpAddress kDead = ip("10.0.0.21");
constexpr uint16_t kPort = 3868;
constexpr uint32_t kLastAck = 7070;

Flow client(unsigned n = 1) {
  return {ip(("203.0.113." + std::to_string(n)).c_str()), kVip, static_cast<uint16_t>(40000 + n), kPort};
}

// PE n has 10.0.0.n1 and 10.0.0.n2.
class DeadAddress : public ::testing::Test {
 protected:
  void begin(unsigned pes = 1, config::Protocol protocol = config::Protocol::tcp, Mode mode = Mode::nat,
             config::OnPeDeath rule = config::OnPeDeath::abort) {
    rig = std::make_unique<Rig>(protocol == config::Protocol::sctp  ? rserpool::TransportType::sctp
                                : protocol == config::Protocol::tcp ? rserpool::TransportType::tcp
                                                                    : rserpool::TransportType::udp);
    pool::PoolTableOptions options;
    options.resolve = [this](const IpAddress& a) {
      return a == unrouted ? pool::Route{} : pool::Route{a.data()[3], true};
    };
    rig->pools = std::move(*pool::PoolTable::create(options));
    auto& service = rig->service(protocol, mode);
    service.vips = {kVip};
    service.on_pe_death = rule;
    service.abort_rate = abort_rate;
    service.panic_share = pes == 1 ? 1 : 0.5;
    std::vector<std::string> names;
    for (unsigned n = 2; n < 2 + pes; ++n)
      for (const char* link : {"1", "2"}) names.push_back("10.0.0." + std::to_string(n) + link);
    std::vector<PeSpec> specs;
    for (size_t n = 0; n < pes; ++n)
      specs.push_back({static_cast<uint32_t>(n + 2),
                       names[2 * n].c_str(),
                       kPort,
                       1,
                       channel::PeState::up,
                       {names[2 * n + 1].c_str()}});
    rig->set_pool(specs);
    rig->start();
  }
  unsigned connect(unsigned n = 1) {
    const unsigned pe = pe_of(rig->send(tcp(client(n), kSyn, 100, 0)).at(0));
    rig->send(tcp(client(n), kAck, 101, 5000));
    EXPECT_EQ(pe_of(rig->send(tcp(client(n), kAck, 101, kLastAck + n, "request")).at(0)), pe);
    return pe;
  }
  // RFC 5961 §3.2: the one sequence number with which the client believes it.
  static void expect_reset(const Frame& f, unsigned n) {
    EXPECT_EQ(f.protocol(), 6);
    EXPECT_EQ(f.bytes.at(f.l4() + 13), kRst);
    EXPECT_EQ(get32(f.bytes, f.l4() + 4), kLastAck + n);
    EXPECT_EQ(f.from(), kVip);
    EXPECT_EQ(f.from_port(), kPort);
    EXPECT_EQ(f.to(), client(n).from);
    EXPECT_EQ(f.to_port(), client(n).from_port);
    EXPECT_EQ(f.destination_mac(), Bytes(kClientMac, kClientMac + 6));
    EXPECT_TRUE(f.checksums_right());
  }
  uint64_t aborted() const {
    return rig->redirector->counters(rig->services->services()[0].index).aborted.load();
  }
  pool::PeSlots& slots() { return rig->pools->slots(); }

  std::unique_ptr<Rig> rig;
  IpAddress unrouted;
  uint32_t abort_rate = 1000;
};

TEST_F(DeadAddress, RFC_5961_3_2_its_client_is_told_in_the_next_burst_whoever_found_it_dead) {
  const std::vector<std::function<void()>> finders{
      [&] { slots().prober_says(kDead, Prober::dead); },
      [&] { slots().sctp_path_is(kDead, true); },
      [&] { slots().neighbour_is(21, true); },
  };
  for (const auto& find : finders) {
    begin();
    ASSERT_EQ(connect(), 21u);
    find();
    const auto told = rig->burst({});
    ASSERT_EQ(told.size(), 1u);
    expect_reset(told[0], 1);
    EXPECT_EQ(aborted(), 1u);
    EXPECT_EQ(rig->redirector->session_stats().sessions, 0u);
    EXPECT_TRUE(rig->pass_ms(100).empty()) << "and no second";
    EXPECT_EQ(connect(), 22u) << "the PE lives";
    EXPECT_TRUE(rig->pass_ms(100).empty());
  }
}

TEST_F(DeadAddress, connections_with_the_live_address_stay_and_so_do_those_begun_after_it_is_back) {
  begin();
  slots().prober_says(kDead, Prober::dead);
  ASSERT_EQ(connect(1), 22u);
  slots().prober_says(kDead, Prober::alive);
  ASSERT_EQ(connect(2), 21u);
  EXPECT_TRUE(rig->pass_ms(100).empty());
  slots().prober_says(kDead, Prober::dead);
  const auto told = rig->burst({});
  ASSERT_EQ(told.size(), 1u);
  expect_reset(told[0], 2);
  EXPECT_EQ(rig->redirector->session_stats().sessions, 1u);
}

TEST_F(DeadAddress, the_rest_is_paced_but_who_sends_is_told_at_once) {
  abort_rate = 1;
  begin();
  constexpr unsigned kClients = redirect::kMaxGenerated + 6;
  for (unsigned n = 1; n <= kClients; ++n) ASSERT_EQ(connect(n), 21u);
  slots().prober_says(kDead, Prober::dead);
  std::set<unsigned> told;
  for (const auto& f : rig->burst({})) told.insert(f.to_port() - 40000u);
  EXPECT_EQ(told.size(), redirect::kMaxGenerated);
  unsigned waits = 1;
  while (told.contains(waits)) ++waits;
  const auto got = rig->send(tcp(client(waits), kAck, 102, kLastAck + waits, "more"));
  ASSERT_EQ(got.size(), 1u);
  expect_reset(got[0], waits);
  EXPECT_EQ(rig->dropped(redirect::DropReason::pe_dead), 1u);
  EXPECT_EQ(aborted(), redirect::kMaxGenerated + 1u);
}

TEST_F(DeadAddress, a_SYN_over_the_ports_of_one_that_was_not_told_yet_begins_with_the_live_address) {
  abort_rate = 1;
  begin();
  for (unsigned n = 1; n <= redirect::kMaxGenerated + 1; ++n) ASSERT_EQ(connect(n), 21u);
  slots().prober_says(kDead, Prober::dead);
  const auto got = rig->send(tcp(client(1), kSyn, 900, 0));  // the oldest is told last
  ASSERT_EQ(got.size(), redirect::kMaxGenerated + 1u);
  const auto syn =
      std::find_if(got.begin(), got.end(), [](const Frame& f) { return f.from() == client(1).from; });
  ASSERT_NE(syn, got.end());
  EXPECT_EQ(syn->to(), ip("10.0.0.22"));
}

TEST_F(DeadAddress, one_that_is_not_established_is_not_told_as_its_next_SYN_is_answered) {
  begin();
  ASSERT_EQ(pe_of(rig->send(tcp(client(), kSyn, 100, 0)).at(0)), 21u);
  slots().prober_says(kDead, Prober::dead);
  EXPECT_TRUE(rig->pass_ms(100).empty());
  EXPECT_EQ(pe_of(rig->send(tcp(client(), kSyn, 100, 0)).at(0)), 22u);
}

TEST_F(DeadAddress, drain_and_hold_leave_it_where_it_is) {
  for (const auto rule : {config::OnPeDeath::drain, config::OnPeDeath::hold}) {
    begin(1, config::Protocol::tcp, Mode::nat, rule);
    ASSERT_EQ(connect(1), 21u);
    slots().prober_says(kDead, Prober::dead);
    EXPECT_TRUE(rig->pass_ms(100).empty());
    EXPECT_EQ(pe_of(rig->send(tcp(client(1), kAck, 102, kLastAck, "more")).at(0)), 21u);
    EXPECT_EQ(connect(2), 22u);
    EXPECT_EQ(aborted(), 0u);
  }
}

TEST_F(DeadAddress, while_no_other_lives_none_is_better) {
  begin();
  slots().prober_says(ip("10.0.0.22"), Prober::dead);
  ASSERT_EQ(connect(1), 21u);
  slots().prober_says(kDead, Prober::dead);
  EXPECT_TRUE(rig->pass_ms(100).empty());
  slots().prober_says(ip("10.0.0.22"), Prober::alive);
  ASSERT_EQ(rig->burst({}).size(), 1u) << "now there is";
}

TEST_F(DeadAddress, that_we_have_no_route_is_not_its_death) {
  begin();
  ASSERT_EQ(connect(1), 21u);
  unrouted = kDead;
  rig->pools->routes_changed(rig->now_us);
  EXPECT_TRUE(rig->pass_ms(100).empty());
  unrouted = {};
  rig->pools->routes_changed(rig->now_us);
  EXPECT_EQ(pe_of(rig->send(tcp(client(1), kAck, 102, kLastAck, "more")).at(0)), 21u);
}

TEST_F(DeadAddress, only_TCP_of_nat_ends) {
  begin(1, config::Protocol::tcp, Mode::l2);
  ASSERT_EQ(connect(1), 21u);
  slots().prober_says(kDead, Prober::dead);
  EXPECT_TRUE(rig->pass_ms(100).empty());
  EXPECT_EQ(pe_of(rig->send(tcp(client(1), kAck, 102, kLastAck, "more")).at(0)), 22u) << "goes by the other";

  begin(1, config::Protocol::sctp);
  rig->send(sctp(client(1), 0, init_chunk(1)));
  rig->send(sctp(client(1), 2, cookie_echo()));
  slots().prober_says(kDead, Prober::dead);
  EXPECT_TRUE(rig->pass_ms(100).empty());
  EXPECT_EQ(rig->redirector->session_stats().sessions, 1u);
}

// The guard (DESIGN.md §5): what so many lose at once is the network between.
TEST_F(DeadAddress, too_many_at_once_are_held_until_the_operator_says_so) {
  begin(4);
  for (unsigned n = 1; n <= 16; ++n) connect(n);
  unsigned told = 0;
  for (const unsigned pe : {2, 3, 4, 5}) {
    slots().prober_says(ip(("10.0.0." + std::to_string(pe) + "1").c_str()), Prober::dead);
    told += static_cast<unsigned>(rig->burst({}).size());
  }
  EXPECT_EQ(told, 8u) << "two of four may";
  EXPECT_EQ(rig->pass_ms(10'000).size(), 0u);
  EXPECT_EQ(rig->redirector->session_stats().sessions, 8u);
  EXPECT_TRUE(rig->pools->guard_active("pool"));
  EXPECT_EQ(rig->pools->panicking(), std::vector<std::string>{"pool"});

  // One is back, and its connections never left it.
  slots().prober_says(ip("10.0.0.41"), Prober::alive);
  EXPECT_EQ(rig->pools->end_held("pool", rig->now_us), 4u);
  EXPECT_EQ(rig->pass_ms(100).size(), 4u);
  EXPECT_EQ(rig->redirector->session_stats().sessions, 4u);
  EXPECT_FALSE(rig->pools->guard_active("pool"));
}

TEST_F(DeadAddress, no_alarm_is_raised_where_nothing_is_held) {
  for (const Mode mode : {Mode::nat, Mode::l2}) {
    begin(4, config::Protocol::tcp, mode);
    for (unsigned n = 1; mode == Mode::l2 && n <= 8; ++n) connect(n);
    for (const char* address : {"10.0.0.21", "10.0.0.31", "10.0.0.41", "10.0.0.51"})
      slots().prober_says(ip(address), Prober::dead);
    EXPECT_FALSE(rig->pools->guard_active("pool")) << to_string(mode);
    EXPECT_EQ(connect(9) % 10, 2u);
  }
}

TEST_F(DeadAddress, further_addresses_of_one_PE_count_once_for_the_guard) {
  begin(4);
  for (unsigned round = 0; round < 4; ++round) {
    slots().prober_says(kDead, Prober::dead);
    slots().prober_says(kDead, Prober::alive);
  }
  while (connect(1) != 21) rig->send(tcp(client(1), kRst, 102, 0));
  slots().prober_says(kDead, Prober::dead);
  EXPECT_EQ(rig->burst({}).size(), 1u);
}

TEST_F(DeadAddress, while_the_registrar_has_lost_all_associations_nothing_ends) {
  begin();
  ASSERT_EQ(connect(1), 21u);
  rig->pools->set_registrar_guard(true);
  slots().sctp_path_is(kDead, true);
  EXPECT_TRUE(rig->pass_ms(100).empty());
}

}  // namespace
}  // namespace poolgate::test
