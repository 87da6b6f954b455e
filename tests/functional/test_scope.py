# SPDX-License-Identifier: BSD-3-Clause
"""Two appliances of one scope, each with its own data plane and registrar, and a PE: replication, takeover, return."""
import json
import os
import subprocess
import time
import unittest

from lib.lab import AGENT, wait_until
from lib.lan import Lan, LanAppliance

PREFIX = "pgsc-"
REGISTRAR = """
[registrar]
server_id = {n}
keepalive_interval_ms = 1000
keepalive_timeout_ms = 2000
peer_heartbeat_ms = 500
max_time_last_heard_ms = 1500
max_time_no_response_ms = 1000
peer_retry_ms = 100
peer_retry_max_ms = 1000
[[registrar.peer]]
addresses = ["10.0.2.{other}:9901"]
"""


class Appliance(LanAppliance):
    def __init__(self, lan, n):
        super().__init__(lan, n, REGISTRAR.format(n=n, other=3 - n), idle_sleep_us=200)

    def start_all(self):
        self.start("dataplane")
        wait_until(lambda: os.path.exists(f"{self.dir}/run/channel.sock"), 30, "the data plane's channel")
        self.start("registrar")
        self.wait_for_registrar()

    def wait_for_registrar(self):
        wait_until(lambda: self.show_json("registrar", "peers", check=False), 20, "the registrar's answer")

    def show(self, *words):
        return json.loads(self.show_json(*words))

    def homes(self, pool="Echo"):
        """Owner by PE of the registrar's table."""
        for entry in self.show("registrar", "pool", "all")["pools"]:
            if entry["handle"] == pool:
                return {pe["id"]: pe["home"] for pe in entry["elements"]}
        return {}

    def forwards_to(self, pool="Echo"):
        """The PEs that the data plane has."""
        shown = self.show("pool", "all").get(f"pool {pool}", [])
        return sorted(pe["pe"] for pe in shown)

    def peers(self):
        return self.show("registrar", "peers")["peers"]


class ScopeTest(unittest.TestCase):
    def setUp(self):
        self.lan = Lan(PREFIX, (1, 2))
        self.lan.down()
        self.addCleanup(self.lan.down)
        self.lan.up()
        self.appliances = [Appliance(self.lan, 1), Appliance(self.lan, 2)]
        for appliance in self.appliances:
            self.addCleanup(appliance.kill)
            appliance.start_all()

    def agent(self, pe, registrars):
        process = subprocess.Popen(["ip", "netns", "exec", PREFIX + "pe", AGENT, "register", "--registrar", registrars, "--pool", "Echo",
                                    "--transport", "udp", "--port", "5000", "--address", "10.0.2.11", "--id", hex(pe)],
                                   stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        self.addCleanup(process.wait, 20)
        self.addCleanup(process.kill)
        return process

    def test_registrations_replicate_and_a_dead_appliances_PE_is_taken_over_and_found_again_when_it_returns(self):
        one, two = self.appliances
        try:
            wait_until(lambda: all(p["connected"] and p["heard_ms_ago"] is not None for a in self.appliances for p in a.peers()) and
                       all(len(a.peers()) == 1 for a in self.appliances), 20, "two that know each other")
            pe = self.agent(0x11, "10.0.2.2")
            wait_until(lambda: one.homes() == two.homes() == {"0x00000011": "0x00000002"}, 20, "the PE at both")
            wait_until(lambda: len(one.forwards_to()) == 1, 10, "the PE in the other's data plane")
            peer = wait_until(lambda: [p for p in one.peers() if p["its_checksum"] == p["ours_of_it"] != "0xffff"], 10, "equal checksums")
            self.assertEqual(peer[0]["resyncs"], 0)

            two.kill()
            begun = time.monotonic()
            wait_until(lambda: one.homes() == {"0x00000011": "0x00000001"}, 20, "the takeover")
            wait_until(lambda: one.show("registrar")["counters"]["pes_claimed"] == 1, 20, "the PE's answer to its new home")
            print(f"takeover from the kill to the PE's answer: {time.monotonic() - begun:.1f} s")
            self.assertIsNone(pe.poll(), "the agent goes on")
            self.assertEqual(len(one.forwards_to()), 1, "and the data plane never forgot it")

            two.start_all()
            wait_until(lambda: two.homes() == {"0x00000011": "0x00000001"}, 30, "what it missed")
        except AssertionError as e:
            raise AssertionError(f"{e}\n" + "\n".join(f"--- {a.n} {n}\n{a.log(n, 4000)}" for a in self.appliances
                                                      for n in ("registrar", "dataplane"))) from None

    def test_a_registrar_that_is_killed_and_comes_back_is_noticed_by_nobody(self):
        one, two = self.appliances
        wait_until(lambda: all(len(a.peers()) == 1 and a.peers()[0]["connected"] for a in self.appliances), 20, "peers")
        self.agent(0x11, "10.0.2.1")
        self.agent(0x12, "10.0.2.2")
        both = {"0x00000011": "0x00000001", "0x00000012": "0x00000002"}
        wait_until(lambda: one.homes() == two.homes() == both, 20, "both PEs at both")
        before = two.show("registrar")["counters"]
        one.kill("registrar")
        one.start("registrar")
        one.wait_for_registrar()
        wait_until(lambda: one.homes() == both, 10, "the table, from the journal")
        time.sleep(3)  # six heartbeats
        after = two.show("registrar")["counters"]
        for counter in ("takeovers_begun", "resyncs", "enrp_updates_received", "registrations", "foreign_pes_out"):
            self.assertEqual(after[counter], before[counter], counter)
        mine = one.show("registrar")["counters"]
        for counter in ("resyncs", "takeovers_begun", "registrations", "pes_out_by_association", "handle_tables_received"):
            self.assertEqual(mine[counter], 0, counter)
        self.assertEqual(one.homes(), both)
        self.assertEqual(len(one.forwards_to()), 2)


if __name__ == "__main__":
    unittest.main()
