#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0
"""The machine sleeps to the idle state: /sys/power, tests of single steps (`pm_test`), Debian's rtcwake with programs that work on disks, what
clocks say afterwards, what wakes the machine, and errors.

`--linux` runs Debian's kernel with what both have: there time does not stand still in a virtual machine.
"""

import os
import re
import sys
import tempfile
import time

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path.insert(0, HERE)
import common  # noqa: E402
from common import GuestError, Report, need, programs  # noqa: E402

POWER = "/sys/power"
DISKS = ("vda", "nvme0n1")
DRIVERS = ("rtc-cmos", "nvme-core", "nvme", "virtio_blk", "virtio_rng")
# Writes a disk over and over, reads what it wrote past the cache, and counts.
LOAD = """#!/bin/sh
n=0
while [ -e /tmp/go ]; do
head -c 524288 /dev/urandom >/tmp/$1.a
dd if=/tmp/$1.a of=/dev/$1 bs=64k conv=fsync,notrunc 2>/tmp/$1.err || cp /tmp/$1.err /tmp/$1.bad
echo 1 >/proc/sys/vm/drop_caches
head -c 524288 /dev/$1 >/tmp/$1.b
cmp /tmp/$1.a /tmp/$1.b >/tmp/$1.cmp 2>&1 || cp /tmp/$1.cmp /tmp/$1.bad
n=$((n+1)); echo $n >/tmp/$1.rounds
done
touch /tmp/$1.over
"""
# Reads random numbers of the host's, and counts.
RANDOM = """#!/bin/sh
n=0
while [ -e /tmp/go ]; do
dd if=/dev/hwrng of=/dev/null bs=64 count=4 2>/tmp/hwrng.err || cp /tmp/hwrng.err /tmp/hwrng.bad
n=$((n+1)); echo $n >/tmp/hwrng.now; mv /tmp/hwrng.now /tmp/hwrng.rounds
sleep 0.05
done
touch /tmp/hwrng.over
"""
# Who works while the machine goes to sleep.
WORK = (*DISKS, "hwrng")


def refused(guest, text, name, why="nvalid argument"):
    """A write that fails so."""
    said = guest.run(f"sh -c 'echo {text} >{POWER}/{name}' 2>&1")[1]
    if why not in said:
        raise GuestError(f"{text!r} to {name}: {said!r}")


def log(guest, begin):
    """The log after a mark."""
    return guest.check("dmesg").rpartition(begin)[2]


def mark(guest, name):
    text = f"suspend-test: {name}"
    guest.check(f"echo '{text}' >/dev/kmsg")
    return text


def files(args, guest):
    """Their texts, and what they refuse."""
    need(guest.check(f"cat {POWER}/state"), r"^freeze mem")
    need(guest.check(f"cat {POWER}/mem_sleep"), r"\[s2idle\]")
    need(guest.check(f"cat {POWER}/sync_on_suspend {POWER}/pm_freeze_timeout"), r"^1$", r"^20000$")
    for text in ("nothing", "freezer", "free"):
        refused(guest, text, "state")
    refused(guest, "shallow", "mem_sleep")
    refused(guest, "2", "sync_on_suspend")
    guest.check(f"echo s2idle >{POWER}/mem_sleep")
    need(guest.check(f"cat {POWER}/wakeup_count"), r"^\d+$")
    count = int(guest.check(f"cat {POWER}/wakeup_count"))
    guest.check(f"echo {count} >{POWER}/wakeup_count")
    refused(guest, count + 5, "wakeup_count")
    need(guest.check("cat /sys/class/rtc/rtc0/device/power/wakeup"), r"^enabled$")
    if not args.linux:
        need(guest.check(f"cat {POWER}/pm_test"), r"^\[none\] core processors platform devices freezer$")
        refused(guest, "all", "pm_test")
        guest.check("echo 1 >/sys/module/suspend/parameters/pm_test_delay")


def start_load(guest):
    guest.check("rm -f /tmp/*.bad /tmp/*.rounds /tmp/*.over; touch /tmp/go")
    for disk in DISKS:
        guest.check(f"[ -b /dev/{disk} ] && {{ sh /load {disk} & }}")
    guest.check("[ -c /dev/hwrng ] && { sh /random & }")
    for its in WORK:
        guest.check(f"i=0; while ! [ -s /tmp/{its}.rounds ] && [ $i -lt 300 ]; do sleep 0.1; i=$((i+1)); done; [ -s /tmp/{its}.rounds ]", 60)


def end_load(guest):
    """All went on, and nothing was lost."""
    rounds = [int(guest.check(f"cat /tmp/{its}.rounds")) for its in WORK]
    for its, before in zip(WORK, rounds):
        guest.check(f"i=0; while [ $(cat /tmp/{its}.rounds) -le {before} ] && [ $i -lt 600 ]; do sleep 0.1; i=$((i+1)); done; "
                    f"[ $(cat /tmp/{its}.rounds) -gt {before} ]", 120)
    guest.check("rm -f /tmp/go")
    for its in WORK:
        guest.check(f"i=0; while ! [ -e /tmp/{its}.over ] && [ $i -lt 600 ]; do sleep 0.1; i=$((i+1)); done; [ -e /tmp/{its}.over ]", 120)
    guest.check("! cat /tmp/*.bad 2>/dev/null")


