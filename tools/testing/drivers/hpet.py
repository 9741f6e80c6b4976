#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0
"""The HPET: /dev/hpet and what belongs to it, interrupts by the program selftest, the driver unbound with the file open. `--linux` runs
Debian's kernel, whose driver cannot be unbound.
"""

import os
import re
import sys
import tempfile

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path.insert(0, HERE)
import common  # noqa: E402
from common import GuestError, Report, need, programs  # noqa: E402

DRIVER = "/sys/bus/platform/drivers/hpet"
DEVICE = "PNP0103:00"


def shown(args, guest):
    """Node, numbers, the setting, what the log says."""
    need(guest.check("ls -l /dev/hpet"), r"^crw------- +1 \S+ +\S+ +10, +228 ")
    need(guest.check("cat /proc/misc"), r"^228 hpet$")
    need(guest.check("dmesg"), r"hpet0: at MMIO 0xfed00000, IRQs 2, 8, 0$", r"hpet0: 3 comparators, 64-bit 100\.000000 MHz counter$")
    guest.check("cd /proc/sys/dev/hpet; [ $(cat max-user-freq) = 64 ] && echo 128 >max-user-freq && [ $(cat max-user-freq) = 128 ] && "
                "echo 64 >max-user-freq; cd /")
    if not args.linux:
        need(guest.check(f"ls -1 {DRIVER}; cat /sys/bus/platform/devices/{DEVICE}/modalias"), rf"^{DEVICE}$", r"^acpi:PNP0103:$")
        need(guest.check("ls -l /sys/class/misc/hpet/"), r"\bdev$")


def interrupts(args, guest):
    """Programs get them, and the line is free again when they end."""
    text = guest.check("selftest hpet", max(args.step, 120))
    wrong = re.findall(r"^not ok .*$|SKIP .*$", text, re.M)
    if wrong or "ok " not in text:
        raise GuestError("; ".join(wrong) or text)
    guest.check("! grep hpet[0-9] /proc/interrupts")


def unbind(args, guest):
    """The driver gives the HPET up with a file open, and takes it again; the kernel's clocks go on."""
    if args.linux:
        return
    for _ in range(10):
        guest.check(f"exec 8</dev/hpet; echo {DEVICE} >{DRIVER}/unbind; [ ! -e /dev/hpet ] && [ ! -e {DRIVER}/{DEVICE} ]")
        if "No such device" not in guest.run("sh -c 'cat <&8' 2>&1")[1]:
            raise GuestError("reads what is gone")
        guest.check("exec 8<&-; sleep 0.1")
        guest.check(f"echo {DEVICE} >{DRIVER}/bind; [ -c /dev/hpet ] && [ -e {DRIVER}/{DEVICE} ]")
    interrupts(args, guest)
    need(guest.check("cat /sys/devices/system/clocksource/clocksource0/available_clocksource"), r"\bhpet\b")


TESTS = (shown, interrupts, unbind)


def main():
    args = common.parse(__doc__)
    report = Report()
    with tempfile.TemporaryDirectory(prefix="hpet-") as work:
        path = os.path.join(work, "initrd")
        common.initrd(args, path, built=[os.path.join(programs.build("selftests"), "selftest")])
        with common.machine(args, path) as guest:
            common.run(args, report, guest, TESTS)
    report.finish()


if __name__ == "__main__":
    main()
