# SPDX-License-Identifier: BSD-3-Clause
"""poolgate-cli's capture, while traffic flows: tshark reads the file, and finds what went in and out of the port."""
import json
import os
import stat
import subprocess
import unittest

from lib.lab import AGENT, BUILD, TOOLS, Lab, run, wait_until

CLI = os.path.join(BUILD, "dataplane", "cli", "poolgate-cli")
IN, OUT = "0x00000001", "0x00000002"  # epb_flags: inbound, outbound


class CaptureTest(unittest.TestCase):
    def setUp(self):
        self.lab = Lab("pgcp-")
        self.lab.__enter__()
        self.addCleanup(self.lab.script, "down")
        self.lab.start()
        # nat: what the client is answered leaves by the port that its request came in by.
        self.lab.spawn("pe1", "echo", os.path.join(TOOLS, "poolgate-lab-echo"), "--name", "pe1", "--transport", "tcp", "--port", "5000",
                       "--address", "10.0.2.11")
        self.lab.spawn("pe1", "agent", AGENT, "register", "--registrar", "10.0.2.1:3863", "--pool", "EchoTcp", "--transport", "tcp",
                       "--port", "5000", "--address", "10.0.2.11", "--id", "0x1", "--sctp", "raw", "--lifetime", "60s")
        wait_until(lambda: "EchoTcp" in self.lab.cli("show", "pool", "all"), 30, "the server to be in the data plane's pool")

    def path(self, name):
        return os.path.join(self.lab.dir, name)

    def traffic(self, count=20):
        report = json.loads(self.lab.run("pu", os.path.join(TOOLS, "poolgate-lab-client"), "--transport", "tcp", "--to",
                                         "192.0.2.1:5000", "--count", str(count), "--rate", "200", "--json"))
        self.assertEqual(report["failed"], 0, report)

    def captures(self):
        return {row["port"]: row for row in json.loads(self.lab.cli("show", "capture", "json"))["captures"]}

    def ended(self, port):
        return wait_until(lambda: (row := self.captures()[port])["state"] != "running" and row, 30, f"the capture of {port} to end")

    def frames(self, name, expression="frame"):
        """(direction, source, destination) of each frame in the file; tshark says what it does not understand of it."""
        done = subprocess.run(["tshark", "-n", "-r", self.path(name), "-Y", expression, "-T", "fields", "-e", "frame.packet_flags", "-e",
                               "ip.src", "-e", "ip.dst", "-e", "_ws.malformed"], capture_output=True, text=True, timeout=60)
        self.assertEqual(done.returncode, 0, done.stderr)
        rows = [tuple(line.split("\t")) for line in done.stdout.splitlines()]
        self.assertEqual([row for row in rows if row[3]], [])
        return [row[:3] for row in rows]

    def error(self, *words):
        done = subprocess.run([CLI, "--config", self.lab.config, "capture", *words], capture_output=True, text=True, timeout=60)
        self.assertNotEqual(done.returncode, 0, done.stdout)
        return done.stderr

    def test_frames_of_both_directions_are_in_the_file(self):
        self.lab.cli("capture", "pu", self.path("pu.pcapng"), "1000")
        self.lab.cli("capture", "pe", self.path("pe.pcapng"), "1000")  # two ports at a time
        self.traffic()
        for port in ("pu", "pe"):
            self.assertIn("stopped", self.lab.cli("capture", port, "stop"))
        client = self.frames("pu.pcapng", "tcp.port == 5000")
        self.assertGreaterEqual(client.count((IN, "10.0.1.2", "192.0.2.1")), 20, client)
        self.assertGreaterEqual(client.count((OUT, "192.0.2.1", "10.0.1.2")), 20, client)
        self.assertEqual(len(set(client)), 2, set(client))
        server = self.frames("pe.pcapng", "tcp.port == 5000")
        self.assertEqual(set(server), {(OUT, "10.0.2.201", "10.0.2.11"), (IN, "10.0.2.11", "10.0.2.201")})
        self.assertEqual(len(server), len(client))
        row = self.captures()["pu"]
        self.assertEqual((row["state"], row["dropped"]), ("stopped", 0), row)
        self.assertEqual(row["bytes"], os.path.getsize(self.path("pu.pcapng")))
        self.assertEqual(stat.S_IMODE(os.stat(self.path("pu.pcapng")).st_mode), 0o600)

    def test_it_ends_with_its_count_and_the_next_one_may_begin(self):
        for name in ("one.pcapng", "two.pcapng"):
            self.lab.cli("capture", "pu", self.path(name), "6")
            self.traffic()
            row = self.ended("pu")
            self.assertEqual((row["state"], row["frames"], row["file"]), ("complete", 6, self.path(name)))
            self.assertEqual(len(self.frames(name)), 6)

    def test_what_is_wrong_is_named(self):
        there = self.path("there.pcapng")
        self.assertIn("no port \"p9\"; there are: pu, pe, pe2", self.error("p9", self.path("a"), "1"))
        self.assertIn("a capture is of one port", self.error("all", self.path("a"), "1"))
        self.assertIn("a capture has 1 to 1000000 frames", self.error("pu", self.path("a"), "0"))
        self.assertIn("\"lots\" is not a count of frames", self.error("pu", self.path("a"), "lots"))
        self.assertIn("its path begins with /", self.error("pu", "a", "1"))
        self.assertIn("/nonexistent/a: No such file or directory", self.error("pu", "/nonexistent/a", "1"))
        self.assertIn("port pu: no capture is running", self.error("pu", "stop"))
        self.lab.cli("capture", "pu", there, "1000")
        self.assertIn(f"{there}: File exists", self.error("pe", there, "1"))
        self.assertIn(f"port pu: a capture into {there} is running (capture pu stop ends it)", self.error("pu", self.path("b"), "1"))
        self.traffic(5)
        self.lab.cli("capture", "pu", "stop")
        self.assertGreater(len(self.frames("there.pcapng")), 0)
        self.assertFalse(os.path.exists(self.path("a")))

    def test_an_appliance_that_is_stopped_ends_it_and_the_file_is_whole(self):
        self.lab.cli("capture", "pu", self.path("last.pcapng"), "1000")
        self.traffic()
        self.lab.stop()
        self.assertIn(" info: stopped", self.lab.log("dataplane"))
        self.assertGreater(len(self.frames("last.pcapng")), 40)
        # The Interface Statistics Block is the last thing that is written.
        self.assertIn("Number of packets", run("capinfos", self.path("last.pcapng")))


if __name__ == "__main__":
    unittest.main()
