# SPDX-License-Identifier: BSD-3-Clause
"""The data plane by itself: TAP twins, our SCTP addresses, signals; before any registrar is there."""
import signal
import subprocess
import sys
import time
import unittest

from lib.dataplane import BINARY, Capture, DataPlane, Lab, run, scapy, wait_until

ARP = """
answered, _ = srp([Ether(dst="ff:ff:ff:ff:ff:ff") / ARP(pdst=a) for a in sys.argv[1:]], iface="eth0", timeout=2, multi=True)
for question, answer in answered:
    print(answer.psrc, answer.hwsrc)
"""

SCTP = """
mac, address, port = sys.argv[1], sys.argv[2], int(sys.argv[3])
packet = Ether(dst=mac) / IP(src="10.0.1.2", dst=address) / SCTP(sport=7777, dport=port, tag=0) / SCTPChunkInit(
    init_tag=0x1234, a_rwnd=65536, n_out_streams=10, n_in_streams=10, init_tsn=1)
answered, _ = srp(packet, iface="eth0", timeout=2, multi=True, filter="ip proto 132 or icmp")
for _, answer in answered:
    if SCTP in answer:
        print(answer[IP].src, answer[SCTP].tag, type(answer[SCTP].payload).__name__)
    else:
        print(answer.summary())
"""


