# SPDX-License-Identifier: BSD-3-Clause
"""What workers notice of servers without asking them: new clients that nobody answers, and ICMP that says why. It is told to the
registrar, which asks the server at once."""
import subprocess
import sys
import unittest

from lib.dataplane import Echo, Lab, start_alone
from lib.lab import run, wait_until
from test_prober import SLOW, cut, elements, elements_if_any

CLIENTS = 8

# One SYN or datagram from each of several addresses, which do not wait for an answer.
KNOCK = """
import socket, sys
kind = socket.SOCK_STREAM if sys.argv[1] == "tcp" else socket.SOCK_DGRAM
knocking = []
for address in sys.argv[2:]:
    s = socket.socket(socket.AF_INET, kind)
    s.bind((address, 0))
    s.setblocking(False)
    s.connect_ex(("192.0.2.1", 5000))
    if kind == socket.SOCK_DGRAM:
        s.send(b"?")
    knocking.append(s)
print("knocked", flush=True)
sys.stdin.read()
"""


class Clients:
    """Of several addresses in `pu`."""

    def __init__(self, test, lab):
        self.test, self.lab = test, lab
        self.addresses = [f"10.0.1.{100 + n}" for n in range(CLIENTS)]
        for address in self.addresses:
            run("ip", "-n", lab.namespace("pu"), "addr", "add", f"{address}/24", "dev", "eth0")

    def knock(self, transport):
        clients = subprocess.Popen(self.lab.in_namespace("pu", sys.executable, "-c", KNOCK, transport, *self.addresses),
                                   stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        self.test.addCleanup(clients.stdout.close)
        self.test.addCleanup(clients.wait)
        self.test.addCleanup(clients.stdin.close)
        self.test.assertEqual(clients.stdout.readline(), "knocked\n")


class SilentHost(unittest.TestCase):
    """The whole appliance, without a prober, and keep-alives too slow to notice."""

    def test_new_clients_that_a_host_does_not_answer_are_told_and_it_is_out_before_a_keep_alive_was_due(self):
        lab = Lab("pgpv-")
        lab.__enter__()
        self.addCleanup(lab.script, "down")
        lab.configure(("keepalive_interval_ms = 1000", f"keepalive_interval_ms = {20 * SLOW}"))
        lab.start()
        for n in (1, 2):
            self.addCleanup(Echo(lab, f"pe{n}", ["tcp"]).kill)
            lab.register(n, "EchoTcp", "tcp", lifetime="6000s")

        def known():
            return set(elements_if_any(lab, "EchoTcp"))
        wait_until(lambda: known() == {1, 2}, 20, "two elements")
        clients = Clients(self, lab)
        clients.knock("tcp")
        cut(lab, "pe2")
        clients.knock("tcp")  # each of the two is asked by half of them
        said = "the data plane says: 4 SYNs of different clients, and it sent nothing"
        wait_until(lambda: said in lab.log("registrar"), 10, "the report")
        wait_until(lambda: known() == {1}, 20, "the registrar's verdict")
        told = [line for line in lab.log("registrar").splitlines() if said in line]
        self.assertTrue(all("0x00000002" in line for line in told), told)
        shown = lab.cli("show", "worker", "all")
        self.assertRegex(shown, "noticed")


class Reports(unittest.TestCase):
    """The data plane; the test is in the registrar's place."""

    def start(self, *changes):
        start_alone(self, "pgpv-", *changes)

    def test_a_program_that_is_gone_is_told_of_by_its_hosts_ICMP(self):
        self.start(('pool = "EchoUdp"\nmode = "l2"', 'pool = "EchoUdp"\nmode = "nat"\nsnat = ["10.0.2.202", "fd00:2::202"]'))
        self.addCleanup(Echo(self.lab, "pe1", ["udp"]).kill)
        self.peer.pool("EchoUdp", *(f"{n},udp,10.0.2.1{n},5000,1" for n in (1, 2)))
        Clients(self, self.lab).knock("udp")
        told = self.peer.wait_for("report ")
        self.assertEqual(set(told), {"report 2 ICMP: destination unreachable, code 3"})
        self.assertEqual({n: e["state"] for n, e in elements(self.lab, "EchoUdp").items()}, {1: "up", 2: "up"},
                         "anybody can send ICMP")

    def check_tunnel(self, mode):
        """Its router answers for a server that is not there."""
        self.start(('mode = "l2"', f'mode = "{mode}"'))
        net = self.lab.namespace("net")
        for family, there, router, rest in (("-4", "10.77.0.0/16", "10.0.2.254", "10.77.0.1"),
                                            ("-6", "fd77::/64", "fd00:2::254", "fd77::1")):
            run("ip", family, "-n", self.lab.namespace("app"), "route", "add", there, "via", router)
            run("ip", family, "-n", net, "route", "add", "unreachable", there)
            with self.subTest(rest):
                before = len(self.peer.lines)
                self.peer.pool("EchoUdp", f"1,udp,{rest},5000,1")

                def told():
                    Clients.knock(self.clients, "udp")
                    return [line for line in self.peer.lines[before:] if line.startswith("report ")]
                self.clients = getattr(self, "clients", None) or Clients(self, self.lab)
                reports = wait_until(told, 20, f"a report by way of {mode}")
                self.assertRegex(reports[0], "^report 1 ICMP about its tunnel: destination unreachable, code [013]$")
                self.assertEqual(elements(self.lab, "EchoUdp")[1]["state"], "up", "anybody can send ICMP")

    def test_RFC_2003_4_a_router_that_cannot_reach_the_end_of_an_ipip_tunnel(self):
        self.check_tunnel("ipip")

    def test_a_router_that_cannot_reach_the_end_of_a_gue_tunnel(self):
        self.check_tunnel("gue")


if __name__ == "__main__":
    unittest.main()
