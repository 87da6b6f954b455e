# SPDX-License-Identifier: BSD-3-Clause
"""Stand-alone SCTP on a real kernel's: the tests that this machine runs on usrsctp, and the agent that finds it by itself."""
import os
import re
import unittest

from lib.lab import AGENT, TOOLS
from linux_guest import Guest

TIMEOUT_SECONDS = 400


class KernelSctpTest(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.guest = cls.enterClassContext(Guest(modules=("sctp",)))

    def test_the_socket_tests_pass_on_the_kernels_stack(self):
        output = self.guest.run(os.path.join(TOOLS, "poolgate-kernel-sctp-test") + " --gtest_color=no", 240)
        print(output, flush=True)
        self.assertNotIn("[  FAILED  ]", output)
        passed = re.search(r"^\[  PASSED  \] (\d+) tests\.", output, re.MULTILINE)
        self.assertGreaterEqual(int(passed[1]), 17)

    def test_the_agent_takes_the_kernels_sctp_unasked(self):
        self.guest.run("ip addr add 10.77.0.1/32 dev lo 2>/dev/null || true")
        pid = self.guest.spawn(f"{AGENT} register --registrar 10.77.0.1 --pool P --transport tcp --port 80", "agent.log")
        self.guest.run("for i in $(seq 100); do grep -q 'kernel SCTP' /share/agent.log && exit 0; sleep 0.2; done; cat /share/agent.log; exit 1")
        self.guest.run(f"kill {pid}")


if __name__ == "__main__":
    unittest.main()
