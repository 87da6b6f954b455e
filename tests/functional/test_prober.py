# SPDX-License-Identifier: BSD-3-Clause
"""A server's host that dies in silence: its links carry nothing any more, both ways, and its programs know nothing of it. The
registrar's keep-alives are too slow to notice."""
import json
import os
import subprocess
import sys
import unittest

from lib.dataplane import Echo, Lab, start_alone
from lib.lab import TOOLS, run, wait_until
from test_redirect import RunningClient

TIMEOUT_SECONDS = 900
SLOW = 30000  # ms between keep-alives


def probed(protocol, prober):
    """The lab's services have the same lines but for these."""
    return (f'pool = "Echo{protocol.capitalize()}"\n', f'pool = "Echo{protocol.capitalize()}"\nprober = "{prober}"\n')


def cut(lab, pe):
    """Both its links are pulled out of their switches. Its carrier stays, and so do the switches' own addresses, which else would
    follow those of their ports."""
    net = lab.namespace("net")
    for device, bridge in (("eth0", "br-pe"), ("eth1", "br-pe2")):
        run("ip", "-n", net, "link", "set", bridge, "address", lab.mac("net", bridge))
        run("ip", "-n", net, "link", "set", f"{pe}.{device}", "nomaster")


def mend(lab, pe):
    for device, bridge in (("eth0", "br-pe"), ("eth1", "br-pe2")):
        run("ip", "-n", lab.namespace("net"), "link", "set", f"{pe}.{device}", "master", bridge)


def elements(lab, pool):
    """`show pool`, by id."""
    shown = json.loads(lab.cli("show", "pool", pool, "json"))
    return {int(row["pe"], 16): row for row in shown[f"pool {pool}"]}


def elements_if_any(lab, pool):
    try:
        return elements(lab, pool)
    except AssertionError:  # not there yet
        return {}


def client_command(lab, transport, *options):
    return lab.in_namespace("pu", os.path.join(TOOLS, "poolgate-lab-client"), "--transport", transport, "--to", "192.0.2.1:5000",
                            "--json", *options)


