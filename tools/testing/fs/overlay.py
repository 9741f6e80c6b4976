#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0
"""overlayfs with its layers on tmpfs, on ext4, and on both: the cases of overlay.sh. --linux: the same on Debian's kernel."""

import argparse
import os
import re
import subprocess
import tempfile

import common
from common import GuestError, Report

PROGRAMS = ["getfattr", "setfattr", "stat", "ls"]
# name, where the upper layer is, where the lower ones are
ROWS = [("tmpfs", "/tmp/m", "/tmp/m"), ("ext4", "/tmp/e", "/tmp/e"), ("mixed", "/tmp/e", "/tmp/m")]


def main():
    parser = common.arguments(argparse.ArgumentParser(description=__doc__.splitlines()[0]))
    parser.add_argument("only", nargs="*", help="names of rows and cases")
    args = common.parse(parser)
    report = Report()
    with open(os.path.join(common.HERE, "overlay.sh")) as f:
        script = f.read()
    cases = re.findall(r"^t_(\w+)\(\)", script, re.M)
    rows = [row for row in ROWS if row[0] in args.only] or ROWS
    cases = [case for case in cases if case in args.only] or cases
    with tempfile.TemporaryDirectory(prefix="overlay-") as work:
        disk = os.path.join(work, "disk")
        with open(disk, "wb") as f:
            f.truncate(256 << 20)
        subprocess.run(["/sbin/mke2fs", "-q", "-F", "-t", "ext4", disk], check=True)
        cpio = common.base(args.linux, ["overlay", "ext4", "crc32c_generic"], PROGRAMS)
        cpio.file("overlay.sh", script, mode=0o755)
        initrd = os.path.join(work, "initrd")
        cpio.write(initrd)
        with common.machine(args, initrd, [disk]) as guest:
            guest.expect("@READY@", args.limit)
            guest.check("mkdir /tmp/m /tmp/e; mount -t tmpfs m /tmp/m; mount -t ext4 /dev/vda /tmp/e", args.step)
            for name, upper, lower in rows:
                for case in cases:
                    try:
                        text = guest.check(f"sh /overlay.sh {upper} {lower} {case} </dev/null 2>&1 | cat", args.step)
                        if f"ok {case}" not in text:
                            raise GuestError(text.strip())
                        common.quiet(guest)
                        report.ok(f"{name} {case}")
                    except GuestError as error:
                        report.fail(f"{name} {case}", error)
                        if not guest.alive():
                            report.finish()
            guest.check("umount /tmp/e && umount /tmp/m", args.step)
    report.finish()


if __name__ == "__main__":
    main()
