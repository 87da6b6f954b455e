# SPDX-License-Identifier: BSD-3-Clause
"""Runs the Google Benchmark programs and reads what perf/paired.h put into their counters."""
import json
import pathlib
import re
import subprocess
import tempfile

NS = {"ns": 1, "us": 1e3, "ms": 1e6, "s": 1e9}


def run_all(build: pathlib.Path, only: str):
    """Returns (figures, failures); a figure is {name, value, unit, control, control_value, ratio}."""
    figures, failures = [], []
    for program in sorted((build / "perf").glob("bench_*")):
        if not program.is_file() or program.suffix:
            continue
        print(f"== {program.name}", flush=True)
        with tempfile.NamedTemporaryFile(suffix=".json") as out:
            command = [str(program), f"--benchmark_out={out.name}", "--benchmark_out_format=json"]
            if only:
                command.append(f"--benchmark_filter={only}")
            done = subprocess.run(command, check=False)
            if done.returncode != 0:
                failures.append(f"{program.name} ended with {done.returncode}")
                continue
            text = pathlib.Path(out.name).read_text()
        if text.strip():
            figures += [figure(row) for row in json.loads(text)["benchmarks"] if counted(row)]
    return figures, failures


def counted(row) -> bool:
    return row.get("run_type") != "aggregate" or row.get("aggregate_name") == "median"


def clean_name(name: str) -> str:
    """redirect/l2/1M/iterations:1/manual_time -> redirect/l2/1M"""
    return re.sub(r"/(iterations:\d+|manual_time|real_time|process_time|repeats:\d+|min_time:[\d.]+)|_median$", "", name)


def figure(row) -> dict:
    unit, _, control = row.get("label", "").partition("|")
    result = {"name": clean_name(row["name"]), "value": row.get("value"), "unit": unit, "control": control or None,
              "control_value": row.get("control_value"), "ratio": row.get("ratio")}
    if result["value"] is None:  # an ordinary benchmark: its time
        result["value"] = row["real_time"] * NS[row["time_unit"]]
        result["unit"] = "ns"
        result["control"] = None
    if "ratio_min" in row:
        result["ratio_range"] = [row["ratio_min"], row["ratio_max"]]
    return result
