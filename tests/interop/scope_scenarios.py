# SPDX-License-Identifier: BSD-3-Clause
"""Scenarios of a scope of several registrars: the one under test at 10.10.0.1 (and 10.11.0.1), RSPLIB's r2 and r3 at
10.10.0.2 and 10.10.0.3. The same against either side of sides.py; each begins with an empty registrar.

RSPLIB's timers here: PRESENCE each second, silent for 4 s and 2 s more is dead.
"""
import re
import time

import wire
from scenario import REGISTRAR, Scenario, at
from sides import ASAP_CLIENT, rspregistrar

R2, R3 = "10.10.0.2", "10.10.0.3"
SLOW = 20000  # ms between registrations: a PE that says nothing of its own accord while a scenario lasts
MORE, SUGGESTED = 2, 1  # flags: M, T


class ScopeScenarios(Scenario):
    def peer(self, number, peers=(REGISTRAR,), options=""):
        """Starts RSPLIB's registrar r2 or r3; its pid in the guest."""
        return self.side.spawn(f"r{number}", rspregistrar(number, f"10.10.0.{number}", peers=peers, options=options), f"r{number}.out")

    def enrp(self, what, kind, source, destination, condition=lambda m: True, after=0.0):
        """The ENRP messages of that kind between two registrars, once there is one."""
        sources, destinations = ({a, "10.11.0.1"} if a == REGISTRAR else {a} for a in (source, destination))
        return self.side.wait_for(what, lambda seen: [
            m for m in seen if m.type == kind and m.source in sources and m.destination in destinations and m.time > after
            and condition(m)], "enrp")

    def now(self):
        """The time of the last message."""
        return max((m.time for protocol in ("asap", "enrp") for m in self.side.messages(protocol)), default=0.0)

    def joined(self, number=2):
        """Both have shown themselves to each other."""
        self.enrp(f"PRESENCE of r{number}", wire.PRESENCE, f"10.10.0.{number}", REGISTRAR)
        self.enrp(f"PRESENCE to r{number}", wire.PRESENCE, REGISTRAR, f"10.10.0.{number}")

    def agree(self, rounds=3):
        """Each has said its checksum a few times, and the other saw no reason to ask for its table."""
        begun = self.now()
        for source, destination in ((REGISTRAR, R2), (R2, REGISTRAR)):
            self.side.wait_for(f"{rounds} PRESENCE of {source}", lambda seen, s=source, d=destination: len([
                m for m in seen if m.type == wire.PRESENCE and m.source == s and m.destination == d and m.time > begun]) >= rounds,
                               "enrp")
        asked = [m for m in self.side.messages("enrp") if m.type == wire.HANDLE_TABLE_REQUEST and m.time > begun + 1]
        self.assertEqual(asked, [])

    def elements(self, life, port, registrar, *elements, host="h2", address="10.10.0.12"):
        """PEs that register once, answer keep-alives, and do nothing else."""
        listed = " ".join(f"{pe:#x}:{pool}" for pe, pool in elements)
        return self.side.spawn(host, f"/usr/bin/python3 {ASAP_CLIENT} pe {address} {port} {registrar} {life} {listed}", "elements.out")

    def table(self, registrar):
        """What hsdump shows of a registrar: {pe: home}."""
        printed = self.side.in_host("pu", f"timeout -s INT 60 hsdump {registrar}:9901 2>&1", timeout=90, check=False)
        found = re.findall(r"\$([0-9a-f]{8}) flags=\S*\s+(?:c=\S+ )?(?:chsum=\S+ )?home=\$([0-9a-f]{8})", printed)
        self.assertTrue(found, printed)
        return {int(pe, 16): int(home, 16) for pe, home in found}

    # ---- joining and replication

    def test_i10_rsplib_joins_us(self):
        self.side.restart()
        self.serve("h1", 0x10100001, 7001)
        self.registered(0x10100001)
        self.peer(2)
        self.joined()
        self.serve("h2", 0x10100002, 7002, registrars=[R2])
        self.registered(0x10100002, registrar=R2)
        for registrar in (R2, REGISTRAR):
            self.resolves_to(0x10100001, 0x10100002, registrar=registrar)
        self.enrp("r2's request of the table", wire.HANDLE_TABLE_REQUEST, R2, REGISTRAR)
        self.agree()
        self.assertEqual(self.table(REGISTRAR), {0x10100001: 1, 0x10100002: 2})

    def test_i11_we_join_rsplib_and_download_300_pes(self):
        self.side.end()
        self.peer(2, peers=(), options="-endpointkeepalivetransmissioninterval=60000 -endpointkeepalivetimeoutinterval=60000")
        pes = [(0x11000000 + n, f"{self.pool[:16]}{n % 7}") for n in range(300)]
        self.elements(600000, 41100, R2, *pes)
        self.side.says("elements.out", lambda printed: printed.count("registered") == 300)
        self.side.restart(peers=[R2])
        self.joined()

        def downloaded(seen):
            chunks = [m for m in seen if m.type == wire.HANDLE_TABLE_RESPONSE and m.source == R2]
            got = {pe for m in chunks for pe in m.pes}
            return chunks if len(got) == 300 and not chunks[-1].flags & MORE else None
        chunks = self.side.wait_for("300 PEs in r2's table", downloaded, "enrp")
        self.assertGreaterEqual(len(chunks), 12)
        self.agree()
        self.assertEqual(self.table(REGISTRAR), {pe: 2 for pe, _ in pes})
        self.assertEqual(self.table(R2), {pe: 2 for pe, _ in pes})

    def test_i12_updates_cross_and_pus_of_either_talk_to_pes_of_the_other(self):
        self.side.restart()
        self.peer(2)
        self.joined()
        ours = self.serve("h1", 0x12000001, 7001, pool=self.pool + "A")
        theirs = self.serve("h2", 0x12000002, 7002, pool=self.pool + "B", registrars=[R2])
        for pe, source, destination, pool, asker in ((0x12000001, REGISTRAR, R2, "A", R2), (0x12000002, R2, REGISTRAR, "B", REGISTRAR)):
            added = self.enrp(f"ADD_PE of {pe:#x}", wire.HANDLE_UPDATE, source, destination,
                              lambda m, pe=pe: m.pe == pe and m.number("update_action") == wire.ADD_PE)[0]
            self.assertEqual(len(added.all("sctp_transport_port")), 2, added)  # the user's and the ASAP Transport
            self.resolves_to(pe, pool=self.pool + pool, registrar=asker)
            self.side.spawn("pu", f"bash -c '(echo hello; sleep 600) | exec stdbuf -oL rspterminal {at(asker)} "
                            f"-poolhandle={self.pool}{pool}'", f"terminal-{pool}.out")
            self.side.says(f"terminal-{pool}.out", lambda printed, pe=pe: f"from PE ${pe:08x}> hello" in printed)
        self.side.guest.run(f"kill -INT {ours} {theirs}")
        for pe, source, destination, pool, asker in ((0x12000001, REGISTRAR, R2, "A", R2), (0x12000002, R2, REGISTRAR, "B", REGISTRAR)):
            self.enrp(f"DEL_PE of {pe:#x}", wire.HANDLE_UPDATE, source, destination,
                      lambda m, pe=pe: m.pe == pe and m.number("update_action") == wire.DEL_PE)
            self.resolves_to(pool=self.pool + pool, registrar=asker)

    def test_i17_a_checksum_that_differs_makes_each_ask_for_the_other_s_table(self):
        self.side.restart()
        self.elements(600000, 41700, REGISTRAR, (0x17000001, self.pool))
        self.registered(0x17000001)
        self.peer(2)
        self.joined()
        self.elements(600000, 41701, R2, (0x17000002, self.pool), host="h1", address="10.10.0.11")
        self.resolves_to(0x17000001, 0x17000002, registrar=R2)
        before = self.now()
        self.side.restart()  # it has lost everything, and says so by its checksum
        for source, destination in ((R2, REGISTRAR), (REGISTRAR, R2)):
            self.enrp(f"the request of {source}", wire.HANDLE_TABLE_REQUEST, source, destination, after=before)
        self.resolves_to(0x17000002, registrar=R2)
        self.resolves_to(0x17000002)
        self.agree()

    def test_i18_registration_life_is_told_in_the_unit_of_the_peer(self):
        self.side.restart(life_in_seconds=True)
        self.peer(2)
        self.joined()
        self.elements(self.side.life(30), 41800, REGISTRAR, (0x18000001, self.pool))
        added = self.enrp("ADD_PE", wire.HANDLE_UPDATE, REGISTRAR, R2, lambda m: m.pe == 0x18000001)[0]
        self.assertEqual(added.number("pool_element_registration_life"), 30000)
        self.agree(rounds=4)
        self.resolves_to(0x18000001, registrar=R2, seconds=0)

    # ---- takeover

    def pes_of_r2(self, prefix):
        """Two PEs whose home is r2, known to the registrar under test."""
        pes = (prefix + 1, prefix + 2)
        for number, pe in enumerate(pes):
            self.serve(("h1", "h2")[number], pe, 7001 + number, registrars=[R2], interval=SLOW)
            self.registered(pe, registrar=R2)
        self.resolves_to(*pes, home=2)
        return pes

    def test_i13_takeover_by_us_when_a_registrar_dies(self):
        self.side.restart()
        dead = self.peer(2)
        self.peer(3, options="-peermaxtimelastheard=60000")  # it leaves it to us
        self.joined(2)
        self.joined(3)
        pes = self.pes_of_r2(0x13000000)
        self.resolves_to(*pes, registrar=R3)
        self.side.guest.run(f"kill -STOP {dead}")
        begun = self.enrp("INIT_TAKEOVER", wire.INIT_TAKEOVER, REGISTRAR, R3)[0]
        self.assertEqual(begun.number("target_servers_id"), 2)
        self.enrp("r3's acknowledgement", wire.INIT_TAKEOVER_ACK, R3, REGISTRAR)
        if self.side.announces_takeover:
            self.enrp("TAKEOVER_SERVER", wire.TAKEOVER_SERVER, REGISTRAR, R3)
        for pe in pes:
            self.side.wait_for(f"the claim of {pe:#x}", lambda seen, pe=pe: [
                m for m in self.of(seen, wire.KEEP_ALIVE, pe) if m.source in (REGISTRAR, "10.11.0.1") and m.flags & 1])
            self.registered(pe, after=begun.time)
        for registrar in (REGISTRAR, R3):
            self.resolves_to(*pes, registrar=registrar, home=1)

    def test_i14_takeover_by_rsplib_when_we_die(self):
        self.side.restart()
        self.peer(2)
        self.peer(3, peers=(REGISTRAR, R2), options="-peermaxtimelastheard=60000")
        self.joined(2)
        self.joined(3)
        pes = (0x14000001, 0x14000002)
        for number, pe in enumerate(pes):
            self.serve(("h1", "h2")[number], pe, 7001 + number, interval=SLOW)
            self.registered(pe)
        for registrar in (R2, R3):
            self.resolves_to(*pes, registrar=registrar, home=1)
        self.addCleanup(self.side.join)
        self.side.cut()
        self.enrp("INIT_TAKEOVER", wire.INIT_TAKEOVER, R2, R3, lambda m: m.number("target_servers_id") == 1)
        for registrar in (R2, R3):
            self.resolves_to(*pes, registrar=registrar, home=2)

    def test_i15_a_registrar_that_answers_in_time_is_not_taken_over(self):
        self.side.restart()
        silent = self.peer(2)
        self.peer(3, options="-peermaxtimelastheard=60000")
        self.joined(2)
        self.joined(3)
        pes = self.pes_of_r2(0x15000000)
        begun = self.now()
        self.side.guest.run(f"kill -STOP {silent}")
        self.enrp("the question whether it lives", wire.PRESENCE, REGISTRAR, R2, lambda m: m.flags & 1, begun)
        self.side.guest.run(f"kill -CONT {silent}")
        self.enrp("its answer", wire.PRESENCE, R2, REGISTRAR, after=begun + 1)
        self.agree()
        self.resolves_to(*pes, seconds=0, home=2)
        self.assertEqual([m for m in self.side.messages("enrp") if m.type in (wire.INIT_TAKEOVER, wire.TAKEOVER_SERVER)], [])

    def contest(self, our_id, prefix):
        """Both we and r3 find r2 dead at about the same time: its PEs get one home, and all agree on it."""
        self.side.restart(server_id=our_id)
        dead = self.peer(2)
        self.peer(3)
        self.joined(2)
        self.joined(3)
        pes = self.pes_of_r2(prefix)
        self.resolves_to(*pes, registrar=R3)
        self.side.guest.run(f"kill -STOP {dead}")
        self.side.wait_for("INIT_TAKEOVER", lambda seen: [m for m in seen if m.type == wire.INIT_TAKEOVER], "enrp")
        for pe in pes:
            self.side.wait_for(f"a new home of {pe:#x}", lambda seen, pe=pe: [
                m for m in self.of(seen, wire.REGISTRATION_RESPONSE, pe) if m.source in (REGISTRAR, "10.11.0.1", R3)])
        self.agree_on_homes(pes)

    def agree_on_homes(self, pes, seconds=120):
        """Both registrars list the PEs with the same homes, of which r2 is none."""
        end = time.monotonic() + seconds
        while True:
            views = [sorted(zip(answer.pes, answer.numbers("pool_element_home_enrp_server_identifier")))
                     for answer in (self.resolve(registrar=registrar) for registrar in (REGISTRAR, R3))]
            if views[0] == views[1] and [pe for pe, _ in views[0]] == sorted(pes) and 2 not in {home for _, home in views[0]}:
                return
            self.assertLess(time.monotonic(), end, views)

    def test_i16_arbitration_when_our_id_is_the_smaller(self):
        self.contest(1, 0x16010000)

    def test_i16_arbitration_when_our_id_is_the_larger(self):
        self.contest(9, 0x16020000)

    def test_i19_a_pe_is_suggested_to_the_registrar_nearest_to_its_id(self):
        self.side.restart(suggestions=True)
        self.peer(2, options="-supporttakeoversuggestion")
        self.joined()
        pe = 0xfffffffe  # exclusive or with 1 gives more than with 2
        self.serve("h1", pe, 7001, registrars=[R2], interval=SLOW)
        self.enrp("the suggestion", wire.HANDLE_UPDATE, R2, REGISTRAR, lambda m: m.pe == pe and m.flags & SUGGESTED)
        for registrar in (REGISTRAR, R2):
            self.resolves_to(pe, registrar=registrar, home=1)

    # ---- announcements, the PE's own failover, limits, monitoring

    def test_i20_a_pe_finds_us_by_our_announcements(self):
        group = "239.0.0.50:3863"
        self.side.restart(announce=group)
        self.side.spawn("h2", f"rspserver -echo -asapannounce={group} -logcolor=off -loglevel=3 -quiet -rereginterval=2000 "
                        f"-identifier=0x20000001 -poolhandle={self.pool} -logfile=/share/pe-20000001.log", "pe-20000001.out")
        self.registered(0x20000001)
        heard = self.side.wait_for("SERVER_ANNOUNCE", lambda seen: [m for m in seen if m.type == wire.SERVER_ANNOUNCE])[0]
        self.assertEqual((heard.number("server_identifier"), heard.packet.source_port), (1, 3863), heard)

    def test_i21_a_pe_finds_another_registrar_when_its_own_dies(self):
        self.side.restart()
        self.serve("h1", 0x21000001, 7001, registrars=[REGISTRAR, R2])
        self.registered(0x21000001)
        self.peer(2, peers=())
        self.addCleanup(self.side.join)
        self.side.cut()
        self.registered(0x21000001, registrar=R2)
        self.resolves_to(0x21000001, registrar=R2, home=2)

    def test_i23_floods_of_reports_and_resolutions_are_bounded(self):
        self.side.restart(limits=True)
        self.serve("h1", 0x23000001, 7001)
        self.registered(0x23000001)
        self.resolves_to(0x23000001)
        self.side.tell_pu(f"{REGISTRAR} unreachable 200 {self.pool} 0x23000001")
        self.side.wait_for("200 reports", lambda seen: len(self.of(seen, wire.ENDPOINT_UNREACHABLE)) == 200)
        self.side.spawn("h2", f"rspterminal {at(REGISTRAR)} -poolhandle={self.pool}", "terminal.out")  # another PU is served
        answer = self.side.wait_for("an answer to another PU", lambda seen: self.of(
            seen, wire.HANDLE_RESOLUTION_RESPONSE, destination="10.10.0.12"))[0]
        self.assertEqual(answer.pes, [0x23000001])  # three believed reports would have removed it
        begun = self.now()
        self.side.tell_pu(f"{REGISTRAR} resolve 1000 {self.pool}")
        asked = self.side.wait_for("1000 resolutions", lambda seen: len(
            found := [m for m in self.of(seen, wire.HANDLE_RESOLUTION) if m.time > begun]) == 1000 and found)
        self.agree_on_life(0x23000001)
        given = [m for m in self.of(self.side.messages(), wire.HANDLE_RESOLUTION_RESPONSE) if m.time > begun and m.pes]
        seconds = asked[-1].time - asked[0].time
        self.assertLess(len(given), 50 * (seconds + 2) + 1)

    def agree_on_life(self, pe):
        """The PE has registered again since: the registrar is not held up."""
        begun = self.now()
        self.registered(pe, after=begun)

    def test_i24_cspmonitor_shows_us(self):
        self.side.spawn("pu", "stdbuf -oL cspmonitor -localaddress=10.10.0.21:2960 -updateinterval=500 -full", "cspmonitor.out")
        self.side.restart(monitor="10.10.0.21:2960")
        self.serve("h1", 0x24000001, 7001)
        self.registered(0x24000001)
        self.side.says("cspmonitor.out", lambda printed: re.search(r"PR \$00000001 \[.*10\.10\.0\.1.*\].*1\S* PEs in 1 ", printed))
        reports = [p for p in self.side.capture.packets() if p.destination_port == 2960]
        self.assertTrue(all(" componentstatusprotocol" in p.text for p in reports), reports)
