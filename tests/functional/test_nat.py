# SPDX-License-Identifier: BSD-3-Clause
"""Mode nat through the real worker, every protocol: real clients and servers, the servers without the VIP."""
import json
import os
import subprocess
import unittest

from lib.dataplane import ChannelPeer, DataPlane, Echo, Lab, scapy
from lib.lab import TOOLS

PES = ("pe1", "pe2", "pe3")
SNAT = 'snat = ["10.0.2.201", "fd00:2::201"]'


class SnatTest(unittest.TestCase):
    snat = SNAT
    source = "10.0.2.201"  # of the clients, as the servers see them

    def setUp(self):
        self.lab = Lab("pgnt-")
        self.lab.__enter__()
        self.addCleanup(self.lab.script, "down")
        self.dataplane = DataPlane(self.lab)
        self.addCleanup(self.dataplane.stop)
        # Clients ask on 7000, servers listen on 5000: SCTP's checksum follows the port.
        self.lab.configure((SNAT + "\n", ""), ("port = 5000", "port = 7000"), ('mode = "l2"', 'mode = "nat"'),
                                 ('mode = "nat"', f'mode = "nat"\n{self.snat}'))
        self.prepare()
        self.dataplane.start()
        self.peer = ChannelPeer(self.lab)
        self.addCleanup(self.peer.close)
        for pe in PES:
            server = Echo(self.lab, pe, ["udp", "tcp", "sctp"])
            self.addCleanup(server.kill)

    def prepare(self):
        """Before the start: what a class changes in the servers' namespaces."""

    def fill(self, transport, address="10.0.2.1"):
        self.peer.pool(f"Echo{transport.capitalize()}", *(f"{n},{transport},{address}{n},5000,1" for n in (1, 2, 3)))

    def client(self, transport, *options, to="192.0.2.1:7000"):
        command = self.lab.in_namespace("pu", os.path.join(TOOLS, "poolgate-lab-client"), "--transport", transport, "--to", to,
                                        "--json", *options)
        return json.loads(subprocess.run(command, capture_output=True, text=True, timeout=60).stdout)

    def test_every_protocol_reaches_every_pe_and_its_answers_come_back(self):
        for transport in ("udp", "tcp", "sctp"):
            with self.subTest(transport):
                self.fill(transport)
                report = self.client(transport, "--count", "9", "--rate", "50", "--fresh")
                self.assertEqual(report["failed"], 0, report)
                self.assertEqual(report["by_name"], {"pe1": 3, "pe2": 3, "pe3": 3}, report)
                one = self.client(transport, "--count", "50", "--rate", "200")
                self.assertEqual((one["failed"], len(one["by_name"])), (0, 1), one)

    def test_over_ipv6(self):
        for transport in ("udp", "tcp", "sctp"):
            with self.subTest(transport):
                self.fill(transport, "fd00:2::1")
                report = self.client(transport, "--count", "9", "--rate", "50", "--fresh", to="[2001:db8::1]:7000")
                self.assertEqual(report["failed"], 0, report)
                self.assertEqual(report["by_name"], {"pe1": 3, "pe2": 3, "pe3": 3}, report)

    def test_a_server_sees_right_checksums_and_the_source_that_it_is_to_see(self):
        self.peer.pool("EchoSctp", "1,sctp,10.0.2.11,5000,1")
        seen = scapy(self.lab, "pe1", """
import subprocess
from scapy.layers.sctp import *
def packets():
    return sniff(iface="eth0", filter="ip proto 132", timeout=4, started_callback=lambda: subprocess.Popen(sys.argv[1:]))
for p in packets():
    if p[IP].dst == "10.0.2.11":
        packet = p.original[34:14 + p[IP].len]
        print(p[IP].src, p[SCTP].dport, crc32c(packet[:8] + bytes(4) + packet[12:]) == int.from_bytes(packet[8:12], "big"))
""", *self.lab.in_namespace("pu", os.path.join(TOOLS, "poolgate-lab-client"), "--transport", "sctp", "--to", "192.0.2.1:7000",
                            "--count", "10", "--rate", "20")).splitlines()
        seen = [line for line in seen if line.startswith("1")]
        self.assertGreaterEqual(len(seen), 12, seen)
        self.assertEqual(set(seen), {f"{self.source} 5000 True"})


class ThroughUsTest(SnatTest):
    """Without SNAT: the servers' way back to the clients leads through us."""
    snat = ""
    source = "10.0.1.2"

    def prepare(self):
        for pe in PES:
            self.lab.run(pe, "ip", "route", "replace", "10.0.1.0/24", "via", "10.0.2.1")
            self.lab.run(pe, "ip", "-6", "route", "replace", "fd00:1::/64", "via", "fd00:2::1")


if __name__ == "__main__":
    unittest.main()
