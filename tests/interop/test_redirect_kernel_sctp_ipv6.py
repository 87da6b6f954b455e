# SPDX-License-Identifier: BSD-3-Clause
"""All that test_redirect_kernel_sctp.py asks, over IPv6, with two workers that receive, and of servers that tunnels reach by either family."""
import unittest

import test_redirect_kernel_sctp as ipv4
from redirect_lab import RedirectLab

TIMEOUT_SECONDS = 1800


class RedirectKernelSctpIPv6(ipv4.RedirectKernelSctp):
    @classmethod
    def make_lab(cls):
        return RedirectLab(family=6, workers=2)


if __name__ == "__main__":
    unittest.main()
