# SPDX-License-Identifier: BSD-3-Clause
"""What scripts/bench does after the build: runs the programs of perf/ and writes the report."""
