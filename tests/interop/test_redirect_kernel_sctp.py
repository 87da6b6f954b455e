# SPDX-License-Identifier: BSD-3-Clause
"""SCTP redirected as SCTP, between real kernels on both sides, in every mode at once: see redirect_lab.py. Each test begins with
clients whose associations are pe1's, and ends wherever its fault leads."""
import sys
import unittest

from lib.lab import wait_until
from redirect_lab import MODES, VIPS, RedirectLab

TIMEOUT_SECONDS = 1800


class RedirectKernelSctp(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.lab = cls.enterClassContext(RedirectLab())

    def setUp(self):
        lab = self.lab
        for host in lab.hosts:
            lab.cut_off(host, False)
        lab.wait_for_pools()
        lab.begin_with("pe1")
        self.before = {}
        for mode in MODES:
            asker = lab.askers[mode]
            number = asker.number()
            asker.wait("both paths", lambda _, a=asker, n=number: a.paths(n).get(VIPS[1]) == "confirmed")
            self.assertEqual(asker.server(number), "pe1", mode)
            self.before[mode] = number

    def run(self, result=None):
        failed = len(result.failures) + len(result.errors) if result else 0
        super().run(result)
        if result and len(result.failures) + len(result.errors) > failed and hasattr(self, "before"):
            print(self.lab.told(), file=sys.stderr)

    def each(self):
        """(mode, its client, the association that it began with)"""
        return [(mode, self.lab.askers[mode], number) for mode, number in self.before.items()]

    def ended_in_pe1(self, mode):
        """How often its kernel told the server that an association was restarted or aborted; the agent's probes close theirs."""
        text = self.lab.hosts["pe1"].read(f"serve-{mode}")
        return text.count(" restart ") + text.count(" lost ")

    def check_next(self, asker, number, server, ends=("lost",)):
        """The client was told once that its association is over; the next one is served by `server`."""
        asker.wait("the end of its association", lambda records: any(r.what in ends and r.number == number for r in records))
        asker.wait(f"an association with {server}", lambda records: any(r.what == "echo" and r.rest[0] == server for r in records))
        last = asker.number()
        self.assertEqual(asker.server(last), server)
        self.assertEqual(len([r for r in asker.records() if r.number == number and r.what in ("lost", "closed", "refused")]), 1,
                         "it was told once")

    def test_a_multihomed_association_is_one_association_on_both_paths(self):
        for mode, asker, number in self.each():
            asker.wait_for_echoes(number, 20)
            self.assertEqual(asker.server(number), "pe1")
            self.assertEqual(len(self.lab.sessions(mode)), 1)

    def test_a_cut_link_of_the_client_costs_no_message(self):
        self.lab.cut("client", 0)
        for _, asker, number in self.each():
            asker.wait("its path to be given up", lambda _, a=asker, n=number: a.paths(n).get(VIPS[0]) in ("unreachable", "doubtful"))
            asker.wait_for_echoes(number, 20)
            self.assertEqual(asker.number(), number)
            self.assertEqual(asker.server(number), "pe1")
        self.lab.join("client", 0)
        for _, asker, number in self.each():
            asker.wait("its path to be back", lambda _, a=asker, n=number: a.paths(n).get(VIPS[0]) == "available")
            asker.wait_for_echoes(number, 20)
            self.assertEqual(asker.server(number), "pe1")

    def test_a_cut_link_of_a_server_that_its_traffic_does_not_come_by_costs_no_message(self):
        self.lab.cut("pe1", 1)
        for _, asker, number in self.each():
            asker.wait_for_echoes(number, 60)
            self.assertEqual(asker.number(), number)
            self.assertEqual(asker.server(number), "pe1")

    def test_a_cut_link_of_a_server_that_its_traffic_comes_by_is_its_death_to_the_prober(self):
        self.lab.cut("pe1", 0)
        for _, asker, number in self.each():
            self.check_next(asker, number, "pe2")

    def test_a_client_that_reboots_and_comes_from_the_same_port_is_one_association_again(self):
        """Either its INIT restarts the one that the server still has (RFC 9260 5.2.4.1), or the server asked the new kernel before, and
        heard ABORT."""
        ended = {mode: self.ended_in_pe1(mode) for mode in MODES}
        self.lab.boot("client")
        self.lab.start_clients(*MODES)
        for mode, asker, _ in self.each():
            number = asker.number()
            self.assertEqual(number, 1, "its first attempt")
            asker.wait_for_echoes(number, 5)
            asker.server(number)
            self.assertEqual([s["state"] for s in self.lab.sessions(mode)], ["established"])
            wait_until(lambda mode=mode: self.ended_in_pe1(mode) > ended[mode], 60, "the former association to be over at the server")
            self.assertEqual(self.ended_in_pe1(mode), ended[mode] + 1)

    def test_a_server_that_reboots_costs_its_clients_one_association(self):
        self.lab.boot("pe1")
        for _, asker, number in self.each():
            self.check_next(asker, number, "pe2")
        self.lab.wait_for_pools()

    def test_a_host_that_falls_silent_costs_its_clients_one_ABORT(self):
        self.lab.start_clients("plain")
        plain = self.lab.askers["plain"]
        told = {"plain": (plain, plain.number())} | {mode: (asker, number) for mode, asker, number in self.each()}
        self.lab.cut("pe1", 0, 1)
        for _, asker, number in self.each():
            self.check_next(asker, number, "pe2")
        plain.wait("its own kernel to give up", lambda records: any(r.what == "lost" for r in records))
        hung = {mode: asker.of("lost", number)[0].time - asker.of("echo", number)[-1].time for mode, (asker, number) in told.items()}
        print("seconds from the last answer to COMM_LOST:", {mode: round(s, 2) for mode, s in hung.items()}, flush=True)

    def test_kill_9_of_a_server_ends_its_association_and_our_session(self):
        for mode in MODES:
            self.lab.kill_server("pe1", mode)
        self.addCleanup(self.lab.start_servers, "pe1", agents=False)
        for mode, asker, number in self.each():
            self.check_next(asker, number, "pe2", ("lost", "closed"))
            sessions = self.lab.sessions(mode)
            self.assertEqual([(s["state"], s["pe"]) for s in sessions], [("established", "0x00000002")])


if __name__ == "__main__":
    unittest.main()
