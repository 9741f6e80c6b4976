#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0
"""Readahead as the disk sees it, by Debian's blktrace: the windows of a stream, and what streams that are interleaved, backward, strided,
unaligned or retried cost in requests and bytes; what `posix_fadvise` and `read_ahead_kb` change; and that traces themselves hold
together (each request that was sent ends); and loop devices past their file's cache. --linux: the same on Debian's kernel."""

import argparse
import os
import re
import subprocess
import sys
import tempfile

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path.insert(0, os.path.dirname(HERE))
sys.path.insert(0, os.path.join(os.path.dirname(HERE), "ext4"))
import tools  # noqa: E402
from guest import Guest, GuestError, Report, debian, programs  # noqa: E402

MB = 16
APPEND = "console=ttyS0 loglevel=7 panic=-1"


def want(what, found, wanted):
    if found != wanted:
        raise GuestError(f"{what}: {found}, not {wanted}")


def counters(guest):
    """Requests and sectors read so far."""
    fields = guest.check("cat /sys/block/vda/stat").split()
    return int(fields[0]), int(fields[2])


def cold(guest, window=128):
    guest.check(f"echo {window} >/sys/block/vda/queue/read_ahead_kb; echo 3 >/proc/sys/vm/drop_caches")


def cost(guest, words, window=128):
    """What a cold read costs: bytes that the program got, KB from the disk, KB of a request."""
    cold(guest, window)
    # The inode and its map are not what is measured.
    guest.check("stat /mnt/f >/dev/null; /usr/sbin/filefrag /mnt/f >/dev/null")
    before = counters(guest)
    said = guest.check(f"/bin/streams file=/mnt/f {words}", 120)
    after = counters(guest)
    got = int(re.search(r"streams: (\d+) bytes", said).group(1))
    requests, kb = after[0] - before[0], (after[1] - before[1]) // 2
    return got, kb, kb / max(requests, 1)


def traced(guest, command, fields="%a %d %S %n"):
    """The events of the disk while `command` runs, each as a list of words."""
    guest.check("rm -f /tmp/t.*; blktrace -d /dev/vda -D /tmp -o t >/tmp/said 2>&1 & echo $! >/tmp/pid; "
                "n=0; while [ ! -e /sys/kernel/debug/block/vda/trace0 ] && [ $n -lt 50 ]; do sleep 0.1; n=$((n+1)); done; sleep 1")
    guest.check(command, 120)
    guest.check("kill -INT $(cat /tmp/pid); wait $(cat /tmp/pid); cat /tmp/said >&2; true", 60)
    out = guest.check(f"cd /tmp && blkparse -q -i t -f '@ {fields}\\n'", 60)
    return [line.split()[1:] for line in out.splitlines() if line.startswith("@ ")]


def windows(guest):
    """A stream in pieces of 4 KB: windows grow by 4 or 2 up to the largest, and the next one is asked for before it is needed."""
    for window, wanted in ((128, [32, 64, 128, 256, 256]), (1024, [32, 128, 256, 512])):
        cold(guest, window)
        guest.check("stat /mnt/f >/dev/null; /usr/sbin/filefrag /mnt/f >/dev/null")
        events = traced(guest, "dd if=/mnt/f of=/dev/null bs=4k count=400 2>/dev/null")
        sent = [(int(sector), int(count)) for action, rwbs, sector, count in events if action == "Q" and rwbs in ("R", "RA", "RS")]
        if not sent:
            raise GuestError(f"nothing was read: {events[:10]}")
        want(f"window of {window} KB", [count for _, count in sent[:len(wanted)]], wanted)
        issued = sum(int(count) for action, rwbs, _, count in events if action == "D" and rwbs.startswith("R"))
        ended = sum(int(count) for action, rwbs, _, count in events if action == "C" and rwbs.startswith("R"))
        want("sectors that were sent, and that came back", ended, issued)


def without(guest):
    """No window: page by page, whatever is asked for."""
    _, kb, each = cost(guest, "way=forward bs=65536", 0)
    want("KB of a request", (round(each), kb), (4, MB << 10))


