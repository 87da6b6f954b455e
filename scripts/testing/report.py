# SPDX-License-Identifier: BSD-3-Clause
"""Collects results as they come; says each failure at once and all of them again at the end."""
import re
import threading
import time
import xml.etree.ElementTree as xml


class Report:
    def __init__(self, started=None):
        self.results = []  # (suite, name, ok, detail, seconds)
        self.started = started or time.monotonic()
        self.lock = threading.Lock()

    def say(self, text):
        with self.lock:
            print(f"[{time.monotonic() - self.started:6.0f} s] {text}", flush=True)

    def add(self, suite, name, ok, detail="", seconds=0.0):
        with self.lock:
            self.results.append((suite, name, ok, detail, seconds))
            if not ok:
                print(f"FAILED {suite}/{name}\n{indent(detail)}", flush=True)

    def count(self, ok):
        return sum(1 for r in self.results if r[2] == ok)

    def stage(self, name):
        return Stage(self, name)

    def finish(self, junit_file):
        """Writes the JUnit file, prints the summary with the counts as its last line; the exit status."""
        self.write_junit(junit_file)
        failures = [r for r in self.results if not r[2]]
        if failures:
            print("\nFailures:")
            for suite, name, _, detail, _ in failures:
                print(f"  {suite}/{name}: {first_line(detail)}")
        for suite in sorted({r[0] for r in self.results}):
            of = [r for r in self.results if r[0] == suite]
            print(f"  {suite:12} {sum(r[2] for r in of):5} of {len(of):5} passed, {sum(r[4] for r in of):7.1f} s")
        print(f"{self.count(True)} passed, {self.count(False)} failed", flush=True)
        return 1 if failures or not self.results else 0

    def write_junit(self, path):
        top = xml.Element("testsuites")
        for suite in sorted({r[0] for r in self.results}):
            of = [r for r in self.results if r[0] == suite]
            node = xml.SubElement(top, "testsuite", name=suite, tests=str(len(of)), failures=str(sum(not r[2] for r in of)))
            for _, name, ok, detail, seconds in of:
                case = xml.SubElement(node, "testcase", classname=suite, name=name, time=f"{seconds:.3f}")
                if not ok:
                    xml.SubElement(case, "failure", message=printable(first_line(detail))).text = printable(detail)
        xml.ElementTree(top).write(path, encoding="utf-8", xml_declaration=True)


class Stage:
    """Says when a stage begins, and when it ends how long it took and what it counted."""

    def __init__(self, report, name):
        self.report, self.name = report, name

    def __enter__(self):
        self.before = (time.monotonic(), self.report.count(True), self.report.count(False))
        self.report.say(f"{self.name} ...")

    def __exit__(self, *_):
        seconds, passed, failed = time.monotonic() - self.before[0], self.report.count(True) - self.before[1], \
            self.report.count(False) - self.before[2]
        self.report.say(f"{self.name}: {passed} passed, {failed} failed in {seconds:.0f} s")


EXCEPTION = re.compile(r"[\w.]*(Error|Failed|Exception|Expired)\b")


def first_line(text):
    """The line that says most: the first, or of a Python traceback the last that names an exception."""
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    if lines and lines[0].startswith("Traceback"):
        lines = [line for line in lines if EXCEPTION.match(line)][-1:] or lines[-1:]
    return lines[0][:160] if lines else ""


def printable(text):
    return "".join(c if c in "\n\t" or c >= " " else "?" for c in text)


def indent(text, most_lines=160):
    lines = text.splitlines()
    if len(lines) > most_lines:
        lines = lines[:15] + [f"... {len(lines) - most_lines} lines ..."] + lines[-(most_lines - 15):]
    return "\n".join("    " + line for line in lines)
