# SPDX-License-Identifier: BSD-3-Clause
"""The whole appliance in the lab, with servers, agents and clients at work: what the chaos tests break, and count.

With POOLGATE_SOAK set (scripts/test soak) pauses are as long, and deaths as many, as the promises say.
"""
import json
import os
import re
import signal
import subprocess
import tempfile
import time

from lib.lab import AGENT, TOOLS, Lab, run, wait_until

SOAK = bool(os.environ.get("POOLGATE_SOAK"))
VIP = "192.0.2.1"
POOLS = {"udp": "EchoUdp", "tcp": "EchoTcp", "sctp": "EchoSctp"}
PES = (1, 2, 3)


class Appliance(Lab):
    """Two processes, three servers in three pools, ready to serve."""

    def __enter__(self):
        super().__enter__()
        try:
            self.start()
            for n in PES:
                self.add_server(n)
            self.wait_for_pes(9)
        except BaseException:
            self.script("down")
            raise
        return self

    def add_server(self, n):
        echo = os.path.join(TOOLS, "poolgate-lab-echo")
        self.spawn(f"pe{n}", f"server-{n}", echo, "--name", f"pe{n}", "--transport", "udp", "--transport", "tcp", "--port",
                   "5000", "--address", VIP, "--address", f"10.0.2.1{n}")
        self.spawn(f"pe{n}", f"server-{n}-sctp", echo, "--name", f"pe{n}", "--transport", "sctp", "--port", "5000", "--address", VIP)
        for transport in POOLS:
            self.add_server_agent(n, transport)

    def add_server_agent(self, n, transport):
        self.spawn(f"pe{n}", f"agent-{n}-{transport}", AGENT, "register", "--registrar", "10.0.2.1:3863", "--pool", POOLS[transport],
                   "--transport", transport, "--port", "5000", "--address", f"10.0.2.1{n}", "--id", hex(n))

    def json(self, *words):
        return json.loads(self.cli(*words, "json"))

    def pes_up(self):
        try:
            return sum(pool["up"] for pool in self.json("show", "pool", "all")["pools"])
        except (AssertionError, ValueError):
            return -1  # nobody answers

    def wait_for_pes(self, count, seconds=60):
        wait_until(lambda: self.pes_up() == count, seconds, f"{count} PEs that may be chosen")

    def registrar(self):
        return self.json("show", "registrar")

    def wait_for_registrar(self, seconds=30):
        """Until the registrar answers and the data plane has its tables."""
        def ready():
            try:
                return self.registrar()["registrar"]["tables_in_step"]
            except (AssertionError, ValueError):
                return False
        wait_until(ready, seconds, "the registrar in step with the data plane")

    def associations(self):
        return sorted((a["id"], a["peer_port"], a["local_tag"]) for a in self.json("show", "assoc", "all")["associations"])

    def drops(self):
        """Dropped packets by reason, of all workers."""
        found = {}
        for line in self.json("show", "drops")["drops"]:
            count = sum(v for k, v in line.items() if isinstance(v, int) and k not in ("worker",))
            found[line.get("reason", line.get("name"))] = found.get(line.get("reason", line.get("name")), 0) + count
        return found

    def pid(self, name):
        with open(f"{self.dir}/pid/{name}", encoding="ascii") as f:
            return int(f.read())

    def signal(self, name, number):
        os.kill(self.pid(name), number)

    def pause(self, name, seconds):
        self.signal(name, signal.SIGSTOP)
        try:
            time.sleep(seconds)
        finally:
            self.signal(name, signal.SIGCONT)

    def clients(self, **options):
        return Clients(self, **options)


class Clients:
    """A client of each transport, in a `with` of its own; its `reports` are there afterwards."""

    def __init__(self, lab, transports=("udp", "tcp", "sctp"), rate=50, flows=9, timeout_ms=20_000, fresh=False):
        self.lab, self.transports, self.flows = lab, transports, flows
        self.options = ["--to", f"{VIP}:5000", "--duration", "100000", "--rate", str(rate), "--timeout", str(timeout_ms),
                        "--json", "--progress"] + (["--fresh"] if fresh else ["--flows", str(flows)])

    def __enter__(self):
        self.folder = tempfile.TemporaryDirectory(prefix="poolgate-chaos-")
        self.processes, self.reports, self.broken = {}, {}, []
        for transport in self.transports:
            with open(f"{self.folder.name}/{transport}", "wb") as progress:
                self.processes[transport] = subprocess.Popen(
                    self.lab.in_namespace("pu", os.path.join(TOOLS, "poolgate-lab-client"), "--transport", transport, *self.options),
                    stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=progress, text=True)
        try:
            self.wait_for_answers(3 * self.flows)
        except BaseException:
            self.__exit__()
            raise
        return self

    def answers(self, transport):
        """(PE, number of the request) of each answer so far, in their order."""
        with open(f"{self.folder.name}/{transport}", encoding="utf-8") as f:
            return [(pe, int(number)) for pe, number in re.findall(r"^(\S+) request (\d+)$", f.read(), re.MULTILINE)]

    def wait_for_answers(self, more, seconds=60):
        """Until each client has had `more` answers from now on."""
        begun = {t: len(self.answers(t)) for t in self.transports}
        wait_until(lambda: all(len(self.answers(t)) >= begun[t] + more for t in self.transports), seconds,
                   f"{more} answers to each of {self.transports}")

    def moved_flows(self, transport):
        """Flows that were answered by more than one PE."""
        pes = {}
        for pe, number in self.answers(transport):
            pes.setdefault(number % self.flows, set()).add(pe)
        return {flow: sorted(names) for flow, names in pes.items() if len(names) > 1}

    def __exit__(self, *_):
        for transport, process in self.processes.items():
            process.send_signal(signal.SIGINT)
            out, _ = process.communicate(timeout=30)
            if not out.strip():
                with open(f"{self.folder.name}/{transport}", encoding="utf-8", errors="replace") as f:
                    self.broken.append(f"the {transport} client ended with {process.returncode}:\n{f.read()[-2000:]}")
                continue
            self.reports[transport] = json.loads(out)
        if self.broken:
            raise AssertionError("\n".join(self.broken))
        self.moved = {t: self.moved_flows(t) for t in self.transports}
        self.folder.cleanup()


__all__ = ["AGENT", "Appliance", "Clients", "PES", "POOLS", "SOAK", "TOOLS", "VIP", "run", "wait_until"]
