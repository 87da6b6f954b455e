# SPDX-License-Identifier: BSD-3-Clause
"""One readable page of all figures, with the machine and the commands."""
import datetime
import pathlib
import platform
import subprocess


def render(figures, failures) -> str:
    lines = ["# Poolgate: figures", "", f"{datetime.date.today()}, commit {commit()}. {machine()}", "",
             "Made by `scripts/bench` (release build). Machines have phases: the ratio is the median of pairs that took "
             "turns in one run, the figure itself only says what order it is of.", ""]
    group = None
    for f in sorted(figures, key=lambda f: group_of(f["name"])):
        if group_of(f["name"]) != group:
            group = group_of(f["name"])
            lines += ["", f"## {group}", "", "| figure | value | control | control's value | ratio |", "|---|---:|---|---:|---:|"]
        lines.append("| {} | {} {} | {} | {} | {} |".format(
            f["name"], number(f["value"]), f["unit"], f["control"] or "", number(f["control_value"]), ratio(f)))
    if failures:
        lines += ["", "## Failed", ""] + [f"- {x}" for x in failures]
    return "\n".join(lines) + "\n"


def group_of(name: str) -> str:
    return name.split("/")[0]


def number(v) -> str:
    if v is None:
        return ""
    return f"{v:,.0f}" if abs(v) >= 100 else f"{v:.3g}"


def ratio(f) -> str:
    if f["ratio"] is None:
        return ""
    low_high = f.get("ratio_range")
    return f"{f['ratio']:.2f}" + (f" ({low_high[0]:.2f}..{low_high[1]:.2f})" if low_high else "")


def commit() -> str:
    return subprocess.run(["git", "describe", "--always", "--dirty"], capture_output=True, text=True, check=False).stdout.strip()


def machine() -> str:
    info = pathlib.Path("/proc/cpuinfo").read_text()
    models = [line.split(":", 1)[1].strip() for line in info.splitlines() if line.startswith("model name")]
    dpdk = subprocess.run(["pkg-config", "--modversion", "libdpdk"], capture_output=True, text=True, check=False).stdout.strip()
    pages = pathlib.Path("/proc/sys/vm/nr_hugepages").read_text().strip()
    return f"{len(models)} x {models[0]}, {platform.system()} {platform.release()}, DPDK {dpdk}, {pages} hugepages of 2 MiB."
