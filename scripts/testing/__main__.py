# SPDX-License-Identifier: BSD-3-Clause
"""The stages of scripts/test; see there."""
import argparse
import os
import sys
from concurrent.futures import ThreadPoolExecutor

from testing import fuzz, gtest, lint, python_tests
from testing.report import Report
from testing.run import GENTLY, run

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))


def build(report, kind, prefix=()):
    """Builds what the tests of one variant need, and returns its folder; a build that fails is a failed test, and None."""
    targets = {"asan": ["unit"], "tsan": ["unit"], "fuzz": ["fuzzers"]}.get(kind, [])
    outcome = run([*prefix, os.path.join(ROOT, "scripts", "build"), kind] + targets, 3600, cwd=ROOT)
    report.add("build", kind, outcome.status == 0, f"{outcome.how}\n{outcome.output[-8000:]}", outcome.seconds)
    return os.path.join(ROOT, "build" if kind == "normal" else f"build-{kind}") if outcome.status == 0 else None


def unit(report, kind="normal"):
    with report.stage("unit tests" if kind == "normal" else f"unit tests, {kind}"):
        folder = build(report, kind)
        if folder:
            if kind == "normal":
                gtest.run_all(report, folder, "unit", "unit")
            else:  # unoptimised and watched: tens of times slower
                gtest.run_all(report, folder, "unit", f"unit-{kind}", patience=4)


def functional(report, names):
    with report.stage("functional tests"):
        folder = build(report, "normal")
        if folder:
            os.environ["POOLGATE_BUILD"] = folder
            if not names:
                gtest.run_all(report, folder, "functional", "functional", jobs=1)
            python_tests.run_all(report, ROOT, "tests/functional", "functional", 600, names)


def chaos(report, names, soak=0):
    with report.stage("soak" if soak else "chaos"):
        folder = build(report, "normal")
        if folder:
            os.environ["POOLGATE_BUILD"] = folder
            if soak:
                os.environ["POOLGATE_SOAK"] = str(soak)
            python_tests.run_all(report, ROOT, "tests/chaos", "soak" if soak else "chaos", 900, names)
            if soak and (not names or "churn" in names):
                python_tests.run_all(report, ROOT, "tests/interop", "soak", 1800, ["churn"])


def interop(report, names):
    with report.stage("interop tests"):
        folder = build(report, "normal")
        if folder:
            os.environ["POOLGATE_BUILD"] = folder
            python_tests.run_all(report, ROOT, "tests/interop", "interop", 1800, names)


def lint_stage(report):
    with report.stage("lint"):
        folder = build(report, "normal")
        if folder:
            lint.run_all(report, ROOT, folder)


def with_compute_beside(report, stages):
    """Guests, time-outs and dataplanes that are let rest leave most of the machine idle: what only computes, and takes minutes,
    has that."""
    beside = Report(report.started)

    def compute():
        for kind in ("asan", "tsan", "fuzz"):
            with beside.stage(f"build, {kind}, beside"):
                build(beside, kind, GENTLY)
        with beside.stage("lint, beside"):
            lint.run_all(beside, ROOT, os.path.join(ROOT, "build"), GENTLY)

    with ThreadPoolExecutor(1) as pool:
        computed = pool.submit(compute)
        for stage in stages:
            stage()
        computed.result()
    report.results += beside.results


def fuzz_stage(report, seconds, seed):
    with report.stage(f"fuzz, {seconds} s a target"):
        folder = build(report, "fuzz")
        if folder:
            fuzz.run_all(report, ROOT, folder, seconds, seed)


def main():
    options = argparse.ArgumentParser(prog="scripts/test")
    options.add_argument("what", nargs="?", default="all",
                         choices=["unit", "functional", "chaos", "soak", "interop", "lint", "asan", "tsan", "fuzz", "all"])
    options.add_argument("names", nargs="*", help="only files whose name holds one of these (functional, chaos, soak, interop)")
    options.add_argument("--fuzz-seconds", type=int, default=60)
    options.add_argument("--fuzz-seed", type=int, help="of a failure, to see it again; none: another one each time, but 1 in all")
    options.add_argument("--soak-seconds", type=int, default=3600, help="of churn, in soak: up to 5000")
    chosen = options.parse_args()
    report = Report()
    stages = {
        "unit": lambda: unit(report),
        "functional": lambda: functional(report, chosen.names),
        "chaos": lambda: chaos(report, chosen.names),
        "soak": lambda: chaos(report, chosen.names, soak=chosen.soak_seconds),
        "interop": lambda: interop(report, chosen.names),
        "lint": lambda: lint_stage(report),
        "asan": lambda: unit(report, "asan"),
        "tsan": lambda: unit(report, "tsan"),
        # In `all`, which judges a change, always the same inputs: what they find, the change did. Alone, it searches.
        "fuzz": lambda: fuzz_stage(report, chosen.fuzz_seconds, chosen.fuzz_seed or (1 if chosen.what == "all" else None)),
    }
    if chosen.what == "all":
        stages["unit"]()
        with_compute_beside(report, [stages[name] for name in ("functional", "chaos", "interop")])
        for name in ("asan", "tsan", "fuzz"):
            stages[name]()
    else:
        stages[chosen.what]()
    os.makedirs(os.path.join(ROOT, "build"), exist_ok=True)
    return report.finish(os.path.join(ROOT, "build", "junit.xml"))


if __name__ == "__main__":
    sys.exit(main())
