#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0
"""Swap space: programs that need more than there is of memory find all of it as they left it.

A machine of 64 MB (96 MB for Debian's kernel) with a disk of two swap partitions and an ext4 file system. The same checks pass on
Debian's kernel (--linux).
"""

import argparse
import os
import re
import shutil
import subprocess
import sys
import tempfile

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path.insert(0, os.path.dirname(HERE))
from guest import Guest, GuestError, Report, debian, image, programs  # noqa: E402

APPEND = "console=ttyS0 loglevel=5 panic=-1"
COMPLAINT = re.compile(r"^.*(Oops|BUG:|WARNING:|panicked|Kernel panic|lock order|sleeping function|Bad swap).*$", re.M)
OWN = ("mkswap", "swapon", "swapoff", "free")
HEADER = "Filename\t\t\t\tType\t\tSize\t\tUsed\t\tPriority"


def run(*argv, **more):
    """A command of the host; its output."""
    done = subprocess.run(argv, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, **more)
    if done.returncode:
        raise GuestError(f"{' '.join(argv)}: {done.stdout[-600:]}")
    return done.stdout


def make_disks(work):
    """Three disks: swap space of 128 MB and of 16 MB, and an ext4 file system with a swap file of 96 MB."""
    paths = [os.path.join(work, name) for name in ("swap.img", "small.img", "ext4.img")]
    for path, size in zip(paths, (128, 16, 160)):
        with open(path, "wb") as disk:
            disk.truncate(size << 20)
    run("mkswap", paths[0])
    run("mkswap", paths[1])
    files = os.path.join(work, "files")
    os.makedirs(files, exist_ok=True)
    with open(os.path.join(files, "swapfile"), "wb") as out:
        for _ in range(96):
            out.write(b"x" * (1 << 20))
    run("mkswap", os.path.join(files, "swapfile"))
    with open(os.path.join(files, "holes"), "wb") as out:
        out.truncate(4 << 20)
    run("mkswap", os.path.join(files, "holes"))
    # Blocks of a page: of smaller ones mke2fs leaves those out of the header's page that are zero.
    run("mke2fs", "-q", "-t", "ext4", "-b", "4096", "-d", files, paths[2])
    return paths


def make_initrd(path):
    """Busybox, the test's program, and Debian's own programs for swap space."""
    own = {name: shutil.which(name, path=os.environ["PATH"] + ":/usr/sbin:/sbin") for name in OWN}
    base = image.base()
    base.file("bin/swaptest", src=os.path.join(programs.build("swap"), "swaptest"), mode=0o755)
    libraries = {}
    for name, program in own.items():
        base.file("usr/sbin/" + name, src=program, mode=0o755)
        libraries.update(debian.libraries(program))
    for name, library in sorted(libraries.items()):
        base.file(name.lstrip("/"), src=library, mode=0o755)
    base.write(path)


def start(args, memory=None, cpus=2):
    """A machine that waits for commands. A disk is /dev/vda, vdb, vdc."""
    extra = []
    for i, path in enumerate(args.disks):
        extra += ["-drive", f"file={path},format=raw,if=none,id=d{i},cache=unsafe,snapshot=on",
                  "-device", f"virtio-blk-pci,drive=d{i}"]
    memory = memory or ("128M" if args.linux else "64M")
    guest = Guest(args.kernel, args.initrd, APPEND, memory=memory, cpus=cpus, limit=args.limit, extra=tuple(extra))
    guest.expect("@READY@", args.limit)
    # Else busybox's shell takes its own.
    guest.check("; ".join(f'{name}() {{ /usr/sbin/{name} "$@"; }}' for name in OWN))
    if args.linux:
        guest.check("for m in virtio_pci_modern_dev virtio_pci virtio_blk ext4; do modprobe $m 2>/dev/null; done; true")
    return guest


def quiet(guest):
    """The kernel complained of nothing."""
    found = COMPLAINT.search(guest.text)
    if found:
        raise GuestError(f"the kernel says: {found.group(0)}")


def meminfo(guest):
    """/proc/meminfo in KiB."""
    return {key: int(value) for key, value in re.findall(r"^(\S+):\s+(\d+) kB", guest.check("cat /proc/meminfo"), re.M)}


def vmstat(guest):
    """/proc/vmstat."""
    return {key: int(value) for key, value in re.findall(r"^(\S+) (\d+)", guest.check("cat /proc/vmstat"), re.M)}


def swaptest(guest, args, what, megabytes, limit=240):
    """Runs the program; it must say ok."""
    more = 64 if args.linux and what in ("fill", "lock") else 0
    said = guest.check(f"swaptest {what} {megabytes + more}; true", limit)
    if "swaptest ok" not in said:
        raise GuestError(f"swaptest {what} {megabytes}: {said[-300:]} {guest.check('dmesg | tail -n 5')}")


