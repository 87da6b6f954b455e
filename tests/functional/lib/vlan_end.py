# SPDX-License-Identifier: BSD-3-Clause
"""A host's VLAN device, for kernels that are built without 8021q: vlan_end.py DEVICE VID.
DEVICE's addresses and routes go to a TAP `vlan`; what that sends leaves DEVICE with the tag, and what comes with it is that's."""
import fcntl
import os
import selectors
import socket
import struct
import subprocess
import sys

SOL_PACKET, PACKET_AUXDATA, PACKET_OUTGOING = 263, 8, 4
VLAN_VALID = 0x10  # TP_STATUS_VLAN_VALID: the kernel took the tag out of the frame
TAG = b"\x81\x00"


def ip(*arguments):
    return subprocess.run(["ip", *arguments], check=True, capture_output=True, text=True).stdout


def open_tap(device):
    tap = os.open("/dev/net/tun", os.O_RDWR)
    fcntl.ioctl(tap, 0x400454CA, struct.pack("16sH", b"vlan", 0x1002))  # TUNSETIFF, IFF_TAP | IFF_NO_PI
    with open(f"/sys/class/net/{device}/address", encoding="ascii") as f:
        ip("link", "set", "vlan", "address", f.read().strip())
    os.system(f"sysctl -qw net.ipv4.conf.all.rp_filter=0 net.ipv4.conf.vlan.rp_filter=0 net.ipv4.conf.{device}.rp_filter=0")
    return tap


def move(device):
    routes = [(family, line.split()) for family in ("-4", "-6") for line in ip(family, "route", "show", "dev", device).splitlines()]
    addresses = [line.split()[3] for line in ip("-o", "addr", "show", "dev", device, "scope", "global").splitlines()]
    ip("addr", "flush", "dev", device, "scope", "global")
    ip("link", "set", "vlan", "up")
    for address in addresses:
        ip("addr", "add", address, "dev", "vlan", *(["nodad"] if ":" in address else []))
    for family, words in routes:
        if "via" in words:
            ip(family, "route", "replace", words[0], "via", words[words.index("via") + 1], "dev", "vlan")


def tag_of(frame, messages):
    """(VID or None, the frame without its tag)"""
    for level, kind, data in messages:
        if (level, kind) == (SOL_PACKET, PACKET_AUXDATA):
            status, _, _, _, _, tci, _ = struct.unpack("IIIHHHH", data[:20])
            if status & VLAN_VALID:
                return tci & 0xfff, frame
    if frame[12:14] == TAG:
        return struct.unpack("!H", frame[14:16])[0] & 0xfff, frame[:12] + frame[16:]
    return None, frame


def main():
    device, vid = sys.argv[1], int(sys.argv[2])
    wire = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, socket.htons(3))
    wire.setsockopt(SOL_PACKET, PACKET_AUXDATA, 1)
    wire.bind((device, 3))
    tap = open_tap(device)
    move(device)
    selector = selectors.DefaultSelector()
    selector.register(wire, selectors.EVENT_READ)
    selector.register(tap, selectors.EVENT_READ)
    print("ready", flush=True)
    while True:
        for key, _ in selector.select():
            if key.fileobj == tap:
                frame = os.read(tap, 65535)
                wire.send(frame[:12] + TAG + struct.pack("!H", vid) + frame[12:])
                continue
            frame, messages, _, sender = wire.recvmsg(65535, 256)
            found, frame = tag_of(frame, messages)
            if sender[2] != PACKET_OUTGOING and found == vid:
                os.write(tap, frame)


main()
