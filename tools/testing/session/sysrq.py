#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0
"""System requests: through /proc/sysrq-trigger, by a break on the serial console, by Alt-SysRq on the keyboard.

Run after `make bzImage`; `--linux` takes Debian's kernel.
"""

import argparse
import os
import re
import subprocess
import sys
import tempfile
import time

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path.insert(0, os.path.dirname(HERE))
from guest import Guest, GuestError, GuestExit, Report, debian, image, programs  # noqa: E402

APPEND = "console=ttyS0 loglevel=7 panic=-1"
# What both kernels offer.
HELP = ("loglevel(0-9) reboot(b) crash(c) terminate-all-tasks(e) memory-full-oom-kill(f) kill-all-tasks(i) thaw-filesystems(j) "
        "show-backtrace-all-active-cpus(l) show-memory-usage(m) nice-all-RT-tasks(n) poweroff(o) unraw(r) sync(s) "
        "show-task-states(t) unmount(u) show-blocked-tasks(w)").split()


def need(condition, what):
    if not condition:
        raise GuestError(what)


def trigger(guest, key, says, timeout=20):
    """Writes a key; what comes up to `says`."""
    guest.send(f"echo {key} > /proc/sysrq-trigger\n")
    return guest.expect(says, timeout)


def settle(guest):
    """Waits until the log has been printed and the shell answers."""
    time.sleep(0.3)
    guest.check("true")


def texts(guest):
    """What is shown and nothing else."""
    guest.check("echo 1 > /proc/sys/kernel/sysrq")
    trigger(guest, "h", "sysrq: HELP :")
    guest.expect(r"show-blocked-tasks\(w\)", 20)
    for word in HELP[:-1]:
        need(word in guest.before, f"{word} is not offered")
    settle(guest)
    trigger(guest, "m", "Mem-Info:")
    trigger(guest, "l", "Call Trace")
    settle(guest)
    guest.check("sleep 1000 & sleep 0.3")
    trigger(guest, "t", "Show State")
    guest.expect(r"task:sleep +state:S", 20)
    guest.expect("Call Trace", 20)
    guest.expect("nanosleep", 20)
    time.sleep(1)
    settle(guest)
    trigger(guest, "w", "Show Blocked State")
    settle(guest)


def settings(guest):
    """The log's level, and nice values."""
    trigger(guest, "5", "Changing Loglevel")
    settle(guest)
    level = guest.check("cat /proc/sys/kernel/printk").split()[0]
    need(level == "5", f"the level is {level}")
    guest.check("echo 7 > /proc/sysrq-trigger")
    settle(guest)
    # The command's name has no blank: the nineteenth column is the nice value.
    guest.check("sleep 1000 & echo $! > /tmp/nice; renice -n -5 -p $!")
    nice = "cut -d' ' -f19 /proc/$(cat /tmp/nice)/stat"
    need(guest.check(nice).strip() == "-5", "nice did not work")
    trigger(guest, "n", "Nice All RT Tasks")
    settle(guest)
    need(guest.check(nice).strip() == "0", "after `n` the nice value is still negative")


def signals(guest):
    """Sync, and signals for all."""
    trigger(guest, "s", "Emergency Sync complete")
    guest.check("trap '' TERM; sleep 1001 & sleep 1002 & sleep 0.3")
    trigger(guest, "i", "Kill All Tasks")
    settle(guest)
    left = guest.check("ps | grep -c '[s]leep 100' || true").strip()
    need(left == "0", f"{left} tasks survived")
    guest.check("sh -c 'x=$(head -c 30000000 /dev/zero | tr \"\\0\" a); sleep 1000' & sleep 3")
    trigger(guest, "f", "Out of memory: Killed process")
    settle(guest)


def serial_break(guest):
    """A break and a key; masks; a key that comes too late is input."""
    def ask(key, says):
        guest.monitor("chardev-send-break con")
        time.sleep(0.3)
        guest.send(key)
        return guest.expect(says, 20)
    ask("h", "sysrq: HELP")
    settle(guest)
    guest.check("echo 16 > /proc/sys/kernel/sysrq")
    ask("m", "This sysrq operation is disabled")
    ask("s", "Emergency Sync complete")
    guest.check("echo 0 > /proc/sys/kernel/sysrq")
    guest.monitor("chardev-send-break con")
    time.sleep(0.3)
    need("still" in guest.check("echo still"), "a key was eaten although requests are off")
    guest.check("echo 1 > /proc/sys/kernel/sysrq")


def file_systems(guest):
    """A frozen file system is thawed; one that is written to becomes read-only, with all that was written."""
    guest.check("mkdir /tmp/m; mount -t ext4 /dev/vda /tmp/m; echo one > /tmp/m/a; exec 7>>/tmp/m/a; echo two >&7")
    guest.check("fsfreeze --freeze /tmp/m")
    trigger(guest, "j", "Emergency Thaw complete")
    settle(guest)
    guest.check("echo three >&7")
    trigger(guest, "u", "Emergency Remount complete")
    settle(guest)
    for what in ("echo four >&7", "touch /tmp/m/b"):
        status, text = guest.run(what + " 2>&1")
        need(status != 0, f"{what!r} works on a read-only file system")
    need(" ext4 ro," in guest.check("grep /tmp/m /proc/mounts"), "/proc/mounts does not say ro")
    guest.check("exec 7>&-; umount /tmp/m; mount -t ext4 -o ro /dev/vda /tmp/m")
    text = guest.check("cat /tmp/m/a").split()
    need(text == ["one", "two", "three"], f"the file has {text}")
    guest.check("umount /tmp/m")


def keyboard(guest):
    """Alt-SysRq-H."""
    guest.sendkey("alt-sysrq-h")
    guest.expect("sysrq: HELP", 20)
    settle(guest)


def ends(guest, key, says):
    """A request after which the machine is gone."""
    try:
        trigger(guest, key, says)
        guest.wait(30)
    except GuestExit:
        pass


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    top = os.environ.get("KBUILD_OUTPUT") or programs.SRCTREE
    parser.add_argument("--kernel", default=os.path.join(top, "arch/x86/boot/bzImage"))
    parser.add_argument("--linux", action="store_true", help="Debian's kernel")
    args = parser.parse_args()
    kernel = debian.kernel() if args.linux else args.kernel
    report = Report()
    with tempfile.TemporaryDirectory(prefix="sysrq-") as work:
        initrd = os.path.join(work, "initrd")
        image.base().write(initrd)

        disk = os.path.join(work, "disk")
        with open(disk, "wb") as file:
            file.truncate(16 << 20)
        subprocess.run(["/sbin/mke2fs", "-q", "-F", "-t", "ext4", disk], check=True)
        drive = ["-drive", f"if=none,id=disk,format=raw,file={disk}", "-device", "virtio-blk-pci,drive=disk"]

        def boot():
            return Guest(kernel, initrd, APPEND, machine="pc", cpus=2, limit=200, vga=True, extra=drive)

        with boot() as guest:
            guest.expect("@READY@", 90)
            for test in (texts, settings, signals, serial_break) + (() if args.linux else (file_systems, keyboard)):
                with report.attempt(test.__name__):
                    test(guest)
        for name, key, says in (("reboot", "b", "Resetting"), ("crash", "c", "Kernel panic - not syncing: sysrq triggered crash"),
                                ("poweroff", "o", "Power Off")):
            with report.attempt(name):
                with boot() as guest:
                    guest.expect("@READY@", 90)
                    ends(guest, key, re.escape(says))
                    need(not guest.alive(), "the machine still runs")
    report.finish()


if __name__ == "__main__":
    main()
