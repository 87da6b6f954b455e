# SPDX-License-Identifier: BSD-3-Clause
"""A client and a server on a Linux kernel's own SCTP, one-to-many sockets (RFC 6458), without any library:

    sctp_program.py serve NAME LOG%PORT%ADDRESS,ADDRESS...        answers each message with NAME in front of it
    sctp_program.py ask LOCAL,LOCAL LOG%LOCAL_PORT%TO%PORT%SECONDS...
                                      keeps an association, sends a numbered message each SECONDS
    sctp_program.py connect TO PORT   says what came of connect(): "connected", or the name of its error

One process for each LOG, which begins with its pid. The client begins the next association, from the same port, as soon as
the last one is over. After SIGTERM it waits for the answers that are due, ends its association in order (RFC 9260 9.2), and
then itself. What either tells there, a line each:

    SECONDS NUMBER up|lost|restart|closed|refused ERROR ID   of the association so numbered (the server's: 0)
    SECONDS NUMBER path ADDRESS STATE                        SCTP_PEER_ADDR_CHANGE
    SECONDS NUMBER echo NAME MESSAGE                         an answer; messages are 1, 2, 3... in each association
"""
import errno
import os
import select
import signal
import socket
import struct
import sys
import time

SOL_SCTP, SNDRCV, EVENTS, BINDX_ADD = 132, 1, 11, 100
NOTIFICATION, EOF = 0x8000, 0x200
ASSOC_CHANGE, PEER_ADDR_CHANGE = 0x8001, 0x8002
CHANGES = ("up", "lost", "restart", "closed", "refused")
PATH_STATES = ("available", "unreachable", "removed", "added", "primary", "confirmed", "doubtful")


def say(number, *words):
    print(f"{time.monotonic():.3f}", number, *words, flush=True)


def packed_address(address, port):
    """As sockaddr_in or sockaddr_in6."""
    if ":" in address:
        return struct.pack("=H", socket.AF_INET6) + struct.pack("!HI", port, 0) + socket.inet_pton(socket.AF_INET6, address) + bytes(4)
    return struct.pack("=H", socket.AF_INET) + struct.pack("!H", port) + socket.inet_aton(address) + bytes(8)


def read_address(data):
    if struct.unpack_from("=H", data)[0] == socket.AF_INET6:
        return socket.inet_ntop(socket.AF_INET6, data[8:24])
    return socket.inet_ntoa(data[4:8])


def open_socket(port, addresses):
    family = socket.AF_INET6 if ":" in addresses[0] else socket.AF_INET
    s = socket.socket(family, socket.SOCK_SEQPACKET, socket.IPPROTO_SCTP)
    s.setsockopt(SOL_SCTP, EVENTS, bytes((1, 1, 1)))  # data, associations, addresses
    packed = b"".join(packed_address(a, port) for a in addresses)
    s.setsockopt(SOL_SCTP, BINDX_ADD, packed)
    s.setblocking(False)
    return s


def read_notification(data):
    """("up", ERROR, ID), ("path", ADDRESS, STATE), or None."""
    kind = struct.unpack_from("=H", data)[0]
    if kind == ASSOC_CHANGE:
        state, error, _, _, identifier = struct.unpack_from("=HHHHi", data, 8)
        return CHANGES[state], error, identifier
    if kind == PEER_ADDR_CHANGE:
        return "path", read_address(data[8:]), PATH_STATES[struct.unpack_from("=i", data, 8 + 128)[0]]
    return None


def receive(s):
    """(message, None, from), (None, notification, None), or None when there is nothing now."""
    try:
        data, _, flags, sender = s.recvmsg(65536)
    except BlockingIOError:
        return None
    except OSError as error:  # of an association that is over: a notification says so
        return None, ("error", errno.errorcode.get(error.errno, error.errno)), None
    return (None, read_notification(data), None) if flags & NOTIFICATION else (data, None, sender)


def serve(name, port, addresses):
    s = open_socket(int(port), addresses.split(","))
    s.listen(64)
    while True:
        select.select([s], [], [])
        got = receive(s)
        if got is None:
            continue
        data, event, sender = got
        if event:
            say(0, *event)
        elif data is not None:
            try:
                s.sendto(name.encode() + b" " + data, sender)
            except OSError:  # it is gone already
                pass


class Client:
    def __init__(self, local, local_port, to, port, interval):
        self.socket = open_socket(int(local_port), local.split(","))
        self.to, self.interval = (to, int(port)), float(interval)
        self.number, self.sent, self.answered, self.up, self.id = 0, 0, 0, False, 0
        self.ending = self.ended = False
        signal.signal(signal.SIGTERM, self.begin_to_end)

    def begin_to_end(self, *_):
        self.ending = True

    def send_in_association(self, message, flags=0):
        """By its id: to the address would begin another where this one is over, and we do not know it yet."""
        self.socket.sendmsg([message], [(SOL_SCTP, SNDRCV, struct.pack("=4H5Ii", 0, 0, flags, 0, 0, 0, 0, 0, 0, self.id))])

    def end(self):
        if self.up and not self.ended and self.answered == self.sent:
            self.send_in_association(b"", EOF)
            self.ended = True

    def send(self):
        if not self.up:
            if self.sent:  # an association is on its way
                return
            self.number += 1
        self.sent += 1
        try:
            message = str(self.sent).encode()
            if self.up:
                self.send_in_association(message)
            else:
                self.socket.sendto(message, self.to)
        except BlockingIOError:  # the send buffer is full: the peer does not answer
            self.sent -= 1
        except OSError as error:
            say(self.number, "error", errno.errorcode.get(error.errno, error.errno))
            self.sent -= 1

    def hear(self):
        got = receive(self.socket)
        if got is None:
            return False
        data, event, _ = got
        if data is not None:
            self.answered += 1
            say(self.number, "echo", data.decode())
        elif event:
            say(self.number, *event)
            if event[0] == "up":
                self.up, self.id = True, event[2]
            elif event[0] in ("lost", "closed", "refused"):
                self.up, self.sent, self.answered = False, 0, 0
                if self.ending:
                    sys.exit(0)
        return True

    def run(self):
        due = time.monotonic()
        while True:
            while self.hear():
                pass
            now = time.monotonic()
            if now >= due:
                (self.end if self.ending else self.send)()
                due = now + self.interval
            select.select([self.socket], [], [], max(0.0, due - time.monotonic()))


def connect(to, port):
    """On a one-to-one socket, where the kernel tells an ABORT (ECONNREFUSED) from silence (ETIMEDOUT)."""
    with socket.socket(socket.AF_INET6 if ":" in to else socket.AF_INET, socket.SOCK_STREAM, socket.IPPROTO_SCTP) as s:
        error = s.connect_ex((to, int(port)))
    print(errno.errorcode.get(error, error) if error else "connected")


def main():
    what, whose = sys.argv[1:3]
    if what == "connect":
        return connect(whose, sys.argv[3])
    for spec in sys.argv[3:]:
        log, *rest = spec.split("%")
        if os.fork() == 0:
            os.dup2(os.open(log, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o644), 1)
            print(os.getpid(), flush=True)
            serve(whose, *rest) if what == "serve" else Client(whose, *rest).run()


if __name__ == "__main__":
    main()
