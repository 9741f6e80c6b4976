#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0
"""The table boot test: every way into the kernel, machine, CPU, memory size and number of CPUs.

Ways: pvh (QEMU -kernel vmlinux), bzimage (QEMU -kernel bzImage, 16-bit entry), grub (an ISO, 32-bit entry), ovmf (EFI
application on a FAT ESP, started by the EFI shell with load options and initrd=), ovmf-kernel (OVMF with QEMU's -kernel:
initrd by LoadFile2). A row is good when user space runs with so many CPUs and about so much memory, and `poweroff` ends
the machine. With --expect a row is good when that text appears (for arch/x86/head/test-image: --expect "HEAD PASS").

Without --full a subset is run in which every pair of values that can meet meets at least once for way, machine, memory
and number of CPUs.
"""

import argparse
import concurrent.futures
import itertools
import os
import re
import shutil
import subprocess
import sys
import tempfile
import time

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path.insert(0, os.path.dirname(HERE))
from guest import Guest, GuestError, Report, image, programs  # noqa: E402

APPEND = "console=ttyS0 quiet panic=-1"
MACHINES = ["pc", "q35", "microvm"]
WAYS = {"pvh": MACHINES, "bzimage": MACHINES, "grub": ["pc", "q35"], "ovmf": ["q35", "pc"], "ovmf-kernel": ["q35", "pc"]}
CPUS_MODEL = ["qemu64", "max"]
MEMORY = [64, 8192]
CPUS = [1, 2, 4, 8]
OVMF_CODE, OVMF_VARS = "/usr/share/OVMF/OVMF_CODE.fd", "/usr/share/OVMF/OVMF_VARS.fd"
# Memory that the kernel and firmware may keep from user space, in MB.
KEPT = 40

GRUB_CFG = """serial --unit=0 --speed=115200
terminal_output serial
set timeout=0
menuentry rideau {{
	linux /boot/bzImage {append}
	initrd /boot/initrd
}}
"""


def table():
    """All rows: (way, machine, cpu, memory, cpus)."""
    return [(way, machine, cpu, memory, cpus) for way, machines in WAYS.items()
            for machine, cpu, memory, cpus in itertools.product(machines, CPUS_MODEL, MEMORY, CPUS)]


def covering(rows):
    """A small part of `rows` in which every pair of values (of different columns) that `rows` has appears."""
    def pairs(row):
        return {(a, row[a], b, row[b]) for a, b in itertools.combinations(range(len(row)), 2)}

    missing, chosen = set().union(*map(pairs, rows)), []
    while missing:
        best = max(rows, key=lambda row: len(pairs(row) & missing))
        chosen.append(best)
        missing -= pairs(best)
    return chosen


