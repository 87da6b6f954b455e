# SPDX-License-Identifier: BSD-3-Clause
"""The scenarios of a scope against the appliance: RSPLIB's registrars are its peers."""
import unittest

import wire
from scenario import REGISTRAR
from scope_scenarios import ScopeScenarios
from sides import PoolgateSide

TIMEOUT_SECONDS = 1500


class PoolgateScopeTest(ScopeScenarios, unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.side = cls.enterClassContext(PoolgateSide())

    def test_hsdump_shows_what_our_own_dump_shows(self):
        self.side.restart()
        for number, policy in enumerate(("RoundRobin", "WeightedRoundRobin:3", "LeastUsed")):
            self.serve("h1", 0x2d000000 + number, 7001 + number, policy=policy, pool=f"{self.pool[:20]}{number}")
        self.elements(600000, 42000, REGISTRAR, *[(0x2d100000 + n, self.pool) for n in range(60)])
        self.side.says("elements.out", lambda printed: printed.count("registered") == 60)
        for number in range(3):
            self.registered(0x2d000000 + number, pool=f"{self.pool[:20]}{number}")
        dump = self.side.dump()
        self.assertEqual((len(dump), set(dump.values())), (63, {1}))
        self.assertEqual(self.table(REGISTRAR), dump)

    def test_a_lone_survivor_takes_over(self):
        """RSPLIB waits for acknowledgements, and alone never takes over."""
        self.side.restart()
        dead = self.peer(2)
        self.joined()
        pes = self.pes_of_r2(0x1a000000)
        self.side.guest.run(f"kill -STOP {dead}")
        for pe in pes:
            self.side.wait_for(f"its registration here, {pe:#x}", lambda seen, pe=pe: [
                m for m in self.of(seen, wire.REGISTRATION_RESPONSE, pe) if m.source in (REGISTRAR, "10.11.0.1")])
        self.resolves_to(*pes, home=1)


if __name__ == "__main__":
    unittest.main()