class HostDeath(unittest.TestCase):
    """The whole appliance."""

    def setUp(self):
        self.lab = Lab("pgpb-")
        self.lab.__enter__()
        self.addCleanup(self.lab.script, "down")
        # As many deaths as a test likes are "at once", however slow the machine.
        self.lab.configure(probed("sctp", "sctp"), ('prober = "sctp"\n', 'prober = "sctp"\npanic_window_ms = 600000\n'),
                           ("keepalive_interval_ms = 1000", f"keepalive_interval_ms = {SLOW}"))
        self.lab.start()
        for n in (1, 2, 3):
            # On the VIP for clients, and on the address that is asked. Two, as one would answer clients from either.
            for address in ("192.0.2.1", f"10.0.2.1{n}"):
                self.addCleanup(Echo(self.lab, f"pe{n}", ["sctp"], address).kill)
            self.lab.register(n, "EchoSctp", "sctp")
        wait_until(lambda: {n for n, e in self.elements().items() if e["prober"] == "sctp:alive"} == {1, 2, 3}, 20,
                   "three elements that answer the prober")

    def elements(self):
        return elements_if_any(self.lab, "EchoSctp")

    def test_its_client_gets_one_ABORT_and_is_served_by_another_before_any_keep_alive_is_due(self):
        client = RunningClient(self, client_command(self.lab, "sctp", "--duration", "600", "--progress", "--rate", "20"))
        victim = next(n for n, e in self.elements().items() if int(e["sessions"]) > 0)
        others = tuple(f"pe{n}" for n in (1, 2, 3) if n != victim)
        cut(self.lab, f"pe{victim}")
        client.until(lambda line: line.startswith(others), 3)
        log = self.lab.log("dataplane")
        self.assertIn(f"element 0x0000000{victim} of EchoSctp is found dead by the prober: 3 SCTP INITs to "
                      f"10.0.2.1{victim} were not answered", log)
        report = client.report()
        self.assertEqual(report["resets"], 1, report)
        self.assertEqual(len(report["by_name"]), 2, report)
        # Told, the registrar asks it at once, and then finds it dead itself.
        wait_until(lambda: victim not in self.elements(), 30, "the registrar's own verdict")
        self.assertEqual(set(self.elements()), {1, 2, 3} - {victim})
        told, found = "the data plane says: prober: 3 SCTP INITs", "is found dead"
        self.assertIn(told, self.lab.log("registrar").split(found)[0], "it had not found out before it was told")

    def test_what_the_guard_holds_goes_on_until_the_operator_ends_it(self):
        client = RunningClient(self, client_command(self.lab, "sctp", "--duration", "600", "--progress", "--rate", "20"))
        served_by = next(n for n, e in self.elements().items() if int(e["sessions"]) > 0)
        first, last = (n for n in (1, 2, 3) if n != served_by)
        cut(self.lab, f"pe{first}")
        wait_until(lambda: self.elements().get(first, {"state": "dead"})["state"].startswith("dead"), 20, "the first death")
        self.assertNotIn("ALARM", self.lab.cli("show", "pool", "EchoSctp"))
        cut(self.lab, f"pe{served_by}")
        wait_until(lambda: set(self.elements()) == {last}, 60, "the registrar's verdict of both")
        alarm = 'ALARM: too many elements of EchoSctp were found dead at once: their sessions are held (clear held "EchoSctp" ends them)'
        self.assertIn(alarm, self.lab.cli("show", "pool", "EchoSctp"), "though they are no elements any more")
        self.assertIn("ALARM: too many elements of EchoSctp", self.lab.log("dataplane"))
        self.assertEqual(self.lab.cli("clear", "held", "EchoSctp").strip(), "pool EchoSctp: sessions that end: 1")
        client.until(lambda line: line.startswith(f"pe{last}"), 3)
        self.assertEqual(client.report()["resets"], 1)
        self.assertNotIn("ALARM", self.lab.cli("show", "pool", "all"))
        with self.assertRaisesRegex(AssertionError, 'the guard holds nothing of pool "EchoSctp"'):
            self.lab.cli("clear", "held", "EchoSctp")

    def test_one_whose_links_come_back_is_up_again_without_registering_anew(self):
        before = self.elements()[2]["registration"]
        cut(self.lab, "pe2")
        wait_until(lambda: "by-prober" in self.elements()[2]["state"], 10, "its death")
        mend(self.lab, "pe2")
        wait_until(lambda: self.elements()[2]["state"] == "up", 20, "its return")
        self.assertEqual(self.elements()[2]["registration"], before)
        self.assertIn("element 0x00000002 of EchoSctp is alive", self.lab.log("dataplane"))


