# SPDX-License-Identifier: BSD-3-Clause
"""The interop scenarios: RSPLIB's programs on kernel SCTP against a registrar at 10.10.0.1 and 10.11.0.1, judged by what
is on the wire and by what the programs print. Each runs against either side of sides.py.
"""
import re

from lib.lab import wait_until

import wire
from scenario import REGISTRAR, Scenario, at
from sides import ASAP_CLIENT, rspregistrar

POLICIES = [  # rspserver's word, the policy's number in RFC 5356 or RSPLIB's
    ("RoundRobin", 0x00000001), ("WeightedRoundRobin:3", 0x00000002), ("Random", 0x00000003), ("WeightedRandom:5", 0x00000004),
    ("Priority:10", 0x00000005), ("LeastUsed", 0x40000001), ("LeastUsedDegradation:0.1", 0x40000002),
    ("PriorityLeastUsed:0.1", 0x40000003), ("RandomizedLeastUsed", 0x40000004), ("LeastUsedDPF:0.001", 0xb0002002),
]


class Scenarios(Scenario):
    def test_i1_a_pe_registers_and_registers_again(self):
        self.serve("h1", 0x11111111, 7001)
        answers = self.registered(0x11111111, at_least=3)
        asked = self.of(self.side.messages(), wire.REGISTRATION, 0x11111111)
        self.assertGreaterEqual(len(asked), len(answers))
        self.assertEqual({m.number("pool_element_registration_life") for m in asked}, {6000})
        self.assertLessEqual({m.destination for m in asked}, {"10.10.0.1", "10.11.0.1"})
        intervals = [b.time - a.time for a, b in zip(asked, asked[1:])]
        self.assertTrue(all(i > 1.5 for i in intervals), intervals)

    def test_i2_a_peer_downloads_the_handlespace(self):
        self.serve("h1", 0x12121212, 7003)
        self.registered(0x12121212)
        printed = self.side.in_host("pu", "timeout -s INT 60 hsdump 10.10.0.1:9901 2>&1", timeout=90, check=False)
        self.assertIn(self.pool, printed)
        self.assertIn("$12121212", printed)
        self.side.wait_for("the table on the wire", lambda seen: [
            m for m in seen if m.type == wire.HANDLE_TABLE_RESPONSE and 0x12121212 in m.pes], "enrp")

    def test_i3_a_pu_resolves_the_pool_and_talks_to_its_pe(self):
        self.serve("h1", 0x22222222, 7002)
        self.registered(0x22222222)
        self.side.spawn("pu", f"bash -c '(echo hello; sleep 600) | exec stdbuf -oL rspterminal {at(REGISTRAR)} -poolhandle={self.pool}'",
                        "terminal.out")
        self.side.says("terminal.out", lambda printed: "from PE $22222222> hello" in printed)
        asked = self.of(self.side.messages(), wire.HANDLE_RESOLUTION)
        answered = self.of(self.side.messages(), wire.HANDLE_RESOLUTION_RESPONSE)
        self.assertTrue(asked[0].all("hropt_items"), asked)
        self.assertEqual(answered[0].pes, [0x22222222])
        self.assertEqual(answered[0].number("pool_member_selection_policy_type"), 1)

    def test_i4_an_unknown_pool_is_answered_with_cause_9(self):
        self.side.spawn("pu", f"rspterminal {at(REGISTRAR)} -poolhandle=NoPool", "terminal.out")
        answer = self.side.wait_for("the answer", lambda seen: self.of(seen, wire.HANDLE_RESOLUTION_RESPONSE, pool="NoPool"))[0]
        self.assertEqual((answer.number("cause_code"), answer.pes), (9, []))

    def test_i5_every_policy_is_taken_and_given_as_registered(self):
        pes = [(policy, code, f"{self.pool[:20]}{n}", 0x50000000 + n) for n, (policy, code) in enumerate(POLICIES)]
        for number, (policy, _, pool, pe) in enumerate(pes):
            self.serve("h1", pe, 7100 + number, policy=policy, pool=pool)
        for policy, code, pool, pe in pes:
            with self.subTest(policy=policy):
                self.registered(pe, pool)
                asked = self.of(self.side.messages(), wire.REGISTRATION, pe, pool)[0]
                self.assertEqual(asked.number("pool_member_selection_policy_type"), code)
                answer = self.resolves_to(pe, pool=pool)
                # the answer leads with the pool's policy; then comes the PE's own, as it was registered
                own = {k: v[-1:] for k, v in answer.fields.items() if "policy" in k}
                self.assertEqual(own, {k: v[-1:] for k, v in asked.fields.items() if "policy" in k})

    def test_i5_a_pe_of_another_policy_is_rejected_with_cause_5(self):
        self.serve("h1", 0x55550001, 7201, policy="LeastUsed")
        self.registered(0x55550001)
        self.serve("h2", 0x55550002, 7202, policy="Random")
        answer = self.side.wait_for("the rejection", lambda seen: self.of(seen, wire.REGISTRATION_RESPONSE, 0x55550002))[0]
        self.assertTrue(answer.rejected, answer)
        self.assertEqual(answer.number("cause_code"), 5, answer)
        self.resolves_to(0x55550001)

    def test_i6_a_pe_that_ends_deregisters(self):
        pid = self.serve("h1", 0x66666666, 7301)
        self.registered(0x66666666)
        self.side.guest.run(f"kill -INT {pid}")
        answer = self.side.wait_for("the response to the deregistration",
                                    lambda seen: self.of(seen, wire.DEREGISTRATION_RESPONSE, 0x66666666))[0]
        self.assertEqual(answer.all("cause_code"), [])
        self.resolves_to()

    def test_i7_a_pe_whose_association_is_aborted_is_out_at_once(self):
        pid = self.serve("h1", 0x77770001, 7401)
        self.registered(0x77770001)
        self.side.guest.run(f"kill -9 {pid}")  # its kernel speaks for it
        end = self.wait_for_end("10.10.0.11", "10.11.0.11")
        self.resolves_to()
        asked = [m for m in self.of(self.side.messages(), wire.KEEP_ALIVE) if m.time > end]
        self.assertEqual(asked, [])  # no keep-alive had to find out

    def test_i7_a_pe_whose_host_falls_silent_is_out_when_a_keep_alive_fails(self):
        self.serve("h2", 0x77770002, 7402)
        self.registered(0x77770002)
        self.resolves_to(0x77770002)
        self.side.guest.run("ip link set h2-eth0 down")
        self.addCleanup(self.side.guest.run, "ip link set h2-eth0 up")
        self.resolves_to()

    def test_i8_a_session_fails_over_without_a_gap(self):
        for pe, host in ((0x88880001, "h1"), (0x88880002, "h2")):
            self.serve(host, pe, 7500, service="-pingpong", options="-pppfailureafter=10")
            self.registered(pe)
        self.side.spawn("pu", f"stdbuf -oL pingpongclient {at(REGISTRAR)} -poolhandle={self.pool} -interval=100", "pingpong.out")

        def acknowledged(printed):
            return [(int(n), pe) for n, pe in re.findall(r"Ack #(\d+) from PE \$([0-9a-f]+)", printed)]
        printed = self.side.says("pingpong.out", lambda text: len(acknowledged(text)) > 30
                                 and {pe for _, pe in acknowledged(text)} == {"88880001", "88880002"} and text)
        self.assertNotIn("Detected gap", printed)
        numbers = [n for n, _ in acknowledged(printed)]
        self.assertEqual(numbers, sorted(numbers))

    def test_i9_each_pe_of_a_host_answers_its_own_keep_alives(self):
        pools = {0x99990001: self.pool, 0x99990002: self.pool[:20] + "Two"}
        for number, (pe, pool) in enumerate(pools.items()):
            self.serve("h1", pe, 7600 + number, pool=pool)
        for pe, pool in pools.items():
            self.registered(pe, pool)
        for pe, pool in pools.items():
            def acknowledged(seen, pe=pe, pool=pool):
                acks = self.of(seen, wire.KEEP_ALIVE_ACK, pe, pool)
                return acks if len(acks) >= 4 else None
            self.side.wait_for(f"four keep-alives of {pe:#x}, acknowledged", acknowledged)
            seen = self.side.messages()
            asked = self.of(seen, wire.KEEP_ALIVE, pool=pool)
            answered = self.of(seen, wire.KEEP_ALIVE_ACK, pool=pool)
            self.assertEqual({m.pe for m in answered}, {pe})
            self.assertLessEqual(abs(len(asked) - len(answered)), 1, asked + answered)
            self.assertFalse(any(m.number("h_bit") for m in asked))

    def test_a_multihomed_pe_that_loses_a_link_stays_registered(self):
        self.serve("h1", 0xaaaa0001, 7701)
        self.registered(0xaaaa0001)
        begun = self.side.messages()[-1].time
        self.side.guest.run("ip link set h1-eth0 down")
        self.addCleanup(self.side.guest.run, "ip link set h1-eth0 up")

        def by_the_other_network(seen):
            later = [m for m in seen if m.time > begun and m.source == "10.11.0.11"]
            return later if len([m for m in later if m.type == wire.KEEP_ALIVE_ACK]) >= 3 else None
        self.side.wait_for("keep-alives acknowledged over the second network", by_the_other_network)
        self.resolves_to(0xaaaa0001)
        restarts = [p for source in ("10.10.0.11", "10.11.0.11") for p in self.chunks(wire.INIT, source, 3863) if p.time > begun]
        self.assertEqual(restarts, [])  # no INIT: it is the association that survived, not a new one

    def test_a_pe_whose_host_reboots_is_taken_back(self):
        """The host is gone without a word; its PE comes back with its id while the old association seems alive."""
        pid = self.serve("h2", 0xbbbb0001, 7801)
        self.registered(0xbbbb0001)
        before = self.side.messages()[-1].time
        self.side.guest.run(f"ip link set h2-eth0 down; kill -9 {pid}; sleep 0.3; ip link set h2-eth0 up")
        self.serve("h2", 0xbbbb0001, 7801)
        answer = self.side.wait_for("a response to the new registration", lambda seen: [
            m for m in self.of(seen, wire.REGISTRATION_RESPONSE, 0xbbbb0001) if m.time > before])[0]
        self.assertFalse(answer.rejected, answer)
        self.resolves_to(0xbbbb0001)
        # The old association's end: its packets meet a host that knows nothing of it. That must not take the new one's PE along.
        self.wait_for_end("10.10.0.12", after=before)
        self.resolves_to(0xbbbb0001, seconds=0)

    def test_an_association_that_its_peer_restarts_registers_anew(self):
        """The same, from the same port: the INIT meets the live association (RFC 9260 §5.2.2, restart)."""
        command = f"/usr/bin/python3 {ASAP_CLIENT} pe 10.10.0.12 41000 10.10.0.1 60000 0xbbbb0002:{self.pool}"
        pid = self.side.spawn("h2", command, "restart-1.out")
        self.registered(0xbbbb0002)
        # Nothing that the host says of the old association gets through, nor, before the new one is there, that it knows of none.
        self.side.in_host("h2", "tc qdisc add dev eth0 root netem loss 100%")
        self.side.guest.run(f"kill -9 {pid}; while [ -e /proc/{pid} ]; do sleep 0.05; done")
        self.side.spawn("h2", command, "restart-2.out")
        self.addCleanup(self.side.guest.run, "pkill -9 -f 'asap_client.py [p]e'", check=False)
        wait_until(lambda: " 41000 " in self.side.in_host("h2", "cat /proc/net/sctp/assocs"), 60, "the new association's INIT")
        self.side.in_host("h2", "tc qdisc del dev eth0 root")
        self.registered(0xbbbb0002, at_least=2)
        inits = self.chunks(wire.INIT, "10.10.0.12", 3863)
        self.assertGreaterEqual(len(inits), 2)
        self.assertEqual({p.source_port for p in inits}, {41000})
        # a restart, not an association after the end of another
        self.assertEqual([p for kind in (wire.ABORT, wire.SHUTDOWN) for p in self.chunks(kind, port=41000)], [])
        self.resolves_to(0xbbbb0002)

    def test_two_that_connect_to_each_other_at_once_share_one_association(self):
        """INITs cross (RFC 9260 §5.2.1): the peer's is under way for 1.5 s when the registrar's own arrives there."""
        self.side.in_host("h2", "tc qdisc add dev eth0 root netem delay 1500ms")
        peer = self.side.spawn("h2", rspregistrar(2, "10.10.0.12", peers=[REGISTRAR]), "peer.out")
        self.addCleanup(self.side.be_alone_again)
        self.addCleanup(self.side.guest.run, f"kill -9 {peer}; ip netns exec h2 tc qdisc del dev eth0 root; sleep 2", check=False)
        self.side.connect_as_enrp_peer("10.10.0.12")
        self.side.wait_for("the peer's PRESENCE", lambda seen: [
            m for m in seen if m.type == wire.PRESENCE and m.source == "10.10.0.12"], "enrp")
        inits = {p.source: p.time for p in reversed(self.chunks(wire.INIT, port=9901))}  # the time of its first
        self.assertEqual(set(inits), {"10.10.0.1", "10.10.0.12"})
        self.assertLess(abs(inits["10.10.0.1"] - inits["10.10.0.12"]), 1.5)
        self.assertEqual(self.chunks(wire.ABORT, port=9901), [])
        self.assertEqual(self.side.enrp_associations(), 1)
