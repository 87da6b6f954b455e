# SPDX-License-Identifier: BSD-3-Clause
"""Our SCTP endpoint through the whole data plane: real agents at one end, the channel at the other."""
import os
import subprocess
import unittest

from lib.dataplane import Capture, ChannelPeer, DataPlane, Echo, Lab, run
from lib.lab import AGENT, TOOLS

ASAP = 11  # payload protocol identifier (RFC 5352 8.2)


class EndpointTest(unittest.TestCase):
    def setUp(self):
        self.lab = Lab("pgep-")
        self.lab.__enter__()
        self.addCleanup(self.lab.script, "down")
        self.dataplane = DataPlane(self.lab)
        self.addCleanup(self.dataplane.stop)
        self.prepare()
        self.dataplane.start()

    def prepare(self):
        """Before the start: what a class changes in the configuration."""

    def channel(self, *options):
        peer = ChannelPeer(self.lab, *options)
        self.addCleanup(peer.close)
        return peer

    def agent(self, pe, *options):
        process = subprocess.Popen(self.lab.in_namespace(pe, AGENT, "register", "--pool", "P", "--transport", "udp", "--port", "5000",
                                                         *options), stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL)
        self.addCleanup(process.wait, 20)
        self.addCleanup(process.kill)
        return process

    def test_a_registration_comes_up_with_the_peers_addresses_and_its_bytes(self):
        channel = self.channel()
        self.agent("pe1", "--registrar", "10.0.2.1:3863,10.0.3.1")
        up = channel.wait_for("up ")[0].split()
        self.assertEqual(sorted(up[6:]), ["10.0.2.11", "10.0.3.11"])
        message = channel.wait_for(f"message {up[1]} ")[0]
        self.assertRegex(message, f"sequence 1 ppid {ASAP} bytes [1-9]")

    def test_what_was_not_acknowledged_is_replayed_to_the_next_registrar(self):
        channel = self.channel()
        self.agent("pe1", "--registrar", "10.0.2.1:3863")
        first = channel.wait_for("message ")[0]
        channel.process.kill()
        self.dataplane.wait_for_log("registrar: gone")
        second = self.channel("--incarnation", "2")
        self.assertEqual(second.wait_for("message ")[0], f"{first} replayed")
        self.assertEqual(second.wait_for("up ")[0], channel.wait_for("up ")[0])

    def test_an_association_outlives_the_loss_of_one_path(self):
        self.dataplane.stop()
        with open(self.lab.config, "a", encoding="utf-8") as f:
            f.write("\n[sctp]\nheartbeat_ms = 500\npath_max_retrans = 2\n")
        self.dataplane.start()
        channel = self.channel()
        self.agent("pe1", "--registrar", "10.0.2.1:3863,10.0.3.1")
        up = channel.wait_for("up ")[0].split()
        run("ip", "-n", self.lab.namespace("net"), "link", "set", "pe1.eth0", "down")
        channel.wait_for(f"path {up[1]} 10.0.2.11 1", seconds=30)
        self.assertEqual([line for line in channel.lines if line.startswith("down ")], [])
        run("ip", "-n", self.lab.namespace("net"), "link", "set", "pe1.eth0", "up")
        channel.wait_for(f"path {up[1]} 10.0.2.11 0", seconds=30)

    def test_the_death_of_a_peers_process_is_told_at_once(self):
        channel = self.channel()
        agent = self.agent("pe1", "--registrar", "10.0.2.1:3863")
        up = channel.wait_for("up ")[0].split()
        agent.terminate()
        self.assertIn(f"down {up[1]} ", channel.wait_for("down ")[0])

    def test_it_connects_where_the_registrar_says(self):
        server = Echo(self.lab, "pe2", ["sctp"])
        self.addCleanup(server.kill)
        channel = self.channel()
        channel.tell("connect 7 10.0.2.12 5000")
        up = channel.wait_for("up ")[0].split()
        self.assertEqual(up[3:6], ["7", "port", "5000"])
        channel.tell("connect 8 10.0.2.12 5999")  # nobody listens: refused, or silent until it is given up
        self.assertRegex(channel.wait_for("down 0 request 8", seconds=60)[0], "reason [0-9]")

    def test_messages_are_answered_through_the_channel(self):
        self.channel("--answer", "registrar")
        client = subprocess.run(self.lab.in_namespace("pe1", os.path.join(TOOLS, "poolgate-lab-client"), "--transport", "sctp", "--to",
                                                      "10.0.2.1:3863", "--count", "50", "--rate", "200"),
                                capture_output=True, text=True, timeout=60)
        self.assertRegex(client.stdout, "50 sent, 50 answered, 0 failed", client.stdout)


class OverUdpTest(EndpointTest):
    """SCTP over UDP (RFC 6951), beside bare SCTP."""

    def prepare(self):
        with open(self.lab.config, "a", encoding="utf-8") as f:
            f.write("\n[sctp]\nudp_encapsulation_port = 9899\nheartbeat_ms = 500\npath_max_retrans = 2\n")

    def agent(self, pe, *options):
        return super().agent(pe, "--sctp", "udp", "--udp-port", "9899", *options)

    def test_an_association_outlives_the_loss_of_one_path(self):
        channel = self.channel()
        self.agent("pe1", "--registrar", "10.0.2.1:3863,10.0.3.1")
        up = channel.wait_for("up ")[0].split()
        run("ip", "-n", self.lab.namespace("net"), "link", "set", "pe1.eth0", "down")
        channel.wait_for(f"path {up[1]} 10.0.2.11 1", seconds=30)
        self.assertEqual([line for line in channel.lines if line.startswith("down ")], [])

    def test_nothing_goes_out_bare(self):
        channel = self.channel()
        with Capture(self.lab, "pe1", "eth0", "ip proto 132") as bare, Capture(self.lab, "pe1", "eth0", "udp port 9899") as carried:
            self.agent("pe1", "--registrar", "10.0.2.1:3863")
            channel.wait_for("message ")
        self.assertEqual(bare.lines, [])
        self.assertGreaterEqual(len(carried.lines), 6)


class OwnWorkerTest(EndpointTest):
    """The endpoint on a worker of its own: another one receives its packets and hands them over."""

    def prepare(self):
        self.lab.use_workers(1, 1)


if __name__ == "__main__":
    unittest.main()
