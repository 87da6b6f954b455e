# SPDX-License-Identifier: BSD-3-Clause
"""The registrar on a disk that fills up, is damaged, or was copied from another machine: it starts, says what it lost, goes on."""
import os
import signal
import subprocess
import sys
import unittest

from appliance import PES, POOLS, Appliance, run, wait_until

TIMEOUT_SECONDS = 300
ALL = len(PES) * len(POOLS)


class Disk(unittest.TestCase):
    def setUp(self):
        self.lab = self.enterContext(Appliance("pgchf-"))
        self.journal = f"{self.lab.dir}/state/journal"

    def restart(self, change):
        """Kills the registrar, has `change` done to its folder, starts it again."""
        before = len(self.lab.log("registrar"))
        self.lab.signal("registrar", signal.SIGKILL)
        self.lab.kill("registrar")
        change()
        self.lab.start()
        self.lab.wait_for_registrar()
        return self.lab.log("registrar")[before:]

    def test_a_full_disk_is_said_and_ends_with_room(self):
        lab, state = self.lab, f"{self.lab.dir}/state"
        kept = f"{lab.dir}/kept"

        def small_disk():
            os.rename(state, kept)
            os.mkdir(state)
            run("mount", "-t", "tmpfs", "-o", "size=64k", "poolgate-chaos", state)
            self.addCleanup(run, "umount", "-l", state, check=False)
            with open(f"{kept}/journal", "rb") as old, open(f"{state}/journal", "wb") as new:
                new.write(old.read())
            with open(f"{state}/filler", "wb", buffering=0) as filler:
                try:
                    while filler.write(b"x" * 4096) == 4096:
                        pass
                except OSError:
                    pass  # full

        self.restart(small_disk)
        # Deaths and returns of a PE, until the last free bytes of the journal's page are gone.
        def fill():
            lab.kill("agent-1-udp", "TERM")
            wait_until(lambda: lab.registrar()["registrar"]["elements"] == ALL - 1, 20, "its end")
            lab.add_server_agent(1, "udp")
            wait_until(lambda: lab.registrar()["registrar"]["elements"] == ALL, 20, "its return")
            return lab.registrar()["registrar"]["journal"] != "ok"
        wait_until(fill, 120, "a full disk")
        self.assertIn("No space left on device", lab.registrar()["registrar"]["journal"])
        self.assertIn("going on without; a restart now would forget registrations", lab.log("registrar"))
        lab.wait_for_pes(ALL)  # all are served nevertheless
        os.unlink(f"{state}/filler")
        wait_until(lambda: lab.registrar()["registrar"]["journal"] == "ok", 30, "the journal at work again")
        self.assertIn("the disk takes it again: all registrations are kept", lab.log("registrar"))
        said = self.restart(lambda: None)
        self.assertIn(f"{ALL} PEs from the journal", said)

    def test_a_copied_folder_gets_a_new_server_id_and_says_so(self):
        lab = self.lab
        server = lab.registrar()["registrar"]["server_id"]
        with open("/etc/machine-id", encoding="ascii") as f:
            machine = f.read().strip()

        def copied():
            # As the record of its writer's machine: the same bytes with another id, and their checksums right.
            subprocess.run([sys.executable, "-c", COPY, self.journal, machine, "0" * len(machine)], check=True)
        said = self.restart(copied)
        self.assertIn("from another machine: this registrar takes a new server id", said)
        self.assertNotEqual(lab.registrar()["registrar"]["server_id"], server)

    def test_damage_in_the_middle_costs_what_is_behind_it_and_is_said(self):
        lab = self.lab
        server = lab.registrar()["registrar"]["server_id"]

        def damage():
            with open(self.journal, "r+b") as f:
                f.seek(os.path.getsize(self.journal) * 3 // 4)
                byte = f.read(1)
                f.seek(-1, os.SEEK_CUR)
                f.write(bytes([byte[0] ^ 0x10]))
        said = self.restart(damage)
        self.assertRegex(said, r"\d+ bytes after record \d+ were cut short or damaged, and are dropped")
        self.assertEqual(lab.registrar()["registrar"]["server_id"], server)


COPY = r"""
import struct, sys
path, old, new = sys.argv[1], sys.argv[2].encode(), sys.argv[3].encode()
table = []
for i in range(256):
    c = i
    for _ in range(8):
        c = c >> 1 ^ (0x82f63b78 if c & 1 else 0)
    table.append(c)
def crc32c(data):
    c = 0xffffffff
    for b in data:
        c = table[(c ^ b) & 255] ^ c >> 8
    return c ^ 0xffffffff
data = open(path, "rb").read()
out, at = data[:8], 8
while at < len(data):
    length, = struct.unpack_from("<I", data, at)
    body = data[at + 8:at + 8 + length].replace(old, new)
    out += data[at:at + 4] + struct.pack("<I", crc32c(data[at:at + 4] + body)) + body
    at += 8 + length
open(path, "wb").write(out)
"""


if __name__ == "__main__":
    unittest.main()
