# SPDX-License-Identifier: BSD-3-Clause
"""Fragments through the real worker: the first teaches, the rest follow, in a bounded table. The ports are net_pcap's, which hands
fragments over as they come (net_af_packet has them put together)."""
import collections
import itertools
import json
import random
import subprocess
import sys
import time
import unittest

from scapy.layers.inet import IP, UDP, fragment, in4_chksum
from scapy.layers.inet6 import IPv6, IPv6ExtHdrFragment, fragment6, in6_chksum
from scapy.layers.l2 import Ether
from scapy.layers.sctp import SCTP, SCTPChunkCookieEcho, SCTPChunkData, SCTPChunkInit, crc32c

from lib.dataplane import start_alone
from lib.frames import Watch, send

PES = (1, 2, 3)
VIPS = {4: "192.0.2.1", 6: "2001:db8::1"}
CLIENTS = {4: "10.0.1.2", 6: "fd00:1::2"}
PE_PREFIX = {4: "10.0.2.1", 6: "fd00:2::1"}
SNAT = {4: "10.0.2.201", 6: "fd00:2::201"}  # for UDP: with other ports SCTP's checksum would change with what no fragment tells, the length
MODES = {"l2": 5000, "nat": 6000}  # the services' ports, and the servers'
WAYS = 4096  # of the table: FragmentTable's kSets * kWays
LIFETIME_SECONDS = 2  # its kLifetimeMs
TAG = 0x1234
NAT_SERVICES = "".join(f"""
[[service]]
name = "nat-{protocol}"
vips = ["{VIPS[4]}", "{VIPS[6]}"]
protocol = "{protocol}"
port = {MODES["nat"]}
pool = "Nat{protocol}"
mode = "nat"
{snat}
""" for protocol, snat in (("udp", f'snat = ["{SNAT[4]}", "{SNAT[6]}"]'), ("sctp", "")))
SERVER = """
import selectors, socket, sys
selector = selectors.DefaultSelector()
for end in sys.argv[1:]:
    address, port = end.split(",")
    server = socket.socket(socket.AF_INET6 if ":" in address else socket.AF_INET, socket.SOCK_DGRAM)
    server.bind((address, int(port)))
    selector.register(server, selectors.EVENT_READ)
print("ready", flush=True)
while True:
    for key, _ in selector.select():
        data, client = key.fileobj.recvfrom(65535)
        key.fileobj.sendto(data, client)
"""
CLIENT = """
import os, socket, sys
address, port, size = sys.argv[1], int(sys.argv[2]), int(sys.argv[3])
client = socket.socket(socket.AF_INET6 if ":" in address else socket.AF_INET, socket.SOCK_DGRAM)
client.settimeout(1)
client.connect((address, port))
sent = os.urandom(size)
for attempt in range(30):  # neighbours may have to be asked for first
    client.send(sent)
    try:
        print(size, "right" if client.recv(65535) == sent else "wrong")
        break
    except TimeoutError:
        pass
"""
numbers = itertools.count(1)  # of datagrams, their identification


def address(frame, which):
    return frame[IP if IP in frame else IPv6].getfieldval(which)


def is_fragment(frame):
    return IPv6ExtHdrFragment in frame or IP in frame and (frame[IP].frag > 0 or "MF" in str(frame[IP].flags))


def cut(ethernet, family, ends, transport, size=512):
    """The frames of one datagram between these ends, in order; `size`: bytes of it in each."""
    number = next(numbers)
    if family == 4:
        packets = fragment(IP(src=ends[0], dst=ends[1], id=number) / transport, size)
    else:
        packets = fragment6(IPv6(src=ends[0], dst=ends[1]) / IPv6ExtHdrFragment(id=number) / transport, size + 48)
    return [Ether(bytes(ethernet / packet)) for packet in packets]


def place(frame):
    """(identification, offset, whether more follow, the bytes) of a fragment."""
    if IP in frame:
        header = frame[IP]
        return header.id, header.frag * 8, "MF" in str(header.flags), bytes(header.payload)[:header.len - 20]
    header = frame[IPv6ExtHdrFragment]
    return header.id, header.offset * 8, bool(header.m), bytes(header.payload)[:frame[IPv6].plen - 8]


