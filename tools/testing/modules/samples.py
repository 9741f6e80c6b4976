#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0
"""The samples of samples/rust that kmod.py, loader.py, uevents.py and edu.py do not try: parameters, character devices, configfs, debugfs, work
queues, a suite of tests, a platform driver (for a device of an ACPI table that is given to QEMU).

The kernel has all samples as modules (samples.config) and KUNIT.
"""

import argparse
import os
import sys
import tempfile

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path.insert(0, os.path.dirname(HERE))
sys.path.insert(0, os.path.join(os.path.dirname(HERE), "rust"))
import ssdt  # noqa: E402
from guest import Guest, GuestError, Report, image, need, no_complaint, programs  # noqa: E402

# At boot no suite runs: the module's is the only one that the filter lets pass.
APPEND = "console=ttyS0 quiet panic=-1 kunit.enable=1 kunit.filter_glob=rust_suite"
NAMES = ("params", "chrdev", "config", "knobs", "worker", "suite", "platdev")


def load(guest, name, parameters=""):
    """Loads a sample; the log."""
    guest.check(f"dmesg -c >/dev/null; insmod /rust_{name}.ko {parameters}")
    return guest.check("dmesg")


def refused(guest, command, words):
    """A command fails, and says why."""
    status, text = guest.run(command + " 2>&1")
    if status == 0 or words not in text:
        raise GuestError(f"{command}: {status} {text}")


def params(guest):
    """Values at load and in sysfs."""
    text = load(guest, "params", "level=3 offset=-0x10 verbose 'word=\"two words\"' secret=9")
    need(text, r"rust_params: level 3, offset -16, verbose true$", r"rust_params: word 'two words', secret 9$")
    where = "/sys/module/rust_params/parameters"
    need(guest.check(f"cd {where} && ls -1 && cat level offset verbose word && stat -c %a verbose word; cd /"),
         r"^level$", r"^offset$", r"^verbose$", r"^word$", r"^3$", r"^-16$", r"^Y$", r"^two words$", r"^400$", r"^644$")
    guest.check(f"[ ! -e {where}/secret ]")
    refused(guest, f"sh -c 'echo 4 >{where}/level'", "ermission denied")
    # A value is set once.
    refused(guest, f"sh -c 'echo more >{where}/word'", "exists")
    guest.check("rmmod rust_params")
    need(load(guest, "params"), r"rust_params: level 1, offset -1, verbose false$", r"word 'nothing', secret 7$")
    guest.check(f"echo later >{where}/word && [ $(cat {where}/word) = later ] && rmmod rust_params")
    for value, line in (("level=300", "`300' invalid for parameter `level'"), ("level=", "`' invalid for parameter `level'"),
                        ("verbose=maybe", "`maybe' invalid for parameter `verbose'"), ("level=201", "level 201 is above 200"),
                        ("word=" + "x" * 1025, "rust_params: `xxxx")):
        refused(guest, f"dmesg -c >/dev/null; insmod /rust_params.ko {value}", "can't insert")
        if line not in guest.check("dmesg"):
            raise GuestError(f"{value}: " + guest.check("dmesg"))


def chrdev(guest):
    """Devices with a number of their own: positions, the end, who has one open."""
    need(load(guest, "chrdev", "count=3"), r"rust_chrdev: 3 devices, major \d+$")
    need(guest.check("cat /proc/devices; stat -c '%F %a' /dev/rust-page2; ls -1 /sys/class/rust-page"),
         r"^ *\d+ rust-page$", r"^character special file 600$", r"^rust-page0$", r"^rust-page1$", r"^rust-page2$")
    guest.check("[ ! -e /dev/rust-page3 ] && echo hello >/dev/rust-page1 && [ $(head -c 5 /dev/rust-page1) = hello ]")
    # Each is a page of its own, and all of it is there.
    need(guest.check("wc -c </dev/rust-page0; head -c 1 /dev/rust-page0 | od -An -tx1"), r"^ *4096$", r"^ 00$")
    guest.check("printf XY | dd of=/dev/rust-page1 bs=1 count=1 seek=4095 conv=notrunc 2>/dev/null")
    need(guest.check("dd if=/dev/rust-page1 bs=1 skip=4095 2>/dev/null; echo"), r"^X$")
    refused(guest, "printf XY | dd of=/dev/rust-page1 bs=1 seek=4095 conv=notrunc", "No space left")
    guest.check("exec 9</dev/rust-page2")
    refused(guest, "rmmod rust_chrdev", "emporarily unavailable")
    guest.check("exec 9<&-; rmmod rust_chrdev && [ ! -e /dev/rust-page0 ] && ! grep rust-page /proc/devices")
    refused(guest, "insmod /rust_chrdev.ko count=17", "nvalid")


