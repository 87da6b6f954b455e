# SPDX-License-Identifier: BSD-3-Clause
"""What happens to a scope, and when: all of it follows from the seed.

A registrar dies with its host's power (crash), or one process of it dies (registrar, dataplane); RSPLIB's has one process
only. At least two registrars live at any time, as a lone RSPLIB does not take over. One Poolgate, `survivor`, lives all the
while: its memory is that of the whole run. PEs crash, end well, and come back under their ids.
"""
import dataclasses
import random

POOLGATES, RSPLIB = (1, 2, 3), 4
POOLS = ("ChurnA", "ChurnB")


@dataclasses.dataclass(frozen=True)
class Element:
    name: str
    pe: int
    pool: str
    rsplib: bool  # one of RSPLIB's programs
    registrars: tuple  # in the order in which it asks them


@dataclasses.dataclass(frozen=True)
class Event:
    at: float  # seconds from the start
    what: str
    whom: object  # a registrar's number, an element's name


class Schedule:
    def __init__(self, seed, seconds, agents=5, servers=5):
        self.random = random.Random(seed)
        self.survivor = self.random.choice(POOLGATES)
        # Drawn, as RFC 5352 §3.1 has it: of ids in a row, different sets have one checksum.
        ids = self.random.sample(range(1, 1 << 32), agents + servers)
        self.elements = [self.element(n, pe, n >= agents) for n, pe in enumerate(ids)]
        self.events = []
        self.dead = {}  # registrar -> how it died
        self.away = set()
        at = 0.0
        while True:
            at += self.random.uniform(1.0, 4.0)
            if at >= seconds:
                break
            self.draw(round(at, 2))

    def element(self, number, pe, rsplib):
        # An agent's life is in seconds, which RSPLIB's registrar takes for milliseconds: those two meet by takeover only.
        registrars = list(POOLGATES) + ([RSPLIB] if rsplib else [])
        self.random.shuffle(registrars)
        return Element(f"{'server' if rsplib else 'agent'}{number}", pe, self.random.choice(POOLS), rsplib, tuple(registrars))

    def draw(self, at):
        kind = self.random.choices(("die", "return", "element"), (3, 4, 5))[0]
        if kind == "return" and self.dead:
            whom = self.random.choice(sorted(self.dead))
            del self.dead[whom]
            return self.events.append(Event(at, "return", whom))
        mortal = [r for r in (*POOLGATES, RSPLIB) if r != self.survivor and r not in self.dead]
        if kind == "die" and len(mortal) > 1:  # the survivor and one more stay
            whom = self.random.choice(mortal)
            self.dead[whom] = "crash" if whom == RSPLIB else self.random.choice(("crash", "crash", "registrar", "dataplane"))
            return self.events.append(Event(at, self.dead[whom], whom))
        element = self.random.choice(self.elements)
        if element.name in self.away:
            self.away.remove(element.name)
            return self.events.append(Event(at, "start", element.name))
        if len(self.away) * 2 < len(self.elements):
            self.away.add(element.name)
            self.events.append(Event(at, self.random.choice(("kill", "kill", "end")), element.name))

    def alive(self):
        """The elements that live at the end."""
        return [e for e in self.elements if e.name not in self.away]
