# SPDX-License-Identifier: BSD-3-Clause
"""poolgate-agent as its user has it: real servers in namespaces, the appliance as their registrar."""
import json
import os
import re
import subprocess
import tempfile
import threading
import time
import unittest

from lib.lab import AGENT, TOOLS, Lab, run, wait_until

TIMEOUT_SECONDS = 600
GROUP = "224.0.1.185:3863"  # IANA's for ASAP (RFC 5352 8.4), and one of the agent's two defaults
QUICK = ("--probe-interval", "100ms", "--probe-timeout", "1s", "--probe-fall", "2")


class Program:
    """A program in a namespace, and the lines that it prints."""

    def __init__(self, test, ns, *command):
        self.command, self.lines = command, []
        self.process = subprocess.Popen(test.lab.in_namespace(ns, *command), stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                                        stderr=subprocess.STDOUT, text=True)
        threading.Thread(target=self._read, daemon=True).start()
        test.addCleanup(self.end)

    def _read(self):
        for line in self.process.stdout:
            self.lines.append(line.rstrip("\n"))

    def wait_for(self, pattern, count=1, seconds=60):
        """The lines in which `pattern` is found, when there are `count` of them."""
        def found():
            return [line for line in list(self.lines) if re.search(pattern, line)]
        wait_until(lambda: len(found()) >= count, seconds, f"{count} time(s) {pattern!r} from {self.command}: {self.lines}")
        return found()

    def end(self, kill=True):
        """The exit status."""
        if self.process.poll() is None:
            self.process.kill() if kill else self.process.terminate()
        return self.process.wait(20)