class Media:
    """What the ways start from, made once."""

    def __init__(self, args, work):
        self.args, self.work = args, work
        self.iso = self.esp = None

    def make(self, ways):
        if "grub" in ways:
            self.make_iso()
        if "ovmf" in ways:
            self.make_esp()

    def make_iso(self):
        top, self.iso = os.path.join(self.work, "iso"), os.path.join(self.work, "boot.iso")
        os.makedirs(os.path.join(top, "boot/grub"))
        shutil.copy(self.args.bzimage, os.path.join(top, "boot/bzImage"))
        shutil.copy(self.args.initrd, os.path.join(top, "boot/initrd"))
        with open(os.path.join(top, "boot/grub/grub.cfg"), "w", encoding="ascii") as file:
            file.write(GRUB_CFG.format(append=self.args.append))
        # The BIOS modules alone: OVMF is entered by its own ways.
        subprocess.run(["grub-mkrescue", "-d", "/usr/lib/grub/i386-pc", "-o", self.iso, top], check=True,
                       stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)

    def make_esp(self):
        self.esp = os.path.join(self.work, "esp.img")
        script = os.path.join(self.work, "startup.nsh")
        with open(script, "w", encoding="ascii", newline="") as file:
            file.write(f"fs0:\r\nbzImage.efi {self.args.append} initrd=/initrd\r\n")
        size = 4 + (os.path.getsize(self.args.bzimage) + os.path.getsize(self.args.initrd) >> 20)
        with open(self.esp, "wb") as file:
            file.truncate(max(size + size // 8, 40) << 20)
        subprocess.run(["mformat", "-i", self.esp, "-F", "::"], check=True)
        for source, name in ((self.args.bzimage, "bzImage.efi"), (self.args.initrd, "initrd"), (script, "startup.nsh")):
            subprocess.run(["mcopy", "-i", self.esp, source, "::/" + name], check=True)

    def options(self, way):
        """Arguments of `Guest` for `way`."""
        flash = ["-drive", f"if=pflash,format=raw,readonly=on,file={OVMF_CODE}",
                 "-drive", f"if=pflash,format=raw,snapshot=on,file={OVMF_VARS}"]
        direct = {"initrd": self.args.initrd, "append": self.args.append}
        return {
            "pvh": {"kernel": self.args.vmlinux, **direct},
            "bzimage": {"kernel": self.args.bzimage, **direct},
            "grub": {"extra": ["-cdrom", self.iso, "-boot", "d"]},
            "ovmf": {"extra": [*flash, "-drive", f"format=raw,snapshot=on,file={self.esp}"]},
            "ovmf-kernel": {"kernel": self.args.bzimage, "extra": flash, **direct},
        }[way]


def row_name(row):
    way, machine, cpu, memory, cpus = row
    return f"{way:<11} {machine:<7} {cpu:<6} {memory:>4} MB {cpus} CPU"


def boot(media, row):
    """Boots one row; returns seconds to user space. GuestError says what went wrong."""
    way, machine, cpu, memory, cpus = row
    args = media.args
    log = os.path.join(args.logs, "-".join(map(str, row)) + ".log")
    with Guest(machine=machine, cpu=cpu, memory=memory, cpus=cpus, limit=args.limit, vga=machine != "microvm", log=log,
               **media.options(way)) as guest:
        start = time.monotonic()
        if args.expect:
            guest.expect(args.expect, args.limit)
            return time.monotonic() - start
        guest.expect("@READY@", args.limit)
        taken = time.monotonic() - start
        found = int(guest.check("nproc").strip())
        if found != cpus:
            raise GuestError(f"nproc says {found}, not {cpus}")
        total = int(re.search(r"MemTotal:\s+(\d+) kB", guest.check("cat /proc/meminfo"))[1]) >> 10
        if not memory - KEPT - memory // 32 <= total <= memory:
            raise GuestError(f"MemTotal is {total} MB of {memory} MB")
        guest.send("poweroff -f\n")
        guest.wait(30)
        return taken


def attempt(media, row):
    try:
        return boot(media, row), None
    except GuestError as error:
        return None, error


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    top = os.environ.get("KBUILD_OUTPUT") or programs.SRCTREE
    parser.add_argument("--vmlinux", default=os.path.join(top, "vmlinux"))
    parser.add_argument("--bzimage", default=os.path.join(top, "arch/x86/boot/bzImage"))
    parser.add_argument("--initrd", help="default: busybox and an agent that the test talks to")
    parser.add_argument("--append", default=APPEND)
    parser.add_argument("--expect", help="a regular expression; a row is good when it appears on the serial line")
    parser.add_argument("--full", action="store_true", help="the whole table")
    parser.add_argument("--only", default="", help="rows whose name matches this regular expression")
    parser.add_argument("--list", action="store_true", help="print the rows and stop")
    parser.add_argument("-j", "--jobs", type=int, default=1)
    parser.add_argument("--limit", type=int, default=180, help="seconds a boot may take")
    args = parser.parse_args()
    rows = [row for row in (table() if args.full else covering(table())) if re.search(args.only, row_name(row))]
    if args.list:
        print("\n".join(map(row_name, rows)))
        return
    args.logs = programs.build_dir("boot")
    report = Report()
    with tempfile.TemporaryDirectory(prefix="boot-") as work:
        if not args.initrd:
            args.initrd = os.path.join(work, "initrd")
            image.base().write(args.initrd)
        media = Media(args, work)
        media.make({row[0] for row in rows})
        with concurrent.futures.ThreadPoolExecutor(args.jobs) as pool:
            for row, (taken, why) in zip(rows, pool.map(lambda row: attempt(media, row), rows)):
                report.add(row_name(row) + (f" {taken:5.1f} s" if taken is not None else ""), why is None, why or "")
    report.finish()


if __name__ == "__main__":
    main()
