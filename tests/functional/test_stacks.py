# SPDX-License-Identifier: BSD-3-Clause
"""Two SCTP stacks behind the same addresses, each on a worker of its own: peers are spread, and stay where they are known."""
import collections
import json
import os
import signal
import subprocess
import unittest

from lib.lab import AGENT, Lab, wait_until

PES = 12


class StacksTest(unittest.TestCase):
    def setUp(self):
        self.lab = Lab("pgstk-")
        self.lab.__enter__()
        self.addCleanup(self.lab.script, "down")
        self.lab.use_workers(1, 0, 1)
        with open(self.lab.config, "a", encoding="utf-8") as f:
            f.write('\n[sctp]\nstacks = 2\n[[pool]]\nhandle = "Crowd"\nanswer_on_worker = true\n')
        self.lab.start()
        for n in range(1, PES + 1):
            self.lab.spawn(f"pe{1 + n % 3}", f"agent-{n}", AGENT, "register", "--registrar", "10.0.2.1:3863", "--pool", "Crowd",
                           "--transport", "udp", "--port", str(6000 + n), "--id", hex(n), "--sctp", "raw")
        wait_until(lambda: self.up() == PES, 60, f"{PES} PEs")

    def show(self, *words):
        return json.loads(self.lab.cli("show", *words, "json"))

    def up(self):
        try:
            return sum(pool["up"] for pool in self.show("pool", "all")["pools"])
        except (AssertionError, ValueError):
            return -1  # nobody answers

    def by_stack(self):
        found = collections.defaultdict(set)
        for a in self.show("assoc", "all")["associations"]:
            found[a["stack"]].add((a["id"], a["local_tag"]))
        return dict(found)

    def signal(self, name, number):
        with open(f"{self.lab.dir}/pid/{name}", encoding="ascii") as f:
            os.kill(int(f.read()), number)

    def resolved(self):
        command = self.lab.in_namespace("pu", AGENT, "resolve", "Crowd", "--registrar", "10.0.1.1:3863", "--sctp", "raw", "--json")
        done = subprocess.run(command, capture_output=True, text=True, timeout=300, stdin=subprocess.DEVNULL)
        return {int(e["id"], 16) for e in json.loads(done.stdout)["elements"]} if done.returncode == 0 else set()

    def test_both_stacks_carry_registrations_resolutions_and_keep_alives(self):
        stacks = self.by_stack()
        self.assertEqual(set(stacks), {0, 1}, stacks)
        self.assertEqual(sum(map(len, stacks.values())), PES)
        for index, associations in stacks.items():
            for _, tag in associations:
                self.assertEqual(int(tag, 16) >> 28, index)
        workers = [w["worker"] for w in self.show("config", "fwd")["forwarding"] if w["endpoint"]]
        self.assertEqual(workers, [1, 2])

        # Each resolution is an association of its own: by its port, one stack's or the other's.
        def both_answered():
            self.resolved()
            return all(row["answered"] > 0 for row in self.show("worker", "all")["resolutions"])
        wait_until(both_answered, 60, "answers of both stacks")

        # Keep-alives are answered: nobody was found dead meanwhile, and no association was set up twice.
        self.assertEqual(self.up(), PES)
        self.assertEqual({i: a & self.by_stack()[i] for i, a in stacks.items()}, stacks)

    def test_a_registrar_that_comes_back_finds_the_associations_of_both(self):
        stacks = self.by_stack()
        self.signal("registrar", signal.SIGKILL)
        self.lab.start()
        wait_until(lambda: self.show("registrar")["registrar"]["tables_in_step"], 60, "the registrar")
        self.assertEqual(self.by_stack(), stacks)
        self.assertEqual(self.up(), PES)
        # It goes on speaking to PEs of both: one that leaves in order is out of the pool.
        for n in (1, 2, 3, 4):
            self.lab.kill(f"agent-{n}", "TERM")
        wait_until(lambda: self.up() == PES - 4, 60, "four PEs to leave")

    def test_a_data_plane_that_dies_tells_the_peers_of_both_and_they_come_back(self):
        before = {tag for associations in self.by_stack().values() for _, tag in associations}
        self.signal("dataplane", signal.SIGKILL)
        self.lab.start()
        wait_until(lambda: self.up() == PES, 60, "the pool")

        def all_anew():
            tags = {tag for associations in self.by_stack().values() for _, tag in associations}
            return len(tags) == PES and not tags & before
        wait_until(all_anew, 60, "all peers' new associations")
        self.assertEqual(self.up(), PES)


if __name__ == "__main__":
    unittest.main()
