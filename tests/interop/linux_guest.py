#!/usr/bin/env python3
# SPDX-License-Identifier: BSD-3-Clause
"""A Linux host with kernel SCTP for interop tests: Debian's kernel under QEMU, on this machine's own root file system
(read-only, under a tmpfs overlay), so that every program installed here runs there. It boots in seconds, without KVM.

    with Guest(nics=[Nic(tap="tap0")]) as guest:
        guest.run("ip addr add 10.10.0.2/24 dev eth0; ip link set eth0 up")

Commands go in, and their output comes back, as lines of JSON over a second serial port. `guest.share` is a folder that
both see, /share in the guest.

As a program:  linux_guest.py [--tap IFNAME]... [--user-net] [--memory MIB] [--modules "m1 m2"] COMMAND
               linux_guest.py --fetch          only gets the kernel
"""
import argparse
import dataclasses
import glob
import json
import os
import shutil
import socket
import subprocess
import sys
import tempfile
import threading
import time

CACHE = os.path.join(os.environ.get("XDG_CACHE_HOME") or os.path.expanduser("~/.cache"), "poolgate-guest")
AGENT = os.path.join(os.path.dirname(os.path.abspath(__file__)), "linux_guest_agent.py")
BOOT_MODULES = ["virtio_pci", "9pnet_virtio", "9p", "overlay", "virtio_net"]
MOUNT_9P = "trans=virtio,version=9p2000.L,msize=262144"

# The first program of the guest: busybox mounts the real root and gives way to /bin/bash there.
EARLY_INIT = f"""#!/bin/busybox sh
bb=/bin/busybox
$bb mount -t proc proc /proc
$bb mount -t devtmpfs dev /dev
for module in /modules/*; do $bb insmod "$module"; done
$bb mount -t 9p -o {MOUNT_9P},ro,cache=loose host /lower
$bb mount -t tmpfs tmpfs /over
$bb mkdir /over/upper /over/work
$bb mount -t overlay -o lowerdir=/lower,upperdir=/over/upper,workdir=/over/work overlay /merged
$bb mkdir -p /merged/share /merged/lib/modules
$bb mount -t 9p -o {MOUNT_9P} share /merged/share
$bb mount -t 9p -o {MOUNT_9P},ro modules /merged/lib/modules
$bb umount /proc
$bb mount --move /dev /merged/dev
exec $bb switch_root /merged /bin/bash /share/.guest/init
"""
INIT = """
export PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin HOME=/root LC_ALL=C.UTF-8
mount -t proc proc /proc
mount -t sysfs sys /sys
mount -t tmpfs tmp /run
mount -t tmpfs tmp /tmp
mkdir -p /dev/shm /dev/pts /run/netns
mount -t tmpfs shm /dev/shm
echo 1 >/proc/sys/kernel/printk
hostname guest
ip link set lo up
for module in MODULES; do modprobe "$module" || echo "guest: no module $module"; done
START
sync
echo o >/proc/sysrq-trigger
sleep 60
"""
START_AGENT = "/usr/bin/python3 /share/.guest/agent.py /dev/ttyS1"
# The same agent as a service, beside what any service needs of systemd and nothing else that is enabled on this machine.
START_SYSTEMD = f"""
mkdir -p /run/systemd/system
cat >/run/systemd/system/guest.target <<END
[Unit]
Requires=basic.target guest-agent.service
AllowIsolate=yes
END
cat >/run/systemd/system/guest-agent.service <<END
[Unit]
DefaultDependencies=no
# Devices have the names then that udev gives them.
Wants=systemd-udev-settle.service
After=systemd-udev-settle.service
[Service]
ExecStart={START_AGENT}
END
echo 00000000000000000000000000000001 >/etc/machine-id
exec /lib/systemd/systemd --unit=guest.target
"""


class GuestFailed(AssertionError):
    pass


@dataclasses.dataclass
class Nic:
    tap: str = ""  # an existing tap device; without one QEMU's user-mode network
    mac: str = ""
    model: str = "virtio-net-pci"


def kernel_image():
    """The path of Debian's kernel, taken from its package once."""
    def cached():
        return sorted(glob.glob(os.path.join(CACHE, "root", "boot", "vmlinuz-*")))

    if not cached():
        os.makedirs(CACHE, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=CACHE) as work:
            depends = subprocess.run(["apt-cache", "depends", "linux-image-amd64"], capture_output=True, text=True, check=True)
            package = next(line.split()[-1] for line in depends.stdout.splitlines() if "Depends:" in line)
            subprocess.run(["apt-get", "-o", "APT::Sandbox::User=root", "-o", "DPkg::Lock::Timeout=600", "download", package],
                           cwd=work, check=True, capture_output=True)
            subprocess.run(["dpkg", "-x", glob.glob(os.path.join(work, "*.deb"))[0], os.path.join(work, "root")], check=True)
            os.replace(os.path.join(work, "root"), os.path.join(CACHE, "root"))
    image = cached()[-1]
    release = os.path.basename(image).removeprefix("vmlinuz-")
    if not os.path.exists(os.path.join(CACHE, "root", "lib", "modules", release, "modules.dep")):
        subprocess.run(["depmod", "-b", os.path.join(CACHE, "root"), release], check=True)
    return image, release


