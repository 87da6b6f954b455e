# SPDX-License-Identifier: BSD-3-Clause
"""What was on the wire, as tshark reads it."""
import subprocess
import xml.etree.ElementTree as xml
from collections import defaultdict

# ASAP message types, RFC 5352 §2.2.
REGISTRATION, DEREGISTRATION, REGISTRATION_RESPONSE, DEREGISTRATION_RESPONSE = 1, 2, 3, 4
HANDLE_RESOLUTION, HANDLE_RESOLUTION_RESPONSE, KEEP_ALIVE, KEEP_ALIVE_ACK = 5, 6, 7, 8
# ENRP message types, RFC 5353 §2.
PRESENCE, HANDLE_TABLE_REQUEST, HANDLE_TABLE_RESPONSE, HANDLE_UPDATE, LIST_REQUEST, LIST_RESPONSE = 1, 2, 3, 4, 5, 6


class Message:
    """One ASAP or ENRP message; several may share a packet."""

    def __init__(self, time, source, destination, protocol, fields):
        self.time, self.source, self.destination, self.protocol, self.fields = time, source, destination, protocol, fields
        self.type = self.number("message_type")

    def all(self, name):
        return self.fields.get(f"{self.protocol}.{name}", [])

    def text(self, name):
        return next(iter(self.all(name)), None)

    def number(self, name):
        value = self.text(name)
        return None if value is None else int(value, 0)

    @property
    def handle(self):
        """The pool handle's bytes; tshark shows them as pairs of hexadecimal digits."""
        shown = self.text("pool_handle_pool_handle")
        return None if shown is None else bytes.fromhex(shown.replace(":", ""))

    @property
    def pe(self):
        return self.number("pool_element_pe_identifier") if self.all("pool_element_pe_identifier") else self.number("pe_identifier")

    @property
    def rejected(self):
        return bool(self.number("message_flags") & 1)

    def __repr__(self):
        shown = {k.split(".", 1)[1]: v for k, v in self.fields.items()}
        return f"{self.time:.3f} {self.source} > {self.destination} {self.protocol} {self.type}: {shown}"


def messages(*captures):
    """All ASAP and ENRP messages of some capture files, in the order of time."""
    found = []
    for capture in captures:
        shown = subprocess.run(["tshark", "-r", capture, "-Y", "asap or enrp", "-T", "pdml"], capture_output=True, timeout=120)
        found += [m for packet in parse(shown.stdout) for m in packet]
    return sorted(found, key=lambda m: m.time)


def parse(pdml):
    if not pdml.strip():
        return
    for packet in xml.fromstring(pdml).iter("packet"):
        time, source, destination, found = 0.0, "", "", []
        for layer in packet.findall("proto"):
            name = layer.get("name")
            if name == "geninfo":
                time = float(next(f.get("value") for f in layer if f.get("name") == "timestamp"))
            elif name in ("ip", "ipv6"):
                source, destination = (value_of(layer, f"{name}.{end}") for end in ("src", "dst"))
            elif name in ("asap", "enrp"):
                fields = defaultdict(list)
                for field in layer.iter("field"):
                    if field.get("name", "").startswith(name + "."):
                        fields[field.get("name")].append(field.get("show"))
                found.append(Message(time, source, destination, name, dict(fields)))
        yield found


def value_of(layer, name):
    return next((f.get("show") for f in layer.iter("field") if f.get("name") == name), "")


def malformed(capture):
    """tshark's words on each packet that it finds malformed."""
    shown = subprocess.run(["tshark", "-r", capture, "-Y", "_ws.malformed", "-T", "fields", "-e", "frame.number",
                            "-e", "ip.src", "-e", "_ws.col.Info"], capture_output=True, text=True, timeout=120)
    return shown.stdout.splitlines()


def sctp_chunks(capture, only):
    """(time, source, destination, source port, chunk type) of each SCTP packet's first chunk that the filter keeps."""
    shown = subprocess.run(["tshark", "-r", capture, "-Y", only, "-T", "fields", "-e", "frame.time_epoch", "-e", "ip.src",
                            "-e", "ip.dst", "-e", "sctp.srcport", "-e", "sctp.chunk_type"], capture_output=True, text=True, timeout=120)
    rows = [line.split("\t") for line in shown.stdout.splitlines()]
    return [(float(r[0]), r[1], r[2], int(r[3]), int(r[4].split(",")[0], 0)) for r in rows]
