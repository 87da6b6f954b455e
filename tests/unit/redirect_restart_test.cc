// SPDX-License-Identifier: BSD-3-Clause
// A data plane that comes back: its sessions go on, whoever else is there or not.
#include <map>

#include "tests/unit/two_pes.h"

namespace poolgate::test {
namespace {

using redirect::DropReason;
using rserpool::TransportType;
using namespace two_pes;

TEST(Restart, sessions_go_on_with_their_pes_before_the_registrar_has_spoken) {
  const RestartFiles files;
  std::map<unsigned, unsigned> pes;
  const auto with_files = [&](Rig& r) { files.give(r); };
  {
    const auto rig = make(config::Protocol::sctp, with_files);
    for (unsigned n = 1; n <= 8; ++n) {
      pes[n] = pe_of(rig->send(sctp(client(n), 0, init_chunk(kTc))).at(0));
      rig->send(sctp(client(n), kTp + n, cookie_echo()));
    }
  }
  Rig rig(TransportType::sctp);
  rig.service();
  with_files(rig);
  rig.start();
  rig.tick(5000);
  EXPECT_EQ(rig.redirector->session_stats().reattached, 8u);
  for (unsigned n = 1; n <= 8; ++n)
    EXPECT_EQ(pe_of(rig.send(sctp(client(n), kTp + n, data_chunk())).at(0)), pes[n]);
  // The registrar is back: the same PEs are the same slots, and their deaths reach their old sessions.
  rig.set_pool({{11, "10.0.0.11", 3868}, {12, "10.0.0.12", 3868}});
  rig.pe_down(11);
  std::set<unsigned> told, lost;
  for (const auto& f : rig.burst({})) told.insert(f.to_port() - 40000);
  for (const auto& [n, pe] : pes) {
    if (pe == 11) lost.insert(n);
  }
  EXPECT_EQ(told, lost);
}

TEST(Restart, sessions_that_name_another_elements_file_are_begun_anew_and_it_is_said) {
  const RestartFiles files;
  const auto with_files = [&](Rig& r) { files.give(r); };
  const auto reattached = [&](unsigned before) {
    const auto rig = make(config::Protocol::sctp, with_files);
    EXPECT_EQ(rig->redirector->session_stats().reattached, before);
    EXPECT_EQ(rig->redirector->session_file_note().empty(), before == 1);
    if (before == 0) rig->send(sctp(client(1), 0, init_chunk(kTc)));
    return rig->redirector->session_file_note();
  };
  {
    const auto rig = make(config::Protocol::sctp, with_files);
    rig->send(sctp(client(1), 0, init_chunk(kTc)));
  }
  reattached(1);
  files.lose("-elements");
  EXPECT_NE(reattached(0).find("-sessions: has numbers of another file"), std::string::npos);
  reattached(1);
}

TEST(Restart, udp_flows_stay_with_their_pes_as_long_as_the_registrar_has_not_spoken) {
  const RestartFiles files;
  unsigned pe = 0;
  {
    const auto rig = make(config::Protocol::udp, [&](Rig& r) { files.give(r); });
    pe = pe_of(rig->send(udp(client(), "a")).at(0));
  }
  Rig rig(TransportType::udp);
  rig.service(config::Protocol::udp);
  files.give(rig);
  rig.start();
  for (unsigned at = 0; at < 130; ++at) {
    rig.pass_ms(1000);
    const auto sent = rig.send(udp(client(), "b"));
    ASSERT_EQ(sent.size(), 1u) << at;
    EXPECT_EQ(pe_of(sent[0]), pe) << at;
  }
}

TEST(Restart, an_empty_pool_refuses_nobody_before_the_registrar_has_spoken_or_is_overdue) {
  const auto rig = std::make_unique<Rig>(TransportType::udp);
  pool::PoolTableOptions options;
  options.max_elements = 64;
  options.registrar_due_us = rig->now_us + 10'000'000;
  rig->pools = std::move(*pool::PoolTable::create(options));
  rig->service(config::Protocol::udp);
  rig->start();
  EXPECT_TRUE(rig->send(udp(client(1), "a")).empty());
  EXPECT_EQ(rig->dropped(DropReason::pool_unknown), 1u);
  rig->tick(10'000'000);
  EXPECT_EQ(rig->send(udp(client(1), "a")).size(), 1u) << "refused: overdue";
  rig->now_us -= 5'000'000;
  rig->set_pool({{11, "10.0.0.11", 3868}}, "another");
  EXPECT_EQ(rig->send(udp(client(1), "a")).size(), 1u) << "refused: it has spoken";
  EXPECT_EQ(rig->dropped(DropReason::pool_unknown), 1u);
}

TEST(Restart, the_sessions_of_a_pe_found_dead_before_end_after_it) {
  const RestartFiles files;
  {
    const auto rig = make(config::Protocol::sctp, [&](Rig& r) { files.give(r); });
    rig->send(sctp(client(1), 0, init_chunk(kTc)));
    rig->send(sctp(client(1), kTp, cookie_echo()));
    // The main lcore saw it die, and the process died before its worker did.
    for (unsigned id : {11u, 12u}) rig->pe_down(id);
  }
  Rig rig(TransportType::sctp);
  rig.service();
  files.give(rig);
  rig.start();
  const auto told = rig.pass_ms(2);
  ASSERT_EQ(told.size(), 1u);
  EXPECT_EQ(told[0].to_port(), 40001);
  EXPECT_EQ(rig.redirector->session_stats().sessions, 0u);
}

}  // namespace
}  // namespace poolgate::test
