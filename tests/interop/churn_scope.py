# SPDX-License-Identifier: BSD-3-Clause
"""Three appliances on this machine, 10.0.2.1 to .3, each with both its processes, and RSPLIB's registrar in a Linux guest,
10.0.2.4, on one bridge; agents on this machine at 10.0.2.11, RSPLIB's servers in the guest at 10.0.2.12.
"""
import json
import os
import re
import signal
import subprocess

from churn_schedule import POOLGATES, RSPLIB
from lib.lab import AGENT, wait_until
from lib.lan import Lan, LanAppliance
from linux_guest import Guest, Nic
from scenario import OPTIONS
from sides import rspregistrar

PREFIX = "pgch-"
REST = """
[sctp]
heartbeat_ms = 1000
rto_min_ms = 100
[registrar]
server_id = {n}
keepalive_interval_ms = 1000
keepalive_timeout_ms = 3000
peer_heartbeat_ms = 1000
max_time_last_heard_ms = 4000
max_time_no_response_ms = 2000
takeover_timeout_ms = 4000
peer_retry_ms = 100
peer_retry_max_ms = 1000
[[registrar.rsplib]]
source = "10.0.2.4/32"
[[registrar.rsplib]]
source = "10.0.2.12/32"
[[registrar.life_unit]]
source = "10.0.2.12/32"
unit = "ms"
"""
GUEST = """
set -e
ip link add br0 type bridge mcast_snooping 0; ip link set br0 up
ip link set eth0 name up0; ip link set up0 master br0 up
"""
HOST = """
set -e
ip netns add {name}; ip -n {name} link set lo up
ip link add {name}-eth0 type veth peer name eth0 address 52:54:00:10:02:{number:02x} netns {name}
ip link set {name}-eth0 master br0 up
ip -n {name} addr add 10.0.2.{number}/24 dev eth0
ip -n {name} link set eth0 up
ip netns exec {name} sysctl -qw net.sctp.rto_min=300 net.sctp.rto_initial=300 net.sctp.rto_max=1000 net.sctp.hb_interval=1000 \\
  net.sctp.path_max_retrans=2 net.sctp.association_max_retrans=8
"""


def resident_kb(pid):
    with open(f"/proc/{pid}/status", encoding="utf-8") as f:
        return int(re.search(r"^VmRSS:\s+(\d+) kB", f.read(), re.MULTILINE)[1])


class Poolgate(LanAppliance):
    def __init__(self, lan, n):
        peers = "".join(f'[[registrar.peer]]\naddresses = ["10.0.2.{other}:9901"]\n' for other in (*POOLGATES, RSPLIB) if other != n)
        super().__init__(lan, n, REST.format(n=n) + peers, idle_sleep_us=500)

    def ended(self):
        """Processes that ended of their own accord."""
        return [f"{name} of {self.n}: {p.poll()}" for name, p in self.processes.items() if p.poll() is not None]

    def show(self, *words):
        """None: nobody answers."""
        try:
            return json.loads(self.show_json(*words, check=False))
        except ValueError:
            return None

    def table(self):
        """Owner by PE, of all pools."""
        shown = self.show("registrar", "pool", "all")
        return shown and {int(pe["id"], 0): int(pe["home"], 0) for pool in shown["pools"] for pe in pool["elements"]}

    def forwards_to(self):
        """The PEs that the data plane has."""
        shown = self.show("pool", "all")
        return shown and sorted(int(str(pe["pe"]), 0) for name, pes in shown.items() if name.startswith("pool ") for pe in pes)

    def resident_kb(self):
        return {name: resident_kb(process.pid) for name, process in self.processes.items()}


