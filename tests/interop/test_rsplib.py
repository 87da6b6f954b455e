# SPDX-License-Identifier: BSD-3-Clause
"""The scenarios with RSPLIB's own registrar in our place: what proves the scenarios."""
import unittest

from scenarios import Scenarios
from sides import RsplibSide

TIMEOUT_SECONDS = 1500


class RsplibTest(Scenarios, unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.side = cls.enterClassContext(RsplibSide())


if __name__ == "__main__":
    unittest.main()
