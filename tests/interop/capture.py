# SPDX-License-Identifier: BSD-3-Clause
"""What passes the registrar's ports, dissected while it passes: for each port a tcpdump in the guest that writes a file,
and here one tshark that reads the file as it grows, so that waiting for a message costs nothing.

    capture = Capture(guest, ports=("up0", "up1"))
    capture.begin()                          # of a scenario: what came before is out of sight
    capture.wait(30, "a response", lambda packets: [...])
    capture.sync(); capture.packets()        # all that has passed until now

Nothing waits on the way: else tcpdump gives what it has once a second (--immediate-mode), and tshark, of what it is told to be an
interface and not a file (-r), twice. In that mode the kernel keeps a place of the longest packet's size (-s) for each that waits: of
the default 2 MiB that were eight, and a flood lost some.
"""
import struct
import subprocess
import threading
import time

import wire

MARK = "239.255.9.9"  # a datagram to this group, to a port that counts up, says how far the dissection has come


def mark(number):
    """That datagram as a frame, in hexadecimal digits: Ethernet, IPv4 from 10.9.9.9, UDP without checksum or data."""
    ip = struct.pack(">BBHHHBBH4s4s", 0x45, 0, 28, 0, 0, 1, 17, 0, bytes([10, 9, 9, 9]), bytes(map(int, MARK.split("."))))
    total = sum(struct.unpack(">10H", ip))
    checksum = ~((total & 0xffff) + (total >> 16)) & 0xffff
    udp = struct.pack(">HHHH", 9, number, 8, 0)
    return (bytes.fromhex("01005e7f0909 020000000009 0800") + ip[:10] + struct.pack(">H", checksum) + ip[12:] + udp).hex()


class Capture:
    def __init__(self, guest, ports):
        self.guest, self.ports = guest, ports
        self.changed = threading.Condition()
        self.seen, self.marks, self.processes, self.begun, self.number = [], [set() for _ in ports], [], 0, 1000
        self.broken = ""
        for port in ports:
            guest.spawn(f"tcpdump -i {port} -U --immediate-mode -B 65536 -s 65535 -w /share/{port}.pcap sctp or udp", f"{port}.tcpdump")
        for index, port in enumerate(ports):
            wait_for_text(guest, f"{port}.tcpdump", "listening on")
            tail = subprocess.Popen(["tail", "-c", "+1", "-f", f"{guest.share}/{port}.pcap"], stdout=subprocess.PIPE)
            tshark = subprocess.Popen(["tshark", "-l", "-n", "-r", "-", "-Y", wire.INTERESTING, "-T", "pdml"], stdin=tail.stdout,
                                      stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True, encoding="utf-8", errors="replace")
            tail.stdout.close()
            self.processes += [tail, tshark]
            threading.Thread(target=self._read, args=(tshark, index), daemon=True).start()

    def _read(self, tshark, index):
        why = f"tshark of port {index} ended"
        try:
            for packet in wire.packets(tshark.stdout):
                with self.changed:
                    if packet.destination == MARK:
                        self.marks[index].add(packet.destination_port)
                    else:
                        self.seen.append(packet)
                    self.changed.notify_all()
        except Exception as error:  # it is the waiting scenario that must hear of it
            why = f"dissection of port {index}: {error!r}"
        with self.changed:
            self.broken = why
            self.changed.notify_all()

    def close(self):
        for process in self.processes:
            process.kill()
        for process in self.processes:
            process.wait(10)
        for process in self.processes[1::2]:
            process.stdout.close()

    def begin(self):
        self.sync()
        with self.changed:
            self.begun = len(self.seen)

    def packets(self):
        """Those since begin(), in the order of time."""
        with self.changed:
            return sorted(self.seen[self.begun:], key=lambda p: p.time)

    def wait(self, seconds, what, wanted):
        """The first true value of wanted(packets since begin())."""
        end = time.monotonic() + seconds
        while True:
            with self.changed:
                known = len(self.seen)
            found = wanted(self.packets())
            if found:
                return found
            time.sleep(0.02)  # each look is at all of them: a flood is looked at in bundles
            with self.changed:
                self.changed.wait_for(lambda: len(self.seen) > known or self.broken, max(0, min(1, end - time.monotonic())))
                if self.broken:
                    raise AssertionError(self.broken)
            if time.monotonic() > end:
                raise AssertionError(f"not within {seconds} s: {what}; seen:\n" + "\n".join(map(repr, self.packets()[-60:])))

    def sync(self):
        """Returns when all that has passed the ports until now is dissected."""
        self.number += 1
        number, end = self.number, time.monotonic() + 60
        self.guest.send_frames([(port, mark(number)) for port in self.ports])
        with self.changed:
            while not all(number in marks for marks in self.marks):
                self.changed.wait(1)
                if self.broken or time.monotonic() > end:
                    raise AssertionError(self.broken or "the dissection does not keep up with the capture")


def wait_for_text(guest, log, text, seconds=120):
    end = time.monotonic() + seconds
    while text not in guest.read(log):
        if time.monotonic() > end:
            raise AssertionError(f"not within {seconds} s: \"{text}\" in {log}:\n{guest.read(log)[-2000:]}")
        time.sleep(0.02)
