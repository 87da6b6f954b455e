# SPDX-License-Identifier: BSD-3-Clause
"""The prober's BFD (RFC 5880, 5881) with an implementation that is not ours: BIRD, on the servers."""
import json
import os
import re
import subprocess
import unittest

from lib.dataplane import Capture, Echo, Lab, start_alone
from lib.lab import wait_until
from test_prober import SLOW, client_command, cut, elements, elements_if_any, mend
from test_redirect import RunningClient

TIMEOUT_SECONDS = 900
INTERVAL_MS = 300  # a machine that is busy must not look like a dead server


def with_bfd(protocol):
    pool = f'pool = "Echo{protocol.capitalize()}"\n'
    return (pool, f'{pool}prober = "bfd"\nprobe_interval_ms = {INTERVAL_MS}\n')


class Bird:
    """BIRD on a server, with a session to the appliance in each family."""

    def __init__(self, lab, n, more=""):
        self.lab, self.ns, self.name = lab, f"pe{n}", f"bird{n}"
        self.socket = f"{lab.dir}/run/{self.name}.ctl"
        self.config = f"{lab.dir}/run/{self.name}.conf"
        with open(self.config, "w", encoding="utf-8") as f:
            f.write(f"""
log stderr all;
router id 10.0.2.1{n};
protocol device {{ }}
protocol bfd {{
  interface "eth0" {{ interval {INTERVAL_MS} ms; idle tx interval 1 s; multiplier 3; {more} }};
  neighbor 10.0.2.1 dev "eth0" local 10.0.2.1{n};
  neighbor fd00:2::1 dev "eth0" local fd00:2::1{n};
}}
""")
        self.start()

    def start(self):
        self.lab.spawn(self.ns, self.name, "/usr/sbin/bird", "-f", "-c", self.config, "-s", self.socket)
        wait_until(lambda: os.path.exists(self.socket), 10, f"{self.name}: {self.lab.log(self.name)}")

    def signal(self, name):
        with open(f"{self.lab.dir}/pid/{self.name}", encoding="ascii") as f:
            subprocess.run(["kill", f"-{name}", f.read().strip()], check=True)

    def begin_anew(self):
        self.lab.kill(self.name)
        os.unlink(self.socket)
        self.start()

    def session(self, address="10.0.2.1"):
        """(state, interval, timeout), as BIRD says."""
        shown = self.lab.run(self.ns, "/usr/sbin/birdc", "-s", self.socket, "show", "bfd", "sessions")
        found = re.search(rf"^{re.escape(address)} +eth0 +(\w+) +\S+ +([\d.]+) +([\d.]+)", shown, re.MULTILINE)
        return (found[1], float(found[2]), float(found[3])) if found else (shown, 0, 0)

    def wait_for(self, state, address="10.0.2.1"):
        wait_until(lambda: self.session(address)[0] == state, 20, f"{self.name}: {state}")


class WholeAppliance(unittest.TestCase):
    """Keep-alives are too slow to notice a death."""

    def setUp(self):
        self.lab = Lab("pgbf-")
        self.lab.__enter__()
        self.addCleanup(self.lab.script, "down")
        self.lab.configure(with_bfd("sctp"), ("keepalive_interval_ms = 1000", f"keepalive_interval_ms = {SLOW}"))
        self.prepare()
        self.lab.start()
        self.birds = {n: Bird(self.lab, n) for n in (1, 2, 3)}
        for n in (1, 2, 3):
            self.addCleanup(Echo(self.lab, f"pe{n}", ["sctp"], "192.0.2.1").kill)
            self.lab.register(n, "EchoSctp", "sctp")
        wait_until(lambda: {n for n, e in self.elements().items() if e["prober"] == "bfd:alive,Up"} == {1, 2, 3}, 30,
                   "three sessions that are Up")
        for bird in self.birds.values():
            wait_until(lambda b=bird: b.session() == ("Up", INTERVAL_MS / 1000, 3 * INTERVAL_MS / 1000), 20,
                       "BIRD agrees, also on the intervals")

    def prepare(self):
        """Before the start: what a class changes in the configuration."""

    def elements(self):
        return elements_if_any(self.lab, "EchoSctp")

    def start_client(self):
        client = RunningClient(self, client_command(self.lab, "sctp", "--duration", "600", "--progress", "--rate", "20"))
        victim = next(n for n, e in self.elements().items() if int(e["sessions"]) > 0)
        return client, victim, tuple(f"pe{n}" for n in (1, 2, 3) if n != victim)

    def check_one_ABORT(self, client, victim, others):
        client.until(lambda line: line.startswith(others), 3)
        self.assertIn(f"element 0x0000000{victim} of EchoSctp is found dead by the prober: the BFD session with 10.0.2.1{victim} "
                      "went down", self.lab.log("dataplane"))
        report = client.report()
        self.assertEqual(report["resets"], 1, report)
        self.assertEqual(len(report["by_name"]), 2, report)

    def check_dropped_links_are_one_ABORT(self, client, victim, others):
        cut(self.lab, f"pe{victim}")
        self.check_one_ABORT(client, victim, others)
        self.birds[victim].wait_for("Down")
        # Told, the registrar asks it at once, and then finds it dead itself.
        wait_until(lambda: victim not in self.elements(), 30, "the registrar's own verdict")
        self.assertEqual(set(self.elements()), {1, 2, 3} - {victim})


