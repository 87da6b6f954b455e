# SPDX-License-Identifier: BSD-3-Clause
"""SCTP redirected as SCTP, between real kernels on both sides, in every mode at once: see redirect_lab.py. Each test begins with
clients whose associations are pe1's, and ends wherever its fault leads."""
import os
import signal
import unittest

from client_wire import T_BIT, Wire
from lib.lab import wait_until
from redirect_lab import OTHERS, PROGRAM, RULES, TUNNELS, RedirectLab, addresses

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

    def tearDown(self):
        for name, host in self.lab.hosts.items():
            self.assertEqual(host.counters()["SctpChecksumErrors"], 0, name)

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

    def check_refused(self, service, number):
        """At once, and by us."""
        refused = self.lab.counts(service)[1]
        said = self.lab.hosts["client"].run(f"python3 {PROGRAM} connect {self.lab.vips[0]} {7000 + number}")
        self.assertEqual(said.strip(), "ECONNREFUSED")
        self.assertGreater(self.lab.counts(service)[1], refused)

    def test_a_multihomed_association_is_one_association_on_both_paths(self):
        for mode, asker, number in self.each():
            asker.wait_for_echoes(number, 20)
            self.assertEqual(asker.server(number), "pe1")
            self.assertEqual(len(self.lab.sessions(mode)), 1)

    def test_each_mode_is_carried_as_its_name_says(self):
        """Told by what the server's kernel has taken out of tunnels, by the client's, and by us."""
        def packets():
            return {mode: self.lab.show("service", mode)["services"][0]["packets"] for mode in self.lab.modes}
        pe1, client, messages = self.lab.hosts["pe1"], self.lab.hosts["client"], 40
        at_pe1, at_client, carried = pe1.counters(), client.counters(), packets()
        for _, asker, number in self.each():
            asker.wait_for_echoes(number, messages)
        at_pe1 = {name: n - at_pe1[name] for name, n in pe1.counters().items()}
        at_client = {name: n - at_client[name] for name, n in client.counters().items()}
        for mode, n in packets().items():
            self.assertGreaterEqual(n - carried[mode], messages, mode)
        for underlay in (4, 6):
            used = [m.mode for m in self.lab.modes.values() if m.underlay == underlay]
            devices = TUNNELS.get((self.lab.family, underlay), ())
            taken, in_udp = sum(at_pe1[device] for device in devices), at_pe1[f"udp{underlay}"]
            self.assertGreaterEqual(in_udp, used.count("gue") * messages, at_pe1)
            self.assertGreaterEqual(taken - in_udp, used.count("ipip") * messages, at_pe1)
        self.assertGreaterEqual(at_client["SctpInSCTPPacks"], len(self.lab.modes) * messages)
        self.assertEqual((at_client["SctpOutOfBlues"], at_client["SctpAborteds"], at_client["SctpShutdowns"]), (0, 0, 0))

    def test_an_association_that_is_shut_down_leaves_nothing_behind(self):
        client, before = self.lab.hosts["client"], self.lab.hosts["client"].counters()
        ended = {mode: self.ended_in_pe1(mode) for mode in self.lab.modes}
        self.lab.end_clients()
        for mode, asker, number in self.each():
            asker.wait("SHUTDOWN COMPLETE", lambda records, n=number: any(r.what == "closed" and r.number == n for r in records))
            self.assertEqual(asker.server(number), "pe1", mode)
            self.assertEqual(asker.of("lost") + asker.of("refused"), [], mode)
            wait_until(lambda mode=mode: not self.lab.sessions(mode), 60, f"{mode}: the end of our session")
            wait_until(lambda mode=mode: not self.lab.served("pe1", mode), 60, f"{mode}: the end of the server's association")
            self.assertEqual(self.ended_in_pe1(mode), ended[mode], mode)
        after = client.counters()
        self.assertEqual((after["SctpShutdowns"] - before["SctpShutdowns"], after["SctpAborteds"] - before["SctpAborteds"],
                          after["SctpCurrEstab"]), (len(self.lab.modes), 0, 0))

    def test_a_cut_link_of_the_client_costs_no_message(self):
        # A server that has no path left but the cut one sends its SACKs by that: for ten minutes, which is Linux's affair.
        wait_until(lambda: not self.lab.dead_paths("pe1"), 60, "the server's paths to be active, after what other tests did")
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
        address = {mode: addresses(m.underlay, "pe1")[link] for mode, m in self.lab.modes.items()}
        self.lab.cut("pe1", link)
        for mode in self.lab.modes:
            self.lab.wait_for_dead_addresses(mode, "pe1", [f"{address[mode]}:prober"])
        for mode, asker, number in self.each():
            asker.wait_for_echoes(number, 60)
            self.assertEqual(asker.number(), number)
            self.assertEqual(asker.server(number), "pe1")
            self.assertEqual(self.lab.elements(mode)["pe1"]["state"], "up")
            if not self.lab.is_nat(mode):  # else the client's SCTP does it
                self.assertNotIn(address[mode], {session["via"] for session in self.lab.sessions(mode)})
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
        """Ours: the same client without us is cut off at the same moment, and hangs on until its own kernel gives up. Of what reaches a
        client's links and of what its kernel counts (an association that ended by ABORT, or by giving up) each has its one."""
        lab, client = self.lab, self.lab.hosts["client"]
        lab.start_clients("plain")
        plain = lab.askers["plain"]
        plain.number()
        before, counted = client.counters(), {mode: lab.counts(mode) for mode in lab.modes}
        with Wire(lab, "client") as wire:
            lab.cut("pe1", 0, 1)
            for _, asker, number in self.each():
                self.check_next(asker, number, "pe2")
            plain.wait("its own kernel to give up", lambda records: any(r.what == "lost" for r in records))
        for mode, asker, number in self.each():
            self.assertLess(asker.of("lost", number)[0].time, plain.of("lost")[0].time, f"{mode}: its own kernel's patience ended first")
            aborted, refused = (now - then for now, then in zip(lab.counts(mode), counted[mode]))
            self.assertEqual(aborted, 1, mode)
            aborts = wire.aborts_to(asker.port)
            # A packet that was on its way to us when ours left is out of the blue, and answered (RFC 9260 8.4); no kernel takes that.
            self.assertIn(len(aborts), range(1, 2 + refused), f"{mode}: {aborts}")
            for abort in aborts:
                self.assertIn(abort.source, lab.vips, mode)
                self.assertIn(abort.mac, (lab.lab.mac("app", "app0"), lab.lab.mac("app", "app3")), f"{mode}: not from us")
                self.assertEqual((abort.flags, abort.tag), (T_BIT, wire.tags_from(asker.port)[0]), f"{mode}: {abort}")
        self.assertEqual(client.counters()["SctpAborteds"] - before["SctpAborteds"], len(lab.modes) + 1)

    def test_whom_hold_drain_and_the_guard_keep_only_its_own_kernel_tells(self):
        """The guard keeps those of l2: without pe2 in that pool more than half of it is dead. All others are told meanwhile."""
        lab = self.lab
        lab.start_clients_with("pe1", *RULES)
        lab.end_agent("pe2", "l2")
        self.addCleanup(lab.start_agent, "pe2", "l2")
        kept = {name: (lab.askers[name], lab.askers[name].number()) for name in RULES} | {"l2": (lab.askers["l2"], self.before["l2"])}
        counted = {name: lab.counts(name) for name in kept}
        with Wire(lab, "client") as wire:
            lab.cut("pe1", 0, 1)
            for mode, asker, number in self.each():
                if mode != "l2":
                    self.check_next(asker, number, "pe2")
            self.assertIn("ALARM: too many elements of l2 were found dead at once", str(lab.show("pool", "l2").get("notes")))
            self.assertNotIn("notes", lab.show("pool", "routed"), "one of its two, whatever the rules of its services")
            for name, (asker, number) in kept.items():
                asker.wait("its own kernel to give up", lambda records, n=number: any(r.what == "lost" and r.number == n for r in records))
        last_told = max(asker.of("lost", number)[0].time for mode, asker, number in self.each() if mode != "l2")
        for name, (asker, number) in kept.items():
            self.assertEqual(lab.counts(name)[0], counted[name][0], f"{name}: told by us")
            self.assertNotIn(wire.tags_from(asker.port)[0], {abort.tag for abort in wire.aborts_to(asker.port)}, f"{name}: told by us")
            self.assertGreater(asker.of("lost", number)[0].time, last_told, name)
        for name in RULES:
            self.check_next(*kept[name], "pe2")
        # Nobody else is in the pool of l2: who is new there is refused. What comes from an association's own port is its PE's to judge,
        # which the guard takes for alive.
        self.check_refused("l2", lab.modes["l2"].number)

    def test_a_service_whose_pool_is_empty_refuses_a_kernels_connect(self):
        self.check_refused("empty", OTHERS["empty"])

    def test_the_data_plane_answers_a_kernels_resolutions_while_the_registrar_is_stopped(self):
        lab, near = self.lab, self.lab.near
        def answered():
            return sum(stack["answered"] for stack in lab.show("worker", "all")["resolutions"])
        before, listed = answered(), lab.resolve(near)
        self.assertEqual({pe: (tuple(e["addresses"]), e["port"]) for pe, e in listed.items()},
                         {pe: (addresses(lab.family, pe), lab.server_port(near)) for pe in ("pe1", "pe2")})
        self.assertEqual(answered(), before + 1)
        self.assertEqual(set(lab.resolve("ipip")), {"pe1", "pe2"})
        self.assertEqual(answered(), before + 1, "the registrar's own, while it runs")
        with open(f"{lab.lab.dir}/pid/registrar", encoding="ascii") as f:
            registrar = int(f.read())
        os.kill(registrar, signal.SIGSTOP)
        self.addCleanup(os.kill, registrar, signal.SIGCONT)
        for n in range(2, 5):
            self.assertEqual(lab.resolve(near), listed)
            self.assertEqual(answered(), before + n)
        self.assertEqual(lab.resolve("ipip", 3), {}, "the registrar is stopped")

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
