# SPDX-License-Identifier: BSD-3-Clause
"""SCTP redirected as SCTP, between real kernels on both sides, in every mode at once: see redirect_lab.py. Each test begins with
clients whose associations are pe1's, and ends wherever its fault leads."""
import unittest

from lib.lab import wait_until
from redirect_lab import RedirectLab

TIMEOUT_SECONDS = 1800
COOKIE_ECHOED = 2  # Linux's number of the state


class RedirectKernelSctp(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.lab = cls.enterClassContext(cls.make_lab())

    @classmethod
    def make_lab(cls):
        return RedirectLab()

    def setUp(self):
        lab = self.lab
        for host in lab.hosts:
            lab.cut_off(host, False)
        lab.wait_for_pools()
        lab.begin_with("pe1")
        self.before = {}
        for mode in self.lab.modes:
            asker = lab.askers[mode]
            number = asker.number()
            asker.wait("both paths", lambda _, a=asker, n=number: a.paths(n).get(self.lab.vips[1]) == "confirmed")
            self.assertEqual(asker.server(number), "pe1", mode)
            self.before[mode] = number

    def explain(self):
        return self.lab.told(self._testMethodName)

    def each(self):
        """(mode, its client, the association that it began with)"""
        return [(mode, self.lab.askers[mode], number) for mode, number in self.before.items()]

    def ended_in_pe1(self, mode):
        """How often its kernel told the server that an association was restarted or aborted; the agent's probes close theirs."""
        text = self.lab.hosts["pe1"].read(f"serve-{mode}")
        return text.count(" restart ") + text.count(" lost ")

    def restarted_in_pe1(self, mode):
        return self.lab.hosts["pe1"].read(f"serve-{mode}").count(" restart ")

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
            asker.wait("its path to be given up", lambda _, a=asker, n=number: a.paths(n).get(self.lab.vips[0]) in ("unreachable", "doubtful"))
            asker.wait_for_echoes(number, 20)
            self.assertEqual(asker.number(), number)
            self.assertEqual(asker.server(number), "pe1")
        self.lab.join("client", 0)
        for _, asker, number in self.each():
            asker.wait("its path to be back", lambda _, a=asker, n=number: a.paths(n).get(self.lab.vips[0]) == "available")
            asker.wait_for_echoes(number, 20)
            self.assertEqual(asker.server(number), "pe1")

    def check_cut_link_of_the_server(self, link):
        """It costs no message, the element is not dead, and its address is used again once it is back."""
        address = self.lab.hosts["pe1"].own_addresses()[link]
        self.lab.cut("pe1", link)
        for mode in self.lab.modes:
            self.lab.wait_for_dead_addresses(mode, "pe1", [f"{address}:prober"])
        for mode, asker, number in self.each():
            asker.wait_for_echoes(number, 60)
            self.assertEqual(asker.number(), number)
            self.assertEqual(asker.server(number), "pe1")
            self.assertEqual(self.lab.elements(mode)["pe1"]["state"], "up")
            if mode in ("l2", "ipip", "gue"):  # else the client's SCTP does it
                self.assertNotIn(address, {session["via"] for session in self.lab.sessions(mode)})
        self.lab.join("pe1", link)
        for mode, asker, number in self.each():
            self.lab.wait_for_dead_addresses(mode, "pe1", [])
            asker.wait("its path to be back", lambda _, a=asker, n=number: a.paths(n).get(self.lab.vips[link]) in ("available", "confirmed"))
            asker.wait_for_echoes(number, 20)
            self.assertEqual(asker.number(), number)
            self.assertEqual(asker.server(number), "pe1")

    def test_a_cut_first_link_of_a_server_costs_no_message(self):
        self.check_cut_link_of_the_server(0)

    def test_a_cut_second_link_of_a_server_costs_no_message(self):
        self.check_cut_link_of_the_server(1)

    def test_a_client_that_reboots_and_comes_from_the_same_port_is_one_association_again(self):
        """Either its INIT restarts the one that the server still has (RFC 9260 5.2.4.1), or the server asked the new kernel before, and
        heard ABORT."""
        ended = {mode: self.ended_in_pe1(mode) for mode in self.lab.modes}
        self.lab.boot("client")
        self.lab.start_clients(*self.lab.modes)
        for mode, asker, _ in self.each():
            number = asker.number()
            self.assertEqual(number, 1, "its first attempt")
            asker.wait_for_echoes(number, 5)
            asker.server(number)
            self.assertEqual([s["state"] for s in self.lab.sessions(mode)], ["established"])
            wait_until(lambda mode=mode: self.ended_in_pe1(mode) > ended[mode], 60, "the former association to be over at the server")
            self.assertEqual(self.ended_in_pe1(mode), ended[mode] + 1)

    def test_a_client_that_reboots_before_its_server_has_noticed_restarts_its_association(self):
        """RFC 9260 5.2.4.1, from the same ports and addresses. Its kernel answers the server's packets of before with ABORT, unless they
        come from an address that it is asking itself: nothing reaches it before its INIT is under way, nor by the other path before
        that is answered. The server may answer its COOKIE ECHO on the other path alone: that is there from then on."""
        ended = {mode: self.ended_in_pe1(mode) for mode in self.lab.modes}
        restarted = {mode: self.restarted_in_pe1(mode) for mode in self.lab.modes}
        self.lab.cut("client", 0, 1)
        self.lab.boot("client")
        self.lab.start_clients(*self.lab.modes)
        wait_until(lambda: self.lab.associations("client") == len(self.lab.modes), 60, "its INITs")
        self.lab.join("client", 0)
        wait_until(lambda: self.lab.associations("client", COOKIE_ECHOED) == len(self.lab.modes), 60, "its INITs to be answered")
        self.lab.join("client", 1)
        numbers = {mode: asker.number() for mode, asker, _ in self.each()}
        for mode, asker, _ in self.each():
            number = numbers[mode]
            asker.wait("both paths", lambda _, a=asker, n=number: a.paths(n).get(self.lab.vips[1]) == "confirmed")
            asker.wait_for_echoes(number, 5)
            self.assertEqual(asker.number(), number)
            self.assertEqual(asker.server(number), "pe1", mode)
            wait_until(lambda mode=mode: self.restarted_in_pe1(mode) > restarted[mode], 60, f"{mode}: the server to be told of a restart")
            self.assertEqual((self.restarted_in_pe1(mode), self.ended_in_pe1(mode)), (restarted[mode] + 1, ended[mode] + 1), mode)
            self.assertEqual([(s["state"], s["pe"]) for s in self.lab.sessions(mode)], [("established", "0x00000001")], mode)

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
        for mode in self.lab.modes:
            self.lab.kill_server("pe1", mode)
        self.addCleanup(self.lab.start_servers, "pe1", agents=False)
        for mode, asker, number in self.each():
            self.check_next(asker, number, "pe2", ("lost", "closed"))
            sessions = self.lab.sessions(mode)
            self.assertEqual([(s["state"], s["pe"]) for s in sessions], [("established", "0x00000002")])


if __name__ == "__main__":
    unittest.main()
