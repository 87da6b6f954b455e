# SPDX-License-Identifier: BSD-3-Clause
"""SIGSTOP of either process, and SIGCONT: our own pause kills nobody, loses nothing, and no queue outgrows its bound."""
import os
import signal
import subprocess
import time
import unittest

from appliance import AGENT, PES, POOLS, SOAK, TOOLS, Appliance, wait_until

TIMEOUT_SECONDS = 900
PAUSE_S = 30 if SOAK else 5  # longer than the lab's keep-alive time-out either way
SHORT_PAUSE_S = 2.5          # the agents' associations outlive it
FLOOD = 3000


class Pause:
    @classmethod
    def setUpClass(cls):
        cls.lab = cls.enterClassContext(Appliance("pgchp-"))

    def setUp(self):
        self.lab.wait_for_registrar()
        self.lab.wait_for_pes(9)
        self.before = self.lab.registrar()["counters"]

    def grown(self, *counters):
        now = self.lab.registrar()["counters"]
        return {name: now[name] - self.before[name] for name in counters}

    def nobody_was_taken_for_dead(self, deregistrations=0):
        ours = ("pes_found_dead", "pes_expired", "pes_out_by_reports", "pes_out_by_association", "pes_out_by_grace",
                "deregistrations", "keepalives_timed_out")
        self.assertEqual(self.grown(*ours), dict.fromkeys(ours, 0) | {"deregistrations": deregistrations})


class StoppedRegistrar(Pause, unittest.TestCase):
    def test_a_stopped_registrar_expires_nobody_and_serves_what_came_meanwhile(self):
        lab = self.lab
        associations = lab.associations()
        lab.signal("registrar", signal.SIGSTOP)
        try:
            lab.spawn("pe1", "agent-late", AGENT, "register", "--registrar", "10.0.2.1:3863", "--pool", "Late", "--transport", "udp",
                      "--port", "5001", "--address", "10.0.2.11", "--id", "0x77")
            with lab.clients() as clients:
                time.sleep(PAUSE_S)
        finally:
            lab.signal("registrar", signal.SIGCONT)
        for transport, report in clients.reports.items():
            self.assertEqual(report["failed"], 0, transport)
        wait_until(lambda: "Late" in lab.cli("show", "pool", "all"), 20, "the registration that came meanwhile")
        lab.kill("agent-late", "TERM")
        wait_until(lambda: lab.registrar()["registrar"]["elements"] == 9, 20, "its end")
        self.assertEqual(self.grown("registrations"), {"registrations": 1})
        self.assertEqual([a for a in associations if a not in lab.associations()], [])
        self.nobody_was_taken_for_dead(deregistrations=1)

    def test_peers_of_a_stopped_registrar_see_a_full_window_and_nothing_is_lost(self):
        lab = self.lab
        lab.signal("registrar", signal.SIGSTOP)
        try:
            # Messages that are no ASAP: each is accepted, counted and acknowledged, none is answered.
            flood = subprocess.Popen(
                lab.in_namespace("pe1", os.path.join(TOOLS, "poolgate-lab-client"), "--transport", "sctp", "--to", "10.0.2.1:3863",
                                 "--count", str(FLOOD), "--rate", "3000", "--timeout", "600000"),
                stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
            self.addCleanup(lambda: (flood.kill(), flood.wait()))
            blocked = wait_until(lambda: [a for a in lab.json("show", "assoc", "all")["associations"] if a["blocked"]], 20,
                                 "an association that is read no more")
            time.sleep(PAUSE_S)
            self.assertEqual(len(blocked), 1, "the others are read")
            self.assertEqual(lab.drops().get("endpoint_event_lost", 0), 0)
        finally:
            lab.signal("registrar", signal.SIGCONT)
        wait_until(lambda: self.grown("bad_ppid")["bad_ppid"] == FLOOD, 60, f"all {FLOOD} messages")
        flood.kill()
        self.nobody_was_taken_for_dead()
        self.assertEqual(lab.pes_up(), 9)


# With a lab of its own: agents may give their associations up a while after a pause.
class StoppedDataPlane(Pause, unittest.TestCase):
    def test_a_stopped_data_plane_costs_no_pe_and_no_flow(self):
        lab = self.lab
        with lab.clients(rate=10, timeout_ms=60_000) as clients:
            lab.pause("dataplane", SHORT_PAUSE_S)
            clients.wait_for_answers(2 * clients.flows)
        for transport, report in clients.reports.items():
            with self.subTest(transport):
                self.assertEqual(clients.moved[transport], {})
                self.assertEqual({k: report[k] for k in ("resets", "refused", "closed", "lost")},
                                 {"resets": 0, "refused": 0, "closed": 0, "lost": 0})
        self.nobody_was_taken_for_dead()
        self.assertEqual(self.grown("registrations"), {"registrations": 0})

    def test_a_data_plane_stopped_for_longer_than_peers_wait_loses_nothing_of_its_own(self):
        """PEs may give their associations up by then: they stay in their pools, and come back. SCTP clients may, too; what UDP
        and TCP clients send arrives, at the PEs that they had."""
        lab = self.lab
        before = lab.drops()
        with lab.clients(transports=("udp", "tcp"), rate=10, timeout_ms=120_000) as clients:
            lab.pause("dataplane", PAUSE_S)
            clients.wait_for_answers(2 * clients.flows)
        for transport, report in clients.reports.items():
            with self.subTest(transport):
                self.assertEqual(clients.moved[transport], {})
                self.assertEqual({k: report[k] for k in ("failed", "resets", "refused", "closed", "lost")},
                                 {"failed": 0, "resets": 0, "refused": 0, "closed": 0, "lost": 0})
        lab.wait_for_registrar()
        wait_until(lambda: lab.registrar()["registrar"]["associations"] == 9, 90, "the agents' associations")
        self.assertEqual(lab.pes_up(), 9)
        self.assertEqual(self.grown("registrations"), {"registrations": 0})
        self.nobody_was_taken_for_dead()
        lost = ("next_hop_unreachable", "no_next_hop", "hold_expired", "hold_full", "endpoint_queue_full", "session_unknown")
        self.assertEqual({k: lab.drops().get(k, 0) - before.get(k, 0) for k in lost}, dict.fromkeys(lost, 0))


if __name__ == "__main__":
    unittest.main()
