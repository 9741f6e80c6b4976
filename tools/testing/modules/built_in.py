#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0
"""What other tests have as modules, as parts of the image: the samples of samples/rust, RAM disks and null_blk. They start at boot, take their
parameters from the command line, and do what they do.

The kernel is made beside the one in KBUILD_OUTPUT, with its configuration (which must have KUNIT) but for these, of the crates that were
compiled for it.
"""

import argparse
import os
import re
import sys
import tempfile

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path.insert(0, os.path.dirname(HERE))
sys.path.insert(0, os.path.join(os.path.dirname(HERE), "rust"))
import ssdt  # noqa: E402
from guest import Guest, GuestError, Report, image, need, no_complaint, programs  # noqa: E402

APPEND = ("console=ttyS0 quiet panic=-1 kunit.enable=1 kunit.filter_glob=rust_suite rust_minimal.test_parameter=7 rust_params.level=3 "
          "rust_chrdev.count=3 brd.rd_nr=2 brd.rd_size=1024 null_blk.gb=1 null_blk.memory_backed=1")


def options():
    """All that becomes a part of the image."""
    with open(os.path.join(programs.SRCTREE, "samples/rust/Kconfig")) as f:
        samples = re.findall(r"^config (SAMPLE_RUST_\w+)\n\ttristate", f.read(), re.M)
    return {name: "y" for name in ("SAMPLES", "SAMPLES_RUST", *samples, "BLK_DEV_RAM", "BLK_DEV_NULL_BLK")}


def said(guest):
    """What each says at its start, in any order."""
    text = guest.check("dmesg")
    need(text, r"rust_minimal: Am I built-in\? true$", r"rust_minimal: test_parameter: 7$")
    for pattern in (r"rust_shared: ready$", r"rust_shared_user: the count is \d+$", r"rust_params: level 3, offset -1, verbose false$",
                    r"rust_chrdev: 3 devices, major \d+$", r"rust_worker: 3 rounds, then \d+ ms$", r"rust_print: Rust printing macros sample \(init\)$", r"rust_platdev RIDE0001:00: level 5$",
                    r"# rust_suite: pass:2 fail:0 skip:0 total:2$"):
        need(text, pattern)


def no_modules(guest):
    """They are no modules, and have parameters all the same."""
    if guest.check("cat /proc/modules"):
        raise GuestError("loaded: " + guest.check("cat /proc/modules"))
    need(guest.check("cd /sys/module && cat rust_params/parameters/level brd/parameters/rd_nr && [ ! -e rust_params/initstate ]; cd /"), r"^3$", r"^2$")


def devices(guest):
    """Devices, drivers and files."""
    guest.check("echo hello >/dev/rust-page1 && [ $(head -c 5 /dev/rust-page1) = hello ] && [ ! -e /dev/rust-page3 ]")
    guest.check("echo one >/dev/rust-mailbox && [ $(dd if=/dev/rust-mailbox bs=100 count=1 2>/dev/null) = one ]")
    guest.check("mkdir -p /sys/kernel/config; mount -t configfs none /sys/kernel/config 2>/dev/null; mkdir /sys/kernel/config/rust_config/a && "
                "cat /sys/kernel/config/rust_config/made && rmdir /sys/kernel/config/rust_config/a")
    guest.check("mount -t debugfs none /sys/kernel/debug 2>/dev/null; [ $(cat /sys/kernel/debug/rust_knobs/level) = 3 ]")
    guest.check("ls -d /sys/bus/pci/drivers/rust_testdev/0000* /sys/bus/platform/drivers/rust_platdev/RIDE0001:00")


def disks(guest):
    """Disks that keep what is written."""
    for disk, sectors in (("ram1", 2048), ("nullb0", 2097152)):
        need(guest.check(f"cat /sys/block/{disk}/size"), rf"^{sectors}$")
        guest.check(f"head -c 300000 /dev/urandom >/tmp/a && dd if=/tmp/a of=/dev/{disk} bs=3000 2>/dev/null && head -c 300000 /dev/{disk} | cmp - /tmp/a")


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    top = os.path.abspath(os.environ.get("KBUILD_OUTPUT") or programs.SRCTREE)
    parser.add_argument("--cpus", type=int, default=2)
    parser.add_argument("--log", help="a file that gets the console")
    args = parser.parse_args()
    report, other = Report(), programs.kernel_beside(top, "built-in", options())
    with tempfile.TemporaryDirectory(prefix="built-in-") as work:
        done = programs.make(f"O={other}", f"INSTALL_MOD_PATH={work}", "modules_install")
        release = os.listdir(os.path.join(work, "lib/modules"))[0] if done.returncode == 0 else ""
        with open(os.path.join(work, "lib/modules", release, "modules.builtin") if release else os.devnull) as f:
            names = f.read().split()
        wanted = ["kernel/samples/rust/rust_minimal/rust_minimal.ko", "kernel/drivers/block/brd/brd.ko", "kernel/drivers/block/null_blk/null_blk.ko"]
        report.add("modules.builtin has them", set(wanted) <= set(names), done.stdout + " ".join(names))
        initrd, table = os.path.join(work, "initrd"), os.path.join(work, "ssdt.aml")
        image.base().write(initrd)
        with open(table, "wb") as f:
            f.write(ssdt.table("RIDE0001", (("rideau,level", ssdt.number(5)),)))
        extra = ["-acpitable", f"file={table}", "-device", "pci-testdev"]
        with Guest(os.path.join(other, "vmlinux"), initrd, APPEND, cpus=args.cpus, limit=300, log=args.log, extra=extra) as guest:
            guest.expect("@READY@", 60)
            for test in (said, no_modules, devices, disks, no_complaint):
                with report.attempt(test.__name__):
                    test(guest)
    report.finish()


if __name__ == "__main__":
    main()