class HostDeath(WholeAppliance):
    def test_a_host_whose_links_are_dropped_is_dead_in_the_Detection_Time_and_its_client_gets_one_ABORT(self):
        self.check_dropped_links_are_one_ABORT(*self.start_client())

    def test_a_BFD_that_is_stopped_is_a_death_and_one_that_goes_on_a_return(self):
        client, victim, others = self.start_client()
        self.birds[victim].signal("STOP")
        self.check_one_ABORT(client, victim, others)
        self.assertEqual(self.elements()[victim]["state"], "dead,by-prober", "the registrar has an answer of it")
        self.assertEqual(self.elements()[victim]["prober"], "bfd:dead,Down,expired")
        self.birds[victim].signal("CONT")
        wait_until(lambda: self.elements()[victim]["state"] == "up", 30, "its return")
        self.birds[victim].wait_for("Up")

    def test_a_BFD_that_begins_anew_costs_nobody_an_association(self):
        client, victim, _ = self.start_client()
        self.birds[victim].begin_anew()
        self.birds[victim].wait_for("Up")
        wait_until(lambda: self.elements()[victim]["prober"] == "bfd:alive,Up", 20, "our side of it")
        client.until(lambda line: line.startswith(f"pe{victim}"), 3)
        report = client.report()
        self.assertEqual((report["resets"], list(report["by_name"])), (0, [f"pe{victim}"]), report)


class HostDeathWithSeveralStacksAndWorkers(WholeAppliance):
    """Two SCTP stacks and two workers that receive: BFD's packets meet either of those, and one worker has the sessions."""

    def prepare(self):
        self.lab.use_workers(1, 0, 1, 0)
        self.lab.configure(("framecnt=1024", "framecnt=1024,qpairs=2"), ("[registrar]\n", "[sctp]\nstacks = 2\n\n[registrar]\n"))

    def test_links_that_are_dropped_are_found_and_a_BFD_that_begins_anew_is_no_death(self):
        forwarding = json.loads(self.lab.cli("show", "config", "fwd", "json"))["forwarding"]
        self.assertEqual([row["worker"] for row in forwarding if row["endpoint"]], [2, 3])
        client, victim, others = self.start_client()
        self.birds[victim].begin_anew()
        self.birds[victim].wait_for("Up")
        wait_until(lambda: self.elements()[victim]["prober"] == "bfd:alive,Up", 20, "our side of it")
        client.until(lambda line: line.startswith(f"pe{victim}"), 3)
        self.check_dropped_links_are_one_ABORT(client, victim, others)


