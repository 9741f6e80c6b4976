#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0
"""Events of devices: the kernel's messages (NETLINK_KOBJECT_UEVENT), /sys/**/uevent, and Debian's systemd-udevd with udevadm in a
guest: monitor, trigger, settle, loading of modules by alias.
"""

import argparse
import os
import sys
import tempfile

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path.insert(0, os.path.dirname(HERE))
from guest import Guest, GuestError, Report, debian, image, need, no_complaint, programs  # noqa: E402
from kmod import install  # noqa: E402

APPEND = "console=ttyS0 quiet panic=-1"
RULE = 'ACTION!="remove", SUBSYSTEM=="mem", KERNEL=="null", SYMLINK+="nothing", ENV{SEEN}="yes"\n'


def udev(cpio):
    """Debian's udev: one program under two names, its libraries and rules."""
    directory = debian.unpack("udev")
    program = next(p for p in (os.path.join(directory, d, "udevadm") for d in ("bin", "usr/bin")) if os.path.exists(p))
    known = set()

    def parents(name):
        parts = name.split("/")
        for i in range(1, len(parts)):
            path = "/".join(parts[:i])
            if path not in known:
                known.add(path)
                cpio.dir(path)

    cpio.file("bin/udevadm", src=program, mode=0o755)
    cpio.slink("bin/systemd-udevd", "udevadm")
    for name, path in debian.libraries(program):
        if name.strip("/") not in known:
            parents(name.strip("/"))
            known.add(name.strip("/"))
            cpio.file(name.strip("/"), src=path, mode=0o755)
    base = next(p for p in (os.path.join(directory, d, "lib/udev") for d in ("", "usr")) if os.path.isdir(p))
    for top, _, names in os.walk(os.path.join(base, "rules.d")):
        for name in names:
            parents(f"lib/udev/rules.d/{name}")
            cpio.file(f"lib/udev/rules.d/{name}", src=os.path.join(top, name), mode=0o644)
    parents("etc/udev/rules.d/90-test.rules")
    cpio.file("etc/udev/rules.d/90-test.rules", RULE)
    cpio.file("etc/udev/udev.conf", "udev_log=info\n")


def kernel_messages(guest):
    """What the kernel sends, as udevadm monitor shows it."""
    guest.check("udevadm monitor --kernel --property >/tmp/log 2>&1 & echo $! >/tmp/pid; sleep 3")
    before = int(guest.check("cat /sys/kernel/uevent_seqnum"))
    guest.check("echo change >/sys/class/mem/null/uevent")
    guest.check("echo 'add fe4d7c9d-b8c6-4a70-9ef1-3d8a58d18eed A=1' >/sys/devices/virtual/mem/zero/uevent")
    status, text = guest.run("sh -c 'echo shout >/sys/class/mem/null/uevent' 2>&1")
    if "nvalid" not in text:
        raise GuestError(f"a bad action: {status} {text}")
    guest.check("insmod /lib/modules/*/kernel/samples/rust/rust_mailbox/rust_mailbox.ko; rmmod rust_mailbox; sleep 2; kill $(cat /tmp/pid)")
    text = guest.check("cat /tmp/log")
    need(text, r"^KERNEL\[[\d.]+\] change +/devices/virtual/mem/null \(mem\)$", r"^ACTION=change$",
         r"^DEVPATH=/devices/virtual/mem/null$", r"^SUBSYSTEM=mem$", r"^SYNTH_UUID=0$")
    need(text, r"^KERNEL\[[\d.]+\] add +/devices/virtual/mem/zero \(mem\)$", r"SYNTH_ARG_A=1")
    for what, path in (("add", "/module/rust_mailbox"), ("add", r"/devices/virtual/misc/\S+"), ("remove", r"/devices/virtual/misc/\S+"),
                       ("remove", "/module/rust_mailbox")):
        need(text, rf"^KERNEL\[[\d.]+\] {what} +{path} ")
    for key in ("DEVNAME=/dev/null", "MAJOR=1", "MINOR=3", rf"SEQNUM={before + 1}"):
        need(text, rf"^{key}$")
    need(guest.check("cat /sys/class/mem/null/uevent"), r"^MAJOR=1$", r"^MINOR=3$", r"^DEVNAME=null$")


