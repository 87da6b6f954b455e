# SPDX-License-Identifier: BSD-3-Clause
"""The data plane alone in the lab: no registrar, or the test in the registrar's place on the channel."""
import os
import re
import subprocess
import sys
import threading
import time

from lib.lab import BUILD, TOOLS, Lab, run, wait_until

BINARY = os.path.join(BUILD, "dataplane", "poolgate-dataplane")


class DataPlane:
    """poolgate-dataplane in the lab's namespace `app`."""

    def __init__(self, lab):
        self.lab = lab
        self.process = None
        self.lines = []

    def start(self):
        self.lines = []
        self.process = subprocess.Popen(self.lab.in_namespace("app", BINARY, "--config", self.lab.config),
                                        stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True)
        threading.Thread(target=self._read, args=(self.process,), daemon=True).start()
        self.wait_for_log("waiting for a registrar|registrar: connected")
        wait_until(lambda: "LOWER_UP" in self.tap("pg-pu") and "LOWER_UP" in self.tap("pg-pe"), 10, "carrier of the TAPs")
        # The kernel sends on a device only once it has noticed its carrier.
        wait_until(lambda: all(f"dev {d}" in run("ip", "-n", self.lab.namespace("app"), "route") and
                               " UP " in run("ip", "-n", self.lab.namespace("app"), "-br", "link", "show", d)
                               for d in ("pg-pu", "pg-pe", "pg-pe2")), 10, "the kernel's sight of it")
        return self

    def _read(self, process):
        for line in process.stderr:
            self.lines.append(line)

    def wait_for_log(self, pattern, seconds=20):
        def said():
            if self.process.poll() is not None:
                raise AssertionError(f"poolgate-dataplane ended with {self.process.returncode}:\n{''.join(self.lines)}")
            return any(re.search(pattern, line) for line in list(self.lines))
        wait_until(said, seconds, f"\"{pattern}\" in the data plane's log:\n{''.join(self.lines)}")

    def tap(self, name):
        return run("ip", "-n", self.lab.namespace("app"), "-br", "link", "show", name, check=False)

    def cpu_seconds(self):
        with open(f"/proc/{self.process.pid}/stat", encoding="ascii") as f:
            fields = f.read().rsplit(")", 1)[1].split()
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")

    def signal(self, number):
        self.process.send_signal(number)

    def stop(self):
        """Its exit status after SIGTERM."""
        if self.process is None:
            return None
        if self.process.poll() is None:
            self.process.terminate()
        status = self.process.wait(60)
        self.process.stderr.close()
        self.process = None
        return status


class ChannelPeer:
    """poolgate-channel-peer: what it is told, and what it says."""

    def __init__(self, lab, *options):
        self.lines = []
        self.process = subprocess.Popen(
            lab.in_namespace("app", os.path.join(TOOLS, "poolgate-channel-peer"), f"{lab.dir}/run/channel.sock", *options),
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True)
        threading.Thread(target=self._read, daemon=True).start()
        self.wait_for("welcome ")

    def _read(self):
        for line in self.process.stdout:
            self.lines.append(line.rstrip("\n"))

    def wait_for(self, start, seconds=10, count=1):
        """The lines that begin with `start`, when there are `count` of them."""
        def said():
            found = [line for line in list(self.lines) if line.startswith(start)]
            return found if len(found) >= count else None
        return wait_until(said, seconds, f"{count} line(s) \"{start}\" among {self.lines}")

    def tell(self, line):
        self.process.stdin.write(line + "\n")
        self.process.stdin.flush()

    def pool(self, handle, *elements):
        done = sum(line.startswith("committed ") for line in self.lines)
        self.tell(f"pool {handle} {' '.join(elements)}" if elements else f"remove {handle}")
        self.wait_for("committed ", count=done + 1)

    def close(self):
        self.process.stdin.close()
        self.process.wait(60)
        self.process.stdout.close()


class Echo:
    """poolgate-lab-echo in a PE's namespace: its own addresses for nat, the VIPs for direct return."""

    def __init__(self, lab, pe, transports, *addresses):
        options = [o for t in transports for o in ("--transport", t)] + [o for a in addresses for o in ("--address", a)]
        self.process = subprocess.Popen(lab.in_namespace(pe, os.path.join(TOOLS, "poolgate-lab-echo"), "--name", pe, "--port", "5000",
                                                         *options), stdout=subprocess.PIPE, stdin=subprocess.DEVNULL, text=True)
        for _ in transports:
            self.process.stdout.readline()  # "serves"

    def kill(self):
        self.process.kill()
        self.process.wait(60)
        self.process.stdout.close()


class Tcpdump:
    """tcpdump, as `self.process`; it listens at the start of the block."""

    def __enter__(self):
        while "listening" not in self.process.stderr.readline():
            if self.process.poll() is not None:
                raise AssertionError("tcpdump did not start")
        return self


class Capture(Tcpdump):
    """What tcpdump sees of a device, between start and the end of the block."""

    def __init__(self, lab, ns, device, expression):
        self.process = subprocess.Popen(
            lab.in_namespace(ns, "tcpdump", "-l", "-n", "-e", "-p", "--immediate-mode", "-i", device, expression),
            stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        self.lines = []

    def __exit__(self, *_):
        time.sleep(0.3)
        self.process.terminate()
        out, _ = self.process.communicate(timeout=60)
        self.lines = [line for line in out.splitlines() if line]


def start_alone(test, prefix, *changes):
    """The data plane in a lab of the test's own until its end, the test in the registrar's place: its `lab` and its `peer`."""
    test.lab = Lab(prefix)
    test.lab.__enter__()
    test.addCleanup(test.lab.script, "down")
    test.lab.configure(*changes)
    dataplane = DataPlane(test.lab)
    test.addCleanup(dataplane.stop)
    dataplane.start()
    test.peer = ChannelPeer(test.lab)
    test.addCleanup(test.peer.close)


def scapy(lab, ns, program, *arguments, timeout=60):
    """Runs a scapy program in a namespace; its standard output."""
    return lab.run(ns, sys.executable, "-c", "from scapy.all import *\nconf.verb = 0\n" + program, *arguments, timeout=timeout)


__all__ = ["BINARY", "Capture", "ChannelPeer", "DataPlane", "Echo", "Lab", "run", "scapy", "start_alone", "wait_until"]
