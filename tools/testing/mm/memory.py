#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0
"""Little memory, much memory, and none left: a guest of 64 MB, one of 64 GB (sparse on the host), and programs that take all.

The same checks pass on Debian's kernel (--linux), but for the sizes, which are this kernel's promise.
"""

import argparse
import os
import re
import sys
import tempfile
import time

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path.insert(0, os.path.dirname(HERE))
from guest import Guest, GuestError, Report, debian, image, programs  # noqa: E402

APPEND = "console=ttyS0 loglevel=7 panic=-1"
COMPLAINT = re.compile(r"^.*(Oops|BUG:|WARNING:|panicked|Kernel panic|lock order|sleeping function).*$", re.M)


def meminfo(guest):
    """/proc/meminfo in KiB."""
    text = guest.check("cat /proc/meminfo")
    return {key: int(value) for key, value in re.findall(r"^(\S+):\s+(\d+) kB", text, re.M)}


def start(args, memory, cpus=2, append=""):
    """A machine that waits for commands."""
    # Sparse on the host: what the guest does not touch takes nothing.
    extra = ("-object", f"memory-backend-ram,id=mem,size={memory},reserve=off", "-machine", "memory-backend=mem")
    guest = Guest(args.kernel, args.initrd, f"{APPEND} {append}", memory=memory, cpus=cpus, limit=args.limit, extra=extra)
    guest.expect("@READY@", args.limit)
    return guest


def quiet(guest):
    """The kernel complained of nothing."""
    found = COMPLAINT.search(guest.text)
    if found:
        raise GuestError(f"the kernel says: {found.group(0)}")


def small(args):
    """64 MB: 44 MB are free at the prompt."""
    with start(args, "64M") as guest:
        free = meminfo(guest)["MemFree"]
        if not args.linux and free < 44 << 10:
            raise GuestError(f"{free} kB free, not {44 << 10}")
        quiet(guest)
        return f"{free} kB free"


def large(args):
    """64 GB: all are there, and the first program starts as soon as with 1 GB."""
    times = {}
    for memory in ("1G", "64G"):
        with start(args, memory) as guest:
            info = meminfo(guest)
            times[memory] = float(guest.check("cat /proc/uptime").split()[0])
            # Memory of both zones can be used.
            guest.check("dd if=/dev/zero of=/tmp/big bs=1M count=200 2>&1 && md5sum /tmp/big && rm /tmp/big")
            quiet(guest)
    if info["MemTotal"] < 60 << 20 or info["MemFree"] < 59 << 20:
        raise GuestError(f"MemTotal {info['MemTotal']} kB, MemFree {info['MemFree']} kB")
    if not args.linux and times["64G"] > times["1G"] + 1.0:
        raise GuestError(f"start takes {times['64G']} s, with 1 GB {times['1G']} s")
    return f"{times['1G']} s with 1 GB, {times['64G']} s with 64 GB"


def hog(args):
    """A program takes memory until it is killed; the shell answers within 5 s, and all memory is back."""
    with start(args, "256M") as guest:
        before = meminfo(guest)["MemFree"]
        began = time.monotonic()
        status = guest.check("tail /dev/zero >/dev/null 2>&1; echo $?").split()[-1]
        killed = time.monotonic() - began
        began = time.monotonic()
        guest.check("echo alive")
        answer = time.monotonic() - began
        if status != "137":
            raise GuestError(f"the hog's status is {status}")
        if answer > 5:
            raise GuestError(f"the shell answers after {answer:.1f} s")
        log = guest.check("dmesg")
        wanted = [r"tail invoked oom-killer: gfp_mask=0x[0-9a-f]+\(GFP_\S+\), order=0, oom_score_adj=0",
                  r"\[  pid  \]   uid  tgid total_vm      rss pgtables_bytes swapents oom_score_adj name",
                  r"oom-kill:constraint=CONSTRAINT_NONE,nodemask=\(null\).*,task=tail,pid=\d+,uid=0",
                  r"Out of memory: Killed process \d+ \(tail\) total-vm:\d+kB, anon-rss:\d+kB, file-rss:\d+kB, "
                  r"shmem-rss:\d+kB, UID:0 pgtables:\d+kB oom_score_adj:0"]
        for text in wanted:
            if not re.search(text, log):
                raise GuestError(f"the log has no {text!r}: {log[-3000:]}")
        if not re.search(r"^oom_kill 1$", guest.check("cat /proc/vmstat"), re.M):
            raise GuestError("oom_kill in /proc/vmstat is not 1")
        deadline = time.monotonic() + 5
        while meminfo(guest)["MemFree"] < before * 0.97:
            if time.monotonic() > deadline:
                raise GuestError(f"free: {before} kB before, {meminfo(guest)['MemFree']} kB after")
        quiet(guest)
        return f"killed after {killed:.1f} s, answer after {answer:.2f} s"


