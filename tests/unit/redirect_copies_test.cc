// SPDX-License-Identifier: BSD-3-Clause
// What a worker sends on by itself of another one's associations, by the copies that their owners tell of,
// and that nothing is lost by it: the owner goes on deciding what its association is, and how long.
#include "tests/unit/cookie_ack.h"
#include "tests/unit/multihomed_client.h"

namespace poolgate::test {
namespace {

using namespace workers;

// An association of worker 0's, whose client's other address is at home with worker 1.
struct Associated {
  explicit Associated(const std::function<void(WorkersRig&)>& change = {},
                      config::Protocol protocol = config::Protocol::sctp)
      : w(make(3, protocol, change)), c(multihomed(*w, 0, 1)), pe(only_pe(w->send(2, c.init()))) {
    EXPECT_EQ(only_pe(w->send(2, sctp(c.first, kTp, cookie_echo()))), pe);
  }
  // Who sent it on; to the association's PE.
  unsigned sender(const Bytes& chunks, uint32_t tag = kTp, unsigned at = 1) {
    const auto sent = w->send(at, sctp(c.second, tag, chunks));
    EXPECT_EQ(only_pe(sent), pe);
    return sent.empty() ? 99 : sent[0].worker;
  }
  uint64_t given() const { return w->workers[1]->handover_counters().given; }