class Rsplib:
    """On a host of the guest that is there as long as it lives: after a power cut no port is in use still."""

    def __init__(self, guest):
        self.guest, self.pid = guest, 0

    def start(self):
        if not self.pid:
            self.guest.run(HOST.format(name="r4", number=RSPLIB))
            command = rspregistrar(RSPLIB, f"10.0.2.{RSPLIB}", peers=[f"10.0.2.{n}" for n in POOLGATES])
            self.pid = self.guest.spawn(f"ip netns exec r4 {command}", "r4.out")

    def kill(self):
        self.guest.run(f"ip link del r4-eth0; kill -9 {self.pid}; ip netns del r4")
        self.pid = 0

    def ended(self):
        return [] if not self.pid or self.guest.call(f"kill -0 {self.pid}")[0] == 0 else ["rspregistrar"]

    def log(self, size=6000):
        return "rspregistrar\n" + self.guest.read("r4.out")[-size:] + self.guest.read(f"registrar-{RSPLIB:x}.log")[-size:]

    def table(self):
        """As hsdump reads it. hsdump makes itself a peer for a moment."""
        printed = self.guest.run("ip netns exec looker timeout -s INT 60 hsdump 10.0.2.4:9901 2>&1", 90, check=False)
        found = re.findall(r"\$([0-9a-f]{8}) flags=\S*\s+(?:c=\S+ )?(?:chsum=\S+ )?home=\$([0-9a-f]{8})", printed)
        return {int(pe, 16): int(home, 16) for pe, home in found}


class Elements:
    """The pool elements, by name."""

    def __init__(self, guest, schedule, folder):
        self.folder, self.guest, self.by_name, self.running = folder, guest, {e.name: e for e in schedule.elements}, {}

    def start(self, name):
        e = self.by_name[name]
        number = 7000 + list(self.by_name).index(name)
        if e.rsplib:
            registrars = " ".join(f"-registrar=10.0.2.{r}:3863" for r in e.registrars)
            self.running[name] = self.guest.spawn(
                f"ip netns exec servers rspserver -echo {registrars} {OPTIONS} -rereginterval=5000 -quiet -identifier=0x{e.pe:08x} "
                f"-poolhandle={e.pool} -logfile=/share/{name}.log", f"{name}.out")
            return
        registrars = [word for r in e.registrars for word in ("--registrar", f"10.0.2.{r}:3863")]
        with open(f"{self.folder}/{name}.log", "a", encoding="utf-8") as log:
            self.running[name] = subprocess.Popen(
                ["ip", "netns", "exec", f"{PREFIX}pe", AGENT, "register", *registrars, "--pool", e.pool, "--transport", "sctp", "--port",
                 str(number), "--address", "10.0.2.11", "--id", hex(e.pe), "--lifetime", "infinite", "--control"],
                stdin=subprocess.DEVNULL, stdout=log, stderr=log)

    def stop(self, name, crash):
        running = self.running.pop(name)
        if self.by_name[name].rsplib:
            if crash:
                return self.guest.run(f"kill -9 {running}", check=False)
            # rspserver loses an INT that comes while it starts, and would live on beside its next life.
            gone = f"kill -0 {running} && ! grep -q 'State:.Z' /proc/{running}/status || exit 0"
            return self.guest.run(f"for n in $(seq 0 29); do {gone}; ((n % 10)) || kill -INT {running}; sleep 0.5; done 2>/dev/null; "
                                  f"kill -9 {running}", 90, check=False)
        running.send_signal(signal.SIGKILL if crash else signal.SIGTERM)
        return None if running.wait(60) is None else None

    def log(self, size=1500):
        """What the agents said; RSPLIB's servers run quietly."""
        texts = []
        for e in self.by_name.values():
            if os.path.exists(f"{self.folder}/{e.name}.log"):
                with open(f"{self.folder}/{e.name}.log", encoding="utf-8", errors="replace") as f:
                    texts.append(f"--- {e.name}, {e.pe:#010x}\n{f.read()[-size:]}")
        return "\n".join(texts)

    def ended(self):
        """Agents that ended of their own accord."""
        return [f"{name}: {p.poll()}" for name, p in self.running.items() if isinstance(p, subprocess.Popen) and p.poll() is not None]

    def close(self):
        for process in self.running.values():
            if isinstance(process, subprocess.Popen):
                process.kill()
                process.wait(30)


