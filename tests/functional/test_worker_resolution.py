# SPDX-License-Identifier: BSD-3-Clause
"""Resolutions that the data plane answers in the registrar's place: the real processes, the registrar stopped."""
import json
import os
import signal
import subprocess
import unittest

from lib.lab import AGENT, Lab, wait_until


class WorkerResolutionTest(unittest.TestCase):
    def setUp(self):
        self.lab = Lab("pgres-")
        self.lab.__enter__()
        self.addCleanup(self.lab.script, "down")
        with open(self.lab.config, "a", encoding="utf-8") as f:
            f.write('\n[[pool]]\nhandle = "Near"\nanswer_on_worker = true\n')
        self.lab.start()
        for number, pool in ((1, "Near"), (2, "Near"), (3, "Far")):
            self.lab.spawn(f"pe{number}", f"agent-pe{number}", AGENT, "register", "--registrar", "10.0.2.1:3863", "--pool", pool,
                           "--transport", "udp", "--port", "5000", "--id", f"0x{number}", "--sctp", "raw")
        for pool, ids in (("Near", [1, 2]), ("Far", [3])):
            wait_until(lambda p=pool, n=ids: self.ids(p) == n, 60, f"the PEs {ids} of {pool}")

    def resolve(self, pool, seconds=30):
        """The pool's PEs by id; none if the agent says that it got none, or does not end in time."""
        command = self.lab.in_namespace("pu", AGENT, "resolve", pool, "--registrar", "10.0.1.1:3863", "--sctp", "raw", "--json")
        try:
            done = subprocess.run(command, capture_output=True, text=True, timeout=seconds, stdin=subprocess.DEVNULL)
        except subprocess.TimeoutExpired:
            return []
        return sorted(json.loads(done.stdout)["elements"], key=lambda e: int(e["id"], 16)) if done.returncode == 0 else []

    def ids(self, pool, seconds=30):
        return [int(e["id"], 16) for e in self.resolve(pool, seconds)]

    def counts(self):
        return json.loads(self.lab.cli("show", "worker", "all", "json"))["resolutions"][0]

    def registrar(self, number):
        with open(f"{self.lab.dir}/pid/registrar", encoding="utf-8") as f:
            os.kill(int(f.read()), number)

    def test_a_pool_is_resolved_while_the_registrar_is_stopped(self):
        # The data plane has the table a moment after the registrar.
        wait_until(lambda: self.resolve("Near") and self.counts()["answered"], 30, "an answer of the worker")
        before, listed = self.counts(), self.resolve("Near")
        self.assertEqual([int(e["id"], 16) for e in listed], [1, 2])
        self.registrar(signal.SIGSTOP)
        try:
            for _ in range(3):
                self.assertEqual(self.resolve("Near"), listed)
            self.assertEqual(self.counts()["answered"], before["answered"] + 4)
            self.assertEqual(self.ids("Far", seconds=5), [], "the registrar does not answer")
            self.assertGreater(self.counts()["passed_on:other_pool"], before["passed_on:other_pool"])
        finally:
            self.registrar(signal.SIGCONT)
        wait_until(lambda: self.ids("Far") == [3], 60, "the registrar's answers")


if __name__ == "__main__":
    unittest.main()
