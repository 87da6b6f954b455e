# SPDX-License-Identifier: BSD-3-Clause
"""Checks of the text: format, clang-tidy, include rules, rules of the house. Each counts as one test."""
import json
import os
import time
from concurrent.futures import ThreadPoolExecutor

from testing.run import run

PARTS = ("controlplane", "dataplane", "drivers", "tests", "perf")
# clang-tidy takes seconds a file; tests/ has a narrower .clang-tidy of its own.
TIDIED = PARTS


def sources(root):
    for part in PARTS:
        for folder, _, files in os.walk(os.path.join(root, part)):
            yield from (os.path.join(folder, f) for f in sorted(files) if f.endswith((".cc", ".h", ".c")))


def one(report, name, command, root, timeout=120):
    outcome = run(command, timeout, cwd=root)
    report.add("lint", name, outcome.status == 0, f"{outcome.how}\n{outcome.output}", outcome.seconds)


def run_all(report, root, build, prefix=()):
    """`prefix`: of clang-tidy's commands, as GENTLY beside other tests."""
    one(report, "clang-format", ["clang-format", "--dry-run", "-Werror"] + list(sources(root)), root)
    one(report, "check-includes", ["scripts/check-includes"], root)
    one(report, "check-house", ["scripts/check-house"], root)
    tidy(report, root, build, prefix)


def tidy(report, root, build, prefix, jobs=2):
    begun = time.monotonic()
    try:
        with open(os.path.join(build, "compile_commands.json"), encoding="utf-8") as f:
            commands = json.load(f)
    except FileNotFoundError as error:  # the build was not even set up
        report.add("lint", "clang-tidy", False, str(error))
        return
    files = sorted({os.path.normpath(os.path.join(c["directory"], c["file"])) for c in commands})
    files = [p for p in files if os.path.relpath(p, root).startswith(TIDIED)]

    def check(path):
        return path, run([*prefix, "clang-tidy", "-p", build, "--quiet", "--extra-arg=-Wno-unknown-warning-option", path], 900, cwd=root)

    with ThreadPoolExecutor(jobs) as pool:
        bad = [(path, o) for path, o in pool.map(check, files) if o.status != 0]
    detail = f"{len(bad)} of {len(files)} files\n" + "\n".join(
        f"{os.path.relpath(path, root)}: {o.how}\n{o.output[-3000:]}" for path, o in bad)
    report.add("lint", "clang-tidy", not bad, detail, time.monotonic() - begun)