def config(guest):
    """Objects in configfs."""
    guest.check("mkdir -p /sys/kernel/config; mount -t configfs none /sys/kernel/config 2>/dev/null; true")
    load(guest, "config")
    where = "/sys/kernel/config/rust_config"
    need(guest.check(f"ls -1 {where} && cat {where}/made && mkdir {where}/a {where}/b && ls -1 {where}/a && cat {where}/made"),
         r"^made$", r"^0$", r"^length$", r"^text$", r"^2$")
    need(guest.check(f"echo hello >{where}/a/text && cat {where}/a/text {where}/a/length {where}/b/length"), r"^hello$", r"^5$", r"^0$")
    refused(guest, f"sh -c 'printf %0100d 0 >{where}/a/text'", "")
    refused(guest, f"mkdir {where}/_c", "nvalid")
    refused(guest, "rmmod rust_config", "emporarily unavailable")
    guest.check(f"rmdir {where}/a {where}/b && rmmod rust_config && [ ! -e {where} ] && umount /sys/kernel/config")
    need(guest.check("dmesg"), r"rust_config: made a$", r"rust_config: made b$", r"rust_config: one is gone$", r"rust_config: one is gone$")


def knobs(guest):
    """Values in debugfs, and a file that outlives its module."""
    guest.check("mount -t debugfs none /sys/kernel/debug 2>/dev/null; true")
    load(guest, "knobs")
    where = "/sys/kernel/debug/rust_knobs"
    need(guest.check(f"cat {where}/level {where}/about && echo 7 >{where}/level && cat {where}/level {where}/about"),
         r"^3$", r"^level 3 of 10$", r"^7$", r"^level 7 of 10$")
    for bad in ("11", "-1", "many", "123456789"):
        refused(guest, f"sh -c 'echo {bad} >{where}/level'", "nvalid")
    guest.check(f"[ $(cat {where}/hits) -ge 2 ] && echo 1 >{where}/reset && [ $(cat {where}/hits) = 0 ]")
    guest.check(f"exec 8<{where}/level; rmmod rust_knobs && [ ! -e {where} ]")
    status, text = guest.run("cat <&8 2>&1")
    if status == 0:
        raise GuestError(f"a file of a module that is gone says {text}")
    guest.check("exec 8<&-; umount /sys/kernel/debug")


def worker(guest):
    """Work that queues itself, then work for later."""
    for _ in range(3):
        need(load(guest, "worker"), r"rust_worker: 3 rounds, then (4[89]|[5-9]\d|\d{3,}) ms$")
        guest.check("rmmod rust_worker")


def suite(guest):
    """A module's tests run when it is loaded."""
    text = load(guest, "suite")
    need(text, r"rust_suite: February 2024 has 29 days$", r"    # Subtest: rust_suite$", r"    1\.\.2$", r"    ok 1 months$",
         r"    ok 2 leap_years$", r"# rust_suite: pass:2 fail:0 skip:0 total:2$", r"ok 1 rust_suite$")
    guest.check("rmmod rust_suite")


def platdev(guest):
    """The device that the table names: memory, a property, bound and unbound."""
    need(load(guest, "platdev"), r"rust_platdev RIDE0001:00: vendor 0x8086, revision \d+$", r"rust_platdev RIDE0001:00: level 5$")
    driver = "/sys/bus/platform/drivers/rust_platdev"
    need(guest.check("cat /sys/bus/platform/devices/RIDE0001:00/modalias"), r"^acpi:RIDE0001:$")
    guest.check(f"for i in 1 2 3 4 5; do echo RIDE0001:00 >{driver}/unbind && [ ! -e {driver}/RIDE0001:00 ] && "
                f"echo RIDE0001:00 >{driver}/bind && [ -e {driver}/RIDE0001:00 ] || break; done; [ $i = 5 ] && [ -e {driver}/RIDE0001:00 ]")
    guest.check(f"rmmod rust_platdev && [ ! -e {driver} ]")
    need(guest.check("dmesg | tail -n 2"), r"vendor 0x8086, still$", r"goodbye$")


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    top = os.environ.get("KBUILD_OUTPUT") or programs.SRCTREE
    parser.add_argument("--vmlinux", default=os.path.join(top, "vmlinux"))
    parser.add_argument("--cpus", type=int, default=2)
    parser.add_argument("--log", help="a file that gets the console")
    args = parser.parse_args()
    report = Report()
    with tempfile.TemporaryDirectory(prefix="samples-") as work:
        cpio = image.base()
        for name in NAMES:
            cpio.file(f"rust_{name}.ko", src=os.path.join(top, f"samples/rust/rust_{name}/rust_{name}.ko"), mode=0o644)
        initrd, table = os.path.join(work, "initrd"), os.path.join(work, "ssdt.aml")
        cpio.write(initrd)
        with open(table, "wb") as f:
            f.write(ssdt.table("RIDE0001", (("rideau,level", ssdt.number(5)),)))
        with Guest(args.vmlinux, initrd, APPEND, cpus=args.cpus, limit=400, log=args.log, extra=["-acpitable", f"file={table}"]) as guest:
            guest.expect("@READY@", 60)
            for test in (params, chrdev, config, knobs, worker, suite, platdev):
                with report.attempt(test.__name__):
                    test(guest)
            with report.attempt("healthy"):
                no_complaint(guest)
    report.finish()


if __name__ == "__main__":
    main()
