# SPDX-License-Identifier: BSD-3-Clause
"""ASAP in a few lines, for what RSPLIB's programs cannot be told to do. Runs in the guest.

    asap_client.py pe LOCAL_ADDRESS LOCAL_PORT REGISTRAR_ADDRESS LIFE PE_ID:POOL...
        registers pool elements from a chosen SCTP port, and answers their keep-alives until it is killed
    asap_client.py pu FIFO
        does what the lines of the FIFO say, over an association with each registrar, made anew when it is lost:
        REGISTRAR_ADDRESS resolve COUNT POOL        REGISTRAR_ADDRESS unreachable COUNT POOL PE_ID
        REGISTRAR_ADDRESS forget 0 -                (there is a new one at that address)
"""
import socket
import struct
import sys
import threading

SCTP_SNDINFO = 2  # RFC 6458 §5.3.4
PPID_ASAP = 11
REGISTRATION, REGISTRATION_RESPONSE, HANDLE_RESOLUTION = 1, 3, 5
KEEP_ALIVE, KEEP_ALIVE_ACK, ENDPOINT_UNREACHABLE = 7, 8, 9


def tlv(kind, value):
    """RFC 5354 §3: the length leaves out the padding."""
    return struct.pack(">HH", kind, 4 + len(value)) + value + bytes(-len(value) % 4)


def message(kind, *parameters):
    body = b"".join(parameters)
    return struct.pack(">BBH", kind, 0, 4 + len(body)) + body


def handle(pool):
    return tlv(0x0009, pool.encode())


def identifier(pe):
    return tlv(0x000e, struct.pack(">I", pe))


def registration(pool, pe, address, port, life):
    """RFC 5352 §2.2.1: an SCTP user transport, round robin; life in the registrar's unit."""
    transport = tlv(0x0004, struct.pack(">HH", port, 0) + tlv(0x0001, socket.inet_aton(address)))
    element = struct.pack(">IIi", pe, 0, life) + transport + tlv(0x0008, struct.pack(">I", 1))
    return message(REGISTRATION, handle(pool), tlv(0x000a, element))


def connect(registrar, local=None):
    peer = socket.socket(socket.AF_INET, socket.SOCK_STREAM, 132)
    if local:
        peer.bind(local)
    peer.connect((registrar, 3863))
    return peer


def send(peer, body):
    # stream 0, ordered; the PPID goes as it stands, so in network order
    info = struct.pack("=HH", 0, 0) + struct.pack(">I", PPID_ASAP) + struct.pack("=Ii", 0, 0)
    peer.sendmsg([body], [(132, SCTP_SNDINFO, info)])


def pe(address, port, registrar, life, *elements):
    mine = [(int(number, 0), pool) for number, pool in (element.split(":", 1) for element in elements)]
    peer = connect(registrar, (address, int(port)))
    # Killed, it ends at once, as with its host: the kernel would go on with a SHUTDOWN, and hold the port until its end.
    peer.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("=ii", 1, 0))
    for number, pool in mine:
        send(peer, registration(pool, number, address, int(port), int(life)))
    while received := peer.recv(65536):
        if received[0] == REGISTRATION_RESPONSE:
            print("rejected" if received[1] & 1 else "registered", flush=True)
        elif received[0] == KEEP_ALIVE:
            for number, pool in mine:
                if handle(pool) in received and identifier(number)[4:] in received[8:]:
                    send(peer, message(KEEP_ALIVE_ACK, handle(pool), identifier(number)))


def drain(peer):
    """Reads the answers: they are seen on the wire."""
    try:
        while peer.recv(65536):
            pass
    except OSError:
        pass
    peer.close()


def pu(fifo):
    peers = {}
    while True:
        with open(fifo, encoding="utf-8") as lines:
            for line in lines:
                registrar, verb, count, pool, *rest = line.split()
                body = message(HANDLE_RESOLUTION, handle(pool))
                if verb == "unreachable":
                    body = message(ENDPOINT_UNREACHABLE, handle(pool), identifier(int(rest[0], 0)))
                if verb == "forget":
                    peers.pop(registrar, None)
                for _ in range(int(count)):
                    try:
                        send(peers[registrar], body)
                    except (OSError, KeyError):  # none yet, or lost
                        peers[registrar] = connect(registrar)
                        threading.Thread(target=drain, args=(peers[registrar],), daemon=True).start()
                        send(peers[registrar], body)


if __name__ == "__main__":
    sys.stdout.reconfigure(line_buffering=True)
    {"pe": pe, "pu": pu}[sys.argv[1]](*sys.argv[2:])
