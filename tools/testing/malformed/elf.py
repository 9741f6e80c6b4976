#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0
"""Damaged programs: 1000 seeded mutations of a static and of a dynamic ELF, executed in one boot by src/elf.rs.

What became of each (errno of execve, exit status, signal) is compared with expected/elf.out, which --regen writes from
Debian's kernel. Beyond that the console shows no complaint and the memory is back at the end.
"""

import argparse
import os
import re
import sys

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path.insert(0, os.path.dirname(HERE))
from guest import Guest, GuestError, Report, debian, image, programs  # noqa: E402
from guest.qemu import no_ansi  # noqa: E402
from gen_initramfs import Cpio  # noqa: E402  (guest.image put usr/ on the path)

APPEND = "console=ttyS0 quiet loglevel=4 panic=-1"
EXPECTED = os.path.join(HERE, "expected", "elf.out")
# A kernel that complains is wrong whatever became of the program.
COMPLAINT = re.compile(r"^.*(Oops|BUG|WARNING:|panicked|Kernel panic|lock order|sleeping function|RIP:).*$", re.M)
# Free memory that may be missing at the end: caches that grow with use. In kB.
SLACK = 1024
LOADER = "lib64/ld-linux-x86-64.so.2"


def make_image(count, seed, first):
    """The initramfs: the driver as /init, the programs to damage, the dynamic one's loader and library."""
    built = programs.build("malformed")
    libc, coreutils = debian.unpack("libc6"), debian.unpack("coreutils")
    cpio = Cpio()
    for name in ("dev", "proc"):
        cpio.dir(name)
    cpio.dir("tmp", 0o1777)
    cpio.node("dev/console", "c", 5, 1, 0o600)
    cpio.node("dev/null", "c", 1, 3, 0o666)
    cpio.file("init", src=os.path.join(built, "elf"), mode=0o755)
    cpio.file("static", src=os.path.join(built, "small"), mode=0o755)
    cpio.file("dynamic", src=os.path.join(coreutils, "bin/true"), mode=0o755)
    cpio.file(LOADER, src=os.path.realpath(os.path.join(libc, "lib/x86_64-linux-gnu/ld-linux-x86-64.so.2")), mode=0o755)
    cpio.file("lib/x86_64-linux-gnu/libc.so.6", src=os.path.join(libc, "lib/x86_64-linux-gnu/libc.so.6"), mode=0o755)
    cpio.file("arguments", f"{count} {seed} {first} /static /dynamic\n")
    path = os.path.join(programs.build_dir("malformed"), "elf.cpio")
    cpio.write(path)
    return path


def run(kernel, initrd, cpus, limit, log):
    """One boot: (results by line, kB of memory missing, complaints). GuestError if it does not come to its end."""
    with Guest(kernel, initrd, APPEND, memory=256, cpus=cpus, limit=limit, log=log) as g:
        g.expect("@START@", limit)
        end = g.expect(r"@END free (\d+) (\d+)@", limit)
        text = no_ansi(g.before)
        g.wait(30)
        complaints = COMPLAINT.findall(no_ansi(g.text)) and [m.group(0) for m in COMPLAINT.finditer(no_ansi(g.text))]
        results, program = {}, ""
        for line in text.splitlines():
            found = re.fullmatch(r"# /(\w+), \d+ bytes", line)
            if found:
                program = found.group(1)
            found = re.fullmatch(r"(\d+) (.*): ((?:errno|exit|signal) \d+|runs on|no pipe|fork: .*)", line)
            if found:
                results[f"{program} {found.group(1)} {found.group(2)}"] = found.group(3)
        return results, int(end.group(1)) - int(end.group(2)), complaints


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--kernel", help="our kernel (default: what make built)")
    parser.add_argument("--cpus", type=int, default=2)
    parser.add_argument("--count", type=int, default=500, help="mutations of each of the two programs")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--first", type=int, default=0)
    parser.add_argument("--limit", type=int, default=900)
    parser.add_argument("--linux", action="store_true", help="run Debian's kernel too and compare with that")
    parser.add_argument("--regen", action="store_true", help="write expected/elf.out from Debian's kernel, and stop")
    args = parser.parse_args()
    initrd = make_image(args.count, args.seed, args.first)
    build = programs.build_dir("malformed")
    wanted = {}
    if args.linux or args.regen:
        wanted, missing, _ = run(debian.kernel(), initrd, args.cpus, args.limit, os.path.join(build, "elf-linux.log"))
        print(f"Debian's kernel: {len(wanted)} results, {missing} kB missing")
        if args.regen:
            os.makedirs(os.path.dirname(EXPECTED), exist_ok=True)
            with open(EXPECTED, "w", encoding="utf-8") as file:
                file.writelines(f"{name}: {result}\n" for name, result in wanted.items())
            return
    elif (args.count, args.seed, args.first) == (500, 1, 0):
        with open(EXPECTED, encoding="utf-8") as file:
            wanted = dict(line.rstrip("\n").rsplit(": ", 1) for line in file)
    report = Report(quiet=True)
    try:
        found, missing, complaints = run(args.kernel or programs.default_kernel(), initrd, args.cpus, args.limit,
                                         os.path.join(build, "elf.log"))
        for name, result in found.items():
            report.add(name, result == wanted.get(name, result), f"{result}, on Linux {wanted.get(name)}")
        report.add("all were run", len(found) == 2 * args.count, f"{len(found)} of {2 * args.count}")
        report.add("memory is back", missing <= SLACK, f"{missing} kB are missing")
        report.add("no complaint on the console", not complaints, "\n".join(complaints))
    except GuestError as error:
        report.fail("the guest ran to its end", error)
    report.finish()


if __name__ == "__main__":
    main()
