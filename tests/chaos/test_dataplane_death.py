# SPDX-License-Identifier: BSD-3-Clause
"""kill -9 of the data plane under traffic: sessions are found again, PEs stay and re-associate, nobody leaves a pool."""
import re
import signal
import unittest

from appliance import AGENT, PES, POOLS, SOAK, Appliance, wait_until

TIMEOUT_SECONDS = 900
DEATHS = 10 if SOAK else 2


class DataPlaneDeath(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.lab = cls.enterClassContext(Appliance("pgchd-"))

    def restart(self):
        before = self.lab.pid("dataplane")
        self.lab.signal("dataplane", signal.SIGKILL)
        self.lab.start()
        self.assertNotEqual(self.lab.pid("dataplane"), before)

    def test_flows_go_on_to_their_pes_and_no_pe_leaves(self):
        before = self.lab.registrar()["counters"]
        with self.lab.clients() as clients:
            for _ in range(DEATHS):
                self.restart()
                self.lab.wait_for_registrar()
                self.lab.wait_for_pes(9)
                clients.wait_for_answers(2 * clients.flows)
        for transport, report in clients.reports.items():
            with self.subTest(transport):
                self.assertEqual(clients.moved[transport], {}, "flows that changed their PE")
                self.assertEqual({k: report[k] for k in ("resets", "refused", "closed", "lost", "cut_off")},
                                 {"resets": 0, "refused": 0, "closed": 0, "lost": 0, "cut_off": 0})
        found = [int(n) for n in re.findall(r"(\d+) sessions of the former run go on", self.lab.log("dataplane"))]
        self.assertEqual(len(found), DEATHS)
        self.assertTrue(all(n >= 3 * clients.flows for n in found), found)

        # All re-associate, and until then they are kept: no deregistration, no expiry, no death leaves the registrar.
        wait_until(lambda: self.lab.registrar()["registrar"]["associations"] == len(PES) * len(POOLS), 60,
                   "all PEs' associations are back")
        told = self.lab.registrar()
        told["counters"] = {k: v - before[k] for k, v in told["counters"].items()}
        self.assertEqual(told["registrar"]["elements"], len(PES) * len(POOLS))
        gone = ("deregistrations", "pes_found_dead", "pes_expired", "pes_out_by_reports", "pes_out_by_association", "pes_out_by_grace")
        self.assertEqual({k: told["counters"][k] for k in gone}, dict.fromkeys(gone, 0))

    def test_new_clients_wait_for_the_registrar_and_are_not_refused(self):
        """Between the data plane's start and the registrar's first word pools are unknown, not empty."""
        self.lab.signal("registrar", signal.SIGSTOP)
        try:
            self.restart_without_registrar()
            with self.lab.clients(transports=("udp",), fresh=True, rate=10, flows=0) as clients:
                wait_until(lambda: self.lab.drops().get("pool_unknown", 0) > 0, 20, "clients that have to wait")
        finally:
            self.lab.signal("registrar", signal.SIGCONT)
        self.lab.wait_for_registrar()
        self.lab.wait_for_pes(9)
        self.assertEqual(clients.reports["udp"].get("refused", 0), 0)
        self.assertEqual(self.lab.drops().get("pool_empty", 0), 0)

    def test_who_would_not_notice_is_told_and_comes_back(self):
        """It has nothing to send, and asks once an hour whether we are there: our ABORT is all that it can hear."""
        self.lab.spawn("pe1", "agent-idle", AGENT, "register", "--registrar", "10.0.2.1:3863", "--pool", "Idle", "--transport", "udp",
                       "--port", "5009", "--address", "10.0.2.11", "--id", "0x99", "--lifetime", "infinite", "--heartbeat", "1h")
        try:
            wait_until(lambda: "Idle" in self.lab.cli("show", "pool", "all"), 20, "its registration")
            self.restart()
            wait_until(lambda: "registrar lost" in self.lab.log("agent-idle"), 15, "our ABORT at the PE")
            wait_until(lambda: self.lab.log("agent-idle").count("registered, ") + self.lab.log("agent-idle").count("registered again")
                       >= 2, 15, "the PE's next registration")
        finally:
            self.lab.kill("agent-idle", "TERM")
        self.assertRegex(self.lab.log("dataplane"), r"SCTP associations of the former run: their peers are told")

    def restart_without_registrar(self):
        self.lab.signal("dataplane", signal.SIGKILL)
        self.lab.start()


if __name__ == "__main__":
    unittest.main()