def advice(guest):
    """posix_fadvise: random reads what is wanted alone, sequential has twice the window."""
    _, _, each = cost(guest, "way=forward advice=random")
    want("KB of a request at random", round(each), 4)
    cold(guest)
    events = traced(guest, "/bin/streams file=/mnt/f way=forward advice=sequential")
    want("largest window in sectors", max(int(count) for action, _, _, count in events if action == "Q"), 512)


def at_random(guest):
    """Single pages: the disk gives what is wanted and no more; a stream afterwards begins small."""
    for size in (4096, 65536):
        got, kb, _ = cost(guest, f"way=random count=60 bs={size}")
        if kb * 1024 > got * 1.02 + 8192:
            raise GuestError(f"{got} bytes in pieces of {size}: {kb} KB were read")


def interleaved(guest):
    """Streams through one descriptor, each in order."""
    said = []
    for streams in (2, 8):
        got, kb, each = cost(guest, f"way=interleaved streams={streams}")
        want("bytes", got, MB << 20)
        if each < 64 or kb * 1024 > got * 1.02 + (256 << 10):
            raise GuestError(f"{streams} streams: {each:.0f} KB a request, {kb} KB in all")
        said.append(f"{streams} streams: {each:.0f} KB a request")
    return ", ".join(said)


def orders(guest):
    """Unaligned and retried reads cost no more than others; backward and strided ones give the right bytes."""
    for words in ("way=forward bs=10000", "way=retried", "way=backward", "way=backward bs=65536"):
        got, kb, each = cost(guest, words)
        if kb * 1024 > (MB << 20) * 1.02:
            raise GuestError(f"{words}: {kb} KB were read for {got} bytes")
        if "forward" in words and each < 100:
            raise GuestError(f"{words}: {each:.0f} KB a request")
    cost(guest, "way=strided bs=65536")


def cached(guest):
    """What is cached never asks the disk, whatever the window."""
    cost(guest, "way=forward")
    for window in (0, 128, 1024):
        guest.check(f"echo {window} >/sys/block/vda/queue/read_ahead_kb")
        before = counters(guest)
        guest.check("/bin/streams file=/mnt/f way=forward && /bin/streams file=/mnt/f way=random")
        want(f"requests with a window of {window} KB", counters(guest)[0], before[0])


def traces(guest):
    """One trace a disk, which goes with its program; a partition's is of its own; writes and flushes are told apart."""
    events = traced(guest, "dd if=/dev/zero of=/mnt/new bs=64k count=8 conv=fsync 2>/dev/null")
    kinds = {rwbs for action, rwbs, _, _ in events if action == "D"}
    if not any(rwbs.startswith("W") for rwbs in kinds) or not any("F" in rwbs for rwbs in kinds):
        raise GuestError(f"kinds of requests: {sorted(kinds)}")
    guest.check("[ ! -e /sys/kernel/debug/block/vda/trace0 ]")
    guest.check("blktrace -d /dev/vda -D /tmp -o one >/dev/null 2>&1 & echo $! >/tmp/pid; sleep 2")
    status, said = guest.run("blktrace -d /dev/vda -w 1 -D /tmp -o two 2>&1", 30)
    if "busy" not in said.lower():
        raise GuestError(f"a second trace: {status} {said}")
    guest.check("kill -INT $(cat /tmp/pid); wait $(cat /tmp/pid); true")


