# SPDX-License-Identifier: BSD-3-Clause
"""The lab itself: what the other tests stand on."""
import os
import signal
import subprocess
import sys
import unittest

from lib.lab import ROOT, Lab, run, wait_until

PROBE = r"""
import sys
from scapy.all import (ARP, Ether, ICMP, ICMPv6EchoRequest, ICMPv6ND_NS, IP, IPv6, SCTP, SCTPChunkInit, TCP, UDP,
                       sendp)
mac, addresses4, addresses6 = sys.argv[1], sys.argv[2].split(","), sys.argv[3].split(",")
frames = []
for target in addresses4:
    frames.append(Ether(dst="ff:ff:ff:ff:ff:ff") / ARP(pdst=target, psrc="10.0.1.2"))
    frames += [Ether(dst=mac) / IP(src="10.0.1.2", dst=target) / l4 for l4 in (
        ICMP(), TCP(dport=5000, flags="S"), TCP(dport=22, flags="A"), UDP(dport=5000),
        SCTP(dport=3863) / SCTPChunkInit(init_tag=7))]
for target in addresses6:
    frames.append(Ether(dst="33:33:ff:00:00:01") / IPv6(src="fd00:1::2", dst="ff02::1:ff00:1") / ICMPv6ND_NS(tgt=target))
    frames += [Ether(dst=mac) / IPv6(src="fd00:1::2", dst=target) / l4 for l4 in (
        ICMPv6EchoRequest(), TCP(dport=5000, flags="S"), UDP(dport=5000))]
frames.append(Ether(dst=mac) / IP(src="10.0.1.2", dst="10.0.2.11") / UDP(dport=5000))
sendp(frames, iface="eth0", verbose=False)
print(len(frames))
"""

# Answers, and the ARP and neighbour discovery that would come before them.
TO_THE_CLIENT = "arp or host 10.0.1.2 or host fd00:1::2 or dst host ff02::1:ff00:2"


