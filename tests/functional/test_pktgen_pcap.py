# SPDX-License-Identifier: BSD-3-Clause
"""What perf/pktgen/make_pcap writes, as tshark reads it: every checksum right, as many packets as asked for, of as many flows."""
import os
import subprocess
import tempfile
import unittest

from lib.lab import ROOT, run

MAKE = os.path.join(ROOT, "perf", "pktgen", "make_pcap")
GOOD = "1"
FLOWS = 4096


def make(path, *options):
    run(MAKE, *options, path, timeout=300)
    return path


def tshark(path, *fields):
    columns = [option for field in fields for option in ("-e", field)]
    out = run("tshark", "-n", "-r", path, "-o", "sctp.checksum:CRC 32c", "-o", "ip.check_checksum:TRUE",
              "-o", "tcp.check_checksum:TRUE", "-o", "udp.check_checksum:TRUE", "-T", "fields", "-E", "separator=;",
              *columns, timeout=300)
    return [line.split(";") for line in out.splitlines()]


class PktgenPcap(unittest.TestCase):
    def setUp(self):
        folder = tempfile.TemporaryDirectory(prefix="poolgate-pcap-")
        self.addCleanup(folder.cleanup)
        self.folder = folder.name

    def file(self, *options):
        return make(os.path.join(self.folder, "made.pcap"), "--flows", str(FLOWS), *options)

    def test_each_sctp_association_opens_by_init_and_cookie_echo_with_right_crc32c(self):
        for vip, family in (("192.0.2.1", "ip"), ("2001:db8::1", "ipv6")):
            with self.subTest(vip):
                rows = tshark(self.file("--part", "open", "--vip", vip), "sctp.checksum.status", f"{family}.src", "sctp.srcport",
                              "sctp.verification_tag", "sctp.chunk_type", "sctp.init_initiate_tag", f"{family}.dst",
                              "sctp.dstport")
                self.assertEqual(len(rows), 2 * FLOWS)
                for init, echo in zip(rows[::2], rows[1::2]):
                    self.assertEqual((init[0], init[3], init[4], init[6:]), (GOOD, "0x00000000", "1", [vip, "3868"]))
                    self.assertEqual((echo[0], echo[4], echo[1:3]), (GOOD, "10", init[1:3]))
                    self.assertNotEqual(init[5], "0x00000000")
                self.assertEqual(len({tuple(row[1:3]) for row in rows}), FLOWS)

    def test_the_load_is_data_of_the_same_associations_in_another_order(self):
        opened = tshark(self.file("--part", "open"), "ip.src", "sctp.srcport", "sctp.verification_tag", "sctp.chunk_type")
        rows = tshark(self.file("--part", "load"), "ip.src", "sctp.srcport", "sctp.verification_tag", "sctp.chunk_type",
                      "sctp.checksum.status", "ip.checksum.status")
        self.assertEqual({tuple(row[3:]) for row in rows}, {("0", GOOD, GOOD)})
        told = [row[:3] for row in opened if row[3] == "10"]
        self.assertEqual(sorted(row[:3] for row in rows), sorted(told))
        self.assertNotEqual([row[:3] for row in rows], told)
        self.assertEqual(len({row[2] for row in rows}), FLOWS, "verification tags are not each association's own")

    def test_tcp_and_udp_of_both_families_have_right_checksums(self):
        for protocol, parts in (("tcp", {"open": 2, "load": 1}), ("udp", {"load": 1})):
            for vip, family in (("192.0.2.1", "ip"), ("2001:db8::1", "ipv6")):
                for part, each in parts.items():
                    with self.subTest(f"{protocol} {vip} {part}"):
                        rows = tshark(self.file("--protocol", protocol, "--vip", vip, "--part", part), f"{protocol}.checksum.status",
                                      f"{family}.src", f"{protocol}.srcport")
                        self.assertEqual(len(rows), each * FLOWS)
                        self.assertEqual({row[0] for row in rows}, {GOOD})
                        self.assertEqual(len({tuple(row[1:]) for row in rows}), FLOWS)

    def test_a_size_is_that_of_the_frames_and_their_checksums_stay_right(self):
        for protocol in ("sctp", "tcp", "udp"):
            with self.subTest(protocol):
                rows = tshark(self.file("--protocol", protocol, "--size", "1514"), "frame.len", f"{protocol}.checksum.status")
                self.assertEqual({tuple(row) for row in rows}, {("1514", GOOD)})

    def test_beyond_the_addresses_further_ports_make_further_flows(self):
        path = make(os.path.join(self.folder, "many.pcap"), "--flows", "140000")
        rows = tshark(path, "ip.src", "sctp.srcport", "sctp.checksum.status")
        self.assertEqual(len(rows), 140000)
        self.assertEqual(len({tuple(row[:2]) for row in rows}), 140000)
        self.assertEqual({row[2] for row in rows}, {GOOD})

    def test_what_cannot_be_made_is_refused_with_the_option_that_asks_for_it(self):
        for options, said in ((["--flows", "0"], "--flows"), (["--size", "9000"], "--size"), (["--port", "0"], "--port"),
                              (["--vip", "2001:db8::1", "--clients", "10.0.0.1"], "--clients")):
            done = subprocess.run([MAKE, *options, os.path.join(self.folder, "none.pcap")], capture_output=True, text=True,
                                  timeout=60)
            self.assertEqual(done.returncode, 2)
            self.assertIn(said, done.stderr)


if __name__ == "__main__":
    unittest.main()
