#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0
"""The real-time clock: Debian's hwclock, /sys/class/rtc, /proc/driver/rtc, alarms, exclusive opens.

The machine's clock starts at a known time. `--linux` runs Debian's kernel.
"""

import os
import re
import sys
import tempfile

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path.insert(0, HERE)
import common  # noqa: E402
from common import GuestError, Report, need  # noqa: E402

START = "2031-02-28T23:58:30"
RTC = "/sys/class/rtc/rtc0"


def seconds(guest, path=f"{RTC}/since_epoch"):
    return int(guest.check(f"cat {path}"))


def shown(args, guest):
    """The files of the class agree with each other and with the system's time, which came from the clock."""
    need(guest.check(f"cat {RTC}/name"), r"^rtc_cmos \S+$")
    need(guest.check(f"cat {RTC}/max_user_freq {RTC}/hctosys"), r"^64$", r"^1$")
    need(guest.check(f"cat {RTC}/date {RTC}/time"), r"^2031-0[23]-\d\d$", r"^\d\d:\d\d:\d\d$")
    now, system = seconds(guest), int(guest.check("date +%s"))
    if abs(now - system) > 3:
        raise GuestError(f"clock {now}, system {system}")
    need(guest.check("ls -l /dev/rtc0"), r"^crw------- +1 \S+ +\S+ +\d+, +0 ")
    need(guest.check(f"cat {RTC}/uevent"), r"^MAJOR=\d+$", r"^MINOR=0$", r"^DEVNAME=rtc0$")
    if guest.run(f"echo 4096 >{RTC}/max_user_freq")[0] == 0 or guest.run(f"echo 0 >{RTC}/max_user_freq")[0] == 0:
        raise GuestError("any rate is taken")
    guest.check(f"echo 128 >{RTC}/max_user_freq && [ $(cat {RTC}/max_user_freq) = 128 ] && echo 64 >{RTC}/max_user_freq")
    if not args.linux:
        need(guest.check("ls -1 /sys/bus/platform/drivers/rtc_cmos /sys/bus/platform/devices"), r"^rtc_cmos$")


def proc(args, guest):
    """/proc/driver/rtc, line by line."""
    need(guest.check("cat /proc/driver/rtc"), r"^rtc_time\t: \d\d:\d\d:\d\d$", r"^rtc_date\t: 2031-", r"^alrm_time\t: ", r"^alrm_date\t: ",
         r"^alarm_IRQ\t: no$", r"^alrm_pending\t: no$", r"^update IRQ enabled\t: no$", r"^periodic IRQ enabled\t: no$",
         r"^periodic IRQ frequency\t: 1024$", r"^max user IRQ frequency\t: 64$", r"^24hr\t\t: yes$", r"^periodic_IRQ\t: ",
         r"^update_IRQ\t: ", r"^HPET_emulated\t: ", r"^BCD\t\t: yes$", r"^DST_enable\t: no$", r"^periodic_freq\t: 1024$", r"^batt_status\t: okay$")


def hwclock(args, guest):
    """Debian's hwclock reads, waits for the tick (interrupts with each second), and sets."""
    text = guest.check("TZ=UTC /usr/sbin/hwclock --show --utc --verbose --noadjfile", args.step)
    need(text, r"Using the rtc interface to the clock|System Time", r"Waiting for clock tick", r"got clock tick", r"Time read from Hardware Clock: 2031/0[23]/\d\d")
    guest.check("date -u -s '2033-05-06 07:08:09' && TZ=UTC /usr/sbin/hwclock --systohc --utc --noadjfile", args.step)
    need(guest.check(f"cat {RTC}/date {RTC}/time"), r"^2033-05-06$", r"^07:08:")
    guest.check("date -u -s '2030-01-01 00:00:00' && TZ=UTC /usr/sbin/hwclock --hctosys --utc --noadjfile", args.step)
    need(guest.check("date -u +%F"), r"^2033-05-06$")
    # A leap day, and the end of a year, which may come while hwclock runs.
    for text, dates in (("2032-02-29 12:00:00", "2032-02-29"), ("2034-12-31 23:59:50", "2034-12-31|2035-01-01")):
        guest.check(f"date -u -s '{text}' && TZ=UTC /usr/sbin/hwclock --systohc --utc --noadjfile", args.step)
        need(guest.check(f"cat {RTC}/date"), f"^({dates})$")
    guest.check(f"i=0; while [ $(cat {RTC}/date) != 2035-01-01 ] && [ $i -lt 300 ]; do sleep 0.1; i=$((i+1)); done; [ $(cat {RTC}/date) = 2035-01-01 ]", 60)


