# SPDX-License-Identifier: BSD-3-Clause
"""Traffic through the real worker to real servers; the test is in the registrar's place on the channel."""
import json
import os
import subprocess
import unittest

from lib.dataplane import ChannelPeer, DataPlane, Echo, Lab, scapy
from lib.lab import TOOLS

PES = ("pe1", "pe2", "pe3")


class RunningClient:
    """A client that sends until it is told to report. It tells of each answer, so that a test waits for what happened, never for a
    time. Made when its first answer is there."""

    def __init__(self, test, command):
        self.test = test
        self.process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        test.addCleanup(self.end)
        self.until(lambda line: True)

    def until(self, wanted, times=1):
        """Reads what it tells ("NAME request NUMBER", "reset", ...) until `wanted` was true of so many lines."""
        while times > 0:
            line = self.process.stderr.readline()
            if not line:
                self.test.fail(f"the client ended before: {self.process.stdout.read()}")
            times -= bool(wanted(line))

    def report(self):
        self.process.terminate()
        return json.loads(self.process.communicate(timeout=60)[0])

    def end(self):
        self.process.kill()
        self.process.wait(60)
        self.process.stdout.close()
        self.process.stderr.close()


class RedirectTest(unittest.TestCase):
    def setUp(self):
        self.lab = Lab("pgrd-")
        self.lab.__enter__()
        self.addCleanup(self.lab.script, "down")
        self.dataplane = DataPlane(self.lab)
        self.addCleanup(self.dataplane.stop)
        self.prepare()
        self.dataplane.start()
        self.peer = ChannelPeer(self.lab)
        self.addCleanup(self.peer.close)
        self.echoes = {}
        for pe in PES:
            for server in (Echo(self.lab, pe, ["udp", "sctp"], "192.0.2.1", "2001:db8::1"), Echo(self.lab, pe, ["tcp"])):
                self.addCleanup(server.kill)
                self.echoes.setdefault(pe, []).append(server)
        self.fill("EchoUdp", "udp")
        self.fill("EchoTcp", "tcp")
        self.fill("EchoSctp", "sctp")

    def prepare(self):
        """Before the start: what a class changes in the configuration."""

    def fill(self, pool, protocol, numbers=(1, 2, 3)):
        # One address of each family for SCTP; UDP and TCP have one (RFC 5354 3.2-3.3).
        both = protocol == "sctp"
        self.peer.pool(pool, *(f"{n},{protocol},10.0.2.1{n}{f'+fd00:2::1{n}' if both else ''},5000,1" for n in numbers))

    def command(self, transport, *options, to="192.0.2.1:5000"):
        return self.lab.in_namespace("pu", os.path.join(TOOLS, "poolgate-lab-client"), "--transport", transport, "--to", to, "--json",
                                     *options)

    def client(self, transport, *options, to="192.0.2.1:5000"):
        done = subprocess.run(self.command(transport, *options, to=to), capture_output=True, text=True, timeout=60)
        return json.loads(done.stdout)

    def start_client(self, transport, *options):
        return RunningClient(self, self.command(transport, "--duration", "120", "--progress", *options))

    def test_each_protocol_reaches_every_pe_by_round_robin(self):
        for transport in ("udp", "tcp", "sctp"):
            with self.subTest(transport):
                report = self.client(transport, "--count", "9", "--rate", "50", "--fresh")
                self.assertEqual(report["failed"], 0, report)
                self.assertEqual(report["by_name"], {"pe1": 3, "pe2": 3, "pe3": 3})

    def test_over_ipv6(self):
        for transport in ("udp", "sctp"):
            with self.subTest(transport):
                self.peer.pool(f"Echo{transport.capitalize()}", *(f"{n},{transport},fd00:2::1{n},5000,1" for n in (1, 2, 3)))
                report = self.client(transport, "--count", "6", "--rate", "50", "--fresh", to="[2001:db8::1]:5000")
                self.assertEqual(report["failed"], 0, report)
                self.assertEqual(report["by_name"], {"pe1": 2, "pe2": 2, "pe3": 2})

    def test_a_flow_stays_with_its_pe(self):
        for transport in ("udp", "tcp", "sctp"):
            with self.subTest(transport):
                report = self.client(transport, "--count", "20", "--rate", "100")
                self.assertEqual(report["failed"], 0, report)
                self.assertEqual(len(report["by_name"]), 1, report)

    def test_a_deregistered_pe_keeps_its_flows_and_gets_no_new_ones(self):
        client = self.start_client("sctp", "--rate", "20")
        before = self.client("sctp", "--count", "3", "--rate", "50", "--fresh")
        self.assertEqual(len(before["by_name"]), 3, before)
        self.fill("EchoSctp", "sctp", (2,))
        after = self.client("sctp", "--count", "6", "--rate", "50", "--fresh")
        self.assertEqual(after["by_name"], {"pe2": 6})
        client.until(lambda line: True, 10)
        kept = client.report()
        self.assertEqual(kept["failed"], 0, kept)
        self.assertEqual(len(kept["by_name"]), 1, kept)

    def test_after_a_pe_is_found_dead_the_next_datagram_of_its_flow_goes_to_another(self):
        self.fill("EchoUdp", "udp", (1,))
        client = self.start_client("udp", "--rate", "50")
        self.fill("EchoUdp", "udp", (1, 2, 3))
        self.peer.tell("down EchoUdp 1 1")
        client.until(lambda line: line.startswith(("pe2", "pe3")))
        for server in self.echoes["pe1"]:
            server.kill()
        client.until(lambda line: line.startswith(("pe2", "pe3")), 20)
        report = client.report()
        self.assertLessEqual(report["failed"], 2, report)
        self.assertEqual(len(report["by_name"]), 2, report)
        self.assertIn("pe1", report["by_name"])

    def test_clients_of_a_dead_pe_are_told_sctp_abort_and_tcp_reset(self):
        for transport, pool, told in (("sctp", "EchoSctp", "resets"), ("tcp", "EchoTcp", "resets")):
            with self.subTest(transport):
                self.fill(pool, transport, (1,))
                client = self.start_client(transport, "--rate", "20")
                self.fill(pool, transport, (1, 2, 3))
                self.peer.tell(f"down {pool} 1 1")
                client.until(lambda line: line.startswith(("pe2", "pe3")), 5)
                report = client.report()
                self.assertEqual(report[told], 1, report)
                self.assertEqual(len(report["by_name"]), 2, report)  # pe1, then where its next flow went

    def test_an_empty_pool_refuses_each_protocol_in_its_own_words(self):
        for pool in ("EchoUdp", "EchoTcp", "EchoSctp"):
            self.peer.pool(pool)
        self.assertEqual(self.client("udp", "--count", "3", "--fresh")["resets"], 3)
        self.assertEqual(self.client("tcp", "--count", "3", "--fresh")["answered"], 0)
        self.assertEqual(self.client("sctp", "--count", "3", "--fresh")["answered"], 0)
        seen = scapy(self.lab, "pu", """
mac = sys.argv[1]
at = Ether(dst=mac) / IP(src="10.0.1.2", dst="192.0.2.1")
for packet in (at / UDP(sport=7001, dport=5000) / b"x", at / TCP(sport=7002, dport=5000, flags="S", seq=100),
               at / SCTP(sport=7003, dport=5000, tag=0) / SCTPChunkInit(init_tag=0x77, a_rwnd=65536, n_out_streams=1, n_in_streams=1)):
    answer = srp1(packet, iface="eth0", timeout=20, filter="src host 192.0.2.1")
    if ICMP in answer: print("icmp", answer[ICMP].type, answer[ICMP].code)
    elif TCP in answer: print("tcp", answer[TCP].flags, answer[TCP].ack)
    else: print("sctp", answer[SCTP].tag, type(answer[SCTP].payload).__name__)
""", self.lab.mac("app", "app0")).splitlines()
        self.assertEqual(seen, ["icmp 3 3", "tcp RA 101", "sctp 119 SCTPChunkAbort"])

    def test_without_its_registrar_it_goes_on_with_what_it_last_knew(self):
        self.peer.close()
        self.dataplane.wait_for_log("registrar: gone")
        for transport in ("udp", "tcp", "sctp"):
            report = self.client(transport, "--count", "6", "--rate", "50", "--fresh")
            self.assertEqual(report["failed"], 0, report)
            self.assertEqual(len(report["by_name"]), 3, report)
        self.peer = ChannelPeer(self.lab, "--incarnation", "2")
        self.addCleanup(self.peer.close)

    def test_sessions_outlive_a_restart_of_the_data_plane(self):
        client = self.start_client("sctp", "--rate", "10", "--timeout", "60000")
        self.assertEqual(self.dataplane.stop(), 0)
        self.peer.close()
        self.dataplane.start()
        self.peer = ChannelPeer(self.lab)
        self.addCleanup(self.peer.close)
        self.fill("EchoSctp", "sctp")
        client.until(lambda line: True, 20)
        report = client.report()
        self.assertEqual((report["failed"], report["lost"]), (0, 0), report)
        self.assertEqual(len(report["by_name"]), 1, report)


class TwoWorkersTest(RedirectTest):
    """The same with a worker that receives and one that has the endpoint."""

    def prepare(self):
        self.lab.use_workers(1, 1)

    def test_the_endpoint_has_a_worker_of_its_own(self):
        self.dataplane.wait_for_log("worker 0: core 1$")
        self.dataplane.wait_for_log("worker 1: core 2, SCTP endpoint")


if __name__ == "__main__":
    unittest.main()
