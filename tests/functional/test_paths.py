# SPDX-License-Identifier: BSD-3-Clause
"""A server of two addresses, each on a link of its own: which packets go by which, and where to when one does not answer ARP."""
import json
import unittest

from lib.dataplane import Capture, scapy, start_alone, wait_until
from lib.lab import run

VIPS = ("192.0.2.1", "192.0.2.2")
ADDRESSES = ("10.0.2.11", "10.0.3.11")
LINKS = (("eth0", "br-pe", "pg-pe"), ("eth1", "br-pe2", "pg-pe2"))


class Paths(unittest.TestCase):
    def setUp(self):
        start_alone(self, "pgph-", ('vips = ["192.0.2.1", "2001:db8::1"]', 'vips = ["192.0.2.1", "192.0.2.2", "2001:db8::1"]'))
        self.peer.pool("EchoSctp", f"1,sctp,{'+'.join(ADDRESSES)},5000,1")
        self.port = 20000

    def element(self):
        return json.loads(self.lab.cli("show", "pool", "EchoSctp", "json"))["pool EchoSctp"][0]

    def links_of_both_vips(self):
        """By which of its links the server gets an INIT to each VIP; a client of its own each time."""
        self.port += 1
        seen = {}
        for vip in VIPS:
            captures = [Capture(self.lab, "pe1", device, f"sctp and dst host {vip} and src port {self.port}") for device, *_ in LINKS]
            with captures[0], captures[1]:
                scapy(self.lab, "pu", "sendp(Ether(dst=sys.argv[1]) / IP(src='10.0.1.2', dst=sys.argv[2]) / "
                      "SCTP(sport=int(sys.argv[3]), dport=5000) / SCTPChunkInit(init_tag=7, n_in_streams=1, n_out_streams=1), "
                      "iface='eth0')", self.lab.mac("app", "app0"), vip, str(self.port))
            seen[vip] = [device for (device, *_), capture in zip(LINKS, captures) if capture.lines]
        return seen

    def wait_for(self, dead):
        wait_until(lambda: self.element()["dead_addresses"] == dead, 30, f"{dead}: {self.element()}")

    def test_each_vip_has_a_link_of_the_server_and_when_one_is_cut_the_other_has_both(self):
        wait_until(lambda: self.links_of_both_vips() == {VIPS[0]: ["eth0"], VIPS[1]: ["eth1"]}, 20, "each VIP by its own link")
        net, app = self.lab.namespace("net"), self.lab.namespace("app")
        for n, (device, bridge, tap) in enumerate(LINKS):
            with self.subTest(device):
                run("ip", "-n", net, "link", "set", bridge, "address", self.lab.mac("net", bridge))
                run("ip", "-n", net, "link", "set", f"pe1.{device}", "nomaster")
                # Not to wait for the kernel's own time-outs.
                run("ip", "-n", app, "neigh", "replace", ADDRESSES[n], "dev", tap, "nud", "failed")
                self.wait_for([f"{ADDRESSES[n]}:neighbour"])
                other = LINKS[1 - n][0]
                self.assertEqual(self.links_of_both_vips(), {vip: [other] for vip in VIPS})
                self.assertEqual(self.element()["state"], "up")
                run("ip", "-n", net, "link", "set", f"pe1.{device}", "master", bridge)
                self.wait_for([])
                self.assertEqual(self.links_of_both_vips(), {VIPS[0]: ["eth0"], VIPS[1]: ["eth1"]})


if __name__ == "__main__":
    unittest.main()
