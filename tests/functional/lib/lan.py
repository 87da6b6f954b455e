# SPDX-License-Identifier: BSD-3-Clause
"""Appliances on one LAN, each with a namespace, a data plane and a registrar of its own: what a scope of several is made of."""
import os
import shutil
import subprocess

from lib.lab import BUILD, appliance_toml, run

BINARIES = {"dataplane": os.path.join(BUILD, "dataplane", "poolgate-dataplane"),
            "registrar": os.path.join(BUILD, "controlplane", "registrar", "process", "poolgate-registrar")}
CLI = os.path.join(BUILD, "dataplane", "cli", "poolgate-cli")
PORT = """
[[port]]
name = "lan"
device = "net_af_packet0,iface=eth0,framecnt=1024"
addresses = ["10.0.2.{n}/24"]
"""
OFFLOADS_OFF = ("tx", "off", "tso", "off", "gso", "off", "gro", "off")


class Lan:
    """Hosts a1, a2... for appliances and `pe` (10.0.2.11) for elements, each by its eth0 on the bridge `lan` of `net`."""

    def __init__(self, prefix, appliances, taps=()):
        self.prefix, self.taps = prefix, taps
        self.dir = f"/run/poolgate-lab/{prefix.rstrip('-')}"
        self.hosts = (*(f"a{n}" for n in appliances), "pe")

    def ns(self, name, *command, **how):
        return run("ip", "netns", "exec", self.prefix + name, *command, **how)

    def up(self):
        run("ip", "netns", "add", self.prefix + "net")
        self.ns("net", "ip", "link", "add", "name", "lan", "type", "bridge", "forward_delay", "0", "mcast_snooping", "0")
        self.ns("net", "ip", "link", "set", "lan", "up")
        for tap in self.taps:
            self.ns("net", "ip", "tuntap", "add", tap, "mode", "tap")
        for name in self.hosts:
            run("ip", "netns", "add", self.prefix + name)
            run("ip", "link", "add", "name", "eth0", "netns", self.prefix + name, "type", "veth", "peer", "name", name,
                "netns", self.prefix + "net")
            self.ns(name, "ethtool", "-K", "eth0", *OFFLOADS_OFF, check=False)
            self.ns(name, "ip", "link", "set", "eth0", "up")
            self.ns(name, "ip", "link", "set", "lo", "up")
            # What comes by eth0 is the data plane's: its addresses are those of a TAP, and the kernel must not answer for it.
            self.ns(name, "sysctl", "-q", "-w", "net.ipv4.conf.all.arp_ignore=1", "net.ipv4.conf.default.arp_ignore=1",
                    f"net.ipv4.conf.eth0.rp_filter={int(name != 'pe')}")
        for device in (*self.hosts, *self.taps):
            self.ns("net", "ethtool", "-K", device, *OFFLOADS_OFF, check=False)
            self.ns("net", "ip", "link", "set", device, "master", "lan", "up")
        self.ns("pe", "ip", "addr", "add", "10.0.2.11/24", "dev", "eth0")

    def down(self):
        for name in (*self.hosts, "net"):  # the bridge's last: it goes when nobody is on it
            if os.path.exists(f"/run/netns/{self.prefix}{name}"):
                for pid in run("ip", "netns", "pids", self.prefix + name).split():
                    subprocess.run(["kill", "-9", pid], check=False)
                run("ip", "netns", "del", self.prefix + name)
        shutil.rmtree(self.dir, ignore_errors=True)


class LanAppliance:
    """The one with address 10.0.2.n; `rest`: of its configuration, what follows the port."""

    def __init__(self, lan, n, rest, idle_sleep_us):
        self.lan, self.n, self.dir, self.processes = lan, n, f"{lan.dir}/{n}", {}
        self.config = f"{self.dir}/poolgate.toml"
        for folder in ("run", "state", "sessions"):
            os.makedirs(f"{self.dir}/{folder}")
        with open(self.config, "w", encoding="utf-8") as f:
            name = f"{lan.prefix.rstrip('-')}{n}"
            f.write(appliance_toml(name, self.dir, name, memory=256, mbufs=8191, sessions=1024, idle_sleep_us=idle_sleep_us) +
                    PORT.format(n=n) + rest)

    def start(self, *names):
        """Whatever of it (or of these) does not run."""
        for name in names or BINARIES:
            if name not in self.processes:
                with open(f"{self.dir}/{name}.log", "a", encoding="utf-8") as log:
                    self.processes[name] = subprocess.Popen(
                        ["ip", "netns", "exec", f"{self.lan.prefix}a{self.n}", BINARIES[name], "--config", self.config],
                        stdin=subprocess.DEVNULL, stdout=log, stderr=log)

    def kill(self, *names):
        for name in names or tuple(self.processes):
            process = self.processes.pop(name, None)
            if process:
                process.kill()
                process.wait(30)

    def show_json(self, *words, check=True):
        return run(CLI, "--config", self.config, "show", *words, "json", check=check)

    def log(self, name, size=6000):
        with open(f"{self.dir}/{name}.log", encoding="utf-8", errors="replace") as f:
            return f.read()[-size:]