def datagrams(frames):
    """{identification: (frames, the transport's bytes)}, which must be there without a gap or an overlap."""
    found = {}
    for frame in frames:
        found.setdefault(place(frame)[0], []).append(frame)
    for number, parts in found.items():
        whole = b""
        for _, offset, more, data in sorted((place(frame) for frame in parts), key=lambda part: part[1]):
            assert offset == len(whole), f"datagram {number} at {len(whole)}: {offset}"
            whole += data
        assert not more, f"datagram {number} has no end"
        found[number] = (parts, whole)
    return found


class FragmentsTest(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.addCleanup = cls.addClassCleanup
        changes = [(f"net_af_packet{n},iface=app{n},framecnt=1024", f"net_pcap{n},iface=app{n},phy_mac=1") for n in range(3)]
        start_alone(cls, "pgfr-", *changes, ('\n[[service]]\nname = "echo-udp"', f'{NAT_SERVICES}\n[[service]]\nname = "echo-udp"'))
        for protocol, mode in itertools.product(("udp", "sctp"), MODES):
            pool = f"Nat{protocol}" if mode == "nat" else f"Echo{protocol.capitalize()}"
            cls.peer.pool(pool, *(f"{n},{protocol},{PE_PREFIX[4]}{n}+{PE_PREFIX[6]}{n},{MODES[mode]},1" for n in PES))
        cls.to_us = {"pu": Ether(src=cls.lab.mac("pu", "eth0"), dst=cls.lab.mac("app", "app0"))}
        cls.macs = {}
        for n in PES:
            mac = cls.lab.mac(f"pe{n}", "eth0")
            cls.macs[mac] = n
            cls.to_us[f"pe{n}"] = Ether(src=mac, dst=cls.lab.mac("app", "app1"))

        for pe in PES:
            cls.serve(f"pe{pe}", *(f"{a},{port}" for f in VIPS for a, port in
                                   ((VIPS[f], MODES["l2"]), (f"{PE_PREFIX[f]}{pe}", MODES["nat"]))))

    @classmethod
    def serve(cls, pe, *ends):
        process = subprocess.Popen(cls.lab.in_namespace(pe, sys.executable, "-S", "-c", SERVER, *ends), stdin=subprocess.DEVNULL,
                                   stdout=subprocess.PIPE, text=True)
        for end in (process.stdout.close, lambda: process.wait(60), process.kill):
            cls.addClassCleanup(end)
        if process.stdout.readline() != "ready\n":
            raise AssertionError(f"no server in {pe}")

    def dropped(self):
        return sum(row["total"] for row in json.loads(self.lab.cli("show", "drops", "json"))["drops"] if row["reason"] == "fragment")

    def from_client(self, family, transport, size=512):
        return cut(self.to_us["pu"], family, (CLIENTS[family], VIPS[family]), transport, size)

    def passed(self, frames, ns="pu", whole=None):
        """The fragments that we sent on of these frames. `whole` goes behind them, by the same way: when it has come out, all have."""
        end = f"end {next(numbers)}.".encode()
        whole = whole or self.to_us["pu"] / IP(src=CLIENTS[4], dst=VIPS[4]) / UDP(sport=9, dport=MODES["l2"])
        out = "app0" if ns != "pu" else "app1"
        with Watch(self.lab, "net", f"app.{out}", f"ether src {self.lab.mac('app', out)}") as watch:
            send(self.lab, ns, "eth0", [*frames, whole / end])
            return [f for f in watch.wait_for(end, "what was sent behind the fragments") if is_fragment(f)]

    def check_transport(self, frame, whole, payload):
        ends = IP(src=frame[IP].src, dst=frame[IP].dst) if IP in frame else IPv6(src=frame[IPv6].src, dst=frame[IPv6].dst)
        if (frame[IP].proto if IP in frame else frame[IPv6ExtHdrFragment].nh) == 132:
            self.assertEqual(crc32c(whole[:8] + bytes(4) + whole[12:]), int.from_bytes(whole[8:12], "big"))
            self.assertIn(payload, whole)
        else:
            self.assertEqual(in4_chksum(17, ends, whole) if IP in frame else in6_chksum(17, ends, whole), 0)
            self.assertEqual(whole[8:], payload)

    def test_the_rest_follow_their_first_in_any_order_to_one_server_in_both_modes_and_families(self):
        order = random.Random(1)
        for protocol, mode, family in itertools.product(("udp", "sctp"), MODES, VIPS):
            with self.subTest(protocol=protocol, mode=mode, family=family):
                opening, firsts, rest, sent = [], [], [], {}
                for port in range(40000, 40006):
                    payload = order.randbytes(1800)
                    if protocol == "sctp":
                        header = SCTP(sport=port, dport=MODES[mode])
                        to = self.to_us["pu"] / (IP if family == 4 else IPv6)(src=CLIENTS[family], dst=VIPS[family])
                        init = SCTPChunkInit(init_tag=TAG, a_rwnd=65536, n_out_streams=1, n_in_streams=1)
                        opening += [to / header / init, to / SCTP(sport=port, dport=MODES[mode], tag=TAG) / SCTPChunkCookieEcho(cookie=b"c")]
                        transport = SCTP(sport=port, dport=MODES[mode], tag=TAG) / SCTPChunkData(data=payload, beginning=1, ending=1)
                    else:
                        transport = UDP(sport=port, dport=MODES[mode]) / payload
                    first, *others = self.from_client(family, transport)
                    self.assertGreaterEqual(len(others), 3)
                    firsts.append(first)
                    rest += others
                    sent[place(first)[0]] = payload
                order.shuffle(rest)
                got = datagrams(self.passed(opening + firsts + rest))
                self.assertEqual(set(got), set(sent))
                served = set()
                for number, (frames, whole) in got.items():
                    pe, = {self.macs[frame.dst] for frame in frames}
                    served.add(pe)
                    source = SNAT[family] if (protocol, mode) == ("udp", "nat") else CLIENTS[family]
                    wanted = (source, f"{PE_PREFIX[family]}{pe}" if mode == "nat" else VIPS[family])
                    self.assertEqual({(address(frame, "src"), address(frame, "dst")) for frame in frames}, {wanted})
                    self.check_transport(frames[0], whole, sent[number])
                self.assertEqual(served, set(PES))

    def test_in_nat_a_servers_fragments_find_the_client(self):
        for family in VIPS:
            layer = IP if family == 4 else IPv6
            with self.subTest(family=family):
                payload = random.Random(family).randbytes(1800)
                asked = self.passed(self.from_client(family, UDP(sport=41000, dport=MODES["nat"]) / payload))
                asked, pe = asked[0], f"pe{self.macs[asked[0].dst]}"
                ends = (address(asked, "dst"), address(asked, "src"))
                ports = {"sport": MODES["nat"], "dport": int.from_bytes(place(asked)[3][:2], "big")}
                first, *rest = cut(self.to_us[pe], family, ends, UDP(**ports) / payload)
                whole = self.to_us[pe] / layer(src=ends[0], dst=ends[1]) / UDP(**ports)
                got = self.passed([first, *reversed(rest)], pe, whole)
                (frames, whole), = [g for n, g in datagrams(got).items() if n == place(first)[0]]
                self.assertEqual({(address(f, "src"), address(f, "dst")) for f in frames}, {(VIPS[family], CLIENTS[family])})
                self.assertEqual(whole[2:4], (41000).to_bytes(2, "big"))
                self.check_transport(frames[0], whole, payload)

    def test_kernels_on_both_sides_exchange_datagrams_of_many_fragments(self):
        for mode, family, size in itertools.product(MODES, VIPS, (1600, 9000, 60000)):
            with self.subTest(mode=mode, family=family, size=size):
                said = self.lab.run("pu", sys.executable, "-S", "-c", CLIENT, VIPS[family], str(MODES[mode]), str(size))
                self.assertEqual(said.strip(), f"{size} right")

    def test_what_comes_before_its_first_is_dropped_and_counted_and_what_follows_passes(self):
        for family in VIPS:
            with self.subTest(family=family):
                first, *rest = self.from_client(family, UDP(sport=42000, dport=MODES["l2"]) / bytes(1800))
                before = self.dropped()
                got = self.passed([rest[0], first, *rest[1:]])
                self.assertEqual([place(f)[1] for f in got], [place(f)[1] for f in (first, *rest[1:])])
                self.assertEqual(self.dropped(), before + 1)

    def test_what_comes_long_after_its_first_is_dropped_and_counted(self):
        for family in VIPS:
            with self.subTest(family=family):
                first, *rest = self.from_client(family, UDP(sport=43000, dport=MODES["l2"]) / bytes(1800))
                self.assertEqual(len(self.passed([first])), 1)
                time.sleep(LIFETIME_SECONDS + 0.1)
                before = self.dropped()
                self.assertEqual(self.passed(rest), [])
                self.assertEqual(self.dropped(), before + len(rest))

    def test_RFC_1858_a_header_cut_short_or_written_over_is_dropped_and_other_overlaps_are_the_servers_to_judge(self):
        for family in VIPS:
            layer = IP if family == 4 else IPv6
            to = self.to_us["pu"] / layer(src=CLIENTS[family], dst=VIPS[family])
            tagged = SCTP(sport=44000, dport=MODES["l2"], tag=TAG)
            opening = [to / SCTP(sport=44000, dport=MODES["l2"]) / SCTPChunkInit(init_tag=TAG, n_out_streams=1, n_in_streams=1, a_rwnd=65536),
                       to / tagged / SCTPChunkCookieEcho(cookie=b"c")]
            data = tagged / SCTPChunkData(data=bytes(600), beginning=1, ending=1)
            with self.subTest("overlap", family=family):
                first, second = self.from_client(family, data)
                header, later = (self.moved(second, offset) for offset in (8, 256))
                before = self.dropped()
                got = self.passed([*opening, first, header, later, second])
                self.assertEqual([place(f)[1] for f in got], [0, 256, 512])
                self.assertEqual(len({f.dst for f in got}), 1)
                self.assertEqual(self.dropped(), before + 1)
            with self.subTest("tiny", family=family):
                tiny = self.from_client(family, data, 8)
                before = self.dropped()
                self.assertEqual(self.passed(tiny), [])
                self.assertEqual(self.dropped(), before + len(tiny))

    @staticmethod
    def moved(frame, offset):
        """The same fragment at another place."""
        frame = Ether(bytes(frame))
        if IP in frame:
            frame[IP].frag = offset // 8
            frame[IP].chksum = None
        else:
            frame[IPv6ExtHdrFragment].offset = offset // 8
        return Ether(bytes(frame))

    def test_more_datagrams_than_the_table_holds_cost_the_oldest_and_nothing_else(self):
        first, *_, last = (bytes(f) for f in self.from_client(6, UDP(sport=45000, dport=MODES["l2"]) / bytes(600)))
        count, at = WAYS * 3 // 2, len(Ether()) + len(IPv6()) + 4
        def of_all(frame):
            return [frame[:at] + (0x10000000 + n).to_bytes(4, "big") + frame[at + 4:] for n in range(count)]
        before = self.dropped()
        got = self.passed(of_all(first) + of_all(last))
        passed = collections.Counter(place(f)[1] == 0 for f in got)
        self.assertEqual(passed[True], count)
        self.assertEqual(passed[False] + self.dropped() - before, count)
        self.assertGreater(passed[False], 0)
        self.assertLessEqual(passed[False], WAYS)
        self.assertEqual(len(self.passed(self.from_client(6, UDP(sport=45000, dport=MODES["l2"]) / bytes(600)))), 2)


if __name__ == "__main__":
    unittest.main()
