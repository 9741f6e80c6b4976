#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0
"""Throughput by the wall clock on 1, 2 and 4 CPUs, Debian's kernel (tuned as `make bench` does) against ours.

The two kernels run in turn, so that both see the same host; each pair of runs gives a ratio (ours / Linux's, above 1 is
faster), and the table shows the median of the ratios with the medians of the rates. The loads are in src/scale.rs.
"""

import argparse
import os
import statistics
import sys

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path.insert(0, os.path.dirname(HERE))
sys.path.insert(0, HERE)
import bench  # noqa: E402
from guest import Guest, GuestError, debian, programs  # noqa: E402


def run(name, kernel, initrd, append, cpus, loads, limit):
    """One boot: {load: operations a second}."""
    rates = {}
    with Guest(kernel, initrd, f"{append} scale={loads}", memory=bench.MEMORY, cpus=cpus, limit=limit,
               log=os.path.join(bench.BUILD, f"scale-{name}-{cpus}.log")) as g:
        g.expect("@BENCH BEGIN@", limit)
        while True:
            found = g.expect(r"^(?:(@BENCH END@)|([a-z]\w*) (?:(skip) )?(-?[\d.]+))\r*\n", limit)
            if found.group(1):
                break
            if not found.group(3) and found.group(2) != "boot":
                rates[found.group(2)] = float(found.group(4))
    if rates.pop("cpus", None) != cpus:
        raise GuestError(f"{name} does not show {cpus} CPUs")
    return rates


def main():
    p = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    p.add_argument("--kernel", default=None, help="our kernel (default: what make built)")
    p.add_argument("--cpus", default="1,2,4")
    p.add_argument("--loads", default="all", help="comma-separated")
    p.add_argument("--pairs", type=int, default=5)
    p.add_argument("--limit", type=int, default=180, help="seconds for one boot")
    a = p.parse_args()
    ours, linux, initrd = a.kernel or programs.default_kernel(), debian.kernel(), bench.make_image()
    lines = ["| load | CPUs | Linux tuned, a second | Rideau, a second | Rideau/Linux (pairs) |", "|---|---:|---:|---:|---:|"]
    table = {}
    for cpus in [int(n) for n in a.cpus.split(",")]:
        pairs = []
        for i in range(a.pairs):
            theirs = run("linux", linux, initrd, f"{bench.APPEND} {bench.TUNED}", cpus, a.loads, a.limit)
            mine = run("rideau", ours, initrd, bench.APPEND, cpus, a.loads, a.limit)
            pairs.append((theirs, mine))
            print(f"# {cpus} CPUs, pair {i + 1}: " + ", ".join(
                f"{k} {mine[k] / v:.2f}" for k, v in theirs.items() if k in mine), file=sys.stderr, flush=True)
        for load in pairs[0][0]:
            both = [(t[load], m[load]) for t, m in pairs if load in t and load in m]
            if both:
                table[load, cpus] = (statistics.median(t for t, _ in both), statistics.median(m for _, m in both),
                                     [m / t for t, m in both])
    for load, cpus in sorted(table, key=lambda k: ([l for l, _ in table].index(k[0]), k[1])):
        theirs, mine, ratios = table[load, cpus]
        lines.append(f"| {load} | {cpus} | {theirs:,.0f} | {mine:,.0f} | {statistics.median(ratios):.2f} "
                     f"({min(ratios):.2f}-{max(ratios):.2f}) |")
    text = "\n".join(lines)
    print(text)
    with open(os.path.join(bench.BUILD, "scale.md"), "w") as f:
        f.write(text + "\n")


if __name__ == "__main__":
    main()
