#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0
"""Random system calls (fuzz, src/) as the first process of a kernel: no oops, no hang, no complaint in the log, no leak.

One result a seed; the seed and the number of calls on the first line repeat it (but for the timing between processes).
--bad: instead, a bad pointer of every kind in every argument of every call. --linux runs Debian's kernel.
"""

import argparse
import os
import re
import sys

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path.insert(0, os.path.dirname(HERE))
from guest import Guest, GuestError, Report, debian, programs  # noqa: E402
from guest.qemu import no_ansi  # noqa: E402
from gen_initramfs import Cpio  # noqa: E402  (guest.image put usr/ on the path)

APPEND = "console=ttyS0 loglevel=7 panic=-1"
COMPLAINT = re.compile(r"^.*(Oops|BUG:|WARNING|panicked|Kernel panic|lock order|invalid context|rcu.*stall|HANG|LOST).*$", re.M)
END = re.compile(r"fuzz: end: (\d+) calls in (\d+) rounds, (\d+) hangs\s+fuzz: memory: (\d+) kB free before, (\d+) kB after")


def make_image(fuzz, path):
    """An initramfs whose /init is the fuzzer."""
    cpio = Cpio()
    for name in ("dev", "proc", "sys", "etc", "root"):
        cpio.dir(name)
    cpio.dir("tmp", 0o1777)
    cpio.node("dev/console", "c", 5, 1, 0o600)
    cpio.file("init", src=fuzz, mode=0o755)
    cpio.write(path)
    return path


def boot(kernel, append, initrd, a, seed, log):
    """One boot; what was wrong, and a short text about the run."""
    words = f"{append} fuzz.seed={seed} fuzz.calls={a.calls} fuzz.slots={a.slots} fuzz.bad={int(a.bad)}"
    if a.slot is not None:
        words += f" fuzz.slot={a.slot} fuzz.skip={a.skip}"
    with Guest(kernel, initrd, words, memory=a.memory, cpus=a.cpus, limit=a.limit, log=log) as g:
        try:
            while True:
                # It says how far it is every few seconds.
                found = g.expect(r"fuzz: (end: .*\n.*kB after|\d+ calls in)", 90)
                if found.group(1).startswith("end"):
                    break
            wrong = []
        except GuestError as why:
            wrong = [str(why)]
        text = no_ansi(g.text)
    complaints = list(COMPLAINT.finditer(text))
    if complaints:
        at = complaints[0].start()
        wrong += text[max(0, at - 300):at + 3000].splitlines()
    end = END.search(text)
    if not end:
        return wrong or ["no end"], ""
    calls, rounds, hangs, before, after = map(int, end.groups())
    if hangs:
        wrong.append(f"{hangs} processes hang")
    # A short run does not fill the kernel's caches: on Linux too, memory goes there for long.
    share = 1 if a.calls >= 1_000_000 else 3
    if not a.bad and before - after > a.memory * 1024 * share // 100:
        wrong.append(f"memory: {before} kB free before, {after} kB after")
    return wrong, f"{calls} calls, {rounds} rounds, {before - after:+} kB"


def main():
    p = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    p.add_argument("--kernel", help="the kernel (default: what make built)")
    p.add_argument("--linux", action="store_true", help="Debian's kernel instead")
    p.add_argument("--cpus", type=int, default=4)
    p.add_argument("--memory", type=int, default=1024)
    p.add_argument("--slots", type=int, default=24, help="processes at once")
    p.add_argument("--calls", type=int, default=200_000)
    p.add_argument("--seed", type=int, default=1)
    p.add_argument("--seeds", type=int, default=1, help="so many runs, with seeds that follow")
    p.add_argument("--bad", action="store_true", help="bad pointers in every argument of every call")
    p.add_argument("--slot", type=int, help="this slot alone, to see a round again")
    p.add_argument("--skip", type=int, default=0, help="so many rounds of --slot are left out")
    p.add_argument("--limit", type=int, default=900, help="seconds for one boot")
    a = p.parse_args()
    kernel = debian.kernel() if a.linux else a.kernel or programs.default_kernel()
    fuzz = os.path.join(programs.build("fuzz"), "fuzz")
    initrd = make_image(fuzz, os.path.join(programs.build_dir("fuzz"), "initrd.cpio"))
    # On a busy host Linux's own check of the timer interrupt fails now and then.
    append = APPEND + " no_timer_check" * a.linux
    report = Report()
    for seed in range(a.seed, a.seed + a.seeds):
        log = os.path.join(programs.build_dir("fuzz"), f"guest-{seed}.log")
        wrong, text = boot(kernel, append, initrd, a, seed, log)
        what = "bad pointers" if a.bad else f"{a.calls} calls"
        report.add(f"seed {seed}, {what}, {a.slots} slots, {a.cpus} CPUs: {text}", not wrong, "\n".join(wrong))
    report.finish()


if __name__ == "__main__":
    main()
