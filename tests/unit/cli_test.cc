// SPDX-License-Identifier: BSD-3-Clause
#include <gtest/gtest.h>
#include <unistd.h>

#include <fstream>
#include <sstream>

#include "controlplane/rserpool/text.h"
#include "controlplane/transport/command_socket.h"
#include "dataplane/cli/execute.h"
#include "dataplane/cli/grammar.h"

namespace poolgate::cli {
namespace {

// Answers every call with one row that says what was asked.
class EchoSource : public Source {
 public:
  Result<Report> port_stats(std::string_view p) override { return said("port_stats " + std::string(p)); }
  Result<Report> port_xstats(std::string_view p) override { return said("port_xstats " + std::string(p)); }
  Result<Report> port_info(std::string_view p) override { return said("port_info " + std::string(p)); }
  Result<Report> clear_port(std::string_view p, bool x) override {
    return said((x ? "clear_x " : "clear ") + std::string(p));
  }
  Result<Report> config(bool all) override { return said(all ? "config all" : "config fwd"); }
  Result<Report> pools(std::string_view p) override {
    if (p == "none") return Error{"no pool \"none\""};
    return said("pools " + rserpool::printable(p));
  }
  Result<Report> services(std::string_view s) override { return said("services " + std::string(s)); }
  Result<Report> sessions(const SessionFilter& f) override {
    return said("sessions " + std::to_string(f.limit) + f.service + (f.client ? f.client->to_string() : "") +
                f.pool + (f.pe ? rserpool::hex32(*f.pe) : ""));
  }
  Result<Report> associations() override { return said("associations"); }
  Result<Report> drops() override { return said("drops"); }
  Result<Report> clear_drops() override { return said("clear_drops"); }
  Result<Report> clear_held(std::string_view p) override { return said("clear_held " + std::string(p)); }
  Result<Report> workers() override { return said("workers"); }
  Result<Report> start() override { return said("start"); }
  Result<Report> stop() override { return said("stop"); }
  Result<Report> capture(std::string_view p, std::string_view f, uint32_t n) override {
    return said("capture " + std::string(p) + " " + std::string(f) + " " + std::to_string(n));
  }
  Result<Report> capture_stop(std::string_view p) override { return said("capture_stop " + std::string(p)); }
  Result<Report> captures() override { return said("captures"); }
  Result<Report> set_pe(std::string_view p, uint32_t id, std::string_view s) override {
    return said("set_pe " + std::string(p) + " " + rserpool::hex32(id) + " " + std::string(s));
  }
  Result<Report> set_service(std::string_view n, std::string_view s) override {
    return said("set_service " + std::string(n) + " " + std::string(s));
  }

