# SPDX-License-Identifier: BSD-3-Clause
"""What was on the wire, as tshark reads it: packets, and the ASAP and ENRP messages in them."""
import xml.etree.ElementTree as xml
from collections import defaultdict

# ASAP message types, RFC 5352 §2.2.
REGISTRATION, DEREGISTRATION, REGISTRATION_RESPONSE, DEREGISTRATION_RESPONSE = 1, 2, 3, 4
HANDLE_RESOLUTION, HANDLE_RESOLUTION_RESPONSE, KEEP_ALIVE, KEEP_ALIVE_ACK = 5, 6, 7, 8
ENDPOINT_UNREACHABLE, SERVER_ANNOUNCE = 9, 10
# ENRP message types, RFC 5353 §2.
PRESENCE, HANDLE_TABLE_REQUEST, HANDLE_TABLE_RESPONSE, HANDLE_UPDATE, LIST_REQUEST, LIST_RESPONSE = 1, 2, 3, 4, 5, 6
INIT_TAKEOVER, INIT_TAKEOVER_ACK, TAKEOVER_SERVER, ENRP_ERROR = 7, 8, 9, 10
ADD_PE, DEL_PE = 0, 1
# SCTP chunk types, RFC 9260 §3.2.
DATA, INIT, INIT_ACK, ABORT, SHUTDOWN = 0, 1, 2, 6, 7

# What tshark is to pass on: all that a scenario looks at, without the heartbeats and acknowledgements.
INTERESTING = "asap or enrp or udp or _ws.malformed or sctp.chunk_type in {1, 2, 6, 7}"


class Message:
    """One ASAP or ENRP message; several may share a packet."""

    def __init__(self, packet, protocol, fields):
        self.packet, self.protocol, self.fields = packet, protocol, fields
        self.time, self.source, self.destination = packet.time, packet.source, packet.destination
        self.type = self.number("message_type")

    def all(self, name):
        return self.fields.get(f"{self.protocol}.{name}", [])

    def text(self, name):
        return next(iter(self.all(name)), None)

    def number(self, name):
        value = self.text(name)
        return None if value is None else int(value, 0)

    def numbers(self, name):
        return [int(value, 0) for value in self.all(name)]

    @property
    def handle(self):
        """The pool handle's bytes; tshark shows them as pairs of hexadecimal digits."""
        return next(iter(self.handles), None)

    @property
    def handles(self):
        return [bytes.fromhex(shown.replace(":", "")) for shown in self.all("pool_handle_pool_handle")]

    @property
    def pes(self):
        """The ids of all pool elements in it, in their order."""
        return self.numbers("pool_element_pe_identifier")

    @property
    def pe(self):
        return next(iter(self.pes), None) if self.pes else self.number("pe_identifier")

    @property
    def flags(self):
        return self.number("message_flags")

    @property
    def rejected(self):
        return bool(self.flags & 1)

    def __repr__(self):
        shown = {k.split(".", 1)[1]: v for k, v in self.fields.items()}
        return f"{self.time:.3f} {self.source} > {self.destination} {self.protocol} {self.type}: {shown}"


class Packet:
    """One packet that came or went; `chunks`: the types of its SCTP chunks."""

    def __init__(self, pdml):
        self.time, self.source, self.destination, self.malformed = 0.0, "", "", False
        self.source_port, self.destination_port, self.chunks, self.messages, self.text = 0, 0, [], [], ""
        found = []
        for layer in xml.fromstring(pdml).findall("proto"):
            name = layer.get("name")
            self.text += f" {name}"
            self.malformed = self.malformed or any(p.get("name") == "_ws.malformed" for p in layer.iter("proto"))
            if name == "geninfo":
                self.time = float(next(f.get("value") for f in layer if f.get("name") == "timestamp"))
            elif name in ("ip", "ipv6"):
                self.source, self.destination = ((values(layer, f"{name}.{end}") or [""])[0] for end in ("src", "dst"))
            elif name in ("sctp", "udp"):
                self.source_port, self.destination_port = (int((values(layer, f"{name}.{end}") or [0])[0]) for end in ("srcport", "dstport"))
                self.chunks += [int(value, 0) for value in values(layer, "sctp.chunk_type")]
            elif name in ("asap", "enrp"):
                fields = defaultdict(list)
                for field in layer.iter("field"):
                    if field.get("name", "").startswith(name + "."):
                        fields[field.get("name")].append(field.get("show"))
                found.append((name, dict(fields)))
        self.messages = [Message(self, name, fields) for name, fields in found]

    def __repr__(self):
        return (f"{self.time:.3f} {self.source}:{self.source_port} > {self.destination}:{self.destination_port}{self.text} "
                f"chunks {self.chunks} {self.messages}")


def values(layer, name):
    return [f.get("show") for f in layer.iter("field") if f.get("name") == name]


def packets(lines):
    """The packets of tshark's PDML, given by lines as they come."""
    text = []
    for line in lines:
        if line.startswith("<packet>"):
            text = []
        text.append(line)
        if line.startswith("</packet>"):
            yield Packet("".join(text))
