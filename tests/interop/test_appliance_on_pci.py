# SPDX-License-Identifier: BSD-3-Clause
"""The appliance where it is meant to be: on PCI NICs bound to vfio-pci behind an IOMMU, with hugepages, in a machine of
its own (a guest) under systemd, deployed by the commands of README's section "Deploy it on two NICs" as they are written there.
Outside are the lab's client and servers, on the taps that are the guest's NICs."""
import os
import re
import subprocess
import sys
import time
import unittest

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "functional"))
from lib.lab import AGENT, BUILD, ROOT, TOOLS, Lab, run, wait_until
from linux_guest import Guest, Nic

UNITS = ("poolgate-dataplane", "poolgate-registrar")
MACS = ("52:54:00:20:00:01", "52:54:00:20:00:02")


def readme_commands(heading):
    """The lines of the first console block under a heading of README.md, without their prompts."""
    with open(os.path.join(ROOT, "README.md"), encoding="utf-8") as f:
        text = f.read()
    section = re.search(rf"^#+ {re.escape(heading)}\n(.*?)(?=^#+ |\Z)", text, re.M | re.S)
    assert section, f"README.md has no section '{heading}'"
    block = re.search(r"^```console\n(.*?)^```", section.group(1), re.M | re.S)
    assert block, f"README.md: no console block under '{heading}'"
    lines = [line for line in block.group(1).splitlines() if line and not line.startswith("#")]
    return [line.removeprefix("$ ") for line in lines]


