#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0
"""Debian on a disk, as `make run ROOTFS=debian` starts it: from the kernel's entry by sysvinit and udev to a login, work there
with dpkg, apt and perl, shutting down, and a second start that finds what the first one wrote. e2fsck looks at the disk after each.

--linux does the same on Debian's kernel, with an initramfs that loads the disk's driver.
"""

import argparse
import os
import re
import shutil
import subprocess
import sys
import tempfile
import time

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path.insert(0, os.path.dirname(HERE))
sys.path.insert(0, os.path.join(os.path.dirname(HERE), "ext4"))
import tools  # noqa: E402
from guest import Guest, GuestError, Report, debian, programs  # noqa: E402
from guest.qemu import no_ansi  # noqa: E402

# For Debian's kernel, whose driver for the disk is a module.
SWITCH_ROOT = "mount -t ext4 /dev/vda /mnt\numount /dev/pts /tmp /sys /proc\nmount --move /dev /mnt/dev\nexec switch_root /mnt /sbin/init\n"
PROMPT = r"root@rideau:[^#\n]*# "
COMPLAINT = re.compile(r"^.*(Oops|BUG:|WARNING:|panicked|Kernel panic|lock order|sleeping function|EXT4-fs error).*$", re.M)
# Command -> what its output must match.
COMMANDS = [
    ("id -un; tty", r"^root\s+/dev/ttyS0\s"),
    ("findmnt -n -o FSTYPE,TARGET / | cat", r"^ext4\s+/\s"),
    ("stat -f -c %T /dev/shm /proc /sys /run", r"tmpfs\s+proc\s+sysfs\s+tmpfs"),
    ("runlevel", r"^N 2\s"),
    ("who", r"root\s+ttyS0"),
    ("pidof systemd-udevd init | wc -w", r"^[2-9]\s"),
    ("udevadm settle && readlink -f /dev/disk/by-label/rideau-root", r"^/dev/vda\s"),
    ("udevadm info -q property -n /dev/vda | grep -c ID_FS_TYPE=ext4", r"^1\s"),
    ("dpkg -l | grep -c ^ii", r"^1\d\d\s"),
    ("dpkg --audit; echo audit $?", r"^audit 0\s"),
    ("apt-get -q check; echo check $?", r"check 0\s"),
    ("perl -MPOSIX -e 'print((uname)[0], \" \", 6*7, \"\\n\")'", r"^Linux 42\s"),
    ("useradd -m -s /bin/sh user && su user -c 'id -un; echo $HOME'", r"user\s+/home/user\s"),
    ("mkdir -p /tmp/p/DEBIAN /tmp/p/opt && echo yes >/tmp/p/opt/mark && printf 'Package: mark\\nVersion: 1\\nArchitecture: all\\n"
     "Maintainer: a <a@b>\\nDescription: test\\n' >/tmp/p/DEBIAN/control && dpkg-deb -b /tmp/p /tmp/p.deb >/dev/null && "
     "dpkg -i /tmp/p.deb >/dev/null && cat /opt/mark", r"^yes\s"),
    ("echo kept >/root/kept; chown user /root/kept; sync; lsattr -d / | cut -c1-20", r"e-"),
]
AGAIN = [("cat /root/kept; stat -c %U /root/kept", r"^kept\s+user\s"), ("dpkg -s mark | grep Status", r"install ok installed")]


def start(args, disk):
    """A machine that boots from the disk."""
    extra = ("-drive", f"file={disk},format=raw,if=none,id=d,cache=unsafe", "-device", "virtio-blk-pci,drive=d")
    append = "console=ttyS0 root=/dev/vda rw panic=-1" + (tools.LINUX if args.linux else "")
    return Guest(args.kernel, args.initrd, append, memory=512, cpus=args.cpus, limit=args.limit, extra=extra)


def type_at(guest, command, wanted):
    """Types a command and looks at what it prints."""
    mark = guest.mark
    guest.send(command + "\n")
    guest.expect(PROMPT, 90)
    text = no_ansi(guest.text[mark:guest.mark])
    # The terminal echoes the line first, wrapped where it is long.
    output = text[text.find("\n") + 1:] if len(command) < 60 else text
    if not re.search(wanted, output, re.M):
        raise GuestError(f"{command}: not {wanted}:\n{output}")


def log_in(guest, args):
    """Root, at the serial line; says how long it took to get there."""
    guest.expect(r"rideau login: ", args.limit)
    took = time.monotonic() - guest.started
    guest.send("root\n")
    guest.expect(PROMPT, 60)
    guest.send("stty cols 1000; export TERM=dumb; bind 'set enable-bracketed-paste off'\n")
    guest.expect(PROMPT, 30)
    return f"a login after {took:.1f} s"


def whole(guest, disk):
    """The machine went down by itself, the kernel complained of nothing, and the file system is clean."""
    status = guest.wait(90)
    if status != 0:
        raise GuestError(f"QEMU ended with {status}")
    found = COMPLAINT.search(guest.text)
    if found:
        raise GuestError(f"the kernel says: {found.group(0)}")
    done = subprocess.run(["e2fsck", "-fn", disk], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    if done.returncode:
        raise GuestError(f"e2fsck: {done.stdout[-600:]}")


def first(args, disk):
    """From the first start to power-off."""
    with start(args, disk) as guest:
        said = log_in(guest, args)
        for command, wanted in COMMANDS:
            type_at(guest, command, wanted)
        guest.send("poweroff\n")
        whole(guest, disk)
    return said


def second(args, disk):
    """What the first one wrote is there; and `reboot`."""
    with start(args, disk) as guest:
        said = log_in(guest, args)
        for command, wanted in AGAIN:
            type_at(guest, command, wanted)
        guest.send("reboot\n")
        whole(guest, disk)
    return said


def the_disk():
    """The image that `make rootfs` makes."""
    outputs = [os.environ.get("KBUILD_OUTPUT") or programs.SRCTREE, programs.SRCTREE]
    paths = [os.path.join(output, "build/rootfs/debian.img") for output in outputs]
    found = next((path for path in paths if os.path.exists(path)), None)
    if found is None:
        script = os.path.join(programs.SRCTREE, "scripts/rootfs.py")
        env = dict(os.environ, srctree=programs.SRCTREE, objtree=outputs[0])
        subprocess.run([sys.executable, script, "debian"], check=True, env=env)
        found = paths[0]
    return found


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--kernel", help="the kernel (default: what make built)")
    parser.add_argument("--cpus", type=int, default=2)
    parser.add_argument("--limit", type=int, default=300)
    parser.add_argument("--linux", action="store_true", help="Debian's kernel")
    args = parser.parse_args()
    args.kernel = debian.kernel() if args.linux else args.kernel or programs.default_kernel()
    args.initrd = None
    report = Report()
    with tempfile.TemporaryDirectory(prefix="rootfs-") as work:
        disk = os.path.join(work, "disk.img")
        subprocess.run(["cp", "--sparse=always", the_disk(), disk], check=True)
        if args.linux:
            args.initrd = os.path.join(work, "initrd")
            tools.base(linux=True, last=SWITCH_ROOT).write(args.initrd)
        for test in (first, second):
            try:
                report.ok(f"{test.__name__}: {test(args, disk)}")
            except GuestError as error:
                report.fail(test.__name__, error)
                break
    report.finish()


if __name__ == "__main__":
    main()