  std::unique_ptr<WorkersRig> w;
  Multihomed c;
  unsigned pe;
};

TEST(Copies, data_and_sacks_of_an_established_association_leave_where_they_arrive) {
  Associated a;
  const uint64_t before = a.given();
  EXPECT_EQ(a.sender(data_chunk()), 1u);
  EXPECT_EQ(a.sender(chunk(3, 0, Bytes(12))), 1u);
  EXPECT_EQ(a.given(), before);
  EXPECT_EQ(a.w->workers[1]->counters(0).packets, 2u);
  EXPECT_EQ(a.w->workers[1]->session_stats().sessions, 0u);
  EXPECT_EQ(a.w->dropped(), 0u);
}

TEST(Copies, control_chunks_and_other_tags_are_the_owners) {
  Associated a;
  Bytes bundled = chunk(3, 0, Bytes(12));
  add(bundled, chunk(7, 0, Bytes(4)));
  const uint64_t before = a.given();
  EXPECT_EQ(a.sender(heartbeat()), 0u);
  EXPECT_EQ(a.sender(data_chunk(), kTp + 1), 0u);
  EXPECT_EQ(a.sender(bundled), 0u) << "a SACK with a SHUTDOWN";
  EXPECT_EQ(a.given(), before + 3);
}

TEST(Copies, nothing_is_copied_before_the_association_is_established) {
  const auto w = make(3);
  const Multihomed c = multihomed(*w, 0, 1);
  const unsigned pe = only_pe(w->send(2, c.init()));
  const auto sent = w->send(1, sctp(c.second, kTp, data_chunk()));
  EXPECT_EQ(only_pe(sent), pe);
  EXPECT_EQ(sent.at(0).worker, 0u);
}

TEST(Copies, what_is_sent_to_vip_2_leaves_by_address_2_of_the_PE_and_by_its_other_one_while_that_is_dead) {
  const auto w = make(3, config::Protocol::sctp, [](WorkersRig& r) {
    r.rig.config.services[0].vips = {ip("192.0.2.1"), ip("192.0.2.2")};
  });
  w->rig.set_pool({{11, "10.0.0.11", 3868, 1, channel::PeState::up, {"10.0.0.111"}}});
  const Flow a = client(9);
  Flow b = client(9, "192.0.2.2");
  const unsigned owner = w->home(a), other = (owner + 1) % 3;
  b.from = w->address_at(other, b, "198.18.0.");
  EXPECT_EQ(only_pe(w->send(0, sctp(a, 0, init_chunk(kTc, address_parameter(b.from))))), 11u);
  EXPECT_EQ(only_pe(w->send(0, sctp(a, kTp, cookie_echo()))), 11u);
  const auto goes_by = [&] {
    const auto sent = w->send(other, sctp(b, kTp, data_chunk()));
    EXPECT_EQ(sent.at(0).worker, other);
    return only_pe(sent);
  };
  EXPECT_EQ(goes_by(), 111u);
  w->rig.pools->slots().neighbour_is(111, true);
  EXPECT_EQ(goes_by(), 11u);
  w->rig.pools->slots().neighbour_is(111, false);
  EXPECT_EQ(goes_by(), 111u);
}

TEST(Copies, ipv6_and_tunnels_leave_where_they_arrive_too) {
  for (const auto mode : {config::Mode::l2, config::Mode::ipip, config::Mode::gue}) {
    const auto w = make(3, config::Protocol::sctp, [&](WorkersRig& r) {
      r.rig.config.services[0].mode = mode;
      r.rig.redirector_options.tunnel_sources.fill({ip("198.51.100.1"), ip("2001:db8:f::1")});
    });
    for (const bool v6 : {false, true}) {
      Flow a = v6 ? Flow{ip("2001:db8:c::1"), ip("2001:db8::1"), 41000, 3868} : client(9), b = a;
      const unsigned owner = w->home(a), other = (owner + 1) % 3;
      b.from = w->address_at(other, b, v6 ? "2001:db8:d::" : "198.18.0.");
      const unsigned pe = only_pe(w->send(0, sctp(a, 0, init_chunk(kTc, address_parameter(b.from)))));
      w->send(1, sctp(a, kTp, cookie_echo()));
      const auto by_owner = w->send(other, sctp(b, kTp, heartbeat()));
      const auto by_copy = w->send(other, sctp(b, kTp, chunk(3, 0, Bytes(12))));
      ASSERT_EQ(by_owner.size() + by_copy.size(), 2u);
      EXPECT_EQ(only_pe(by_copy), pe);
      EXPECT_EQ(by_copy[0].worker, other);
      EXPECT_EQ(by_owner[0].worker, owner);
      // The same headers but for what says how long it is, and the outer packet's number.
      EXPECT_EQ(slice(by_copy[0].frame.bytes, 0, 16), slice(by_owner[0].frame.bytes, 0, 16));
      EXPECT_EQ(by_copy[0].frame.bytes.size(), by_owner[0].frame.bytes.size() + 4);
    }
    EXPECT_EQ(w->dropped(), 0u);
  }
}

TEST(Copies, nat_is_the_owners_alone) {
  const auto w = make(3, config::Protocol::sctp,
                      [](WorkersRig& r) { r.rig.config.services[0].mode = config::Mode::nat; });
  const Multihomed c = multihomed(*w, 0, 1);
  w->send(0, c.init());
  const auto echo = w->send(0, sctp(c.first, kTp, cookie_echo()));
  ASSERT_EQ(echo.size(), 1u);
  w->send(0, cookie_ack(echo[0].frame, kTc));
  const auto first = w->send(0, sctp(c.first, kTp, data_chunk()));
  const auto second = w->send(1, sctp(c.second, kTp, data_chunk()));
  ASSERT_EQ(first.size() + second.size(), 2u);
  EXPECT_EQ(second[0].worker, 0u);
  EXPECT_EQ(second[0].frame.to(), first[0].frame.to());
  EXPECT_EQ(second[0].frame.from(), c.second.from);
  EXPECT_TRUE(second[0].frame.checksums_right());
}

TEST(Copies, a_pes_death_ends_them_at_once) {
  Associated a;
  EXPECT_EQ(a.sender(data_chunk()), 1u);
  a.w->rig.pe_down(a.pe);
  // The owner has not even looked: what comes meanwhile is answered, by each path that it comes by.
  const auto told = a.w->send(1, sctp(a.c.second, kTp, data_chunk()));
  EXPECT_EQ(told.size(), 2u);
  for (const auto& t : told) EXPECT_EQ(t.frame.from(), a.c.first.to) << "ABORT, in place of the PE";
  EXPECT_EQ(a.w->sessions(), 0u);
  EXPECT_EQ(a.w->workers[1]->session_stats().used, 0u);
}

TEST(Copies, what_is_held_for_a_dead_pe_leaves_where_it_arrives_again) {
  Associated a([](WorkersRig& r) { r.rig.config.services[0].on_pe_death = config::OnPeDeath::hold; });
  a.w->rig.pe_down(a.pe);
  EXPECT_EQ(a.sender(data_chunk()), 0u) << "the owner decides";
  EXPECT_EQ(a.sender(data_chunk()), 1u);
}

TEST(Copies, a_restart_of_the_association_changes_the_tag_that_they_take) {
  Associated a;
  a.w->send(0, sctp(a.c.first, 0, init_chunk(0x99, a.c.parameters())));
  EXPECT_EQ(a.sender(data_chunk()), 1u) << "an INIT alone replaces nothing";
  a.w->send(0, sctp(a.c.first, 0xbeef, cookie_echo()));
  EXPECT_EQ(a.sender(data_chunk(), 0xbeef), 1u);
  EXPECT_EQ(a.sender(data_chunk(), kTp), 0u);
}

TEST(Copies, an_init_to_a_successor_ends_them_as_the_old_associations_next_packet_decides) {
  Associated a;
  EXPECT_EQ(a.sender(data_chunk()), 1u);
  std::vector<PeSpec> rest;
  for (const unsigned pe : {11u, 12u, 13u})
    if (pe != a.pe) rest.push_back({pe, pe == 11 ? "10.0.0.11" : pe == 12 ? "10.0.0.12" : "10.0.0.13", 3868});
  a.w->rig.set_pool(rest);
  EXPECT_NE(only_pe(a.w->send(0, sctp(a.c.first, 0, init_chunk(0x99)))), a.pe);
  a.w->pass_ms(5);
  EXPECT_EQ(a.sender(data_chunk()), 0u) << "the owner must see that the old one lives";
  // So whoever sent that INIT takes nothing over.
  a.w->send(0, sctp(a.c.first, 0xbeef, cookie_echo()));
  EXPECT_EQ(a.sender(data_chunk()), 0u);
}

// Whoever knows the ports can send one in the client's name.
TEST(Copies, an_INIT_that_no_COOKIE_ECHO_followed_ends_them_for_no_longer_than_a_cookie_lives) {
  Associated a;
  a.w->send(0, sctp(a.c.first, 0, init_chunk(0x99)));
  a.w->pass_ms(130'000);  // what was told has been told again
  EXPECT_EQ(a.sender(data_chunk()), 1u);
}

TEST(Copies, nor_does_one_to_a_successor) {
  Associated a;
  a.w->send(0, sctp(a.c.first, 0, init_chunk(0x98)));
  std::vector<PeSpec> rest;
  for (const unsigned pe : {11u, 12u, 13u})
    if (pe != a.pe) rest.push_back({pe, pe == 11 ? "10.0.0.11" : pe == 12 ? "10.0.0.12" : "10.0.0.13", 3868});
  a.w->rig.set_pool(rest);
  a.w->send(0, sctp(a.c.first, 0, init_chunk(0x99)));
  EXPECT_EQ(a.sender(data_chunk()), 0u);
  a.w->pass_ms(63'000);
  EXPECT_EQ(a.sender(data_chunk()), 1u);
}

TEST(Copies, their_use_keeps_a_session_that_its_owner_sees_nothing_of) {
  Associated a([](WorkersRig& r) { r.rig.config.services[0].idle_timeout_s = 40; });
  for (unsigned s = 0; s < 120; ++s) {
    ASSERT_EQ(a.sender(data_chunk()), 1u) << s;
    a.w->pass_ms(1000);
  }
  EXPECT_EQ(a.w->sessions(), 1u);
  const uint64_t told = a.w->workers[1]->handover_counters().told;
  EXPECT_LE(told, 120u / 10 + 1) << "a notice each quarter of the timeout, not each packet";
  EXPECT_GE(told, 120u / 14);
  a.w->pass_ms(43'000);
  EXPECT_EQ(a.w->sessions(), 0u) << "no longer than its idle timeout";
  EXPECT_EQ(a.w->lines(), 0u);
}

TEST(Copies, an_idle_timeout_too_short_to_be_told_in_time_has_none) {
  Associated a([](WorkersRig& r) { r.rig.config.services[0].idle_timeout_s = 19; });
  EXPECT_EQ(a.sender(data_chunk()), 0u);
}

TEST(Copies, one_whose_end_was_not_heard_of_goes_with_the_next_word_to_its_owner) {
  Associated a([](WorkersRig& r) { r.rig.config.services[0].idle_timeout_s = 40; });
  a.w->burst(0, {sctp(a.c.first, kTp, chunk(6, 0, {}))});
  for (unsigned ms = 0; ms < 6000; ++ms) {
    a.w->rig.tick(1000);
    a.w->workers[0]->service_timers(a.w->rig.now_us, a.w->rig.out);
  }
  redirect::Notice lost;
  while (a.w->handover->hear(0, 1, lost)) {
  }
  EXPECT_EQ(a.w->sessions(), 0u);
  EXPECT_EQ(a.sender(data_chunk()), 1u) << "with its tag, to its PE, which knows better";
  a.w->pass_ms(15'000);
  EXPECT_EQ(a.w->lines(), 0u);
}

TEST(Copies, none_outlives_the_process) {
  const WorkerFiles files("copies");
  const auto with_files = [&](WorkersRig& r) { files.give(r); };
  Multihomed c;
  unsigned pe = 0;
  {
    Associated a(with_files);
    EXPECT_EQ(a.sender(data_chunk()), 1u);
    c = a.c;
    pe = a.pe;
  }
  WorkersRig w(3);
  w.rig.service();
  files.give(w);
  w.start();
  EXPECT_EQ(w.workers[1]->session_stats().used, 0u);
  EXPECT_EQ(w.sessions(), 1u);
  w.pass_ms(4'100);
  const auto sent = w.send(1, sctp(c.second, kTp, data_chunk()));
  EXPECT_EQ(only_pe(sent), pe);
  EXPECT_EQ(sent.at(0).worker, 1u) << "told anew";
}

}  // namespace
}  // namespace poolgate::test