def daemon(guest):
    """systemd-udevd: coldplug, rules, settle, its own messages."""
    guest.check("mkdir -p /run/udev; systemd-udevd --daemon 2>/tmp/udevd.log", 60)
    guest.check("udevadm monitor --udev >/tmp/log 2>&1 & echo $! >/tmp/pid; sleep 2")
    guest.check("udevadm trigger --action=add && udevadm settle --timeout=120", 150)
    need(guest.check("ls -l /dev/nothing"), r"/dev/nothing -> null")
    need(guest.check("udevadm info /dev/null"), r"^P: /devices/virtual/mem/null$", r"^E: SEEN=yes$")
    text = guest.check("kill $(cat /tmp/pid); cat /tmp/log")
    need(text, r"^UDEV +\[[\d.]+\] add +/devices/virtual/mem/null \(mem\)$")
    if guest.check("cat /run/udev/queue 2>/dev/null; echo end").strip() != "end":
        raise GuestError("the queue is not empty after settle")


def autoload(guest):
    """A module whose alias a device has was loaded by udev's rules; the files by which devices are bound."""
    need(guest.check("cat /proc/modules"), r"^rust_testdev ")
    device = guest.check("basename $(ls -d /sys/bus/pci/drivers/rust_testdev/0000*)").strip()
    need(guest.check("dmesg"), rf"rust_testdev {device}: test 0: 1 accesses")
    need(guest.check(f"udevadm info /sys/bus/pci/devices/{device}"), r"^E: DRIVER=rust_testdev$", r"^E: MODALIAS=pci:v00001B36d00000005")
    driver = "/sys/bus/pci/drivers/rust_testdev"
    guest.check(f"echo {device} >{driver}/unbind && [ ! -e {driver}/{device} ]")
    guest.check(f"echo nobody >/sys/bus/pci/devices/{device}/driver_override")
    if "No such device" not in guest.run(f"sh -c 'echo {device} >{driver}/bind' 2>&1")[1]:
        raise GuestError("driver_override does not keep the driver away")
    guest.check(f"echo >/sys/bus/pci/devices/{device}/driver_override; cat /sys/bus/pci/devices/{device}/driver_override")
    guest.check(f"echo {device} >/sys/bus/pci/drivers_probe && [ -e {driver}/{device} ]")
    if "busy" not in guest.run(f"sh -c 'echo {device} >{driver}/bind' 2>&1")[1]:
        raise GuestError("a device is bound twice")
    # No error for one that is bound already, nor for one that nobody takes.
    guest.check(f"echo {device} >/sys/bus/pci/drivers_probe && echo 0000:00:00.0 >/sys/bus/pci/drivers_probe")
    guest.check(f"echo '8086 ffff' >{driver}/new_id && echo '8086 ffff' >{driver}/remove_id")
    guest.check("rmmod rust_testdev && [ ! -e /sys/bus/pci/drivers/rust_testdev ]")
    guest.check("udevadm trigger --action=add --subsystem-match=pci && udevadm settle --timeout=60", 90)
    need(guest.check("cat /proc/modules"), r"^rust_testdev ")
    no_complaint(guest)


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    top = os.environ.get("KBUILD_OUTPUT") or programs.SRCTREE
    parser.add_argument("--vmlinux", default=os.path.join(top, "vmlinux"))
    parser.add_argument("--cpus", type=int, default=2)
    parser.add_argument("--log", help="a file that gets the console")
    args = parser.parse_args()
    report = Report()
    with tempfile.TemporaryDirectory(prefix="uevents-") as work:
        cpio = image.base()
        install(os.path.join(work, "root"), os.path.abspath(top))
        for directory, _, names in os.walk(os.path.join(work, "root")):
            inside = os.path.relpath(directory, os.path.join(work, "root"))
            if inside != ".":
                cpio.dir(inside)
            for name in names:
                cpio.file(os.path.join(inside, name), src=os.path.join(directory, name), mode=0o644)
        udev(cpio)
        initrd = os.path.join(work, "initrd")
        cpio.write(initrd)
        with Guest(args.vmlinux, initrd, APPEND, cpus=args.cpus, memory=512, limit=600, log=args.log,
                   extra=["-device", "pci-testdev"]) as guest:
            guest.expect("@READY@", 90)
            for test in (kernel_messages, daemon, autoload):
                with report.attempt(test.__name__):
                    test(guest)
    report.finish()


if __name__ == "__main__":
    main()