class Sessions(unittest.TestCase):
    """The data plane; the test is in the registrar's place."""

    def setUp(self):
        start_alone(self, "pgbf-", with_bfd("udp"))

    def prober(self, n=1):
        return elements(self.lab, "EchoUdp")[n]["prober"]

    def test_over_IPv6(self):
        bird = Bird(self.lab, 1)
        self.peer.pool("EchoUdp", "1,udp,fd00:2::11,5000,1")
        wait_until(lambda: self.prober() == "bfd:alive,Up", 30, "Up over IPv6")
        bird.wait_for("Up", "fd00:2::1")
        self.assertNotEqual(bird.session()[0], "Up", "a session a family")
        cut(self.lab, "pe1")
        self.peer.wait_for("report 1 prober: the BFD session with fd00:2::11 went down")
        mend(self.lab, "pe1")
        self.peer.wait_for("report 1 prober: it answers again", seconds=20)

    def test_one_that_leaves_its_pool_is_told_that_this_is_no_failure(self):
        bird = Bird(self.lab, 1)
        self.peer.pool("EchoUdp", "1,udp,10.0.2.11,5000,1")
        bird.wait_for("Up")
        # RFC 5880 4.1: state AdminDown, diagnostic 7.
        admin_down = "src 10.0.2.1 and udp dst port 3784 and udp[9] & 0xc0 = 0 and udp[8] & 0x1f = 7"
        with Capture(self.lab, "pe1", "eth0", admin_down) as said:
            self.peer.pool("EchoUdp")
            bird.wait_for("Down")
        self.assertTrue(said.lines)

    def test_a_server_without_BFD_is_no_death(self):
        self.peer.pool("EchoUdp", *(f"{n},udp,10.0.2.1{n},5000,1" for n in (1, 2)))
        self.addCleanup(Echo(self.lab, "pe2", ["udp"]).kill)
        told = self.peer.wait_for("report ", seconds=20, count=2)
        self.assertEqual(sorted(told), [f"report {n} prober: the BFD session with 10.0.2.1{n} has never come up" for n in (1, 2)])
        self.assertEqual({e["state"] for e in elements(self.lab, "EchoUdp").values()}, {"up"})
        self.assertEqual(self.prober(2), "bfd:silent,Down")

    def test_RFC_5880_6_8_6_authentication_is_refused_and_counted(self):
        Bird(self.lab, 1, 'authentication simple; password "secret";')
        self.peer.pool("EchoUdp", "1,udp,10.0.2.11,5000,1")

        def refused():
            rows = json.loads(self.lab.cli("show", "drops", "json"))["drops"]
            return next((int(r["total"]) for r in rows if r["reason"] == "bfd_authentication"), 0) >= 2
        wait_until(refused, 20, "packets with the A bit, counted")
        self.assertRegex(self.prober(), "^bfd:(unknown|silent),Down$")

    def test_RFC_5881_5_who_is_not_a_neighbour_is_discarded_and_counted(self):
        bird = Bird(self.lab, 1)
        self.peer.pool("EchoUdp", "1,udp,10.0.2.11,5000,1")
        bird.wait_for("Up")
        self.lab.run("pe2", "/usr/bin/python3", "-c", """
import sys
from scapy.all import Ether, IP, UDP, sendp
down = bytes([0x20, 0x40, 3, 24]) + (7).to_bytes(4, "big") + bytes(4) + (1000000).to_bytes(4, "big") * 2 + bytes(4)
sendp(Ether(dst=sys.argv[1]) / IP(src="10.0.2.11", dst="10.0.2.1", ttl=254) / UDP(sport=50000, dport=3784) / down, iface="eth0",
      verbose=False, count=3)
""", self.lab.mac("app", "app1"))
        wait_until(lambda: "bfd_hop_limit" in self.lab.cli("show", "drops"), 10, "what was discarded")
        self.assertEqual(self.prober(), "bfd:alive,Up")
        self.assertEqual(bird.session()[0], "Up")

    def test_a_routing_daemon_on_the_TAP_keeps_BFD_sessions_of_its_own(self):
        """With a neighbour that is no pool element."""
        other = Bird(self.lab, 3)
        self.peer.pool("EchoUdp", "1,udp,10.0.2.11,5000,1")
        config = f"{self.lab.dir}/run/birdapp.conf"
        with open(config, "w", encoding="utf-8") as f:
            f.write("log stderr all;\nrouter id 10.0.2.1;\nprotocol device { }\nprotocol bfd {\n"
                    f'  interface "pg-pe" {{ interval {INTERVAL_MS} ms; multiplier 3; }};\n'
                    '  neighbor 10.0.2.13 dev "pg-pe" local 10.0.2.1;\n}\n')
        self.lab.spawn("app", "birdapp", "/usr/sbin/bird", "-f", "-c", config, "-s", f"{self.lab.dir}/run/birdapp.ctl")
        other.wait_for("Up")


if __name__ == "__main__":
    unittest.main()
