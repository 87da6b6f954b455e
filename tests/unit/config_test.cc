// SPDX-License-Identifier: BSD-3-Clause
#include <gtest/gtest.h>

#include <string>

#include "controlplane/config/dataplane_needs.h"
#include "tests/unit/config_error.h"

namespace poolgate::config {
namespace {

using rserpool::IpAddress;

constexpr const char* kWhole = R"(
[general]
name = "lab"
run_dir = "/tmp/pg"
log_level = "debug"

[dataplane]
eal = ["--no-huge", "-m", "512"]
main_core = 0
worker_cores = [1]
idle_sleep_us = 200

[[port]]
name = "p0"
device = "net_af_packet0,iface=app0"
addresses = ["10.0.1.1/24", "fd00:1::1/64"]

[[route]]
destination = "0.0.0.0/0"
gateway = "10.0.1.254"

[sctp]
udp_encapsulation_port = 9899

[[service]]
name = "echo"
vips = ["192.0.2.1", "2001:db8::1"]
protocol = "udp"
port = 5000
pool = "EchoPool"
mode = "nat"
snat = ["10.0.2.201", "fd00:2::201"]
panic_share = 0.25

[registrar]
server_id = 7
tcp_listen = ["10.0.1.1:3863", "[fd00:1::1]:3863"]

[[registrar.life_unit]]
source = "10.10.0.0/16"
unit = "ms"

[[pool]]
handle = "EchoPool"
max_elements = 10
)";

TEST(Config, a_whole_file_is_read) {
  auto r = parse(kWhole, "f.toml");
  ASSERT_TRUE(r) << r.error().text;
  EXPECT_EQ(r->general.name, "lab");
  EXPECT_EQ(r->channel_path(), "/tmp/pg/channel.sock");
  ASSERT_EQ(r->ports.size(), 1u);
  EXPECT_EQ(r->ports[0].tap, "pg-p0");
  EXPECT_EQ(r->ports[0].addresses[1].to_string(), "fd00:1::1/64");
  EXPECT_EQ(r->routes[0].gateway.to_string(), "10.0.1.254");
  ASSERT_EQ(r->services.size(), 1u);
  EXPECT_EQ(r->services[0].protocol, Protocol::udp);
  EXPECT_EQ(r->services[0].mode, Mode::nat);
  EXPECT_DOUBLE_EQ(r->services[0].panic_share, 0.25);
  EXPECT_EQ(r->registrar.server_id, 7u);
  EXPECT_EQ(r->registrar.tcp_listen[1].first.to_string(), "fd00:1::1");
  ASSERT_EQ(r->registrar.life_units.size(), 1u);
  EXPECT_EQ(r->registrar.life_units[0].unit, LifeUnit::milliseconds);
  EXPECT_EQ(r->pools[0].max_elements, 10u);
  EXPECT_EQ(r->sctp.udp_encapsulation_port, 9899);
}

TEST(Config, registrars_of_the_scope_are_read) {
  auto r = parse(R"([registrar]
peer_heartbeat_ms = 1000
max_time_last_heard_ms = 3000
[[registrar.peer]]
addresses = ["10.0.0.2:9901", "[fd00::2]:9901"]
server_id = 2
[[registrar.peer]]
addresses = ["10.0.0.3:9902"]
[[registrar.rsplib]]
source = "10.0.0.2/32"
short_handles = false
)",
                 "f.toml");
  ASSERT_TRUE(r) << r.error().text;
  ASSERT_EQ(r->registrar.peers.size(), 2u);
  EXPECT_EQ(r->registrar.peers[0].addresses.size(), 2u);
  EXPECT_EQ(r->registrar.peers[0].server_id, 2u);
  EXPECT_EQ(r->registrar.peers[1].port, 9902);
  ASSERT_EQ(r->registrar.rsplib.size(), 1u);
  EXPECT_FALSE(r->registrar.rsplib[0].short_handles);
  EXPECT_TRUE(r->registrar.rsplib[0].smaller_id_wins);
}

