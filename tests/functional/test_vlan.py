# SPDX-License-Identifier: BSD-3-Clause
"""A port whose traffic is all of one VLAN: clients by the tag, the kernel by the TAP, and nothing without it."""
import json
import os
import subprocess
import sys
import unittest

from lib.dataplane import ChannelPeer, DataPlane, Echo, Lab, wait_until
from lib.lab import TOOLS

VLAN_END = os.path.join(os.path.dirname(os.path.abspath(__file__)), "lib", "vlan_end.py")


class VlanTest(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.lab = Lab("pgvl-")
        cls.lab.__enter__()
        cls.addClassCleanup(cls.lab.script, "down")
        cls.dataplane = DataPlane(cls.lab)
        cls.addClassCleanup(cls.dataplane.stop)
        cls.lab.configure(('tap = "pg-pu"', 'tap = "pg-pu"\nvlan = 100'))
        cls.dataplane.start()
        cls.peer = ChannelPeer(cls.lab)
        cls.addClassCleanup(cls.peer.close)
        cls.end = subprocess.Popen(cls.lab.in_namespace("pu", sys.executable, VLAN_END, "eth0", "100"), stdin=subprocess.DEVNULL,
                                   stdout=subprocess.PIPE, text=True)
        cls.addClassCleanup(cls.end.stdout.close)
        cls.addClassCleanup(cls.end.wait, 60)
        cls.addClassCleanup(cls.end.kill)
        if cls.end.stdout.readline() != "ready\n":
            raise AssertionError("vlan_end.py did not start")
        for n in (1, 2, 3):
            # UDP and SCTP come straight back (the VIP on lo), TCP by nat.
            for server in (Echo(cls.lab, f"pe{n}", ["udp", "sctp"], "192.0.2.1"), Echo(cls.lab, f"pe{n}", ["tcp"])):
                cls.addClassCleanup(server.kill)
        for transport in ("udp", "tcp", "sctp"):
            cls.peer.pool(f"Echo{transport.capitalize()}", *(f"{n},{transport},10.0.2.1{n},5000,1" for n in (1, 2, 3)))

    def drops(self, reason):
        return sum(row["total"] for row in json.loads(self.lab.cli("show", "drops", "json"))["drops"] if row["reason"] == reason)

    def test_clients_of_the_vlan_are_served_in_l2_and_in_nat(self):
        for transport in ("udp", "tcp", "sctp"):
            with self.subTest(transport):
                done = subprocess.run(self.lab.in_namespace(
                    "pu", os.path.join(TOOLS, "poolgate-lab-client"), "--transport", transport, "--to", "192.0.2.1:5000", "--json",
                    "--count", "9", "--rate", "50", "--fresh"), capture_output=True, text=True, timeout=120)
                report = json.loads(done.stdout)
                self.assertEqual(report["failed"], 0, report)
                self.assertEqual(report["by_name"], {"pe1": 3, "pe2": 3, "pe3": 3})

    def test_the_kernel_speaks_by_the_tap_with_the_tag(self):
        wait_until(lambda: " 1 received" in self.lab.run("pu", "ping", "-c1", "-W2", "10.0.1.1", check=False), 20, "an answer of the TAP")
        wait_until(lambda: " 1 received" in self.lab.run("pu", "ping", "-c1", "-W2", "fd00:1::1", check=False), 20, "one over IPv6")

    def test_frames_without_the_tag_are_dropped_and_counted(self):
        before = self.drops("vlan_other")
        said = self.lab.run("net", "ping", "-c2", "-W1", "10.0.1.1", check=False)
        self.assertIn(" 0 received", said)
        self.assertGreater(self.drops("vlan_other"), before)


if __name__ == "__main__":
    unittest.main()
