#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0
"""Much of everything at once: what programs may take of a machine, and that all of it comes back.

Each test of selftest's group `limits` (a fork bomb, 100 000 files and mappings, 4000 threads, pipes, deep trees) and each way
of selftest's hogs (programs that take all memory until the kernel ends them) runs beside a shell that must answer within 5 s.
Afterwards memory (1 % of the machine's), open files, tasks and objects of the slabs must be what they were.
All is so on Debian's kernel too (--linux). --short runs what is quick.
"""

import argparse
import os
import re
import sys
import time

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path.insert(0, os.path.dirname(HERE))
from guest import Guest, GuestError, Report, debian, image, programs  # noqa: E402
from guest.qemu import no_ansi  # noqa: E402

APPEND = "console=ttyS0 loglevel=7 panic=-1"
COMPLAINT = re.compile(r"^\[ *\d+\.\d+\].*(Oops|BUG:|WARNING|panicked|Kernel panic|lock order|invalid context|rcu.*stall).*$", re.M)
# Tests of `limits` that --short runs.
SHORT = ("fork_bomb", "nproc", "nproc_zombies", "nproc_threads", "threads_max", "file_numbers", "nr_open", "file_max", "map_count",
         "map_count_split", "pipe_user_pages", "pipe_capabilities", "inodes_and_names_counted", "long_names", "symlink_chain")
WAYS = ("private", "threads", "shared", "memfd", "tables", "locked", "children")
SHORT_WAYS = ("private",)
# Seconds within which the shell answers whatever happens; beside a bomb of 60 processes it takes its turn.
ANSWER, ANSWER_BOMB = 5, 30
# Circles of sockets are collected when other sockets are closed: the next test does.
LATE = ("sockets_in_sockets",)
# Seconds without progress after which what is freed late (RCU, a large program that ends) counts as lost; and in all.
SETTLE, SETTLE_MOST = 20, 300
# Files and tasks of the kernel's own that come and go; and objects, of the hundreds of thousands that a test makes.
FILES, TASKS, OBJECTS = 300, 6, 2500


class Counts:
    """What is in use: KiB of memory, open files, tasks, objects in slabs."""

    def __init__(self, guest):
        guest.check("echo 3 >/proc/sys/vm/drop_caches")
        text = guest.check("cat /proc/meminfo /proc/sys/fs/file-nr /proc/loadavg")
        self.total = int(re.search(r"MemTotal:\s+(\d+)", text).group(1))
        # Less the total: records of memory that is used for the first time count against that, once.
        total, free = (int(re.search(rf"{name}:\s+(\d+)", text).group(1)) for name in ("MemTotal", "MemFree"))
        self.free = free - total
        self.files = int(re.search(r"^(\d+)\t\d+\t\d+", text, re.M).group(1))
        self.tasks = int(re.search(r"\d+/(\d+) \d+", text).group(1))
        slabs = guest.check("cat /proc/slabinfo")
        self.slabs = {name: int(used) for name, used in re.findall(r"^([\w-]+)\s+(\d+)\s+\d+\s+\d+\s+\d+\s+\d+ :", slabs, re.M)}

    def lost(self, before, objects):
        """What is in use now and was not `before`, as text; nothing if it is within the bounds."""
        wrong = []
        if before.free - self.free > self.total // 100:
            wrong.append(f"memory: {-before.free} kB in use before, {-self.free} kB after")
        if self.files - before.files > FILES:
            wrong.append(f"files: {before.files} before, {self.files} after")
        if self.tasks - before.tasks > TASKS:
            wrong.append(f"tasks: {before.tasks} before, {self.tasks} after")
        for name, used in self.slabs.items() if objects else ():
            if used - before.slabs.get(name, 0) > OBJECTS:
                wrong.append(f"{name}: {before.slabs.get(name, 0)} objects before, {used} after")
        return wrong


def settle(guest, before, objects):
    """Waits until all is given back, as long as there is progress; what is not."""
    most = time.monotonic() + SETTLE_MOST
    end, best = time.monotonic() + SETTLE, None
    while True:
        counts = Counts(guest)
        wrong = counts.lost(before, objects)
        used = (counts.files + counts.tasks + sum(counts.slabs.values()) * objects, -counts.free)
        if best is None or used[0] < best[0] - 50 or used[1] < best[1] - 500:
            end, best = time.monotonic() + SETTLE, used
        if not wrong or time.monotonic() > min(end, most):
            return wrong
        guest.check("sleep 0.5")