TEST(Config, RFC_5353_4_2_defaults_of_the_timers) {
  const Registrar r;
  EXPECT_EQ(r.peer_heartbeat_ms, 30'000u);
  EXPECT_EQ(r.max_time_last_heard_ms, 61'000u);
  EXPECT_EQ(r.max_time_no_response_ms, 5'000u);
}

TEST(Config, what_cannot_be_of_peers_is_an_error) {
  EXPECT_EQ(error_of("[[registrar.peer]]\naddresses = [\"10.0.0.2:1\", \"10.0.0.3:2\"]\n"),
            "f.toml:2: peer.addresses: has two ports: they are the paths of one association");
  EXPECT_EQ(error_of("[[registrar.peer]]\naddresses = []\n"), "f.toml:2: peer.addresses: names none");
  EXPECT_EQ(error_of("[[registrar.rsplib]]\nshort_handles = true\n"),
            "f.toml:1: rsplib.source: names nobody: give source, server_id, or both");
  EXPECT_EQ(error_of("[registrar]\nmax_time_last_heard_ms = 30000\n"),
            "f.toml:2: registrar.max_time_last_heard_ms: is not over peer_heartbeat_ms: every peer would be "
            "probed all the time");
}

TEST(Config, status_reports_go_to_sockets_at_most_four_times_a_second) {
  auto r = parse("[registrar]\nstatus_report_to = [\"10.0.0.9:2960\"]\nstatus_report_interval_ms = 250\n",
                 "f.toml");
  ASSERT_TRUE(r) << r.error().text;
  ASSERT_EQ(r->registrar.status_report_to.size(), 1u);
  EXPECT_EQ(r->registrar.status_report_to[0].second, 2960);
  EXPECT_EQ(r->registrar.status_report_interval_ms, 250u);
  EXPECT_EQ(error_of("[registrar]\nstatus_report_interval_ms = 249\n")
                .rfind("f.toml:2: registrar.status_report", 0),
            0u);
}

TEST(Config, an_empty_file_gives_the_defaults) {
  auto r = parse("", "f.toml");
  ASSERT_TRUE(r) << r.error().text;
  EXPECT_EQ(r->sctp.asap_port, 3863);
  EXPECT_EQ(r->registrar.max_bad_pe_reports, 3u);
}

TEST(Config, a_syntax_error_names_file_and_line) {
  EXPECT_EQ(error_of("[general]\nname = \n").rfind("f.toml:2: ", 0), 0u);
}

TEST(Config, a_wrong_value_names_file_line_key_and_reason) {
  EXPECT_EQ(error_of("[sctp]\nasap_port = 70000\n"), "f.toml:2: sctp.asap_port: 70000 is not in 1 to 65535");
  EXPECT_EQ(error_of("[sctp]\nasap_port = -1\n"), "f.toml:2: sctp.asap_port: -1 is not in 1 to 65535");
  EXPECT_EQ(error_of("[sctp]\naddresses = [\"10.0.0\"]\n"),
            "f.toml:2: sctp.addresses: \"10.0.0\" is not an IPv4 or IPv6 address");
  EXPECT_EQ(error_of("[general]\nlog_level = \"loud\"\n"),
            "f.toml:2: general.log_level: \"loud\" is not one of trace, debug, info, warn, error");
}

TEST(Config, an_unknown_key_or_section_is_an_error_not_ignored) {
  EXPECT_EQ(error_of("[general]\nnam = \"x\"\n"), "f.toml:2: general.nam: unknown key (is it name?)");
  EXPECT_EQ(error_of("\n[registra]\n"), "f.toml:2: registra: unknown section (is it registrar?)");
  EXPECT_EQ(error_of("[registrar]\n[[registrar.life_units]]\nunit=\"ms\"\n"),
            "f.toml:2: registrar.life_units: unknown key (is it life_unit?)");
}

TEST(Config, an_unknown_key_is_told_what_it_might_be_or_which_there_are) {
  EXPECT_EQ(error_of("[registrar]\nkeepalive_interval = 5\n"),
            "f.toml:2: registrar.keepalive_interval: unknown key (is it keepalive_interval_ms?)");
  EXPECT_EQ(error_of("[general]\ncolour = 1\n"),
            "f.toml:2: general.colour: unknown key; there are: log_level, name, run_dir, state_dir");
  EXPECT_EQ(error_of("[[x]]\n"),
            "f.toml:1: x: unknown section; there are: general, dataplane, sctp, registrar, port, "
            "route, service, pool");
}

TEST(Config, a_core_that_is_wrong_is_named_with_the_line_of_its_key) {
  EXPECT_EQ(error_of("[dataplane]\nmain_core = 1\nworker_cores = [1]\n"),
            "f.toml:3: dataplane.worker_cores: core 1 is main_core, too: one thread a core");
  EXPECT_EQ(error_of("[dataplane]\nburst = 32\nendpoint_core = \"9\"\n"),
            "f.toml:3: dataplane.endpoint_core: \"9\" is not one of worker_cores");
  EXPECT_EQ(error_of("[dataplane]\n\nworker_cores = []\n"),
            "f.toml:3: dataplane.worker_cores: names no core");
}

TEST(Config, one_mistake_in_a_list_is_one_error) {
  EXPECT_EQ(error_of("[dataplane]\nworker_cores = [\"a\"]\n"),
            "f.toml:2: dataplane.worker_cores: \"a\" is not a whole number from 0 to 1023");
  EXPECT_EQ(error_of("[[registrar.peer]]\naddresses = [\"10.0.2.9\"]\n"),
            "f.toml:2: peer.addresses: \"10.0.2.9\" is not an address and port such as 10.0.0.1:3863 or "
            "[fd00::1]:3863");
}

TEST(Config, a_folder_is_named_from_the_root) {
  for (const char* key : {"run_dir", "state_dir"})
    EXPECT_EQ(error_of("[general]\n" + std::string(key) + " = \"here\"\n"),
              "f.toml:2: general." + std::string(key) +
                  ": \"here\" is not a path from the root, such as /var/lib/poolgate");
  EXPECT_NE(error_of("[dataplane]\nsession_dir = \"\"\n").find("is not a path from the root"),
            std::string::npos);
}

TEST(Config, the_data_plane_needs_an_address_on_a_port) {
  const auto serves = [](const std::string& text) {
    const auto config = parse(text, "f.toml");
    return config.ok() && serves_as_dataplane(*config).ok();
  };
  EXPECT_FALSE(serves(""));
  EXPECT_FALSE(serves("[[port]]\nname = \"p\"\ndevice = \"d\"\n"));
  EXPECT_TRUE(serves("[[port]]\nname = \"p\"\ndevice = \"d\"\naddresses = [\"10.0.0.1/24\"]\n"));
}

TEST(Config, every_error_is_listed_in_the_order_of_lines) {
  const std::string e = error_of("[sctp]\nrto_min_ms = 5\nasap_prt = 1\n[general]\nname = 3\n");
  EXPECT_EQ(e,
            "f.toml:2: sctp.rto_min_ms: 5 is not in 10 to 60000\nf.toml:3: sctp.asap_prt: unknown key (is it "
            "asap_port?)\n"
            "f.toml:5: general.name: must be a text in quotes");
}

TEST(Config, a_missing_key_is_named) {
  EXPECT_NE(error_of("[[port]]\nname = \"p0\"\n").find("f.toml:1: port.device: is missing"),
            std::string::npos);
}

TEST(Config, two_services_at_one_vip_protocol_and_port_are_refused) {
  const std::string one =
      "[[service]]\nname=\"a\"\nvips=[\"192.0.2.1\"]\nprotocol=\"tcp\"\nport=80\npool=\"A\"\n";
  const std::string two =
      "[[service]]\nname=\"b\"\nvips=[\"192.0.2.1\"]\nprotocol=\"tcp\"\nport=80\npool=\"B\"\n";
  EXPECT_EQ(error_of(one + two), "f.toml:7: service.vips: 192.0.2.1 tcp 80 belongs to service \"a\" already");
}

TEST(Config, a_tunnel_needs_an_address_of_ours) {
  const auto with = [](const std::string& port, const std::string& mode) {
    return error_of("[[port]]\nname=\"p\"\ndevice=\"d\"\n" + port +
                    "[[service]]\nname=\"a\"\nvips=[\"192.0.2.1\"]\nprotocol=\"tcp\"\nport=80\npool=\"A\"\n"
                    "mode=\"" +
                    mode + "\"\n");
  };
  for (const std::string mode : {"ipip", "gue"}) {
    EXPECT_EQ(with("", mode), "f.toml:4: service.mode: \"" + mode +
                                  "\" needs an address on a [[port]]: the source of its outer header");
    EXPECT_EQ(with("addresses=[\"10.0.0.1/24\"]\n", mode), "no error");
    EXPECT_EQ(with("addresses=[\"fd00::1/64\"]\n", mode), "no error");
  }
  EXPECT_EQ(with("", "nat"), "no error");
  EXPECT_EQ(with("", "tunnel"), "f.toml:10: service.mode: \"tunnel\" is not one of l2, nat, ipip, gue");
}

std::string probed_service(const std::string& name, const std::string& protocol, const std::string& more) {
  return "[[service]]\nname=\"" + name + "\"\nvips=[\"192.0.2.1\"]\nprotocol=\"" + protocol +
         "\"\nport=" + std::to_string(80 + name.size()) + "\npool=\"A\"\n" + more;
}

TEST(Config, a_prober_is_its_services_or_its_pools_with_defaults_of_three_times_100_ms) {
  auto r = parse(probed_service("a", "sctp", "prober=\"heartbeat\"\n") + probed_service("bb", "sctp", ""),
                 "f.toml");
  ASSERT_TRUE(r) << r.error().text;
  EXPECT_EQ(probe_settings(*r, "A"), (ProbeSettings{ProbeKind::heartbeat, 100, 3}));
  EXPECT_EQ(probe_settings(*r, "B").how, ProbeKind::off);
  r = parse(probed_service("a", "sctp", "prober=\"sctp\"\n") +
                "[[pool]]\nhandle=\"A\"\nprober=\"icmp\"\nprobe_interval_ms=10\nprobe_count=5\n",
            "f.toml");
  ASSERT_TRUE(r) << r.error().text;
  EXPECT_EQ(probe_settings(*r, "A"), (ProbeSettings{ProbeKind::icmp, 10, 5}));
  r = parse(probed_service("a", "sctp", "prober=\"sctp\"\n") + "[[pool]]\nhandle=\"A\"\nprober=\"off\"\n",
            "f.toml");
  ASSERT_TRUE(r) << r.error().text;
  EXPECT_EQ(probe_settings(*r, "A").how, ProbeKind::off);
}

TEST(Config, BFD_asks_hosts_whatever_they_serve) {
  for (const char* protocol : {"sctp", "tcp", "udp"}) {
    const auto r = parse(probed_service("a", protocol, "prober=\"bfd\"\n"), "f.toml");
    ASSERT_TRUE(r) << r.error().text;
    EXPECT_EQ(probe_settings(*r, "A"), (ProbeSettings{ProbeKind::bfd, 100, 3}));
  }
}

TEST(Config, what_cannot_be_of_probers_is_an_error) {
  EXPECT_EQ(error_of(probed_service("a", "sctp", "prober=\"ping\"\n")),
            "f.toml:7: service.prober: \"ping\" is not one of off, sctp, heartbeat, icmp, bfd");
  EXPECT_EQ(error_of(probed_service("a", "sctp", "prober=\"sctp\"\nprobe_interval_ms=9\n")),
            "f.toml:8: service.probe_interval_ms: 9 is not in 10 to 60000");
  EXPECT_EQ(error_of(probed_service("a", "sctp", "prober=\"sctp\"\nprobe_count=11\n")),
            "f.toml:8: service.probe_count: 11 is not in 1 to 10");
  EXPECT_EQ(error_of(probed_service("a", "sctp", "probe_interval_ms=10\n")),
            "f.toml:7: service.probe_interval_ms: needs prober: by itself nothing is probed");
  EXPECT_EQ(error_of(probed_service("a", "tcp", "prober=\"sctp\"\n")),
            "f.toml:1: service.prober: \"sctp\" asks SCTP, and the service is tcp: take \"icmp\"");
  EXPECT_EQ(error_of(probed_service("a", "udp", "") + "[[pool]]\nhandle=\"A\"\nprober=\"heartbeat\"\n"),
            "f.toml:1: service.prober: \"heartbeat\" asks SCTP, and the service is udp: take \"icmp\"");
  EXPECT_EQ(
      error_of(probed_service("a", "sctp", "prober=\"sctp\"\n") +
               probed_service("bb", "sctp", "prober=\"icmp\"\n")),
      "f.toml:8: service.prober: differs from that of another service of pool \"A\": say it once, in its "
      "[[pool]]");
  EXPECT_EQ(error_of("[dataplane]\nprobe_rate = 9\n"),
            "f.toml:2: dataplane.probe_rate: 9 is not in 10 to 1000000");
}

TEST(Config, a_core_used_twice_is_refused) {
  EXPECT_NE(error_of("[dataplane]\nworker_cores = [1, 1]\n").find("core 1 is used twice"), std::string::npos);
}

TEST(Config, every_sctp_stack_wants_a_worker_of_its_own_and_one_is_left_for_traffic) {
  EXPECT_EQ(error_of("[dataplane]\nworker_cores = [1, 2, 3]\n[sctp]\nstacks = 2\n"), "no error");
  const std::string refused = error_of("[dataplane]\nworker_cores = [1, 2]\n[sctp]\nstacks = 2\n");
  EXPECT_NE(refused.find("f.toml:3"), std::string::npos) << refused;
  EXPECT_NE(refused.find("2 stacks want 3 worker_cores"), std::string::npos) << refused;
  EXPECT_NE(error_of("[sctp]\nstacks = 5\n").find("stacks"), std::string::npos);
}

TEST(Config, snat_without_nat_or_of_another_family_is_refused) {
  const std::string head =
      "[[service]]\nname=\"a\"\nvips=[\"192.0.2.1\"]\nprotocol=\"tcp\"\nport=80\npool=\"A\"\n";
  EXPECT_NE(error_of(head + "snat=[\"10.0.0.1\"]\n").find("only for mode"), std::string::npos);
  EXPECT_NE(error_of(head + "mode=\"nat\"\nsnat=[\"fd00::1\"]\n").find("no address of the family"),
            std::string::npos);
}

// Whatever comes to an SNAT address in the service's protocol is a server's answer, or dropped.
TEST(Config, an_snat_address_that_is_something_else_of_ours_is_refused) {
  const auto with = [](const std::string& snat, const std::string& before = "") {
    return error_of(before +
                    "[[port]]\nname=\"pu\"\ndevice=\"d\"\naddresses=[\"10.0.2.1/24\"]\n"
                    "[[service]]\nname=\"a\"\nvips=[\"192.0.2.1\"]\nprotocol=\"tcp\"\nport=80\npool=\"A\"\n"
                    "[[service]]\nname=\"b\"\nvips=[\"192.0.2.2\"]\nprotocol=\"udp\"\nport=53\npool=\"B\"\n"
                    "mode=\"nat\"\nsnat=[\"10.0.2.201\", \"" +
                    snat + "\"]\n");
  };
  EXPECT_EQ(with("10.0.2.202"), "no error");
  EXPECT_EQ(
      with("10.0.2.1"),
      "f.toml:11: service.snat: service \"b\": 10.0.2.1 is an address of port \"pu\", too: what comes to it "
      "would be taken for servers' answers");
  EXPECT_NE(with("192.0.2.1").find("\"b\": 192.0.2.1 is a VIP of service \"a\", too"), std::string::npos);
  EXPECT_NE(with("192.0.2.2").find("\"b\": 192.0.2.2 is a VIP of service \"b\", too"), std::string::npos);
  EXPECT_NE(with("10.0.2.3", "[registrar]\ntcp_listen=[\"10.0.2.3:3863\"]\n")
                .find("\"b\": 10.0.2.3 is in registrar.tcp_listen, too"),
            std::string::npos);
  EXPECT_EQ(with("10.0.2.201").find("too:"), std::string::npos);
}

TEST(Config, what_a_reload_brings_is_held_against_the_ports_that_run) {
  const auto of = [](const char* own, const char* snat) {
    return *parse(std::string("[[port]]\nname=\"pu\"\ndevice=\"d\"\naddresses=[\"") + own +
                      "/24\"]\n"
                      "[[service]]\nname=\"b\"\nvips=[\"192.0.2.2\"]\nprotocol=\"udp\"\nport=53\npool=\"B\"\n"
                      "mode=\"nat\"\nsnat=[\"" +
                      snat + "\"]\n",
                  "f.toml");
  };
  const Config runs = of("10.0.2.1", "10.0.2.201");
  EXPECT_TRUE(suits_what_runs(of("10.0.2.1", "10.0.2.202"), runs).ok());
  const auto refused = suits_what_runs(of("10.0.2.9", "10.0.2.1"), runs);
  ASSERT_FALSE(refused.ok());
  EXPECT_EQ(
      refused.error().text,
      "f.toml: service.snat: service \"b\": 10.0.2.1 is an address of port \"pu\", too: what comes to it "
      "would be taken for servers' answers");
}

TEST(Config, a_file_that_cannot_be_read_says_why) {
  auto r = load("/nonexistent/poolgate.toml");
  ASSERT_FALSE(r);
  EXPECT_NE(r.error().text.find("No such file"), std::string::npos);
}

TEST(Config, a_folder_is_not_an_empty_file) {
  auto r = load("/");
  ASSERT_FALSE(r);
  EXPECT_EQ(r.error().text, "/: cannot be read: is a folder");
}

TEST(Config, what_must_be_given_is_not_empty) {
  EXPECT_EQ(error_of("[[port]]\nname=\"p\"\ndevice=\"\"\n"), "f.toml:3: port.device: is empty");
  EXPECT_EQ(error_of("[[pool]]\nhandle=\"\"\n"), "f.toml:2: pool.handle: is empty");
}

TEST(Config, names_that_files_and_interfaces_cannot_have_are_refused) {
  for (const std::string name : {"", "a/b", "a b", "..", ".hidden"})
    EXPECT_EQ(error_of("[general]\nname = \"" + name + "\"\n"),
              "f.toml:2: general.name: \"" + name +
                  "\" is not 1 to 64 letters, digits, hyphens, underscores and dots");
  EXPECT_EQ(error_of("[[port]]\nname=\"wan 1\"\ndevice=\"d\"\n"),
            "f.toml:2: port.name: the kernel takes no interface of the name \"pg-wan 1\"");
  EXPECT_EQ(error_of("[[port]]\nname=\"wan 1\"\ndevice=\"d\"\ntap=\"wan1\"\n"), "no error");
  EXPECT_EQ(error_of("[[port]]\nname=\"wan\"\ndevice=\"d\"\ntap=\"\"\n"),
            "f.toml:4: port.tap: the TAP's name \"\" has not 1 to 15 characters");
}

TEST(Config, a_run_dir_leaves_room_for_the_names_of_its_sockets) {
  const auto of_length = [](size_t n) {
    return error_of("[general]\nrun_dir=\"/" + std::string(n - 1, 'r') + "\"\n");
  };
  EXPECT_EQ(of_length(88), "no error");
  EXPECT_EQ(of_length(89).find("f.toml:2: general.run_dir: is over 88 bytes"), 0u);
}

TEST(Config, a_handle_that_the_registrar_would_refuse_is_an_error) {
  EXPECT_EQ(error_of("[registrar]\nmax_handle_length=4\n[[pool]]\nhandle=\"12345\"\n"),
            "f.toml:3: pool.handle: has 5 bytes: over registrar.max_handle_length");
}

TEST(ConfigPrefix, contains_compares_only_its_length) {
  auto r = parse("[[registrar.life_unit]]\nsource=\"10.10.7.9/20\"\nunit=\"ms\"\n", "f");
  ASSERT_TRUE(r) << r.error().text;
  const Prefix p = *r->registrar.life_units[0].source;
  EXPECT_TRUE(p.contains(*IpAddress::parse("10.10.15.255")));
  EXPECT_FALSE(p.contains(*IpAddress::parse("10.10.16.0")));
  EXPECT_FALSE(p.contains(*IpAddress::parse("::1")));
}

}  // namespace
}  // namespace poolgate::config
