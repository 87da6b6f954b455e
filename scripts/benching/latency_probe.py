#!/usr/bin/python3
# SPDX-License-Identifier: BSD-3-Clause
"""Takes the lab's latencies, one a round, in milliseconds: latency_probe.py control|registration|silence PREFIX ROUNDS [BUILD]

One process enters each namespace by setns for the sockets that it needs there, so that all times are of one clock.
"""
import ctypes
import os
import select
import signal
import socket
import struct
import subprocess
import sys
import time

CLONE_NEWNET = 0x40000000
ETH_P_ALL = 3
VIP, PORT = "192.0.2.1", 5000
POOL = "EchoUdp"
libc = ctypes.CDLL(None, use_errno=True)


def enter(namespace: str) -> None:
    with open(f"/run/netns/{namespace}", "rb") as f:
        if libc.setns(f.fileno(), CLONE_NEWNET) != 0:
            raise OSError(ctypes.get_errno(), f"setns {namespace}")


def packet_socket(namespace: str, device: str) -> socket.socket:
    enter(namespace)
    s = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, socket.htons(ETH_P_ALL))
    s.bind((device, 0))
    s.setblocking(False)
    return s


def is_registration(frame: bytes) -> bool:
    """An SCTP DATA chunk with PPID 11 whose payload is an ASAP_REGISTRATION."""
    if len(frame) < 50 or frame[12:14] != b"\x08\x00" or frame[23] != 132:
        return False
    at = 14 + (frame[14] & 15) * 4 + 12
    while at + 17 <= len(frame):
        kind, length = frame[at], struct.unpack_from("!H", frame, at + 2)[0]
        if kind == 0 and struct.unpack_from("!I", frame, at + 12)[0] == 11 and frame[at + 16] == 1:
            return True
        if length < 4:
            return False
        at += (length + 3) & ~3
    return False


def is_request(frame: bytes) -> bool:
    """A UDP datagram to the VIP's port, from whomever."""
    return (len(frame) >= 42 and frame[12:14] == b"\x08\x00" and frame[23] == 17
            and frame[30:34] == socket.inet_aton(VIP) and struct.unpack_from("!H", frame, 36)[0] == PORT)


def received(s: socket.socket):
    """Frames that came to this host, and those that left: (frame, incoming). Not those for others, which a bridge floods."""
    while True:
        try:
            frame, address = s.recvfrom(2048)
        except BlockingIOError:
            return
        if address[2] in (socket.PACKET_HOST, socket.PACKET_OUTGOING):
            yield frame, address[2] == socket.PACKET_HOST


class Lab:
    def __init__(self, prefix: str, build: str):
        self.prefix, self.build = prefix, build
        self.taps = {n: packet_socket(f"{prefix}pe{n}", "eth0") for n in (1, 2)}
        enter(f"{prefix}pu")
        self.client = None

    def new_flow(self) -> None:
        if self.client:
            self.client.close()
        self.client = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self.client.setblocking(False)
        self.client.connect((VIP, PORT))

    def server(self, n: int) -> subprocess.Popen:
        return self.inside(n, f"{self.build}/tests/tools/poolgate-lab-echo", "--transport", "udp", "--address", VIP,
                           "--port", str(PORT), "--name", f"pe{n}")

    def agent(self, n: int) -> subprocess.Popen:
        return self.inside(n, f"{self.build}/controlplane/agent/poolgate-agent", "register", "--registrar", "10.0.2.1:3863",
                           "--pool", POOL, "--transport", "udp", "--port", str(PORT), "--address", f"10.0.2.1{n}",
                           "--sctp", "raw", "--lifetime", "30s")

    def inside(self, n: int, *command) -> subprocess.Popen:
        return subprocess.Popen(["ip", "netns", "exec", f"{self.prefix}pe{n}", *command], stdout=subprocess.DEVNULL,
                                stderr=subprocess.DEVNULL)

    def links(self, n: int, state: str) -> None:
        for device in ("eth0", "eth1"):
            subprocess.run(["ip", "-n", f"{self.prefix}net", "link", "set", f"pe{n}.{device}", state], check=True)

    def send(self) -> None:
        try:
            self.client.send(b"probe")
            self.client.recv(100)
        except OSError:
            pass  # refused, or no answer yet

    def until(self, done, limit_s: float, every_s: float = 0.0005):
        """Sends a datagram each `every_s` and offers frames to done(pe, frame, incoming) until it gives a value."""
        end = time.monotonic() + limit_s
        while time.monotonic() < end:
            self.send()
            select.select(list(self.taps.values()), [], [], every_s)
            for pe, tap in self.taps.items():
                for frame, incoming in received(tap):
                    value = done(pe, frame, incoming)
                    if value is not None:
                        return value
        return None

    def drain(self) -> None:
        for tap in self.taps.values():
            for _ in received(tap):
                pass


def stop(process: subprocess.Popen, number=signal.SIGTERM) -> None:
    process.send_signal(number)
    try:
        process.wait(10)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()


def registration(lab: Lab) -> float:
    lab.new_flow()
    lab.drain()
    sent = {}

    def first_packet(pe, frame, incoming):
        if pe == 1 and not incoming and is_registration(frame):
            sent.setdefault("at", time.monotonic())
        if pe == 1 and incoming and "at" in sent and is_request(frame):
            return time.monotonic() - sent["at"]
        return None

    agent = lab.agent(1)
    taken = lab.until(first_packet, 20)
    stop(agent)
    # The pool must be empty again before the next round.
    time.sleep(0.2)
    return taken


def silence(lab: Lab) -> float:
    agents = [lab.agent(1), lab.agent(2)]
    lab.new_flow()
    lab.drain()
    time.sleep(1)  # both are registered: a hunt and a handshake take some 10 ms
    serving = lab.until(lambda pe, frame, incoming: pe if incoming and is_request(frame) else None, 20)
    if serving is None:
        for agent in agents:
            stop(agent)
        return None
    lab.drain()
    cut = time.monotonic()
    lab.links(serving, "down")
    other = 3 - serving
    taken = lab.until(
        lambda pe, frame, incoming: time.monotonic() - cut if pe == other and incoming and is_request(frame) else None, 30)
    stop(agents[serving - 1], signal.SIGKILL)
    stop(agents[other - 1])
    lab.links(serving, "up")
    # More deaths of a pool within panic_window (5 s), and the guard holds their sessions.
    time.sleep(6)
    return taken


def control() -> float:
    ours, theirs = socket.socketpair()
    pid = os.fork()
    if pid == 0:
        ours.close()
        while data := theirs.recv(64):
            theirs.send(data)
        os._exit(0)
    theirs.close()
    begin = time.monotonic()
    for _ in range(100):
        ours.send(b"probe")
        ours.recv(64)
    taken = (time.monotonic() - begin) / 100
    ours.close()
    os.waitpid(pid, 0)
    return taken


def main() -> None:
    what, prefix, rounds = sys.argv[1], sys.argv[2], int(sys.argv[3])
    if what == "control":
        for _ in range(rounds):
            print(f"{control() * 1000:.4f}")
        return
    lab = Lab(prefix, sys.argv[4])
    servers = [lab.server(1), lab.server(2)]
    try:
        for _ in range(rounds):
            taken = registration(lab) if what == "registration" else silence(lab)
            if taken is not None:
                print(f"{taken * 1000:.3f}", flush=True)
            else:
                print(f"{what}: a round gave no figure", file=sys.stderr)
    finally:
        for server in servers:
            stop(server)


main()
