# SPDX-License-Identifier: BSD-3-Clause
"""The lab of scripts/lab, for tests: a context manager, and commands in its namespaces.

    with Lab("pgt-") as lab:
        lab.start()
        lab.run("pu", "ping", "-c1", "10.0.1.1")
"""
import os
import re
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


def appliance_toml(name, folder, file_prefix, memory=512, mbufs=16383, sessions=4096, idle_sleep_us=200):
    """The head of an appliance's configuration, where it shares this machine with others; ports and services follow."""
    return f"""[general]
name = "{name}"
run_dir = "{folder}/run"
state_dir = "{folder}/state"

[dataplane]
eal = ["--no-huge", "-m", "{memory}", "--no-pci", "--file-prefix={file_prefix}"]
main_core = 0
worker_cores = [{min(1, os.cpu_count() - 1)}]
idle_sleep_us = {idle_sleep_us}
mbufs = {mbufs}
sessions = {sessions}
half_open_sessions = 1024
session_dir = "{folder}/sessions"
"""


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

    def configure(self, *changes):
        """Replaces texts in poolgate.toml: (old, new) each; `old` must be there."""
        with open(self.config, encoding="utf-8") as f:
            text = f.read()
        for old, new in changes:
            if old not in text:
                raise AssertionError(f"{old!r} is not in {self.config}")
            text = text.replace(old, new)
        with open(self.config, "w", encoding="utf-8") as f:
            f.write(text)

    def use_workers(self, *cpus):
        """A worker to each of these CPUs, which may be shared; those that the machine has not are its last."""
        cpus = [min(cpu, os.cpu_count() - 1) for cpu in cpus]
        lcores = ",".join(f"{n}@{cpu}" for n, cpu in enumerate([0, *cpus]))
        with open(self.config, encoding="utf-8") as f:
            cores = re.search(r"worker_cores = .*", f.read())[0]
        self.configure(('"--no-pci"', f'"--no-pci", "--lcores={lcores}"'),
                       (cores, f"worker_cores = {list(range(1, len(cpus) + 1))}"))

    def register(self, n, pool, transport, lifetime="600s"):
        """An agent on pe{n}, which registers the server there as element n."""
        self.spawn(f"pe{n}", f"agent{n}", AGENT, "register", "--registrar", "10.0.2.1:3863", "--sctp", "raw", "--pool", pool, "--id",
                   f"0x{n}", "--transport", transport, "--address", f"10.0.2.1{n}", "--port", "5000", "--lifetime", lifetime)

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