def beside(guest, command, seconds):
    """Runs `command` and asks the shell meanwhile; its output with its status, and the longest time of an answer."""
    pid = guest.check(f"({command}; echo status $?) >/tmp/out 2>&1 & echo $!").split()[-1]
    # Beside a hog it also starts a program: there is memory for it. Others take all processes.
    ask = "cat /proc/uptime >/dev/null; " * ("--hog" in command)
    end, longest = time.monotonic() + seconds, 0.0
    while True:
        began = time.monotonic()
        status, _ = guest.run(f"{ask}kill -0 {pid} 2>/dev/null", 60)
        longest = max(longest, time.monotonic() - began)
        if status:
            return guest.check("cat /tmp/out; rm /tmp/out"), longest
        if time.monotonic() > end:
            raise GuestError(f"{command}: not over after {seconds} s: {guest.check('cat /tmp/out')}")
        time.sleep(0.2)


def one(guest, name, command, good, args):
    """One command: (what is wrong, a short text)."""
    before = Counts(guest)
    start = len(guest.text)
    began = time.monotonic()
    output, longest = beside(guest, command, 300)
    took = time.monotonic() - began
    wrong = [] if re.search(good, output, re.M) else output.splitlines()
    if longest > (ANSWER_BOMB if "bomb" in name else ANSWER):
        wrong.append(f"the shell answers after {longest:.1f} s")
    if name not in LATE:
        wrong += settle(guest, before, not args.linux)
    wrong += [found.group(0) for found in COMPLAINT.finditer(no_ansi(guest.text[start:]))][:20]
    return wrong, f"{took:.1f} s, the shell answers within {longest:.2f} s"


def start(args):
    """A machine that waits for commands, and has run what stays loaded."""
    guest = Guest(args.kernel, args.initrd, APPEND + " no_timer_check" * args.linux, memory=args.memory, cpus=args.cpus,
                  limit=args.limit, log=args.log)
    guest.expect("@READY@", 90)
    guest.check("selftest =process.getppid; true")
    return guest


def run(args, tests, report):
    """All `tests` ((name, command, what its output must have)), in as many boots as it takes."""
    left = list(tests)
    while left:
        name = left[0][0]
        try:
            with start(args) as guest:
                first = Counts(guest)
                while left:
                    name, command, good = left[0]
                    wrong, text = one(guest, name, command, good, args)
                    left.pop(0)
                    report.add(f"{name} ({args.cpus} CPUs): {text}", not wrong, "\n".join(wrong))
                wrong = settle(guest, first, not args.linux)
                report.add(f"all is back ({args.cpus} CPUs)", not wrong, "\n".join(wrong))
        except GuestError as why:
            report.fail(f"{name} ({args.cpus} CPUs)", why)
            left.pop(0)


def chosen(args, selftest):
    """The tests to run."""
    names = [n for n in os.popen(f"{selftest} --list").read().split() if n.startswith("limits.")]
    tests = [(n[7:], f"selftest ={n}", rf"^ok 1 {re.escape(n)}\s*$") for n in names]
    tests += [(f"hog {way}", f"selftest --hog {way}", r"^status 137\s*$") for way in WAYS]
    quick = set(SHORT) | {f"hog {way}" for way in SHORT_WAYS}
    if args.short:
        tests = [test for test in tests if test[0] in quick]
    if args.only:
        tests = [test for test in tests if any(test[0].startswith(word) for word in args.only)]
    return tests


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--kernel", help="the kernel (default: what make built)")
    parser.add_argument("--linux", action="store_true", help="Debian's kernel instead")
    parser.add_argument("--short", action="store_true", help="what is quick")
    parser.add_argument("--cpus", type=int, default=4)
    parser.add_argument("--memory", type=int, default=512)
    parser.add_argument("--limit", type=int, default=1500, help="seconds for one machine")
    parser.add_argument("only", nargs="*", help="starts of names: a test of `limits`, `hog private`")
    args = parser.parse_args()
    args.kernel = debian.kernel() if args.linux else args.kernel or programs.default_kernel()
    selftest = os.path.join(programs.build("selftests"), "selftest")
    work = programs.build_dir("limits")
    args.initrd, args.log = os.path.join(work, "initrd.cpio"), os.path.join(work, "guest.log")
    cpio = image.base()
    cpio.file("usr/local/bin/selftest", src=selftest, mode=0o755)
    cpio.write(args.initrd)
    report = Report()
    run(args, chosen(args, selftest), report)
    report.finish()


if __name__ == "__main__":
    main()