class AgentTest(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.lab = Lab("pgag-")
        cls.lab.__enter__()
        cls.addClassCleanup(cls.lab.script, "down")
        with open(cls.lab.config, encoding="utf-8") as f:
            text = f.read()
        with open(cls.lab.config, "w", encoding="utf-8") as f:
            f.write(text.replace("[registrar]\n", f'[registrar]\nannounce = ["{GROUP}"]\nannounce_interval_ms = 500\n'))
        cls.lab.start()

    def register(self, pool, *options, registrar=("--registrar", "10.0.2.1:3863")):
        return Program(self, "pe1", AGENT, "register", *registrar, "--sctp", "raw", "--pool", pool, "--lifetime", "30s", *options)

    def resolve(self, pool, *options, status=0, registrar=("--registrar", "10.0.1.1:3863"), output="stdout",
                timeout="60s"):
        done = subprocess.run(self.lab.in_namespace("pu", AGENT, "resolve", pool, *registrar, "--sctp", "raw", "--timeout", timeout,
                                                    *options), capture_output=True, text=True, timeout=90)
        self.assertEqual(done.returncode, status, done.stdout + done.stderr)
        return getattr(done, output)

    def watch(self, pool):
        """What the pool is said to become, from its not being there on."""
        watch = Program(self, "pu", AGENT, "resolve", pool, "--registrar", "10.0.1.1:3863", "--sctp", "raw", "--watch", "--json")
        watch.wait_for('"exists": false')
        return watch

    def echo(self, transport, port):
        server = Program(self, "pe1", os.path.join(TOOLS, "poolgate-lab-echo"), "--name", "pe1", "--transport", transport, "--port",
                         str(port), "--address", "10.0.2.11", "--sctp", "raw")
        server.wait_for("serves")
        return server

    def check_probe(self, pool, agent, start_server):
        """Not registered before the server is there, while it is down, and again once it is back."""
        agent.wait_for("the server is down")
        watch = self.watch(pool)
        stop = start_server()
        agent.wait_for("the server is up")
        watch.wait_for(r'"change": "\+"')
        stop()
        agent.wait_for("the server is down", count=2)
        agent.wait_for("^deregistered")
        watch.wait_for('"change": "-"')
        stop = start_server()
        agent.wait_for("the server is up", count=2)
        watch.wait_for(r'"change": "\+"', count=2)
        changes = [json.loads(line) for line in list(watch.lines) if '"change"' in line]
        self.assertEqual([c["change"] for c in changes], ["+", "-", "+"])
        self.assertEqual(changes[0]["element"]["addresses"], ["10.0.2.11"])
        self.assertEqual(len({c["element"]["id"] for c in changes}), 1)
        self.assertEqual(agent.end(kill=False), 0)
        watch.wait_for('"change": "-"', count=2)
        stop()

    def check_server(self, transport, port, probe):
        agent = self.register(f"Probe-{transport}", "--transport", transport, "--port", str(port), "--address", "10.0.2.11",
                              "--probe", probe, *QUICK)
        self.check_probe(f"Probe-{transport}", agent, lambda: self.echo(transport, port).end)

    def test_a_tcp_server_is_in_the_pool_while_it_accepts_connections(self):
        self.check_server("tcp", 6001, "tcp")

    def test_a_udp_server_is_in_the_pool_while_it_answers_the_payload(self):
        self.check_server("udp", 6002, "udp:hello")

    def test_an_sctp_server_is_in_the_pool_while_it_associates(self):
        self.check_server("sctp", 6003, "sctp")

    def test_a_command_decides_by_its_exit_status(self):
        with tempfile.TemporaryDirectory() as folder:
            alive = os.path.join(folder, "alive")
            agent = self.register("Probe-command", "--transport", "udp", "--port", "6004", "--address", "10.0.2.11", "--probe",
                                  f"cmd:test -e {alive}", *QUICK)

            def start():
                with open(alive, "w", encoding="ascii"):
                    return lambda: os.remove(alive)
            self.check_probe("Probe-command", agent, start)

    def check_load(self, pool, *source):
        with tempfile.NamedTemporaryFile("w", suffix=".load") as file:
            def say(text):
                file.seek(0)
                file.truncate()
                file.write(text)
                file.flush()
            say("25%\n")
            watch = self.watch(pool)
            agent = self.register(pool, "--transport", "udp", "--port", "6005", "--policy", "lu", "--load-interval", "100ms",
                                  *(word.replace("FILE", file.name) for word in source))
            watch.wait_for('"load": 1073741824')  # 25 % of 0xffffffff
            say("0.75")
            changed = json.loads(watch.wait_for('"load": 3221225471')[0])
            self.assertEqual((changed["change"], changed["element"]["policy"]), ("~", "LeastUsed"))
            say("a lot")
            agent.wait_for(f"no load: .*{file.name}: a: not a load")
            self.assertIsNone(agent.process.poll())
            say("0.5")
            watch.wait_for('"load": 2147483648')
            self.assertEqual(agent.end(kill=False), 0)

    def test_a_load_from_a_file_updates_the_registration(self):
        self.check_load("Load-file", "--load-file", "FILE")

    def test_a_load_from_a_command_updates_the_registration(self):
        self.check_load("Load-command", "--load-command", "cat FILE")

    def test_resolve_prints_a_table_or_json_and_its_status_says_what_failed(self):
        agent = self.register("Table", "--transport", "tcp", "--port", "6006", "--address", "10.0.2.11", "--id", "0xa1", "--policy",
                              "wrr:3")
        agent.wait_for("^registered")
        lines = self.resolve("Table").splitlines()
        self.assertEqual(lines[0], 'pool "Table", WeightedRoundRobin, 1 PE')
        self.assertEqual(lines[1].split(), ["ID", "TRANSPORT", "ADDRESS", "USE", "POLICY", "LIFE", "HOME"])
        self.assertEqual(lines[2].split()[:3], ["0x000000a1", "tcp", "10.0.2.11:6006"])
        pool = json.loads(self.resolve("Table", "--json"))
        self.assertEqual([(e["id"], e["port"], e["weight"], e["life"]) for e in pool["elements"]], [("0x000000a1", 6006, 3, 30)])
        self.assertIn("unknown pool handle", self.resolve("Nowhere", status=2, output="stderr").lower())
        self.assertIn("10.0.1.99", self.resolve("Table", status=3, registrar=("--registrar", "10.0.1.99"), output="stderr"))

    def test_ASAP_3_6_20_without_a_name_the_announced_registrar_is_found(self):
        agent = self.register("Announced", "--transport", "udp", "--port", "6007", "--address", "10.0.2.11", registrar=())
        agent.wait_for("waiting for a registrar's announcement at 224.0.1.185:3863, 239.0.0.50:3863")
        agent.wait_for("^registered")
        pool = json.loads(self.resolve("Announced", "--json", registrar=("--announce", GROUP)))
        self.assertEqual([e["addresses"] for e in pool["elements"]], [["10.0.2.11"]])
        self.assertIn("no registrar announces itself at 239.0.0.50:3863",
                      self.resolve("Announced", status=3, registrar=("--announce", "239.0.0.50"), output="stderr", timeout="2s"))
        self.assertEqual(agent.end(kill=False), 0)

    def test_ASAP_3_6_20_an_announced_registrar_is_hunted_when_the_named_one_is_not_there(self):
        agent = self.register("Fallback", "--transport", "udp", "--port", "6008", "--address", "10.0.2.11",
                              registrar=("--registrar", "10.0.2.99", "--announce", GROUP))
        agent.wait_for("^registered")

    def test_mistakes_on_the_command_line_are_named(self):
        for option, value, said in (("--announce", "10.0.0.1:3863", "multicast GROUP:PORT"), ("--probe", "http", "http"),
                                    ("--policy", "wrr", "wrr"), ("--lifetime", "0s", "whole seconds"), ("--registrar", "x", "ADDRESS:PORT"),
                                    ("--pool", "", "is empty"), ("--probe-interval", "0s", "at least 10ms"),
                                    ("--probe-timeout", "1ms", "at least 10ms"), ("--load-interval", "0s", "at least 10ms")):
            words = {"--pool": "P", "--port": "1", option: value}
            done = subprocess.run([AGENT, "register", *(word for pair in words.items() for word in pair)], capture_output=True,
                                  text=True, timeout=20)
            self.assertEqual(done.returncode, 1)
            self.assertIn(option, done.stderr)
            self.assertIn(said, done.stderr)

    def test_numbers_out_of_their_range_are_named(self):
        for option in ("--port", "--probe-fall", "--probe-rise"):
            words = {"--pool": "P", "--port": "1", option: "0"}
            done = subprocess.run([AGENT, "register", *(word for pair in words.items() for word in pair)], capture_output=True,
                                  text=True, timeout=20)
            self.assertNotEqual(done.returncode, 0)
            self.assertIn(option, done.stderr)
            self.assertIn("not in range", done.stderr)


class AgentBinaryTest(unittest.TestCase):
    def test_it_is_under_2_megabytes_without_its_symbols(self):
        with tempfile.TemporaryDirectory() as folder:
            stripped = os.path.join(folder, "agent")
            run("strip", "-o", stripped, AGENT)
            self.assertLess(os.path.getsize(stripped), 2_000_000)

    def test_nothing_of_DPDK_is_in_it(self):
        self.assertNotIn("librte_", run("ldd", AGENT))
        self.assertFalse([line for line in run("nm", "-C", AGENT).splitlines() if re.search(r"\b[TtUu] rte_", line)])


if __name__ == "__main__":
    unittest.main()
