# SPDX-License-Identifier: BSD-3-Clause
"""poolgate-cli against a running appliance: every command, as text and as JSON, and what it changes."""
import json
import os
import pty
import select
import subprocess
import tempfile
import time
import unittest

from lib.lab import AGENT, BUILD, TOOLS, CommandFailed, Lab, run, wait_until

CLI = os.path.join(BUILD, "dataplane", "cli", "poolgate-cli")


class CliTest(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.lab = Lab("pgc-")
        cls.lab.__enter__()
        cls.addClassCleanup(cls.lab.script, "down")
        cls.lab.start()
        for n in (1, 2):
            cls.lab.spawn(f"pe{n}", f"echo{n}", os.path.join(TOOLS, "poolgate-lab-echo"), "--name", f"pe{n}", "--transport", "udp",
                          "--port", "5000", "--address", "192.0.2.1")
            cls.lab.spawn(f"pe{n}", f"agent{n}", AGENT, "register", "--registrar", "10.0.2.1:3863", "--pool", "EchoUdp",
                          "--transport", "udp", "--port", "5000", "--address", f"10.0.2.1{n}", "--id", f"0x{n}", "--sctp", "raw",
                          "--lifetime", "30s")
        wait_until(lambda: cls.up() == {"0x00000001": "up", "0x00000002": "up"}, 30, "both PEs to be in the data plane's pool")

    @classmethod
    def show(cls, *words):
        return json.loads(cls.lab.cli("show", *words, "json"))

    @classmethod
    def up(cls):
        return {row["pe"]: row["state"] for row in cls.show("pool", "all").get("pool EchoUdp", [])}

    def served_by(self, count=8):
        out = self.lab.run("pu", os.path.join(TOOLS, "poolgate-lab-client"), "--transport", "udp", "--to", "192.0.2.1:5000",
                           "--count", str(count), "--rate", "100", "--fresh", "--json", check=False)
        return json.loads(out)

    def error(self, *words):
        done = subprocess.run([CLI, "--config", self.lab.config, *words], capture_output=True, text=True, timeout=60)
        self.assertNotEqual(done.returncode, 0, done.stdout)
        return done.stderr

    def test_every_show_command_answers_as_text_and_as_json(self):
        for words in ("port stats all", "port xstats all", "port info pu", "config fwd", "config all", "pool all", "pool EchoUdp",
                      "service all", "service echo-udp", "session all", "session 3", "session service echo-udp",
                      "session client 10.0.1.2", "session pe EchoUdp 1", "pool", "service", "session", "worker", "assoc",
                      "assoc all", "drops", "worker all", "capture", "registrar", "registrar pool",
                      "registrar pool all", "registrar pool EchoUdp", "registrar peers"):
            with self.subTest(words):
                self.assertTrue(self.lab.cli("show", *words.split()).strip())
                self.assertTrue(self.show(*words.split()))

    def test_help_lists_every_command(self):
        text = self.lab.cli("help")
        for word in ("start", "stop", "quit", "show port", "clear port", "set pe"):
            self.assertIn(word, text)

    def test_RFC_5356_loads_are_percentages_for_people_and_as_on_the_wire_in_json(self):
        self.lab.spawn("pe1", "agent-lu", AGENT, "register", "--registrar", "10.0.2.1:3863", "--pool", "Loads", "--transport", "udp",
                       "--port", "5000", "--address", "10.0.2.11", "--id", "0x1", "--sctp", "raw", "--lifetime", "30s", "--policy",
                       "lud:37.5%:5%")
        wait_until(lambda: "Loads" in self.lab.cli("show", "pool", "all"), 30, "the pool to be in the data plane")
        raw = (0x60000000, round(0.05 * 0xffffffff))
        for words, rows in ((("pool", "Loads"), lambda shown: shown["pool Loads"]),
                            (("registrar", "pool", "all"),
                             lambda shown: [p for p in shown["pools"] if p["handle"] == "Loads"][0]["elements"])):
            text = self.lab.cli("show", *words)
            self.assertIn(" 37.50 %", text)
            self.assertIn(" 5.00 %", text)
            self.assertNotIn(str(raw[0]), text)
            self.assertEqual([(pe["load"], pe["degradation"]) for pe in rows(self.show(*words))], [raw])
        self.lab.kill("agent-lu", "TERM")

    def test_sessions_by_service_client_and_pe_are_those_of_it_and_the_count_is_of_sessions(self):
        self.served_by()

        def shown(*words):
            return [{k: v for k, v in s.items() if k != "idle_ms"} for s in self.show("session", *words)["sessions"]]

        everything = shown("all")
        self.assertGreater(len(everything), 7)
        self.assertIn(f" of {len(everything)} sessions shown", self.lab.cli("show", "session", "2"))
        self.assertEqual(shown("service", "echo-udp"), [s for s in everything if s["service"] == "echo-udp"])
        self.assertEqual({s["pe"] for s in shown("pe", "EchoUdp", "0x2")}, {"0x00000002"})
        self.assertEqual(len(shown("pe", "EchoUdp", "1")) + len(shown("pe", "EchoUdp", "2")), len(shown("service", "echo-udp")))
        self.assertEqual(len(shown("client", "10.0.1.2")), len(everything))
        self.assertEqual(shown("client", "10.0.1.3"), [])
        self.assertIsNone(everything[0]["tag_p"], "a UDP flow has no tags")
        self.assertIn('no service "nope"', self.error("show", "session", "service", "nope"))
        self.assertIn('no pool "Nope"', self.error("show", "session", "pe", "Nope", "1"))
        self.assertIn('no pool "Nope"', self.error("set", "pe", "Nope", "1", "drain"))
        self.assertIn("has no element 0x00000063", self.error("set", "pe", "EchoUdp", "99", "drain"))

    def test_a_drained_pe_gets_no_new_flow_and_up_brings_it_back(self):
        self.lab.cli("set", "pe", "EchoUdp", "0x1", "drain")
        report = self.served_by()
        self.assertEqual(report["failed"], 0, report)
        self.assertNotIn("pe1", json.dumps(report))
        self.assertEqual(self.up()["0x00000001"], "draining")
        self.lab.cli("set", "pe", "EchoUdp", "0x1", "up")
        self.assertIn("pe1", json.dumps(self.served_by()))

    def test_a_drained_service_refuses_new_flows_only(self):
        self.lab.cli("set", "service", "echo-udp", "drain")
        try:
            self.assertEqual(self.served_by(3)["answered"], 0)
        finally:
            self.lab.cli("set", "service", "echo-udp", "up")
        self.assertEqual(self.served_by(3)["failed"], 0)

    def test_stop_holds_all_packets_and_start_lets_them_go(self):
        self.lab.cli("stop")
        try:
            self.assertEqual(self.served_by(3)["answered"], 0)
        finally:
            self.lab.cli("start")
        self.assertEqual(self.served_by(3)["failed"], 0)

    def test_clear_sets_the_counters_to_zero(self):
        self.served_by(3)
        self.lab.cli("clear", "port", "stats", "all")
        pu = [row for row in self.show("port", "stats", "all")["ports"] if row["port"] == "pu"][0]
        self.assertLess(pu["rx_packets"], 50)
        self.lab.cli("clear", "drops")
        self.assertEqual(self.show("drops")["drops"], [])

    def test_a_word_that_the_shell_was_given_in_quotes_stays_one(self):
        self.assertIn('no pool "My Pool" (', self.error("show", "pool", "My Pool"))
        self.assertIn('no pool "My #1" (', self.error("show", "pool", "My #1"))
        self.assertIn('no pool "" (', self.error("show", "pool", ""))
        self.assertIn('no pool "My Pool" (', self.error("show", "pool", '"My Pool"'))
        self.assertIn("drops", self.lab.cli("show drops"))

    def test_every_setting_of_the_data_plane_is_in_show_config_all(self):
        shown = self.show("config", "all")["settings"][0]
        for key, value in {"log_level": "info", "probe_rate": 20000, "rto_initial_ms": 500, "stacks": 1,
                           "own_addresses": ["10.0.1.1", "fd00:1::1", "10.0.2.1", "fd00:2::1", "10.0.3.1", "fd00:3::1"]}.items():
            self.assertEqual(shown[key], value, key)

    def test_an_error_names_what_was_wrong(self):
        self.assertIn("no pool \"Nope\"", self.error("show", "pool", "Nope"))
        self.assertIn("no port \"p9\"; there are: pu, pe, pe2", self.error("show", "port", "stats", "p9"))
        self.assertIn("has no element 0x00000009", self.error("set", "pe", "EchoUdp", "9", "drain"))
        self.assertIn("unknown command", self.error("dance"))

    def test_a_command_file_stops_at_its_first_error_and_names_the_line(self):
        with tempfile.NamedTemporaryFile("w", suffix=".cmd") as f:
            f.write("# diagnostics\nshow drops\nshow port nonsense all\nshow worker all\n")
            f.flush()
            error = self.error("--cmdline-file", f.name)
        self.assertIn(f"{f.name}:3: after \"show port\" comes stats|xstats|info", error)

    def test_doctor_explains_the_lab(self):
        out = self.lab.run("app", CLI, "--config", self.lab.config, "doctor")
        self.assertIn("--no-huge", out)
        self.assertIn("app0 is quiet towards the kernel", out)

    def prompt(self, keys, until):
        """What the prompt shows after these keys, on a terminal of its own."""
        master, slave = pty.openpty()
        process = subprocess.Popen([CLI, "--config", self.lab.config], stdin=slave, stdout=slave, stderr=slave, close_fds=True)
        os.close(slave)
        shown = ""

        def read(text):
            nonlocal shown
            end = time.monotonic() + 30
            while text not in shown:
                ready, _, _ = select.select([master], [], [], 1)
                shown += os.read(master, 4096).decode() if ready else ""
                self.assertLess(time.monotonic(), end, f"no {text!r} in {shown!r}")
        try:
            read("poolgate> ")
            os.write(master, keys.encode())
            read(until)
            os.write(master, b"\nquit\n")
            self.assertEqual(process.wait(20), 0)
        finally:
            process.kill()
            process.wait()
            os.close(master)
        return shown

    def test_tab_completes_names_of_what_exists_and_lists_each_command_once(self):
        self.assertIn("show pool EchoUdp", self.prompt("show pool E\t", "EchoUdp").replace("\x1b[0K", ""))
        self.assertEqual(self.prompt("show \t", "handlespace").count("[drops]"), 1)

    def test_tab_lists_each_port_once_of_two_commands_that_take_one_and_both_commands_behind_it(self):
        shown = self.prompt("capture p\t", "capture p\x1b[0K")  # the line again, below the whole list
        self.assertEqual([shown.count(f" {port} [<port>]") for port in ("pu", "pe", "pe2")], [1, 1, 1], shown)
        behind = self.prompt("capture pu \t", "capture pu \x1b[0K")
        self.assertEqual([behind.count(word) for word in ("[<file>]", "stop [stop]")], [1, 1], behind)

    def test_the_prompt_says_what_was_wrong_with_a_line(self):
        self.prompt("show sessions\n", 'error: after "show" comes port or config')
        self.prompt("dance\n", "error: unknown command")
        self.prompt('show pool "Echo\n', "error: a quote is not closed")
        self.prompt("show session some\n", 'error: after "show session" comes all|<limit>')

    def test_the_prompt_takes_a_show_without_all_and_json_behind_it(self):
        self.prompt("show service\n", "echo-udp   udp")
        self.prompt("show service json\n", '"service": "echo-udp"')
        self.prompt("show session service echo-udp\n", " sessions shown")

    def test_without_an_appliance_the_error_asks_whether_it_runs(self):
        with self.assertRaises(CommandFailed) as caught:
            run(CLI, "--run-dir", "/nonexistent", "show", "drops")
        self.assertIn("is the process running?", str(caught.exception))


if __name__ == "__main__":
    unittest.main()
