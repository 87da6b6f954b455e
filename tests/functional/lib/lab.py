# SPDX-License-Identifier: BSD-3-Clause
"""The lab of scripts/lab, for tests: a context manager, and commands in its namespaces.

    with Lab("pgt-") as lab:
        lab.start()
        lab.run("pu", "ping", "-c1", "10.0.1.1")
"""
import os
import subprocess
import time

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__)))))
BUILD = os.environ.get("POOLGATE_BUILD", os.path.join(ROOT, "build"))
AGENT = os.path.join(BUILD, "controlplane", "agent", "poolgate-agent")
TOOLS = os.path.join(BUILD, "tests", "tools")


class CommandFailed(AssertionError):
    pass


def run(*command, timeout=60, check=True):
    """Standard output of a command; CommandFailed with all that it said if it fails."""
    done = subprocess.run(command, capture_output=True, text=True, timeout=timeout, stdin=subprocess.DEVNULL)
    if check and done.returncode != 0:
        raise CommandFailed(f"{' '.join(command)}: exit status {done.returncode}\n{done.stdout}{done.stderr}")
    return done.stdout


def wait_until(condition, seconds, what):
    """The first true value of condition(), asked for every 50 ms; an AssertionError naming `what` after `seconds`, which are
    what a hang would take to be plain: a machine that is slow, or busy, gets ten times as long."""
    seconds *= 10
    end = time.monotonic() + seconds
    while True:
        value = condition()
        if value:
            return value
        if time.monotonic() > end:
            raise AssertionError(f"not within {seconds} s: {what}")
        time.sleep(0.05)


class Lab:
    def __init__(self, prefix="pgt-"):
        self.prefix = prefix
        self.dir = f"/run/poolgate-lab/{prefix.rstrip('-')}"
        self.config = f"{self.dir}/poolgate.toml"

    def script(self, action, *args, timeout=120, check=True):
        return run(os.path.join(ROOT, "scripts", "lab"), action, "--prefix", self.prefix, *args, timeout=timeout, check=check)

    def __enter__(self):
        self.script("up")
        return self

    def __exit__(self, *_):
        self.script("down")

    def start(self):
        self.script("start")

    def stop(self):
        self.script("stop")

    def namespace(self, ns):
        return self.prefix + ns

    def in_namespace(self, ns, *command):
        """The command line that runs `command` in a namespace."""
        return ["ip", "netns", "exec", self.namespace(ns), *command]

    def run(self, ns, *command, timeout=60, check=True):
        return run(*self.in_namespace(ns, *command), timeout=timeout, check=check)

    def spawn(self, ns, name, *command):
        self.script("spawn", ns, name, *command)

    def kill(self, name, signal="KILL"):
        self.script("kill", name, signal)

    def log(self, name):
        with open(f"{self.dir}/log/{name}", encoding="utf-8", errors="replace") as f:
            return f.read()

    def cli(self, *words, timeout=60):
        return run(os.path.join(BUILD, "dataplane", "cli", "poolgate-cli"), "--config", self.config, *words, timeout=timeout)

    def link(self, ns, device, state):
        run("ip", "-n", self.namespace(ns), "link", "set", device, state)

    def mac(self, ns, device):
        return self.run(ns, "cat", f"/sys/class/net/{device}/address").strip()