def steps(args, guest):
    """Each step of the way, with programs of many kinds: sleeping, busy, stopped, in pipes, in vfork, on disks."""
    if args.linux:
        return
    guest.check("sleep 1000 & echo $! >/tmp/pids")
    guest.check("(while :; do :; done) & echo $! >>/tmp/pids")
    guest.check("sleep 1000 & echo $! >>/tmp/pids; kill -STOP $!")
    guest.check("mkfifo /tmp/fifo; cat /tmp/fifo >/dev/null & echo $! >>/tmp/pids")
    start_load(guest)
    for step in ("freezer", "devices", "platform"):
        begin = mark(guest, step)
        guest.check(f"echo {step} >{POWER}/pm_test && echo freeze >{POWER}/state", 120)
        text = log(guest, begin)
        need(text, r"PM: suspend entry \(s2idle\)", r"Filesystems sync: ", r"Freezing user space processes$",
             r"Freezing user space processes completed \(elapsed 0\.\d+ seconds\)", r"Freezing remaining freezable tasks completed",
             r"suspend debug: Waiting for 1 second\(s\)\.", r"PM: suspend exit$")
        need(guest.check(f"cat {POWER}/pm_test"), rf"\[{step}\]")
    for step in ("core", "processors"):
        guest.check(f"echo {step} >{POWER}/pm_test")
        refused(guest, "mem", "state", "emporarily unavailable")
    guest.check(f"echo none >{POWER}/pm_test")
    end_load(guest)
    # All are what they were, the stopped one too.
    guest.check("for p in $(cat /tmp/pids); do [ -d /proc/$p ] || exit 1; done")
    need(guest.check("for p in $(cat /tmp/pids); do cut -d' ' -f3 /proc/$p/stat; done"), r"^S\s+R\s+T\s+S$")
    guest.check("kill -CONT $(cat /tmp/pids); kill $(cat /tmp/pids); wait; rm /tmp/fifo /tmp/pids")


def uptime(guest):
    return float(guest.check("cat /proc/uptime").split()[0])


def rtcwake(args, guest):
    """Debian's rtcwake, with work on disks under way."""
    start_load(guest)
    for state in ("freeze", "mem", "freeze"):
        begin, before = mark(guest, f"rtcwake {state}"), uptime(guest)
        said = guest.check(f"/usr/sbin/rtcwake -d /dev/rtc0 -u -m {state} -s 4 2>&1", 180)
        need(said, r"wakeup from \"\w+\" using /dev/rtc0")
        text, slept = log(guest, begin), uptime(guest) - before
        need(text, r"PM: suspend entry \(s2idle\)", r"PM: suspend exit$")
        if slept < 2:
            raise GuestError(f"slept for {slept} s")
        if not args.linux:
            stood = re.search(r"Timekeeping suspended for (\d+\.\d+) seconds", text)
            stamps = [float(stamp) for stamp in re.findall(r"^\[ *(\d+\.\d+)\] .*PM: suspend (?:entry|exit)", text, re.M)]
            if not stood or len(stamps) < 2 or not 0.5 < float(stood.group(1)) <= slept:
                raise GuestError(f"time stood still for {stood and stood.group(1)} of {slept} s; {stamps}")
            # The log's clock stands still, too; boot time goes on.
            if stamps[-1] - stamps[0] + float(stood.group(1)) > slept + 0.1:
                raise GuestError(f"{stamps}: the log's clock went on")
            need(text, r"Triggering wakeup from IRQ 8$")
            need(guest.check(f"cat {POWER}/pm_wakeup_irq"), r"^8$")
    end_load(guest)


def real_time(args, guest):
    """The system's time goes on as the clock's does."""
    apart = "echo $(( $(date +%s) - $(cat /sys/class/rtc/rtc0/since_epoch) ))"
    before = int(guest.check(apart))
    guest.check("/usr/sbin/rtcwake -d /dev/rtc0 -u -m freeze -s 5 2>&1", 180)
    if abs(int(guest.check(apart)) - before) > 2:
        raise GuestError(f"{before} s apart before, {guest.check(apart)} after")


def timers(args, guest):
    """A sleep on the monotonic clock takes no notice of the machine's."""
    if args.linux:
        return
    guest.check("(sleep 6; cut -d' ' -f1 /proc/uptime >/tmp/slept) & true")
    before = uptime(guest)
    guest.check("/usr/sbin/rtcwake -d /dev/rtc0 -u -m freeze -s 5 2>&1", 180)
    guest.check("wait", 60)
    took = float(guest.check("cat /tmp/slept")) - before
    if took < 8:
        raise GuestError(f"sleep 6 took {took} s of boot time")