class LabTest(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.lab = Lab("pglab-")
        cls.lab.__enter__()
        cls.addClassCleanup(cls.lab.script, "down")

    def test_a_command_without_its_words_is_told_the_usage(self):
        for words in ((), ("frob",), ("run",), ("run", "pu"), ("spawn", "pu", "name"), ("kill",)):
            done = subprocess.run([os.path.join(ROOT, "scripts", "lab"), *words], capture_output=True, text=True, timeout=20)
            self.assertEqual(done.returncode, 2, done.stderr)
            self.assertTrue(done.stderr.startswith("A lab on one machine"), done.stderr)

    def test_direct_return_has_a_route_of_both_families(self):
        for n in (1, 2, 3):
            self.lab.run("pu", "ping", "-c1", "-W2", f"10.0.2.1{n}")
            self.lab.run("pu", "ping", "-c1", "-W2", f"fd00:2::1{n}")

    def test_a_pe_does_not_answer_arp_for_the_vip_on_its_loopback(self):
        answer = self.lab.run("net", sys.executable, "-c", """
from scapy.all import ARP, Ether, srp
answered, _ = srp([Ether(dst="ff:ff:ff:ff:ff:ff") / ARP(pdst=a) for a in ("192.0.2.1", "10.0.2.11")],
                  iface="br-pe", timeout=1, verbose=False)
print([reply.psrc for _, reply in answered])""")
        self.assertEqual(answer.strip().splitlines()[-1], "['10.0.2.11']")

    def test_offloads_are_off_at_both_ends_of_each_link(self):
        ends = [("app", d) for d in ("app0", "app1", "app2")] + [("net", f"app.app{i}") for i in range(3)]
        ends += [(ns, "eth0") for ns in ("pu", "pe1", "pe2", "pe3")] + [("net", f"{ns}.eth0") for ns in ("pu", "pe1", "pe2", "pe3")]
        for ns, device in ends:
            features = dict(line.strip().split(": ", 1) for line in self.lab.run(ns, "ethtool", "-k", device).splitlines()[1:])
            for feature in ("tx-checksumming", "tx-checksum-sctp", "tcp-segmentation-offload",
                            "generic-segmentation-offload", "generic-receive-offload"):
                self.assertTrue(features[feature].startswith("off"), f"{ns}/{device}: {feature} {features[feature]}")

    def test_the_kernel_of_the_appliance_answers_nothing_on_its_ports(self):
        """Its addresses stand on another device of the namespace, as they will on the TAPs; every frame reaches the
        kernel too, and it must stay silent to all of them."""
        app = self.lab.namespace("app")
        run("ip", "-n", app, "link", "add", "taptest", "type", "veth", "peer", "name", "reader")
        run("ip", "-n", app, "link", "set", "reader", "up")
        self.addCleanup(run, "ip", "-n", app, "link", "del", "taptest")
        addresses4, addresses6 = ["10.0.1.1", "10.0.2.1", "192.0.2.1"], ["fd00:1::1", "2001:db8::1"]
        for address in ["10.0.1.1/24", "10.0.2.1/24", "192.0.2.1/32"]:
            run("ip", "-n", app, "addr", "add", address, "dev", "taptest")
        for address in ["fd00:1::1/64", "2001:db8::1/128"]:
            run("ip", "-n", app, "addr", "add", address, "dev", "taptest", "nodad")
        run("ip", "-n", app, "link", "set", "taptest", "up")

        with Capture(self.lab, "app", "app0", "in") as questions, Capture(self.lab, "app", "app0", "out") as answers, \
                Capture(self.lab, "app", "taptest", "out", TO_THE_CLIENT) as astray:
            sent = int(self.lab.run("pu", sys.executable, "-c", PROBE, self.lab.mac("app", "app0"), ",".join(addresses4),
                                    ",".join(addresses6)).split()[-1])
            wait_until(lambda: questions.frames() >= sent, 10, f"{sent} frames at app0")
            self.lab.run("pu", "ping", "-c1", "-W2", "10.0.1.254")
            self.assertEqual(answers.text() + astray.text(), "")

    def test_start_brings_back_what_was_killed_and_leaves_what_runs(self):
        def pid(name):
            with open(f"{self.lab.dir}/pid/{name}", encoding="utf-8") as f:
                return int(f.read())

        self.lab.start()
        self.addCleanup(self.lab.stop)
        for killed, kept in (("dataplane", "registrar"), ("registrar", "dataplane")):
            before = pid(killed), pid(kept)
            os.kill(before[0], signal.SIGKILL)  # its pid file stays, and perhaps a zombie
            self.lab.start()
            self.assertNotEqual(pid(killed), before[0])
            self.assertEqual(pid(kept), before[1])

    def test_up_over_a_lab_that_runs_begins_anew(self):
        with Lab("pglab2-") as lab:
            lab.spawn("pe1", "sleeper", "sleep", "1000")
            with open(f"{lab.dir}/pid/sleeper", encoding="utf-8") as f:
                pid = int(f.read())
            lab.script("up")
            if os.path.exists(f"/proc/{pid}"):  # not reaped yet
                with open(f"/proc/{pid}/stat", encoding="utf-8") as f:
                    self.assertEqual(f.read().rsplit(")", 1)[1].split()[0], "Z")
            self.assertIn("pglab2-pe3", lab.script("status"))
        self.assertNotEqual(subprocess.run([os.path.join(os.path.dirname(__file__), "../../scripts/lab"), "status", "--prefix",
                                            "pglab2-"], capture_output=True, check=False).returncode, 0)
        self.assertNotIn("pglab2-", run("ip", "netns"))
        self.assertFalse(os.path.exists(lab.dir))


class Capture:
    """tcpdump of one direction of a device, for the time of a `with`."""

    def __init__(self, lab, ns, device, direction, only=""):
        self.command = lab.in_namespace(ns, "tcpdump", "-n", "-l", "--immediate-mode", "-Q", direction, "-i", device, only)

    def __enter__(self):
        self.lines = []
        self.process = subprocess.Popen(self.command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        os.set_blocking(self.process.stdout.fileno(), False)
        for line in self.process.stderr:
            if "listening on" in line:
                return self
        raise AssertionError(f"{' '.join(self.command)} did not start")

    def text(self):
        while True:
            line = self.process.stdout.readline()
            if not line:
                return "".join(self.lines)
            self.lines.append(line)

    def frames(self):
        return sum(not line.startswith("\t") for line in self.text().splitlines())

    def __exit__(self, *_):
        self.process.terminate()
        self.process.wait()
        self.process.stdout.close()
        self.process.stderr.close()


if __name__ == "__main__":
    unittest.main()
