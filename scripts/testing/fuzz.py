# SPDX-License-Identifier: BSD-3-Clause
"""Runs the libFuzzer targets for a while, two at a time, from the corpus that is kept in tests/fuzz/corpus."""
import glob
import os
import random
import tempfile
from concurrent.futures import ThreadPoolExecutor

from testing.run import run


def run_all(report, root, build, seconds, seed=None, jobs=2):
    """`seed`: the same inputs in the same order again, up to how far the time goes; None: others each time."""
    seed = seed or random.randrange(1, 2**31)
    targets = sorted(p for p in glob.glob(os.path.join(build, "tests", "fuzz", "fuzz_*")) if os.access(p, os.X_OK) and os.path.isfile(p))

    def fuzz(target):
        name = os.path.basename(target)[len("fuzz_"):]
        with tempfile.TemporaryDirectory(prefix="poolgate-fuzz-") as scratch:
            corpus = [d for d in [os.path.join(root, "tests", "fuzz", "corpus", name)] if os.path.isdir(d)]
            outcome = run([target, f"-seed={seed}", f"-max_total_time={seconds}", "-timeout=10", "-rss_limit_mb=2048", "-print_final_stats=1",
                           f"-artifact_prefix={scratch}/", scratch] + corpus, seconds + 120, cwd=scratch)
        report.add("fuzz", name, outcome.status == 0, f"{outcome.how}; again with -seed={seed}\n{outcome.output[-6000:]}", outcome.seconds)

    with ThreadPoolExecutor(jobs) as pool:
        list(pool.map(fuzz, targets))
    if not targets:
        report.add("fuzz", "(no target)", False, f"nothing in {build}/tests/fuzz")