def choice(args):
    """The one with the highest score goes, not the one that asks; -1000 protects."""
    with start(args, "256M") as guest:
        guest.check("(echo 1000 >/proc/self/oom_score_adj; exec sleep 1000) & echo $! >/tmp/first")
        guest.check("(echo -1000 >/proc/self/oom_score_adj; exec sleep 1000) & echo $! >/tmp/last")
        scores = guest.check("cat /proc/$(cat /tmp/first)/oom_score /proc/$(cat /tmp/last)/oom_score").split()
        if int(scores[0]) < 1300 or scores[1] != "0":
            raise GuestError(f"oom_score: {scores}")
        guest.check("tail /dev/zero >/dev/null 2>&1; true")
        log = guest.check("dmesg")
        killed = re.findall(r"Killed process \d+ \((\w+)\)", log)
        if killed[:1] != ["sleep"] or killed[-1] != "tail" or killed.count("sleep") != 1:
            raise GuestError(f"killed: {killed}")
        guest.check("kill -0 $(cat /tmp/last)")
        quiet(guest)
        return " ".join(killed)


def strict(args):
    """vm.overcommit_memory=2: the promise is refused, and nobody is killed."""
    with start(args, "256M") as guest:
        guest.check("echo 2 >/proc/sys/vm/overcommit_memory; echo 80 >/proc/sys/vm/overcommit_ratio")
        status = guest.check("tail /dev/zero >/dev/null 2>&1; echo $?").split()[-1]
        if status != "1":
            raise GuestError(f"the hog's status is {status}")
        info = meminfo(guest)
        if info["Committed_AS"] > info["CommitLimit"] or "Killed process" in guest.check("dmesg"):
            raise GuestError(f"Committed_AS {info['Committed_AS']}, CommitLimit {info['CommitLimit']}")
        quiet(guest)
        return None


def panic(args):
    """vm.panic_on_oom=1: the machine stops instead."""
    with start(args, "128M") as guest:
        guest.check("echo 1 >/proc/sys/vm/panic_on_oom")
        guest.send("tail /dev/zero\n")
        guest.expect(r"Kernel panic - not syncing: Out of memory: system-wide panic_on_oom is enabled", 60)
        return None


def main():
    tests = (small, large, hog, choice, strict, panic)
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--kernel", help="the kernel (default: what make built)")
    parser.add_argument("--linux", action="store_true", help="Debian's kernel instead")
    parser.add_argument("--limit", type=int, default=120, help="seconds for one machine")
    parser.add_argument("only", nargs="*", help="names of tests")
    args = parser.parse_args()
    args.kernel = debian.kernel() if args.linux else args.kernel or programs.default_kernel()
    report = Report()
    with tempfile.TemporaryDirectory(prefix="memory-") as work:
        args.initrd = os.path.join(work, "initrd")
        image.base().write(args.initrd)
        for test in tests:
            if args.only and test.__name__ not in args.only:
                continue
            if args.linux and test is small:
                report.skip("small", "Debian's kernel needs more")
                continue
            try:
                said = test(args)
                report.ok(test.__name__ + (f": {said}" if said else ""))
            except GuestError as error:
                report.fail(test.__name__, error)
    report.finish()


if __name__ == "__main__":
    main()
