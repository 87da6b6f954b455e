# SPDX-License-Identifier: BSD-3-Clause
"""Runs the GoogleTest programs that meson knows, and counts their test cases."""
import json
import os
import re
import subprocess
import tempfile
from concurrent.futures import ThreadPoolExecutor

from testing.run import run

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
SANITIZER_ENV = {
    # asio 1.22 takes memory for its handlers by aligned_alloc and gives it back by operator delete.
    "ASAN_OPTIONS": "alloc_dealloc_mismatch=0:detect_leaks=1:strict_string_checks=1:detect_stack_use_after_return=1:abort_on_error=0",
    "UBSAN_OPTIONS": "halt_on_error=1:print_stacktrace=1",
    "TSAN_OPTIONS": f"halt_on_error=1:second_deadlock_stack=1:suppressions={ROOT}/tests/unit/tsan.supp",
}


def programs(build, suite):
    listed = subprocess.run(["meson", "introspect", "--tests", build], capture_output=True, text=True, check=True)
    return [t for t in json.loads(listed.stdout) if any(s.split(":")[-1] == suite for s in t["suite"])]


def run_all(report, build, suite, name, jobs=2, patience=1):
    """Every program of meson's test suite `suite`, `jobs` at a time; results go to the report's suite `name`. Each may take
    `patience` times as long as meson says."""
    with ThreadPoolExecutor(jobs) as pool:
        list(pool.map(lambda program: run_program(report, program, name, patience), programs(build, suite)))


def run_program(report, program, suite, patience):
    title = program["name"]
    with tempfile.TemporaryDirectory(prefix="poolgate-test-") as scratch:
        result_file = os.path.join(scratch, "result.json")
        env = {**SANITIZER_ENV, **program["env"], "TMPDIR": scratch}
        outcome = run(program["cmd"] + [f"--gtest_output=json:{result_file}", "--gtest_color=no"],
                      patience * (program["timeout"] or 600), cwd=program["workdir"] or scratch, env=env)
        cases = read_cases(result_file)
        listed = list_cases(program) if outcome.status != 0 or not cases else None
    for case, (ok, detail, seconds) in cases.items():
        report.add(suite, f"{title}/{case}", ok, detail, seconds)
    if not cases:  # it died: those that it had not ended with OK are those that did not pass
        passed = set(re.findall(r"^\[       OK \] (\S+)", outcome.output, re.MULTILINE))
        for case in listed or ["(no test case)"]:
            report.add(suite, f"{title}/{case}", case in passed, f"{outcome.how}\n{outcome.output[-6000:]}")
    elif outcome.status != 0 and all(ok for ok, _, _ in cases.values()):
        report.add(suite, f"{title}/(exit)", False, f"{outcome.how}\n{outcome.output[-6000:]}", outcome.seconds)


def read_cases(path):
    """Test case -> (ok, detail, seconds). A case that was skipped or not run counts as failed."""
    try:
        with open(path, encoding="utf-8") as f:
            document = json.load(f)
    except (OSError, ValueError):
        return {}
    cases = {}
    for group in document["testsuites"]:
        for case in group["testsuite"]:
            detail = "\n".join(f["failure"] for f in case.get("failures", []))
            if case["status"] != "RUN" or case["result"] != "COMPLETED":
                detail = f"{case['status']} {case['result']}\n{detail}"
            cases[f"{group['name']}.{case['name']}"] = (not detail, detail, float(case["time"].rstrip("s")))
    return cases


def list_cases(program):
    listed = run(program["cmd"] + ["--gtest_list_tests"], 60)
    names, group = [], ""
    for line in listed.output.splitlines():
        line = line.split("#")[0].rstrip()
        if line and not line.startswith(" "):
            group = line if line.endswith(".") else ""
        elif line and group:
            names.append(group + line.strip())
    return names
