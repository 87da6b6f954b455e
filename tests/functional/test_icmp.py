# SPDX-License-Identifier: BSD-3-Clause
"""ICMP through the real worker: what a router on the client's side says reaches the real kernel of the PE; a VIP answers pings."""
import unittest

from lib.dataplane import ChannelPeer, DataPlane, Echo, Lab, scapy, wait_until

ERROR = """
mac, vip, client = sys.argv[1:]
v6 = ":" in vip
at = Ether(dst=mac) / (IPv6(src=client, dst=vip) if v6 else IP(src=client, dst=vip, flags="DF"))
assert srp1(at / UDP(sport=7001, dport=5000) / b"x", iface="eth0", timeout=3, filter="udp and src port 5000")
seen = (IPv6(src=vip, dst=client) if v6 else IP(src=vip, dst=client, flags="DF")) / UDP(sport=5000, dport=7001) / (b"y" * 64)
if v6:
    sendp(Ether(dst=mac) / IPv6(src="fd00:1::77", dst=vip) / ICMPv6PacketTooBig(mtu=1300) / seen, iface="eth0")
else:
    sendp(Ether(dst=mac) / IP(src="10.0.1.77", dst=vip) / ICMP(type=3, code=4, nexthopmtu=1300) / seen, iface="eth0")
"""


class IcmpTest(unittest.TestCase):
    mode = "l2"
    vips = ("192.0.2.1", "2001:db8::1")

    def setUp(self):
        self.lab = Lab("pgic-")
        self.lab.__enter__()
        self.addCleanup(self.lab.script, "down")
        self.dataplane = DataPlane(self.lab)
        self.addCleanup(self.dataplane.stop)
        self.lab.configure(('mode = "l2"', f'mode = "{self.mode}"'))
        if self.mode == "nat":
            self.lab.run("pe1", "ip", "route", "replace", "10.0.1.0/24", "via", "10.0.2.1")
            self.lab.run("pe1", "ip", "-6", "route", "replace", "fd00:1::/64", "via", "fd00:2::1")
        self.dataplane.start()
        self.peer = ChannelPeer(self.lab)
        self.addCleanup(self.peer.close)
        server = Echo(self.lab, "pe1", ["udp"], *(() if self.mode == "nat" else self.vips))
        self.addCleanup(server.kill)

    def path_mtu(self, client, source):
        """What pe1's kernel has learnt of the way to the client."""
        words = self.lab.run("pe1", "ip", "route", "get", client, "from", source).split()
        return words[words.index("mtu") + 1] if "mtu" in words else None

    def test_a_routers_word_on_the_mtu_reaches_the_pe(self):
        for vip, client, pe in ((self.vips[0], "10.0.1.2", "10.0.2.11"), (self.vips[1], "fd00:1::2", "fd00:2::11")):
            with self.subTest(vip):
                self.peer.pool("EchoUdp", f"1,udp,{pe},5000,1")
                source = pe if self.mode == "nat" else vip
                self.assertIsNone(self.path_mtu(client, source))
                scapy(self.lab, "pu", ERROR, self.lab.mac("app", "app0"), vip, client)
                wait_until(lambda c=client, s=source: self.path_mtu(c, s) == "1300", 5, "the PE's kernel to know the MTU")

    def test_a_vip_answers_pings(self):
        for vip in self.vips:
            said = self.lab.run("pu", "ping", "-n", "-c3", "-i0.2", "-W2", vip)
            self.assertIn("3 received", said)
            self.assertNotIn("duplicates", said)


class NatIcmpTest(IcmpTest):
    mode = "nat"


if __name__ == "__main__":
    unittest.main()