def interrupts(guest):
    found = re.search(r"^ *8: (.*?) (?:IO-APIC|\S+-APIC).*rtc0", guest.check("cat /proc/interrupts"), re.M)
    if not found:
        raise GuestError("no interrupt 8")
    return sum(int(word) for word in found.group(1).split() if word.isdigit())


def alarm(args, guest):
    """`wakealarm`: set, shown, busy, pushed, taken back; it rings once."""
    # By its path: busybox has one that knows less.
    wake = "/usr/sbin/rtcwake -m show -d /dev/rtc0 -u"
    need(guest.check(wake, args.step), r"alarm: off")
    guest.check(f"echo +60 >{RTC}/wakealarm")
    at = seconds(guest, f"{RTC}/wakealarm")
    if not 50 <= at - seconds(guest) <= 60:
        raise GuestError(f"alarm at {at}")
    if "busy" not in guest.run(f"sh -c 'echo +90 >{RTC}/wakealarm' 2>&1")[1]:
        raise GuestError("an alarm is overwritten")
    guest.check(f"echo +=30 >{RTC}/wakealarm; [ $(cat {RTC}/wakealarm) = {at + 30} ]")
    need(guest.check(wake, args.step), r"alarm: on ")
    need(guest.check("cat /proc/driver/rtc"), r"^alarm_IRQ\t: yes$")
    guest.check(f"echo 0 >{RTC}/wakealarm; [ -z \"$(cat {RTC}/wakealarm)\" ]")
    if not args.linux and "nvalid" not in guest.run(f"sh -c 'echo +200000 >{RTC}/wakealarm' 2>&1")[1]:
        raise GuestError("more than a day away")
    before = interrupts(guest)
    guest.check(f"echo +2 >{RTC}/wakealarm; i=0; while [ -n \"$(cat {RTC}/wakealarm)\" ] && [ $i -lt 100 ]; do sleep 0.1; i=$((i+1)); done; "
                f"[ -z \"$(cat {RTC}/wakealarm)\" ]", 60)
    if interrupts(guest) <= before:
        raise GuestError("no interrupt came")


def exclusive(args, guest):
    """One open at a time; a read needs 4 or 8 bytes; without interrupts a read that must not wait gives EAGAIN."""
    guest.check("exec 8</dev/rtc0")
    if "busy" not in guest.run("sh -c 'exec 9</dev/rtc0' 2>&1")[1]:
        raise GuestError("opened twice")
    if "nvalid" not in guest.run("dd bs=2 count=1 <&8 2>&1 >/dev/null")[1]:
        raise GuestError("a read of 2 bytes")
    guest.check("exec 8<&-; exec 8</dev/rtc0; exec 8<&-")


TESTS = (shown, proc, exclusive, hwclock, alarm)


def main():
    args = common.parse(__doc__)
    report = Report()
    with tempfile.TemporaryDirectory(prefix="rtc-") as work:
        path = os.path.join(work, "initrd")
        common.initrd(args, path, packages=[("util-linux-extra", "hwclock"), ("util-linux", "rtcwake")])
        with common.machine(args, path, ["-rtc", f"base={START},clock=host"]) as guest:
            common.run(args, report, guest, TESTS)
    report.finish()


if __name__ == "__main__":
    main()
