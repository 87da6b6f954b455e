# SPDX-License-Identifier: BSD-3-Clause
"""The SCTP packets on a host's links in redirect_lab.py's networks, seen where it takes them: at its taps.

    with Wire(lab, "client") as wire: ...
    wire.packets     # in the order of time, once it has ended
"""
import collections
import ipaddress
import struct

from lib.lab import wait_until

ABORT, T_BIT = 6, 1
Packet = collections.namedtuple("Packet", "time mac source destination from_port to_port tag chunk flags")  # chunk: its first
ETHERNET, SCTP = 14, 132


class Wire:
    def __init__(self, lab, host):
        self.lab, self.taps, self.packets = lab.lab, [f"{host}.{n}" for n in (0, 1)], []

    def __enter__(self):
        for tap in self.taps:
            self.lab.spawn("net", tap, "tcpdump", "-i", tap, "-n", "-U", "-Z", "root", "-B", "8192", "-s", "96", "-w", self.file(tap),
                           "ip proto 132 or ip6 proto 132")
        for tap in self.taps:
            wait_until(lambda tap=tap: "listening on" in self.lab.log(tap), 30, f"tcpdump at {tap}")
        return self

    def __exit__(self, *_):
        for tap in self.taps:
            self.lab.kill(tap, "INT")
            with open(self.file(tap), "rb") as f:
                self.packets += read(f.read())
        self.packets.sort()

    def file(self, tap):
        return f"{self.lab.dir}/{tap}.pcap"

    def aborts_to(self, port):
        """Those to a port of the host's."""
        return [p for p in self.packets if p.chunk == ABORT and p.to_port == port]

    def tags_from(self, port):
        """Those of its packets from a port, but for its INITs, which have none: of each of its associations one, in order."""
        return list(dict.fromkeys(p.tag for p in self.packets if p.from_port == port and p.tag and p.chunk != ABORT))


def read(pcap):
    """A little-endian one of Ethernet frames, as tcpdump writes it here."""
    packets, at = [], 24
    while at + 16 <= len(pcap):
        seconds, micros, length = struct.unpack_from("<III", pcap, at)
        frame = pcap[at + 16:at + 16 + length]
        at += 16 + length
        ip = frame[ETHERNET:]
        if len(ip) < 20:
            continue
        size, header, protocol = (4, (ip[0] & 15) * 4, ip[9]) if ip[0] >> 4 == 4 else (16, 40, ip[6])
        if protocol != SCTP or len(ip) < header + 14:
            continue
        addresses = header - 2 * size if size == 16 else 12
        source, destination = (str(ipaddress.ip_address(ip[addresses + n * size:addresses + (n + 1) * size])) for n in (0, 1))
        from_port, to_port, tag = struct.unpack_from(">HHI", ip, header)
        packets.append(Packet(seconds + micros / 1e6, frame[6:12].hex(":"), source, destination, from_port, to_port, tag, ip[header + 12],
                              ip[header + 13]))
    return packets
