# SPDX-License-Identifier: BSD-3-Clause
"""The scenarios against the appliance: RSPLIB's programs register with it and are served by it."""
import unittest

from scenarios import Scenarios
from sides import PoolgateSide

TIMEOUT_SECONDS = 1500


class PoolgateTest(Scenarios, unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.side = cls.enterClassContext(PoolgateSide())


if __name__ == "__main__":
    unittest.main()
