#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0
"""Command lines as a broken or generous loader may pass them: one that cannot be read, and one that is too long.

The unreadable one comes from a copy of bzImage whose 16-bit code is patched to point it at an address without memory.
"""

import argparse
import os
import sys
import tempfile

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path.insert(0, os.path.dirname(HERE))
from guest import Guest, GuestError, Report, image, programs  # noqa: E402

# `movl $SCRATCH_16, boot_params + 0x1e4` of header.S becomes `movl $NOWHERE, boot_params + 0x228`.
MARK = bytes.fromhex("66c706e411") + b"RD16"
NOWHERE = bytes.fromhex("66c7062812") + (0xE0000000).to_bytes(4, "little")
APPEND = "console=ttyS0 quiet panic=-1"


def unreadable(args, work):
    """The kernel says so on the first serial line, and goes on."""
    with open(args.bzimage, "rb") as file:
        content = file.read()
    if content.count(MARK) != 1:
        raise GuestError("bzImage has no place to patch")
    patched = os.path.join(work, "bzImage")
    with open(patched, "wb") as file:
        file.write(content.replace(MARK, NOWHERE))
    with Guest(patched, args.initrd, APPEND, machine="pc", limit=60, vga=True) as guest:
        guest.expect("command line cannot be read", 30)


def long(args, _):
    """What does not fit is cut, the rest is used."""
    with Guest(args.vmlinux, args.initrd, APPEND + " " + "x" * 4000, limit=60) as guest:
        guest.expect("@READY@", 60)
        line = guest.check("cat /proc/cmdline").strip()
        if not line.startswith(APPEND) or len(line) != 2047:
            raise GuestError(f"/proc/cmdline has {len(line)} characters: {line[:80]}...")


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    top = os.environ.get("KBUILD_OUTPUT") or programs.SRCTREE
    parser.add_argument("--vmlinux", default=os.path.join(top, "vmlinux"))
    parser.add_argument("--bzimage", default=os.path.join(top, "arch/x86/boot/bzImage"))
    args = parser.parse_args()
    report = Report()
    with tempfile.TemporaryDirectory(prefix="cmdline-") as work:
        args.initrd = os.path.join(work, "initrd")
        image.base().write(args.initrd)
        for test in (unreadable, long):
            with report.attempt(test.__name__):
                test(args, work)
    report.finish()


if __name__ == "__main__":
    main()
