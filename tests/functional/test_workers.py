# SPDX-License-Identifier: BSD-3-Clause
"""Two workers that receive, of which each gets some of everybody's packets: whose session it is, they sort out."""
import json
import os
import re
import subprocess
import unittest

from lib.dataplane import Capture, ChannelPeer, DataPlane, Echo, Lab, scapy
from lib.lab import TOOLS

PES = ("pe1", "pe2", "pe3")
CLIENTS = 24


class WorkersTest(unittest.TestCase):
    def setUp(self):
        self.lab = Lab("pgwk-")
        self.lab.__enter__()
        self.addCleanup(self.lab.script, "down")
        self.dataplane = DataPlane(self.lab)
        self.addCleanup(self.dataplane.stop)
        self.lab.use_workers(1, 0, 1)
        # Two receive queues a port, filled by the kernel's own hash, which is not ours.
        self.lab.configure(("framecnt=1024", "framecnt=1024,qpairs=2"))
        self.dataplane.start()
        self.peer = ChannelPeer(self.lab)
        self.addCleanup(self.peer.close)

    def serve(self):
        for pe in PES:
            for server in (Echo(self.lab, pe, ["udp", "sctp"], "192.0.2.1", "2001:db8::1"), Echo(self.lab, pe, ["tcp"])):
                self.addCleanup(server.kill)
        for pool, protocol in (("EchoUdp", "udp"), ("EchoTcp", "tcp"), ("EchoSctp", "sctp")):
            self.fill(pool, protocol)

    def fill(self, pool, protocol):
        both = protocol == "sctp"
        self.peer.pool(pool, *(f"{n},{protocol},10.0.2.1{n}{f'+fd00:2::1{n}' if both else ''},5000,1" for n in (1, 2, 3)))

    def client(self, transport, *options):
        done = subprocess.run(self.lab.in_namespace("pu", os.path.join(TOOLS, "poolgate-lab-client"), "--transport", transport, "--to",
                                                    "192.0.2.1:5000", "--json", *options), capture_output=True, text=True, timeout=60)
        return json.loads(done.stdout)

    def handover(self):
        report = json.loads(self.lab.cli("show", "worker", "all", "json"))
        return {row["worker"]: row for row in report["handover"]}

    def test_every_protocol_is_served_whichever_worker_its_packets_meet(self):
        self.serve()
        for transport in ("udp", "tcp", "sctp"):
            with self.subTest(transport):
                fresh = self.client(transport, "--count", str(CLIENTS), "--rate", "50", "--fresh")
                self.assertEqual(fresh["failed"], 0, fresh)
                self.assertEqual(set(fresh["by_name"]), set(PES), fresh)
                one = self.client(transport, "--count", "20", "--rate", "100")
                self.assertEqual((one["failed"], len(one["by_name"])), (0, 1), one)
        rows = self.handover()
        self.assertEqual(set(rows), {0, 1})
        for row in rows.values():
            self.assertGreater(row["packets_given"], 0, rows)
            self.assertGreater(row["packets_taken"], 0, rows)

    def test_a_multihomed_clients_packets_reach_one_pe_from_each_of_its_addresses(self):
        self.fill("EchoSctp", "sctp")
        with Capture(self.lab, "net", "app.app1", "sctp and dst host 192.0.2.1") as seen:
            scapy(self.lab, "pu", f"""
import socket, time
mac = sys.argv[1]
wire = conf.L2socket(iface="eth0")
def send(source, port, tag, chunk):
    wire.send(Ether(dst=mac) / IP(src=source, dst="192.0.2.1") / SCTP(sport=port, dport=5000, tag=tag) / chunk)
def address(a):
    return SCTPChunkParamIPv4Addr(addr=a)
for n in range({CLIENTS}):
    a, b, c, port, tag = f"10.0.1.{{20 + n}}", f"10.0.1.{{60 + n}}", f"10.0.1.{{100 + n}}", 30000 + n, 0x1000 + n
    send(a, port, 0, SCTPChunkInit(init_tag=0x77, a_rwnd=65536, n_out_streams=1, n_in_streams=1, params=[address(a), address(b)]))
    time.sleep(0.02)
    send(a, port, tag, SCTPChunkCookieEcho(cookie=b"cookie"))
    time.sleep(0.02)
    for source in (a, b, c):  # c is of no INIT: its tag says whose it is
        send(source, port, tag, SCTPChunkHeartbeatReq(params=[SCTPChunkParamHeartbeatInfo(data=b"info")]))
time.sleep(0.5)
""", self.lab.mac("app", "app0"))
        by_client = {}
        for line in seen.lines:
            found = re.search(r"> ([0-9a-f:]{17}), .* (10\.0\.1\.\d+)\.(\d+) > 192\.0\.2\.1\.5000: sctp .*\[(\w+ ?\w*)", line)
            if found:
                by_client.setdefault(int(found[3]), []).append((found[1], found[2], found[4]))
        self.assertEqual(len(by_client), CLIENTS, seen.lines)
        for port, packets in by_client.items():
            self.assertEqual(len(packets), 5, (port, packets))
            self.assertEqual(len({mac for mac, _, _ in packets}), 1, (port, packets))
        self.assertEqual(len({packets[0][0] for packets in by_client.values()}), 3)


if __name__ == "__main__":
    unittest.main()
