# SPDX-License-Identifier: BSD-3-Clause
import argparse
import json
import pathlib
import signal
import sys

from benching import lab, programs, report


def main() -> int:
    parser = argparse.ArgumentParser(prog="scripts/bench")
    parser.add_argument("build", type=pathlib.Path)
    parser.add_argument("--only", default="")
    parser.add_argument("--no-lab", action="store_true")
    args = parser.parse_args()
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))  # the lab is taken down all the same

    figures, failures = programs.run_all(args.build, args.only)
    if not args.no_lab:
        lab_figures, lab_failures = lab.run(args.build, args.only)
        figures += lab_figures
        failures += lab_failures
    out = pathlib.Path("build")
    (out / "bench.json").write_text(json.dumps(figures, indent=1) + "\n")
    text = report.render(figures, failures)
    (out / "bench.md").write_text(text)
    print(text)
    for failure in failures:
        print(f"bench: {failure}", file=sys.stderr)
    return 1 if failures else 0


sys.exit(main())