def known(args, guest):
    """Who says what wake-ups it knows of is told of others: the state is not entered."""
    guest.check(f"echo $(cat {POWER}/wakeup_count) >{POWER}/wakeup_count && echo +1 >/sys/class/rtc/rtc0/wakealarm; sleep 3")
    refused(guest, "freeze", "state", "busy")
    need(guest.check("echo alive"), "^alive$")


def disabled(args, guest):
    """A clock that is not to wake the machine: rtcwake says so, and the alarm is there afterwards."""
    wakeup = "/sys/class/rtc/rtc0/device/power/wakeup"
    guest.check(f"echo disabled >{wakeup} && [ $(cat {wakeup}) = disabled ]")
    if "not enabled" not in guest.run("/usr/sbin/rtcwake -d /dev/rtc0 -u -m freeze -s 4 2>&1")[1]:
        raise GuestError("rtcwake does not look")
    if "nvalid" not in guest.run(f"sh -c 'echo perhaps >{wakeup}' 2>&1")[1]:
        raise GuestError("neither enabled nor disabled is taken")
    guest.check(f"echo enabled >{wakeup}")


def wake_by(guest, wake):
    """The machine sleeps without an alarm; `wake` wakes it, and nothing before."""
    guest.check("echo 0 >/sys/class/rtc/rtc0/wakealarm; true")
    begin = mark(guest, "wake")
    guest.check("dmesg -n 7")
    guest.send(f"echo freeze >{POWER}/state; echo @WOKE-$?@\n")
    guest.expect(r"PM: suspend entry", 60)
    time.sleep(4)
    if "@WOKE-" in guest.text.rpartition("PM: suspend entry")[2]:
        raise GuestError("it did not stay asleep")
    wake()
    guest.expect(r"@WOKE-0@", 60)
    guest.check("dmesg -n 1")
    return log(guest, begin)


def keyboard(args, guest):
    """A key wakes the machine."""
    if args.linux:
        return
    need(guest.check("cat /sys/devices/platform/i8042/power/wakeup"), r"^enabled$")
    need(wake_by(guest, lambda: guest.sendkey("a")), r"Triggering wakeup from IRQ 1$")


def serial(args, guest):
    """What comes on the serial line wakes the machine if it is to."""
    if args.linux:
        return
    wakeup = "/sys/class/tty/ttyS0/power/wakeup"
    need(guest.check(f"cat {wakeup}"), r"^disabled$")
    guest.check(f"echo enabled >{wakeup}")
    need(wake_by(guest, lambda: guest.send("\n")), r"Triggering wakeup from IRQ 4$")
    guest.check(f"echo disabled >{wakeup}")
    # Neither by what comes then nor for good.
    need(wake_by(guest, lambda: guest.sendkey("b")), r"Triggering wakeup from IRQ 1$")


def programs_wait(args, guest):
    """What programs make of it: alarms, sleeps, waits, stops (tools/testing/selftests)."""
    if args.linux:
        return
    text = guest.check("SUSPEND=1 /selftest suspend", 120)
    need(text, r"^ok \d+ (- )?suspend\.alarms", r"^ok \d+ (- )?suspend\.vfork")
    if re.search(r"^not ok|# SKIP", text, re.M):
        raise GuestError(text)


def many(args, guest):
    """Often, for what is lost or left behind."""
    if args.linux:
        return
    start_load(guest)
    guest.check("echo 0 >/sys/module/suspend/parameters/pm_test_delay")
    guest.check(f"echo platform >{POWER}/pm_test; i=0; while [ $i -lt 20 ]; do echo freeze >{POWER}/state || exit 1; i=$((i+1)); done", 300)
    guest.check(f"echo none >{POWER}/pm_test; echo 1 >/sys/module/suspend/parameters/pm_test_delay")
    end_load(guest)


TESTS = (files, steps, rtcwake, real_time, timers, known, disabled, keyboard, serial, programs_wait, many)


def main():
    args = common.parse(__doc__)
    report = Report()
    with tempfile.TemporaryDirectory(prefix="suspend-") as work:
        path = os.path.join(work, "initrd")
        common.initrd(args, path, drivers=DRIVERS if args.linux else (), packages=[("util-linux", "rtcwake")], files={"load": LOAD, "random": RANDOM},
                      binaries={} if args.linux else {"selftest": os.path.join(programs.build("selftests"), "selftest")})
        extra = ["-device", f"virtio-rng-pci{args.virtio}"]
        for name, device in (("a", f"virtio-blk-pci{args.virtio}"), ("b", "nvme,serial=rideau")):
            disk = os.path.join(work, name)
            with open(disk, "wb") as f:
                f.truncate(16 << 20)
            extra += ["-drive", f"file={disk},if=none,id={name},format=raw", "-device", f"{device},drive={name}"]
        # What the kernel says on the console would be amid what programs print.
        with common.machine(args, path, extra, common.APPEND.replace("loglevel=7", "loglevel=1")) as guest:
            common.run(args, report, guest, TESTS)
    report.finish()


if __name__ == "__main__":
    main()
