#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0
"""Hardware random numbers: /dev/hwrng fed by virtio-rng, the files of /sys/class/misc/hw_random, a device that comes and goes.

The host's source of random numbers is a file with known bytes, so that what the guest reads can be told. `--linux` runs Debian's kernel.
"""

import os
import sys
import tempfile

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path.insert(0, HERE)
import common  # noqa: E402
from common import GuestError, Report, need  # noqa: E402

DIR = "/sys/class/misc/hw_random"


def files(args, guest):
    """The generator in use, by name and by quality."""
    need(guest.check(f"cat {DIR}/rng_available {DIR}/rng_current {DIR}/rng_selected"), r"^virtio_rng\.0 virtio_rng\.1 $|^virtio_rng\.0 .*virtio_rng\.1 $",
         r"^virtio_rng\.0$", r"^0$")
    need(guest.check("ls -l /dev/hwrng; cat /proc/misc"), r"^crw------- +1 \S+ +\S+ +10, +183 ", r"^183 hw_random$")
    need(guest.check(f"cat {DIR}/uevent"), r"^MAJOR=10$", r"^MINOR=183$", r"^DEVNAME=hwrng$")
    guest.check(f"echo virtio_rng.1 >{DIR}/rng_current && [ $(cat {DIR}/rng_current) = virtio_rng.1 ] && [ $(cat {DIR}/rng_selected) = 1 ]")
    if "No such device" not in guest.run(f"sh -c 'echo none.9 >{DIR}/rng_current' 2>&1")[1]:
        raise GuestError("a generator that is not there is chosen")
    guest.check(f"echo >{DIR}/rng_current && [ $(cat {DIR}/rng_selected) = 0 ]")
    if "nvalid" not in guest.run(f"sh -c 'echo 1025 >{DIR}/rng_quality' 2>&1")[1]:
        raise GuestError("a quality of 1025")
    guest.check(f"echo 700 >{DIR}/rng_quality && [ $(cat {DIR}/rng_quality) -ge 700 ] && echo virtio_rng.0 >{DIR}/rng_current")


def reads(args, guest):
    """What the host has is what is read; the node is to be read only; the kernel's thread is there."""
    data = guest.check("dd if=/dev/hwrng bs=64 count=4 2>/dev/null | od -An -v -tx1", args.step).split()
    if len(data) != 256 or set(data) != {"5a"}:
        raise GuestError(f"{len(data)} bytes: {sorted(set(data))}")
    if "nvalid" not in guest.run("sh -c 'echo >/dev/hwrng' 2>&1")[1]:
        raise GuestError("written to")
    need(guest.check("ps"), r" \[?hwrng\]?$")
    guest.check("dd if=/dev/hwrng bs=1 count=100 2>/dev/null | wc -c | grep -q 100", args.step)
    guest.check("for i in 1 2 3 4; do dd if=/dev/hwrng of=/tmp/r$i bs=1000 count=20 iflag=fullblock 2>/dev/null & done; wait; "
                "[ $(cat /tmp/r1 /tmp/r2 /tmp/r3 /tmp/r4 | wc -c) = 80000 ]", args.step)


def unbind(args, guest):
    """A generator goes while it is read, and comes back."""
    driver = "/sys/bus/virtio/drivers/virtio_rng"
    names = guest.check(f"cd {driver}; ls -d virtio*").split()
    guest.check("(cat /dev/hwrng >/dev/null 2>/tmp/end; true) & sleep 1")
    for name in names:
        guest.check(f"echo {name} >{driver}/unbind", args.step)
    need(guest.check(f"cat {DIR}/rng_current; sleep 1; cat /tmp/end"), r"^none$", r"No such device")
    if "No such device" not in guest.run("cat /dev/hwrng 2>&1 >/dev/null")[1]:
        raise GuestError("read without a generator")
    for name in names:
        guest.check(f"echo {name} >{driver}/bind", args.step)
    guest.check("dd if=/dev/hwrng bs=16 count=1 of=/dev/null 2>/dev/null", args.step)


TESTS = (files, reads, unbind)


def main():
    args = common.parse(__doc__)
    report = Report()
    with tempfile.TemporaryDirectory(prefix="hwrng-") as work:
        path, source = os.path.join(work, "initrd"), os.path.join(work, "bytes")
        with open(source, "wb") as f:
            f.write(b"\x5a" * (64 << 20))
        common.initrd(args, path, drivers=["virtio_rng"])
        extra = []
        for n in range(2):
            extra += ["-object", f"rng-random,id=r{n},filename={source}", "-device", f"virtio-rng-pci,rng=r{n}{args.virtio}"]
        append = common.APPEND
        with common.machine(args, path, extra, append) as guest:
            if not args.linux:
                guest.run("[ -d /sys/bus/virtio/drivers/virtio_rng ] || modprobe virtio_rng || insmod /lib/modules/*/kernel/drivers/char/hw_random/virtio_rng/virtio_rng.ko")
            common.run(args, report, guest, TESTS)
    report.finish()


if __name__ == "__main__":
    main()
