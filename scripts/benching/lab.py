# SPDX-License-Identifier: BSD-3-Clause
"""Figures of the whole appliance in the lab of network namespaces: how long until a client is served.

- lab/registration_to_first_packet: from the frame that carries a PE's ASAP_REGISTRATION to the first datagram of a
  waiting client that arrives at that PE.
- lab/silent_host_to_other_pe: a PE's host falls silent (its links are cut, nothing is closed); from the cut to the
  first datagram of the same client's flow that arrives at another PE.
Both are taken at the PEs' own devices, by one clock. The control is a round trip over a socketpair between two processes.
"""
import contextlib
import pathlib
import re
import statistics
import subprocess

HERE = pathlib.Path(__file__).resolve().parent
ROOT = HERE.parent.parent
ROUNDS = 20
PREFIX = "pgb-"


def run(build: pathlib.Path, only: str):
    """Returns (figures, failures) as programs.run_all does."""
    names = ["lab/registration_to_first_packet", "lab/silent_host_to_other_pe"]
    wanted = [n for n in names if re.search(only, n)]
    if not wanted:
        return [], []
    print("== lab", flush=True)
    figures = []
    try:
        with lab(build):
            control = probe("control")
            if names[0] in wanted:
                figures.append(figure(names[0], probe("registration", str(build.resolve())), control))
            if names[1] in wanted:
                figures.append(figure(names[1], probe("silence", str(build.resolve())), control))
            return figures, []
    except (subprocess.CalledProcessError, ValueError) as error:
        return figures, [f"lab: {error}"]


@contextlib.contextmanager
def lab(build: pathlib.Path):
    def script(*words):
        subprocess.run(["env", f"POOLGATE_BUILD={build.resolve()}", f"POOLGATE_LAB_PREFIX={PREFIX}",
                        "POOLGATE_LAB_KEEPALIVE_TIMEOUT_MS=1000",
                        str(ROOT / "scripts/lab"), *words], check=True, stdout=subprocess.DEVNULL)
    try:
        script("up")
        script("start")
        yield
    finally:
        script("down")


def probe(what: str, *arguments) -> list:
    """Milliseconds, one a round, as latency_probe.py prints them."""
    done = subprocess.run(["/usr/bin/python3", "-B", str(HERE / "latency_probe.py"), what, PREFIX, str(ROUNDS), *arguments],
                          check=True, capture_output=True, text=True)
    values = [float(line) for line in done.stdout.split()]
    if len(values) != ROUNDS:
        raise ValueError(f"{what}: {len(values)} of {ROUNDS} rounds gave a figure\n{done.stderr}")
    return values


def figure(name: str, values: list, control: list) -> dict:
    median, control_median = statistics.median(values), statistics.median(control)
    return {"name": name, "value": median, "unit": f"ms (worst of {len(values)}: {max(values):.1f})",
            "control": f"socketpair round trip (worst {max(control):.3f} ms)", "control_value": control_median,
            "ratio": median / control_median}
