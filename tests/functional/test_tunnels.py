# SPDX-License-Identifier: BSD-3-Clause
"""Modes ipip and gue through the real worker: real clients and servers, the PE's end of the tunnel by decapsulate.py."""
import json
import os
import subprocess
import sys
import threading
import unittest

from lib.dataplane import ChannelPeer, DataPlane, Echo, Lab, scapy, wait_until
from lib.lab import TOOLS

DECAPSULATE = os.path.join(os.path.dirname(os.path.abspath(__file__)), "lib", "decapsulate.py")


class Decapsulator:
    def __init__(self, lab, pe, mode):
        self.lines = []
        self.process = subprocess.Popen(lab.in_namespace(pe, sys.executable, DECAPSULATE, mode), stdout=subprocess.PIPE,
                                        stdin=subprocess.DEVNULL, text=True)
        threading.Thread(target=lambda: self.lines.extend(iter(self.process.stdout.readline, "")), daemon=True).start()
        wait_until(lambda: "ready\n" in self.lines, 10, f"decapsulate.py in {pe}")

    def shapes(self):
        return {" ".join(line.split()[:3]) for line in self.lines if line != "ready\n"}

    def close(self):
        self.process.kill()
        self.process.wait(10)
        self.process.stdout.close()


class IpipTest(unittest.TestCase):
    mode = "ipip"
    overhead = 20

    def setUp(self):
        self.lab = Lab("pgtn-")
        self.lab.__enter__()
        self.addCleanup(self.lab.script, "down")
        self.dataplane = DataPlane(self.lab)
        self.addCleanup(self.dataplane.stop)
        self.lab.configure(('mode = "l2"', f'mode = "{self.mode}"'),
                                 ('mode = "nat"\nsnat = ["10.0.2.201", "fd00:2::201"]', f'mode = "{self.mode}"'))
        self.dataplane.start()
        self.peer = ChannelPeer(self.lab)
        self.addCleanup(self.peer.close)
        self.ends = {}
        for pe in ("pe1", "pe2"):
            server = Echo(self.lab, pe, ["udp", "tcp", "sctp"], "192.0.2.1", "2001:db8::1")
            self.addCleanup(server.kill)
            self.ends[pe] = Decapsulator(self.lab, pe, self.mode)
            self.addCleanup(self.ends[pe].close)

    def client(self, transport, *options, to="192.0.2.1:5000"):
        command = self.lab.in_namespace("pu", os.path.join(TOOLS, "poolgate-lab-client"), "--transport", transport, "--to", to,
                                        "--json", *options)
        return json.loads(subprocess.run(command, capture_output=True, text=True, timeout=60).stdout)

    def test_every_protocol_in_both_families_reaches_the_pes_and_comes_back_directly(self):
        for outer, pes in (("4", ("10.0.2.11", "10.0.2.12")), ("6", ("fd00:2::11", "fd00:2::12"))):
            for transport in ("udp", "tcp", "sctp"):
                self.peer.pool(f"Echo{transport.capitalize()}", *(f"{n},{transport},{a},5000,1" for n, a in enumerate(pes, 1)))
                for inner, to in (("4", "192.0.2.1:5000"), ("6", "[2001:db8::1]:5000")):
                    with self.subTest(transport, outer=outer, inner=inner):
                        report = self.client(transport, "--count", "8", "--rate", "50", "--fresh", to=to)
                        self.assertEqual(report["failed"], 0, report)
                        self.assertEqual(report["by_name"], {"pe1": 4, "pe2": 4}, report)
        for pe in ("pe1", "pe2"):
            self.assertEqual(self.ends[pe].shapes(), {f"{self.mode} {inner}in4 10.0.2.1" for inner in "46"} |
                             {f"{self.mode} {inner}in6 fd00:2::1" for inner in "46"})

    def test_a_pe_behind_a_router(self):
        self.lab.run("pe1", "ip", "addr", "add", "10.77.0.1/32", "dev", "lo")
        self.lab.run("app", "ip", "route", "add", "10.77.0.0/16", "via", "10.0.2.11")
        self.peer.pool("EchoUdp", "1,udp,10.77.0.1,5000,1")
        wait_until(lambda: self.client("udp", "--count", "1", "--timeout", "300")["failed"] == 0, 10, "the route")
        report = self.client("udp", "--count", "5", "--rate", "50", "--fresh")
        self.assertEqual(report["by_name"], {"pe1": 5}, report)

    def test_what_does_not_fit_is_answered_with_the_mtu_that_does(self):
        self.peer.pool("EchoUdp", "1,udp,10.0.2.11,5000,1")
        self.client("udp", "--count", "1")
        seen = scapy(self.lab, "pu", """
mac = sys.argv[1]
at4 = Ether(dst=mac) / IP(src="10.0.1.2", dst="192.0.2.1", flags="DF") / UDP(sport=7001, dport=5000)
at6 = Ether(dst=mac) / IPv6(src="fd00:1::2", dst="2001:db8::1") / UDP(sport=7001, dport=5000)
answer = srp1(at4 / (b"x" * 1472), iface="eth0", timeout=3, filter="icmp")
print(answer[ICMP].type, answer[ICMP].code, answer[ICMP].nexthopmtu, answer[IP].src)
answer = srp1(at6 / (b"x" * 1452), iface="eth0", timeout=3, filter="icmp6 and ip6[40] == 2")
print(answer[ICMPv6PacketTooBig].mtu, answer[IPv6].src)
""", self.lab.mac("app", "app0")).splitlines()
        mtu = 1500 - self.overhead
        self.assertEqual(seen, [f"3 4 {mtu} 192.0.2.1", f"{mtu} 2001:db8::1"])


class GueTest(IpipTest):
    mode = "gue"
    overhead = 32

    def test_the_source_port_spreads_flows(self):
        self.peer.pool("EchoUdp", "1,udp,10.0.2.11,5000,1")
        self.assertEqual(self.client("udp", "--count", "20", "--rate", "100", "--fresh")["failed"], 0)
        self.assertGreater(sum(line.startswith("gue 4in4") for line in self.ends["pe1"].lines), 10)


if __name__ == "__main__":
    unittest.main()