def make_initrd(folder, release):
    tree = os.path.join(folder, "initrd")
    for name in ("bin", "modules", "proc", "dev", "lower", "over", "merged"):
        os.makedirs(os.path.join(tree, name))
    shutil.copy("/bin/busybox", os.path.join(tree, "bin"))
    files = []
    for module in BOOT_MODULES:
        listed = subprocess.run(["modprobe", "-d", os.path.join(CACHE, "root"), "-S", release, "--show-depends", module],
                                capture_output=True, text=True, check=True)
        for words in (line.split() for line in listed.stdout.splitlines()):
            if words[0] == "insmod" and words[1] not in files:
                files.append(words[1])
    for number, path in enumerate(files):  # busybox's glob sorts: dependencies first
        shutil.copy(path, os.path.join(tree, "modules", f"{number:02}-{os.path.basename(path)}"))
    init = os.path.join(tree, "init")
    with open(init, "w", encoding="utf-8") as f:
        f.write(EARLY_INIT)
    os.chmod(init, 0o755)
    image = os.path.join(folder, "initrd.img")
    subprocess.run(f"find . | cpio -o -H newc 2>/dev/null | gzip -1 >{image}", shell=True, cwd=tree, check=True)
    return image


class Guest:
    """One boot. `netns` is the network namespace in which QEMU runs, where its taps are."""

    def __init__(self, nics=(), netns="", memory=768, cpus=1, modules=("sctp", "veth"), iommu=False, systemd=False,
                 boot_seconds=180):
        self.nics, self.netns, self.memory, self.cpus, self.modules = list(nics), netns, memory, cpus, modules
        self.iommu, self.systemd, self.boot_seconds = iommu, systemd, boot_seconds
        self.lock = threading.Lock()
        self.requests = 0

    def __enter__(self):
        self.scratch = tempfile.TemporaryDirectory(prefix="poolgate-guest-")
        self.share = os.path.join(self.scratch.name, "share")
        os.makedirs(os.path.join(self.share, ".guest"))
        shutil.copy(AGENT, os.path.join(self.share, ".guest", "agent.py"))
        with open(os.path.join(self.share, ".guest", "init"), "w", encoding="utf-8") as f:
            f.write(INIT.replace("MODULES", " ".join(self.modules)).replace("START", START_SYSTEMD if self.systemd else START_AGENT))
        self.console = os.path.join(self.scratch.name, "console")
        self.process = subprocess.Popen(self.command(), stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL,
                                        stderr=subprocess.PIPE, text=True)
        try:
            self.attach()
        except BaseException:
            self.__exit__()
            raise
        return self

    def __exit__(self, *_):
        if self.process.poll() is None:
            self.process.kill()
        self.process.wait()
        self.process.stderr.close()
        if hasattr(self, "port"):
            self.replies.close()
            self.port.close()
        self.scratch.cleanup()

    def command(self):
        kernel, release = kernel_image()
        initrd = make_initrd(self.scratch.name, release)
        # nice: it has a machine of its own in life; here a busy neighbour must not look like a dead host.
        command = ["nice", "-n", "-10"] + (["ip", "netns", "exec", self.netns] if self.netns else [])
        # no_timer_check: a guest that gets no processor for a moment while it counts its timer's interrupts would panic.
        machine, boot = ("q35,kernel-irqchip=split", "intel_iommu=on ") if self.iommu else ("q35", "")
        command += ["qemu-system-x86_64", "-machine", machine, "-accel", "tcg", "-cpu", "max",
                    "-m", str(self.memory), "-smp", str(self.cpus), "-nodefaults", "-no-user-config", "-display", "none",
                    "-no-reboot", "-serial", f"file:{self.console}",
                    "-chardev", f"socket,id=agent,path={self.scratch.name}/agent,server=on,wait=off", "-serial", "chardev:agent",
                    "-kernel", kernel, "-initrd", initrd, "-append", f"{boot}no_timer_check console=ttyS0 quiet loglevel=1 panic=-1"]
        if self.iommu:
            command += ["-device", "intel-iommu,caching-mode=on"]
        for tag, path, extra in (("host", "/", ",readonly=on"), ("modules", os.path.join(CACHE, "root/lib/modules"), ",readonly=on"),
                                 ("share", self.share, "")):
            command += ["-fsdev", f"local,id={tag},path={path},security_model=none,multidevs=remap{extra}",
                        "-device", f"virtio-9p-pci,fsdev={tag},mount_tag={tag}"]
        for number, nic in enumerate(self.nics):
            backend = f"tap,ifname={nic.tap},script=no,downscript=no" if nic.tap else "user"
            # No offloads: a frame on the tap is a frame of a wire, checksums and all.
            plain = ",csum=off,guest_csum=off,gso=off" if nic.model == "virtio-net-pci" else ""
            command += ["-netdev", f"{backend},id=nic{number}", "-device",
                        f"{nic.model},netdev=nic{number},romfile={plain}" + (f",mac={nic.mac}" if nic.mac else "")]
        return command

    def attach(self):
        """Waits for the agent's first line."""
        end = time.monotonic() + self.boot_seconds
        self.port = socket.socket(socket.AF_UNIX)
        while True:
            try:
                self.port.connect(os.path.join(self.scratch.name, "agent"))
                break
            except (FileNotFoundError, ConnectionRefusedError):
                if self.process.poll() is not None or time.monotonic() > end:
                    raise GuestFailed(f"QEMU did not start: {self.process.stderr.read()}") from None
                time.sleep(0.05)
        self.replies = self.port.makefile("rb")
        self.port.settimeout(max(1, end - time.monotonic()))
        try:
            while b'"ready"' not in (line := self.replies.readline()):
                if not line:
                    raise GuestFailed(f"the guest ended while it booted:\n{self.console_text()}")
        except TimeoutError:
            raise GuestFailed(f"no guest within {self.boot_seconds} s:\n{self.console_text()}") from None

    def console_text(self):
        with open(self.console, encoding="utf-8", errors="replace") as f:
            return f.read()

    def run(self, script, timeout=60, check=True):
        """Runs a bash script as root in the guest; its output, both streams. GuestFailed if its status is not 0."""
        status, output = self.call(script, timeout)
        if check and status != 0:
            raise GuestFailed(f"exit status {status} in the guest: {script}\n{output}")
        return output

    def call(self, script, timeout=60):
        """(exit status, output); status 124 if it was stopped after `timeout` seconds."""
        return self.ask(timeout, script=script, timeout=timeout)

    def send_frames(self, frames):
        """Sends (device, frame as hexadecimal digits) each, from the guest's first namespace."""
        self.ask(60, frames=frames)

    def ask(self, seconds, **request):
        with self.lock:
            self.requests += 1
            self.port.settimeout(seconds + 60)
            self.port.sendall(json.dumps({"id": self.requests, **request}).encode() + b"\n")
            while True:
                try:
                    line = self.replies.readline()
                except TimeoutError:
                    raise GuestFailed(f"the guest does not answer:\n{self.console_text()}") from None
                if not line:
                    raise GuestFailed(f"the guest ended:\n{self.console_text()}")
                reply = json.loads(line)
                if reply.get("id") == self.requests:
                    return reply["status"], reply["output"]

    def spawn(self, command, log):
        """Starts a command in the guest; its pid there. Its output goes to `log` in the shared folder."""
        return int(self.run(f"setsid bash -c {shell_quote('exec ' + command)} </dev/null >/share/{log} 2>&1 & echo $!"))

    def read(self, name):
        """A file of the shared folder, as text; empty if it is not there yet."""
        try:
            with open(os.path.join(self.share, name), encoding="utf-8", errors="replace") as f:
                return f.read()
        except FileNotFoundError:
            return ""


def shell_quote(text):
    return "'" + text.replace("'", "'\\''") + "'"


def main():
    options = argparse.ArgumentParser(prog="linux_guest.py")
    options.add_argument("--fetch", action="store_true")
    options.add_argument("--tap", action="append", default=[])
    options.add_argument("--user-net", action="store_true")
    options.add_argument("--memory", type=int, default=768)
    options.add_argument("--modules", default="")
    options.add_argument("--systemd", action="store_true")
    options.add_argument("--timeout", type=int, default=120)
    options.add_argument("command", nargs=argparse.REMAINDER)
    chosen = options.parse_args()
    if chosen.fetch:
        print(kernel_image()[0])
        return 0
    nics = [Nic(tap=name) for name in chosen.tap] + ([Nic()] if chosen.user_net else [])
    with Guest(nics, memory=chosen.memory, modules=["sctp", "veth"] + chosen.modules.split(),
               systemd=chosen.systemd) as guest:
        status, output = guest.call(" ".join(chosen.command), chosen.timeout)
    print(output, end="")
    return status


if __name__ == "__main__":
    sys.exit(main())
