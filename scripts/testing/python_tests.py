# SPDX-License-Identifier: BSD-3-Clause
"""Runs the Python unittest files of a folder, each in a process of its own, and counts their tests."""
import glob
import json
import os
import re
import sys
import tempfile
import time
import unittest

from testing.run import run

TIMEOUT_LINE = re.compile(r"^TIMEOUT_SECONDS = (\d+)$", re.MULTILINE)


def run_all(report, root, folder, suite, default_timeout, names=None):
    for path in sorted(glob.glob(os.path.join(root, folder, "test_*.py"))):
        if not names or any(n in os.path.basename(path) for n in names):
            run_file(report, root, path, suite, default_timeout)


def run_file(report, root, path, suite, default_timeout):
    title = os.path.basename(path)[:-3]
    with open(path, encoding="utf-8") as f:
        own = TIMEOUT_LINE.search(f.read())
    with tempfile.NamedTemporaryFile(mode="r", prefix="poolgate-test-", suffix=".jsonl") as results:
        places = [os.path.join(root, "scripts"), os.path.dirname(path), os.path.join(root, "tests", "functional")]
        outcome = run([sys.executable, "-B", "-m", "testing.python_tests", path, results.name],
                      int(own[1]) if own else default_timeout, cwd=root, env={"PYTHONPATH": os.pathsep.join(places)})
        lines = [json.loads(line) for line in results.read().splitlines()]
    report.say(f"  {title}: {outcome.seconds:.0f} s")
    planned = [line["planned"] for line in lines if "planned" in line]
    done = {line["test"]: line for line in lines if "test" in line}
    for test in planned:
        r = done.pop(test, None)
        if r:
            report.add(suite, f"{title}/{test}", r["ok"], r["detail"], r["seconds"])
        else:
            report.add(suite, f"{title}/{test}", False, f"did not end: {outcome.how}\n{outcome.output[-6000:]}")
    for test, r in done.items():  # a class or module that could not be set up
        report.add(suite, f"{title}/{test}", r["ok"], r["detail"], r["seconds"])
    if not planned and not done:
        report.add(suite, f"{title}/(no test)", False, f"{outcome.how}\n{outcome.output[-6000:]}")


# ---- below: in the child

class Recorder(unittest.TextTestResult):
    """Writes a line of JSON as each test ends, so that a hang or a crash loses only the test at work. What a failed test's own
    explain() says, if it has one, goes with it."""

    def __init__(self, *args, **kwargs):
        super().__init__(*args, **kwargs)
        self.failed = {}
        self.out = Recorder.file

    @staticmethod
    def name(test):
        return ".".join(test.id().split(".")[-2:])

    def write(self, **line):
        self.out.write(json.dumps(line) + "\n")
        self.out.flush()

    def startTest(self, test):
        super().startTest(test)
        self.begun = time.monotonic()
        print(f"--- {self.name(test)}", flush=True)

    def fail(self, test, err):
        detail = self._exc_info_to_string(err, test)
        if isinstance(test, unittest.TestCase):
            self.failed.setdefault(test.id(), []).append(detail)
        else:  # setUpClass, setUpModule
            self.write(test=str(test), ok=False, detail=detail, seconds=0)

    def addError(self, test, err):
        super().addError(test, err)
        self.fail(test, err)

    def addFailure(self, test, err):
        super().addFailure(test, err)
        self.fail(test, err)

    def addSubTest(self, test, subtest, err):
        super().addSubTest(test, subtest, err)
        if err:
            self.failed.setdefault(test.id(), []).append(f"{subtest}\n" + self._exc_info_to_string(err, test))

    def addSkip(self, test, reason):
        super().addSkip(test, reason)
        self.failed.setdefault(test.id(), []).append(f"skipped: {reason}")

    @staticmethod
    def explained(test):
        try:
            return test.explain()
        except Exception as error:  # what failed is worth more than why this does
            return f"explain() failed: {error!r}"

    def stopTest(self, test):
        super().stopTest(test)
        detail = self.failed.get(test.id(), [])
        if detail and hasattr(test, "explain"):
            detail.insert(0, self.explained(test))
        self.write(test=self.name(test), ok=not detail, detail="\n".join(reversed(detail)), seconds=time.monotonic() - self.begun)


def flatten(suite):
    for item in suite:
        if isinstance(item, unittest.TestSuite):
            yield from flatten(item)
        else:
            yield item


def child(path, result_file):
    with open(result_file, "w", encoding="utf-8") as out:
        Recorder.file = out
        suite = unittest.defaultTestLoader.loadTestsFromName(os.path.basename(path)[:-3])
        for test in flatten(suite):
            out.write(json.dumps({"planned": Recorder.name(test)}) + "\n")
        out.flush()
        result = unittest.TextTestRunner(stream=sys.stdout, verbosity=2, resultclass=Recorder).run(suite)
    return 0 if result.wasSuccessful() else 1


if __name__ == "__main__":
    sys.exit(child(sys.argv[1], sys.argv[2]))