class DataPlaneTest(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.lab = Lab("pgdp-")
        cls.lab.__enter__()
        cls.addClassCleanup(cls.lab.script, "down")
        cls.dataplane = DataPlane(cls.lab)
        cls.addClassCleanup(cls.dataplane.stop)
        cls.dataplane.start()

    def mac(self, device):
        return self.lab.mac("app", device)

    def test_starts_before_the_registrar_and_says_what_it_waits_for(self):
        self.dataplane.wait_for_log("waiting for a registrar on .*channel.sock")

    def test_says_once_what_the_port_cannot_do(self):
        said = [line for line in self.dataplane.lines if "CRC32c on sending" in line and "port pu " in line]
        self.assertEqual(len(said), 1)

    def test_arp_is_answered_once_by_the_tap_with_the_ports_mac(self):
        answers = scapy(self.lab, "pu", ARP, "10.0.1.1", "192.0.2.1").splitlines()
        self.assertEqual(sorted(answers), [f"10.0.1.1 {self.mac('app0')}", f"192.0.2.1 {self.mac('app0')}"])

    def test_ping_of_every_port_both_families_no_duplicates(self):
        for ns, address in (("pu", "10.0.1.1"), ("pu", "fd00:1::1"), ("pe1", "10.0.2.1"), ("pe1", "fd00:2::1"), ("pe1", "10.0.3.1")):
            said = self.lab.run(ns, "ping", "-n", "-c3", "-i0.2", "-W2", address)
            self.assertIn("3 received", said)
            self.assertNotIn("duplicates", said)

    def test_ping_of_full_mtu(self):
        self.assertIn("2 received", self.lab.run("pu", "ping", "-c2", "-i0.2", "-M", "do", "-s", "1472", "10.0.1.1"))

    def test_our_sctp_answers_on_its_ports_and_aborts_on_others(self):
        init_ack = scapy(self.lab, "pu", SCTP, self.mac("app0"), "10.0.1.1", "3863").splitlines()
        self.assertEqual(init_ack[0], f"10.0.1.1 {0x1234} SCTPChunkInitAck")
        self.assertEqual(scapy(self.lab, "pu", SCTP, self.mac("app0"), "10.0.1.1", "9901").split()[2], "SCTPChunkInitAck")
        abort = scapy(self.lab, "pu", SCTP, self.mac("app0"), "10.0.1.1", "4000").splitlines()
        self.assertEqual(abort, [f"10.0.1.1 {0x1234} SCTPChunkAbort"])

    def test_nothing_of_sctp_or_of_a_service_reaches_the_tap(self):
        flood = """
mac = sys.argv[1]
frames = [Ether(dst=mac) / IP(src="10.0.1.2", dst=d) / l4 for d in ("10.0.1.1", "192.0.2.1") for l4 in (
    SCTP(sport=7, dport=3863, tag=99) / SCTPChunkCookieEcho(cookie=b"x" * 40), SCTP(sport=7, dport=77) / SCTPChunkInit(init_tag=1),
    SCTP(sport=7, dport=5000, tag=1) / SCTPChunkData(data=b"x"), SCTP(sport=7, dport=3863, tag=0) / Raw(b"\\x01\\x00\\x00\\x01"))]
frames += [Ether(dst=mac) / IP(src="10.0.1.2", dst="192.0.2.1") / l4 for l4 in (
    UDP(sport=7, dport=5000) / b"x", TCP(sport=7, dport=5000, flags="S"), TCP(sport=7, dport=5001, flags="S"), UDP(sport=7, dport=9))]
frames += fragment(Ether(dst=mac) / IP(src="10.0.1.2", dst="192.0.2.1") / UDP(sport=7, dport=5000) / (b"x" * 3000), 1000)
sendp(frames, iface="eth0")
"""
        with Capture(self.lab, "app", "pg-pu", "ip and not icmp") as tap:
            scapy(self.lab, "pu", flood, self.mac("app0"))
            self.lab.run("pu", "ping", "-c1", "-W2", "10.0.1.1")  # after all of them
        self.assertEqual(tap.lines, [])

    def test_an_answer_waits_for_the_neighbours_arp(self):
        """The INIT comes from an address that nobody has asked for: the INIT ACK is held until ARP has answered."""
        run("ip", "-n", self.lab.namespace("pu"), "addr", "add", "10.0.1.77/24", "dev", "eth0")
        self.addCleanup(run, "ip", "-n", self.lab.namespace("pu"), "addr", "del", "10.0.1.77/24", "dev", "eth0")
        with Capture(self.lab, "pu", "eth0", "arp or ip proto 132") as seen:
            scapy(self.lab, "pu", SCTP.replace("10.0.1.2", "10.0.1.77"), self.mac("app0"), "10.0.1.1", "3863")
        asked = [i for i, line in enumerate(seen.lines) if "who-has 10.0.1.77" in line]
        answered = [i for i, line in enumerate(seen.lines) if "INIT ACK" in line]
        self.assertEqual(len(answered), 1, seen.lines)
        self.assertTrue(asked and asked[0] < answered[0], seen.lines)

    def test_a_taps_mac_that_another_program_changes_is_the_ports_again_and_neighbours_are_told(self):
        port, other = self.mac("app0"), "02:00:00:00:00:99"
        for address in ("10.0.1.1", "fd00:1::1"):  # as one that asked while the TAP had the other
            self.lab.run("pu", "ip", "neighbor", "replace", address, "lladdr", other, "dev", "eth0", "nud", "reachable")
            self.addCleanup(self.lab.run, "pu", "ip", "neighbor", "flush", "to", address, check=False)
        self.lab.run("app", "ip", "link", "set", "pg-pu", "address", other)
        wait_until(lambda: port in self.dataplane.tap("pg-pu"), 5, "the port's MAC")
        for address in ("10.0.1.1", "fd00:1::1"):
            wait_until(lambda a=address: port in self.lab.run("pu", "ip", "neighbor", "show", a), 5, f"the port's MAC for {address}")
            self.lab.run("pu", "ping", "-c1", "-W2", address)
        self.dataplane.wait_for_log(f"another program gave TAP pg-pu the MAC {other}")

    def test_the_carrier_of_the_tap_follows_the_link(self):
        net = self.lab.namespace("net")
        self.addCleanup(run, "ip", "-n", net, "link", "set", "app.app2", "up")
        run("ip", "-n", net, "link", "set", "app.app2", "down")
        wait_until(lambda: "NO-CARRIER" in self.dataplane.tap("pg-pe2"), 5, "NO-CARRIER")
        self.assertIn("LOWER_UP", self.dataplane.tap("pg-pe"))
        run("ip", "-n", net, "link", "set", "app.app2", "up")
        wait_until(lambda: "LOWER_UP" in self.dataplane.tap("pg-pe2"), 5, "carrier")

    def test_idle_it_uses_under_3_percent_of_a_core(self):
        """On a slow machine: less than an interpreter that does nothing but sleep as often as an idle worker."""
        began, cpu = time.monotonic(), self.dataplane.cpu_seconds()
        sleeper = run(sys.executable, "-S", "-c", "import time\nend = time.monotonic() + 8\n"
                      "while time.monotonic() < end: time.sleep(0.0002)\nprint(time.process_time() / 8)")
        share = (self.dataplane.cpu_seconds() - cpu) / (time.monotonic() - began)
        self.assertLess(share, max(0.03, float(sleeper)))


class JumboTest(unittest.TestCase):
    """A port of 9,000 bytes: what the kernel says there is longer than a buffer of the usual size."""

    @classmethod
    def setUpClass(cls):
        cls.lab = Lab("pgjb-")
        cls.lab.__enter__()
        cls.addClassCleanup(cls.lab.script, "down")
        for ns, device in (("net", "pu.eth0"), ("net", "app.app0"), ("net", "br-pu"), ("pu", "eth0"), ("app", "app0")):
            run("ip", "-n", cls.lab.namespace(ns), "link", "set", device, "mtu", "9000")
        # af_packet's frames are of 1,518 bytes.
        cls.lab.configure(('net_af_packet0,iface=app0,framecnt=1024"', 'net_pcap0,rx_iface_in=app0,tx_iface=app0"\nmtu = 9000'))
        cls.dataplane = DataPlane(cls.lab)
        cls.addClassCleanup(cls.dataplane.stop)
        cls.dataplane.start()

    def test_ping_of_full_mtu(self):
        self.assertIn("2 received", self.lab.run("pu", "ping", "-c2", "-i0.2", "-W5", "-M", "do", "-s", "8972", "10.0.1.1"))


class SignalsTest(unittest.TestCase):
    def setUp(self):
        self.lab = Lab("pgds-")
        self.lab.__enter__()
        self.addCleanup(self.lab.script, "down")
        self.dataplane = DataPlane(self.lab)
        self.addCleanup(self.dataplane.stop)

    def test_sigterm_ends_it_cleanly_and_it_attaches_to_its_taps_again(self):
        self.dataplane.start()
        index = run("ip", "netns", "exec", self.lab.namespace("app"), "cat", "/sys/class/net/pg-pu/ifindex")
        self.assertEqual(self.dataplane.stop(), 0)
        self.assertIn("NO-CARRIER", self.dataplane.tap("pg-pu"))
        self.dataplane.start()
        self.assertEqual(run("ip", "netns", "exec", self.lab.namespace("app"), "cat", "/sys/class/net/pg-pu/ifindex"), index)
        self.lab.run("pu", "ping", "-c1", "-W2", "10.0.1.1")

    def test_sigterm_while_it_starts_ends_it_there(self):
        process = subprocess.Popen(self.lab.in_namespace("app", BINARY, "--config", self.lab.config), stdin=subprocess.DEVNULL,
                                   stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True)

        def waits_to_be_read():
            with open(f"/proc/{process.pid}/status", encoding="ascii") as f:
                blocked = next(line for line in f if line.startswith("SigBlk"))
            return int(blocked.split()[1], 16) >> (signal.SIGTERM - 1) & 1
        wait_until(waits_to_be_read, 20, "SIGTERM blocked")
        process.send_signal(signal.SIGTERM)
        _, said = process.communicate(timeout=200)
        self.assertEqual(process.returncode, 0, said)
        self.assertIn("stopped", said)
        self.assertNotIn("worker 0: core", said, "it went no further")

    def test_a_restart_removes_the_addresses_of_an_earlier_configuration_and_leaves_an_operators(self):
        app = self.lab.namespace("app")
        self.dataplane.start()
        run("ip", "-n", app, "addr", "add", "192.0.2.77/32", "dev", "pg-pu")
        self.dataplane.stop()
        self.lab.configure(("192.0.2.1", "192.0.2.9"), ("2001:db8::1", "2001:db8::9"))
        self.dataplane.start()
        addresses = run("ip", "-n", app, "-br", "addr", "show", "pg-pu")
        for there in ("192.0.2.9/32", "2001:db8::9/128", "10.0.1.1/24", "192.0.2.77/32"):
            self.assertIn(there, addresses)
        for gone in ("192.0.2.1/32", "2001:db8::1/128"):
            self.assertNotIn(gone, addresses)

    def test_routes_of_an_earlier_configuration_go_at_a_restart_and_at_sighup_and_an_operators_stay(self):
        app = self.lab.namespace("app")
        routes = lambda: run("ip", "-n", app, "route", "show", "dev", "pg-pu")
        with open(self.lab.config, encoding="utf-8") as file:
            without = file.read()

        def configured(*destinations):
            text = "".join(f'\n[[route]]\ndestination = "{d}"\ngateway = "10.0.1.2"\n' for d in destinations)
            with open(self.lab.config, "w", encoding="utf-8") as file:
                file.write(without + text)

        configured("203.0.113.0/24", "198.18.0.0/15")
        self.dataplane.start()
        for there in ("203.0.113.0/24", "198.18.0.0/15"):
            self.assertIn(there, routes())
        run("ip", "-n", app, "route", "add", "192.88.99.0/24", "via", "10.0.1.2", "dev", "pg-pu")
        self.dataplane.stop()
        configured("198.18.0.0/15", "203.0.112.0/24")
        self.dataplane.start()
        self.assertNotIn("203.0.113.0/24", routes())
        for there in ("203.0.112.0/24", "198.18.0.0/15", "192.88.99.0/24"):
            self.assertIn(there, routes())
        configured("203.0.113.0/24")
        self.dataplane.signal(signal.SIGHUP)
        self.dataplane.wait_for_log("read again, ")
        for gone in ("203.0.112.0/24", "198.18.0.0/15"):
            self.assertNotIn(gone, routes())
        for there in ("203.0.113.0/24", "192.88.99.0/24"):
            self.assertIn(there, routes())

    def test_sighup_reloads_services_and_keeps_all_when_the_file_is_wrong(self):
        self.dataplane.start()
        addresses = lambda: run("ip", "-n", self.lab.namespace("app"), "-br", "addr", "show", "pg-pu")
        self.assertIn("192.0.2.1/32", addresses())
        self.lab.configure(("192.0.2.1", "192.0.2.9"))
        self.dataplane.signal(signal.SIGHUP)
        self.dataplane.wait_for_log("read again, 3 service")
        self.assertIn("192.0.2.9/32", addresses())
        self.assertNotIn("192.0.2.1/32", addresses())
        self.lab.configure(('protocol = "udp"', 'protocol = "carrier pigeon"'))
        self.dataplane.signal(signal.SIGHUP)
        self.dataplane.wait_for_log("nothing was changed")
        self.dataplane.wait_for_log(r"poolgate.toml:\d+: .*carrier pigeon|poolgate.toml:\d+: .*protocol")
        self.assertIn("192.0.2.9/32", addresses())
        self.lab.run("pu", "ping", "-c1", "-W2", "10.0.1.1")

    def test_sighup_says_what_takes_a_restart(self):
        self.dataplane.start()
        self.lab.configure(("mbufs = 16383", "mbufs = 8191"), ('"10.0.1.1/24"', '"10.0.1.9/24"'))
        self.dataplane.signal(signal.SIGHUP)
        self.dataplane.wait_for_log(r"poolgate.toml: \[dataplane\], \[\[port\]\] changed: takes a restart")
        self.dataplane.wait_for_log("read again, 3 service")
        self.lab.run("pu", "ping", "-c1", "-W2", "10.0.1.1")

    def test_check_says_the_line_and_starts_nothing(self):
        self.assertIn("no errors", run(BINARY, "--config", self.lab.config, "--check"))
        self.lab.configure(("idle_sleep_us", "idle_slep_us"))
        said = self.lab.in_namespace("app", BINARY, "--config", self.lab.config, "--check")
        with self.assertRaisesRegex(AssertionError, r"exit status 1\n.*poolgate.toml:\d+: .*idle_slep_us"):
            run(*said)
        self.assertEqual(self.dataplane.tap("pg-pu"), "")

    def test_a_second_instance_is_refused_with_the_reason(self):
        self.dataplane.start()
        second = self.lab.in_namespace("app", BINARY, "--config", self.lab.config)
        with self.assertRaisesRegex(AssertionError, "exit status 1"):
            run(*second)
        self.lab.run("pu", "ping", "-c1", "-W2", "10.0.1.1")


if __name__ == "__main__":
    unittest.main()
