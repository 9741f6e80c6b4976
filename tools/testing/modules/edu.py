#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0
"""A PCI driver built out of the tree (samples/rust/rust_edu), against QEMU's edu device: memory, a message-signalled interrupt with a thread,
transfers; bound and unbound many times without anything left (interrupts, memory, files).
"""

import argparse
import os
import re
import sys
import tempfile

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path.insert(0, os.path.dirname(HERE))
from guest import Guest, GuestError, Report, image, no_complaint, programs  # noqa: E402

APPEND = "console=ttyS0 quiet panic=-1"


def probe(guest, _):
    """The driver finds the device, and the device interrupts."""
    guest.check("dmesg -c >/dev/null; insmod /rust_edu.ko")
    text = guest.check("dmesg")
    for line in (r"rust_edu 0000:00:\w\w\.\w: alive: 0xedcba987", r"rust_edu 0000:00:\w\w\.\w: interrupt: 0x55",
                 r"rust_edu 0000:00:\w\w\.\w: dma: 256 of 256 words came back"):
        if not re.search(line, text):
            raise GuestError(f"no '{line}' in:\n{text}")
    if not re.search(r"\brust_edu\b", guest.check("cat /proc/interrupts")):
        raise GuestError("the interrupt is not in /proc/interrupts:\n" + guest.check("cat /proc/interrupts"))
    guest.check("rmmod rust_edu")
    if "goodbye" not in guest.check("dmesg") or re.search(r"\brust_edu\b", guest.check("cat /proc/interrupts")):
        raise GuestError("something is left of it")


def memory(guest):
    """What is free and what the kernel uses, in kB, after what waits to be freed is freed."""
    text = guest.check("echo 3 >/proc/sys/vm/drop_caches; sleep 1; cat /proc/meminfo")
    return {key: int(re.search(rf"^{key}:\s+(\d+)", text, re.M).group(1)) for key in ("MemFree", "Slab", "KernelStack")}


def again(guest, number):
    """Bound and unbound many times."""
    guest.check("insmod /rust_edu.ko")
    device = guest.check("cd /sys/bus/pci/drivers/rust_edu; ls -d 0000*; cd /").strip()
    loop = (f"i=0; while [ $i -lt {{}} ]; do echo {device} >/sys/bus/pci/drivers/rust_edu/unbind && echo {device} "
            ">/sys/bus/pci/drivers/rust_edu/bind || break; i=$((i+1)); done; echo $i")
    guest.check(loop.format(30), 120)
    before = memory(guest)
    if guest.check(loop.format(number), 300).split()[-1] != str(number):
        raise GuestError(guest.check("dmesg"))
    after = memory(guest)
    if before["MemFree"] - after["MemFree"] > 256 or any(after[key] - before[key] > 128 for key in ("Slab", "KernelStack")):
        raise GuestError(f"memory before {before}, after {after}")
    guest.check("rmmod rust_edu")
    no_complaint(guest)


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    top = os.environ.get("KBUILD_OUTPUT") or programs.SRCTREE
    parser.add_argument("--vmlinux", default=os.path.join(top, "vmlinux"))
    parser.add_argument("--cpus", type=int, default=2)
    parser.add_argument("--times", type=int, default=100)
    parser.add_argument("--log", help="a file that gets the console")
    args = parser.parse_args()
    report = Report()
    with tempfile.TemporaryDirectory(prefix="edu-") as work:
        cpio, built = image.base(), programs.modules("samples/rust/rust_edu", work, os.path.abspath(top))
        cpio.file("rust_edu.ko", src=os.path.join(built, "rust_edu.ko"), mode=0o644)
        initrd = os.path.join(work, "initrd")
        cpio.write(initrd)
        with Guest(args.vmlinux, initrd, APPEND, cpus=args.cpus, limit=500, extra=["-device", "edu"], log=args.log) as guest:
            guest.expect("@READY@", 60)
            for test, value in ((probe, None), (again, args.times)):
                with report.attempt(test.__name__):
                    test(guest, value)
    report.finish()


if __name__ == "__main__":
    main()
