# SPDX-License-Identifier: BSD-3-Clause
"""A pool element in a few lines, for what RSPLIB's programs cannot be told to do: it registers from a chosen SCTP port,
and answers keep-alives until it is killed. Runs in the guest.

    asap_peer.py LOCAL_ADDRESS LOCAL_PORT REGISTRAR_ADDRESS POOL PE_ID
"""
import socket
import struct
import sys

SCTP_SNDINFO = 2  # RFC 6458 §5.3.4
PPID_ASAP = 11
KEEP_ALIVE, KEEP_ALIVE_ACK, REGISTRATION, REGISTRATION_RESPONSE = 7, 8, 1, 3


def tlv(kind, value):
    """RFC 5354 §3: the length leaves out the padding."""
    return struct.pack(">HH", kind, 4 + len(value)) + value + bytes(-len(value) % 4)


def message(kind, body):
    return struct.pack(">BBH", kind, 0, 4 + len(body)) + body


def registration(handle, pe, address, port):
    """RFC 5352 §2.2.1: an SCTP user transport, round robin, 60,000 (of the registrar's unit) to live."""
    transport = tlv(0x0004, struct.pack(">HH", port, 0) + tlv(0x0001, socket.inet_aton(address)))
    element = tlv(0x000a, struct.pack(">IIi", pe, 0, 60000) + transport + tlv(0x0008, struct.pack(">I", 1)))
    return message(REGISTRATION, handle + element)


def main():
    address, port, registrar, pool, pe = sys.argv[1], int(sys.argv[2]), sys.argv[3], sys.argv[4].encode(), int(sys.argv[5], 0)
    handle = tlv(0x0009, pool)
    peer = socket.socket(socket.AF_INET, socket.SOCK_STREAM, 132)
    peer.bind((address, port))
    peer.connect((registrar, 3863))

    def send(body):
        # stream 0, ordered; the PPID goes as it stands, so in network order
        info = struct.pack("=HH", 0, 0) + struct.pack(">I", PPID_ASAP) + struct.pack("=Ii", 0, 0)
        peer.sendmsg([body], [(132, SCTP_SNDINFO, info)])

    send(registration(handle, pe, address, port))
    while True:
        received = peer.recv(65536)
        if not received:
            return
        if received[0] == REGISTRATION_RESPONSE:
            print("rejected" if received[1] & 1 else "registered", flush=True)
        elif received[0] == KEEP_ALIVE:
            send(message(KEEP_ALIVE_ACK, handle + tlv(0x000e, struct.pack(">I", pe))))


if __name__ == "__main__":
    main()
