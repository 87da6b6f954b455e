# SPDX-License-Identifier: BSD-3-Clause
"""Frames as a test makes them with scapy, onto a device of the lab, and all that another device sees."""
import os
import subprocess
import sys
import tempfile

from scapy.utils import rdpcap

from lib.dataplane import Tcpdump
from lib.lab import wait_until

# One line of hexadecimal is one frame. A pause now and then, as none may be lost on the way.
SENDER = """
import socket, sys, time
wire = socket.socket(socket.AF_PACKET, socket.SOCK_RAW)
wire.bind((sys.argv[1], 0))
for number, line in enumerate(sys.stdin):
    if number % 64 == 63:
        time.sleep(0.004)
    wire.send(bytes.fromhex(line))
"""


def send(lab, ns, device, frames):
    done = subprocess.run(lab.in_namespace(ns, sys.executable, "-S", "-c", SENDER, device), timeout=60, text=True, capture_output=True,
                          input="".join(bytes(frame).hex() + "\n" for frame in frames))
    if done.returncode != 0:
        raise AssertionError(done.stderr)


class Watch(Tcpdump):
    """The frames that pass a device between the start and the end of the block."""

    def __init__(self, lab, ns, device, expression):
        descriptor, self.file = tempfile.mkstemp(prefix="poolgate-frames-", suffix=".pcap")
        os.close(descriptor)
        self.process = subprocess.Popen(
            lab.in_namespace(ns, "tcpdump", "-U", "-n", "-p", "--immediate-mode", "-B", "16384", "-Z", "root", "-i", device, "-w", self.file,
                             expression), stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True)

    def __exit__(self, *_):
        self.process.terminate()
        self.process.wait(60)
        self.process.stderr.close()
        os.unlink(self.file)

    def frames(self):
        """So far; none while the first is being written."""
        if os.path.getsize(self.file) <= 24:
            return []
        return list(rdpcap(self.file))

    def wait_for_frames(self, count):
        """The first time there are so many; an AssertionError tells those that there are."""
        try:
            return wait_until(lambda: found if len(found := self.frames()) >= count else None, 20, f"{count} frames")
        except AssertionError as error:
            raise AssertionError(f"{error}; there are {[frame.summary() for frame in self.frames()]}") from None

    def wait_for(self, payload, what):
        """All frames up to the one that holds these bytes, which is waited for."""
        def frames_before():
            with open(self.file, "rb") as f:
                if payload not in f.read():
                    return None
            frames = self.frames()
            ends = [n for n, frame in enumerate(frames) if payload in bytes(frame)]
            return (frames[:ends[0]],) if ends else None
        return wait_until(frames_before, 20, what)[0]