 private:
  static Report said(std::string what) {
    Report r;
    r.section("said", {"what"}).row({std::move(what)});
    return r;
  }
};

std::string run(std::string_view line) {
  EchoSource source;
  const auto r = execute(line, source);
  return r ? *r : "error: " + r.error().text;
}

std::string said(const std::string& what) { return "said\n  what\n  " + what + "\n"; }

TEST(Cli, commands_reach_their_source) {
  EXPECT_EQ(run("show port stats all"), said("port_stats all"));
  EXPECT_EQ(run("show port xstats 0"), said("port_xstats 0"));
  EXPECT_EQ(run("clear port stats p1"), said("clear p1"));
  EXPECT_EQ(run("show session 20"), said("sessions 20"));
  EXPECT_EQ(run("clear held EchoPool"), said("clear_held EchoPool"));
  EXPECT_EQ(run("set pe EchoPool 0x2A drain"), said("set_pe EchoPool 0x0000002a drain"));
  EXPECT_EQ(run("  show   pool\tall  # all of them"), said("pools all"));
}

TEST(Cli, capture_takes_a_port_a_file_and_a_count_or_stop) {
  EXPECT_EQ(run("capture pu /tmp/a.pcapng 100"), said("capture pu /tmp/a.pcapng 100"));
  EXPECT_EQ(run("capture pu stop"), said("capture_stop pu"));
  EXPECT_EQ(run("show capture"), said("captures"));
  EXPECT_EQ(run("capture pu /tmp/a.pcapng many"), "error: \"many\" is not a count of frames");
  EXPECT_EQ(run("capture pu /tmp/a.pcapng -1"), "error: \"-1\" is not a count of frames");
  EXPECT_EQ(run("capture pu"), "error: after \"capture pu\" comes <file> or stop, not the end of the line");
}

TEST(Cli, json_may_follow_every_show) {
  EXPECT_EQ(run("show drops json"), "{\n  \"said\": [\n    {\n      \"what\": \"drops\"\n    }\n  ]\n}\n");
}

TEST(Cli, all_may_be_left_out) {
  EXPECT_EQ(run("show pool"), said("pools all"));
  EXPECT_EQ(run("show session"), said("sessions 100000"));
  EXPECT_EQ(run("show port stats"), said("port_stats all"));
  EXPECT_EQ(run("show worker"), run("show worker all"));
  for (const char* what : {"worker", "assoc", "pool", "service", "session", "port info"}) {
    const std::string show = std::string("show ") + what;
    EXPECT_EQ(run(show + " json"), run(show + " all json")) << show;
    EXPECT_EQ(run(show + " json").front(), '{') << show;
  }
  EXPECT_EQ(run("show pool json json"), run("show pool \"json\" json"));
  EXPECT_EQ(run("show worker some"), "error: after \"show worker\" comes all, not \"some\"");
  EXPECT_EQ(run("clear port stats"),
            "error: after \"clear port stats\" comes all|<port>, not the end of the line");
}

TEST(Cli, sessions_are_shown_by_service_client_or_PE) {
  EXPECT_EQ(run("show session service diameter"), said("sessions 100000diameter"));
  EXPECT_EQ(run("show session client 2001:db8::1"), said("sessions 1000002001:db8::1"));
  EXPECT_EQ(run("show session pe EchoPool 0x2a"), said("sessions 100000EchoPool0x0000002a"));
  EXPECT_EQ(run("show session service diameter json").front(), '{');
  EXPECT_EQ(run("show session client me"), "error: \"me\" is not an IPv4 or IPv6 address");
  EXPECT_EQ(run("show session pe EchoPool me"),
            "error: \"me\" is not a PE identifier (decimal, or 0x and hexadecimal)");
  EXPECT_EQ(run("show session some"),
            "error: after \"show session\" comes all|<limit> or service or client or pe, not \"some\"");
  EXPECT_EQ(run("show session 99999999999"), "error: \"99999999999\" is not a count of sessions");
}

TEST(Cli, a_pool_handle_may_hold_any_bytes) {
  EXPECT_EQ(run(R"(show pool "a b")"), said("pools a b"));
  EXPECT_EQ(run(R"(show pool a\x00\xffb)"), said(R"(pools a\x00\xffb)"));
  EXPECT_EQ(run(R"(show pool "json")"), said("pools json"));
}

TEST(Cli, an_error_says_what_was_expected) {
  EXPECT_EQ(run("frobnicate"), "error: unknown command \"frobnicate\" (try: help)");
  EXPECT_EQ(run("show port bits all"), "error: after \"show port\" comes stats|xstats|info, not \"bits\"");
  EXPECT_EQ(run("show sessions"),
            "error: after \"show\" comes port or config or pool or service or session or assoc or drops or "
            "worker or capture or "
            "registrar, not \"sessions\"");
  EXPECT_EQ(run("set pe A 1"), "error: after \"set pe A 1\" comes up|drain|block, not the end of the line");
  EXPECT_EQ(run("set pe A 1 up now"),
            "error: after \"set pe A 1 up\" comes the end of the line, not \"now\"");
  EXPECT_EQ(run("set pe A 0x1ffffffff up"),
            "error: \"0x1ffffffff\" is not a PE identifier (decimal, or 0x and hexadecimal)");
  EXPECT_EQ(run(R"(show pool "a)"), "error: a quote is not closed");
  EXPECT_EQ(run(R"(show pool \xg0)"), "error: \\x must be followed by two hexadecimal digits");
}

TEST(Cli, help_of_a_topic_has_its_commands_only_and_another_topic_is_named_as_wrong) {
  const std::string display = run("help display");
  EXPECT_NE(display.find("show pool [all|<pool>] [json]"), std::string::npos);
  EXPECT_EQ(display.find("set pe"), std::string::npos);
  EXPECT_NE(run("help config").find("set pe"), std::string::npos);
  EXPECT_NE(run("help control").find("start"), std::string::npos);
  EXPECT_EQ(run("help all"), run("help"));
  EXPECT_EQ(run("help me"),
            "error: after \"help\" comes all|control|display|config or the end of the line, not \"me\"");
}

TEST(Cli, every_command_is_in_the_help) {
  const std::string help = help_text();
  for (const CommandSpec& spec : commands())
    EXPECT_NE(help.find(spec.words), std::string::npos) << spec.words;
}

TEST(Cli, an_error_stops_a_command_file_and_names_the_line) {
  const std::string path = testing::TempDir() + "/cli_test_" + std::to_string(getpid());
  std::ofstream(path) << "# a comment\n\nshow drops\nshow pool none\nshow worker all\n";
  EchoSource source;
  std::ostringstream out;
  const auto r = execute_file(path, source, out);
  ASSERT_FALSE(r);
  EXPECT_EQ(r.error().text, path + ":4: no pool \"none\"");
  EXPECT_EQ(out.str(), said("drops"));
  unlink(path.c_str());
}

TEST(CliReport, a_table_aligns_numbers_right_and_text_left) {
  Report r;
  auto& s = r.section("ports", {"port", "rx"});
  s.row({"p0", 5});
  s.row({"uplink", 12345});
  EXPECT_EQ(r.text(), "ports\n  port       rx\n  p0          5\n  uplink  12345\n");
}

TEST(CliReport, a_column_with_a_format_is_readable_in_text_and_raw_in_json) {
  Report r;
  auto& s = r.section("pool", {"pe", "load"});
  s.format("load", [](const Report::Value& load) { return rserpool::percent(load.get<uint32_t>()); });
  s.row({"a", 0x60000000});
  s.row({"b", 0xffffffff});
  s.row({"c", nullptr});
  EXPECT_EQ(r.text(), "pool\n  pe      load\n  a    37.50 %\n  b   100.00 %\n  c          -\n");
  EXPECT_NE(r.json().find("\"load\": 1610612736"), std::string::npos) << r.json();
}

TEST(CliReport, an_empty_section_says_none) {
  Report r;
  r.section("pools", {"pool"});
  EXPECT_EQ(r.text(), "pools\n  none\n");
  EXPECT_EQ(r.json(), "{\n  \"pools\": []\n}\n");
}

TEST(CommandSocket, answers_and_errors_arrive_and_a_dead_socket_is_replaced) {
  const std::string path = testing::TempDir() + "/cmd_" + std::to_string(getpid()) + ".sock";
  const auto handler = [](std::string_view line) -> Result<std::string> {
    if (line == "bad") return Error{"no good"};
    return "got " + std::string(line) + "\n" + std::string(200'000, 'x');
  };
  {
    transport::CommandServer server;
    const auto started = server.start(path, handler);
    ASSERT_TRUE(started) << started.error().text;
    const auto good = transport::ask(path, "show");
    ASSERT_TRUE(good) << good.error().text;
    EXPECT_EQ(good->size(), 9 + 200'000u);
    const auto bad = transport::ask(path, "bad");
    ASSERT_FALSE(bad);
    EXPECT_EQ(bad.error().text, "no good");
    transport::CommandServer second;
    EXPECT_FALSE(second.start(path, handler));
    EXPECT_TRUE(transport::ask(path, "still there"));
    EXPECT_TRUE(transport::ask(path, std::string(transport::kMaxCommandLine, 'x')));
    const auto longer = transport::ask(path, std::string(transport::kMaxCommandLine + 1, 'x'));
    ASSERT_FALSE(longer);
    EXPECT_EQ(longer.error().text, "a command has at most 64 KiB");
  }
  const auto gone = transport::ask(path, "show");
  ASSERT_FALSE(gone);
  EXPECT_NE(gone.error().text.find("is the process running?"), std::string::npos);
}

}  // namespace
}  // namespace poolgate::cli
