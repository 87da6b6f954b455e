# SPDX-License-Identifier: BSD-3-Clause
"""The appliance where it is meant to be: on PCI NICs bound to vfio-pci behind an IOMMU, with hugepages, in a machine of
its own (a guest), deployed by the commands of README's section "Deploy it on two NICs" as they are written there.
Outside are the lab's client and servers, on the taps that are the guest's NICs."""
import os
import re
import sys
import unittest

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "functional"))
from lib.lab import AGENT, BUILD, ROOT, TOOLS, Lab, run, wait_until
from linux_guest import Guest, Nic

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
            with Guest(nics, netns=lab.namespace("net"), memory=2048, cpus=2, iommu=True,
                       modules=("tun", "vfio-pci", model)) as guest:
                try:
                    self.follow_readme(guest, model)
                    self.serve(lab)
                    drops = guest.run("poolgate-cli show port stats all; poolgate-cli show drops", 30)
                    self.assertIn("lan", drops)
                    guest.run("kill -TERM $(</share/dataplane.pid) $(</share/registrar.pid)")
                    for name in ("dataplane", "registrar"):
                        guest.run(f"for i in $(seq 100); do kill -0 $(</share/{name}.pid) 2>/dev/null || exit 0; sleep 0.1; done; exit 1", 30)
                except AssertionError as error:
                    raise AssertionError(f"{error}\n--- data plane\n{guest.read('dataplane.log')}\n--- registrar\n"
                                         f"{guest.read('registrar.log')}") from error

    def add_taps(self, lab):
        for number, bridge in enumerate(("br-pu", "br-pe")):
            tap = f"tap{number}"
            run("ip", "-n", lab.namespace("net"), "tuntap", "add", tap, "mode", "tap")
            run("ip", "-n", lab.namespace("net"), "link", "set", tap, "master", bridge, "up")

    def follow_readme(self, guest, model):
        """Runs README's commands, with this machine's PCI addresses for the README's, and no systemd."""
        addresses = [guest.run(f"grep -l {mac} /sys/bus/pci/devices/*/net/*/address", 10).split("/")[5] for mac in MACS]
        guest.run("mkdir -p /usr/local/bin /etc/poolgate; ln -sfn /proc/self/fd /dev/fd; "
                  f"ln -sf {BUILD}/dataplane/poolgate-dataplane {BUILD}/dataplane/cli/poolgate-cli "
                  f"{BUILD}/controlplane/registrar/process/poolgate-registrar /usr/local/bin/")
        example = run("cat", os.path.join(ROOT, "scripts", "poolgate.example.toml"))
        for number, pci in enumerate(addresses):
            example = example.replace(f"0000:01:00.{number}", pci)
        # The lab's addresses are the example's own; two virtual cores, and a guest without KVM must not spin.
        example = example.replace("worker_cores = [2, 3]", "worker_cores = [1]").replace("idle_sleep_us = 0", "idle_sleep_us = 200")
        with open(os.path.join(guest.share, "poolgate.toml"), "w", encoding="utf-8") as f:
            f.write(example)
        guest.run("cp /share/poolgate.toml /etc/poolgate/poolgate.toml")
        seen = []
        for command in readme_commands("Deploy it on two NICs"):
            for number, pci in enumerate(addresses):
                command = command.replace(f"0000:01:00.{number}", pci)
            if command.startswith("scripts/setup"):
                continue  # built and installed already: the links above
            if command.startswith("scripts/") or "doctor" in command:
                seen.append(command.split()[0])
                print(f"# {model}: {command}", flush=True)
                print(guest.run(f"cd {ROOT}; {command}", 120), flush=True)
        for wanted in ("scripts/hugepages", "scripts/nic", "poolgate-cli"):
            self.assertIn(wanted, seen)
        for name in ("dataplane", "registrar"):  # what the systemd units run
            with open(os.path.join(BUILD, "scripts", f"poolgate-{name}.service"), encoding="utf-8") as f:
                command = re.search(r"^ExecStart=(.*)$", f.read(), re.M).group(1)
            guest.run("mkdir -p /run/poolgate /var/lib/poolgate")
            pid = guest.spawn(command, f"{name}.log")
            guest.run(f"echo {pid} >/share/{name}.pid")
        wait_until(lambda: "link up" in guest.run("poolgate-cli show port stats all | sed 's/  up  / link up /'", 30, check=False), 90,
                   "the data plane's ports to be up")

    def serve(self, lab):
        """A server outside registers, and a client outside that knows nothing of RSerPool is redirected to it."""
        lab.spawn("pe1", "echo", f"{TOOLS}/poolgate-lab-echo", "--transport", "udp", "--address", "192.0.2.1", "--port", "5000",
                  "--name", "pe1")
        lab.spawn("pe1", "agent", AGENT, "register", "--registrar", "10.0.2.1:3863", "--pool", "EchoUdp", "--transport", "udp",
                  "--port", "5000", "--address", "10.0.2.11", "--lifetime", "60s", "--sctp", "raw")
        def answered():
            out = lab.run("pu", f"{TOOLS}/poolgate-lab-client", "--transport", "udp", "--to", "192.0.2.1:5000", "--count", "5",
                          "--rate", "50", "--timeout", "500", "--json", check=False)
            return '"pe1"' in out and out
        print(wait_until(answered, 90, "a redirected client to be answered by pe1"), flush=True)

    def test_e1000e_bound_to_vfio_pci(self):
        self.deploy("e1000e")

    def test_vmxnet3_bound_to_vfio_pci(self):
        self.deploy("vmxnet3")


if __name__ == "__main__":
    unittest.main()
