// SPDX-License-Identifier: BSD-3-Clause
// Several workers being correct whatever worker a packet arrives at (DESIGN.md §5).

#include "dataplane/redirect/replaced_tags.h"
#include "tests/unit/multihomed_client.h"

namespace poolgate::test {
namespace {

using redirect::DropReason;
using namespace workers;

class EveryProtocol : public ::testing::TestWithParam<config::Protocol> {};

TEST_P(EveryProtocol, a_flow_that_arrives_anywhere_is_one_session_at_its_home) {
  const auto w = make(3, GetParam());
  const auto protocol = static_cast<uint8_t>(GetParam());
  const auto packet = [&](const Flow& f, bool first) {
    if (GetParam() == config::Protocol::udp) return udp(f, "x");
    if (GetParam() == config::Protocol::tcp) return tcp(f, first ? kSyn : kAck, 1, first ? 0 : 9);
    return first ? sctp(f, 0, init_chunk(kTc)) : sctp(f, kTp, data_chunk());
  };
  for (unsigned n = 1; n <= 60; ++n) {
    const Flow f = client(n);
    const unsigned home = w->home(f, protocol);
    const auto opened = w->send(n % 3, packet(f, true));
    const unsigned pe = only_pe(opened);
    EXPECT_EQ(opened.at(0).worker, home);
    if (GetParam() == config::Protocol::sctp) {
      EXPECT_EQ(only_pe(w->send((n + 1) % 3, sctp(f, kTp, cookie_echo()))), pe);
    }
    for (unsigned at = 0; at < 3; ++at) EXPECT_EQ(only_pe(w->send(at, packet(f, false))), pe);
    EXPECT_EQ(w->sessions(), n);
  }
  EXPECT_EQ(w->lines(), 60u) << "a flow at home is nobody else's business";
  EXPECT_EQ(w->dropped(), 0u);
}
INSTANTIATE_TEST_SUITE_P(Workers, EveryProtocol,
                         ::testing::Values(config::Protocol::sctp, config::Protocol::tcp,
                                           config::Protocol::udp),
                         [](const auto& i) { return std::string(config::to_string(i.param)); });

TEST(Workers, packets_from_a_clients_other_address_go_to_the_owner_wherever_they_arrive) {
  const auto w = make(3);
  const Multihomed c = multihomed(*w, 0, 1);
  const unsigned pe = only_pe(w->send(2, c.init()));
  EXPECT_EQ(only_pe(w->send(2, sctp(c.first, kTp, cookie_echo()))), pe);
  for (unsigned at = 0; at < 3; ++at) {
    const auto sent = w->send(at, sctp(c.second, kTp, heartbeat()));
    EXPECT_EQ(only_pe(sent), pe);
    EXPECT_EQ(sent.at(0).worker, 0u) << "the owner is the home of the INIT's source";
  }
  EXPECT_EQ(w->sessions(), 1u);
  EXPECT_EQ(w->workers[1]->session_stats().used, 1u) << "one alias at the other address's home";
  EXPECT_EQ(w->dropped(), 0u);
}

TEST(Workers, packets_to_the_services_other_vip_go_to_the_owner) {
  const auto w = make(4, config::Protocol::sctp, [](WorkersRig& r) {
    r.rig.config.services[0].vips = {ip("192.0.2.1"), ip("192.0.2.2")};
  });
  for (unsigned n = 1; n <= 40; ++n) {
    const unsigned pe = only_pe(w->send(n % 4, sctp(client(n), 0, init_chunk(kTc))));
    EXPECT_EQ(only_pe(w->send(n % 4, sctp(client(n), kTp, cookie_echo()))), pe);
    EXPECT_EQ(only_pe(w->send((n + 1) % 4, sctp(client(n, "192.0.2.2"), kTp, data_chunk()))), pe);
  }
  EXPECT_EQ(w->sessions(), 40u);
}

TEST(Workers, ipv6_addresses_are_aliases_too) {
  const auto w = make(3);
  Flow a{ip("2001:db8:c::1"), ip("2001:db8::1"), 41000, 3868}, b = a;
  const unsigned owner = w->home(a);
  b.from = w->address_at((owner + 1) % 3, b, "2001:db8:d::");
  const unsigned pe = only_pe(w->send(0, sctp(a, 0, init_chunk(kTc, address_parameter(b.from)))));
  w->send(1, sctp(a, kTp, cookie_echo()));
  const auto sent = w->send(2, sctp(b, kTp, heartbeat()));
  EXPECT_EQ(only_pe(sent), pe);
  EXPECT_EQ(sent.at(0).worker, owner);
}

TEST(Workers, the_end_of_an_association_takes_its_aliases_from_the_other_workers) {
  const auto w = make(3);
  const Multihomed c = multihomed(*w, 0, 1);
  w->send(0, c.init());
  w->send(0, sctp(c.first, kTp, cookie_echo()));
  EXPECT_GE(w->lines(), 3u);
  w->send(0, sctp(c.first, kTp, chunk(6, 0, {})));
  w->pass_ms(6000);
  EXPECT_EQ(w->sessions(), 0u);
  EXPECT_EQ(w->lines(), 0u);
}

TEST(Workers, a_packet_from_an_address_that_no_init_named_is_found_by_its_tag) {
  const auto w = make(4);
  for (unsigned n = 1; n <= 40; ++n) {
    const unsigned pe = only_pe(w->send(0, sctp(client(n), 0, init_chunk(kTc))));
    w->send(0, sctp(client(n), kTp + n, cookie_echo()));
    Flow stranger = client(n);
    stranger.from = ip(("198.51.100." + std::to_string(n)).c_str());
    for (unsigned at = 0; at < 4; ++at) {
      const auto sent = w->send(at, sctp(stranger, kTp + n, data_chunk()));
      EXPECT_EQ(only_pe(sent), pe);
      EXPECT_EQ(sent.at(0).worker, w->home(client(n)));
    }
  }
  EXPECT_EQ(w->sessions(), 40u);
  EXPECT_EQ(w->dropped(), 0u);
}

TEST(Workers, a_tag_of_two_owners_is_ambiguous_until_one_of_them_ends) {
  const auto w = make(3);
  // Equal ports and tags, PEs of different workers.
  Flow a = client(1), b = client(1), stranger = client(1);
  a.from = w->address_at(0, a, "203.0.113.");
  b.from = w->address_at(1, b, "203.0.113.", 100);
  stranger.from = ip("198.51.100.9");
  w->send(0, sctp(a, 0, init_chunk(kTc)));
  w->send(0, sctp(a, kTp, cookie_echo()));
  const unsigned pe = only_pe(w->send(0, sctp(b, 0, init_chunk(kTc + 1))));
  w->send(0, sctp(b, kTp, cookie_echo()));
  for (unsigned at = 0; at < 3; ++at) EXPECT_TRUE(w->send(at, sctp(stranger, kTp, data_chunk())).empty());
  EXPECT_EQ(w->dropped(DropReason::session_ambiguous), 3u);
  w->send(0, sctp(a, kTp, chunk(6, 0, {})));
  w->pass_ms(6000);
  EXPECT_EQ(w->sessions(), 1u);
  EXPECT_EQ(only_pe(w->send(2, sctp(stranger, kTp, data_chunk()))), pe);
}

TEST(Workers, an_init_from_an_unknown_address_that_lists_a_known_one_goes_to_its_pe) {
  const auto w = make(4);
  const Multihomed c = multihomed(*w, 2, 3);
  const unsigned pe = only_pe(w->send(0, sctp(c.first, 0, init_chunk(kTc))));
  w->send(0, sctp(c.first, kTp, cookie_echo()));
  // RFC 9260 5.2.2: it is the PE that judges a restart with an address that it did not know.
  for (unsigned at = 0; at < 4; ++at) EXPECT_EQ(only_pe(w->send(at, c.init(true))), pe);
  EXPECT_EQ(w->sessions(), 1u);
}

// The home of its address knows the one that it lists as another worker's alone.
TEST(Workers, an_init_that_lists_an_alias_of_another_workers_association_reaches_that) {
  for (const uint32_t tag : {kTc, kTc + 1}) {
    const auto w = make(3);
    const Multihomed c = multihomed(*w, 1, 0);
    const unsigned pe = only_pe(w->send(0, c.init()));
    w->send(0, sctp(c.first, kTp, cookie_echo()));
    Flow third = client();
    third.from = w->address_at(0, third, "198.51.100.");
    for (unsigned at = 0; at < 3; ++at) {
      EXPECT_EQ(only_pe(w->send(at, sctp(third, 0, init_chunk(tag, address_parameter(c.second.from))))), pe);
      if (tag == kTc) continue;
      EXPECT_EQ(only_pe(w->send(at, sctp(third, kTp + 1, cookie_echo()))), pe);
    }
    EXPECT_EQ(w->dropped(), 0u);
  }
}

TEST(Workers, a_client_that_restarts_stays_with_its_pe_until_the_association_is_over) {
  const auto w = make(3);
  const Multihomed c = multihomed(*w, 0, 1);
  const unsigned pe = only_pe(w->send(1, c.init()));
  w->send(1, sctp(c.first, kTp, cookie_echo()));
  // By its other path, with a new tag: the old association's PE answers it (RFC 9260 5.2.2).
  Bytes again = sctp(c.second, 0, init_chunk(0x99, c.parameters()));
  EXPECT_EQ(only_pe(w->send(2, again)), pe);
  EXPECT_EQ(only_pe(w->send(2, sctp(c.second, 0xbeef, cookie_echo()))), pe);
  EXPECT_EQ(only_pe(w->send(0, sctp(c.first, 0xbeef, data_chunk()))), pe);
  EXPECT_EQ(w->sessions(), 1u);
  // After its end (which is believed when nobody has used the old tag for some time, replaced_tags.h), an
  // INIT by the other path is a new association, owned by that path's home.
  w->rig.tick(redirect::ReplacedTags::kDisputeMs * 1000);
  w->send(0, sctp(c.first, 0xbeef, chunk(6, 0, {})));
  const auto renewed = w->send(2, sctp(c.second, 0, init_chunk(0x77, c.parameters())));
  ASSERT_EQ(renewed.size(), 1u);
  EXPECT_EQ(renewed[0].worker, 1u);
  EXPECT_EQ(w->sessions(), 1u);
  const unsigned next = pe_of(renewed[0].frame);
  EXPECT_EQ(only_pe(w->send(2, sctp(c.first, 0xcafe, cookie_echo()))), next);
  EXPECT_EQ(only_pe(w->send(2, sctp(c.second, 0xcafe, data_chunk()))), next);
}

// What worker `from` has told `to` and `to` has not heard: as if they ran at the same time.
std::vector<redirect::Notice> intercept(WorkersRig& w, unsigned from, unsigned to) {
  std::vector<redirect::Notice> notices;
  for (redirect::Notice n; w.handover->hear(from, to, n);) notices.push_back(n);
  return notices;
}
void release(WorkersRig& w, unsigned from, unsigned to, const std::vector<redirect::Notice>& notices) {
  for (const auto& n : notices) ASSERT_TRUE(w.handover->tell(from, to, n));
}

// One client's INIT by two paths at once: both homes ask each other before either has it, and both begin. The
// PEs that they chose, by worker.
std::array<unsigned, 2> begin_twice(WorkersRig& w, const Multihomed& c,
                                    std::vector<redirect::Notice>& of_second) {
  EXPECT_TRUE(w.burst(0, {c.init()}).empty());
  EXPECT_TRUE(w.burst(1, {c.init(true)}).empty());
  EXPECT_TRUE(w.hand(0, 1).empty());  // 1 has none of 0's
  // 0 has none of 1's, and begins with its own, of which 1 has said that it has none.
  const unsigned first = only_pe(w.hand(1, 0));
  const auto of_first = intercept(w, 0, 1);
  const unsigned second = only_pe(w.hand(0, 1));
  of_second = intercept(w, 1, 0);
  EXPECT_EQ(w.sessions(), 2u);
  release(w, 0, 1, of_first);
  return {first, second};
}

TEST(Workers, an_init_by_two_paths_at_once_becomes_one_association) {
  const auto w = make(3);
  const Multihomed c = multihomed(*w, 0, 1);
  std::vector<redirect::Notice> of_second;
  const auto pes = begin_twice(*w, c, of_second);
  release(*w, 1, 0, of_second);
  EXPECT_TRUE(w->settle().empty());
  EXPECT_EQ(w->sessions(), 1u) << "the lower number stays";
  EXPECT_EQ(w->workers[0]->session_stats().sessions, 1u);
  EXPECT_EQ(only_pe(w->send(2, sctp(c.second, kTp, cookie_echo()))), pes[0]);
  EXPECT_EQ(only_pe(w->send(2, sctp(c.first, kTp, data_chunk()))), pes[0]);
  EXPECT_EQ(w->dropped(), 0u);
}

TEST(Workers, of_two_claims_the_one_that_the_client_confirmed_stays) {
  const auto w = make(3);
  const Multihomed c = multihomed(*w, 0, 1);
  std::vector<redirect::Notice> of_second;
  const auto pes = begin_twice(*w, c, of_second);
  // The client has the second one's answer, and confirms it before the workers have compared.
  EXPECT_EQ(only_pe(w->burst(1, {sctp(c.second, kTp, cookie_echo())})), pes[1]);
  release(*w, 1, 0, of_second);
  EXPECT_TRUE(w->settle().empty());
  EXPECT_EQ(w->sessions(), 1u);
  EXPECT_EQ(w->workers[1]->session_stats().sessions, 1u);
  EXPECT_EQ(only_pe(w->send(2, sctp(c.first, kTp, data_chunk()))), pes[1]);
}

TEST(Workers, two_clients_that_name_each_others_address_keep_their_associations) {
  const auto w = make(3);
  const Multihomed c = multihomed(*w, 0, 1);
  const unsigned pe = only_pe(w->send(0, sctp(c.first, 0, init_chunk(kTc))));
  w->send(0, sctp(c.first, kTp, cookie_echo()));
  const unsigned other = only_pe(w->send(0, sctp(c.second, 0, init_chunk(kTc + 1))));
  w->send(0, sctp(c.second, kTp + 1, cookie_echo()));
  // A third with its own tag names both.
  Flow third = client();
  third.from = w->address_at(2, third, "198.51.100.");
  w->send(0, sctp(third, 0, init_chunk(kTc + 2, c.parameters())));
  for (unsigned at = 0; at < 3; ++at) {
    EXPECT_EQ(only_pe(w->send(at, sctp(c.first, kTp, data_chunk()))), pe);
    EXPECT_EQ(only_pe(w->send(at, sctp(c.second, kTp + 1, data_chunk()))), other);
  }
  EXPECT_EQ(w->sessions(), 3u) << "and the third has its own";
}

TEST(Workers, an_alias_of_a_session_that_is_no_more_is_corrected_by_the_first_packet_that_takes_it) {
  const auto w = make(3);
  const Multihomed c = multihomed(*w, 0, 1);
  w->send(0, c.init());
  w->send(0, sctp(c.first, kTp, cookie_echo()));
  w->burst(0, {sctp(c.first, kTp, chunk(6, 0, {}))});
  for (unsigned ms = 0; ms < 6000; ++ms) {
    w->rig.tick(1000);
    w->workers[0]->service_timers(w->rig.now_us, w->rig.out);
  }
  EXPECT_EQ(w->sessions(), 0u);
  EXPECT_FALSE(intercept(*w, 0, 1).empty()) << "worker 1 was told, but never heard it";
  EXPECT_EQ(w->lines(), 1u);
  const auto begun = w->send(2, sctp(c.second, 0, init_chunk(0x55)));
  ASSERT_EQ(begun.size(), 1u);
  EXPECT_EQ(begun[0].worker, 1u);
  EXPECT_EQ(w->lines(), 1u) << "the new session alone";
  EXPECT_EQ(w->dropped(), 0u);
}

// Else the worker would leave it lying until it has other work, and a burst then finds too little room.
TEST(Workers, what_a_death_makes_a_worker_send_counts_as_work_with_nothing_handed_over) {
  const auto w = make(2);
  const Multihomed c = multihomed(*w, 0, 1);
  const unsigned pe = only_pe(w->send(0, sctp(c.first, 0, init_chunk(kTc))));
  w->send(0, sctp(c.first, kTp, cookie_echo()));
  w->rig.pe_down(pe);
  unsigned worked = 0;
  EXPECT_EQ(w->hand(1, 0, &worked).size(), 1u);
  EXPECT_GT(worked, 0u);
}

TEST(Workers, nat_without_snat_finds_the_session_of_a_pes_packet_wherever_it_arrives) {
  for (const bool v6 : {false, true}) {
    const auto w = make(3, config::Protocol::udp,
                        [](WorkersRig& r) { r.rig.config.services[0].mode = config::Mode::nat; });
    if (v6) w->rig.set_pool({{21, "fd00::15", 3868}});
    for (unsigned n = 1; n <= 20; ++n) {
      Flow f = client(n);
      if (v6) f = {ip(("2001:db8:c::" + std::to_string(n)).c_str()), ip("2001:db8::1"), f.from_port, 3868};
      const auto there = w->send(n % 3, udp(f, "question"));
      ASSERT_EQ(there.size(), 1u);
      const Flow back{there[0].frame.to(), f.from, 3868, f.from_port};
      for (unsigned at = 0; at < 3; ++at) {
        const auto returned = w->send(at, udp(back, "answer"));
        ASSERT_EQ(returned.size(), 1u) << n;
        EXPECT_EQ(returned[0].frame.from(), f.to);
        EXPECT_EQ(returned[0].frame.to(), f.from);
        EXPECT_TRUE(returned[0].frame.checksums_right());
      }
    }
    EXPECT_EQ(w->sessions(), 20u);
    // What is nobody's is the kernel's, once.
    const size_t before = w->exceptions.size();
    EXPECT_TRUE(w->send(1, udp({ip("10.0.0.99"), ip("203.0.113.200"), 1, 2}, "routed")).empty());
    EXPECT_EQ(w->exceptions.size(), before + 1);
  }
}

TEST(Workers, nat_with_snat_finds_the_session_by_the_port) {
  const auto w = make(3, config::Protocol::tcp, [](WorkersRig& r) {
    r.rig.config.services[0].mode = config::Mode::nat;
    r.rig.config.services[0].snat = {ip("198.51.100.77")};
  });
  for (unsigned n = 1; n <= 20; ++n) {
    const auto there = w->send(n % 3, tcp(client(n), kSyn, 1, 0));
    ASSERT_EQ(there.size(), 1u);
    const Flow back{there[0].frame.to(), there[0].frame.from(), 3868,
                    static_cast<uint16_t>(there[0].frame.from_port())};
    for (unsigned at = 0; at < 3; ++at) {
      const auto returned = w->send(at, tcp(back, kSyn | kAck, 9, 2));
      ASSERT_EQ(returned.size(), 1u);
      EXPECT_EQ(returned[0].frame.to(), client(n).from);
    }
  }
  w->send(0, tcp({ip("10.0.0.11"), ip("198.51.100.77"), 3868, 65000}, kAck, 1, 1));
  EXPECT_EQ(w->dropped(DropReason::nat_no_session), 1u);
}

TEST(Workers, an_icmp_error_about_a_session_finds_it_wherever_it_arrives) {
  const auto w = make(3);
  for (unsigned n = 1; n <= 10; ++n) {
    const Flow f = client(n);
    const unsigned pe = only_pe(w->send(0, sctp(f, 0, init_chunk(kTc))));
    w->send(0, sctp(f, kTp, cookie_echo()));
    // A router has dropped what the PE sent to the client: unreachable, and as much as it quotes.
    const Bytes theirs = sctp({f.to, f.from, f.to_port, f.from_port}, kTc, data_chunk());
    Bytes error{3, 1, 0, 0, 0, 0, 0, 0};
    add(error, slice(theirs, 14, 48));
    set16(error, 2, internet_checksum(error));
    const Flow from_router{ip("198.51.100.254"), f.to};
    for (unsigned at = 0; at < 3; ++at) {
      const auto sent = w->send(at, ip_frame(from_router, 1, error));
      EXPECT_EQ(only_pe(sent), pe);
      EXPECT_EQ(sent.at(0).worker, w->home(f));
    }
  }
  EXPECT_EQ(w->dropped(), 0u);
}

TEST(Workers, fragments_follow_their_first_one_from_worker_to_worker) {
  const auto w = make(3, config::Protocol::udp);
  for (unsigned n = 1; n <= 12; ++n) {
    const Flow f = client(n);
    const unsigned pe = only_pe(w->send(0, udp(f, "whole")));
    // Of one datagram: 24 bytes with the UDP header, then the rest. They arrive at one worker.
    const Bytes datagram = udp(f, std::string(40, 'x'));
    for (unsigned at = 0; at < 3; ++at) {
      const auto piece = [&](size_t from, size_t bytes, bool more) {
        Bytes frame = ip_frame(f, 17, slice(datagram, 34 + from, bytes));
        set16(frame, 18, 100 * n + at);
        set16(frame, 20, (more ? 0x2000u : 0u) | static_cast<unsigned>(from / 8));
        set16(frame, 24, 0);
        set16(frame, 24, internet_checksum(slice(frame, 14, 20)));
        return frame;
      };
      EXPECT_EQ(only_pe(w->send(at, piece(0, 24, true))), pe);
      const auto rest = w->send(at, piece(24, 24, false));
      EXPECT_EQ(only_pe(rest), pe);
      EXPECT_EQ(rest.at(0).worker, w->home(f, 17));
    }
  }
  EXPECT_EQ(w->dropped(), 0u);
}

TEST(Workers, a_full_ring_drops_with_its_reason_and_nothing_waits) {
  const auto w = make(2);
  Flow f = client();
  f.from = w->address_at(1, f, "203.0.113.");
  w->send(1, sctp(f, 0, init_chunk(kTc)));
  w->send(1, sctp(f, kTp, cookie_echo()));
  constexpr unsigned kMore = 100;
  for (unsigned i = 0; i < redirect::Handover::kPackets + kMore; ++i)
    w->burst(0, {sctp(f, kTp, data_chunk())});
  EXPECT_EQ(w->dropped(DropReason::handover_full), kMore);
  EXPECT_EQ(w->settle().size(), redirect::Handover::kPackets);
}

TEST(Workers, an_alias_that_found_its_ring_full_is_said_again) {
  const auto w = make(2);
  const Multihomed c = multihomed(*w, 0, 1);
  // Enough INITs, each with two addresses at home with worker 1, that its notices do not fit the ring.
  for (unsigned i = 0; i < 700; ++i) {
    Flow other = client(7);
    other.from_port = static_cast<uint16_t>(1024 + i);
    other.from = w->address_at(0, other, "203.0.113.");
    Flow second = other, third = other;
    second.from = w->address_at(1, second, "198.51.100.");
    third.from = w->address_at(1, third, "198.18.0.");
    Bytes both = address_parameter(second.from);
    add(both, address_parameter(third.from));
    w->burst(0, {sctp(other, 0, init_chunk(kTc, both))});
  }
  w->burst(0, {c.init()});
  unsigned worked = 1;
  while (worked > 0) w->hand(0, 1, &worked);  // worker 1 has none of them
  unsigned pe = 0;
  for (worked = 1; worked > 0;) {
    for (const auto& s : w->hand(1, 0, &worked)) {
      if (s.frame.from_port() == c.first.from_port) pe = pe_of(s.frame);
    }
  }
  EXPECT_GT(w->dropped(DropReason::notice_lost), 0u);
  EXPECT_EQ(only_pe(w->send(0, sctp(c.first, kTp, cookie_echo()))), pe);
  w->pass_ms(140'000);
  EXPECT_EQ(w->lines(), 3u) << "the session, its alias, and worker 1's";
  const auto sent = w->send(1, sctp(c.second, kTp, heartbeat()));
  EXPECT_EQ(only_pe(sent), pe);
  EXPECT_EQ(sent.at(0).worker, 0u);
}

TEST(Workers, aliases_outlive_their_workers_forgetting_because_they_are_repeated) {
  const auto w = make(2, config::Protocol::sctp,
                      [](WorkersRig& r) { r.rig.config.services[0].idle_timeout_s = 100'000; });
  const Multihomed c = multihomed(*w, 0, 1);
  w->send(0, c.init());
  const unsigned pe = only_pe(w->send(0, sctp(c.first, kTp, cookie_echo())));
  w->pass_ms(1'300'000);
  EXPECT_EQ(w->workers[1]->session_stats().used, 1u);
  const auto sent = w->send(1, sctp(c.second, kTp, heartbeat()));
  EXPECT_EQ(only_pe(sent), pe);
  EXPECT_EQ(sent.at(0).worker, 0u);
}

TEST(Workers, after_a_restart_with_another_spread_every_session_is_found_again) {
  const WorkerFiles files("workers");
  std::map<unsigned, unsigned> pes;
  const auto with_files = [&](WorkersRig& r) { files.give(r); };
  {
    const auto w = make(3, config::Protocol::sctp, with_files);
    for (unsigned n = 1; n <= 30; ++n) {
      pes[n] = only_pe(w->send(0, sctp(client(n), 0, init_chunk(kTc))));
      w->send(0, sctp(client(n), kTp + n, cookie_echo()));
    }
  }
  WorkersRig w(3);
  w.rig.service();
  files.give(w);
  w.seed = 99;
  w.start();
  w.pass_ms(4'100);  // two rounds over the tables
  EXPECT_EQ(w.sessions(), 30u);
  for (unsigned n = 1; n <= 30; ++n) {
    Flow stranger = client(n);
    stranger.from = ip(("198.51.100." + std::to_string(n)).c_str());
    for (unsigned at = 0; at < 3; ++at) {
      EXPECT_EQ(only_pe(w.send(at, sctp(client(n), kTp + n, data_chunk()))), pes[n]);
      EXPECT_EQ(only_pe(w.send(at, sctp(stranger, kTp + n, data_chunk()))), pes[n]);
    }
  }
  EXPECT_EQ(w.sessions(), 30u);
}

TEST(Workers, a_dead_pe_is_told_to_clients_of_every_worker_once) {
  const auto w = make(3);
  unsigned lost = 0;
  for (unsigned n = 1; n <= 30; ++n) {
    lost += only_pe(w->send(n % 3, sctp(client(n), 0, init_chunk(kTc)))) == 11;
    w->send((n + 1) % 3, sctp(client(n), kTp + n, cookie_echo()));
  }
  w->rig.pe_down(11);
  std::multiset<unsigned> told;
  for (unsigned at = 0; at < 3; ++at)
    for (const auto& s : w->burst(at, {})) told.insert(s.frame.to_port());
  for (const auto& s : w->pass_ms(100)) told.insert(s.frame.to_port());
  EXPECT_EQ(told.size(), lost);
  EXPECT_EQ(std::set<unsigned>(told.begin(), told.end()).size(), lost);
}

}  // namespace
}  // namespace poolgate::test
