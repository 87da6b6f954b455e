# SPDX-License-Identifier: BSD-3-Clause
"""What the scenarios share: what they do, and how they look for it on the wire."""
import re
import time

import wire

REGISTRAR = "10.10.0.1"
OPTIONS = "-asapannounce=off -logcolor=off -loglevel=3"


def at(*registrars):
    """The options of an RSPLIB program that uses these registrars."""
    return " ".join(f"-registrar={address}:3863" for address in registrars) + f" {OPTIONS}"


class Scenario:
    """Mixed into a TestCase that gives `side`, entered once for all."""

    def setUp(self):
        self.pool = re.sub(r"\W", "", self._testMethodName)[-24:]  # RSPLIB takes handles of at most 32 bytes
        self.side.capture.begin()

    def tearDown(self):
        self.side.end_programs()
        self.side.capture.sync()
        malformed = [p for p in self.side.capture.packets() if p.malformed and not self.side.known_malformed(p)]
        self.assertEqual(malformed, [])
        self.side.check_alive()

    def serve(self, host, identifier, port, service="-echo", policy="", pool=None, options="", registrars=(REGISTRAR,), interval=2000):
        """Starts a rspserver; its pid in the guest. Registration Life is three times the interval, in RSPLIB's milliseconds."""
        policy = f"-policy={policy}" if policy else ""
        return self.side.spawn(host, f"rspserver {service} {at(*registrars)} -rereginterval={interval} -quiet {options} "
                               f"-identifier=0x{identifier:08x} -poolhandle={pool or self.pool} {policy} "
                               f"-logfile=/share/pe-{identifier:x}.log", f"pe-{identifier:x}.out")

    def of(self, messages, kind, pe=None, pool=None, source=None, destination=None):
        return [m for m in messages if m.type == kind and (pe is None or m.pe == pe)
                and m.handle in (None, (pool or self.pool).encode())
                and source in (None, m.source) and destination in (None, m.destination)]

    def registered(self, pe, pool=None, at_least=1, registrar=None, after=0.0):
        def granted(seen):
            answers = [m for m in self.of(seen, wire.REGISTRATION_RESPONSE, pe, pool, registrar) if m.time > after]
            return answers if len(answers) >= at_least else None
        answers = self.side.wait_for(f"{at_least} responses to the registration of {pe:#x}", granted)
        self.assertEqual([m for m in answers if m.rejected], [])
        return answers

    def resolve(self, pool=None, registrar=REGISTRAR):
        """The registrar's answer to a resolution that a PU begins now."""
        pool = pool or self.pool
        before = len(self.of(self.side.messages(), wire.HANDLE_RESOLUTION_RESPONSE, pool=pool, source=registrar))
        self.side.tell_pu(f"{registrar} resolve 1 {pool}")
        return self.side.wait_for(f"an answer to the resolution of {pool}", lambda seen: self.of(
            seen, wire.HANDLE_RESOLUTION_RESPONSE, pool=pool, source=registrar)[before:])[0]

    def resolves_to(self, *pes, seconds=120, pool=None, registrar=REGISTRAR, home=None):
        """Resolutions give exactly these PEs, at once or after a while, and their home server; none: cause 9, unknown pool handle."""
        end = time.monotonic() + seconds
        while True:
            answer = self.resolve(pool, registrar)
            homes = set(answer.numbers("pool_element_home_enrp_server_identifier"))
            if sorted(answer.pes) == sorted(pes) and (home is None or homes == {home}):
                if not pes:
                    self.assertEqual(answer.number("cause_code"), 9, answer)
                return answer
            self.assertLess(time.monotonic(), end, answer)
            time.sleep(0.1)

    def chunks(self, kind, source=None, port=None, packets=None):
        """The packets with an SCTP chunk of that type, from that address, from or to that port; until now, or of `packets`."""
        if packets is None:
            self.side.capture.sync()
            packets = self.side.capture.packets()
        return [p for p in packets if kind in p.chunks and source in (None, p.source)
                and (port is None or port in (p.source_port, p.destination_port))]

    def wait_for_end(self, *sources, after=0.0):
        """The time at which a host with these addresses ended an association."""
        return self.side.capture.wait(120, "the end of an association", lambda packets: [
            p.time for source in sources for kind in (wire.ABORT, wire.SHUTDOWN)
            for p in self.chunks(kind, source, packets=packets) if p.time > after])[0]