class Scope:
    """In a `with`; all four run, no element does."""

    def __init__(self, schedule):
        self.schedule, self.lan = schedule, Lan(PREFIX, POOLGATES, taps=("tap0",))

    def __enter__(self):
        self.lan.down()
        try:
            self.lan.up()
            self.poolgates = {n: Poolgate(self.lan, n) for n in POOLGATES}
            for poolgate in self.poolgates.values():
                poolgate.start()
            self.guest = Guest(nics=[Nic(tap="tap0", mac="52:54:00:10:02:ff")], netns=f"{PREFIX}net", modules=("sctp", "veth", "bridge"))
            self.guest.__enter__()
            self.guest.run(GUEST + HOST.format(name="servers", number=12) + HOST.format(name="looker", number=21))
            self.rsplib = Rsplib(self.guest)
            self.registrars = {**self.poolgates, RSPLIB: self.rsplib}
            self.rsplib.start()
            self.elements = Elements(self.guest, self.schedule, self.lan.dir)
        except BaseException:
            self.__exit__()
            raise
        return self

    def __exit__(self, *_):
        for part in ("elements", "guest"):
            if hasattr(self, part):
                getattr(self, part).close() if part == "elements" else self.guest.__exit__()
        for poolgate in getattr(self, "poolgates", {}).values():
            poolgate.kill()
        self.lan.down()

    def apply(self, event):
        if event.what in ("start", "kill", "end"):
            return self.elements.start(event.whom) if event.what == "start" else self.elements.stop(event.whom, event.what == "kill")
        if event.what == "return":
            return self.registrars[event.whom].start()
        processes = () if event.what == "crash" else (event.what,)
        return self.registrars[event.whom].kill(*processes)

    def start_all(self):
        for registrar in self.registrars.values():
            registrar.start()

    def ended(self):
        return [text for part in (*self.registrars.values(), self.elements) for text in part.ended()]

    def faults(self, live):
        """What does not hold of a scope that has had its peace, with these PEs alive; none: all does."""
        faults, tables = self.ended(), {}
        for n, poolgate in self.poolgates.items():
            shown, tables[n], forwards = poolgate.show("registrar", "peers"), poolgate.table(), poolgate.forwards_to()
            if shown is None or tables[n] is None or forwards is None:
                faults.append(f"{n} does not answer")
                continue
            peers = {int(p["id"], 0): p for p in shown["peers"] if p["id"]}
            for other in self.registrars:
                peer = peers.get(other)
                if other != n and (not peer or not peer["connected"] or peer["its_checksum"] != peer["ours_of_it"]):
                    faults.append(f"{n} of {other}: {peer}")
            if shown["scope"]["claiming"]:
                faults.append(f"{n} is claiming PEs")
            if forwards != sorted(live):
                faults.append(f"the data plane of {n} forwards to {named(forwards)}")
        if not faults:
            tables[RSPLIB] = self.rsplib.table()
        for n, table in tables.items():
            if table is None:
                continue
            if sorted(table) != sorted(live):
                faults.append(f"{n} lists dead {named(set(table) - set(live))}, misses {named(set(live) - set(table))}")
            elif table != tables[self.schedule.survivor] or set(table.values()) - set(self.registrars):
                faults.append(f"owners by {n}: " + ", ".join(f"{pe:#010x}: {home}" for pe, home in sorted(table.items())))
        return faults

    def wait_for_peace(self, live, seconds, what):
        """Until there is no fault; `seconds` only ends what hangs."""
        try:
            wait_until(lambda: not self.faults(live), seconds / 10, what)
        except AssertionError:
            raise AssertionError(f"{what}:\n" + "\n".join(self.faults(live))) from None


def named(pes):
    return "[" + ", ".join(f"{pe:#010x}" for pe in sorted(pes)) + "]"
