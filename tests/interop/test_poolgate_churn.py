# SPDX-License-Identifier: BSD-3-Clause
"""Three Poolgates and RSPLIB's registrar in one scope, while registrars and PEs die and come back: what is left in the end.

POOLGATE_SEED=N replays; without it one is drawn, and printed. POOLGATE_SOAK=SECONDS (scripts/test soak: an hour) in place of two minutes.
"""
import os
import random
import time
import unittest

from churn_schedule import Schedule
from churn_scope import Scope

TIMEOUT_SECONDS = 6000
SECONDS = int(os.environ.get("POOLGATE_SOAK") or 120)
SEED = int(os.environ.get("POOLGATE_SEED") or random.SystemRandom().randrange(1, 1 << 31))
HANG = 300  # how long peace may take to come: of six seconds to a takeover and three for a claim, nothing is left by then
GROWTH_KB = 3072  # of a process whose pools are what they were: allocator slack


class ChurnTest(unittest.TestCase):
    def test_a_seed_gives_one_schedule_in_which_registrars_and_elements_die(self):
        one, again, other = Schedule(SEED, SECONDS), Schedule(SEED, SECONDS), Schedule(SEED + 1, SECONDS)
        self.assertEqual((one.events, one.elements, one.survivor), (again.events, again.elements, again.survivor))
        self.assertNotEqual(one.events, other.events)
        self.assertLessEqual({"crash", "return", "start"}, {e.what for e in one.events})
        self.assertNotIn(one.survivor, {e.whom for e in one.events})

    def test_after_churn_all_registrars_agree_on_the_living(self):
        schedule = Schedule(SEED, SECONDS)
        print(f"POOLGATE_SEED={SEED}: {len(schedule.events)} events in {SECONDS} s, {schedule.survivor} survives", flush=True)
        with Scope(schedule) as scope:
            for element in schedule.elements:
                scope.elements.start(element.name)
            everybody = [e.pe for e in schedule.elements]
            told = []
            try:
                scope.wait_for_peace(everybody, HANG, "the scope before the churn")
                before = scope.poolgates[schedule.survivor].resident_kb()
                self.churn(scope, told)
                scope.start_all()
                begun = time.monotonic()
                scope.wait_for_peace([e.pe for e in schedule.alive()], HANG, "agreement after the churn")
                print(f"agreement {time.monotonic() - begun:.1f} s after the last event", flush=True)
                for name in sorted(schedule.away):
                    scope.elements.start(name)
                scope.wait_for_peace(everybody, HANG, "the scope as it was")
                after = scope.poolgates[schedule.survivor].resident_kb()
                print(f"the survivor's memory, KiB, before {before}, after {after}", flush=True)
                for name, size in after.items():
                    self.assertLess(size, before[name] + GROWTH_KB, f"memory of the {name}")
            except AssertionError as error:
                raise AssertionError(f"POOLGATE_SEED={SEED}: {error}\n" + "\n".join(told) + self.logs(scope)) from None

    def churn(self, scope, told):
        begun = time.monotonic()
        for event in scope.schedule.events:
            time.sleep(max(0, begun + event.at - time.monotonic()))
            told.append(f"{time.monotonic() - begun:.1f} s: {event.what} {event.whom}")
            scope.apply(event)
            self.assertEqual(scope.ended(), [], "ended of their own accord")

    @staticmethod
    def logs(scope):
        ours = [f"--- {name} of {n}\n{p.log(name)}" for n, p in scope.poolgates.items() for name in ("registrar", "dataplane")]
        return "\n".join(["", scope.elements.log(), *ours, f"--- {scope.rsplib.log()}"])


if __name__ == "__main__":
    unittest.main()