class ApplianceOnPci(unittest.TestCase):
    def deploy(self, model):
        with Lab("pgp-") as lab:
            self.add_taps(lab)
            nics = [Nic(tap=f"tap{n}", mac=MACS[n], model=model) for n in (0, 1)]
            with Guest(nics, netns=lab.namespace("net"), memory=2048, cpus=2, iommu=True, systemd=True,
                       modules=("tun", "vfio-pci", model)) as guest:
                try:
                    self.follow_readme(guest, model)
                    self.serve(lab)
                    self.assertIn("lan", guest.run("poolgate-cli show port stats all; poolgate-cli show drops", 30))
                    self.die_and_come_back(guest, lab)
                    self.stop(guest)
                except AssertionError as error:
                    raise AssertionError(f"{error}\n{self.told(guest, lab)}") from error

    def told(self, guest, lab):
        """What the appliance knows, and what one more question looks like on both wires: for whoever reads the failure."""
        captures = [lab.in_namespace("net", "timeout", "5", "tcpdump", "-enni", f"tap{n}", "--immediate-mode", "-c", "60") for n in (0, 1)]
        captures = [subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True) for command in captures]
        time.sleep(1)
        asked = self.one_question(lab)
        said = [f"--- one more question: {asked}"]
        said += [f"--- tap{n}\n{capture.communicate()[0]}" for n, capture in enumerate(captures)]
        for command in ("show port xstats all", "show drops", "show service all", "show session all", "show worker all"):
            said.append(f"--- {command}\n" + guest.run(f"poolgate-cli {command}", check=False))
        said.append("--- the guest's kernel\n" + guest.run("ip address; ip -s neighbor; ip route; ip -6 route", check=False))
        for ns in ("pu", "pe1"):
            said.append(f"--- {ns}\n" + lab.run(ns, "ip", "neighbor", check=False))
        said.append(guest.run(f"journalctl --no-pager -o cat -n 200 {' '.join(f'-u {unit}' for unit in UNITS)}", check=False))
        return "\n".join(said)

    def add_taps(self, lab):
        for number, bridge in enumerate(("br-pu", "br-pe")):
            tap = f"tap{number}"
            run("ip", "-n", lab.namespace("net"), "tuntap", "add", tap, "mode", "tap")
            run("ip", "-n", lab.namespace("net"), "link", "set", tap, "master", bridge, "up")

    def follow_readme(self, guest, model):
        """Runs README's commands, with this machine's PCI addresses for the README's."""
        addresses = [guest.run(f"grep -l {mac} /sys/bus/pci/devices/*/net/*/address", 10).split("/")[5] for mac in MACS]
        run("meson", "install", "-C", BUILD, "--no-rebuild", "--quiet", "--strip", "--destdir", os.path.join(guest.share, "installed"),
            timeout=120)
        guest.run("cp -a /share/installed/usr/local/. /usr/local/ && systemctl daemon-reload; ln -sfn /proc/self/fd /dev/fd")
        example = run("cat", os.path.join(ROOT, "scripts", "poolgate.example.toml"))
        for number, pci in enumerate(addresses):
            example = example.replace(f"0000:01:00.{number}", pci)
        # The lab's addresses are the example's own; two virtual cores, and a guest without KVM must not spin.
        example = example.replace("worker_cores = [2, 3]", "worker_cores = [1]").replace("idle_sleep_us = 0", "idle_sleep_us = 200")
        with open(os.path.join(guest.share, "poolgate.toml"), "w", encoding="utf-8") as f:
            f.write(example)
        seen = []
        for command in readme_commands("Deploy it on two NICs"):
            for number, pci in enumerate(addresses):
                command = command.replace(f"0000:01:00.{number}", pci)
            if command.startswith("scripts/setup"):
                continue  # built already, and installed above
            command, _, then = command.partition("   # then edit")
            print(f"# {model}: {command}", flush=True)
            print(guest.run(f"cd {ROOT}; {command}", 120), flush=True)
            if then:
                guest.run("cat /share/poolgate.toml >/etc/poolgate/poolgate.toml")
            seen.append(command.split()[0])
        for wanted in ("scripts/hugepages", "scripts/nic", "install", "poolgate-cli", "systemctl"):
            self.assertIn(wanted, seen)
        wait_until(lambda: "link up" in guest.run("poolgate-cli show port stats all | sed 's/  up  / link up /'", 30, check=False), 90,
                   "the data plane's ports to be up")

    def die_and_come_back(self, guest, lab):
        """README: "Either may be killed ...; `systemctl` starts it again"."""
        for unit in UNITS:
            before = guest.run(f"systemctl show -p MainPID {unit}")
            guest.run(f"systemctl kill -s KILL {unit}")
            wait_until(lambda: guest.run(f"systemctl is-active {unit}", check=False).strip() == "active" and
                       guest.run(f"systemctl show -p MainPID {unit}") != before, 60, f"{unit} to be started again")
        self.ask(lab)

    def stop(self, guest):
        guest.run(f"systemctl stop {' '.join(UNITS)}", 60)
        for unit in UNITS:
            self.assertIn("Result=success", guest.run(f"systemctl show -p Result {unit}"))

    def serve(self, lab):
        """A server outside registers, and a client outside that knows nothing of RSerPool is redirected to it."""
        lab.spawn("pe1", "echo", f"{TOOLS}/poolgate-lab-echo", "--transport", "udp", "--address", "192.0.2.1", "--port", "5000",
                  "--name", "pe1")
        lab.spawn("pe1", "agent", AGENT, "register", "--registrar", "10.0.2.1:3863", "--pool", "EchoUdp", "--transport", "udp",
                  "--port", "5000", "--address", "10.0.2.11", "--lifetime", "60s", "--sctp", "raw")
        self.ask(lab)

    @staticmethod
    def one_question(lab):
        return lab.run("pu", f"{TOOLS}/poolgate-lab-client", "--transport", "udp", "--to", "192.0.2.1:5000", "--count", "5",
                       "--rate", "50", "--timeout", "500", "--json", check=False)

    def ask(self, lab):
        def answered():
            out = self.one_question(lab)
            return '"pe1"' in out and out
        print(wait_until(answered, 90, "a redirected client to be answered by pe1"), flush=True)

    def test_e1000e_bound_to_vfio_pci(self):
        self.deploy("e1000e")

    def test_vmxnet3_bound_to_vfio_pci(self):
        self.deploy("vmxnet3")


if __name__ == "__main__":
    unittest.main()