def loop(guest):
    """A loop device past its file's cache: what is written arrives, what is read is cached once alone; and what sysfs says of it."""
    losetup = "/usr/sbin/losetup"
    guest.check("dd if=/dev/urandom of=/mnt/l bs=1M count=8 2>/dev/null; sync")
    device = re.search(r"/dev/loop\d+", guest.check(f"{losetup} --direct-io=on -f --show /mnt/l")).group(0)
    about = f"/sys/block/{os.path.basename(device)}/loop"
    want("attributes", guest.check(f"cat {about}/dio {about}/offset {about}/sizelimit {about}/autoclear {about}/partscan").split(), ["1", "0", "0", "0", "0"])
    want("file", guest.check(f"cat {about}/backing_file").strip(), "/mnt/l")
    want("losetup", guest.check(f"{losetup} -n -O DIO,BACK-FILE {device}").split(), ["1", "/mnt/l"])
    guest.check("echo 3 >/proc/sys/vm/drop_caches")
    guest.check(f"dd if=/dev/urandom of=/tmp/new bs=64k count=16 2>/dev/null; dd if=/tmp/new of={device} bs=64k seek=20 conv=fsync 2>/dev/null; "
                f"cat {device} | md5sum >/tmp/sum; dd if={device} bs=64k skip=20 count=16 2>/dev/null | cmp - /tmp/new")
    cached = int(guest.check("fincore -n -b -o PAGES /mnt/l").strip())
    if cached > 64:
        raise GuestError(f"{cached} pages of the file are cached")
    guest.check("dd if=/mnt/l bs=64k skip=20 count=16 2>/dev/null | cmp - /tmp/new; md5sum </mnt/l | cmp - /tmp/sum")
    guest.check(f"{losetup} --direct-io=off {device}")
    want("dio", guest.check(f"cat {about}/dio").strip(), "0")
    guest.check(f"dd if=/tmp/new of={device} bs=64k conv=fsync 2>/dev/null; dd if=/mnt/l bs=64k count=16 2>/dev/null | cmp - /tmp/new")
    guest.check(f"{losetup} -d {device}; n=0; while [ -e {about} ] && [ $n -lt 50 ]; do sleep 0.1; n=$((n+1)); done; [ ! -e {about} ]; rm /mnt/l")
    # A file of tmpfs has no such way on Linux 6.1: asking for it is no error when it is attached.
    guest.check(f"dd if=/dev/zero of=/tmp/l bs=1M count=1 2>/dev/null; d=$({losetup} --direct-io=on -f --show /tmp/l) && "
                f"[ $(cat /sys/block/${{d#/dev/}}/loop/dio) = 0 ] && {losetup} -d $d; rm /tmp/l")


TESTS = [windows, without, advice, at_random, interleaved, orders, cached, traces, loop]


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--kernel", help="our kernel (default: what make built)")
    parser.add_argument("--linux", action="store_true", help="Debian's kernel instead")
    parser.add_argument("--limit", type=int, default=600, help="seconds for the machine")
    parser.add_argument("tests", nargs="*", help="names of tests")
    args = parser.parse_args()
    kernel = debian.kernel() if args.linux else args.kernel or programs.default_kernel()
    report = Report()
    with tempfile.TemporaryDirectory(prefix="trace-") as work:
        disk, initrd = os.path.join(work, "disk"), os.path.join(work, "initrd")
        cpio = tools.base(("blktrace", "blkparse", "filefrag", "losetup", "fincore"), linux=args.linux, packages=("blktrace", "libaio1", "mount"))
        cpio.file("bin/streams", src=os.path.join(programs.build("ext4-tests"), "streams"), mode=0o755)
        cpio.write(initrd)
        with open(disk, "wb") as f:
            f.truncate(96 << 20)
        subprocess.run(["mke2fs", "-q", "-t", "ext4", disk], check=True, env=dict(os.environ, PATH=os.environ["PATH"] + ":/sbin:/usr/sbin"))
        extra = ["-drive", f"file={disk},format=raw,if=none,id=d0,cache=unsafe", "-device", "virtio-blk-pci,drive=d0"]
        append = APPEND + (tools.LINUX if args.linux else "")
        with Guest(kernel, initrd, append, cpus=2, memory=384, limit=args.limit, extra=extra) as guest:
            guest.expect("@READY@", 120)
            guest.check("mkdir -p /sys/kernel/debug; mount -t debugfs debugfs /sys/kernel/debug; mount -t ext4 /dev/vda /mnt")
            guest.check(f"/bin/streams file=/mnt/f make={MB} && sync", 120)
            for test in TESTS:
                if args.tests and test.__name__ not in args.tests:
                    continue
                try:
                    said = test(guest)
                    report.ok(test.__name__ + (f": {said}" if said else ""))
                except GuestError as error:
                    report.fail(test.__name__, error)
                    if not guest.alive():
                        break
    report.finish()


if __name__ == "__main__":
    main()