def nothing_left(guest, args):
    """No page is in swap space any more but what the rest of the system has there, files of the initramfs among it."""
    stat = meminfo(guest)
    used = stat["SwapTotal"] - stat["SwapFree"]
    if used > (8 << 10) + os.path.getsize(args.initrd) // 1024:
        raise GuestError(f"{used} kB of swap space are used when the programs are gone")


def partition(args):
    """120 MB in a machine of 64 MB, with one CPU."""
    with start(args, cpus=1) as guest:
        if guest.check("cat /proc/swaps").rstrip("\r\n") != HEADER:
            raise GuestError(f"/proc/swaps is not empty at first: {guest.check('cat /proc/swaps')!r}")
        guest.check("swapon /dev/vda")
        stat = meminfo(guest)
        if stat["SwapTotal"] != 131068 or stat["SwapFree"] != 131068:
            raise GuestError(f"SwapTotal {stat['SwapTotal']}, SwapFree {stat['SwapFree']}")
        if "/dev/vda                                partition\t131068\t\t0\t\t-2" not in guest.check("cat /proc/swaps"):
            raise GuestError(f"/proc/swaps: {guest.check('cat /proc/swaps')}")
        swaptest(guest, args, "fill", 120)
        stat = vmstat(guest)
        if stat["pswpin"] < 1000 or stat["pswpout"] < 10000 or stat.get("oom_kill"):
            raise GuestError(f"pswpin {stat['pswpin']}, pswpout {stat['pswpout']}, oom_kill {stat.get('oom_kill')}")
        nothing_left(guest, args)
        quiet(guest)
        return f"{stat['pswpout']} pages out, {stat['pswpin']} in"


def advice(args):
    """MADV_PAGEOUT, mincore, VmSwap, mremap, mprotect, MADV_DONTNEED; then mlock."""
    with start(args) as guest:
        guest.check("swapon /dev/vda")
        swaptest(guest, args, "pageout", 16)
        swaptest(guest, args, "lock", 80)
        nothing_left(guest, args)
        quiet(guest)


def fork(args):
    """Pages in swap space are shared with children until somebody writes."""
    with start(args) as guest:
        guest.check("swapon /dev/vda")
        swaptest(guest, args, "fork", 24)
        swaptest(guest, args, "fork", 40)
        nothing_left(guest, args)
        quiet(guest)


def off(args):
    """swapoff while a program uses the area: all comes back, into memory or to another area."""
    with start(args) as guest:
        guest.check("swapon -p 5 /dev/vda; swaptest churn 70 >/tmp/said & while ! grep -q ready /tmp/said; do sleep 1; done", 120)
        guest.check("swapon -p 3 /dev/vdc 2>/dev/null; mount -t ext4 /dev/vdc /mnt && swapon -p 3 /mnt/swapfile")
        guest.check("swapoff /dev/vda", 200)
        swaps = guest.check("cat /proc/swaps")
        if "/dev/vda" in swaps or "/mnt/swapfile" not in swaps:
            raise GuestError(f"/proc/swaps after swapoff: {swaps}")
        guest.check("touch /tmp/stop; wait", 200)
        if "swaptest ok" not in guest.check("cat /tmp/said"):
            raise GuestError(f"the program says: {guest.check('cat /tmp/said')}")
        guest.check("swapoff /mnt/swapfile && umount /mnt", 100)
        if meminfo(guest)["SwapTotal"]:
            raise GuestError("SwapTotal is not 0 at the end")
        quiet(guest)


def file(args):
    """A file of ext4: 100 MB of a program go there; the file is not to be written, cut or removed."""
    with start(args) as guest:
        guest.check("mount -t ext4 /dev/vdc /mnt && swapon /mnt/swapfile")
        if "/mnt/swapfile                           file\t\t98300\t\t0\t\t-2" not in guest.check("cat /proc/swaps"):
            raise GuestError(f"/proc/swaps: {guest.check('cat /proc/swaps')}")
        swaptest(guest, args, "fill", 100)
        for command, text in (("echo x >>/mnt/swapfile", "Text file busy"), ("rm -f /mnt/swapfile", "not permitted"),
                              ("truncate -s 0 /mnt/swapfile", "Text file busy"), ("swapon /mnt/swapfile", "busy"),
                              ("swaptest on /mnt/holes", "Invalid argument"), ("umount /mnt", "busy"),
                              ("swapon /mnt", "read swap header failed"), ("swapoff /mnt/holes", "Invalid argument")):
            said = guest.check(f"{{ {command}; }} 2>&1; true")
            if text not in said:
                raise GuestError(f"{command}: {said!r}, not {text!r}")
        guest.check("swapoff /mnt/swapfile && rm /mnt/swapfile && umount /mnt")
        quiet(guest)