class Probers(unittest.TestCase):
    """The data plane; the test is in the registrar's place."""

    def start(self, *changes):
        start_alone(self, "pgpb-", *changes)

    def health(self, pool):
        return {n: e["prober"] for n, e in elements(self.lab, pool).items()}

    def echoes(self, *transports):
        for n in (1, 2, 3):
            # On the address that is asked: an SCTP server on all of them may answer from another.
            echo = Echo(self.lab, f"pe{n}", list(transports), f"10.0.2.1{n}")
            self.addCleanup(echo.kill)

    def fill(self, pool, protocol, address="10.0.2.1"):
        self.peer.pool(pool, *(f"{n},{protocol},{address}{n},5000,1" for n in (1, 2, 3)))

    def check_death(self, pool, prober, what):
        wait_until(lambda: self.health(pool) == {n: f"{prober}:alive" for n in (1, 2, 3)}, 20, f"{prober}: all answer")
        # Before its first answer it may have been reported as silent: its neighbour had to be asked for.
        before = sum(line.startswith("report 3 ") for line in self.peer.lines)
        cut(self.lab, "pe3")
        told = self.peer.wait_for("report 3 ", seconds=20, count=before + 1)
        self.assertEqual(told[before:], [f"report 3 prober: 3 {what} were not answered"])
        state = elements(self.lab, pool)
        self.assertEqual({n: e["state"] for n, e in state.items()}, {1: "up", 2: "up", 3: "dead,by-prober"})
        self.assertEqual(state[3]["prober"], f"{prober}:dead")
        mend(self.lab, "pe3")
        self.peer.wait_for("report 3 prober: it answers again", seconds=20)
        self.assertEqual(elements(self.lab, pool)[3]["state"], "dead,by-prober", "the registrar has not said so")
        self.peer.tell(f"alive {pool} 3 1")
        wait_until(lambda: elements(self.lab, pool)[3]["state"] == "up", 10, "its return")

    def test_SCTP_INIT(self):
        self.start(probed("sctp", "sctp"), ('pool = "EchoSctp"\nprober = "sctp"\nmode = "l2"', 'pool = "EchoSctp"\nprober = "sctp"\nmode = "nat"'))
        self.echoes("sctp")
        self.fill("EchoSctp", "sctp")
        self.check_death("EchoSctp", "sctp", "SCTP INITs to 10.0.2.13")
        self.assertNotIn("refuses", str(self.health("EchoSctp")))

    def test_HEARTBEAT_out_of_the_blue_is_answered_by_ABORT_with_the_T_bit(self):
        """The lab's user-space SCTP keeps silent about what it does not know: scapy is the host's SCTP (RFC 9260 8.4 rule 8)."""
        self.start(probed("sctp", "heartbeat"))
        for n in (1, 2, 3):
            host = subprocess.Popen(self.lab.in_namespace(f"pe{n}", sys.executable, "-u", "-c", """
from scapy.all import *
def answer(p):
    assert p[SCTP].tag != 0 and SCTPChunkHeartbeatReq in p, p.summary()
    send(IP(src=p[IP].dst, dst=p[IP].src) / SCTP(sport=p[SCTP].dport, dport=p[SCTP].sport, tag=p[SCTP].tag) /
         SCTPChunkAbort(TCB=1), verbose=False)
sniff(iface="eth0", filter="sctp and dst port 5000", prn=answer, store=False, started_callback=lambda: print("ready"))
"""), stdout=subprocess.PIPE, text=True)
            self.addCleanup(host.stdout.close)
            self.addCleanup(host.wait)
            self.addCleanup(host.kill)
            self.assertEqual(host.stdout.readline(), "ready\n")
        self.fill("EchoSctp", "sctp")
        self.check_death("EchoSctp", "heartbeat", "SCTP HEARTBEATs to 10.0.2.13")

    def test_ICMP_over_IPv4_needs_no_server(self):
        self.start(probed("udp", "icmp"))
        self.fill("EchoUdp", "udp")
        self.check_death("EchoUdp", "icmp", "ICMP echoes to 10.0.2.13")

    def test_ICMP_over_IPv6_needs_no_server(self):
        self.start(probed("udp", "icmp"))
        self.fill("EchoUdp", "udp", "fd00:2::1")
        self.check_death("EchoUdp", "icmp", "ICMP echoes to fd00:2::13")

    def test_whoever_forges_answers_keeps_nobody_alive(self):
        self.start(probed("udp", "icmp"))
        self.fill("EchoUdp", "udp")
        wait_until(lambda: self.health("EchoUdp") == {n: "icmp:alive" for n in (1, 2, 3)}, 20, "all answer")
        forger = subprocess.Popen(self.lab.in_namespace("pu", sys.executable, "-c", """
import sys
from scapy.all import Ether, ICMP, IP, sendp
frames = [Ether(dst=sys.argv[1]) / IP(src="10.0.2.13", dst="10.0.2.1") / ICMP(type=0, id=n * 257, seq=n) / (b"PGprobe1" + bytes([n] * 4))
          for n in range(250)]
sendp(frames, iface="eth0", verbose=False, loop=1)
""", self.lab.mac("app", "app0")))
        self.addCleanup(forger.wait)
        self.addCleanup(forger.kill)
        wait_until(lambda: "probe_answer" in self.lab.cli("show", "drops"), 20, "forged answers that are counted")
        cut(self.lab, "pe3")
        self.peer.wait_for("report 3 ", seconds=20)

    def test_the_kernels_own_pings_still_reach_it(self):
        self.start(probed("udp", "icmp"))
        self.fill("EchoUdp", "udp")
        self.lab.run("app", "ping", "-c2", "-W5", "10.0.2.11")


if __name__ == "__main__":
    unittest.main()
