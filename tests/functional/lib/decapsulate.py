# SPDX-License-Identifier: BSD-3-Clause
"""A PE's end of a tunnel, for kernels that are built without ipip, sit, ip6_tunnel and fou: decapsulate.py ipip|gue.
What comes in outer packets goes to this host by a TUN device; prints each outer packet's shape once, as "ipip 4in6 SOURCE PORT"."""
import fcntl
import os
import selectors
import socket
import struct
import sys

GUE_PORT = 6080


def open_tun(name):
    device = os.open("/dev/net/tun", os.O_RDWR)
    fcntl.ioctl(device, 0x400454CA, struct.pack("16sH", name.encode(), 0x1001))  # TUNSETIFF, IFF_TUN | IFF_NO_PI
    os.system(f"ip link set {name} up; sysctl -qw net.ipv4.conf.all.rp_filter=0 net.ipv4.conf.{name}.rp_filter=0")
    return device


def sockets(mode):
    """(socket, outer family, bytes of headers before the inner packet as the socket gives it)"""
    for family, outer in ((socket.AF_INET, 4), (socket.AF_INET6, 6)):
        if mode == "gue":
            s = socket.socket(family, socket.SOCK_DGRAM)
            if outer == 6:
                s.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
                s.setsockopt(socket.IPPROTO_UDP, 102, 1)  # UDP_NO_CHECK6_RX: RFC 6935
            s.bind(("", GUE_PORT))
            yield s, outer, 4
            continue
        for protocol in (4, 41):
            yield socket.socket(family, socket.SOCK_RAW, protocol), outer, 20 if outer == 4 else 0


def main():
    mode = sys.argv[1]
    tun = open_tun("tunnel0")
    selector = selectors.DefaultSelector()
    for s, outer, skip in sockets(mode):
        selector.register(s, selectors.EVENT_READ, (outer, skip))
    print("ready", flush=True)
    seen = set()
    while True:
        for key, _ in selector.select():
            packet, source = key.fileobj.recvfrom(65535)
            outer, skip = key.data
            inner = packet[skip:]
            if mode == "gue" and packet[:4] not in (b"\0\4\0\0", b"\0\x29\0\0"):
                print("bad GUE header", packet[:4].hex(), flush=True)
                continue
            os.write(tun, inner)
            shape = f"{mode} {inner[0] >> 4}in{outer} {source[0]} {source[1] if mode == 'gue' else 0}"
            if shape not in seen:
                seen.add(shape)
                print(shape, flush=True)


main()
