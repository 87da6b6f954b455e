# SPDX-License-Identifier: BSD-3-Clause
"""Workers that receive, of which each gets some of everybody's packets: whose session it is, they sort out."""
import json
import os
import subprocess
import unittest

from scapy.layers.inet import IP
from scapy.layers.l2 import Ether
from scapy.layers.sctp import (SCTP, SCTPChunkCookieEcho, SCTPChunkHeartbeatReq, SCTPChunkInit, SCTPChunkParamHeartbeatInfo,
                               SCTPChunkParamIPv4Addr)

from lib.dataplane import ChannelPeer, DataPlane, Echo, Lab
from lib.frames import Watch, send
from lib.lab import TOOLS, wait_until

PES = ("pe1", "pe2", "pe3")
CLIENTS = 24


class Workers(unittest.TestCase):
    cores = (1, 0, 1)  # of the workers; the last one's is the endpoint's alone

    def setUp(self):
        self.lab = Lab("pgwk-")
        self.lab.__enter__()
        self.addCleanup(self.lab.script, "down")
        self.dataplane = DataPlane(self.lab)
        self.addCleanup(self.dataplane.stop)
        self.lab.use_workers(*self.cores)
        # Two receive queues a port, filled by the kernel's own hash, which is not ours.
        self.lab.configure(("framecnt=1024", "framecnt=1024,qpairs=2"), ("\ntap =", "\nrx_queues = 2\ntap ="))
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
                                                    "192.0.2.1:5000", "--timeout", "30000", "--json", *options),
                              capture_output=True, text=True, timeout=300)
        return json.loads(done.stdout)

    def handover(self):
        report = json.loads(self.lab.cli("show", "worker", "all", "json"))
        return {row["worker"]: row for row in report.get("handover", [])}

    def wait_for_notices(self):
        """Until each worker has heard what the others told it of their sessions."""
        def all_heard():
            rows = self.handover().values()
            return sum(row["notices_told"] for row in rows) == sum(row["notices_heard"] for row in rows)
        wait_until(all_heard, 20, "notices heard")

    def check_multihomed_clients(self):
        self.fill("EchoSctp", "sctp")
        to_us = Ether(src=self.lab.mac("pu", "eth0"), dst=self.lab.mac("app", "app0"))

        def packet(n, source, tag, chunk):
            return to_us / IP(src=f"10.0.1.{source + n}", dst="192.0.2.1") / SCTP(sport=30000 + n, dport=5000, tag=tag) / chunk

        def init(n):
            addresses = [SCTPChunkParamIPv4Addr(addr=f"10.0.1.{first + n}") for first in (20, 60)]
            return packet(n, 20, 0, SCTPChunkInit(init_tag=0x77, a_rwnd=65536, n_out_streams=1, n_in_streams=1, params=addresses))

        def heartbeat(n, source):
            return packet(n, source, 0x1000 + n, SCTPChunkHeartbeatReq(params=[SCTPChunkParamHeartbeatInfo(data=b"info")]))
        steps = ([init(n) for n in range(CLIENTS)], [packet(n, 20, 0x1000 + n, SCTPChunkCookieEcho(cookie=b"cookie")) for n in range(CLIENTS)],
                 # The third address is of no INIT: the tag says whose it is.
                 [heartbeat(n, source) for n in range(CLIENTS) for source in (20, 60, 100)])
        with Watch(self.lab, "net", "app.app1", "sctp and dst host 192.0.2.1") as watch:
            sent = 0
            for frames in steps:
                send(self.lab, "pu", "eth0", frames)
                sent += len(frames)
                seen = watch.wait_for_frames(sent)
                self.wait_for_notices()
        by_client = {}
        for frame in seen:
            by_client.setdefault(frame[SCTP].sport, []).append((frame.dst, frame[IP].src))
        self.assertEqual(len(by_client), CLIENTS)
        for port, packets in by_client.items():
            self.assertEqual(len(packets), 5, (port, packets))
            self.assertEqual(len({mac for mac, _ in packets}), 1, (port, packets))
        self.assertEqual(len({packets[0][0] for packets in by_client.values()}), 3)


class WorkersTest(Workers):
    """Two receive, and the endpoint's."""

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
        self.check_multihomed_clients()


class OneReceivesTest(Workers):
    """Two worker cores: one has the SCTP endpoint, the other receives from all queues."""
    cores = (1, 0)

    def test_a_multihomed_clients_packets_reach_one_pe_from_each_of_its_addresses(self):
        self.check_multihomed_clients()
        self.assertEqual(self.handover(), {})


if __name__ == "__main__":
    unittest.main()
