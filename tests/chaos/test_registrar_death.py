# SPDX-License-Identifier: BSD-3-Clause
"""kill -9 of the registrar under traffic: nobody notices, and the next one knows all that it knew."""
import json
import os
import signal
import time
import unittest

from appliance import PES, POOLS, SOAK, TOOLS, VIP, Appliance

TIMEOUT_SECONDS = 900
DEATHS = 20 if SOAK else 3
MOST_A_SECOND = 16_000 if SOAK else 2_000  # requests that are tried; the client, which tells of each, is the limit beyond


class RegistrarDeath(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.lab = cls.enterClassContext(Appliance("pgchr-"))

    def agents(self):
        return {f"{n}-{t}": self.lab.log(f"agent-{n}-{t}") for n in PES for t in POOLS}

    def test_no_packet_no_association_and_no_registration_is_lost(self):
        lab = self.lab
        lab.wait_for_registrar()
        identity, associations, agents = lab.registrar()["registrar"], lab.associations(), self.agents()
        with lab.clients() as clients:
            drops = lab.drops()
            for death in range(1, DEATHS + 1):
                lab.signal("registrar", signal.SIGKILL)
                time.sleep(0.5)  # without one
                self.assertEqual(lab.pes_up(), 9)
                lab.start()
                lab.wait_for_registrar()
                told = lab.registrar()
                self.assertEqual(told["registrar"]["server_id"], identity["server_id"])
                self.assertEqual(told["registrar"]["incarnation"], identity["incarnation"] + death)
                self.assertEqual((told["registrar"]["elements"], told["registrar"]["pools"]), (9, 3))
                clients.wait_for_answers(clients.flows)
            self.assertEqual(lab.drops(), drops)
        for transport, report in clients.reports.items():
            with self.subTest(transport):
                self.assertEqual(report["failed"], 0)
                self.assertEqual(clients.moved[transport], {})
        self.assertEqual(lab.associations(), associations)
        self.assertEqual(self.agents(), agents, "a PE noticed")
        counters = lab.registrar()["counters"]
        for nothing in ("registrations", "reregistrations", "pes_found_dead", "pes_out_by_association", "pes_out_by_grace"):
            self.assertEqual(counters[nothing], 0, nothing)

    def capacity(self):
        """Requests a second that the lab answers all of, in steps of two."""
        rate = 500
        while rate < MOST_A_SECOND:
            told = json.loads(self.lab.run(
                "pu", os.path.join(TOOLS, "poolgate-lab-client"), "--transport", "udp", "--to", f"{VIP}:5000", "--flows", "9",
                "--rate", str(2 * rate), "--count", str(4 * rate), "--timeout", "1000", "--json", "--progress", check=False))
            if told["failed"]:
                break
            rate *= 2
        return rate

    def test_at_half_of_what_the_lab_carries_nothing_is_dropped(self):
        lab = self.lab
        capacity = self.capacity()
        rate = capacity // 2
        limit = "as many as are tried, the lab may carry more" if capacity >= MOST_A_SECOND else "the most that it answered all of"
        print(f"{rate} requests a second: half of {capacity}, {limit}", flush=True)
        with lab.clients(transports=("udp",), rate=rate) as clients:
            drops = lab.drops()
            for _ in range(3):
                lab.signal("registrar", signal.SIGKILL)
                clients.wait_for_answers(rate // 2)
                lab.start()
                lab.wait_for_registrar()
                clients.wait_for_answers(rate // 2)
            self.assertEqual(lab.drops(), drops)
        self.assertEqual(clients.reports["udp"]["failed"], 0)
        self.assertEqual(clients.moved["udp"], {})

    def test_without_a_registrar_new_clients_are_served(self):
        lab = self.lab
        lab.signal("registrar", signal.SIGKILL)
        try:
            with lab.clients(fresh=True, rate=20) as clients:
                clients.wait_for_answers(30)
        finally:
            lab.start()
            lab.wait_for_registrar()
        for transport, report in clients.reports.items():
            with self.subTest(transport):
                self.assertEqual(report["failed"], 0)
                self.assertEqual(sorted(report["by_name"]), ["pe1", "pe2", "pe3"])


if __name__ == "__main__":
    unittest.main()