def order(args):
    """The area of the higher priority is used first, then the other; a device in use is busy and not to be written."""
    with start(args) as guest:
        guest.check("swapon -p 9 /dev/vdb && swapon -p 1 /dev/vda")
        for command, text in (("swapon /dev/vda", "busy"), ("echo x >/dev/vda", "Text file busy"),
                              ("swapoff /dev/vdc", "Invalid argument"), ("mount -t ext4 /dev/vda /mnt", "busy")):
            said = guest.check(f"{{ {command}; }} 2>&1; true")
            if text not in said:
                raise GuestError(f"{command}: {said!r}, not {text!r}")
        guest.check("swaptest churn 90 >/tmp/said & while ! grep -q ready /tmp/said; do sleep 1; done", 120)
        used = {name: int(n) for name, n in re.findall(r"^(\S+)\s+\w+\s+\d+\s+(\d+)", guest.check("cat /proc/swaps"), re.M)}
        guest.check("touch /tmp/stop; wait; grep -q 'swaptest ok' /tmp/said", 200)
        if used["/dev/vdb"] < 12000 or not used["/dev/vda"]:
            raise GuestError(f"used: {used}")
        quiet(guest)
        return f"{used['/dev/vdb']} kB of the first, {used['/dev/vda']} kB of the second"


def full(args):
    """When swap space is full too, the one with most memory, wherever it is, is killed."""
    with start(args) as guest:
        guest.check("swapon /dev/vdb")
        status = guest.check("tail /dev/zero >/dev/null 2>&1; echo $?", 200).split()[-1]
        if status != "137" or not re.search(r"Killed process \d+ \(tail\)", guest.check("dmesg")):
            raise GuestError(f"the hog's status is {status}")
        nothing_left(guest, args)
        quiet(guest)


def storm(args):
    """Threads and children that send pages out, write, fork, move and drop, while areas come and go; on four CPUs."""
    with start(args, cpus=4) as guest:
        guest.check("swapon -p 5 /dev/vda; swaptest storm 64 >/tmp/said & sleep 2; true")
        rounds = 0
        while "swaptest" not in guest.check("cat /tmp/said"):
            guest.check("swapon -p 7 /dev/vdb && sleep 1 && swapoff /dev/vdb", 200)
            rounds += 1
        if "swaptest ok" not in guest.check("wait; cat /tmp/said", 200):
            raise GuestError(f"the program says: {guest.check('cat /tmp/said')}")
        nothing_left(guest, args)
        guest.check("swapoff /dev/vda", 100)
        quiet(guest)
        return f"{rounds} times swapoff"


def shared(args):
    """Shared memory and files of tmpfs go to swap space and come back; cut and dropped there."""
    with start(args) as guest:
        guest.check("swapon /dev/vda")
        swaptest(guest, args, "shared", 16)
        swaptest(guest, args, "shared", 80)
        guest.check("mount -o remount,size=120m /tmp")
        swaptest(guest, args, "tmpfs", 60)
        nothing_left(guest, args)
        guest.check("dd if=/dev/urandom of=/tmp/file bs=64k count=960 2>/dev/null && md5sum /tmp/file >/tmp/sum", 100)
        if meminfo(guest)["SwapTotal"] - meminfo(guest)["SwapFree"] < 8 << 10:
            raise GuestError("most of a file of 60 MB stays in memory")
        guest.check("md5sum -c /tmp/sum", 100)
        guest.check("rm /tmp/file")
        nothing_left(guest, args)
        guest.check("swapoff /dev/vda", 100)
        quiet(guest)


def main():
    tests = (partition, advice, fork, off, file, order, full, shared, storm)
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--kernel", help="the kernel (default: what make built)")
    parser.add_argument("--linux", action="store_true", help="Debian's kernel instead")
    parser.add_argument("--limit", type=int, default=300, help="seconds until a machine is up, and until it is done")
    parser.add_argument("only", nargs="*", help="names of tests")
    args = parser.parse_args()
    args.kernel = debian.kernel() if args.linux else args.kernel or programs.default_kernel()
    report = Report()
    with tempfile.TemporaryDirectory(prefix="swap-") as work:
        args.initrd, args.disks = os.path.join(work, "initrd"), make_disks(work)
        make_initrd(args.initrd)
        for test in tests:
            if args.only and test.__name__ not in args.only:
                continue
            try:
                said = test(args)
                report.ok(test.__name__ + (f": {said}" if said else ""))
            except GuestError as error:
                report.fail(test.__name__, error)
    report.finish()


if __name__ == "__main__":
    main()
