# SPDX-License-Identifier: BSD-3-Clause
"""The scenarios of a scope with RSPLIB's own registrar in our place: what proves them. No code of ours runs in it."""
import unittest

from scope_scenarios import ScopeScenarios
from sides import RsplibSide

TIMEOUT_SECONDS = 1500


class RsplibScopeTest(ScopeScenarios, unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.side = cls.enterClassContext(RsplibSide())


if __name__ == "__main__":
    unittest.main()
