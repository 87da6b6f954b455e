// SPDX-License-Identifier: BSD-3-Clause
#include "tests/unit/appliance_rig.h"

#include "dataplane/worker/inspection.h"

namespace poolgate::test {
namespace {

Flow client(unsigned n) {
  return {ip("203.0.113.1"), ip("192.0.2.1"), static_cast<uint16_t>(40000 + n), 5000};
}

class Alarm : public ApplianceTest {
 protected:
  std::string shown() {
    worker::Inspection inspection(*appliance);
    const auto report = inspection.workers();
    return report ? report->text() : report.error().text;
  }
};

TEST_F(Alarm, of_a_session_table_over_80_percent_is_logged_and_shown_until_there_is_room) {
  auto& s = service(config::Protocol::udp, config::Mode::l2);
  s.idle_timeout_s = 2;
  start();
  const auto stats = [&] { return appliance->workers()[0]->redirector().session_stats(); };
  const char* const kAlarm = "ALARM: the session table of worker 0 is over 80 % full";
  unsigned n = 0;
  const auto one_more = [&] {
    clients.send(udp(client(n++), "a"));
    ASSERT_TRUE(next(pes).has_value()) << n;
  };
  while ((stats().used + 8) * 10 < stats().capacity * 8) one_more();
  std::this_thread::sleep_for(std::chrono::milliseconds(200));  // several looks
  EXPECT_FALSE(said("ALARM"));
  EXPECT_EQ(shown().find("ALARM"), std::string::npos);
  while (stats().used * 10 < stats().capacity * 8) one_more();
  EXPECT_NE(shown().find(kAlarm), std::string::npos);
  EXPECT_TRUE(until([&] { return said(kAlarm); }));
  EXPECT_TRUE(until([&] { return said("the session table of worker 0 has room again"); }));
  EXPECT_EQ(shown().find("ALARM"), std::string::npos);
}

using RouteMtu = ApplianceTest;

TEST_F(RouteMtu, that_changes_while_we_run_is_said_to_clients_from_then_on) {
  service(config::Protocol::udp, config::Mode::l2);
  start();
  const std::string large(1450 - 28, 'x');
  clients.send(udp(client(1), large));
  ASSERT_TRUE(next(pes).has_value());
  ASSERT_EQ(run("ip route change 10.0.2.0/24 dev pg-pp proto kernel scope link src 10.0.2.1 mtu 1400"), 0);
  Bytes icmp;
  EXPECT_TRUE(until([&] {
    clients.send(udp(client(1), large));
    std::this_thread::sleep_for(std::chrono::milliseconds(20));
    while (const auto bytes = clients.take())
      if (const Frame frame{0, *bytes}; get16(*bytes, 12) == 0x0800 && frame.protocol() == 1)
        icmp = frame.transport();
    return !icmp.empty();
  }));
  ASSERT_GE(icmp.size(), 8u);
  EXPECT_EQ(icmp[0], 3u);
  EXPECT_EQ(icmp[1], 4u);
  EXPECT_EQ(get16(icmp, 6), 1400u);
}

class FormerRun : public ApplianceTest {
 protected:
  RingPort again[2] = {{"qu", 3}, {"qp", 4}};
};

TEST_F(FormerRun, of_more_workers_leaves_nothing_to_the_next_one_of_as_many) {
  service(config::Protocol::udp, config::Mode::l2);
  const auto file = [&](const char* what) { return folder.file(std::string("poolgate-unit-") + what); };
  for (const char* what : {"sessions-1", "clients-1", "sessions-3"}) std::ofstream(file(what)) << "old";
  start();
  for (const char* what : {"sessions-1", "clients-1", "sessions-3"})
    EXPECT_FALSE(std::filesystem::exists(file(what))) << what;
  EXPECT_TRUE(std::filesystem::exists(file("sessions-0")));
  EXPECT_TRUE(said("worker 1 is no more: its sessions of the former run are lost"));
  EXPECT_TRUE(said("worker 3 is no more"));
  EXPECT_FALSE(said("worker 2 is no more"));
}

TEST_F(FormerRun, whose_elements_file_is_gone_has_its_sessions_begun_anew_and_that_is_said) {
  service(config::Protocol::udp, config::Mode::l2);
  start();
  clients.send(udp(client(1), "a"));
  ASSERT_TRUE(next(pes).has_value());
  stop();
  ASSERT_TRUE(std::filesystem::remove(folder.file("poolgate-unit-elements")));
  config.ports[0].device = again[0].device();
  config.ports[1].device = again[1].device();
  start();
  EXPECT_EQ(appliance->workers()[0]->redirector().session_stats().reattached, 0u);
  EXPECT_TRUE(said("worker 0: sessions of the former run are lost: "));
}

using Reload = ApplianceTest;

TEST_F(Reload, that_would_give_away_an_address_of_a_port_that_runs_changes_nothing) {
  service(config::Protocol::udp, config::Mode::nat).snat = {ip("10.0.2.201")};
  start();
  const auto reload_with = [&](const char* own, const char* snat) {
    std::ofstream(config.file)
        << "[[port]]\nname=\"pp\"\ndevice=\"d\"\naddresses=[\"" << own
        << "/24\"]\n[[service]]\nname=\"service\"\nvips=[\"192.0.2.1\"]\nprotocol=\"udp\"\n"
           "port=5000\npool=\"pool\"\nmode=\"nat\"\nsnat=[\""
        << snat << "\"]\n";
    std::string error = "none";
    EXPECT_TRUE(on_main([&] {
      const auto done = appliance->reload();
      if (!done) error = done.error().text;
    }));
    return error;
  };
  const auto runs = [&] {
    std::vector<IpAddress> snat;
    on_main([&] { snat = appliance->services().find("service")->settings.snat; });
    return snat;
  };
  EXPECT_NE(
      reload_with("10.0.2.1", "10.0.2.1").find("service \"service\": 10.0.2.1 is an address of port \"pp\""),
      std::string::npos);
  EXPECT_NE(reload_with("10.0.2.9", "10.0.1.1").find("10.0.1.1 is an address of port \"pu\""),
            std::string::npos);
  EXPECT_EQ(runs(), std::vector{ip("10.0.2.201")});
  EXPECT_EQ(reload_with("10.0.2.1", "10.0.2.202"), "none");
  EXPECT_EQ(runs(), std::vector{ip("10.0.2.202")});
}

TEST_F(Reload, that_takes_an_SNAT_address_leaves_it_ours_until_the_sessions_that_have_it_are_over) {
  auto& s = service(config::Protocol::udp, config::Mode::nat);
  s.snat = {ip("10.0.2.201")};
  s.idle_timeout_s = 4;
  start();
  const auto reload = [&](const char* more) {
    std::ofstream(config.file)
        << "[[port]]\nname=\"pp\"\ndevice=\"d\"\naddresses=[\"10.0.2.1/24\"]\n[[service]]\nname=\"service\"\n"
           "vips=[\"192.0.2.1\"]\nprotocol=\"udp\"\nport=5000\npool=\"pool\"\nmode=\"nat\"\nidle_timeout_s="
           "4\n"
        << more;
    bool done = false;
    on_main([&] { done = appliance->reload().ok(); });
    return done;
  };
  ASSERT_TRUE(reload(""));
  EXPECT_TRUE(said("SNAT address 10.0.2.201 (udp): of no service any more"));
  ASSERT_TRUE(reload("snat=[\"10.0.2.201\"]\n"));
  EXPECT_TRUE(said("SNAT address 10.0.2.201 (udp): a service's again"));
  clients.send(udp(client(1), "a"));
  const auto there = next(pes);
  ASSERT_TRUE(there.has_value());
  ASSERT_EQ(there->from(), ip("10.0.2.201"));
  ASSERT_TRUE(reload(""));
  const auto shown = [&] {
    const auto report = worker::Inspection(*appliance).services("all");
    return report ? report->text() : report.error().text;
  };
  EXPECT_NE(shown().find("10.0.2.201"), std::string::npos) << shown();
  const char* const kHasIt = "ip -br addr show dev pg-pp | grep -q 10.0.2.201";
  EXPECT_EQ(run(kHasIt), 0);
  pes.send(udp({ip("10.0.2.11"), ip("10.0.2.201"), 5000, static_cast<uint16_t>(there->from_port())}, "b"));
  const auto back = next(clients);
  ASSERT_TRUE(back.has_value());
  EXPECT_EQ(back->to(), client(1).from);
  EXPECT_EQ(back->from(), ip("192.0.2.1"));
  EXPECT_TRUE(
      until([&] { return said("SNAT address 10.0.2.201 (udp): kept for former sessions no longer"); }));
  EXPECT_TRUE(until([&] { return run(kHasIt) != 0; }));
  EXPECT_EQ(shown().find("10.0.2.201"), std::string::npos) << shown();
}

TEST_F(FormerRun, that_had_an_SNAT_address_which_this_one_has_not_leaves_it_to_its_sessions) {
  service(config::Protocol::udp, config::Mode::nat).snat = {ip("10.0.2.201")};
  start();
  clients.send(udp(client(1), "a"));
  const auto there = next(pes);
  ASSERT_TRUE(there.has_value());
  stop();
  config.services[0].snat.clear();
  config.ports[0].device = again[0].device();
  config.ports[1].device = again[1].device();
  start();
  EXPECT_TRUE(said("SNAT address 10.0.2.201 (udp): of no service any more"));
  EXPECT_EQ(run("ip -br addr show dev pg-pp | grep -q 10.0.2.201"), 0);
  again[0].send(udp(client(1), "a"));  // where it is, is known anew: the ports are others
  const auto goes_on = next(again[1]);
  ASSERT_TRUE(goes_on.has_value());
  EXPECT_EQ(goes_on->from(), ip("10.0.2.201"));
  EXPECT_EQ(goes_on->from_port(), there->from_port());
  again[1].send(
      udp({ip("10.0.2.11"), ip("10.0.2.201"), 5000, static_cast<uint16_t>(there->from_port())}, "b"));
  const auto back = next(again[0]);
  ASSERT_TRUE(back.has_value());
  EXPECT_EQ(back->to(), client(1).from);
}

}  // namespace
}  // namespace poolgate::test
