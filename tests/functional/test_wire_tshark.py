# SPDX-License-Identifier: BSD-3-Clause
"""tshark, which shares no line with us, reads every message that our codec writes."""
import os
import subprocess
import tempfile
import unittest

from lib.lab import TOOLS, run

FIELDS = {11: "asap.message_type", 12: "enrp.message_type"}


def samples():
    """(name, ppid, bytes) of each message."""
    lines = run(os.path.join(TOOLS, "poolgate-wire-samples")).splitlines()
    return [(name, int(ppid), bytes.fromhex(data)) for name, ppid, data in (line.split() for line in lines)]


def capture(directory, ppid, messages):
    """A pcap of the messages, each a DATA chunk of its own."""
    path = os.path.join(directory, f"{ppid}.pcap")
    dump = "".join("".join(f"{at:06x} {m[at:at + 16].hex(' ')}\n" for at in range(0, len(m), 16)) + "\n" for m in messages)
    port = "3863" if ppid == 11 else "9901"
    subprocess.run(["text2pcap", "-q", "-S", f"{port},{port},{ppid}", "-", path], input=dump, text=True, check=True,
                   stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, timeout=60)
    return path


def tshark(path, *fields):
    columns = [option for field in fields for option in ("-e", field)]
    out = run("tshark", "-n", "-r", path, "-T", "fields", "-E", "separator=;", *columns)
    return [line.split(";") for line in out.splitlines()]


class Tshark(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.samples = samples()

    def judge(self, ppid):
        with tempfile.TemporaryDirectory(prefix="poolgate-wire-") as directory:
            ours = [(name, data) for name, p, data in self.samples if p == ppid]
            path = capture(directory, ppid, [data for _, data in ours])
            rows = tshark(path, FIELDS[ppid], "_ws.malformed", "_ws.expert.message")
            self.assertEqual(len(rows), len(ours))
            for (name, data), (kind, malformed, expert) in zip(ours, rows):
                with self.subTest(name, data=data.hex()):
                    self.assertEqual(int(kind, 0), data[0])
                    self.assertEqual((malformed, expert), ("", ""))

    def test_asap_messages_are_well_formed(self):
        self.judge(11)

    def test_enrp_messages_are_well_formed(self):
        self.judge(12)

    def test_it_would_notice_a_wrong_length(self):
        with tempfile.TemporaryDirectory(prefix="poolgate-wire-") as directory:
            data = next(data for name, _, data in self.samples if name == "ASAP_HANDLE_RESOLUTION")
            longer = data[:6] + b"\xff\xff" + data[8:]
            rows = tshark(capture(directory, 11, [longer]), "_ws.malformed", "_ws.expert.message")
            self.assertNotEqual(rows, [["", ""]])


if __name__ == "__main__":
    unittest.main()
